"""The page's server: routes, and a thread with a loop of its own, so that recognition never waits for it.

The only module that imports FastAPI and uvicorn (``pip install 'streamrec[web]'``).
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from streamrec.core.files import open_regular, why
from streamrec.core.text import printable
from streamrec.errors import SettingsError, need
from streamrec.resolve import InForce
from streamrec.serve import jpeg
from streamrec.serve.access import Access, AccessFile
from streamrec.serve.connections import Connections, Listener, Stage, Teller, most_connections
from streamrec.serve.guard import (
    MOST_BODY,
    MOST_HEAD,
    App,
    Guard,
    Names,
    Receive,
    Refused,
    Scope,
    Send,
    check_tries,
    client_of,
    error_body,
)
from streamrec.serve.live import Entry, Live, as_json, entry_as_json, metrics
from streamrec.serve.viewers import MOST_VIEWERS, VERSION, Desk

need("fastapi", extra="web"), need("uvicorn", extra="web"), need("websockets", extra="web")
need("httptools", extra="web")

import uvicorn  # noqa: E402
from fastapi import Body, FastAPI, Query, Request, WebSocket, WebSocketDisconnect  # noqa: E402
from fastapi import Path as InPath  # noqa: E402
from fastapi.exceptions import RequestValidationError  # noqa: E402
from fastapi.responses import FileResponse, Response  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402
from starlette.exceptions import HTTPException  # noqa: E402
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: E402
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol  # noqa: E402

HOST, PORT = "127.0.0.1", 8765
FOLDER = Path(__file__).parent / "page"
_START_SECONDS = 10.0
_HEAD_SECONDS = 10.0  # for the head of a request to come in whole
_REST_SECONDS = 2.0  # for the rest of a body that nobody waits for any more
_MOST_UNREAD = MOST_HEAD + 2 * MOST_BODY + 256 * 1024  # bytes of one request, and what is read with them
_PIPELINED = 16  # requests that may wait for the answer to one before them
_ACCESS_SECONDS = 0.5  # between two looks at the file of access
_EVENTS_A_PAGE = 100
_LONGEST_NAME = 8_000  # letters of a camera's
_LOGINS_AT_ONCE = 3  # hashes that wait to be made
_DESCRIPTORS = Path("/dev/fd").exists()  # not on Windows
_VIDEOS = {".mp4": "video/mp4", ".webm": "video/webm"}
_PICTURES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}


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


class Error(BaseModel):
    """What went wrong."""

    code: str
    message: str


class Errors(BaseModel):
    """Every answer that is no success."""

    error: Error


class Running(BaseModel):
    """An action that runs."""

    label: str
    started: datetime


class CameraNow(BaseModel):
    """How a camera is now."""

    name: str
    state: str = Field(description="connecting, live, stalled, reconnecting, ended or failed")
    reason: str = Field(description="in words, where it is not live; never holds a password")
    seconds: float | None = Field(description="since this state began")
    frames: int = Field(description="pictures that the model looked at, since it was added")
    fps: float = Field(description="results a second, over the last five seconds")
    latency: float | None = Field(description="median seconds from picture to prediction, over five seconds")
    dropped: int = Field(description="frames for which the machine had no time")
    refused: int = Field(description="torn, frozen or late pictures")
    reconnects: int
    running: list[Running]
    labels: list[str] = Field(description="what its model can say, in the model's order")
    label: str | None
    confidence: float | None
    top: list[tuple[str, float | None]] = Field(description="the likeliest labels, at most five")
    unknown: bool = Field(description="whether the picture is unlike those that the model learned from")
    repetitions: int | None
    width: int | None
    height: int | None


class CamerasNow(BaseModel):
    """All cameras."""

    version: int
    alive: bool = Field(description="whether the loop that recognizes comes round")
    cameras: list[CameraNow]


class EventJson(BaseModel):
    """One event: it runs, or it is over."""

    id: str
    camera: str
    model: str | None = None
    label: str
    started: datetime
    ended: datetime | None = Field(description="null: it still runs")
    duration: float | None = Field(description="seconds")
    confidence: float
    repetitions: int | None
    interrupted: bool = False
    clip: str | None = Field(description="address of the video, where there is one")
    thumbnail: str | None


class EventsJson(BaseModel):
    """A page of events, the newest first."""

    version: int
    events: list[EventJson]
    more: str | None = Field(description="give it as `after` for the next page; null: that was all")


class SessionJson(BaseModel):
    """Who asks, and what there is."""

    version: int
    csrf: str | None = Field(description="send it as X-CSRF-Token with all that changes something")
    password: bool = Field(description="whether there is a log-in")
    editable: bool = Field(description="whether cameras can be changed here")
    history: bool = Field(description="whether events outlive a restart")
    software: str


class Health(BaseModel):
    """Whether it works."""

    status: str


class Password(BaseModel):
    """The log-in."""

    password: str = Field(max_length=1024)


class Server:
    """The page, in a thread of its own from ``start`` to ``stop``."""

    def __init__(
        self,
        settings: WebSettings,
        live: Live,
        *,
        history: Any = None,
        file: Path | InForce | None = None,
        tell: Callable[[str], None] = logging.getLogger("streamrec").error,
    ) -> None:
        self.settings = settings
        self.live = live
        self.most = most_connections()
        self.opened = 0  # files of evidence that are being read
        self._teller = Teller(tell)
        self.past = Past(live, history)
        self.file = file  # cameras.toml; None: the cameras cannot be changed here
        self.desk = Desk(
            live,
            lambda: [entry_as_json(entry) for entry in self.past.query(limit=_EVENTS_A_PAGE)],
            None if history is None else lambda: [entry_as_json(entry) for entry in self.past.changes()],
            lambda sentence: self.tell(live.hide(sentence)),
            min(MOST_VIEWERS, self.most - self.most // 5),  # the API has room beside them
        )
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def tell(self, sentence: str, kind: str | None = None) -> None:
        """Say what goes wrong here, the same (or the same kind) at most once a minute."""
        self._teller(kind or sentence, sentence)

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
        server = self._server = _Quiet(config, Connections(self.most, self.tell), self._unexpected)
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
        self.tell(printable(self.live.hide(f"the page: {name}: {error}")), f"broken {name}")

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
            body = self.desk.look()
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
        guard = self.guard = Guard(app=None, names=names, access=settings.access)  # type: ignore[arg-type]
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


class Past:
    """What happened: from the history where one is kept, else what is remembered since the start."""

    def __init__(self, live: Live, history: Any = None) -> None:
        self._live = live
        self.history = history
        self._change: int | None = None

    def query(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        camera: list[str] | None = None,
        label: list[str] | None = None,
        after: str | None = None,
        limit: int = _EVENTS_A_PAGE,
    ) -> list[Entry]:
        """The newest first."""
        if self.history is not None:
            found: list[Entry] = self.history.query(
                since=since, until=until, camera=camera, label=label, after=after, limit=limit
            )
            return found
        events = iter(self._live.events)
        if after is not None:
            for entry in events:
                if entry.id == after:
                    break
        fits = (
            entry
            for entry in events
            if (since is None or entry.ended is None or entry.ended >= since)
            and (until is None or entry.started < until)
            and (not camera or entry.camera in camera)
            and (not label or entry.label in label)
        )
        return [entry for entry, _ in zip(fits, range(limit), strict=False)]

    def changes(self) -> list[Entry]:
        """What is new or other in the history since this was last called."""
        found, self._change = self.history.changes(self._change)
        entries: list[Entry] = found
        return entries

    def get(self, id: str) -> Entry | None:
        """One of them."""
        if self.history is not None:
            found: Entry | None = self.history.get(id)
            return found
        return next((entry for entry in self._live.events if entry.id == id), None)


_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Errors, "description": "log in first, or send a token"},
    403: {"model": Errors, "description": "asked from elsewhere"},
}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}, 404: {"model": Errors}}
_EVENT_ID = Annotated[str, InPath(max_length=64, pattern=r"^[\w-]+$")]


def make_app(server: Server, guard: Guard) -> FastAPI:
    """The application behind the guard."""
    live, desk, past = server.live, server.desk, server.past

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        desk.begin()
        file = server.settings.access_file
        following = None if file is None else asyncio.create_task(follow(AccessFile(file, guard.access)))
        yield
        if following is not None:
            following.cancel()
        await desk.end()

    async def follow(file: AccessFile) -> None:
        """Who may look is what the file of access says now."""
        while True:
            try:
                access = await asyncio.to_thread(file.changed)
                if access is not None:
                    guard.change_access(access)
            except SettingsError as error:
                server.tell(f"the page: {error}; who may look stays as it was")
            await asyncio.sleep(_ACCESS_SECONDS)

    app = FastAPI(
        title="streamrec",
        version=f"{VERSION}",
        description="What the cameras see, now and before. Log in, or send `Authorization: Bearer TOKEN`.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # it would load scripts from elsewhere; /api shows the same
        redoc_url=None,
        lifespan=lifespan,
        responses=_ERRORS,
    )
    app.add_exception_handler(HTTPException, _http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]

    async def broken(request: Request, error: Exception) -> Response:
        server._broken(error)
        body = error_body("broken", "something went wrong here; the log says what")
        return Response(body, 500, media_type="application/json")

    app.add_exception_handler(Exception, broken)
    hashing, waiting = asyncio.Lock(), [0]

    for path, file in {
        "/": "index.html",
        "/login": "login.html",
        "/api": "api.html",
        "/favicon.ico": "icon.svg",
    }.items():
        app.add_api_route(path, _page(file), methods=["GET", "HEAD"], include_in_schema=False)

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        found = files().get(name)
        if found is None:
            raise HTTPException(404)
        data, kind, tag = found
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)

    @app.get("/healthz", tags=["operation"], response_model=Health)
    async def healthz() -> Response:
        """200 while the loop that recognizes comes round and events can be kept, else 503. Needs no log-in."""
        trouble = "" if past.history is None else past.history.trouble
        if not live.alive:
            trouble = "the loop that recognizes stands still"
        body = json.dumps({"status": trouble or "ok"}).encode()
        return Response(body, 503 if trouble else 200, media_type="application/json")

    @app.get("/metrics", tags=["operation"], response_class=Response)
    async def prometheus() -> Response:
        """In Prometheus' text form."""
        more = {"page_viewers": float(desk.count), "page_pictures_made": float(desk.pictures.made)}
        text = metrics(live, more).encode("utf-8", "replace")
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/api/v1/session", tags=["session"], response_model=SessionJson)
    async def session(request: Request) -> dict[str, Any]:
        """Who asks, and what there is."""
        own = request.scope["session"]
        return {
            "version": VERSION,
            "csrf": None if own is None else own.csrf,
            "password": bool(guard.access),
            "editable": server.file is not None,
            "history": past.history is not None,
            "software": _software(),
        }

    @app.post("/api/v1/login", tags=["session"], status_code=204, responses={429: {"model": Errors}})
    async def login(request: Request, said: Annotated[Password, Body()]) -> Response:
        """Begin a session; its cookie is set. Wrong passwords make the next try wait."""
        address = client_of(request.scope)
        check_tries(guard.tries, address)
        if waiting[0] >= _LOGINS_AT_ONCE:
            raise Refused(429, "too_often", "others are logging in: try again", [(b"retry-after", b"1")])
        waiting[0] += 1
        try:
            async with hashing:  # one after the other: 32 MB each, and none overtakes the count
                check_tries(guard.tries, address)
                way = await asyncio.to_thread(guard.access.password_of, said.password)
                if way not in guard.access.ways:  # it may have been changed meanwhile
                    way = None
                (guard.tries.wrong if way is None else guard.tries.right)(address)
        finally:
            waiting[0] -= 1
        if way is None:
            raise Refused(401, "wrong_password", "this password opens nothing")
        answer = Response(status_code=204)
        answer.raw_headers.append(guard.log_in(request.scope, way))
        return answer

    @app.post("/api/v1/logout", tags=["session"], status_code=204)
    async def logout(request: Request) -> Response:
        """End the session."""
        answer = Response(status_code=204)
        answer.raw_headers.append(guard.log_out(request.scope))
        return answer

    @app.get("/api/v1/cameras", tags=["cameras"], response_model=CamerasNow)
    async def cameras() -> Response:
        """How every camera is, now."""
        return Response(desk.look(), media_type="application/json")

    @app.get("/api/v1/picture", tags=["cameras"], response_class=Response, responses=_JPEG)
    async def picture(
        camera: Annotated[str, Query(max_length=_LONGEST_NAME)],
        width: Annotated[int, Query(ge=16, le=1920)] = 640,
    ) -> Response:
        """The newest picture of a camera that the model looked at, as JPEG."""
        newest = live.newest(camera)
        if newest is None:
            raise HTTPException(404, "there is no picture of this camera")
        data = await asyncio.to_thread(jpeg.encode, newest[1].frame.image, width)
        return Response(data, media_type="image/jpeg")

    @app.get("/api/v1/events", tags=["events"], response_model=EventsJson)
    async def events(
        since: datetime | None = None,
        until: datetime | None = None,
        camera: Annotated[list[str] | None, Query(max_length=100)] = None,
        label: Annotated[list[str] | None, Query(max_length=100)] = None,
        after: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = _EVENTS_A_PAGE,
    ) -> Response:
        """What happened, the newest first, a page at a time."""
        found = await asyncio.to_thread(
            past.query,
            since=_seconds("since", since),
            until=_seconds("until", until),
            camera=camera,
            label=label,
            after=after,
            limit=limit,
        )
        more = found[-1].id if len(found) == limit else None
        said = {"version": VERSION, "events": [entry_as_json(entry) for entry in found], "more": more}
        return Response(as_json(said), media_type="application/json")

    @app.get(
        "/api/v1/events/{id}", tags=["events"], response_model=EventJson, responses={404: {"model": Errors}}
    )
    async def event(id: _EVENT_ID) -> Response:
        """One event."""
        entry = await asyncio.to_thread(past.get, id)
        if entry is None:
            raise HTTPException(404, "there is no such event")
        return Response(as_json(entry_as_json(entry)), media_type="application/json")

    async def evidence(id: str, what: str, kinds: dict[str, str]) -> _Opened:
        entry = await asyncio.to_thread(past.get, id)
        path = Path((None if entry is None else getattr(entry, what)) or "")
        # The path is the history's, never the asker's; a file of another kind is none of ours all the same.
        kind = kinds.get(path.suffix.lower())
        if kind is None:
            raise HTTPException(404, f"there is no {what} of this event")
        if server.opened >= max(4, server.most // 4):
            raise Refused(503, "busy", "many clips are being read: try again", [(b"retry-after", b"2")])
        try:
            descriptor = await asyncio.to_thread(open_regular, path)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise Refused(503, "busy", "too many files are open: try again") from error
            raise HTTPException(404, f"there is no {what} of this event") from error
        return _Opened(server, path, descriptor, kind)

    @app.get(
        "/api/v1/events/{id}/clip",
        tags=["events"],
        response_class=FileResponse,
        responses={404: {"model": Errors}},
    )
    async def clip(id: _EVENT_ID) -> FileResponse:
        """The seconds before and after it, as a video; may be asked for in parts (Range)."""
        return await evidence(id, "clip", _VIDEOS)

    @app.get("/api/v1/events/{id}/thumbnail", tags=["events"], response_class=FileResponse, responses=_JPEG)
    async def thumbnail(id: _EVENT_ID) -> FileResponse:
        """A picture of it."""
        return await evidence(id, "thumbnail", _PICTURES)

    if server.file is not None:
        from streamrec.serve.editing import Editor
        from streamrec.serve.manage import add_routes

        add_routes(app, live, Editor(server.file, os.environ))

    @app.websocket("/api/v1/live")
    async def look(socket: WebSocket) -> None:
        with suppress(WebSocketDisconnect):
            await socket.accept()
            try:
                scope = socket.scope
                await desk.serve(socket, lambda: guard.is_in(scope), lambda: guard.used(scope))
            except (WebSocketDisconnect, asyncio.CancelledError):
                raise
            except Exception as error:
                server._broken(error)

    return app


def _seconds(name: str, when: datetime | None) -> float | None:
    """Since 1970; a time without a zone is this machine's."""
    try:
        return None if when is None else when.timestamp()
    except (ValueError, OverflowError) as error:  # the years 1 and 9999, where the zone leads out of them
        raise Refused(422, "not_understood", f"{name}: this time is too far away") from error


class _Opened(FileResponse):
    """A file that is open already: what stands at its path by now does not matter. Closed with the answer."""

    def __init__(self, server: Server, path: Path, descriptor: int, kind: str) -> None:
        self._server, self._descriptor = server, descriptor
        server.opened += 1
        try:
            super().__init__(
                f"/dev/fd/{descriptor}" if _DESCRIPTORS else path,
                media_type=kind,
                headers={"cache-control": "private, max-age=3600"},
                stat_result=os.fstat(descriptor),
            )
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        self._server.opened -= 1
        os.close(self._descriptor)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def _page(name: str) -> Callable[[], Any]:
    async def page() -> Response:
        data, kind, _ = files()[name]
        return Response(data, media_type=kind, headers={"cache-control": "no-cache"})

    return page


@cache
def files() -> dict[str, tuple[bytes, str, str]]:
    """All files of the page, read once: name -> bytes, type, tag. Nothing else can be asked for by name."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in _TYPES:
            data = path.read_bytes()
            found[path.name] = data, _TYPES[path.suffix], f'"{hash(data) & (1 << 64) - 1:x}"'
    return found


def _software() -> str:
    try:
        return f"streamrec {version('streamrec')}"
    except PackageNotFoundError:
        return "streamrec"


async def _http_error(request: Request, error: HTTPException) -> Response:
    codes = {404: ("not_found", "there is nothing at this address"), 405: ("wrong_method", "not in this way")}
    code, message = codes.get(error.status_code, ("refused", ""))
    detail = str(error.detail)
    message = detail if detail[:1].islower() else message or detail
    return Response(error_body(code, message), error.status_code, error.headers, "application/json")


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0] if error.errors() else {}
    where = ".".join(str(part) for part in first.get("loc", ())[1:])
    message = (
        f"{where}: {first.get('msg', 'not understood')}" if where else str(first.get("msg", "not understood"))
    )
    return Response(error_body("not_understood", message), 422, media_type="application/json")


async def _refused(request: Request, refused: Refused) -> Response:
    headers = {name.decode(): value.decode() for name, value in refused.headers}
    return Response(error_body(refused.code, refused.message), refused.status, headers, "application/json")
