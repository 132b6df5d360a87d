"""Trees of plain values, arrays and known classes as bytes and back, bit for bit; nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import numpy as np

from streamrec.errors import StateError

_TREE = "tree"  # the name of the tensor that holds the tree as JSON


@dataclass(frozen=True, slots=True)
class Form:
    """How objects of one class become a tuple of values, and come back from it."""

    take: Callable[[Any], Iterable[Any]]
    make: Callable[..., Any]


class Packer:
    """Packs trees that hold None, numbers, texts, bytes, tuples, lists, dicts, sets, numpy values and ``kinds``.

    ``kinds``: the dataclasses and enums that may stand in a tree. ``forms``: other classes, and dataclasses that are
    not packed field by field. A class goes by its name: two of one name cannot be packed together.

    >>> packer = Packer()
    >>> packer.unpack(packer.pack({"scores": (0.5, float("inf")), 3: None}))
    {'scores': (0.5, inf), 3: None}
    """

    def __init__(self, kinds: Iterable[type] = (), forms: Mapping[type, Form] | None = None) -> None:
        self._forms = {kind: _form_of(kind) for kind in kinds} | dict(forms or {})
        self._made = {kind.__name__: form.make for kind, form in self._forms.items()}

    def pack(self, tree: Any) -> bytes:
        """The tree as bytes; raises ``TypeError`` for an object of any other class."""
        from safetensors.numpy import save

        arrays: list[np.ndarray] = []
        text = json.dumps(self._plain(tree, arrays), separators=(",", ":"))
        named = {str(number): np.ascontiguousarray(array) for number, array in enumerate(arrays)}
        return save({**named, _TREE: np.frombuffer(text.encode(), np.uint8)})

    def unpack(self, data: bytes) -> Any:
        """The tree that ``pack`` packed; its arrays are read-only. Raises ``StateError`` for anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(bytes(data))
            for array in arrays.values():
                array.setflags(write=False)
            return self._tree(json.loads(arrays[_TREE].tobytes()), arrays)
        except (
            SafetensorError, LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError
        ) as error:  # fmt: skip
            raise StateError(
                "these bytes are damaged, or were written by another version of streamrec"
            ) from error

    def _plain(self, value: Any, arrays: list[np.ndarray]) -> Any:
        if type(value) in (bool, int, float, str) or value is None:
            return value
        if type(value) in self._forms:
            taken = [self._plain(one, arrays) for one in self._forms[type(value)].take(value)]
            return {type(value).__name__: taken}
        if isinstance(value, np.ndarray | np.generic | bytes):
            array = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)
            arrays.append(array.reshape(1) if array.ndim == 0 else array)
            return {_word(value, array): len(arrays) - 1}
        if type(value) in (tuple, list, set, frozenset):
            return {type(value).__name__: [self._plain(one, arrays) for one in value]}
        if isinstance(value, Mapping):
            pairs = [[self._plain(key, arrays), self._plain(one, arrays)] for key, one in value.items()]
            return {"dict": pairs}
        raise TypeError(f"a {type(value).__name__} cannot be packed")

    def _tree(self, value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        if not isinstance(value, dict):
            return value
        ((word, held),) = value.items()
        if word in _OF_ARRAYS:
            return _OF_ARRAYS[word](arrays[str(held)])
        if word == "dict":
            return {self._tree(key, arrays): self._tree(one, arrays) for key, one in held}
        inner = [self._tree(one, arrays) for one in held]
        if word in _HOLDERS:
            return _HOLDERS[word](inner)
        return self._made[word](*inner)


# What stands for an array of the file.
_OF_ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "array": lambda array: array,
    "scalar": lambda array: array.reshape(()),
    "number": lambda array: array[0],
    "bytes": np.ndarray.tobytes,
}
_HOLDERS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple, "list": list, "set": set, "frozenset": frozenset
}  # fmt: skip


def _word(value: Any, array: np.ndarray) -> str:
    if isinstance(value, bytes):
        return "bytes"
    return "number" if isinstance(value, np.generic) else "array" if array.ndim else "scalar"


def _form_of(kind: Any) -> Form:
    if issubclass(kind, Enum):
        return Form(lambda one: (one.value,), kind)
    names = tuple(field.name for field in fields(kind))
    return Form(
        lambda one: [getattr(one, name) for name in names],
        lambda *values: kind(**dict(zip(names, values, strict=True))),
    )
