"""How many bytes a video file should have, by its own header, so that one that was cut off is noticed."""

from __future__ import annotations

from streamrec.sources.file_bytes import LocalFile, VideoBytes

# What stands in a WAV of a pipe, whose length is not known: nothing, or the greatest one that a writer counts to
# (arecord and SoX near 2 GiB, FFmpeg near 4 GiB), with or without the bytes of the header.
_UNKNOWN_WAV = (range(1), range(0x7FFFF000, 0x80000100), range(0xFFFFF000, 0x100000000))
SLACK = 1024  # bytes by which writers of AVI and WMV err


def missing_bytes(file: VideoBytes) -> int:
    """How many bytes a local file lacks by its own header; 0: it is complete, or the header does not contain a length.

    Matroska and WebM, AVI, WAV, WMV, and MP4 with its relatives contain it; MPEG-TS consists of whole packets.
    """
    if not isinstance(file, LocalFile):
        return 0
    place = file.tell()
    try:
        return max(0, _expected(file) - (file.size or 0))
    except (OSError, IndexError, ValueError):
        return 0
    finally:
        file.seek(place)


def _expected(file: LocalFile) -> int:
    """The length in bytes by the header; 0: not known."""
    file.seek(0)
    head = file.read(64)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        length, at = _vint(head, 4)
        at += length or 0
        file.seek(at)
        head = file.read(12)
        if head[:4] != b"\x18\x53\x80\x67":
            return 0
        length, after = _vint(head, 4)
        return 0 if length is None else at + after + length
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WEBP"):
        return 8 + int.from_bytes(head[4:8], "little") - SLACK
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        length = int.from_bytes(head[4:8], "little")
        unknown = any(length in lengths for lengths in _UNKNOWN_WAV)
        return 0 if unknown else 8 + length
    if head[:4] == b"\x30\x26\xb2\x75":  # ASF: WMV
        file.seek(0)
        head = file.read(1 << 16)
        at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
        return 0 if at < 0 else int.from_bytes(head[at + 40 : at + 48], "little") - SLACK
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"styp"):
        return _end_of_boxes(file)
    if head[:1] == b"\x47" and all(file.size % each for each in (188, 192, 204) if file.size):
        return (file.size or 0) // 188 * 188 + 188
    return 0


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """A length of EBML and where it ends; None: unknown, as in a file that is still recorded."""
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), at + width


def _end_of_boxes(file: LocalFile) -> int:
    at = 0
    for _ in range(100_000):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return at
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            return 0  # it extends to the end, or is no box
        if not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in head[4:8]):
            return 0  # data after the last box
        at += length
        if at >= (file.size or 0):
            return at
    return 0
