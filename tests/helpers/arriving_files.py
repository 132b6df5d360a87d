"""Files behind HTTP that arrive as far as a test allows: what reads them is in the middle for as long as it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.http_server import Camera

TRICKLE_SECONDS = 1.0  # a byte each, so that no reader gives up


class ArrivingFiles(Camera):
    """Serves the files of a folder; of each only a share, which a test raises, can be read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(0, fps=1.0, size=(16, 16))
        self.folder = folder
        self._share = 0.0
        self._changed = threading.Condition()

    def allow(self, share: float) -> None:
        """Let this share of each file be read, from 0 to 1."""
        with self._changed:
            self._share = share
            self._changed.notify_all()

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/folder/{name}"

    def parts(self, data: bytes, total: int) -> Iterator[bytes]:
        """As of ``Camera``: as it is allowed."""
        begin = at = total - len(data)
        while at < total:
            with self._changed:
                self._changed.wait_for(lambda at=at: self._share * total > at, TRICKLE_SECONDS)
                end = max(int(self._share * total), at + 1)
            yield data[at - begin : end - begin]
            at = end


@contextmanager
def arriving(folder: Path) -> Iterator[ArrivingFiles]:
    """Serve the files of a folder, of which nothing can be read yet."""
    server = ArrivingFiles(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.allow(1.0)
        server.shutdown()
        server.server_close()
