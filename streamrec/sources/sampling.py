"""Frame sampling: which frames a recognizer processes, at the sampling rate that its head was trained at."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from typing import Any

from streamrec.core.arguments import number
from streamrec.core.messages import described
from streamrec.errors import PictureError, StreamrecError
from streamrec.types import Frame

EARLY = 0.78  # of a period after which a frame is due: cameras offer 1/2, 2/3, 3/4, 4/5, ... of it


def is_due(timestamp: float, last: float, fps: float) -> bool:
    """Whether a frame at ``timestamp`` is due when the last processed one was at ``last`` (seconds).

    Spacing stays even: a 25 fps camera is sampled at 12.5 fps for a head of 10 fps, never every 2 and 3 frames in
    turn. A timestamp that goes back starts anew, so the frame is due.

    >>> is_due(0.1, 0.0, fps=10.0), is_due(0.05, 0.0, fps=10.0), is_due(0.0, float("-inf"), fps=10.0)
    (True, False, True)
    """
    elapsed = timestamp - last
    return elapsed < 0.0 or elapsed >= EARLY / fps


def is_next(frame: Frame, last: Frame | None, fps: float) -> bool:
    """Whether a frame is processed after ``last``: it is due, the first one, or the first of a new segment."""
    return last is None or frame.segment != last.segment or is_due(frame.timestamp, last.timestamp, fps)


def due_frames(timestamps: Iterable[float], fps: float) -> list[int]:
    """The indices of the due frames among those at these timestamps (s).

    >>> due_frames([0.0, 0.1, 0.2, 0.3, 0.4], 5.0)
    [0, 2, 4]
    """
    frames, last = [], -math.inf
    for index, timestamp in enumerate(timestamps):
        if is_due(timestamp, last, fps):
            frames.append(index)
            last = timestamp
    return frames


def pace(frames: Iterable[Frame], fps: float) -> Generator[Frame]:
    """Sample frames at ``fps`` frames a second, on the source's own clock.

    All frames of a slower camera are passed on; of a faster one those between are left out; the first frame of a
    segment always is passed on.
    """
    fps = check_fps(fps)
    if not isinstance(frames, Iterable):
        raise StreamrecError(f"pace takes frames, as a source gives them, not {described(frames)}")
    return _paced(frames, fps)


def _paced(frames: Iterable[Frame], fps: float) -> Generator[Frame]:
    last: Frame | None = None
    for frame in frames:
        if not isinstance(frame, Frame):
            raise PictureError(
                f"{described(frame)} is no frame: open_source(pictures) makes frames of pictures"
            )
        if is_next(frame, last, fps):
            last = frame
            yield frame


def check_fps(fps: Any) -> float:
    """A sampling rate as a float, infinite for every frame; raises ``StreamrecError`` for anything else."""
    return number(fps, "fps", above=0.0, finite=False)
