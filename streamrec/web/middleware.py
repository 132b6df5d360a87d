"""The ASGI middleware in front of the page: access control, size limits, security headers. Plain ASGI, so that it
costs little."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from streamrec.web.access_control import AccessControl, App, Message, Receive, Refused, Scope, Send, client_of
from streamrec.web.audit import AuditLog, Deed
from streamrec.web.roles import Needs, details

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
    """Checks each request, and passes it on or refuses it; adds the security headers to each answer.

    ``needs_of`` finds what the route of a request declares. What changes something is written into ``audit`` before the
    client gets the answer.
    """

    def __init__(
        self, app: App, control: AccessControl, needs_of: Callable[[Scope], Needs | None], audit: AuditLog
    ) -> None:
        self.app, self.control, self.audit = app, control, audit
        self._needs_of = needs_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        needs = scope["needs"] = self._needs_of(scope)
        try:
            head = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
            if head + sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEAD:
                raise Refused(431, "too_large", f"address and headers may have {MOST_HEAD} bytes at most")
            self.control.check(scope, headers, needs)
        except Refused as refused:
            await self._note(scope, needs, refused.status, refused.code)
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
                await self._note(scope, needs, message["status"])
            await send(message)

        try:
            receive_body = await _read_body(receive, headers, scope)
        except Refused as refused:
            await _answer(scope, receive, send, refused)
            return
        await self.app(scope, receive_body, send_with_headers)

    async def _note(self, scope: Scope, needs: Needs | None, status: int, code: str = "") -> None:
        """Write a change, or a refused one, into the audit log."""
        what = "" if needs is None else needs.audit
        wrong_token = code == "wrong_token"
        if not (wrong_token or (what and (status < 400 or status in (401, 403)))):
            return
        if code in ("not_logged_in", "wrong_host", "wrong_origin", "wrong_csrf_token"):
            return  # it did not come from an account: any program of the network could fill the log
        account = scope.get("account")
        by = "anyone" if account is None and not self.control.access else "token" if wrong_token else "user"
        deed = Deed(
            what="log-in" if wrong_token else what,
            who="" if account is None else account.name,
            by=by if account is None else str(account.kind),
            address=client_of(scope),
            about={**_about(scope, needs), **scope.get("about", {})},
            done=status < 400,
        )
        await asyncio.to_thread(self.audit.add, deed)


def _about(scope: Scope, needs: Needs | None) -> dict[str, str]:
    """The fields of a request that its route declares for the audit log."""
    if needs is None or not needs.fields:
        return {}
    body: Any = None
    try:
        body = json.loads(scope.get("body", b""))
    except (ValueError, RecursionError):
        body = None
    return details(needs, body if isinstance(body, dict) else {}, scope.get("route_path", {}))


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


async def _read_body(receive: Receive, headers: dict[str, str], scope: Scope) -> Receive:
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
    scope["body"] = bytes(body)

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
