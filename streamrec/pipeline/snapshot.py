"""All that a watcher remembers of one camera, between two of its frames: from it another process goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from streamrec.core.state import State
from streamrec.runtime.recognizer import Recognizer, configs_of
from streamrec.types import Event, Frame, ModelResult, Prediction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoundSnapshot:
    """What is remembered of the sound beside a camera's pictures. No samples are in it.

    The sound of a live source begins anew elsewhere, for a state of its model has some milliseconds of samples.
    """

    models: tuple[tuple[str, tuple[str, ...]], ...]  # as of ``CameraSnapshot``
    frame: Frame | None = None  # the last hop that was recognized, without its samples
    captured: float = 0.0  # when it was captured, seconds since 1970
    state: State | None = None  # of a file
    latest: ModelResult | None = None  # of a file: the last prediction
    events: Any = None  # memory of the tracker
    found: tuple[tuple[Event, float], ...] = ()  # in no result yet; and when it was, seconds since 1970
    started: Mapping[str, float] = field(default_factory=dict)  # by label, on the clock of the pictures

    def fits(self, recognizer: Recognizer) -> bool:
        """Whether a recognizer is of the same model, and goes on from this state."""
        return self.models == models_of(recognizer) and (self.state is None or recognizer.accepts(self.state))

    def shifted(self, seconds: float) -> SoundSnapshot:
        """The same by a clock that is ahead by so many seconds."""
        found = tuple((event, moment + seconds) for event, moment in self.found)
        return replace(self, captured=self.captured + seconds, found=found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraSnapshot:
    """One camera after one of its frames. It holds references to values that never change, so taking it is quick."""

    models: tuple[tuple[str, tuple[str, ...]], ...]  # name and labels of each
    frame: Frame  # the last one that was recognized, without its pixels
    captured: float  # when it was captured, seconds since 1970
    live: bool
    state: State
    prediction: Prediction
    events: Any  # memory of ``ResultBuilder``: hysteresis, counts, lines
    gate: Any = None  # memory of the motion gate
    open: Any = None  # what the history remembers of the camera: the events that run
    sound: SoundSnapshot | None = None  # where it listens

    def fits(self, recognizer: Recognizer) -> bool:
        """Whether a recognizer is of the same models, and goes on from this state."""
        return self.models == models_of(recognizer) and recognizer.accepts(self.state)

    def shifted(self, seconds: float) -> CameraSnapshot:
        """The same by a clock that is ahead by so many seconds."""
        sound = None if self.sound is None else self.sound.shifted(seconds)
        return replace(self, captured=self.captured + seconds, sound=sound)


def models_of(recognizer: Recognizer) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names and labels of the models of a recognizer."""
    return tuple((name, tuple(config.labels)) for name, config in configs_of(recognizer).items())


def bare(frame: Frame) -> Frame:
    """The same frame without pixels: its image has the shape, and takes no memory.

    >>> bare(Frame(np.ones((480, 640, 3), np.uint8), 7, 0.7)).image.strides
    (0, 0, 0)
    """
    nothing = np.broadcast_to(np.uint8(0), frame.image.shape)
    return Frame(nothing, frame.index, frame.timestamp, frame.segment, frame.source)
