"""Authentication: the accounts of the page, users and tokens, stored as hashes in the access file.

The file that ``streamrec access`` writes has one line for each account::

    user {"name": "ann", "role": "viewer", "cameras": ["door"], "secret": "scrypt:15:8:1:SALT:HASH"}
    token {"name": "prometheus", "role": "viewer", "expires": "2027-01-31T00:00:00+00:00", "secret": "sha256:HASH"}
    password scrypt:15:8:1:SALT:HASH
    token sha256:HASH

The last two forms are of an admin without a name. A password is hashed with scrypt (32 MB and about a tenth of a
second for each guess). A token is 256 random bits, so a plain hash of it is enough: it cannot be guessed, and a program
may send it with each request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from streamrec.core.messages import NOT_UTF8
from streamrec.core.reading import CannotRead, path_of, read_text
from streamrec.errors import SettingsError
from streamrec.outputs.history.records import iso
from streamrec.web.roles import Identity, Role

VARIABLE = "STREAMREC_WEB_ACCESS"  # may hold the lines themselves
SHORTEST = 10  # letters of a password
LONGEST = 1024
LONGEST_NAME = 64  # letters of a user's or token's name
MOST_CAMERAS = 1_000  # that one account names
_COST = (15, 8, 1)  # log2 of N, r, p: what OWASP asks of scrypt, at 32 MB
_SALT, _DIGEST = 16, 32  # bytes
_KEYS = {"name", "role", "cameras", "expires", "secret"}


class Kind(StrEnum):
    """The kinds of accounts."""

    user = "user"  # logs in with a password
    token = "token"  # a program that sends it with each request


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user or a token, and what it may do. Raises ``SettingsError`` for what no account may be."""

    kind: Kind
    secret: str = field(repr=False)  # "scrypt:..." or "sha256:...": a hash
    name: str = ""  # "": without one, as in files of before; it is an admin
    role: Role = Role.admin
    cameras: frozenset[str] | None = None  # None: all
    expires: float | None = None  # seconds since 1970; None: never
    credential: bytes = field(init=False, repr=False, compare=False)  # another one after any change

    def __post_init__(self) -> None:
        if len(self.name) > LONGEST_NAME or not self.name.isprintable() or self.name != self.name.strip():
            raise SettingsError(f"a name has {LONGEST_NAME} letters at most, and no blanks around it")
        if self.role is Role.admin and self.cameras is not None:
            raise SettingsError("an admin sees all cameras: chosen cameras are for a viewer")
        if self.cameras is not None and not 0 < len(self.cameras) <= MOST_CAMERAS:
            raise SettingsError("name one camera or more, or leave cameras out: all of them")
        object.__setattr__(
            self, "credential", hashlib.sha256(self.line().encode("utf-8", "replace")).digest()
        )

    @property
    def identity(self) -> Identity:
        """What its requests may do."""
        return Identity(self.name, self.role, self.cameras)

    @property
    def id(self) -> str:
        """A short name for an account that may have none; nothing of its secret can be read from it."""
        return self.credential.hex()[:12]

    def line(self) -> str:
        """Its line of the access file."""
        if not self.name and self.role is Role.admin and self.expires is None:
            return f"{'password' if self.kind is Kind.user else 'token'} {self.secret}"
        shown: dict[str, Any] = {"name": self.name, "role": str(self.role)}
        if self.cameras is not None:
            shown["cameras"] = sorted(self.cameras)
        if self.expires is not None:
            shown["expires"] = iso(self.expires)
        return f"{self.kind} {json.dumps({**shown, 'secret': self.secret}, ensure_ascii=False)}"

    def to_dict(self) -> dict[str, Any]:
        """Its JSON, without the secret."""
        return {
            "kind": str(self.kind),
            "name": self.name,
            "id": self.id,
            "role": str(self.role),
            "cameras": None if self.cameras is None else sorted(self.cameras),
            "expires": None if self.expires is None else iso(self.expires),
        }

    def is_over(self, now: float) -> bool:
        """Whether it has expired."""
        return self.expires is not None and now >= self.expires


def hash_of(password: str) -> str:
    """The secret of a password; raises ``SettingsError`` for one that is too short."""
    if not password:
        raise SettingsError(f"there is no password: give one of {SHORTEST} letters or more")
    if len(password) < SHORTEST:
        raise SettingsError(
            f"a password of {len(password)} letters is guessed too soon: take {SHORTEST} or more"
        )
    if len(password) > LONGEST:
        raise SettingsError(f"a password may have {LONGEST} letters at most")
    salt = os.urandom(_SALT)
    log_n, r, p = _COST
    return f"scrypt:{log_n}:{r}:{p}:{_text(salt)}:{_text(_scrypt(password, salt, *_COST))}"


def new_token(
    name: str = "",
    role: Role = Role.admin,
    cameras: Iterable[str] | None = None,
    expires: float | None = None,
) -> tuple[str, Account]:
    """A new token, which is shown once, and its account."""
    token = secrets.token_urlsafe(32)
    secret = f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    chosen = None if cameras is None else frozenset(cameras)
    return token, Account(
        kind=Kind.token, name=name, role=role, cameras=chosen, expires=expires, secret=secret
    )


def new_user(name: str, password: str, role: Role, cameras: Iterable[str] | None = None) -> Account:
    """A user with a password; without a name it is an admin, as in files of before."""
    chosen = None if cameras is None else frozenset(cameras)
    return Account(kind=Kind.user, name=name, role=role, cameras=chosen, secret=hash_of(password))


@dataclass(frozen=True, slots=True)
class Access:
    """The accounts. Without any, every client may do everything: for loopback alone."""

    accounts: tuple[Account, ...] = ()

    @classmethod
    def read(cls, path: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> Access:
        """From a file, or else from ``STREAMREC_WEB_ACCESS``; raises ``SettingsError``."""
        if path is None:
            return cls.parse(environment.get(VARIABLE, ""), VARIABLE)
        file = path_of(os.fspath(path))
        try:
            text = read_text(file)
        except CannotRead as error:
            reason = "it is no text" if error.why == NOT_UTF8 else error.why
            raise SettingsError(
                f"{file} cannot be read: {reason}; `streamrec access {file}` makes it"
            ) from error
        access = cls.parse(text, file.name)
        if not access:
            raise SettingsError(
                f"{file.name} holds neither password nor token; `streamrec access {file}` adds one"
            )
        return access

    @classmethod
    def parse(cls, text: str, where: str) -> Access:
        """From lines; those without a name may stand side by side, as in an environment variable."""
        accounts: list[Account] = []
        for line in text.splitlines():
            try:
                found = re.fullmatch(r"\s*(user|token)\s*(\{.*\})\s*", line)
                if found:
                    accounts.append(_account(Kind(found[1]), json.loads(found[2])))
                else:
                    accounts += _without_names(line)
            except (ValueError, TypeError, RecursionError) as error:  # not quoted: it may be a plain password
                raise SettingsError(
                    f"{where} has a line that is no hash of a password or token; make it with `streamrec access`"
                ) from error
            except SettingsError as error:
                raise SettingsError(f"{where}: {error}") from error
        taken: set[tuple[Kind, str]] = set()
        for account in accounts:
            key = account.kind, account.name.casefold()
            if account.name and key in taken:
                raise SettingsError(f"{where} has two {account.kind}s named {account.name}: remove one")
            taken.add(key)
        return cls(tuple(accounts))

    def __bool__(self) -> bool:
        return bool(self.accounts)

    @property
    def has_names(self) -> bool:
        """Whether a log-in asks for a name."""
        return any(account.name for account in self.accounts if account.kind is Kind.user)

    def lines(self) -> str:
        """The text of the access file."""
        return "".join(f"{account.line()}\n" for account in self.accounts)

    def log_in(self, name: str, password: str) -> Account | None:
        """The user with this name and password; None where there is none. "": one of the passwords without a name.

        It takes about a tenth of a second, and lets other threads run.
        """
        if len(password) > LONGEST:
            return None
        asked = name.strip().casefold()
        tried = [one for one in self.accounts if one.kind is Kind.user and one.name.casefold() == asked]
        # All are tried, so that the time it takes does not show which one matched; and one for a name that there is
        # not, so that it does not show which names there are.
        right = [_is_password(password, one.secret) for one in tried] or [_is_password(password, _NO_SECRET)]
        return next((one for one, is_right in zip(tried, right, strict=False) if is_right), None)

    def token_of(self, token: str, now: float | None = None) -> Account | None:
        """The account of a token; None where it is wrong or has expired. ``now``: seconds since 1970."""
        found = f"sha256:{hashlib.sha256(token.encode('utf-8', 'replace')).hexdigest()}"
        tokens = [one for one in self.accounts if one.kind is Kind.token]
        tried = [hmac.compare_digest(found, one.secret) for one in tokens]
        account = next((one for one, is_right in zip(tokens, tried, strict=True) if is_right), None)
        return None if account is None or account.is_over(time.time() if now is None else now) else account

    def holds(self, credential: bytes, now: float | None = None) -> Account | None:
        """The account that began a session, where it is unchanged and has not expired."""
        for account in self.accounts:
            if account.credential == credential:
                return None if account.is_over(time.time() if now is None else now) else account
        return None

    @property
    def credentials(self) -> Collection[bytes]:
        """Of all accounts: the sessions of others end."""
        return {account.credential for account in self.accounts}


def _account(kind: Kind, given: Any) -> Account:
    """An account of its line's JSON; raises ``ValueError``, ``TypeError`` or ``SettingsError``."""
    if not isinstance(given, dict) or not given.keys() <= _KEYS or not isinstance(given.get("name"), str):
        raise ValueError
    cameras, expires = given.get("cameras"), given.get("expires")
    if cameras is not None and not (
        isinstance(cameras, list) and all(isinstance(one, str) for one in cameras)
    ):
        raise ValueError
    if expires is not None and not isinstance(expires, str):
        raise ValueError
    return Account(
        kind=kind,
        name=given["name"],
        role=Role(given.get("role", "")),
        cameras=None if cameras is None else frozenset(cameras),
        expires=None if expires is None else datetime.fromisoformat(expires).timestamp(),
        secret=_checked(given.get("secret"), kind),
    )


def _without_names(line: str) -> list[Account]:
    """The accounts of a line as files of before have it; raises ``ValueError``."""
    found = []
    for word in line.partition("#")[0].replace(",", " ").split():
        if word in ("password", "token"):
            continue
        kind = Kind.user if word.startswith("scrypt:") else Kind.token
        found.append(Account(kind=kind, secret=_checked(word, kind)))
    return found


def _checked(secret: Any, kind: Kind) -> str:
    """A secret of the right form; raises ``ValueError``."""
    if not isinstance(secret, str):
        raise ValueError
    scheme, _, rest = secret.partition(":")
    if kind is Kind.user and scheme == "scrypt":
        log_n, r, p, _, _ = _parts(secret)
        if 10 <= log_n <= 20 and 1 <= r <= 32 and 1 <= p <= 16:
            return secret
    if kind is Kind.token and scheme == "sha256" and len(bytes.fromhex(rest)) == _DIGEST:
        return secret.lower()
    raise ValueError


def _parts(secret: str) -> tuple[int, int, int, bytes, bytes]:
    """log2 of N, r, p, salt and hash."""
    _, log_n, r, p, salt, digest = secret.split(":")
    return int(log_n), int(r), int(p), _bytes(salt), _bytes(digest)


def _is_password(password: str, secret: str) -> bool:
    log_n, r, p, salt, digest = _parts(secret)
    return hmac.compare_digest(_scrypt(password, salt, log_n, r, p), digest)


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    n = 1 << log_n
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=_DIGEST)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


_NO_SECRET = f"scrypt:{_COST[0]}:{_COST[1]}:{_COST[2]}:{_text(bytes(_SALT))}:{_text(bytes(_DIGEST))}"
