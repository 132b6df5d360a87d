"""The body of `streamrec access`: each action is a function of the options."""

from __future__ import annotations

import getpass
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from streamrec.commands.printing import log, print_text, print_utf8
from streamrec.core.reading import path_of
from streamrec.errors import SettingsError
from streamrec.outputs.history.records import iso
from streamrec.web.access_file import adding, edit, find, removing, replacing_account
from streamrec.web.audit import AuditLog, Deed, audit_path
from streamrec.web.auth import Access, Account, Kind, hash_of, new_token, new_user
from streamrec.web.roles import Role

_SECONDS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line gives."""

    file: Path
    name: str
    role: str | None
    cameras: Sequence[str] | None
    all_cameras: bool
    expires: str | None
    limit: int
    as_json: bool
    ask_password: Callable[[], str]

    def __post_init__(self) -> None:
        if self.cameras and self.all_cameras:
            raise SettingsError("--camera and --all-cameras: give one of them")

    def role_or(self, default: Role) -> Role:
        """The role that was given; raises ``SettingsError``."""
        if self.role is None:
            return default
        try:
            return Role(self.role)
        except ValueError as error:
            raise SettingsError(f"--role {self.role}: choose {' or '.join(Role)}") from error

    def refuse(self, *options: str) -> None:
        """Raise ``SettingsError`` for options that do not belong to this action."""
        given = {"--role": self.role, "--camera": self.cameras, "--all-cameras": self.all_cameras}
        for option in options:
            if {**given, "--expires": self.expires}[option]:
                raise SettingsError(f"{option} does not belong to this action")

    def need_name(self, of: str) -> str:
        """The name that was given; raises ``SettingsError``."""
        if not self.name.strip():
            raise SettingsError(f"give the name of {of}")
        return self.name.strip()


def _set_password(options: Options) -> None:
    options.refuse("--role", "--camera", "--all-cameras", "--expires")
    if options.name:
        secret = hash_of(options.ask_password())
        change = replacing_account(Kind.user, options.name, lambda one: replace(one, secret=secret))
        edit(options.file, change)
        _note(options, "password changed", {"name": options.name})
        log(f"{options.file}: {options.name} has a new password")
        return
    edit(options.file, adding(new_user("", options.ask_password(), Role.admin)))
    _note(options, "password changed", {})
    log(f"{options.file}: a password was set")


def _add(options: Options) -> None:
    options.refuse("--expires")
    name, role = options.need_name("the new user"), options.role_or(Role.viewer)
    account = new_user(name, options.ask_password(), role, options.cameras or None)
    edit(options.file, adding(account))
    _note(options, "user added", _shown(account))
    log(f"{options.file}: {name} was added: {_may(account)}")


def _add_token(options: Options) -> None:
    role = options.role_or(Role.viewer if options.cameras else Role.admin)
    made, account = new_token(options.name.strip(), role, options.cameras or None, expiry(options.expires))
    edit(options.file, adding(account))
    _note(options, "token added", _shown(account))
    log("the token, which is shown this once:")
    print_text(made)  # alone on standard output, for a program that keeps it


def _change(options: Options) -> None:
    name = options.need_name("the user or token")
    if options.role is None and not options.cameras and not options.all_cameras and options.expires is None:
        raise SettingsError("give what changes: --role, --camera, --all-cameras or --expires")

    def changed(one: Account) -> Account:
        role = options.role_or(one.role)
        kept = None if options.all_cameras or role is Role.admin else one.cameras
        cameras = frozenset(options.cameras) if options.cameras else kept
        expires = one.expires if options.expires is None else expiry(options.expires)
        if expires is not None and one.kind is Kind.user:
            raise SettingsError("--expires belongs to a token")
        if role is not Role.admin and not one.name:
            raise SettingsError("without a name it is an admin: add a user or token with a name")
        return replace(one, role=role, cameras=cameras, expires=expires)

    kind = _kind_of(options, name)
    account = find(edit(options.file, replacing_account(kind, name, changed)), kind, name)
    _note(options, f"{kind} changed", {"name": name} if account is None else _shown(account))
    log(f"{options.file}: {name} was changed{'' if account is None else f': {_may(account)}'}")


def _remove(options: Options) -> None:
    options.refuse("--role", "--camera", "--all-cameras", "--expires")
    name = options.need_name("the user or token")
    kind = _kind_of(options, name)
    edit(options.file, removing(kind, name))
    _note(options, f"{kind} removed", {"name": name})
    log(f"{options.file}: {name} was removed")


def _list(options: Options) -> None:
    options.refuse("--role", "--camera", "--all-cameras", "--expires")
    for account in Access.read(options.file, {}).accounts:
        if options.as_json:
            print_utf8(json.dumps(account.to_dict(), ensure_ascii=False))
        else:
            print_text(f"{account.kind}  {account.name or f'(no name, {account.id})'}  {_may(account)}")


def _log(options: Options) -> None:
    options.refuse("--role", "--camera", "--all-cameras", "--expires")
    for line in reversed(_audit(options).read(options.limit)):
        if options.as_json:
            print_utf8(json.dumps(line, ensure_ascii=False))
        else:
            when = datetime.fromisoformat(line["when"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
            about = ", ".join(f"{key} {text}" for key, text in line["about"].items())
            refused = "" if line["done"] else "refused: "
            who = f"{line['by']} {line['who']}".strip()
            origin = f" from {line['from']}" if line["from"] else ""
            print_text(f"{when}  {who}{origin}  {refused}{line['what']}{f' ({about})' if about else ''}")


ACTIONS: Mapping[str, Callable[[Options], None]] = MappingProxyType(
    {
        "password": _set_password,
        "add": _add,
        "token": _add_token,
        "change": _change,
        "remove": _remove,
        "list": _list,
        "log": _log,
    }
)


def expiry(text: str | None, now: float | None = None) -> float | None:
    """When a token ends, in seconds since 1970; None: never. Raises ``SettingsError``.

    >>> expiry("12h", now=0.0)
    43200.0
    """
    if text is None:
        return None
    now = time.time() if now is None else now
    found = re.fullmatch(r"(\d{1,5})\s*([hdw])", text.strip())
    try:
        ends = now + int(found[1]) * _SECONDS[found[2]] if found else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"--expires {text}: give 12h, 30d, 2027-01-31 or 2027-01-31T14:30") from error
    if ends <= now:
        raise SettingsError(f"--expires {text}: that is over already")
    return ends


def _kind_of(options: Options, name: str) -> Kind:
    """Whether a name is a user's or a token's; raises ``SettingsError``."""
    access = Access.read(options.file, {})
    found = [kind for kind in Kind if find(access, kind, name) is not None]
    if not found:
        raise SettingsError(f"{options.file.name} has no user and no token named {name}; `list` shows them")
    if len(found) > 1:
        raise SettingsError(f"{name} is a user and a token: give the id that `list` --json shows")
    return found[0]


def _may(account: Account) -> str:
    """What an account may do, in words."""
    cameras = "all cameras" if account.cameras is None else f"cameras {', '.join(sorted(account.cameras))}"
    until = "" if account.expires is None else f", until {iso(account.expires)}"
    return f"{account.role}, {cameras}{until}"


def _shown(account: Account) -> dict[str, str]:
    """An account for the audit log."""
    return {"name": account.name or account.id, "may": _may(account)}


def _audit(options: Options) -> AuditLog:
    return AuditLog(audit_path(path_of(str(options.file))), log=log)


def _note(options: Options, what: str, about: dict[str, str]) -> None:
    try:
        who = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        who = ""
    _audit(options).add(Deed(what=what, who=who, by="command", about=about))
