"""The page's routes: what each answers. `make_app` builds the FastAPI application of a server."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from streamrec.core.files import open_regular
from streamrec.errors import SettingsError, need
from streamrec.web import jpeg
from streamrec.web.auth import AccessFile
from streamrec.web.live import Entry, LiveState, as_json, entry_as_json
from streamrec.web.middleware import (
    AccessMiddleware,
    Refused,
    check_tries,
    client_of,
    error_body,
)
from streamrec.web.prometheus import metrics
from streamrec.web.websocket_hub import VERSION

need("fastapi", extra="web")

from fastapi import Body, FastAPI, Query, Request, WebSocket, WebSocketDisconnect  # noqa: E402
from fastapi import Path as InPath  # noqa: E402
from fastapi.exceptions import RequestValidationError  # noqa: E402
from fastapi.responses import FileResponse, Response  # noqa: E402
from starlette.exceptions import HTTPException  # noqa: E402

from streamrec.web.schemas import CamerasNow, Errors, EventJson, EventsJson, Health, Password, SessionJson  # noqa: E402

if TYPE_CHECKING:
    from streamrec.web.server import Server

FOLDER = Path(__file__).parent / "page"


EVENTS_A_PAGE = 100


_LOGINS_AT_ONCE = 3  # hashes that wait to be made


_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}
_ACCESS_SECONDS = 0.5  # between two looks at the file of access
_LONGEST_NAME = 8_000  # letters of a camera's
_DESCRIPTORS = Path("/dev/fd").exists()  # not on Windows
_VIDEOS = {".mp4": "video/mp4", ".webm": "video/webm"}
_PICTURES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


class Past:
    """What happened: from the history where one is kept, else what is remembered since the start."""

    def __init__(self, live: LiveState, history: Any = None) -> None:
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
        limit: int = EVENTS_A_PAGE,
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


def make_app(server: Server, guard: AccessMiddleware) -> FastAPI:
    """The application behind the guard."""
    live, hub, past = server.live, server.hub, server.past

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        hub.begin()
        file = server.settings.access_file
        following = None if file is None else asyncio.create_task(follow(AccessFile(file, guard.access)))
        yield
        if following is not None:
            following.cancel()
        await hub.end()

    async def follow(file: AccessFile) -> None:
        """Who may look is what the file of access says now."""
        while True:
            try:
                access = await asyncio.to_thread(file.changed)
                if access is not None:
                    guard.change_access(access)
            except SettingsError as error:
                server.log(f"the page: {error}; who may look stays as it was")
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
        more = {"page_viewers": float(hub.count), "page_pictures_made": float(hub.pictures.made)}
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
        check_tries(guard.throttle, address)
        if waiting[0] >= _LOGINS_AT_ONCE:
            raise Refused(429, "too_often", "others are logging in: try again", [(b"retry-after", b"1")])
        waiting[0] += 1
        try:
            async with hashing:  # one after the other: 32 MB each, and none overtakes the count
                check_tries(guard.throttle, address)
                way = await asyncio.to_thread(guard.access.password_of, said.password)
                if way not in guard.access.ways:  # it may have been changed meanwhile
                    way = None
                (guard.throttle.wrong if way is None else guard.throttle.right)(address)
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
        return Response(hub.look(), media_type="application/json")

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
        limit: Annotated[int, Query(ge=1, le=500)] = EVENTS_A_PAGE,
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
        from streamrec.web.cameras_editor import Editor
        from streamrec.web.manage_routes import add_routes

        add_routes(app, live, Editor(server.file, os.environ))

    @app.websocket("/api/v1/live")
    async def look(socket: WebSocket) -> None:
        with suppress(WebSocketDisconnect):
            await socket.accept()
            try:
                scope = socket.scope
                await hub.serve(socket, lambda: guard.is_in(scope), lambda: guard.used(scope))
            except (WebSocketDisconnect, asyncio.CancelledError):
                raise
            except Exception as error:
                server._broken(error)

    return app


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
