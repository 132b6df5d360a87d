"""A source as a model takes it: of the same sense, with its channels, on its clock, in its hops."""

from __future__ import annotations

from typing import Any

from streamrec.core.messages import channels_described
from streamrec.errors import SourceError
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.nn.config import ModelConfig
from streamrec.nn.signals import SignalTransform
from streamrec.nn.sound import SoundTransform
from streamrec.sources.resampling import Chosen, Resampled
from streamrec.sources.sound_hops import Hops
from streamrec.types import SIGNAL, VIDEO, Source

LARGEST_QUEUE = 1.0  # seconds of a live signal or of sound that may wait for the recognizer


def sense_of(recognizer: Any) -> str:
    """What a recognizer takes; an app's own object that steps like one may not say it: then pictures."""
    sense: str = getattr(recognizer, "sense", VIDEO)
    return sense


def fitted(source: Source, config: ModelConfig, name: str = "") -> Source:
    """The source as the model of this config takes it; raises ``SourceError`` where it is of another sense.

    ``name``: of the model.
    """
    transform = config.transform
    if source.sense != transform.sense:
        raise SourceError(
            f"{name or 'the model'} takes {transform.described}, and {source.name} is {_described(source)}"
        )
    if isinstance(transform, SoundTransform):
        return Hops(source, transform.rate, transform.hop, max_gap=config.max_gap)
    if not isinstance(transform, SignalTransform):
        return source
    source = Chosen(source, transform.channels)
    return Resampled(source, config.fps, config.max_gap) if transform.resamples else source


def _described(source: Source) -> str:
    if source.sense == SIGNAL:
        return f"readings of {channels_described(source.channels) if source.channels else 'sensors'}"
    return source.sense


def fitted_to(source: Source, recognizer: Any) -> Source:
    """``fitted`` to the model of a recognizer, or of an app's own object that steps like one."""
    return fitted(source, recognizer.config, getattr(recognizer, "name", ""))


def waiting_frames(source: Source, fps: float) -> int:
    """How many frames may wait for the recognizer: of a camera the newest alone; else each row or hop counts."""
    if not source.live:
        return max(4, 2 * source.together)
    return 1 if source.sense == VIDEO else max(4, round(LARGEST_QUEUE * fps))


def check_pictures(source: Source, still: float | None, count: RecurrenceSettings | None) -> None:
    """Raise ``SourceError`` where pictures are needed, and the source has none."""
    if source.sense != VIDEO and (still is not None or count is not None):
        what = "a motion gate (still)" if still is not None else "counting any motion (count)"
        raise SourceError(f"{source.name} has no pictures, and {what} needs them: leave it out")
