"""How many threads each part takes, in one place, so that they share the cores and do not fight over them."""

from __future__ import annotations

import os

import cv2

SMALL = 25_000  # pixels: up to there a second thread gains a step little and takes a core from decoders


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def for_engine(pixels: int) -> int:
    """Threads of one step on pictures of so many pixels; more than a few do not help a small CNN.

    >>> for_engine(80 * 64)
    1
    """
    return 1 if pixels <= SMALL else min(4, cores())


def for_prefetch(threads: int | None = None) -> int:
    """Threads that encode images ahead, each one image.

    ``threads``: what the caller allows; None: as many as there are cores, up to four.
    """
    return min(4, cores()) if threads is None else threads


def for_decoder() -> int:
    """Threads of a video file's decoder: a core is left for the engine. A camera's decoder has one."""
    return max(1, min(4, cores() - 1))


def settle() -> None:
    """OpenCV's pool would take a core from the engine for a resize of a fraction of a millisecond.

    It is one for the whole process, so this is for programs of our own, and for an app that wants it.
    """
    cv2.setNumThreads(1)
