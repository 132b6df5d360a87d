"""Image files: the size is read from the header, so that no image is decoded that would fill the memory."""

from __future__ import annotations

import io
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from streamrec.core.messages import why
from streamrec.core.text import printable
from streamrec.errors import SourceError

MOST_PIXELS = 1 << 27  # 134 million, 400 MB as BGR: no camera of today makes so large an image
MOST_BYTES = 1 << 30  # of an image file: more than that many pixels take without compression
_KINDS = "BMP, JPEG, PNG, PGM, PPM, TIFF or WebP"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG that contain the size


def too_large(width: int, height: int) -> str | None:
    """The reason to refuse an image of this size; None: it may be decoded.

    >>> too_large(1920, 1080)
    >>> too_large(30000, 30000)
    'its pictures are 30000x30000, which is more than 134 million pixels; make them smaller'
    """
    if width * height <= MOST_PIXELS:
        return None
    most = MOST_PIXELS // 10**6
    return f"its pictures are {width}x{height}, which is more than {most} million pixels; make them smaller"


def read_picture(path: Path) -> np.ndarray:
    """The image of a file, (H, W, 3) uint8 BGR; raises ``SourceError``, and never waits for a pipe."""
    refused = f"{printable(str(path))} is not a picture that can be read"
    try:
        # Without waiting: opening a pipe that no program writes to would block.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise SourceError(f"{refused}: {why(error)}") from error
    try:
        with io.FileIO(handle) as file:
            facts = os.fstat(handle)
            if stat.S_ISDIR(facts.st_mode):
                raise SourceError(f"{refused}: it is a folder")
            if not stat.S_ISREG(facts.st_mode):
                raise SourceError(f"{refused}: it is a pipe or a device; remove it")
            if facts.st_size > MOST_BYTES:
                raise SourceError(f"{refused}: it has {facts.st_size / 1e9:.1f} GB; remove it")
            size = size_of(file)
            if size is None:
                raise SourceError(
                    f"{refused}: it is not a {_KINDS} file, or it is damaged; remove it or mend it"
                )
            if (large := too_large(*size)) is not None:
                raise SourceError(f"{refused}: {large}")
            file.seek(0)
            # Not cv2.imread: it cannot open paths with other than ASCII letters on every system.
            data = np.frombuffer(file.readall(), np.uint8)
    except OSError as error:
        raise SourceError(f"{refused}: {why(error)}") from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise SourceError(f"{refused}; remove it or mend it")
    return np.asarray(image)


def size_of(file: BinaryIO | io.FileIO) -> tuple[int, int] | None:
    """Width and height by an image's header; None where it is no image of a known kind.

    >>> size_of(io.BytesIO(b"P5 640 480 255 "))
    (640, 480)
    >>> size_of(io.BytesIO(b"buy milk"))
    """
    file.seek(0)
    head = file.read(512) or b""
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return _big(head[16:20]), _big(head[20:24])
    if head[:2] == b"\xff\xd8":
        return _of_jpeg(file)
    if head[:2] == b"BM":
        if _little(head[14:18]) == 12:
            return _little(head[18:20]), _little(head[20:22])
        return _signed(head[18:22]), _signed(head[22:26])
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return _little(head[6:8]), _little(head[8:10])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _of_webp(head)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _of_tiff(file, head)
    if found := re.match(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s", head):
        return int(found[1]), int(found[2])
    if head[:3] == b"P7\n":
        sides = [re.search(rb"\n" + side + rb" (\d{1,9})\n", head) for side in (b"WIDTH", b"HEIGHT")]
        return (int(sides[0][1]), int(sides[1][1])) if sides[0] and sides[1] else None
    if head[4:8] == b"ftyp" and (at := head.find(b"ispe")) >= 0:
        return _big(head[at + 8 : at + 12]), _big(head[at + 12 : at + 16])
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _signed(data: bytes) -> int:
    return abs(int.from_bytes(data, "little", signed=True))  # a negative height: from the top down


def _of_jpeg(file: BinaryIO | io.FileIO) -> tuple[int, int] | None:
    file.seek(2)
    for _ in range(10_000):
        head = file.read(2) or b""
        while len(head) == 2 and head[0] == 0xFF and head[1] == 0xFF:  # padding
            head = head[1:] + (file.read(1) or b"")
        if len(head) < 2 or head[0] != 0xFF:
            return None
        if head[1] == 0x01 or 0xD0 <= head[1] <= 0xD8:
            continue
        length = _big(file.read(2) or b"")
        if head[1] in _FRAMES:
            data = file.read(5) or b""
            return (_big(data[3:5]), _big(data[1:3])) if len(data) == 5 else None
        if length < 2:
            return None
        file.seek(length - 2, 1)
    return None


def _of_webp(head: bytes) -> tuple[int, int] | None:
    if head[12:16] == b"VP8 ":
        return _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF
    if head[12:16] == b"VP8L":
        bits = _little(head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if head[12:16] == b"VP8X":
        return _little(head[24:27]) + 1, _little(head[27:30]) + 1
    return None


def _of_tiff(file: BinaryIO | io.FileIO, head: bytes) -> tuple[int, int] | None:
    number = _little if head[:2] == b"II" else _big
    large = number(head[2:4]) == 43
    word, count, entry = (8, 8, 20) if large else (4, 2, 12)
    file.seek(number(head[8:16] if large else head[4:8]))
    sides: dict[int, int] = {}
    entries = min(number(file.read(count) or b""), 4096)
    for _ in range(entries):
        data = file.read(entry) or b""
        if len(data) < entry:
            break
        tag, kind = number(data[:2]), number(data[2:4])
        if tag in (256, 257):
            sides[tag] = number(data[4 + word :][: {3: 2, 4: 4, 16: 8}.get(kind, 4)])
    return (sides[256], sides[257]) if len(sides) == 2 else None
