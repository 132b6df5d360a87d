"""Which frames the recognizer looks at: those that come in the rhythm that its head learned."""

from __future__ import annotations

EARLY = (
    0.78  # of a period from which on a frame counts as in time: cameras offer 1/2, 2/3, 3/4, 4/5, ... of it
)


def is_due(timestamp: float, last: float, fps: float) -> bool:
    """Whether a frame at ``timestamp`` is to be looked at when the last one looked at was at ``last`` (seconds).

    Spacing stays even: a 25 fps camera is seen at 12.5 fps by a head that learned 10, never 2 and 3 frames in
    turn. Time that went back is a new beginning, so the frame is due.

    >>> [n for n in range(10) if is_due(n / 30, -1.0 if n == 0 else (n - n % 3) / 30 - (n % 3 == 0) * 0.1, 10.0)]
    [0, 3, 6, 9]
    """
    elapsed = timestamp - last
    return elapsed < 0.0 or elapsed * fps >= EARLY
