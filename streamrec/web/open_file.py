"""Sending a file of the disk, with ranges: the one that was opened, whatever is at its path by then."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

from streamrec.core.files import open_regular
from streamrec.errors import need
from streamrec.web.access_control import Refused
from streamrec.web.readers import Reader, Readers

need("fastapi", extra="web")

from fastapi.responses import FileResponse  # noqa: E402

_DESCRIPTORS = Path("/dev/fd").exists()  # not on Windows
_KEPT = "private, max-age=3600"


async def open_file(
    places: Readers, path: Path, kind: str, missing: str, *, cache: str = _KEPT
) -> FileResponse:
    """The answer with a regular file, to which no link leads; raises ``Refused``: ``missing``, or busy."""
    reader = places.enter()
    try:
        descriptor = await asyncio.to_thread(open_regular, path)
    except BaseException as error:
        reader.leave()
        if not isinstance(error, OSError):
            raise
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise Refused(503, "busy", "too many files are open: try again") from error
        raise Refused(404, "not_found", missing) from error
    return _OpenFile(reader, path, descriptor, kind, cache)


class _OpenFile(FileResponse):
    """An answer from an open file, whatever is at its path by now; it is closed with the answer."""

    def __init__(self, reader: Reader, path: Path, descriptor: int, kind: str, cache: str) -> None:
        self._reader, self._descriptor = reader, descriptor
        try:
            super().__init__(
                f"/dev/fd/{descriptor}" if _DESCRIPTORS else path,
                media_type=kind,
                headers={"cache-control": cache},
                stat_result=os.fstat(descriptor),
            )
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        self._reader.leave()
        os.close(self._descriptor)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._reader.answer(
                lambda paced: super(_OpenFile, self).__call__(scope, receive, paced), send
            )
        finally:
            self._close()
