"""The settings of continuous recording: where, in how long segments, and what is deleted when."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamrec.errors import SinkError
from streamrec.settings.evidence import PRIVACIES, Privacy


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """The ``[recording]`` table of cameras.toml."""

    folder: str = field(default="recordings", metadata={"path": True})
    segment: float = 600.0  # seconds of one file
    cameras: tuple[str, ...] = ()  # empty: all
    side: int = 1280  # pixels of the long side at most
    fps: float = 15.0  # frames a second at most
    kbit: int = 2000  # kilobits a second at most
    overlay: bool = False  # with label and bars drawn over it
    privacy: str = ""  # a ``Privacy``; a camera may have its own; "": as [evidence] has it, or full
    keep_days: float = 7.0  # 0: without limit
    max_gb: float = 50.0  # of the folder; the oldest file is deleted first. 0: without limit
    camera_gb: float = 0.0  # of each camera. 0: without limit
    leave_free_gb: float = 0.5  # of the disk

    def __post_init__(self) -> None:
        if self.privacy and self.privacy not in tuple(Privacy):
            raise SinkError(f"privacy is {self.privacy!r}: {PRIVACIES}")
        if self.side % 1 or self.side < 64:
            raise SinkError(f"side is {self.side} pixels: give at least 64")
