"""Lost reference frames of H.264, found by their frame numbers.

FFmpeg flags a frame that lost a part of itself, not the one after a frame that was lost whole: it predicts from what
it has, and the output is torn until the next key frame. Some cameras send no key frames but renew the image strip by
strip (intra refresh), and mark when all of it is renewed. ITU-T H.264, 7.3, 7.4.3 and D.2.8.
"""

from __future__ import annotations

from collections.abc import Iterator

_SLICE, _IDR, _SEI, _SPS = 1, 5, 6, 7
_RECOVERY_POINT = 6  # a type of SEI message
_RICH = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # profiles with a chroma format
_HEAD = 64  # bytes of a unit that are parsed: more than an SPS without scaling lists or a slice header needs


class FrameNumbers:
    """Follows the frame numbers of one H.264 stream in Annex B form."""

    def __init__(self, extradata: bytes | None = None) -> None:
        self._bits: int | None = None  # of a frame number; None: not known, or gaps are allowed
        self._last: int | None = None  # the number of the last reference frame
        self._renewed_at: int | None = None  # the number at which a renewal that is under way is complete
        self.disposable = False  # whether no other frame is predicted from the last one
        self.anew = False  # whether it is an IDR: neither it nor any later frame needs one before it
        self.renewed = False  # whether it is whole, whatever was lost before the renewal that ends with it
        self.lost(extradata or b"")

    @property
    def known(self) -> bool:
        """Whether missing frames show in this stream's frame numbers."""
        return self._bits is not None

    def lost(self, packet: bytes) -> bool:
        """Parse the next frame; True: one that it may be predicted from is missing before it."""
        missing, self.disposable, self.anew, self.renewed = False, False, False, False
        begins: int | None = None  # a renewal with this frame, complete after so many more
        for head in _units(packet):
            kind, needed = head[0] & 31, head[0] >> 5 & 3
            if kind == _SPS:
                self._bits = _number_bits(head)
            elif kind == _SEI:
                begins = _recovery(head)
            elif kind == _IDR:
                self._last, self._renewed_at, self.anew = 0, None, True
                return False
            elif kind == _SLICE:
                self.disposable = not needed
                if self._bits is None:
                    return False
                bits = _Bits(head[1:])
                for _ in range(3):  # where it begins, its type, its parameters
                    bits.golomb()
                number, last = bits.take(self._bits), self._last
                if last is not None:
                    missing = number not in (last, (last + 1) % (1 << self._bits))
                if needed or missing:
                    self._last = number
                if missing:
                    self.damaged()
                if begins is not None:
                    self._renewed_at = (number + begins) % (1 << self._bits)
                self.renewed = number == self._renewed_at
                return missing
        return missing

    def forget(self) -> None:
        """The next frame may follow anything: some were skipped on purpose."""
        self._last = self._renewed_at = None

    def damaged(self) -> None:
        """The last frame is damaged: a renewal that is under way fails."""
        self._renewed_at, self.renewed = None, False


def _units(data: bytes) -> Iterator[bytes]:
    """The start of each NAL unit, without emulation prevention bytes."""
    at = data.find(b"\0\0\1")
    while 0 <= at < len(data) - 4:
        head = data[at + 3 : at + 3 + _HEAD]
        following = head.find(b"\0\0\1")
        head = (head if following < 0 else head[:following]).replace(b"\0\0\3", b"\0\0")
        if head:
            yield head
        at = data.find(b"\0\0\1", at + 3)


def _recovery(sei: bytes) -> int | None:
    """After how many frames all is renewed; None: this SEI contains no recovery point."""
    at = 1
    while at < len(sei) - 2:  # a message; at the end is a byte of padding
        kind, at = _sum(sei, at)
        size, at = _sum(sei, at)
        if kind == _RECOVERY_POINT:
            return _Bits(sei[at : at + size]).golomb()
        at += size
    return None


def _sum(data: bytes, at: int) -> tuple[int, int]:
    """A number coded as a sum of bytes, of which all but the last are 255, and where it ends."""
    total = 0
    while at < len(data) and data[at] == 255:
        total, at = total + 255, at + 1
    return (total + data[at] if at < len(data) else total), at + 1


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number; zeros where the data has ended."""
        self._left -= count
        if self._left < 0:
            return 0
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next number in Exp-Golomb code."""
        zeros = 0
        while self._left > 0 and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _number_bits(sps: bytes) -> int | None:
    """How many bits a frame number has; None where gaps are allowed, or the SPS is one that is not read here."""
    bits = _Bits(sps[4:])
    bits.golomb()
    if sps[1:2] and sps[1] in _RICH:
        if bits.golomb() == 3:
            return None  # three colour planes: no camera
        bits.golomb(), bits.golomb(), bits.take(1)
        if bits.take(1):
            return None  # scaling lists: no known camera has them
    number_bits = bits.golomb() + 4
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        return None
    bits.golomb()
    return None if bits.take(1) or number_bits > 16 else number_bits
