"""Files behind HTTP that arrive as far as a test allows: what reads them is in the middle for as long as it says."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.helpers.http_server import QuietHandler

TRICKLE_SECONDS = 1.0  # a byte each, so that no reader gives up


class ArrivingFiles(ThreadingHTTPServer):
    """Serves files by their names; of each only a share, which a test raises, can be read."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = {name: path.read_bytes() for name, path in files.items()}
        self._share = 0.0
        self._changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), Handler)

    def allow(self, share: float) -> None:
        """Let this share of each file be read, from 0 to 1."""
        with self._changed:
            self._share = share
            self._changed.notify_all()

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def parts(self, name: str, at: int) -> Iterator[bytes]:
        """The bytes of a file from a place on, as they are allowed."""
        data = self.files[name]
        while at < len(data):
            with self._changed:
                self._changed.wait_for(lambda at=at: self._share * len(data) > at, TRICKLE_SECONDS)
                end = max(int(self._share * len(data)), at + 1)
            yield data[at:end]
            at = end


class Handler(QuietHandler):
    """One request for a file, or for the rest of it."""

    server: ArrivingFiles
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        total = len(self.server.files[name])
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(total - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        try:
            for part in self.server.parts(name, start):
                self.wfile.write(part)
        except OSError:
            self.close_connection = True  # the reader left


@contextmanager
def arriving(**files: Path) -> Iterator[ArrivingFiles]:
    """Serve files, by these names, of which nothing can be read yet."""
    server = ArrivingFiles(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.allow(1.0)
        server.shutdown()
        server.server_close()
