"""A file of pictures or sound, wherever it is: how it is named, opened, measured and interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from streamrec.core.address import quoted
from streamrec.core.redact import redact_address, secrets_of
from streamrec.core.text import printable
from streamrec.errors import SourceError
from streamrec.sources.file_bytes import STDIN, VideoBytes, existing, open_file
from streamrec.sources.remote_file import RemoteFile


class MediaFile:
    """A file on disk, in a pipe or behind an HTTP address, of which nothing is read yet.

    ``pipes``: a pipe may be read, and waited for. Raises ``SourceError`` where there is no such file.

    >>> file = MediaFile("https://me:secret@10.0.0.7/party.mp4", pipes=False)
    >>> file.name
    'https://***@10.0.0.7/party.mp4'
    """

    def __init__(self, path: str | Path, *, pipes: bool) -> None:
        text = str(path)
        self._pipes = pipes
        self._address = quoted(text) if "://" in text else ""  # never shown: it may hold a password
        self._data: VideoBytes | None = None  # while it is read
        self.left = False  # whether it was interrupted
        self.secrets: tuple[str, ...] = ()
        if self._address:
            self.name, self.secrets = redact_address(text), secrets_of(text)
            return
        piped = text in STDIN
        self._path = Path(path) if piped else existing(Path(path))
        self.name = printable("standard input" if piped else self._path.name)

    def seconds(self, measure: Callable[[VideoBytes], float | None]) -> float | None:
        """Its length as ``measure`` reads it from the header; None where it has none, or cannot be read twice."""
        if self._address or not self._path.is_file():
            return None
        try:
            with closing(open_file(self._path, pipes=False)) as data:
                return measure(data)
        except SourceError:
            return None

    @contextmanager
    def reading(self) -> Iterator[VideoBytes]:
        """Its bytes from the beginning, which ``interrupt`` ends; raises ``UnreadableError``."""
        try:
            data = RemoteFile(self._address) if self._address else open_file(self._path, pipes=self._pipes)
            self._data = data
            if self.left:
                data.interrupt()
            with closing(data):
                yield data
        finally:
            self._data = None

    def interrupt(self) -> None:
        """End a wait for a pipe or for a server."""
        self.left = True
        if (data := self._data) is not None:
            data.interrupt()
