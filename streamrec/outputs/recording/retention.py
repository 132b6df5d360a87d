"""What is deleted of the recordings: what is too old, and the oldest of what is too much. Only files of ours."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from streamrec.core.clock_jumps import DAY, TrustedClock
from streamrec.outputs.recording.files import Segment, segments
from streamrec.settings.recording import RecordingSettings

_GB = 1e9


class Retention:
    """Deletes files of one folder as its settings say. Any thread.

    The newest file of each camera is never deleted, nor one that is being written. ``clock`` is not believed where it
    jumps (``core/clock_jumps.py``): nothing is deleted because of it.
    """

    def __init__(
        self,
        folder: Path,
        settings: RecordingSettings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._folder, self._settings, self._free = folder, settings, free
        self._lock = threading.Lock()
        known = max((one.written for one in segments(folder)), default=None)
        self._clock = TrustedClock(known, clock=clock, monotonic=monotonic)

    def prune(self, writing: Iterable[Path] = ()) -> list[Path]:
        """Delete what is to be deleted, and return it. Raises ``OSError`` where the folder is gone."""
        with self._lock:
            return self._prune(set(writing))

    def _prune(self, writing: set[Path]) -> list[Path]:
        settings, gone = self._settings, []
        now = self._clock.check()
        # A file from the future was written when the clock was wrong: it counts as the oldest.
        found = sorted(segments(self._folder), key=lambda one: (one.started <= now + DAY, one))
        newest = {one.camera: one.path for one in found}
        kept = writing | set(newest.values())
        sizes: dict[str, int] = {}
        for one in found:
            sizes[one.camera] = sizes.get(one.camera, 0) + one.size
        total = sum(sizes.values())
        oldest = self._clock.oldest(settings.keep_days) if settings.keep_days > 0 else 0.0
        needed = settings.leave_free_gb * _GB - self._free(self._folder)
        for one in found:
            too_old = _ended(one) < oldest
            too_much = 0 < settings.max_gb * _GB < total
            of_camera = 0 < settings.camera_gb * _GB < sizes[one.camera]
            if one.path in kept or not (too_old or too_much or of_camera or needed > 0):
                continue
            one.path.unlink(missing_ok=True)
            gone.append(one.path)
            sizes[one.camera] -= one.size
            total -= one.size
            needed -= one.size
        return gone


def _ended(segment: Segment) -> float:
    """When it ended, by its name where the file was written anew or touched later."""
    return min(max(segment.started, segment.written), segment.started + DAY)
