"""The settings of evidence: lengths and limits of its videos, and privacy (full, blur, none)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from streamrec.errors import SinkError


class Privacy(StrEnum):
    """How much of a camera's frames is kept."""

    full = "full"  # as they are
    blur = "blur"  # the whole frame, so blurred that a face which fills it has no feature
    # As blurred where people may be; the whole frame where people are not followed.
    blur_people = "blur-people"
    # As blurred but where people are; the whole frame where people are not followed.
    blur_others = "blur-others"
    none = "none"  # no frame is kept: only that something happened


PRIVACIES = "write full, blur or none; or blur-people or blur-others, where people are followed"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSettings:
    """The ``[evidence]`` table of cameras.toml."""

    folder: str = field(default="evidence", metadata={"path": True})
    before: float = 5.0  # seconds before the event
    after: float = 5.0  # seconds after it
    longest: float = 60.0  # seconds of one video; the later part of a long event is left out
    side: int = 640  # pixels of the long side at most
    overlay: bool = False  # with label and bars drawn over it
    privacy: str = "full"  # a ``Privacy``; a camera may have its own
    keep_days: float = 30.0  # 0: without limit
    max_gb: float = 10.0  # of the folder; the oldest video is deleted first. 0: without limit
    leave_free_gb: float = 0.5  # of the disk; with less no video is written

    def __post_init__(self) -> None:
        if self.privacy not in tuple(Privacy):
            raise SinkError(f"privacy is {self.privacy!r}: {PRIVACIES}")
        if self.side < 64:
            raise SinkError(f"side is {self.side} pixels: give at least 64")
        if self.longest <= self.before:
            raise SinkError(f"longest is {self.longest:g} s, and {self.before:g} s come before: give more")
