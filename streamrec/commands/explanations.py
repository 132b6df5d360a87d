"""What ``--explain`` and the key e of the window show: a heat map over a picture, or the shades of a plot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from streamrec.errors import ModelError
from streamrec.outputs.overlay import draw_heat
from streamrec.pipeline.senses import sense_of
from streamrec.runtime.recent import Recent
from streamrec.runtime.recognizer import Followed, Recognizer
from streamrec.types import SIGNAL, Frame, Result

EVERY = 0.2  # seconds of a stream of readings between two explanations


def explanation_for(recognizer: Recognizer, model: str | None) -> Explanation:
    """Of what this recognizer predicts. ``model``: what it was loaded from; None: it is of several models."""
    return Reasons(model) if sense_of(recognizer) == SIGNAL else HeatMap(model)


class Explanation(ABC):
    """Explains results while it is switched on; the torch weights are loaded the first time."""

    shows: str  # in the window
    in_lines = False  # whether JSON Lines have it too

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._explainer: Any = None
        self._on = False

    def switch(self) -> None:
        """On, or off. Raises ``ModelError`` where the model cannot be explained."""
        if self._model is None:
            raise ModelError("an explanation is of one model alone: give one --model")
        if self._explainer is None:
            self._explainer = self._load(self._model)
        self._on = not self._on

    @abstractmethod
    def following(self, recognizer: Recognizer) -> Recognizer:
        """The recognizer to use, which remembers what an explanation needs."""

    def explained(self, result: Result) -> Result:
        """The result with what all outputs are given of the explanation."""
        return result

    def drawn(self, result: Result) -> Result:
        """The result as the window and the video show it."""
        return result

    @abstractmethod
    def _load(self, model: str) -> Any:
        """The explainer, which needs torch."""


class HeatMap(Explanation):
    """Where the model looked, drawn over the image."""

    shows = "where the model looked"

    def __init__(self, model: str | None) -> None:
        super().__init__(model)
        self._followed: Followed | None = None
        self._drawn: tuple[Result, Result] | None = None  # the last result, and the same with the heat map

    def following(self, recognizer: Recognizer) -> Recognizer:
        """One that remembers the state before the last step."""
        self._followed = Followed(recognizer)
        return self._followed

    def drawn(self, result: Result) -> Result:
        """With the heat map over its image, while that is on."""
        if self._drawn is None or self._drawn[0] is not result:
            self._drawn = result, self._draw(result)
        return self._drawn[1]

    def _draw(self, result: Result) -> Result:
        before = None if self._followed is None else self._followed.before(result.frame)
        if not self._on or before is None:
            return result
        frame = result.frame
        heat = self._explainer.heat(frame, before, result.prediction.label)
        return replace(result, frame=replace(frame, image=draw_heat(frame.image, heat)))

    def _load(self, model: str) -> Any:
        from streamrec.runtime.explain import Explainer

        return Explainer.load(model)


class Reasons(Explanation):
    """Which channels, and which of the last moments, spoke for the label: a part of the result."""

    shows = "which readings spoke for the label"
    in_lines = True

    def __init__(self, model: str | None) -> None:
        super().__init__(model)
        self._recent: Recent | None = None
        self._last: Frame | None = None  # that was explained

    def following(self, recognizer: Recognizer) -> Recognizer:
        """One that remembers the last seconds."""
        self._recent = Recent(recognizer)
        return self._recent

    def explained(self, result: Result) -> Result:
        """With its ``relevance``, while that is on and an explanation is due."""
        if not self._on or self._recent is None or not self._due(result):
            return result
        kept = self._recent.until(result.frame)
        if kept is None:
            return result
        self._last = result.frame
        return replace(result, relevance=self._explainer.relevance(*kept, result.prediction.label))

    def _due(self, result: Result) -> bool:
        """Each ``EVERY`` seconds, and with each event."""
        frame, last = result.frame, self._last
        if last is None or last.segment != frame.segment or result.events:
            return True
        return not 0.0 <= frame.timestamp - last.timestamp < EVERY - 1e-6

    def _load(self, model: str) -> Any:
        from streamrec.runtime.explain_signals import SignalExplainer

        return SignalExplainer.load(model)
