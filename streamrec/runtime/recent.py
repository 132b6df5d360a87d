"""A recognizer that remembers the last seconds of each stream, from which an explanation begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from streamrec.core.state import State
from streamrec.runtime.recognizer import Recognizer, RecognizerWrapper, check_recognizer
from streamrec.types import Frame, Prediction

SECONDS = 2.0


class Recent(RecognizerWrapper):
    """A recognizer that remembers the frames of each stream's last seconds, each with the state before its step.

    A ``SignalExplainer`` needs them; frames of readings are small. ``seconds``: how far back.

    >>> import numpy as np
    >>> recent = Recent(Recognizer.load("motion"))
    >>> frame, state = Frame(np.zeros(6, np.float32), 0, 0.0), recent.initial_state()
    >>> _ = recent.step(frame, state)
    >>> frames, before = recent.until(frame)
    >>> frames == [frame], before is state
    (True, True)
    """

    def __init__(self, recognizer: Recognizer, seconds: float = SECONDS) -> None:
        check_recognizer(recognizer, "Recent")
        super().__init__(recognizer)
        self._seconds = seconds
        self._kept: dict[str, deque[tuple[Frame, State]]] = {}  # by source

    def on_step(
        self,
        frames: Sequence[Frame],
        states: Sequence[State],
        steps: Sequence[tuple[Prediction, State]],
    ) -> None:
        """Remember the frames; a stream that begins anew forgets those before."""
        for frame, state in zip(frames, states, strict=True):
            kept = self._kept.setdefault(frame.source, deque())
            if kept and (kept[-1][0].segment != frame.segment or frame.timestamp < kept[-1][0].timestamp):
                kept.clear()
            kept.append((frame, state))
            while frame.timestamp - kept[0][0].timestamp > self._seconds + 1e-6:
                kept.popleft()

    def until(self, frame: Frame) -> tuple[list[Frame], State] | None:
        """The last frames up to this one, the oldest first, and the state before them.

        None where this frame is not the last of its source.
        """
        kept = self._kept.get(frame.source)
        if not kept or kept[-1][0] is not frame:
            return None
        return [one for one, _ in kept], kept[0][1]
