"""The page's routes, by topic. ``make_app`` builds the FastAPI application of a server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from streamrec.core.version import version_of
from streamrec.errors import SettingsError, need
from streamrec.outputs.fleet.records import FleetService
from streamrec.outputs.history.archive import IMAGE_TYPES, VIDEO_TYPES
from streamrec.settings.resolve import InForce
from streamrec.web.access_control import PAGES, AccessControl, Refused, Scope, client_of
from streamrec.web.access_file import AccessFile
from streamrec.web.audit import AuditLog
from streamrec.web.live import EVENTS_PER_PAGE, LiveState, json_bytes
from streamrec.web.middleware import error_body
from streamrec.web.prometheus import metrics
from streamrec.web.readers import Readers
from streamrec.web.roles import Cameras, Identity, Needs, Role, declared, identity_of, needs, needs_nothing
from streamrec.web.websocket_hub import VERSION, WebSocketHub

need("fastapi", extra="web")

from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request, WebSocket, WebSocketDisconnect  # noqa: E402
from fastapi.exceptions import RequestValidationError  # noqa: E402
from fastapi.responses import FileResponse, Response  # noqa: E402
from starlette.exceptions import HTTPException  # noqa: E402
from starlette.requests import HTTPConnection  # noqa: E402
from starlette.routing import BaseRoute, Match  # noqa: E402

from streamrec.web.open_file import open_file  # noqa: E402
from streamrec.web.schemas import (  # noqa: E402
    NOT_FOUND,
    CamerasNow,
    Errors,
    EventInPath,
    EventJson,
    EventsJson,
    Health,
    LoginJson,
    Password,
    SessionJson,
)
from streamrec.web.similar_routes import seconds, similar_routes  # noqa: E402

if TYPE_CHECKING:
    from streamrec.web.receiver_routes import ReceiverDesk
    from streamrec.web.teach_routes import TeachDesk

FOLDER = Path(__file__).parent / "page"
_LOGINS_AT_ONCE = 3  # password hashes that may wait for each other
_ACCESS_SECONDS = 0.5  # between two checks whether the access file has changed
_LONGEST_NAME = 8_000  # characters of a camera's name
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Errors, "description": "log in first, or send a token"},
    403: {"model": Errors, "description": "the request came from another page"},
}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}, **NOT_FOUND}


@dataclass(kw_only=True, eq=False)
class PageContext:
    """What the routes work on."""

    live: LiveState
    hub: WebSocketHub
    access: AccessControl
    access_file: Path | None  # read again when it changes
    cameras_file: Path | InForce | None  # None: the cameras cannot be changed on the page
    most_connections: int
    audit: AuditLog
    log: Callable[[str], None]  # called with what an administrator should know
    log_error: Callable[[BaseException], None]  # called with unexpected errors
    teach: TeachDesk | None = None  # the lesson; None: there is none
    fleet: FleetService | None = None  # the head of a fleet; None: the cameras run in this process
    local: Path | None = None  # a folder whose videos the page may add, and webcams with it
    receivers: ReceiverDesk | None = None  # of notifications; None: there are none
    files: Readers = field(init=False)  # of evidence and recordings that are being sent

    def __post_init__(self) -> None:
        self.files = Readers(max(4, self.most_connections // 4), "many clips are being read: try again")


def make_app(context: PageContext) -> tuple[FastAPI, Callable[[Scope], Needs | None]]:
    """The application behind the access middleware, and what finds the needs of a request's route."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context.hub.begin()
        following = None if context.access_file is None else asyncio.create_task(_follow_access(context))
        yield
        if following is not None:
            following.cancel()
        await context.hub.end()

    app = FastAPI(
        title="streamrec",
        version=f"{VERSION}",
        description="The cameras, live and past. Log in, or send `Authorization: Bearer TOKEN`.",
        openapi_url=None,  # a route of ``page_routes``, which declares what it needs
        docs_url=None,  # it would load scripts from elsewhere; /api shows the same
        redoc_url=None,
        lifespan=lifespan,
        responses=_ERRORS,
        dependencies=[Depends(_only_declared)],
    )

    async def broken(request: Request, error: Exception) -> Response:
        context.log_error(error)
        body = error_body("broken", "something went wrong here; the log says what")
        return Response(body, 500, media_type="application/json")

    app.add_exception_handler(HTTPException, _http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, broken)
    routes: list[BaseRoute] = []
    for router in _routers(context):
        routes += router.routes
        app.include_router(router)
    return app, needs_finder(routes)


def _routers(context: PageContext) -> list[APIRouter]:
    """The routes of everything that this page offers."""
    routers = [
        page_routes(),
        operation_routes(context),
        session_routes(context),
        camera_routes(context),
        event_routes(context),
        similar_routes(context.live),
    ]
    if context.access_file is not None:
        from streamrec.web.users_routes import users_routes

        routers.append(users_routes(context.access, context.access_file, context.audit))
    if context.cameras_file is not None:
        from streamrec.web.cameras_editor import CamerasEditor
        from streamrec.web.discovery_routes import discovery_routes
        from streamrec.web.profile_routes import profile_routes
        from streamrec.web.settings_routes import settings_routes

        routers.append(discovery_routes(context.live, context.local))
        editor = CamerasEditor(context.cameras_file, os.environ, context.local)
        routers.append(settings_routes(context.live, editor))
        routers.append(profile_routes(context.live, editor))
    if context.live.corrections is not None:
        from streamrec.web.correction_routes import correction_routes

        routers.append(correction_routes(context.live, context.live.corrections))
    if context.live.arming is not None:
        from streamrec.web.arming_routes import arming_routes

        routers.append(arming_routes(context.live, context.live.arming))
    if context.live.recordings is not None:
        from streamrec.web.recording_routes import recording_routes

        routers.append(recording_routes(context.files, context.live, context.live.recordings))
    if context.teach is not None:
        from streamrec.web.teach_routes import teach_routes

        routers.append(teach_routes(context.live, context.teach))
    if context.fleet is not None:
        from streamrec.web.fleet_routes import fleet_routes

        routers.append(fleet_routes(context.live, context.fleet))
    if context.receivers is not None:
        from streamrec.web.receiver_routes import receiver_routes

        routers.append(receiver_routes(context.receivers))
    return [*routers, live_route(context)]


def needs_finder(routes: Sequence[BaseRoute]) -> Callable[[Scope], Needs | None]:
    """A function that finds what the route of a request declares, in the router's order, and its path's parameters.

    None: no route is at this address, or it declares nothing; ``scope["route_found"]`` says which.
    """

    def search(scope: Scope) -> tuple[bool, dict[str, Any], Needs | None]:
        for route in routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return True, child.get("path_params", {}), declared(child.get("endpoint"))
        return False, {}, None

    # Paths without parameters are looked up: asking each route in turn takes longer than most answers.
    known = {}
    for route in routes:
        path: str = getattr(route, "path", "")
        for method in () if "{" in path else getattr(route, "methods", None) or ("",):
            type = "http" if method else "websocket"
            scope: Scope = {"type": type, "method": method, "path": path, "root_path": "", "headers": []}
            known[type, method, path] = search(scope)

    def find(scope: Scope) -> Needs | None:
        found = known.get((scope["type"], scope.get("method", ""), scope["path"])) or search(scope)
        scope["route_found"], scope["route_path"], needs = found
        return needs

    return find


async def _only_declared(connection: HTTPConnection) -> None:
    """Close a route whose declaration the access middleware did not check, however it came into the application."""
    needs = declared(connection.scope.get("endpoint"))
    if needs is None or needs is not connection.scope["needs"]:
        raise Refused(403, "not_declared", "this route declares no role, and is closed to everyone")


async def _follow_access(context: PageContext) -> None:
    """Apply changes of the access file."""
    assert context.access_file is not None
    file = AccessFile(context.access_file, context.access.access)
    while True:
        try:
            access = await asyncio.to_thread(file.changed)
            if access is not None:
                context.access.change_access(access)
        except SettingsError as error:
            context.log(f"the page: {error}; passwords and tokens stay as they were")
        await asyncio.sleep(_ACCESS_SECONDS)


# -- the page's own files


def page_routes() -> APIRouter:
    """HTML, scripts and styles."""
    router = APIRouter()
    for path, file in {
        "/": "index.html",
        "/login": "login.html",
        "/api": "api.html",
        "/favicon.ico": "icon.svg",
    }.items():
        is_open = path not in PAGES
        page = (needs_nothing() if is_open else needs(Role.viewer, cameras=Cameras.none))(_page(file))
        router.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)

    @router.get("/api/v1/openapi.json", include_in_schema=False)
    @needs(Role.viewer, cameras=Cameras.none)
    async def openapi(request: Request) -> Any:
        return request.app.openapi()

    @router.get("/static/{name}", include_in_schema=False)
    @needs_nothing()
    async def static(name: str, request: Request) -> Response:
        found = files().get(name)
        if found is None:
            raise HTTPException(404)
        data, kind, tag = found
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)

    return router


def _page(name: str) -> Callable[[], Any]:
    async def page() -> Response:
        data, kind, _ = files()[name]
        return Response(data, media_type=kind, headers={"cache-control": "no-cache"})

    return page


@cache
def files() -> dict[str, tuple[bytes, str, str]]:
    """All files of the page, read once: name -> bytes, type, tag. No other file can be requested by name."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in _TYPES:
            data = path.read_bytes()
            found[path.name] = data, _TYPES[path.suffix], f'"{hash(data) & (1 << 64) - 1:x}"'
    return found


# -- health and metrics


def operation_routes(context: PageContext) -> APIRouter:
    """What an operator's tools ask."""
    router = APIRouter(tags=["operation"])
    live, hub = context.live, context.hub

    @router.get("/healthz", response_model=Health)
    @needs_nothing()
    async def healthz() -> Response:
        """200 while recognition runs and events can be kept, else 503. Needs no log-in."""
        trouble = live.history.trouble if live.alive else "the loop that recognizes stands still"
        body = json.dumps({"status": trouble or "ok"}).encode()
        return Response(body, 503 if trouble else 200, media_type="application/json")

    @router.get("/metrics", response_class=Response)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def prometheus(request: Request) -> Response:
        """Metrics in Prometheus' text format, of the cameras that this client may see."""
        who = identity_of(request.scope)
        more = {"page_viewers": float(hub.count), "page_pictures_made": float(hub.encoder.made)}
        fleet = None
        if context.fleet is not None and who.cameras is None:
            fleet = await asyncio.to_thread(context.fleet.status)
        text = metrics(live, more, fleet, who).encode("utf-8", "replace")
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


# -- sessions


def session_routes(context: PageContext) -> APIRouter:
    """Log-in, log-out, and what this client may do."""
    router = APIRouter(tags=["session"])
    access = context.access
    hashing, waiting = asyncio.Lock(), [0]

    @router.get("/api/v1/session", response_model=SessionJson)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def session(request: Request) -> dict[str, Any]:
        """The client's session, and what the page offers to it."""
        own, who = request.scope["session"], identity_of(request.scope)
        is_admin = who.role.includes(Role.admin)
        return {
            "version": VERSION,
            "csrf": None if own is None else own.csrf,
            "password": bool(access.access),
            "name": who.name,
            "role": str(who.role),
            "cameras": None if who.cameras is None else sorted(who.cameras),
            "editable": is_admin and context.cameras_file is not None,
            "users": is_admin and context.access_file is not None,
            "history": not context.live.history.in_memory,
            "arming": context.live.arming is not None,
            "corrections": is_admin and context.live.corrections is not None,
            # It may name cameras that a user must not know.
            "opinion": (who.cameras is None and context.live.leaves) or None,
            "recordings": context.live.recordings is not None,
            "teaches": is_admin and context.teach is not None,
            "fleet": who.cameras is None and context.fleet is not None,
            "receivers": is_admin and context.receivers is not None,
            "software": f"streamrec {version_of() or ''}".rstrip(),
        }

    @router.get("/api/v1/login", response_model=LoginJson)
    @needs_nothing()
    async def login_form() -> dict[str, Any]:
        """Whether the log-in asks for a name."""
        return {"names": access.access.has_names}

    @router.post("/api/v1/login", status_code=204, responses={429: {"model": Errors}})
    @needs_nothing(audit="log-in")
    async def login(request: Request, given: Annotated[Password, Body()]) -> Response:
        """Begin a session; its cookie is set. After wrong passwords the next attempt has to wait."""
        address = client_of(request.scope)
        access.check_throttle(request.scope, given.name)
        if waiting[0] >= _LOGINS_AT_ONCE:
            raise Refused(429, "too_often", "others are logging in: try again", [(b"retry-after", b"1")])
        waiting[0] += 1
        try:
            async with hashing:  # one at a time: each needs 32 MB, and none may overtake the count
                access.check_throttle(request.scope, given.name)
                account = await asyncio.to_thread(access.access.log_in, given.name, given.password)
                if account is not None and access.access.holds(account.credential) is None:
                    account = None  # it was changed meanwhile
                note = access.throttle.failed if account is None else access.throttle.succeeded
                note(address, given.name)
        finally:
            waiting[0] -= 1
        if account is None:
            # Another name is not logged: it may be a password in the wrong field.
            known = next((one.name for one in access.access.accounts if one.name == given.name.strip()), None)
            request.scope["about"] = {} if known is None else {"name": known}
            raise Refused(401, "wrong_password", "this password opens nothing")
        answer = Response(status_code=204)
        answer.raw_headers.append(access.log_in(request.scope, account))
        return answer

    @router.post("/api/v1/logout", status_code=204)
    @needs(Role.viewer, cameras=Cameras.none, audit="log-out")
    async def logout(request: Request) -> Response:
        """End the session."""
        answer = Response(status_code=204)
        answer.raw_headers.append(access.log_out(request.scope))
        return answer

    return router


# -- cameras


def camera_routes(context: PageContext) -> APIRouter:
    """The cameras now."""
    router = APIRouter(tags=["cameras"])

    @router.get("/api/v1/cameras", response_model=CamerasNow)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def cameras(request: Request) -> Response:
        """The state of every camera that this client may see, now."""
        return Response(context.hub.cameras_now(identity_of(request.scope)), media_type="application/json")

    @router.get("/api/v1/picture", response_class=Response, responses=_JPEG)
    @needs(Role.viewer, cameras=Cameras.named)
    async def picture(
        camera: Annotated[str, Query(max_length=_LONGEST_NAME)],
        width: Annotated[int, Query(ge=16, le=1920)] = 640,
    ) -> Response:
        """The newest processed frame of a camera, as JPEG."""
        data = await asyncio.to_thread(context.hub.encoder.maker.one, camera, width)
        if data is None:
            raise HTTPException(404, "there is no picture of this camera")
        return Response(data, media_type="image/jpeg")

    return router


def live_route(context: PageContext) -> APIRouter:
    """The WebSocket."""
    router = APIRouter()

    @router.websocket("/api/v1/live")
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def live(socket: WebSocket) -> None:
        access, scope = context.access, socket.scope
        with suppress(WebSocketDisconnect):
            await socket.accept()
            try:
                await context.hub.serve(
                    socket,
                    lambda: access.still_valid(scope),
                    lambda: access.used(scope),
                    identity_of(scope),
                )
            except (WebSocketDisconnect, asyncio.CancelledError):
                raise
            except Exception as error:
                context.log_error(error)

    return router


# -- events


def event_routes(context: PageContext) -> APIRouter:
    """The history and its evidence."""
    router = APIRouter(tags=["events"])
    live = context.live

    @router.get("/api/v1/events", response_model=EventsJson)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def events(
        request: Request,
        since: datetime | None = None,
        until: datetime | None = None,
        camera: Annotated[list[str] | None, Query(max_length=100)] = None,
        label: Annotated[list[str] | None, Query(max_length=100)] = None,
        verdict: Annotated[Literal["right", "wrong", "other", "any", "none"] | None, Query()] = None,
        after: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = EVENTS_PER_PAGE,
    ) -> Response:
        """Events, the newest first, page by page. ``verdict``: those that were corrected so; any, or none."""
        ids, but = live.events_with(verdict)
        who = identity_of(request.scope)
        given = {"since": seconds("since", since), "until": seconds("until", until)}

        def work() -> dict[str, Any]:
            found = live.events_for(
                who, camera=camera, label=label, after=after, limit=limit, ids=ids, but=but, **given
            )
            more = found[-1].id if len(found) == limit else None
            shown = [live.event(entry) for entry in found]
            return {"version": VERSION, "events": shown, "more": more}

        return Response(json_bytes(await asyncio.to_thread(work)), media_type="application/json")

    @router.get("/api/v1/events/{id}", response_model=EventJson, responses=NOT_FOUND)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def event(request: Request, id: EventInPath) -> Response:
        """One event."""
        who = identity_of(request.scope)

        def work() -> dict[str, Any] | None:
            entry = live.entry_for(who, id)
            return None if entry is None else live.event(entry)

        shown = await asyncio.to_thread(work)
        if shown is None:
            raise HTTPException(404, "there is no such event")
        return Response(json_bytes(shown), media_type="application/json")

    @router.get("/api/v1/events/{id}/clip", response_class=FileResponse, responses=NOT_FOUND)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def clip(request: Request, id: EventInPath) -> FileResponse:
        """The video of an event and the seconds around it; supports Range requests."""
        return await _evidence(context, identity_of(request.scope), id, "clip", VIDEO_TYPES)

    @router.get("/api/v1/events/{id}/thumbnail", response_class=FileResponse, responses=_JPEG)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def thumbnail(request: Request, id: EventInPath) -> Response:
        """An image of an event: of its evidence, or else of its notification."""
        who = identity_of(request.scope)
        entry = await asyncio.to_thread(live.entry_for, who, id)
        if entry is not None and not entry.thumbnail:
            picture = await asyncio.to_thread(live.history.pictures.get, id)
            if picture is not None:
                headers = {"cache-control": "private, max-age=3600"}
                return Response(picture, media_type="image/jpeg", headers=headers)
        return await _evidence(context, who, id, "thumbnail", IMAGE_TYPES)

    return router


async def _evidence(
    context: PageContext, who: Identity, id: str, what: str, kinds: dict[str, str]
) -> FileResponse:
    """The clip or thumbnail of an event."""
    entry = await asyncio.to_thread(context.live.entry_for, who, id)
    path = Path((None if entry is None else getattr(entry, what)) or "")
    # The path comes from the history, never from the request; other types of files are refused all the same.
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise HTTPException(404, f"there is no {what} of this event")
    return await open_file(context.files, path, kind, f"there is no {what} of this event")


# -- errors


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
