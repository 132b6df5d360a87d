"""A stand-in for an ntfy server, which refuses what the real one refuses (https://docs.ntfy.sh/publish).

It checks the topic, the log-in, the headers and the JSON, and the limits: 15 MB an attachment, 4,096 bytes a message.
Codes of errors are those of its ``server/errors.go``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import decode_header, make_header
from http.server import ThreadingHTTPServer

from tests.helpers.http_server import QuietHandler

_MOST_MESSAGE = 4096
_NAMES = {"title", "message", "priority", "click", "actions", "filename", "sequence_id", "tags"}
_JSON = {"topic", "title", "message", "priority", "click", "actions", "sequence_id", "tags"}


class Refused(Exception):
    """What the server answers in place of 200."""

    def __init__(self, status: int, code: int, **headers: str) -> None:
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers


@dataclass(kw_only=True)
class Published:
    """A message that a subscriber gets."""

    topic: str
    title: str = ""
    message: str = ""
    priority: int = 3
    click: str = ""
    actions: object = None
    sequence_id: str = ""
    filename: str = ""
    attachment: bytes = b""


class NtfyServer(ThreadingHTTPServer):
    """Its topics, and how it is configured: ``token`` or ``login`` ("user:password"), and limits."""

    daemon_threads = True

    def __init__(self) -> None:
        self.token = self.login = ""
        self.attachments = True
        self.most_attachment = 15_000_000
        self.busy = 0  # so many requests are answered 429
        self.retry_after = ""
        self.messages: list[Published] = []  # all that were published
        self.requests = 0
        self.came = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def shown(self) -> dict[str, Published]:
        """What a subscriber's phone shows: by sequence id, the newest."""
        return {one.sequence_id: one for one in self.messages}

    def wait(self, count: int, seconds: float = 60.0) -> list[Published]:
        """The messages, when there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.messages) >= count, seconds), self.messages
            return list(self.messages)

    def published(self, handler: _Handler) -> Published:
        length = int(handler.headers["Content-Length"] or 0)
        body = handler.rfile.read(length)
        if self.busy > 0:
            self.busy -= 1
            raise Refused(429, 42901, **({"Retry-After": self.retry_after} if self.retry_after else {}))
        if handler.path == "/":
            return self._of_json(handler, body)
        topic = handler.path.removeprefix("/")
        self._check_topic(handler, topic)
        values: dict[str, str] = {}
        for name, value in handler.headers.items():
            plain = name.lower().removeprefix("x-").replace("-", "_")
            if plain in _NAMES:
                assert value.isascii(), "Go's server refuses other headers"
                values[plain] = str(make_header(decode_header(value)))
        found = self._checked(topic, values)
        found.message = values.get("message", "").replace("\\n", "\n")
        if "filename" in values or length > _MOST_MESSAGE:
            if not self.attachments:
                raise Refused(400, 40014)
            if length > self.most_attachment:
                raise Refused(413, 41301)
            found.filename, found.attachment = values.get("filename", "attachment"), body
        else:
            found.message = body.decode()
        return found

    def _of_json(self, handler: _Handler, body: bytes) -> Published:
        try:
            values = json.loads(body)
        except ValueError:
            raise Refused(400, 40017) from None
        if not isinstance(values, dict) or not set(values) <= _JSON or len(body) > 2 * _MOST_MESSAGE:
            raise Refused(400, 40017)
        self._check_topic(handler, values.pop("topic", ""))
        found = self._checked("", values)
        found.message = values.get("message", "triggered")
        return found

    def _checked(self, topic: str, values: dict) -> Published:
        priority = int(values.get("priority", 3))
        if not 1 <= priority <= 5:
            raise Refused(400, 40007)
        sequence = values.get("sequence_id", "")
        if sequence and not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", sequence):
            raise Refused(400, 40049)
        return Published(
            topic=topic, title=values.get("title", ""), priority=priority, click=values.get("click", ""),
            actions=values.get("actions"), sequence_id=sequence,
        )  # fmt: skip

    def _check_topic(self, handler: _Handler, topic: str) -> None:
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", topic):
            raise Refused(400, 40009)
        wanted = f"Bearer {self.token}" if self.token else ""
        if self.login:
            wanted = f"Basic {base64.b64encode(self.login.encode()).decode()}"
        if wanted and handler.headers["Authorization"] is None:
            raise Refused(403, 40301)
        if wanted and handler.headers["Authorization"] != wanted:
            raise Refused(401, 40101)


class _Handler(QuietHandler):
    server: NtfyServer
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self._publish()

    def do_POST(self) -> None:
        self._publish()

    def _publish(self) -> None:
        server = self.server
        server.requests += 1
        try:
            found = server.published(self)
        except Refused as refused:
            self._answer(refused.status, {"code": refused.code, "http": refused.status}, refused.headers)
            return
        with server.came:
            server.messages.append(found)
            server.came.notify_all()
        self._answer(200, {"id": "x", "event": "message", "sequence_id": found.sequence_id}, {})

    def _answer(self, status: int, body: dict, headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def ntfy_server() -> Iterator[NtfyServer]:
    """A server that runs."""
    server = NtfyServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60.0)
