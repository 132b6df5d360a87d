"""Joining the slices of a frame that arrive in packets of their own.

FFmpeg takes parameter sets for the start of a frame; some encoders send them before each slice of a key frame. A
frame starts with its first slice: ITU-T H.264, 7.4.3 (first_mb_in_slice), H.265, 7.4.7.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av


@dataclass(frozen=True, slots=True)
class Whole:
    """The packet of a whole frame."""

    packet: Any
    incomplete: bool = False  # packets of RTP were lost while it was put together
    again: bool = False  # its first part was decoded alone before it was known that more belongs to it


class Joiner:
    """Packets of one stream in, whole frames out, each as soon as it is known to be whole.

    The number of packets of a frame is learned, apart for key frames and others, so that nothing waits while that
    number is constant. Where it varies, a frame waits for the start of the next one.
    """

    def __init__(self, codec: str, extradata: bytes | None = None) -> None:
        self._codec = codec if codec in ("h264", "hevc") else None
        self._length = _length_bytes(codec, extradata or b"")
        self._parts: dict[bool, int | None] = {True: 1, False: 1}  # None: it varies
        self._held: list[Any] = []
        self._incomplete = False
        self._is_key = False  # of the frame that is held, or came last
        self._last: list[Any] = []  # the parts of the last key frame that was put out
        self._pts: int | None = None  # of what is held, or came last
        self.cut = False  # some frame came in more packets than one

    def feed(self, packet: Any, *, incomplete: bool = False) -> list[Whole]:
        """The frames that are whole now. ``incomplete``: a part of this packet was lost on the way."""
        begins = None if self._codec is None else self._begins(packet)
        if begins is None:
            return [*self.flush(), Whole(packet, incomplete)]
        if begins:
            out = self.flush()
            self._is_key, self._held, self._incomplete = bool(packet.is_keyframe), [packet], incomplete
            self._last, self._pts = [], packet.pts
            return out + self._if_complete()
        if self._held:
            self._held.append(packet)
            self._incomplete = self._incomplete or incomplete
            return self._if_complete()
        # A frame that seemed to be whole continues; or its start was lost.
        if incomplete:
            return [Whole(packet, incomplete)]
        self.cut = True
        if not self._last:
            self._parts[self._is_key] = None
            return [Whole(packet)]
        self._last = parts = [*self._last, packet]
        self._parts[True] = None if self._parts[True] is None else len(parts)
        if self._parts[False] == 1:  # other frames may come so too
            self._parts[False] = None
        whole = _joined(parts)
        whole.pts = self._pts
        return [Whole(whole, again=True)]

    def flush(self) -> list[Whole]:
        """The frame that is held: the stream ends, or another frame starts."""
        held, self._held = self._held, []
        if not held:
            return []
        if not self._incomplete and self._parts[self._is_key] != len(held):
            self._learn(len(held))
        return [Whole(_joined(held), self._incomplete)]

    def _learn(self, parts: int) -> None:
        known = self._parts[self._is_key]
        self._parts[self._is_key] = parts if known is None else None

    def _if_complete(self) -> list[Whole]:
        if self._parts[self._is_key] != len(self._held):
            return []
        held, self._held = self._held, []
        self._last = held if self._is_key else []
        return [Whole(_joined(held), self._incomplete)]

    def _begins(self, packet: Any) -> bool | None:
        """Whether a packet starts with the first slice of a frame; None: there is no slice in it."""
        for head in _heads(bytes(packet), self._length):
            if self._codec == "h264" and head[0] & 31 in (1, 2, 5):
                return bool(head[1:2] and head[1] & 128)  # a one: the number 0 in Exp-Golomb code
            if self._codec == "hevc" and head[0] >> 1 & 63 < 32:
                return bool(head[2:3] and head[2] & 128)
        return None


def _joined(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    packet = av.Packet(b"".join(bytes(part) for part in parts))
    packet.time_base = first.time_base
    packet.pts, packet.dts = first.pts, first.dts
    packet.is_keyframe = first.is_keyframe
    return packet


def _length_bytes(codec: str, extradata: bytes) -> int:
    """Bytes of the length before each unit (RTMP, MP4); 0: units begin with start codes."""
    at = {"h264": 4, "hevc": 21}.get(codec, 0)
    return (extradata[at] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > at else 0


def _heads(data: bytes, length: int) -> Iterator[bytes]:
    """The first bytes of each unit."""
    at = 0
    if length:
        while at + length < len(data):
            size = int.from_bytes(data[at : at + length], "big")
            yield data[at + length : at + length + 4]
            at += length + size
        return
    while (at := data.find(b"\0\0\1", at)) >= 0:
        at += 3
        if head := data[at : at + 4]:
            yield head
