"""The page's HTTP and WebSocket protocols: uvicorn's, with limits against slow and greedy clients."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

from streamrec.errors import need
from streamrec.web.connections import Stage
from streamrec.web.middleware import MOST_BODY, MOST_HEAD, error_body

need("uvicorn", extra="web"), need("websockets", extra="web")
need("httptools", extra="web")

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: E402
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol  # noqa: E402

_HEAD_SECONDS = 10.0  # for the head of a request to arrive whole
_REST_SECONDS = 2.0  # for the rest of a body after its request was answered
_MOST_UNREAD = MOST_HEAD + 2 * MOST_BODY + 256 * 1024  # bytes of one request, and what is read with them
_PIPELINED = 16  # requests that may wait for the answer to an earlier one


class HttpProtocol(HttpToolsProtocol):
    """HTTP with limits: a connection that sends its request head too slowly, or too much data, is closed."""

    _closing: asyncio.TimerHandle | None = None
    _in_head = True
    _unread = 0  # bytes since the last complete request
    _since = 0.0

    @property
    def stage(self) -> tuple[Stage, float]:
        """What the connection does, and since when."""
        if self.cycle is None:
            return Stage.greeting, self._since
        if not self.cycle.response_complete:
            return (Stage.sending if self.cycle.more_body else Stage.busy), self._since
        return Stage.idle, self._since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline for the first request head."""
        super().connection_made(transport)
        self._since = time.monotonic()
        self._set_deadline(_HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Close the connection where a request is too long."""
        self._unread += len(data)
        if self._unread > _MOST_UNREAD:
            self.transport.abort()
            return
        super().data_received(data)
        if self._in_head and self._unread > MOST_HEAD and not self.transport.is_closing():
            self._refuse(431, "too_large", f"address and headers may have {MOST_HEAD} bytes at most")

    def on_message_begin(self) -> None:
        """Start the deadline for the request head."""
        super().on_message_begin()
        self._in_head = True
        self._set_deadline(_HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """Limit the pipelined requests."""
        self._clear_deadline()
        self._in_head, self._since = False, time.monotonic()
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many requests at once")  # answered with 400 below
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unread = 0
        self._clear_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the deadline for the rest of a body that is no longer needed."""
        self._since = time.monotonic()
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # pipelined requests are answered before more are read
        elif self.cycle.more_body and not self.transport.is_closing():
            self._set_deadline(_REST_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answer in JSON, as everywhere."""
        self._refuse(400, "bad_request", "this is no request in HTTP/1.1, or too many of them at once")

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self.transport.is_closing():
            return
        body = error_body(code, message)
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clear the deadline."""
        self._clear_deadline()
        super().connection_lost(exc)

    def _set_deadline(self, seconds: float) -> None:
        if self._closing is None:
            self._closing = self.loop.call_later(seconds, self.transport.abort)

    def _clear_deadline(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose client cannot build up a queue here, whatever it sends or does not read."""

    @property
    def stage(self) -> tuple[Stage, float]:
        """What the connection does, and since when."""
        return Stage.busy, 0.0

    def data_received(self, data: bytes) -> None:
        """Close the connection where the data is malformed."""
        try:
            super().data_received(data)
        except Exception:  # malformed data is not worth a traceback
            self.transport.abort()

    def handle_ping(self) -> None:
        """Answer a ping, unless the client does not read."""
        output = self.conn.data_to_send()
        if self.writable.is_set():  # a client that reads nothing gets no answers
            self.transport.write(b"".join(output))
