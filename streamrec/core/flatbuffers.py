"""FlatBuffers read as bytes: the weights of a .tflite file are taken out without a package for it.

https://flatbuffers.dev/internals
"""

from __future__ import annotations

import struct

import numpy as np


class Table:
    """A table of a FlatBuffer; its fields are read by number, every offset within the file.

    All methods raise ``ValueError`` where the file is damaged.
    """

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - self._read("<i", at)
        self._size = self._read("<H", self._fields)

    @classmethod
    def root(cls, data: memoryview) -> Table:
        """The table that a file begins with."""
        (at,) = struct.unpack_from("<I", data) if len(data) >= 4 else (0,)
        return cls(data, at)

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A scalar; ``kind`` as in ``struct``, ``default`` where the table does not have it."""
        at = self._place(field)
        return default if at is None else self._read("<" + kind, at)

    def numbers(self, field: int, kind: str) -> np.ndarray:
        """A vector of scalars, not copied; ``kind`` is a data type of numpy."""
        start, count = self._vector(field)
        return np.frombuffer(self._data, np.dtype(kind).newbyteorder("<"), count, start)

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        start, count = self._vector(field)
        places = np.frombuffer(self._data, "<u4", count, start).tolist()
        return [Table(self._data, start + 4 * number + offset) for number, offset in enumerate(places)]

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        offset = self._read("<H", self._fields + entry)
        return self._at + offset if offset else None

    def _vector(self, field: int) -> tuple[int, int]:
        """Where its first element is, and how many it has."""
        at = self._place(field)
        if at is None:
            return 0, 0
        at += self._read("<I", at)
        return at + 4, self._read("<I", at)

    def _read(self, kind: str, at: int) -> int:
        if not 0 <= at <= len(self._data) - struct.calcsize(kind):
            raise ValueError("an offset leads out of the file")
        (value,) = struct.unpack_from(kind, self._data, at)
        return value
