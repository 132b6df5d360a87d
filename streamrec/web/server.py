"""The page's server: routes, and a thread with a loop of its own, so that recognition never waits for it.

The only module that imports FastAPI and uvicorn (``pip install 'streamrec[web]'``).
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from streamrec.core.files import why
from streamrec.core.text import printable
from streamrec.errors import SettingsError, need
from streamrec.settings.resolve import InForce
from streamrec.web.auth import Access
from streamrec.web.connections import Connections, Listener, RateLimitedLog, Stage, most_connections
from streamrec.web.live import LiveState, entry_as_json
from streamrec.web.middleware import (
    MOST_BODY,
    MOST_HEAD,
    AccessMiddleware,
    App,
    Names,
    Receive,
    Scope,
    Send,
    error_body,
)
from streamrec.web.routes import EVENTS_A_PAGE, Past, make_app
from streamrec.web.websocket_hub import MOST_VIEWERS, WebSocketHub

need("uvicorn", extra="web"), need("websockets", extra="web")
need("httptools", extra="web")

import uvicorn  # noqa: E402
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: E402
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol  # noqa: E402

HOST, PORT = "127.0.0.1", 8765
_START_SECONDS = 10.0
_HEAD_SECONDS = 10.0  # for the head of a request to come in whole
_REST_SECONDS = 2.0  # for the rest of a body that nobody waits for any more
_MOST_UNREAD = MOST_HEAD + 2 * MOST_BODY + 256 * 1024  # bytes of one request, and what is read with them
_PIPELINED = 16  # requests that may wait for the answer to one before them


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """Where the page listens, and who may look.

    >>> WebSettings(host="0.0.0.0")
    Traceback (most recent call last):
    ...
    streamrec.errors.SettingsError: --web 0.0.0.0:8765 is open to the network: it needs a password or a token; \
make a file of them with `streamrec access page.access`, and give --web-access page.access
    """

    host: str = HOST
    port: int = PORT  # 0: a free one
    access: Access = field(default_factory=Access)
    access_file: Path | None = None  # where they stand: read again when it changes
    public: tuple[str, ...] = ()  # addresses under which a proxy or another name leads here
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.access:
            raise SettingsError(
                f"--web {self.host}:{self.port} is open to the network: it needs a password or a token; "
                "make a file of them with `streamrec access page.access`, and give --web-access page.access"
            )
        if self.public and not self.access:
            raise SettingsError("--web-name leads others here: it needs --web-access, a password or a token")
        for address in self.public:
            if not re.fullmatch(r"https?://[^/?#@\s]+", address):
                raise SettingsError(f"--web-name {address}: give an address like https://cameras.example.org")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", self.host) is not None


def parse_address(text: str) -> tuple[str, int]:
    """Host and port.

    >>> parse_address("0.0.0.0:80"), parse_address(":8080"), parse_address("[::]:8765")
    (('0.0.0.0', 80), ('127.0.0.1', 8080), ('::', 8765))
    """
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([\w.-]*)):(\d{1,5})", text)
    if not found or int(found[3]) > 65_535:
        raise SettingsError(f"--web {text}: give HOST:PORT, like 127.0.0.1:8765")
    return found[1] or found[2] or HOST, int(found[3])


# -- what the API says, for its OpenAPI page


class Server:
    """The page, in a thread of its own from ``start`` to ``stop``."""

    def __init__(
        self,
        settings: WebSettings,
        live: LiveState,
        *,
        history: Any = None,
        file: Path | InForce | None = None,
        log: Callable[[str], None] = logging.getLogger("streamrec").error,
    ) -> None:
        self.settings = settings
        self.live = live
        self.most = most_connections()
        self.opened = 0  # files of evidence that are being read
        self._limited_log = RateLimitedLog(log)
        self.past = Past(live, history)
        self.file = file  # cameras.toml; None: the cameras cannot be changed here
        self.hub = WebSocketHub(
            live,
            lambda: [entry_as_json(entry) for entry in self.past.query(limit=EVENTS_A_PAGE)],
            None if history is None else lambda: [entry_as_json(entry) for entry in self.past.changes()],
            lambda sentence: self.log(live.hide(sentence)),
            min(MOST_VIEWERS, self.most - self.most // 5),  # the API has room beside them
        )
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def log(self, sentence: str, kind: str | None = None) -> None:
        """Say what goes wrong here, the same (or the same kind) at most once a minute."""
        self._limited_log(kind or sentence, sentence)

    @property
    def address(self) -> str:
        """Where a browser finds it on this machine."""
        assert self._socket is not None
        port = self._socket.getsockname()[1]
        host = self.settings.host
        host = {"0.0.0.0": HOST, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"{'https' if self.settings.certificate else 'http'}://{host}:{port}/"

    def start(self) -> None:
        """Listen; raises ``SettingsError`` where that cannot be."""
        self._socket = _listen(self.settings.host, self.settings.port)
        try:
            config = self._config(self._socket.getsockname()[1])
        except BaseException:
            self._socket.close()
            raise
        server = self._server = _Quiet(config, Connections(self.most, self.log), self._unexpected)
        sockets = [self._socket]
        self._thread = threading.Thread(target=server.run, args=(sockets,), name="page", daemon=True)
        self._thread.start()
        ends = time.monotonic() + _START_SECONDS
        while not server.started and self._thread.is_alive() and time.monotonic() < ends:
            time.sleep(0.01)
        if not server.started:
            raise SettingsError(f"the page did not start at {self.settings.host}:{self.settings.port}")

    def stop(self) -> None:
        """End the thread, within two seconds."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(2.0)
        if self._socket is not None:
            self._socket.close()

    def _unexpected(self, context: dict[str, Any]) -> None:
        """What nobody caught in the loop: a sentence, where asyncio would write a traceback each time."""
        error = context.get("exception")
        if isinstance(error, OSError) and {"transport", "protocol", "socket"} & set(context):
            return  # a connection went, in whatever way
        self._broken(error or RuntimeError(context.get("message", "")))

    def _broken(self, error: BaseException) -> None:
        name = type(error).__name__
        self.log(printable(self.live.hide(f"the page: {name}: {error}")), f"broken {name}")

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _quick(self, app: Any) -> App:
        """What is asked often is answered before the router: of a request that costs most."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] != "/api/v1/cameras" or scope["method"] != "GET":
                await app(scope, receive, send)
                return
            body = self.hub.look()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return answer

    def _safe(self, app: App) -> App:
        """Whatever goes wrong is told in a sentence, and answered: uvicorn would write a traceback."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            begun = False

            async def note(message: Any) -> None:
                nonlocal begun
                begun = True
                await send(message)

            try:
                await app(scope, receive, note)
            except Exception as error:
                if scope["type"] == "lifespan":
                    raise
                self._broken(error)
                if scope["type"] == "http" and not begun:
                    body = error_body("broken", "something went wrong here; the log says what")
                    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
                    await send({"type": "http.response.start", "status": 500, "headers": headers})
                    await send({"type": "http.response.body", "body": body})
                elif scope["type"] == "http":
                    raise  # half an answer: the connection is closed

        return answer

    def _config(self, port: int) -> uvicorn.Config:
        settings = self.settings
        names = Names(port=port, secure=settings.certificate is not None, public=settings.public)
        guard = self.middleware = AccessMiddleware(app=None, names=names, access=settings.access)  # type: ignore[arg-type]
        guard.app = self._quick(make_app(self, guard))
        config = uvicorn.Config(
            self._safe(guard),
            log_config=None,
            log_level="critical",  # what goes wrong is told below
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,  # else whoever is on this machine may say where it comes from
            loop="asyncio",
            http=_Http,
            ws=_Socket,
            ws_max_size=64 * 1024,
            ws_max_queue=8,
            ws_per_message_deflate=False,  # a JPEG is small already
            timeout_keep_alive=20,
            timeout_graceful_shutdown=1,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"{settings.certificate} cannot be used as a certificate: {error}") from error
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        return config


class _Http(HttpToolsProtocol):
    """A connection that does not bring the head of a request in time, or brings too much, is closed."""

    _closing: asyncio.TimerHandle | None = None
    _in_head = True
    _unread = 0  # bytes since the last request was whole
    _since = 0.0
    _asked = False

    @property
    def stage(self) -> tuple[Stage, float]:
        """What it does, and since when."""
        if self.cycle is None:
            return Stage.greeting, self._since
        if not self.cycle.response_complete:
            return (Stage.sending if self.cycle.more_body else Stage.busy), self._since
        return Stage.idle, self._since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = time.monotonic()
        self._hurry(_HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        if self._unread > _MOST_UNREAD:
            self.transport.abort()
            return
        super().data_received(data)
        if self._in_head and self._unread > MOST_HEAD and not self.transport.is_closing():
            self._refuse(431, "too_large", f"address and headers may have {MOST_HEAD} bytes at most")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._hurry(_HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._be_patient()
        self._in_head, self._since = False, time.monotonic()
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many requests at once")  # answered with 400 below
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._unread = 0
        self._be_patient()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._since = time.monotonic()
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # those that wait are answered before more are read
        elif self.cycle.more_body and not self.transport.is_closing():
            self._hurry(_REST_SECONDS)

    def send_400_response(self, msg: str) -> None:
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
        self._be_patient()
        super().connection_lost(exc)

    def _hurry(self, seconds: float) -> None:
        if self._closing is None:
            self._closing = self.loop.call_later(seconds, self.transport.abort)

    def _be_patient(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None


class _Socket(WebSocketsSansIOProtocol):
    """A WebSocket whose other side makes no queue here, whatever it sends and does not read."""

    @property
    def stage(self) -> tuple[Stage, float]:
        """What it does, and since when."""
        return Stage.busy, 0.0

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except Exception:  # nothing that somebody sends is worth a traceback
            self.transport.abort()

    def handle_ping(self) -> None:
        output = self.conn.data_to_send()
        if self.writable.is_set():  # who reads nothing gets no answers
            self.transport.write(b"".join(output))


class _Quiet(uvicorn.Server):
    """Signals are the business of the thread that recognizes, and connections are accepted by ``Listener``."""

    def __init__(
        self,
        config: uvicorn.Config,
        connections: Connections,
        unexpected: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__(config)
        self._connections, self._unexpected = connections, unexpected

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._unexpected(context))
        await super().startup(sockets=[])

        def protocol() -> asyncio.Protocol:
            state = self.lifespan.state
            return _Http(config=self.config, server_state=self.server_state, app_state=state, _loop=loop)

        for sock in sockets or []:
            listener = Listener(sock, protocol, self._connections, secure=self.config.ssl)
            self.servers.append(listener)  # type: ignore[arg-type]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is said aloud: asyncio asks for it before it lets small answers go at once (TCP_NODELAY), and
    # without that each waits 40 ms for the other side's acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise SettingsError(
            f"the page cannot listen at {host}:{port}: {why(error)}; give --web another HOST:PORT"
        ) from error
    return made
