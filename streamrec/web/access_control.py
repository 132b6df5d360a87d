"""Access control of the page: host names, session cookies and tokens, origins and CSRF tokens.

A request passes these checks in order:

1. **Host.** Only names under which the page is meant to be reached, or an IP address: a foreign page whose name was
   made to point here (DNS rebinding) is refused before anything is read.
2. **Session or token**, where the page has a log-in: for everything but what declares that it needs none.
3. **Origin and CSRF token**, for everything that changes something and for WebSockets: a browser sends its cookies
   with requests of any page, so a cookie alone proves nothing.
4. **Role and cameras**, as the route declares them (``web/roles.py``): what declares nothing is refused.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from streamrec.web.auth import Access, Account
from streamrec.web.roles import ANYONE, Cameras, Needs
from streamrec.web.sessions import LoginThrottle, Session, Sessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE = ("GET", "HEAD", "OPTIONS")
PAGES = ("/", "/api")  # a browser without a session is redirected to the log-in
_COOKIES_TRIED = 10  # of one name


@dataclass(frozen=True, kw_only=True)
class Names:
    """Under which hosts the page may be reached, and which origins are its own.

    ``public``: addresses like https://cameras.example.org under which a proxy or another name leads here.

    >>> names = Names(port=8765, public=("https://cameras.example.org",))
    >>> [names.knows(h) for h in ("localhost:8765", "192.168.1.5:8765", "cameras.example.org", "evil.example")]
    [True, True, True, False]
    >>> names.is_own("http://localhost:8765", "localhost:8765"), names.is_own("http://evil.example", "localhost:8765")
    (True, False)
    """

    port: int
    secure: bool = False  # whether the server itself serves https
    public: tuple[str, ...] = ()

    def knows(self, host: str) -> bool:
        """Whether a Host header names the page. An IP address is never the name of another page."""
        if any(host == urlsplit(address).netloc.lower() for address in self.public):
            return True
        name, port = _split(host)
        if port is None:
            port = 443 if self.secure else 80
        return port == self.port and (name == "localhost" or _is_ip(name))

    def is_own(self, origin: str, host: str) -> bool:
        """Whether an Origin header is the page's own, as reached by this host."""
        origin = origin.lower()
        if origin in (address.lower().rstrip("/") for address in self.public):
            return True
        return origin == f"{'https' if self.secure else 'http'}://{host}"

    def is_secure(self, host: str) -> bool:
        """Whether the browser came by https."""
        return self.secure or any(
            address.lower().startswith("https:") and host == urlsplit(address).netloc.lower()
            for address in self.public
        )


def _split(host: str) -> tuple[str, int | None]:
    """Name and port; an invalid port is -1.

    >>> _split("[::1]:8765"), _split("localhost"), _split("a:b:c")
    (('::1', 8765), ('localhost', None), ('a:b:c', -1))
    """
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ("" if not rest else "x")
    else:
        name, _, port = host.rpartition(":") if host.count(":") == 1 else (host, "", "")
        if host.count(":") > 1:
            return host, -1
    if not port:
        return name, None
    return name, int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else -1


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Refused(Exception):
    """A request that is answered with an error: HTTP status, code and message of its JSON, more headers."""

    def __init__(
        self, status: int, code: str, message: str, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, tuple(headers)


@dataclass(kw_only=True)
class AccessControl:
    """Checks requests, and begins and ends sessions."""

    names: Names
    access: Access
    sessions: Sessions = field(default_factory=Sessions)
    throttle: LoginThrottle = field(default_factory=LoginThrottle)
    # Without a password all clients share one session: its CSRF token lasts as long as the server.
    shared_session: Session = field(
        default_factory=lambda: Session(secrets.token_urlsafe(32), float("inf"), float("inf"))
    )

    def check(self, scope: Scope, headers: dict[str, str], needs: Needs | None) -> None:
        """Raise ``Refused``, or set ``scope["session"]`` (None for a token), ``["account"]``, ``["identity"]``,
        ``["by_token"]``, ``["host"]`` and ``["secure"]``.

        ``needs``: of the route that will answer; None: there is none, or it declares nothing. ``scope["route_found"]``
        says which.
        """
        path, host = scope["path"], headers.get("host", "").lower()
        if scope.get("duplicate_host") or not self.names.knows(host):
            raise Refused(
                421,
                "wrong_host",
                "the page is not reached by this name: use its IP address, or give streamrec --web-name",
            )
        scope["host"], scope["secure"] = host, self.names.is_secure(host)
        scope["session"], scope["account"] = self._authenticate(scope, headers)
        scope["by_token"] = scope["session"] is None and scope["account"] is not None
        account: Account | None = scope["account"]
        scope["identity"] = ANYONE if account is None else account.identity
        is_open = needs is not None and needs.role is None
        if scope["session"] is None and not scope["by_token"] and not is_open:
            if path in PAGES and scope["type"] == "http" and scope["method"] in SAFE:
                raise Refused(303, "not_logged_in", "log in first", [(b"location", b"/login")])
            raise Refused(401, "not_logged_in", "log in, or send a token: Authorization: Bearer TOKEN")
        if not scope["by_token"]:  # a browser sends no token by itself
            self._check_origin(scope, headers, is_open)
        self._check_needs(scope, needs)

    def _check_needs(self, scope: Scope, needs: Needs | None) -> None:
        """That this client may do what the route needs."""
        if needs is None:
            if scope["route_found"]:
                raise Refused(403, "not_declared", "this route declares no role, and is closed to everyone")
            return  # the application answers that there is nothing at this address
        if needs.role is None:
            return
        who = scope["identity"]
        if not who.role.includes(needs.role):
            raise Refused(403, "not_allowed", f"this needs the role {needs.role}")
        if needs.cameras is Cameras.all and not needs.allows(who):
            raise Refused(403, "not_allowed", "this is for users who see all cameras")
        if needs.cameras is Cameras.named and who.cameras is not None:
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
            named = [*query.get("camera", []), *filter(None, [scope["route_path"].get("camera")])]
            if not named or not all(needs.allows(who, camera) for camera in named):
                # The same answer for a camera that there is not: no names can be guessed.
                raise Refused(404, "not_found", "there is no such camera")

    def _check_origin(self, scope: Scope, headers: dict[str, str], is_open: bool) -> None:
        """That a request which changes something comes from the page itself, and with its CSRF token."""
        changes = scope["type"] == "http" and scope["method"] not in SAFE
        if not changes and scope["type"] != "websocket":
            return
        origin = headers.get("origin")
        if origin is None or not self.names.is_own(origin, scope["host"]):
            raise Refused(403, "wrong_origin", "this may only be asked by the page itself")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "wrong_origin", "this may only be asked by the page itself")
        if changes and not is_open:  # before a log-in there is no token
            session: Session | None = scope["session"]
            given = headers.get("x-csrf-token", "")
            if session is None or not hmac.compare_digest(given.encode(), session.csrf.encode()):
                raise Refused(403, "wrong_csrf_token", "the page is of an earlier session: load it again")
        if (
            changes
            and headers.get("content-type", "application/json").split(";")[0].strip() != "application/json"
        ):
            raise Refused(415, "no_json", "send JSON: Content-Type: application/json")

    def _authenticate(self, scope: Scope, headers: dict[str, str]) -> tuple[Session | None, Account | None]:
        """The session of a request, None with a token, and its account, None on a page without a log-in."""
        if not self.access:
            return self.shared_session, None
        authorization = headers.get("authorization", "")
        if authorization[:7].lower() == "bearer ":
            address = client_of(scope)
            wait = self.throttle.wait(address)
            account = self.access.token_of(authorization[7:].strip())
            if account is not None:
                return None, account  # a valid token is never throttled because of others' wrong ones
            if wait:
                raise _too_often(wait)
            self.throttle.failed(address)
            raise Refused(401, "wrong_token", "this token opens nothing")
        for name in cookie_names(scope["secure"], scope["host"]):
            for secret in cookies_of(headers.get("cookie", ""), name)[:_COOKIES_TRIED]:
                session = self.sessions.find(secret)
                account = None if session is None else self.access.holds(session.credential)
                if session is not None and account is not None:
                    return session, account
        return None, None

    def still_valid(self, scope: Scope) -> bool:
        """Whether the session or token of an open WebSocket is still valid."""
        account: Account | None = scope["account"]
        if account is not None and self.access.holds(account.credential) is None:
            return False
        session: Session | None = scope["session"]
        return scope["by_token"] or (session is not None and self.sessions.holds(session))

    def used(self, scope: Scope) -> None:
        """The client is active: its session does not time out."""
        if scope["session"] is not None and scope["session"] is not self.shared_session:
            self.sessions.use(scope["session"])

    def change_access(self, access: Access) -> None:
        """Other accounts from now on; the sessions of those that were removed or changed end."""
        self.access = access
        self.sessions.keep(access.credentials)

    def log_in(self, scope: Scope, account: Account) -> tuple[bytes, bytes]:
        """Begin a session; the header that sets its cookie."""
        secret, _ = self.sessions.begin(account.credential)
        scope["account"], scope["identity"] = account, account.identity
        return b"set-cookie", _cookie(scope, secret).encode()

    def log_out(self, scope: Scope) -> tuple[bytes, bytes]:
        """End the session; the header that removes its cookie."""
        if scope["session"] is not None and scope["session"] is not self.shared_session:
            self.sessions.end_this(scope["session"])
        return b"set-cookie", f"{_cookie(scope, '')}; Max-Age=0".encode()

    def check_throttle(self, scope: Scope, name: str) -> None:
        """Raise ``Refused`` while this client has to wait after wrong passwords, before it tries this user's."""
        wait = self.throttle.wait(client_of(scope), name)
        if wait:
            raise _too_often(wait)


def _too_often(wait: float) -> Refused:
    seconds = max(1, round(wait + 0.5))
    return Refused(
        429,
        "too_often",
        f"too many wrong tries: wait {seconds} s",
        [(b"retry-after", str(seconds).encode())],
    )


def client_of(scope: Scope) -> str:
    """The client's address; behind a proxy the proxy's, because any client may set a header that says otherwise."""
    return scope["client"][0] if scope.get("client") else ""


def cookie_names(secure: bool, host: str) -> tuple[str, str]:
    """The name of the session's cookie, and the one without a port that is read beside it.

    A browser keeps the cookies of a host together, whatever the port: two pages on one host must not log each
    other out. With https the prefix sees to it that no other host can set it.

    >>> cookie_names(False, "localhost:8765"), cookie_names(True, "cameras.example.org")
    (('streamrec-8765', 'streamrec'), ('__Host-streamrec-443', '__Host-streamrec'))
    """
    port = _split(host)[1] or (443 if secure else 80)
    name = "__Host-streamrec" if secure else "streamrec"
    return f"{name}-{port}", name


def _cookie(scope: Scope, value: str) -> str:
    name, _ = cookie_names(scope["secure"], scope["host"])
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if scope["secure"] else "")


def cookies_of(header: str, name: str) -> list[str]:
    """All values of one cookie, parsed as in RFC 6265: malformed cookies of other programs are skipped.

    >>> cookies_of('prefs={"a":1}; flag; a[b]=c; ; streamrec="x"; streamrec=y', "streamrec")
    ['x', 'y']
    """
    found = []
    for part in header.split(";"):
        key, equals, value = part.partition("=")
        if equals and key.strip(" \t") == name:
            value = value.strip(" \t")
            quoted = len(value) >= 2 and value[0] == value[-1] == '"'
            found.append(value[1:-1] if quoted else value)
    return found
