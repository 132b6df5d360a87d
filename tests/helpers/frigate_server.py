"""A stand-in for Frigate, which checks what Frigate's public API demands: paths, types of bodies, log-in, role, order.

After docs.frigate.video/integrations/api: bodies are validated as its models are (422), a camera that it does not have
is 404, an event is in its database only some time after it was created, an end before the start is 400, a role that is
no admin is 403, and failed log-ins are limited.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.helpers.http_server import QuietHandler

_CREATE = {
    "source_type": (str, type(None)),
    "sub_label": (str, type(None)),
    "score": (int, float, type(None)),
    "duration": (int, type(None)),
    "include_recording": (bool, type(None)),
    "draw": (dict, type(None)),
}


class FrigateServer:
    """It listens on the loopback address; ``events`` are those that it has, by id."""

    def __init__(
        self,
        *cameras: str,
        user: str = "",
        password: str = "",
        role: str = "admin",
        hidden: int = 0,
        broken: int = 0,
        port: int = 0,
    ) -> None:
        """``hidden``: so many requests to end an event find it not yet in the database. ``broken``: 500s at first."""
        self.cameras, self.user, self.password, self.role = cameras, user, password, role
        self.hidden, self.broken = hidden, broken
        self.events: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, Any, int]] = []  # method, path, body, status
        self.tokens: set[str] = set()
        self.failed_logins = 0
        self.clock_ahead = 0.0  # seconds
        self.numbers = itertools.count(1)
        self.came = threading.Condition()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(60.0)

    def wait(self, count: int, seconds: float = 60.0) -> list[tuple[str, str, Any, int]]:
        """The requests, when there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.requests) >= count, seconds), self.requests
            return list(self.requests)

    def answer(self, method: str, path: str, headers: Any, raw: bytes) -> tuple[int, Any, str]:
        """Status, JSON and a token to set."""
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if self.broken:
            self.broken -= 1
            return 500, {}, ""
        if path == "/api/login":
            return self.log_in(method, body)
        if self.user:
            kind, _, token = (headers["Authorization"] or "").partition(" ")
            if kind != "Bearer" or token not in self.tokens:
                return 401, {}, ""
            if self.role != "admin":
                return 403, {"detail": "Role not allowed"}, ""
        create = re.fullmatch(r"/api/events/([^/]+)/([^/]+)/create", path)
        end = re.fullmatch(r"/api/events/([^/]+)/end", path)
        if create and method == "POST":
            return self.create(unquote(create[1]), unquote(create[2]), body)
        if end and method == "PUT":
            return self.end(unquote(end[1]), body)
        if path == "/api/config" and method == "GET":
            return 200, {"cameras": {name: {"ffmpeg": "x" * 100_000} for name in self.cameras}}, ""
        return (405 if create or end else 404), {}, ""

    def log_in(self, method: str, body: Any) -> tuple[int, Any, str]:
        if method != "POST":
            return 405, {}, ""
        if not isinstance(body, dict) or {type(body.get("user")), type(body.get("password"))} != {str}:
            return 422, {"detail": []}, ""
        if self.failed_logins >= 5:
            return 429, {}, ""
        if (body["user"], body["password"]) != (self.user, self.password):
            self.failed_logins += 1
            return 401, {"message": "Login failed"}, ""
        token = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ{next(self.numbers)}.c2lnbmF0dXJl"
        self.tokens.add(token)
        return 200, "", token

    def create(self, camera: str, label: str, body: Any) -> tuple[int, Any, str]:
        for key, value in body.items() if isinstance(body, dict) else [("body", None)]:
            if (
                key not in _CREATE
                or not isinstance(value, _CREATE[key])
                or (value is True and key == "score")
            ):
                return 422, {"detail": [{"loc": ["body", key]}]}, ""
        if camera not in self.cameras:
            return 404, {"success": False, "message": f"{camera} is not a valid camera."}, ""
        now = time.time() + self.clock_ahead
        id = f"{now}-abc{next(self.numbers):03d}"
        duration = body.get("duration", 30)
        self.events[id] = {
            "camera": camera,
            "label": label,
            "start_time": now,
            "end_time": None if duration is None else now + duration,
            **body,
        }
        return 200, {"success": True, "message": "Successfully created event.", "event_id": id}, ""

    def end(self, id: str, body: Any) -> tuple[int, Any, str]:
        if not isinstance(body, dict) or not isinstance(body.get("end_time"), (int, float, type(None))):
            return 422, {"detail": []}, ""
        event = self.events.get(id)
        if event is None or self.hidden:
            self.hidden = max(0, self.hidden - 1)
            return 404, {"success": False, "message": f"Event {id} not found."}, ""
        end_time = body.get("end_time")
        if end_time is not None and end_time < event["start_time"]:
            return 400, {"success": False, "message": "end_time cannot be before start_time"}, ""
        event["end_time"] = end_time or time.time() + self.clock_ahead
        return 200, {"success": True, "message": "Event successfully ended."}, ""

    def _handler(server):
        class Handler(QuietHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"] or 0))
                status, body, token = server.answer(self.command, self.path, self.headers, raw)
                data = json.dumps(body).encode()
                self.send_response(status)
                if token:
                    self.send_header("Set-Cookie", f"frigate_token={token}; HttpOnly; Path=/; SameSite=lax")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                with server.came:
                    server.requests.append((self.command, self.path, json.loads(raw or b"null"), status))
                    server.came.notify_all()

            do_GET = do_PUT = do_POST

        return Handler
