"""Which frames the recognizer looks at: those that come in the rhythm that its head learned."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from typing import Any

from streamrec.core.arguments import described, number
from streamrec.errors import PictureError, StreamrecError
from streamrec.types import Frame

EARLY = (
    0.78  # of a period from which on a frame counts as in time: cameras offer 1/2, 2/3, 3/4, 4/5, ... of it
)


def is_due(timestamp: float, last: float, fps: float) -> bool:
    """Whether a frame at ``timestamp`` is to be looked at when the last one looked at was at ``last`` (seconds).

    Spacing stays even: a 25 fps camera is seen at 12.5 fps by a head that learned 10, never 2 and 3 frames in
    turn. Time that went back is a new beginning, so the frame is due.

    >>> is_due(0.1, 0.0, fps=10.0), is_due(0.05, 0.0, fps=10.0), is_due(0.0, float("-inf"), fps=10.0)
    (True, False, True)
    """
    elapsed = timestamp - last
    return elapsed < 0.0 or elapsed >= EARLY / fps


def is_next(frame: Frame, last: Frame | None, fps: float) -> bool:
    """Whether a frame is to be looked at after ``last`` was: it is due, or the first, or a new segment begins."""
    return last is None or frame.segment != last.segment or is_due(frame.timestamp, last.timestamp, fps)


def due_frames(timestamps: Iterable[float], fps: float) -> list[int]:
    """Which of the frames at these timestamps (s) are looked at, by their numbers.

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
    """Pass on the frames that come in the rhythm of ``fps``, on the source's own clock.

    A slower camera passes whole; of a faster one the frames between are left out; a new segment begins at once.
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
    """A rhythm as a float, infinite for every picture; raises ``StreamrecError`` for what is none."""
    return number(fps, "fps", above=0.0, finite=False)
