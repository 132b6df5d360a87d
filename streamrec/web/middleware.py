"""What stands before the page: hosts, origins, sizes, sessions, headers. Plain ASGI, so that it costs little.

In this order a request is looked at:

1. **Host.** Only names under which the page is meant to be reached, or an IP address as such: a page elsewhere whose
   name was made to point here (DNS rebinding) is refused before anything is read.
2. **Session or token**, wherever the page has a password: all but the log-in, its files and ``/healthz``.
3. **Origin and CSRF token**, for all that changes something and for WebSockets; a browser sends its cookies along
   whoever asks, so that a cookie alone proves nothing.
4. **Size.** A body is counted while it comes.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from streamrec.web.auth import Access, LoginThrottle, Session, Sessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 64 * 1024  # bytes
MOST_HEAD = 64 * 1024  # bytes: address and headers together
BODY_SECONDS = 15.0  # for a body to come in whole
SAFE = ("GET", "HEAD", "OPTIONS")
OPEN_PATHS = ("/healthz", "/login", "/api/v1/login", "/favicon.ico")
OPEN_FOLDERS = ("/static/",)
PAGES = ("/", "/api")  # who is not logged in is led to the log-in

# Nothing from elsewhere, no inline script, no frame around it, and no script that writes HTML.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_COOKIES_TRIED = 10  # of one name
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
]


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
    secure: bool = False  # whether the server itself speaks https
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
        """Whether an Origin header is that of the page itself, as reached by this host."""
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
    """Name and port; a port that is none is -1.

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
    """A request that is answered here and now."""

    def __init__(
        self, status: int, code: str, message: str, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, tuple(headers)


@dataclass(kw_only=True)
class AccessMiddleware:
    """The ASGI application in front of the page's. ``scope["session"]`` is who asks: None for a token."""

    app: App
    names: Names
    access: Access
    sessions: Sessions = field(default_factory=Sessions)
    throttle: LoginThrottle = field(default_factory=LoginThrottle)
    # Without a password everybody is one: its CSRF token lasts as long as the server.
    everybody: Session = field(
        default_factory=lambda: Session(secrets.token_urlsafe(32), float("inf"), float("inf"))
    )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at a request, and pass it on or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        try:
            head = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
            if head + sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEAD:
                raise Refused(431, "too_large", f"address and headers may have {MOST_HEAD} bytes at most")
            self._look_at(scope, headers)
        except Refused as refused:
            await (_close if scope["type"] == "websocket" else _answer)(scope, receive, send, refused)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        private = not scope["path"].startswith("/static/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
                if private and not any(name == b"cache-control" for name, _ in message["headers"]):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        try:
            receive_body = await _read_body(receive, headers)
        except Refused as refused:
            await _answer(scope, receive, send, refused)
            return
        await self.app(scope, receive_body, send_with_headers)

    def _look_at(self, scope: Scope, headers: dict[str, str]) -> None:
        path, host = scope["path"], headers.get("host", "").lower()
        if scope.get("duplicate_host") or not self.names.knows(host):
            raise Refused(
                421,
                "wrong_host",
                "the page is not reached by this name: use its IP address, or give streamrec --web-name",
            )
        scope["host"], scope["secure"] = host, self.names.is_secure(host)
        scope["session"], scope["by_token"] = self._who(scope, headers)
        is_open = path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)
        if scope["session"] is None and not scope["by_token"] and not is_open:
            if path in PAGES and scope["type"] == "http" and scope["method"] in SAFE:
                raise Refused(303, "not_logged_in", "log in first", [(b"location", b"/login")])
            raise Refused(401, "not_logged_in", "log in, or send a token: Authorization: Bearer TOKEN")
        if scope["by_token"]:
            return  # a browser sends no token by itself
        changes = scope["type"] == "http" and scope["method"] not in SAFE
        if not changes and scope["type"] != "websocket":
            return
        origin = headers.get("origin")
        if origin is None or not self.names.is_own(origin, host):
            raise Refused(403, "wrong_origin", "this may only be asked by the page itself")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "wrong_origin", "this may only be asked by the page itself")
        if changes and path != "/api/v1/login":
            session: Session | None = scope["session"]
            given = headers.get("x-csrf-token", "")
            if session is None or not hmac.compare_digest(given.encode(), session.csrf.encode()):
                raise Refused(403, "wrong_csrf_token", "the page is of an earlier session: load it again")
        if (
            changes
            and headers.get("content-type", "application/json").split(";")[0].strip() != "application/json"
        ):
            raise Refused(415, "no_json", "send JSON: Content-Type: application/json")

    def _who(self, scope: Scope, headers: dict[str, str]) -> tuple[Session | None, bool]:
        if not self.access:
            return self.everybody, False
        authorization = headers.get("authorization", "")
        if authorization[:7].lower() == "bearer ":
            address = client_of(scope)
            wait = self.throttle.wait(address)
            scope["token"] = self.access.token_of(authorization[7:].strip())
            if scope["token"] is not None:
                return None, True  # who knows it is never kept waiting by those who do not
            if wait:
                raise _too_often(wait)
            self.throttle.wrong(address)
            raise Refused(401, "wrong_token", "this token opens nothing")
        for name in cookie_names(scope["secure"], scope["host"]):
            for secret in cookies_of(headers.get("cookie", ""), name)[:_COOKIES_TRIED]:
                session = self.sessions.find(secret)
                if session is not None:
                    return session, False
        return None, False

    def is_in(self, scope: Scope) -> bool:
        """Whether whoever was let in would be now: asked for as long as it looks."""
        if scope["by_token"]:
            return scope["token"] in self.access.ways
        session: Session | None = scope["session"]
        return session is not None and self.sessions.holds(session)

    def used(self, scope: Scope) -> None:
        """Whoever was let in is there still."""
        if scope["session"] is not None and scope["session"] is not self.everybody:
            self.sessions.use(scope["session"])

    def change_access(self, access: Access) -> None:
        """Other ways in from now on: what was begun with those that are gone ends."""
        self.access = access
        self.sessions.keep(access.ways)

    def log_in(self, scope: Scope, way: bytes = b"") -> tuple[bytes, bytes]:
        """Begin a session; the header that sets its cookie."""
        secret, _ = self.sessions.begin(way)
        return b"set-cookie", _cookie(scope, secret).encode()

    def log_out(self, scope: Scope) -> tuple[bytes, bytes]:
        """End the session; the header that removes its cookie."""
        if scope["session"] is not None and scope["session"] is not self.everybody:
            self.sessions.end_this(scope["session"])
        return b"set-cookie", f"{_cookie(scope, '')}; Max-Age=0".encode()


def _too_often(wait: float) -> Refused:
    seconds = max(1, round(wait + 0.5))
    return Refused(
        429,
        "too_often",
        f"too many wrong throttle: wait {seconds} s",
        [(b"retry-after", str(seconds).encode())],
    )


def check_tries(throttle: LoginThrottle, address: str) -> None:
    """Raise ``Refused`` where an address has to wait."""
    wait = throttle.wait(address)
    if wait:
        raise _too_often(wait)


def client_of(scope: Scope) -> str:
    """The address of who asks; behind a proxy that of the proxy: it is not told by a header that anybody may set."""
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
    """All values of one cookie, read as browsers send them (RFC 6265): what others have written stops nothing.

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


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        if name == "host" and name in found:
            scope["duplicate_host"] = True
        found[name] = (
            f"{found[name]}; {value.decode('latin-1')}"
            if name == "cookie" and name in found
            else value.decode("latin-1")
        )
    return found


async def _read_body(receive: Receive, headers: dict[str, str]) -> Receive:
    """The whole body, counted while it comes, and a ``receive`` that gives it; who is too long or slow is refused."""
    length = headers.get("content-length", "0")
    too_large = Refused(413, "too_large", f"a body may have {MOST_BODY} bytes at most")
    if not length.isascii() or not length.isdecimal() or int(length[:12]) > MOST_BODY:
        raise too_large
    body, first, more = bytearray(), True, length != "0" or "transfer-encoding" in headers
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message["type"] == "http.request" and message.get("more_body", False)
                if len(body) > MOST_BODY:
                    raise too_large
    except TimeoutError as error:
        raise Refused(408, "too_slow", "the body did not come") from error

    async def give() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": bytes(body), "more_body": False}
        return await receive()  # waits for the end of the connection

    return give


def error_body(code: str, message: str) -> bytes:
    """What every error is, as JSON."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()


async def _answer(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    body = error_body(refused.code, refused.message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *_HEADERS,
        *refused.headers,
    ]
    if refused.status in (408, 413, 431):
        headers.append((b"connection", b"close"))  # what still comes is not read
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _close(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    await receive()  # websocket.connect
    await send({"type": "websocket.close", "code": 1008, "reason": refused.code})  # before accept: HTTP 403
