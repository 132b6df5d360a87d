"""Sessions of browsers, and throttling of wrong passwords and tokens."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from streamrec.web.connections import network_of

IDLE_SECONDS = 12 * 3600.0  # a session ends when it was not used for so long
SESSION_SECONDS = 7 * 86_400.0  # and after so long in any case
_SESSIONS = 1_000  # at once; the oldest goes

TRIES = 5  # wrong attempts in a row from one address before it has to wait
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0  # seconds; doubled with each wrong attempt
_ADDRESSES = 4_096  # remembered
ALL_TRIES = 30  # wrong attempts from all addresses together, within
ALL_SECONDS = 60.0


@dataclass(slots=True)
class Session:
    """One log-in of a browser."""

    csrf: str  # goes with each request that changes something
    ends: float  # time.monotonic()
    idle: float
    credential: bytes = b""  # the ``Account.credential`` that began it
    ended: bool = False  # by a log-out, or because its account was changed


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

    Attempts are counted for the address, and for each name that it tries: a user's own log-in gives no more guesses at
    another's password.

    >>> now = [0.0]
    >>> throttle = LoginThrottle(clock=lambda: now[0])
    >>> for _ in range(6): throttle.failed("10.0.0.9")
    >>> throttle.wait("10.0.0.9"), throttle.wait("10.0.0.8")
    (2.0, 0.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Of an address, and of each name that it tried: the count, and until when it waits.
        self._wrong: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()
        self._all: list[float] = []
        self._lock = threading.Lock()

    def wait(self, address: str, name: str = "") -> float:
        """Seconds to wait before this name is tried from this address; 0.0: it may be tried now."""
        now = self._clock()
        with self._lock:
            self._all = [when for when in self._all if now - when < ALL_SECONDS]
            for_all = self._all[0] + ALL_SECONDS - now if len(self._all) >= ALL_TRIES else 0.0
            waits = (self._wrong.get(key, (0, 0.0))[1] - now for key in _keys(address, name))
            return max(0.0, for_all, *waits)

    def failed(self, address: str, name: str = "") -> None:
        """A wrong password, or a wrong token, came from this address."""
        now = self._clock()
        with self._lock:
            self._all.append(now)
            for key in _keys(address, name):
                count = self._wrong.pop(key, (0, 0.0))[0] + 1
                over = count - TRIES - 1
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(over, 16)) if over >= 0 else 0.0
                self._wrong[key] = count, now + pause
            while len(self._wrong) > _ADDRESSES:
                self._wrong.popitem(last=False)

    def succeeded(self, address: str, name: str = "") -> None:
        """A right one came: earlier failures are forgotten, but not those with other names."""
        with self._lock:
            for key in _keys(address, name):
                self._wrong.pop(key, None)


def _keys(address: str, name: str) -> tuple[tuple[str, ...], ...]:
    network = network_of(address)
    return (network,), (network, name.strip().casefold())
