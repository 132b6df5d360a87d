"""Authentication: passwords and tokens, stored as hashes; sessions; throttling of wrong attempts.

The file that ``streamrec access`` writes has one line for each password or token::

    password scrypt:15:8:1:SALT:HASH
    token sha256:HASH

A password is hashed with scrypt (32 MB and about a tenth of a second for each guess). A token is 256 random bits,
so a plain hash of it is enough: it cannot be guessed, and a program may send it with each request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from streamrec.core.files import replacing
from streamrec.core.messages import NOT_UTF8, why
from streamrec.core.reading import CannotRead, path_of, read_text
from streamrec.errors import SettingsError
from streamrec.web.connections import network_of

VARIABLE = "STREAMREC_WEB_ACCESS"  # may hold the lines themselves
SHORTEST = 10  # letters of a password
LONGEST = 1024
IDLE_SECONDS = 12 * 3600.0  # a session ends when it was not used for so long
SESSION_SECONDS = 7 * 86_400.0  # and after so long in any case
_COST = (15, 8, 1)  # log2 of N, r, p: what OWASP asks of scrypt, at 32 MB
_SESSIONS = 1_000  # at once; the oldest goes

TRIES = 5  # wrong attempts in a row from one address before it has to wait
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0  # seconds; doubled with each wrong attempt
_ADDRESSES = 4_096  # remembered
ALL_TRIES = 30  # wrong attempts from all addresses together, within
ALL_SECONDS = 60.0


def hash_password(password: str) -> str:
    """A line for the file of access; raises ``SettingsError`` for a password that is too short."""
    if len(password) < SHORTEST:
        raise SettingsError(
            f"a password of {len(password)} letters is guessed too soon: take {SHORTEST} or more"
        )
    if len(password) > LONGEST:
        raise SettingsError(f"a password may have {LONGEST} letters at most")
    salt = os.urandom(16)
    log_n, r, p = _COST
    return f"password scrypt:{log_n}:{r}:{p}:{_text(salt)}:{_text(_scrypt(password, salt, *_COST))}"


def make_token() -> tuple[str, str]:
    """A new token, and its line for the file of access."""
    token = secrets.token_urlsafe(32)
    return token, f"token sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def add_line(path: str | os.PathLike[str], line: str) -> None:
    """Add a line to the file; a password replaces the one before. Only the owner may read the file."""
    file = path_of(os.fspath(path))
    try:
        before = read_text(file).splitlines() if file.exists() else []
        if line.startswith("password "):
            before = [one for one in before if not one.startswith("password ")]
        with replacing(file, "w", private=True, fresh=True, encoding="utf-8") as out:
            out.write("\n".join([*before, line]) + "\n")
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {why(error)}") from error


@dataclass(frozen=True, slots=True)
class Access:
    """The passwords and tokens. Without any, every client may use the page: for loopback alone."""

    passwords: tuple[tuple[int, int, int, bytes, bytes], ...] = ()  # log2 of N, r, p, salt, hash
    tokens: tuple[bytes, ...] = ()

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
        """From lines, or from words separated by commas or blanks, as in an environment variable."""
        passwords, tokens = [], []
        words = [
            word for line in text.splitlines() for word in line.partition("#")[0].replace(",", " ").split()
        ]
        for word in words:
            kind, _, rest = word.partition(":")
            try:
                if word in ("password", "token"):
                    continue
                if kind == "scrypt":
                    log_n, r, p, salt, digest = rest.split(":")
                    cost = int(log_n), int(r), int(p)
                    if not (10 <= cost[0] <= 20 and 1 <= cost[1] <= 32 and 1 <= cost[2] <= 16):
                        raise ValueError
                    passwords.append((*cost, _bytes(salt), _bytes(digest)))
                elif kind == "sha256":
                    digest_bytes = bytes.fromhex(rest)
                    if len(digest_bytes) != 32:
                        raise ValueError
                    tokens.append(digest_bytes)
                else:
                    raise ValueError
            except ValueError as error:  # not quoted: it may be a password in plain text
                raise SettingsError(
                    f"{where} has a line that is no hash of a password or token; make it with `streamrec access`"
                ) from error
        return cls(tuple(passwords), tuple(tokens))

    def __bool__(self) -> bool:
        return bool(self.passwords or self.tokens)

    def password_of(self, password: str) -> bytes | None:
        """Which of ``credentials`` it is; None where it is wrong.

        It takes about a tenth of a second, and lets other threads run.
        """
        if len(password) > LONGEST:
            return None
        # All are tried, so that the time it takes does not show which one matched.
        tried = [
            hmac.compare_digest(_scrypt(password, salt, log_n, r, p), digest)
            for log_n, r, p, salt, digest in self.passwords
        ]
        return next((way for way, right in zip(self.credentials, tried, strict=False) if right), None)

    @property
    def credentials(self) -> tuple[bytes, ...]:
        """An identifier of each password and token, so that its sessions can end when it is removed."""
        return tuple(salt + digest for *_, salt, digest in self.passwords) + self.tokens

    def token_of(self, token: str) -> bytes | None:
        """Which of ``credentials`` it is; None where it is wrong."""
        found = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        tried = [hmac.compare_digest(found, known) for known in self.tokens]
        return found if any(tried) else None


class AccessFile:
    """The access file, read again whenever it was changed."""

    def __init__(self, path: str | os.PathLike[str], access: Access) -> None:
        self.path = path_of(str(path))
        self._access = access
        self._stamp: object = None  # time, size and inode of the file when it was read

    def changed(self) -> Access | None:
        """The passwords and tokens, where they differ from the last call.

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


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    n = 1 << log_n
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(slots=True)
class Session:
    """One log-in of a browser."""

    csrf: str  # goes with each request that changes something
    ends: float  # time.monotonic()
    idle: float
    credential: bytes = b""  # which of ``Access.credentials`` began it
    ended: bool = False  # by a log-out, or because its password was changed


class Sessions:
    """All sessions, in memory: a restart ends them. Their secrets are stored as hashes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, credential: bytes = b"") -> tuple[str, Session]:
        """A new session, and the secret that the browser keeps."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        session = Session(secrets.token_urlsafe(32), now + SESSION_SECONDS, now + IDLE_SECONDS, credential)
        self._sessions[_digest(secret)] = session
        while len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)[1].ended = True
        return secret, session

    def find(self, secret: str) -> Session | None:
        """The session with this secret; None where there is none or it has ended."""
        key = _digest(secret)
        session = self._sessions.get(key)
        if session is None:
            return None
        if not self.holds(session):
            del self._sessions[key]
            return None
        session.idle = self._clock() + IDLE_SECONDS
        return session

    def holds(self, session: Session) -> bool:
        """Whether it is valid: not ended, not too old, not idle for too long."""
        now = self._clock()
        return not session.ended and now <= session.ends and now <= session.idle

    def use(self, session: Session) -> None:
        """Its client is active."""
        if self.holds(session):
            session.idle = self._clock() + IDLE_SECONDS

    def end(self, secret: str) -> None:
        """Log out."""
        session = self._sessions.pop(_digest(secret), None)
        if session is not None:
            session.ended = True

    def end_this(self, session: Session) -> None:
        """Log out."""
        session.ended = True
        for key in [key for key, one in self._sessions.items() if one is session]:
            del self._sessions[key]

    def keep(self, credentials: Collection[bytes]) -> None:
        """End the sessions that none of these credentials began."""
        for session in [one for one in self._sessions.values() if one.credential not in credentials]:
            self.end_this(session)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


class LoginThrottle:
    """How long an address has to wait before it may try again, after too many wrong attempts.

    >>> now = [0.0]
    >>> throttle = LoginThrottle(clock=lambda: now[0])
    >>> for _ in range(6): throttle.failed("10.0.0.9")
    >>> throttle.wait("10.0.0.9"), throttle.wait("10.0.0.8")
    (2.0, 0.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # count, and until when it waits
        self._all: list[float] = []
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Seconds to wait; 0.0: it may try now."""
        now = self._clock()
        with self._lock:
            self._all = [when for when in self._all if now - when < ALL_SECONDS]
            for_all = self._all[0] + ALL_SECONDS - now if len(self._all) >= ALL_TRIES else 0.0
            return max(0.0, for_all, self._wrong.get(network_of(address), (0, 0.0))[1] - now)

    def failed(self, address: str) -> None:
        """A wrong password or token came from this address."""
        now, key = self._clock(), network_of(address)
        with self._lock:
            self._all.append(now)
            count = self._wrong.pop(key, (0, 0.0))[0] + 1
            pause = (
                min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(count - TRIES - 1, 16)) if count > TRIES else 0.0
            )
            self._wrong[key] = count, now + pause
            while len(self._wrong) > _ADDRESSES:
                self._wrong.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """A right one came: earlier failures are forgotten."""
        with self._lock:
            self._wrong.pop(network_of(address), None)
