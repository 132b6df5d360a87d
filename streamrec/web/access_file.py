"""The access file: read again whenever it was changed, and edited by the command line and by the page."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from streamrec.core.files import replacing
from streamrec.core.locks import Held, Lock
from streamrec.core.messages import why
from streamrec.core.reading import CannotRead, path_of, read_text
from streamrec.errors import SettingsError
from streamrec.web.auth import Access, Account, Kind
from streamrec.web.roles import Role

_LOCK_SECONDS = 5.0  # that an edit waits for another one
_EDITING = threading.Lock()


class AccessFile:
    """The access file, read again whenever it was changed."""

    def __init__(self, path: str | os.PathLike[str], access: Access) -> None:
        self.path = path_of(str(path))
        self._access = access
        self._stamp: object = None  # time, size and inode of the file when it was read

    def changed(self) -> Access | None:
        """The accounts, where they differ from the last call.

        Raises ``SettingsError`` once for each mistake: such a file changes nothing, it may be half written.
        """
        try:
            found = self.path.stat()
            stamp: object = found.st_mtime_ns, found.st_size, found.st_ino
        except OSError as error:
            stamp = error.errno
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        access = Access.read(self.path, {})
        if access == self._access:
            return None
        self._access = access
        return access


def edit(path: str | os.PathLike[str], change: Callable[[Access], Access]) -> Access:
    """Change the file in one piece; the accounts afterwards. A file that is not there is empty, and is made.

    Only its owner may read it. Raises ``SettingsError``, and leaves the file as it was.
    """
    file = path_of(os.fspath(path))
    try:
        with _EDITING, _locked(file):
            text = read_text(file) if file.exists() else ""
            before = Access.parse(text, file.name)
            after = change(before)
            had, has = (any(_is_admin(one) for one in access.accounts) for access in (before, after))
            if had and not has:
                raise SettingsError(
                    "this is the last admin, without whom no one may change anything: add another first"
                )
            if after != before:
                with replacing(file, "w", private=True, fresh=True, encoding="utf-8") as out:
                    out.write("".join(f"{line}\n" for line in text.splitlines() if line.lstrip()[:1] == "#"))
                    out.write(after.lines())
            return after
    except CannotRead as error:
        raise SettingsError(f"{file} cannot be read: {error.why}") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {why(error)}") from error


def _is_admin(account: Account) -> bool:
    return account.role is Role.admin and not account.is_over(time.time())


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep other processes from editing the file: its folder is locked, because the file itself is replaced."""
    ends = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            lock = Lock(file.absolute().parent)
            break
        except Held as error:
            if time.monotonic() > ends:
                raise SettingsError(f"another program changes {file.name} just now: try again") from error
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.release()


def adding(account: Account) -> Callable[[Access], Access]:
    """A change that adds an account; raises ``SettingsError`` for a name that is taken.

    A password without a name replaces the one before.
    """

    def change(access: Access) -> Access:
        kept = access.accounts
        if account.name:
            if find(access, account.kind, account.name) is not None:
                raise SettingsError(
                    f"there is a {account.kind} named {account.name} already: change or remove it"
                )
        elif account.kind is Kind.user:
            kept = tuple(one for one in kept if one.name or one.kind is not Kind.user)
        return Access((*kept, account))

    return change


def replacing_account(
    kind: Kind, name: str, make: Callable[[Account], Account]
) -> Callable[[Access], Access]:
    """A change of one account, found by its name or id; raises ``SettingsError`` where there is none."""

    def change(access: Access) -> Access:
        found = find(access, kind, name)
        if found is None:
            raise SettingsError(f"there is no {kind} named {name}")
        return Access(tuple(make(one) if one is found else one for one in access.accounts))

    return change


def removing(kind: Kind, name: str) -> Callable[[Access], Access]:
    """A change that removes an account, found by its name or id; raises ``SettingsError`` where there is none."""

    def change(access: Access) -> Access:
        found = find(access, kind, name)
        if found is None:
            raise SettingsError(f"there is no {kind} named {name}")
        return Access(tuple(one for one in access.accounts if one is not found))

    return change


def find(access: Access, kind: Kind, name: str) -> Account | None:
    """An account by its name, or else by its id."""
    of_kind = [one for one in access.accounts if one.kind is kind]
    named = [one for one in of_kind if one.name and one.name.casefold() == name.strip().casefold()]
    return next(iter(named or [one for one in of_kind if one.id == name]), None)
