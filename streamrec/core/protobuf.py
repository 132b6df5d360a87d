"""Protocol Buffers read and written as bytes: an ONNX graph is checked and split without the package onnx."""

from __future__ import annotations

from collections.abc import Iterator

# Wire types: https://protobuf.dev/programming-guides/encoding
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message in order: their numbers and values; raises ``ValueError``, ``IndexError`` if damaged.

    >>> [(number, bytes(value)) for number, value in fields(memoryview(encoded(4, "Conv")))]
    [(4, b'Conv')]
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        value: int | memoryview
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind in (_BYTES, _FIXED64, _FIXED32):
            if kind == _BYTES:
                length, at = _varint(message, at)
            else:
                length = 8 if kind == _FIXED64 else 4
            if length > end - at:
                raise ValueError("a field is longer than what holds it")
            value, at = message[at : at + length], at + length
        else:
            raise ValueError("there is no such kind of field")
        yield number, value


def message_of(value: int | memoryview) -> memoryview:
    """The bytes of a message, a text or packed numbers; raises ``TypeError`` for a number."""
    if isinstance(value, int):
        raise TypeError("a number stands where a message is meant")
    return value


def text_of(value: int | memoryview) -> str:
    """A text; raises ``TypeError`` for a number, ``ValueError`` where it is not UTF-8."""
    return bytes(message_of(value)).decode("utf-8")


def name_in(message: memoryview, number: int) -> str:
    """The text that a message has in the field of this number, the last of them; "" where it has none."""
    name = ""
    for field, value in fields(message):
        if field == number:
            name = text_of(value)
    return name


def encoded(number: int, value: int | str | bytes | memoryview) -> bytes:
    """One field: a number from 0 on as a varint, a text, or the bytes of a message."""
    if isinstance(value, int):
        return _as_varint(number << 3 | _VARINT) + _as_varint(value)
    data = value.encode("utf-8") if isinstance(value, str) else bytes(value)
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(data)) + data


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where the next begins."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _as_varint(value: int) -> bytes:
    if value < 0:
        raise ValueError("a negative number is not written")
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
