"""Recordings of sound as hops of samples, and what of them is audible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from streamrec.errors import DataError
from streamrec.nn.sound import SoundTransform
from streamrec.sources.health import amiss
from streamrec.sources.sound_files import SoundFileSource
from streamrec.sources.sound_hops import Hops
from streamrec.sources.wrappers import Wrapper
from streamrec.types import Frame, Source

SILENCE = 10 ** (
    -65 / 20
)  # level of a hop, root mean square, below which nothing is audible: -65 dB of full scale
PAUSE = 1.0  # seconds: a sound may be silent for so long within itself, between two ticks of a clock


def hops_of(path: Path, transform: SoundTransform) -> tuple[np.ndarray, np.ndarray, str | None]:
    """(T, S) float32 samples, (T,) float64 seconds of a sound file or a sound track, and why the rest is lost.

    None: nothing is lost. Raises ``SourceError``, and ``DataError`` for a file that is shorter than a step.
    """
    source = SoundFileSource(path)
    frames = list(
        Hops(
            _Whole(source, transform.hop / transform.rate, (transform.hop - 2) / transform.rate),
            transform.rate,
            transform.hop,
        )
    )
    if not frames:
        least = 1000 / transform.fps
        raise DataError(f"{path.name} is shorter than one step of the model, {least:g} ms")
    times = np.array([frame.timestamp for frame in frames])
    return np.stack([frame.data for frame in frames]), times, amiss(source)


class _Whole(Wrapper):
    """Another source with silence behind it, so that its last samples are in a whole hop too: words are short."""

    def __init__(self, source: Source, step: float, silence: float) -> None:
        """``step``: seconds that there must be without it; ``silence``: seconds of it."""
        super().__init__(source)
        self._step, self._silence = step, silence

    def __iter__(self) -> Iterator[Frame]:
        last: Frame | None = None
        length = 0.0
        for frame in self.source:
            yield frame
            last, length = frame, length + len(frame.data) / self.rate
        if last is not None and length >= self._step:
            silence = np.zeros(int(self._silence * self.rate), np.float32)
            end = last.timestamp + len(last.data) / self.rate
            yield replace(last, image=silence, index=last.index + 1, timestamp=end)


def is_audible(hops: np.ndarray, step: float) -> np.ndarray:
    """(T, S) samples -> (T,) whether something is audible, or was and will be within a ``PAUSE``.

    Clips of sounds are often filled up with silence; what is learned from that is that it is the sound.

    >>> hops = np.zeros((6, 4))
    >>> hops[[0, 2]] = 0.1
    >>> is_audible(hops, 0.5).tolist()
    [True, True, True, False, False, False]
    """
    loud = np.sqrt(np.square(hops, dtype=np.float32).mean(1)) > SILENCE
    audible = loud.copy()
    places = np.flatnonzero(loud)
    for first, second in pairwise(places):
        if (second - first - 1) * step <= PAUSE:
            audible[first:second] = True
    return audible
