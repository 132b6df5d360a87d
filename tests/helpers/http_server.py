"""A camera for tests: pictures by HTTP on the loopback address, as IP-camera apps of phones serve them.

``python -m tests.helpers.http_server``: ``/video`` is an endless MJPEG stream, ``/shot.jpg`` one picture,
``/clip.mp4`` the file and ``/folder/...`` what is in the folder, if they are given. It prints ``READY
http://127.0.0.1:PORT/video`` when it listens, and
ends when its standard input is closed.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from tests.helpers.rtsp_server import CELL, stamp_rows

BOUNDARY = "picture"


def picture(number: int, fps: float, size: tuple[int, int]) -> bytes:
    """A JPEG of the test pattern: a bar that crosses a grey picture in two seconds, and the stamp."""
    width, height = size
    image = np.full((height, width, 3), 90, np.uint8)
    period = max(1, round(fps * 2))
    at = (width - width // 8) * (number % period) // period
    image[:, at : at + width // 8] = 200
    for row, bits in enumerate(stamp_rows(number, int(time.monotonic() * 1000))):
        for column, bit in enumerate(bits):
            y, x = row * CELL, column * CELL
            image[y : y + CELL, x : x + CELL] = 255 if bit == "1" else 0
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


class Camera(ThreadingHTTPServer):
    """What is served, and to whom."""

    daemon_threads = True

    def __init__(self, port: int, *, fps: float, size: tuple[int, int]) -> None:
        self.fps = fps
        self.size = size
        self.clip: Path | None = None
        self.folder: Path | None = None
        self.login = ""  # "user:password"; "": everybody
        self.numbers = itertools.count()
        super().__init__(("127.0.0.1", port), Handler)

    def parts(self, data: bytes, total: int) -> Iterable[bytes]:
        """The rest of a file of so many bytes, as it is sent."""
        return [data]


class QuietHandler(BaseHTTPRequestHandler):
    """A request that is not logged."""

    def log_message(self, *_: object) -> None:
        pass


class Handler(QuietHandler):
    """One request."""

    server: Camera
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        expected = "Basic " + base64.b64encode(self.server.login.encode()).decode()
        if self.server.login and self.headers["Authorization"] != expected:
            self._head(401, {"WWW-Authenticate": 'Basic realm="camera"', "Content-Length": "0"})
        elif self.path == "/video":
            self.close_connection = True
            kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
            self._head(200, {"Content-Type": kind, "Cache-Control": "no-store", "Connection": "close"})
            if send:
                self._write(self._parts())
        elif self.path == "/shot.jpg":
            data = picture(next(self.server.numbers), self.server.fps, self.server.size)
            self._head(200, {"Content-Type": "image/jpeg", "Content-Length": str(len(data))})
            if send:
                self._write([data])
        elif self.path == "/clip.mp4" and self.server.clip:
            self._file(self.server.clip.read_bytes(), send=send)
        elif (one := self._in_folder()) is not None:
            self._file(one.read_bytes(), send=send)
        else:
            self._head(404, {"Content-Length": "0"})

    def _in_folder(self) -> Path | None:
        name = re.fullmatch(r"/folder/([\w.-]+)", self.path)
        path = self.server.folder / name[1] if self.server.folder and name else None
        return path if path is not None and path.is_file() else None

    def _head(self, status: int, fields: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, data: bytes, *, send: bool) -> None:
        # A player asks for the end of an mp4 first, where the index may be.
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        kinds = {".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t"}
        fields = {"Content-Type": kinds.get(Path(self.path).suffix, "video/mp4"), "Accept-Ranges": "bytes"}
        status, total = 200, len(data)
        if asked and int(asked[1]) >= total:
            status, data = 416, b""
            fields["Content-Range"] = f"bytes */{total}"
        elif asked:
            first, last = int(asked[1]), min(int(asked[2] or total - 1), total - 1)
            status, data = 206, data[first : last + 1]
            fields["Content-Range"] = f"bytes {first}-{last}/{total}"
        self._head(status, fields | {"Content-Length": str(len(data))})
        if send:
            self._write(self.server.parts(data, total))

    def _parts(self) -> Iterator[bytes]:
        due = time.monotonic()
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            # After a stop, no running to catch up.
            due = max(due + 1 / self.server.fps, time.monotonic() - 0.5)
            data = picture(next(self.server.numbers), self.server.fps, self.server.size)
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            yield head.encode() + data + b"\r\n"

    def _write(self, parts: Iterable[bytes]) -> None:
        try:
            for part in parts:
                self.wfile.write(part)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the viewer left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="a video file for /clip.mp4")
    parser.add_argument("--folder", type=Path, help="files for /folder/")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    camera = Camera(arguments.port, fps=arguments.fps, size=(width, height))
    camera.clip, camera.folder = arguments.clip, arguments.folder
    camera.login = f"{arguments.user}:{arguments.password}" if arguments.user else ""
    threading.Thread(target=camera.serve_forever, daemon=True).start()
    print(f"READY http://127.0.0.1:{camera.server_address[1]}/video", flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # not waiting for the viewers


if __name__ == "__main__":
    main()
