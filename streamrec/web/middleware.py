"""The ASGI middleware in front of the page: access control, size limits, security headers. Plain ASGI, so that it
costs little."""

from __future__ import annotations

import asyncio
import json

from streamrec.web.access_control import AccessControl, App, Message, Receive, Refused, Scope, Send

MOST_BODY = 64 * 1024  # bytes
MOST_HEAD = 64 * 1024  # bytes: address and headers together
BODY_SECONDS = 15.0  # for a body to arrive whole

# No content from elsewhere, no inline script, no frame around the page, no script that writes HTML.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
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


class AccessMiddleware:
    """Checks each request, and passes it on or refuses it; adds the security headers to each answer."""

    def __init__(self, app: App, control: AccessControl) -> None:
        self.app, self.control = app, control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        try:
            head = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
            if head + sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEAD:
                raise Refused(431, "too_large", f"address and headers may have {MOST_HEAD} bytes at most")
            self.control.check(scope, headers)
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
    """Read the body, counted while it arrives; a ``receive`` that returns it. Raises ``Refused``."""
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
        return await receive()  # returns at the end of the connection

    return give


def error_body(code: str, message: str) -> bytes:
    """The JSON of every error."""
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
        headers.append((b"connection", b"close"))  # the rest of the request is not read
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _close(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    await receive()  # websocket.connect
    await send({"type": "websocket.close", "code": 1008, "reason": refused.code})  # before accept: HTTP 403
