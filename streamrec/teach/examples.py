"""The store of examples: one file that is only appended to, so that no kill loses a confirmed example.

A record is a magic number, its length, its checksum, and safetensors bytes: features of the frames in half precision,
their times, and their labels as metadata. ``add`` returns when the record is on the disk. A record that was
cut off at the end of the file (the process was killed while it wrote it, so that it was never confirmed) is dropped
and reported. What is removed, restored or relabelled is a record too: nothing is overwritten, and nothing unpickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrec.core.arguments import path_to_write
from streamrec.core.context import Closing
from streamrec.core.files import PRIVATE_FILE, make_private_folder
from streamrec.core.locks import Held, Lock
from streamrec.core.messages import described, shortened, why
from streamrec.core.text import printable
from streamrec.errors import TeachError

FORMAT = "streamrec teach 1"
_MAGIC = b"\x89STE"
_FRAME = struct.Struct("<4sII")  # magic, length, CRC-32 of the payload
_MOST_RECORD = 64 << 20  # bytes
_MOST_FILE = 4 << 30  # bytes
_LONGEST_LABEL = 200  # letters, as of a model's label

NOTHING = "nothing"  # the label of what is no action


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A part of a stream, and what it showed.

    ``features`` begin a little before ``start``: what was before is a part of what a frame is judged by.
    """

    label: str
    start: float  # seconds on the source's clock
    end: float
    times: np.ndarray  # (T,) float64, seconds on the source's clock
    features: np.ndarray  # (T, F) float32
    id: int = 0  # 0: it is in no store yet
    source: str = ""  # name of the stream; never holds a password
    made: float = 0.0  # time.time() when it was added
    origin: str = "taught"  # how it came here: "taught", or a correction's kind
    note: str = ""
    run: str = ""  # of which run of the stream: times of different runs do not compare
    pictures: tuple[bytes, ...] = field(default=(), repr=False)  # JPEG, the first to the last; only if asked
    # (T,) float32 of the person: the body's length in heights of the picture, 0 where no person is seen; None: not kept
    sizes: np.ndarray | None = field(default=None, repr=False)

    @property
    def within(self) -> np.ndarray:
        """(T,) bool: the frames that the label is about."""
        return (self.times >= self.start - 1e-6) & (self.times <= self.end + 1e-6)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    @property
    def size(self) -> float | None:
        """How large the person is, the median; None: that was not kept, or they are not seen half of the time."""
        if self.sizes is None:
            return None
        within = self.sizes[self.within]
        seen = within[within > 0]
        return float(np.median(seen)) if 2 * len(seen) >= max(1, len(within)) else None

    def __repr__(self) -> str:
        return f"<Example {self.id}: {self.label}, {self.seconds:.1f} s from {self.start:.1f} s>"


@dataclass(frozen=True, slots=True)
class FeatureKind:
    """Which features a store holds: those of other encoders do not compare."""

    name: str  # of the encoder
    size: int
    backbone: str  # digest of its weights


class ExampleStore(Closing):
    """Examples in a file, or in memory alone where ``path`` is None. Any thread may call it.

    Raises ``TeachError`` where the file is another's, in use, or of other features than ``kind``.
    """

    def __init__(self, path: str | Path | None, kind: FeatureKind) -> None:
        self.kind = kind
        self.notes: tuple[str, ...] = ()  # sentences about what was found on opening
        self._examples: dict[int, Example] = {}
        self._removed: dict[int, Example] = {}
        self._next = 1
        self._lock = threading.RLock()
        self._file: int | None = None
        self._held: Lock | None = None
        self._end = 0  # bytes that are good
        self.path = None if path is None else path_to_write(path, "the file of examples", error=TeachError)
        if self.path is not None:
            self._open(self.path)

    def __len__(self) -> int:
        return len(self._examples)

    @property
    def examples(self) -> tuple[Example, ...]:
        """Those that are not removed, in the order in which they were added."""
        with self._lock:
            return tuple(self._examples[number] for number in sorted(self._examples))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the examples but ``nothing``, in the order in which they first came."""
        return tuple(dict.fromkeys(example.label for example in self.examples if example.label != NOTHING))

    def __getitem__(self, number: int) -> Example:
        with self._lock:
            if number not in self._examples:
                raise TeachError(f"there is no example {shortened(number)}; there are {self._listed()}")
            return self._examples[number]

    def add(self, example: Example) -> Example:
        """Keep an example: when this returns, it is on the disk. Returns it with its id."""
        check_label(example.label)
        if example.features.shape != (len(example.times), self.kind.size) or not len(example.times):
            raise TeachError(
                f"the example has features {example.features.shape}, and this file holds {self.kind.size} a frame"
            )
        with self._lock:
            example = replace(
                example,
                id=self._next,
                features=example.features.astype(np.float16).astype(np.float32),
                times=np.asarray(example.times, np.float64),
            )
            arrays = {"features": example.features.astype(np.float16), "times": example.times}
            if example.sizes is not None:
                arrays["sizes"] = example.sizes.astype(np.float16)
            arrays |= {
                f"picture.{n}": np.frombuffer(data, np.uint8) for n, data in enumerate(example.pictures)
            }
            about = {
                "record": "example",
                "id": str(example.id),
                **{name: getattr(example, name) for name in ("label", "source", "origin", "note", "run")},
                **{name: repr(float(getattr(example, name))) for name in ("start", "end", "made")},
            }
            self._append(arrays, about)
            self._examples[example.id] = example
            self._next += 1
            return example

    def remove(self, number: int) -> Example:
        """Take an example out; ``restore`` brings it back."""
        with self._lock:
            example = self[number]
            self._append({}, {"record": "remove", "id": str(number)})
            self._removed[number] = self._examples.pop(number)
            return example

    def restore(self, number: int) -> Example:
        """Bring back an example that was removed."""
        with self._lock:
            if number not in self._removed:
                raise TeachError(f"example {shortened(number)} was not removed")
            self._append({}, {"record": "restore", "id": str(number)})
            self._examples[number] = self._removed.pop(number)
            return self._examples[number]

    def relabel(self, number: int, label: str) -> Example:
        """Give an example another label."""
        check_label(label)
        with self._lock:
            example = replace(self[number], label=label)
            self._append({}, {"record": "relabel", "id": str(number), "label": label})
            self._examples[number] = example
            return example

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            if self._held is not None:
                self._held.release()
                self._held = None

    def _listed(self) -> str:
        numbers = sorted(self._examples)
        return ", ".join(map(str, numbers[:20])) + (", ..." if len(numbers) > 20 else "") or "none"

    def _open(self, path: Path) -> None:
        shown = printable(str(path))
        try:
            if path.is_dir():
                raise TeachError(f"{shown} is a folder; examples are kept in a file, like mine.teach")
            make_private_folder(path.parent)
            is_new = not path.exists() or path.stat().st_size == 0
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            self._file = os.open(path, flags, PRIVATE_FILE)
            self._held = Lock(path)
            if is_new:
                self._append(
                    {}, {"record": "header", **{n: str(getattr(self.kind, n)) for n in _KIND_FIELDS}}
                )
                _sync_folder(path.parent)
            else:
                self._read(path)
        except Held as error:
            self.close()
            raise TeachError(
                f"{shown} is in use by another streamrec: stop it, or name another file"
            ) from error
        except OSError as error:
            self.close()
            raise TeachError(f"the examples in {shown} cannot be opened: {why(error)}") from error
        except BaseException:
            self.close()
            raise

    def _read(self, path: Path) -> None:
        shown = printable(str(path))
        if path.stat().st_size > _MOST_FILE:
            raise TeachError(f"{shown} is too large for a file of examples")
        data = path.read_bytes()
        at, lost, first = 0, 0, True
        while at < len(data):
            found = _record_at(data, at)
            if found is None:
                if first:
                    raise TeachError(f"{shown} is no file of examples; name another one")
                following = _next_record(data, at + 1)
                if following is None:
                    break  # a torn tail
                lost, at = lost + 1, following
                continue
            payload, at = found
            try:
                arrays, about = _parsed(payload)
                if first:
                    self._check_header(about, shown)
                else:
                    self._take(arrays, about)
            except (KeyError, ValueError, SafetensorError) as error:
                if first:
                    raise TeachError(f"{shown} is no file of examples; name another one") from error
                lost += 1
            first = False
        if at < len(data):
            assert self._file is not None
            os.ftruncate(self._file, at)
            os.fsync(self._file)
            self.notes += ("the last record was cut off while it was written; it is dropped",)
        if lost:
            self.notes += (f"{lost} damaged record{'s were' if lost > 1 else ' was'} passed over in {shown}",)
        self._end = at

    def _check_header(self, about: Mapping[str, str], shown: str) -> None:
        if about.get("record") != "header" or about.get("format") != FORMAT:
            raise TeachError(f"{shown} is no file of examples of this version; name another one")
        if about.get("backbone") != self.kind.backbone or about.get("size") != str(self.kind.size):
            raise TeachError(
                f"the examples in {shown} were seen by another encoder than {self.kind.name} of this version: "
                "teach into a new file"
            )

    def _take(self, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
        """One record into memory."""
        record, number = about["record"], int(about["id"])
        if record == "example":
            check_label(about["label"])
            features = arrays["features"].astype(np.float32)
            times = arrays["times"].astype(np.float64)
            if features.shape != (len(times), self.kind.size) or not np.isfinite(features).all():
                raise ValueError("features of another size")
            sizes = arrays.get("sizes")  # missing in files of before
            if sizes is not None and sizes.shape != times.shape:
                raise ValueError("sizes of another length")
            pictures = sorted((n for n in arrays if n.startswith("picture.")), key=lambda n: int(n[8:]))
            self._examples[number] = Example(
                about["label"],
                float(about["start"]),
                float(about["end"]),
                times,
                features,
                number,
                about.get("source", ""),
                float(about["made"]),
                about.get("origin", ""),
                about.get("note", ""),
                about.get("run", ""),
                tuple(arrays[n].tobytes() for n in pictures),
                None if sizes is None else sizes.astype(np.float32),
            )
            self._next = max(self._next, number + 1)
        elif record == "remove":
            self._removed[number] = self._examples.pop(number)
        elif record == "restore":
            self._examples[number] = self._removed.pop(number)
        elif record == "relabel":
            check_label(about["label"])
            self._examples[number] = replace(self._examples[number], label=about["label"])
        # Records of a later version are passed over.

    def _append(self, arrays: dict[str, np.ndarray], about: dict[str, str]) -> None:
        """Write a record and wait until it is on the disk; where that fails the file is as it was."""
        if self.path is None:
            return
        if self._file is None:
            raise TeachError(f"{printable(str(self.path))} is closed")
        payload = save(arrays, {"format": FORMAT, **about})
        record = _FRAME.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            rest = memoryview(record)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):  # a torn record is dropped when the file is opened again
                os.ftruncate(self._file, self._end)
            raise TeachError(
                f"the example could not be kept in {printable(str(self.path))}: {why(error)}"
            ) from error
        self._end += len(record)


_KIND_FIELDS = ("name", "size", "backbone")


def check_label(label: Any) -> str:
    """The label; raises ``TeachError`` for what no model's label may be."""
    if not isinstance(label, str) or not label.strip() or len(label) > _LONGEST_LABEL:
        raise TeachError(f"the label is {described(label)}: give a name of 1 to {_LONGEST_LABEL} letters")
    if printable(label) != label:
        raise TeachError(f"the label {shortened(label)} holds a character that is not printed")
    return label


def _record_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The payload of the record there, and where it ends; None: there is none, or it is damaged."""
    if len(data) - at < _FRAME.size:
        return None
    magic, length, checksum = _FRAME.unpack_from(data, at)
    begin = at + _FRAME.size
    if magic != _MAGIC or length > min(_MOST_RECORD, len(data) - begin):
        return None
    payload = data[begin : begin + length]
    return (payload, begin + length) if zlib.crc32(payload) == checksum else None


def _next_record(data: bytes, at: int) -> int | None:
    """Where the next whole record begins."""
    while (at := data.find(_MAGIC, at)) >= 0:
        if _record_at(data, at) is not None:
            return at
        at += 1
    return None


def _parsed(payload: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of safetensors bytes."""
    length = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + length])
    about = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise ValueError("metadata is no mapping of texts")
    return load(payload), about


def _sync_folder(folder: Path) -> None:
    """A new file's name too is to be on the disk."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
