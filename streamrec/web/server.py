"""The page's server: uvicorn in a thread with an event loop of its own, so that recognition never waits for it.

Needs ``pip install 'streamrec[web]'``.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamrec.core.messages import why
from streamrec.core.text import printable
from streamrec.errors import SettingsError, need
from streamrec.outputs.fleet.records import FleetService
from streamrec.settings.resolve import InForce
from streamrec.web.access_control import AccessControl, App, Names, Receive, Scope, Send
from streamrec.web.audit import AuditLog, audit_path
from streamrec.web.auth import Access
from streamrec.web.connections import Connections, Listener, RateLimitedLog, most_connections
from streamrec.web.live import LiveState
from streamrec.web.middleware import AccessMiddleware, error_body
from streamrec.web.protocols import HttpProtocol, WebSocketProtocol
from streamrec.web.roles import identity_of
from streamrec.web.routes import PageContext, make_app
from streamrec.web.websocket_hub import MOST_VIEWERS, WebSocketHub

need("uvicorn", extra="web")

import uvicorn  # noqa: E402

if TYPE_CHECKING:
    from streamrec.web.receiver_routes import ReceiverDesk
    from streamrec.web.teach_routes import TeachDesk

HOST, PORT = "127.0.0.1", 8765
_START_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """Where the page listens, and who may view it.

    >>> WebSettings(host="0.0.0.0")
    Traceback (most recent call last):
    ...
    streamrec.errors.SettingsError: --web 0.0.0.0:8765 is open to the network: it needs a password or a token; \
make a file of them with `streamrec access page.access`, and give --web-access page.access
    """

    host: str = HOST
    port: int = PORT  # 0: a free one
    access: Access = field(default_factory=Access)
    access_file: Path | None = None  # the file of ``access``, read again when it changes
    public: tuple[str, ...] = ()  # addresses of a proxy or other names that lead here
    certificate: Path | None = None
    key: Path | None = None
    local: Path | None = None  # a folder whose videos the page may add as cameras, and webcams with it

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.access:
            raise SettingsError(
                f"--web {self.host}:{self.port} is open to the network: it needs a password or a token; "
                "make a file of them with `streamrec access page.access`, and give --web-access page.access"
            )
        if self.public and not self.access:
            raise SettingsError("--web-name leads others here: it needs --web-access, a password or a token")
        if self.local is not None and not self.local.is_dir():
            raise SettingsError(f"--web-local {self.local}: there is no such folder")
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


class Server:
    """The page, in a thread of its own from ``start`` to ``stop``."""

    def __init__(
        self,
        settings: WebSettings,
        live: LiveState,
        *,
        file: Path | InForce | None = None,
        teach: TeachDesk | None = None,
        fleet: FleetService | None = None,
        receivers: ReceiverDesk | None = None,
        log: Callable[[str], None] = logging.getLogger("streamrec").error,
    ) -> None:
        self.settings = settings
        self.live = live
        self.file = file  # cameras.toml; None: the cameras cannot be changed on the page
        self.teach = teach  # the lesson; None: there is none
        self.fleet = fleet  # the head of a fleet; None: the cameras run in this process
        self.receivers = receivers  # of notifications; None: there are none
        self.most = most_connections()
        self._limited_log = RateLimitedLog(log)
        self.hub = WebSocketHub(
            live,
            fleet=fleet,
            log_error=self._log_error,
            most=min(MOST_VIEWERS, self.most - self.most // 5),  # the API has room beside them
        )
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def log(self, message: str, kind: str | None = None) -> None:
        """Report a failure; the same one, or the same ``kind``, at most once a minute."""
        self._limited_log(kind or message, message)

    @property
    def address(self) -> str:
        """The URL for a browser on this machine."""
        assert self._socket is not None
        port = self._socket.getsockname()[1]
        host = self.settings.host
        host = {"0.0.0.0": HOST, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"{'https' if self.settings.certificate else 'http'}://{host}:{port}/"

    def start(self) -> None:
        """Listen; raises ``SettingsError`` where that is not possible."""
        self._socket = _listen(self.settings.host, self.settings.port)
        try:
            config = self._config(self._socket.getsockname()[1])
        except BaseException:
            self._socket.close()
            raise
        server = self._server = _PageServer(config, Connections(self.most, self.log), self._unexpected)
        sockets = [self._socket]
        self._thread = threading.Thread(target=server.run, args=(sockets,), name="page", daemon=True)
        self._thread.start()
        ends = time.monotonic() + _START_SECONDS
        while not server.started and self._thread.is_alive() and time.monotonic() < ends:
            time.sleep(0.01)
        if not server.started:
            raise SettingsError(f"the page did not start at {self.settings.host}:{self.settings.port}")

    def stop(self) -> None:
        """End the thread, within two seconds, and a history in memory."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(2.0)
        if self._socket is not None:
            self._socket.close()
        self.live.close()

    def _unexpected(self, context: dict[str, Any]) -> None:
        """Log an uncaught error of the event loop in one line, where asyncio would print a traceback."""
        error = context.get("exception")
        if isinstance(error, OSError) and {"transport", "protocol", "socket"} & set(context):
            return  # a connection was lost
        self._log_error(error or RuntimeError(context.get("message", "")))

    def _log_error(self, error: BaseException) -> None:
        name = type(error).__name__
        self.log(printable(self.live.hide(f"the page: {name}: {error}")), f"broken {name}")

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _shortcut(self, app: Any) -> App:
        """Answer the most frequent request before the router, which would take most of the time."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] != "/api/v1/cameras" or scope["method"] != "GET":
                await app(scope, receive, send)
                return
            body = self.hub.cameras_now(identity_of(scope))
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return answer

    def _safe(self, app: App) -> App:
        """Log an unexpected error in one line, and answer it: uvicorn would print a traceback."""

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
                self._log_error(error)
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
        self.access = AccessControl(names=names, access=settings.access)
        history = None if self.live.history.in_memory else self.live.history.path
        audit = AuditLog(audit_path(settings.access_file, history), log=self.log)
        self.context = PageContext(
            live=self.live,
            hub=self.hub,
            access=self.access,
            access_file=settings.access_file,
            cameras_file=self.file,
            teach=self.teach,
            fleet=self.fleet,
            receivers=self.receivers,
            audit=audit,
            local=settings.local,
            most_connections=self.most,
            log=self.log,
            log_error=self._log_error,
        )
        app, needs_of = make_app(self.context)
        config = uvicorn.Config(
            self._safe(AccessMiddleware(self._shortcut(app), self.access, needs_of, audit)),
            log_config=None,
            log_level="critical",  # errors are logged here
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,  # else any program on this machine could forge a client address
            loop="asyncio",
            http=HttpProtocol,
            ws=WebSocketProtocol,
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


class _PageServer(uvicorn.Server):
    """uvicorn without signal handlers (the main thread has them), and with ``Listener`` accepting connections."""

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
            return HttpProtocol(
                config=self.config, server_state=self.server_state, app_state=state, _loop=loop
            )

        for sock in sockets or []:
            listener = Listener(sock, protocol, self._connections, secure=self.config.ssl)
            self.servers.append(listener)  # type: ignore[arg-type]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol given, asyncio sets TCP_NODELAY; without it each small answer waits 40 ms for the client's
    # acknowledgement.
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
