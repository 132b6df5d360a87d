"""How many threads each part takes, in one place, so that they share the cores."""

from __future__ import annotations

import os

import cv2

SMALL = 25_000  # pixels; up to there a second thread speeds a step up little and takes a core from decoders


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def for_engine(pixels: int) -> int:
    """Threads of one step on frames of so many pixels; more than a few do not help a small CNN.

    >>> for_engine(80 * 64)
    1
    """
    return 1 if pixels <= SMALL else min(4, cores())


def for_encoding(threads: int | None = None) -> int:
    """How many frames a CNN encodes at the same time, each in one thread, where none depends on another.

    ``threads``: how many the caller allows; None: one for each core, up to four.
    """
    return min(4, cores()) if threads is None else threads


def for_decoder() -> int:
    """Threads of a video file's decoder: a core is left for the engine. A camera's decoder has one."""
    return max(1, min(4, cores() - 1))


def limit_opencv_threads() -> None:
    """Give OpenCV one thread: its pool would take a core from the engine for a resize of a fraction of a millisecond.

    The pool is shared by the whole process, so the commands call this, and an app may.
    """
    cv2.setNumThreads(1)


settle = limit_opencv_threads  # the name of before
