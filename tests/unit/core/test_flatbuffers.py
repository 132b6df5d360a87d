from __future__ import annotations

import numpy as np
import pytest

from streamrec.core.flatbuffers import Table
from tests.helpers.tflite import Writer, ints

FILE = Writer(b"TEST").root(
    {
        0: ("I", 7),
        2: ints(3, 1, 4),
        3: ("tables", [{0: ("b", -2)}, {1: ("vector", np.array([1.5, 2.5], np.float16))}]),
    }
)


def read(data: bytes) -> list[object]:
    root = Table.root(memoryview(data))
    first, second = root.tables(3)
    return [
        root.number(0, "I"),
        root.number(1, "I", default=5),
        root.numbers(2, "i4").tolist(),
        root.numbers(9, "i4").tolist(),
        first.number(0, "b"),
        second.number(0, "b"),
        second.numbers(1, "f2").tolist(),
    ]


def test_fields_are_read_by_number_and_a_missing_one_is_its_default_or_empty():
    assert read(FILE) == [7, 5, [3, 1, 4], [], -2, 0, [1.5, 2.5]]


def test_a_file_that_is_cut_off_or_damaged_raises_one_kind_of_error():
    for length in range(0, len(FILE), 3):
        with pytest.raises(ValueError):
            read(FILE[:length])
    numbers = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(FILE)
        damaged[numbers.integers(len(FILE))] = numbers.integers(256)
        try:
            read(bytes(damaged))
        except ValueError:
            continue
