"""Events with their evidence as one zip, made as it is read: no file of the whole is ever written.

In it are ``clips/`` (videos and images as they were kept, blurred or not), ``events.jsonl`` (a line an event, its
``clip`` and ``thumbnail`` named as in the zip) and ``list.txt``: each file with its size and SHA-256, and a line for
all that is missing. Names are made of time, camera, action and id, safe on every system, and sorted.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from streamrec.core.files import open_regular
from streamrec.core.messages import why
from streamrec.core.text import printable, slug
from streamrec.errors import HistoryError
from streamrec.outputs.history.records import Entry

VIDEO_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}
IMAGE_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
MOST_EVENTS = 500
MOST_BYTES = 2 << 30  # of the evidence in one zip that the page makes
_CHUNK = 1 << 18
_EVIDENCE = (("clip", VIDEO_TYPES), ("thumbnail", IMAGE_TYPES))


@dataclass(frozen=True, slots=True)
class _File:
    """A file that goes into the zip."""

    name: str
    path: Path
    size: int  # bytes when it was found: no more are read
    moment: float


class Archive:
    """The zip of some events. ``absent``: ids that were asked for, and that no event has.

    ``size``: bytes of the evidence; ``missing``: what is not there, as sentences. Iterate over it once: it gives the
    bytes of the zip.
    """

    def __init__(self, entries: Iterable[Entry], absent: Sequence[str] = ()) -> None:
        self._entries = sorted(entries, key=lambda entry: entry.id)
        self.missing = [f"event {printable(id)}: there is no such event" for id in absent]
        self._files: dict[str, _File] = {}  # by path: events may share a video
        self._named: list[tuple[Entry, dict[str, str]]] = []  # each with its evidence: what, path
        taken: set[str] = set()
        for entry in self._entries:
            found = {}
            for what, types in _EVIDENCE:
                path = getattr(entry, what)
                if path is None:
                    continue
                file = self._files.get(path) or self._found(entry, what, Path(path), types, taken)
                if file is not None:
                    self._files[path] = file
                    found[what] = path
            self._named.append((entry, found))
        self.size = sum(file.size for file in self._files.values())

    def _found(
        self, entry: Entry, what: str, path: Path, types: dict[str, str], taken: set[str]
    ) -> _File | None:
        if path.suffix.lower() not in types:
            self._miss(entry, what, "it is no video or image")
            return None
        try:
            descriptor = open_regular(path)
        except (OSError, ValueError) as error:
            self._miss(entry, what, why(error) if isinstance(error, OSError) else "its name is damaged")
            return None
        size = os.fstat(descriptor).st_size
        os.close(descriptor)
        name = unique = f"clips/{_stem(entry)}"
        number = 1
        while f"{unique}{path.suffix.lower()}" in taken:
            number += 1
            unique = f"{name}-{number}"
        taken.add(f"{unique}{path.suffix.lower()}")
        return _File(f"{unique}{path.suffix.lower()}", path, size, entry.started)

    def _miss(self, entry: Entry, what: str, reason: str) -> None:
        self.missing.append(f"{what} of event {printable(entry.id)}: {reason}")

    def check(self, most: int = MOST_BYTES) -> None:
        """Raise ``HistoryError`` where the evidence is more than so many bytes."""
        if self.size > most:
            raise HistoryError(
                f"these events have {self.size / 1e9:.1f} GB of evidence, and an export holds at most "
                f"{most / 1e9:.1f} GB: select fewer"
            )

    def __iter__(self) -> Iterator[bytes]:
        pipe = _Pipe()
        listed: list[str] = []
        gone: set[str] = set()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
            for path, file in sorted(self._files.items(), key=lambda one: one[1].name):
                try:
                    descriptor = open_regular(file.path)
                except OSError as error:  # deleted since: retention, or by hand
                    self.missing.append(f"{file.name}: {why(error)}")
                    gone.add(path)
                    continue
                digest, count = hashlib.sha256(), 0
                with os.fdopen(descriptor, "rb") as source, archive.open(_info(file), "w") as member:
                    while data := source.read(min(_CHUNK, file.size - count)):
                        digest.update(data)
                        count += len(data)
                        member.write(data)
                        yield pipe.taken()
                listed.append(f"{digest.hexdigest()}  {count:>12}  {file.name}")
            for name, text in (
                ("events.jsonl", "".join(f"{line}\n" for line in self._lines(gone))),
                ("list.txt", _list(listed, self.missing)),
            ):
                archive.writestr(_text_info(name), text.encode("utf-8", "replace"))
                yield pipe.taken()
        yield pipe.taken()

    def _lines(self, gone: set[str]) -> Iterator[str]:
        """The events as JSON, with the names in the zip in place of paths on this machine."""
        for entry, found in self._named:
            names = {what: self._files[path].name for what, path in found.items() if path not in gone}
            shown = replace(entry, clip=names.get("clip"), thumbnail=names.get("thumbnail"))
            yield json.dumps(shown.to_dict(), ensure_ascii=False)


def _stem(entry: Entry) -> str:
    """A file's name without its ending: safe, and sorted by time.

    >>> _stem(Entry(id="a1", camera="../door", model="m", label="fight", started=0.0, confidence=1.0))
    '1970-01-01_000000-door-fight-a1'
    """
    moment = datetime.fromtimestamp(entry.started, UTC).strftime("%Y-%m-%d_%H%M%S")
    return f"{moment}-{slug(entry.camera)}-{slug(entry.label)}-{slug(entry.id)}"


def _info(file: _File) -> zipfile.ZipInfo:
    info = _text_info(file.name, file.moment)
    info.file_size = file.size  # so that a large file gets sizes of 64 bits
    return info


def _text_info(name: str, moment: float = 0.0) -> zipfile.ZipInfo:
    # A zip knows the years from 1980 to 2107.
    date = datetime.fromtimestamp(min(max(moment, 315_532_800.0), 4_354_819_199.0), UTC)
    info = zipfile.ZipInfo(name, date.timetuple()[:6])
    info.external_attr = 0o600 << 16
    return info


def _list(listed: list[str], missing: list[str]) -> str:
    lines = ["SHA-256, bytes and name of each file", *listed]
    lines += ["", f"missing: {len(missing)}", *(f"missing: {one}" for one in missing)]
    return "".join(f"{line}\n" for line in lines)


class _Pipe:
    """What a zip is written to; it cannot seek."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing to do."""

    def taken(self) -> bytes:
        """What was written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data
