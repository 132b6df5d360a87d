"""A .tflite file of the structure of MoveNet with any weights, written by hand."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from streamrec.runtime.backbone_package import _layers

Field = tuple[str, Any]  # ("i", 3): a scalar of struct; ("vector", array); ("tables", list of fields)


class Writer:
    """Writes FlatBuffers: every table before what it refers to, its vtable before it."""

    def __init__(self, mark: bytes) -> None:
        self.data = bytearray(4) + mark

    def root(self, fields: Mapping[int, Field]) -> bytes:
        """The whole file."""
        struct.pack_into("<I", self.data, 0, self.table(fields))
        return bytes(self.data)

    def table(self, fields: Mapping[int, Field]) -> int:
        """Where the table begins."""
        places, size = {}, 4
        for number, (kind, _) in fields.items():
            places[number] = size
            size += struct.calcsize("<" + kind) if len(kind) == 1 else 4
        count = 1 + max(fields, default=-1)
        vtable = len(self.data)
        self.data += struct.pack(
            f"<HH{count}H", 4 + 2 * count, size, *(places.get(number, 0) for number in range(count))
        )
        start = len(self.data)
        self.data += struct.pack("<i", start - vtable) + bytes(size - 4)
        for number, (kind, value) in fields.items():
            at = start + places[number]
            if len(kind) == 1:
                struct.pack_into("<" + kind, self.data, at, value)
                continue
            struct.pack_into("<I", self.data, at, len(self.data) - at)
            self.data += struct.pack("<I", len(value))
            if kind == "vector":
                self.data += value.tobytes()
                continue
            slots = len(self.data)
            self.data += bytes(4 * len(value))
            for index, inner in enumerate(value):
                slot = slots + 4 * index
                struct.pack_into("<I", self.data, slot, self.table(inner) - slot)
        return start


def ints(*values: int) -> Field:
    """A vector of int32."""
    return "vector", np.array(values, np.int32)


def movenet_tflite(weights: Mapping[str, np.ndarray]) -> bytes:
    """The file of these weights, which are named as in ``MoveNet.state_dict``."""
    tensors: list[Mapping[int, Field]] = []
    buffers: list[Mapping[int, Field]] = [{}]
    dequantized: list[Mapping[int, Field]] = []
    convolutions: list[Mapping[int, Field]] = []
    for name in _layers():
        kernel = weights[f"{name}.weight"]
        depthwise = name.endswith("depthwise")
        bias = weights.get(f"{name}.bias", np.zeros(len(kernel), np.float16))
        inputs = [0]
        for array in (kernel.transpose(1, 2, 3, 0) if depthwise else kernel.transpose(0, 2, 3, 1), bias):
            stored = np.ascontiguousarray(array, np.float16)
            buffers.append({0: ("vector", stored.reshape(-1).view(np.uint8))})
            tensors.append({0: ints(*stored.shape), 1: ("b", 1), 2: ("I", len(buffers) - 1)})
            tensors.append({0: ints(*stored.shape), 2: ("I", 0)})
            dequantized.append({0: ("I", 2), 1: ints(len(tensors) - 2), 2: ints(len(tensors) - 1)})
            inputs.append(len(tensors) - 1)
        convolutions.append({0: ("I", int(depthwise)), 1: ints(*inputs), 2: ints(0)})
    codes = [{0: ("b", code), 3: ("i", code)} for code in (3, 4, 6)]
    graph = {0: ("tables", tensors), 3: ("tables", dequantized + convolutions)}
    return Writer(b"TFL3").root(
        {0: ("I", 3), 1: ("tables", codes), 2: ("tables", [graph]), 4: ("tables", buffers)}
    )
