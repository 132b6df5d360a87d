"""What an address shows, before it is saved: one frame, or a plot of the readings or the sound that comes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing

import numpy as np

from streamrec.errors import SourceError
from streamrec.outputs.plot import plot_of, plotted_of
from streamrec.sources.open import open_source
from streamrec.types import Frame

_SECONDS = 10.0  # that an address has to show something
_PLOTTED = 3.0  # seconds of readings
_MOST_ROWS = 2000


def snapshot(address: str, seconds: float = _SECONDS) -> np.ndarray:
    """One frame (H, W, 3) of an address, or a plot of its readings; raises ``StreamrecError``, in time."""
    source = open_source(address, retries=0)
    alarm = threading.Timer(seconds, source.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        with closing(iter(source)) as frames:  # type: ignore[type-var]
            for frame in frames:
                if frame.is_picture:
                    return frame.image
                return _plot([frame, *_rows(frames, frame.timestamp)], source.sense)
    finally:
        alarm.cancel()
    raise SourceError(f"it gave no picture within {seconds:g} s")


def _rows(frames: Iterable[Frame], begin: float) -> Iterator[Frame]:
    """The readings of the next seconds."""
    for frame in itertools.islice(frames, _MOST_ROWS):
        yield frame
        if frame.timestamp - begin >= _PLOTTED:
            return


def _plot(rows: list[Frame], sense: str) -> np.ndarray:
    times = np.array([row.timestamp for row in rows])
    plotted = [plotted_of(row, sense) for row in rows]
    return plot_of(np.stack([data for data, _ in plotted]), times, float(times[-1]), plotted[0][1])
