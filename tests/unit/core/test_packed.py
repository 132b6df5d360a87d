"""Trees as bytes: they come back as they were, to the bit, and nothing else is taken."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from streamrec.core.packed import Form, Packer
from streamrec.errors import StateError


@dataclass(frozen=True)
class Point:
    x: float
    more: Any = None


class Color(StrEnum):
    red = "red"


class Opaque:
    def __init__(self, value: int) -> None:
        self.value = value


PACKER = Packer((Point, Color), {Opaque: Form(lambda one: (one.value,), Opaque)})


@pytest.mark.parametrize(
    "tree",
    [
        None, True, 3, -0.0, float("inf"), 0.1 + 0.2, "Tür 'caf\\u00e9'", b"\0\xff", (), [], {}, (1, [2, {3: (4,)}]),
        {("a", None): {"b": (1.5, frozenset({2}))}}, {1, 2}, Point(1.0, (Point(2.0),)), [Color.red],
        {"tree": {"array": 1}},
    ],
)  # fmt: skip
def test_a_tree_comes_back_with_its_types(tree):
    found = PACKER.unpack(PACKER.pack(tree))
    assert found == tree and type(found) is type(tree) and repr(found) == repr(tree)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.uint8, bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_an_array_comes_back_to_the_bit_and_cannot_be_changed(kind, shape):
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape).astype(kind)
    found = PACKER.unpack(PACKER.pack([array]))[0]
    assert found.dtype == array.dtype and found.shape == array.shape and found.tobytes() == array.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        found[...] = 0


def test_a_number_of_numpy_stays_one_of_its_kind():
    found = PACKER.unpack(PACKER.pack(np.float32(0.1)))
    assert isinstance(found, np.float32) and found == np.float32(0.1)


def test_an_object_has_the_form_that_was_given_for_its_class():
    assert PACKER.unpack(PACKER.pack({"one": Opaque(7)}))["one"].value == 7


def test_an_object_of_another_class_is_refused():
    with pytest.raises(TypeError, match="a object cannot be packed"):
        PACKER.pack([object()])


@pytest.mark.parametrize("data", [b"", b"nonsense", PACKER.pack(Point(1.0))[:-1], PACKER.pack([1])[:20]])
def test_anything_else_is_refused(data):
    with pytest.raises(StateError, match="damaged, or were written by another version"):
        PACKER.unpack(data)


def test_a_number_without_a_value_is_refused():
    tree = np.frombuffer(b'{"number":0}', np.uint8)
    with pytest.raises(StateError, match="damaged, or were written by another version"):
        PACKER.unpack(save({"0": np.zeros(0), "tree": tree}))


def test_a_class_that_is_not_known_is_not_made():
    with pytest.raises(StateError):
        Packer().unpack(PACKER.pack(Point(1.0)))
