"""A stand-in for a server of vision models, which checks what the OpenAI-compatible API and Ollama's demand.

``POST /v1/chat/completions``: a known model, messages of text and image_url parts with data URLs of real JPEGs, a
``response_format`` of the documented form. ``POST /api/chat``: ``images`` in base64, ``format``, ``stream``.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

from tests.helpers.http_server import QuietHandler


def verdict(word: str, description: str = "Two people stand at a door.") -> str:
    """The JSON that a well-behaved model answers."""
    return json.dumps({"verdict": word, "description": description})


class ModelServer:
    """It answers with ``says``: a text, a status, or one of ``hang``, ``huge``, ``stream``, ``refuse``, ``broken``."""

    def __init__(
        self, says: str | int = verdict("yes"), *, token: str = "", model: str = "eye", port: int = 0
    ) -> None:
        self.says: Any = says
        self.token, self.model = token, model
        self.questions: list[dict[str, Any]] = []  # the bodies
        self.images: list[list[np.ndarray]] = []  # of each question
        self.wrong: list[str] = []  # what no real server would take
        self.let_go = threading.Event()
        self.came = threading.Condition()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.server.daemon_threads = True
        self.place = f"127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(60.0)

    def wait(self, count: int, seconds: float = 60.0) -> list[dict[str, Any]]:
        """The questions, when there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.questions) >= count, seconds), self.wrong
            return list(self.questions)

    def check(self, path: str, body: Any) -> tuple[int, list[bytes]]:
        """Status, and the images."""
        if not isinstance(body, dict) or body.get("stream") is not False:
            return self._refuse("stream"), []
        if body.get("model") != self.model:
            return 404, []
        if path == "/v1/chat/completions":
            return self._openai(body)
        if path == "/api/chat":
            return self._ollama(body)
        return 404, []

    def _openai(self, body: dict[str, Any]) -> tuple[int, list[bytes]]:
        images = []
        system, user = body["messages"]
        if system["role"] != "system" or not isinstance(system["content"], str) or user["role"] != "user":
            return self._refuse("roles"), []
        for part in user["content"]:
            if part["type"] == "image_url":
                head, _, data = part["image_url"]["url"].partition(",")
                if head != "data:image/jpeg;base64":
                    return self._refuse("data URL"), []
                images.append(base64.b64decode(data, validate=True))
            elif part["type"] != "text" or not isinstance(part["text"], str):
                return self._refuse("parts"), []
        form = body.get("response_format")
        if form is not None and form["type"] == "json_schema":
            schema = form["json_schema"]
            strict = schema["schema"].get("additionalProperties") is False and schema["strict"] is True
            every = set(schema["schema"]["required"]) == set(schema["schema"]["properties"])
            if not (schema["name"] and strict and every):
                return self._refuse("json_schema"), []
        elif form not in (None, {"type": "json_object"}):
            return self._refuse("response_format"), []
        return 200, images

    def _ollama(self, body: dict[str, Any]) -> tuple[int, list[bytes]]:
        user = body["messages"][-1]
        if not isinstance(user["content"], str) or not isinstance(body["format"], dict):
            return self._refuse("content or format"), []
        return 200, [base64.b64decode(one, validate=True) for one in user["images"]]

    def _refuse(self, why: str) -> int:
        self.wrong.append(why)
        return 400

    def _wrapped(self, path: str, text: str) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if path == "/api/chat":
            return json.dumps({"model": self.model, "message": message, "done": True}).encode()
        if self.says == "refuse":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        return json.dumps(
            {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
        ).encode()

    def _streamed(self, path: str, text: str) -> bytes:
        pieces = [text[n : n + 7] for n in range(0, len(text), 7)]
        if path == "/api/chat":
            return b"".join(
                json.dumps({"message": {"content": one}, "done": False}).encode() + b"\n" for one in pieces
            )
        lines = [json.dumps({"choices": [{"delta": {"content": one}}]}) for one in pieces]
        return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()

    def _handler(server):
        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, found = server.check(self.path, body)
                if server.token and self.headers["Authorization"] != f"Bearer {server.token}":
                    status = 401
                images = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in found]
                if any(one is None for one in images):
                    status = server._refuse("JPEG")
                with server.came:
                    server.questions.append(body)
                    server.images.append(images)
                    server.came.notify_all()
                says = server.says(body) if isinstance(server.says, Callable) else server.says
                if says == "hang":
                    server.let_go.wait()
                    return
                if isinstance(says, int):
                    status = says
                data = server._wrapped(self.path, says if isinstance(says, str) else "")
                if says == "huge":
                    data = server._wrapped(self.path, "x" * 5_000_000)
                elif says == "stream":
                    data = server._streamed(self.path, verdict("no", "Nothing happens."))
                elif says == "broken":
                    data = b"<html>it works!</html>"
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler
