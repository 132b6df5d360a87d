"""Users of each role with tokens, and the decision of the access middleware on a request, without a server."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace
from typing import Any

from starlette.routing import BaseRoute

from streamrec.web.access_control import AccessControl, Names
from streamrec.web.audit import AuditLog
from streamrec.web.auth import Access, new_token
from streamrec.web.live import LiveState
from streamrec.web.middleware import AccessMiddleware
from streamrec.web.roles import Role
from streamrec.web.routes import PageContext, _routers, needs_finder
from streamrec.web.websocket_hub import WebSocketHub
from tests.helpers.pages import PASSWORD, quick_user

SAFE = ("GET", "HEAD")


def accounts(*users: str) -> tuple[Access, dict[str, str]]:
    """Tokens of an admin, a viewer and a viewer of `door` alone, by these names; and users with ``PASSWORD``."""
    made = {
        "admin": new_token("admin"),
        "viewer": new_token("viewer", Role.viewer),
        "door": new_token("door", Role.viewer, ["door"]),
    }
    logins = {
        "ann": lambda: quick_user("ann", PASSWORD, Role.admin),
        "ben": lambda: quick_user("ben", PASSWORD, Role.viewer, ["door"]),
    }
    listed = [account for _, account in made.values()] + [logins[name]() for name in users]
    return Access(tuple(listed)), {name: token for name, (token, _) in made.items()}


def every_route() -> list[BaseRoute]:
    """The routes of a page that offers everything; none of them can be called."""
    part: Any = SimpleNamespace()
    live = LiveState()
    live.corrections = part
    live.recordings = part
    live.arming = part
    context = PageContext(
        live=live,
        hub=WebSocketHub(live),
        access=AccessControl(names=Names(port=8765), access=Access()),
        access_file=SimpleNamespace(),  # type: ignore[arg-type]
        cameras_file=SimpleNamespace(expanduser=lambda: None),  # type: ignore[arg-type]
        most_connections=10,
        audit=AuditLog(None),
        log=print,
        log_error=print,
        teach=part,
        fleet=part,
        receivers=part,
    )
    live.close()
    return [route for router in _routers(context) for route in router.routes]


def methods_of(route: Any) -> list[str]:
    """GET, PUT ...; a WebSocket has one of that name."""
    return sorted(getattr(route, "methods", None) or {"WEBSOCKET"})


def path_of(route: Any, **values: str) -> str:
    """A path that leads to a route."""
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: values.get(found[1], "x"), route.path)


class Door:
    """The middleware before an application that answers 200 to everything."""

    def __init__(self, routes: list[BaseRoute], access: Access) -> None:
        async def reached(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        self.control = AccessControl(names=Names(port=8765), access=access)
        self.audit = AuditLog(None)
        self._app = AccessMiddleware(reached, self.control, needs_finder(routes), self.audit)

    def ask(self, method: str, target: str, token: str = "", body: bytes = b"{}") -> int:
        """The status of the answer; of a WebSocket 101 where it is opened."""
        path, _, query = target.partition("?")
        headers = [(b"host", b"localhost:8765"), (b"content-length", b"%d" % len(body))]
        if token:
            headers.append((b"authorization", b"Bearer " + token.encode()))
        else:
            headers.append((b"origin", b"http://localhost:8765"))
        scope: Any = {
            "type": "websocket" if method == "WEBSOCKET" else "http",
            **({} if method == "WEBSOCKET" else {"method": method}),
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("192.168.1.7", 1234),
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        if sent[0]["type"] == "websocket.accept":
            return 101
        return 403 if sent[0]["type"] == "websocket.close" else int(sent[0]["status"])
