"""A page whose camera reported things that were none, for tests of what people say of events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrec.events.detector import EventSettings
from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from streamrec.runtime.recognizer import Recognizer
from streamrec.teach.corrections import corrector
from streamrec.teach.corrections.corrector import Corrections
from streamrec.teach.corrections.known_events import NONE
from streamrec.types import Frame, Prediction

LABELS = ("wave", "idle")
SETTINGS = EventSettings(
    background=("idle",), enter=0.6, leave=0.4, smoothing=0.0, shortest=0.2, merge_gap=0.2
)
WORDS = ("idle", "wave", "tree")


class Scripted(Recognizer):
    """Says what a frame's ``truth`` asks for, a word and its score; each word has features of its own."""

    def __init__(self) -> None:
        self.name = "m"

    @property
    def configs(self):
        return {"m": None}

    def initial_state(self):
        return "idle"

    def step_many(self, frames, states):
        found = []
        for frame in frames:
            word, _, score = (frame.truth or "idle 0.05").partition(" ")
            scores = np.array([float(score), 1 - float(score)], np.float32)
            found.append((Prediction.of(scores, frame.timestamp, LABELS), word))
        return found

    def head_inputs(self, state):
        return {"m": np.eye(len(WORDS), dtype=np.float32)[[WORDS.index(state)]]}


@contextmanager
def corrected_page(open_page: Any, folder: Path, *, guarded: bool = True) -> Iterator[Any]:
    """A page whose camera reported ``tree`` five times as a wave, and a true wave three times."""
    patch = pytest.MonkeyPatch()
    patch.setattr(corrector, "fingerprint", lambda recognizer: {"m": np.zeros(3, np.float32)})
    with (
        History(folder / "events.db") as history,
        Corrections.open(folder / "events.corrections", known=lambda model: NONE) as corrections,
    ):
        page = open_page("door", history=history, corrections=corrections, guarded=guarded)
        recognizer = corrections.watching(Scripted())
        corrections.camera("door", {"m": SETTINGS}, {"m": LABELS})
        began, state = time.time() - 60, recognizer.initial_state()
        shown = ["idle 0.05"] * 20
        for word in ["tree 0.8"] * 5 + ["wave 0.7"] * 3:
            shown += [word] * 15 + ["idle 0.05"] * 30
        for n, truth in enumerate(shown):
            image = np.zeros((2, 2, 3), np.uint8)
            _, state = recognizer.step(Frame(image, n, n / 10, 0, "door", truth=truth), state)
        for n in range(8):
            at = 2.0 + 4.5 * n
            entry = Entry(
                id=new_id(began + at), camera="door", model="m", label="wave", started=began + at,
                ended=began + at + 1.5, timestamp=at, confidence=0.8 if n < 5 else 0.7,
            )  # fmt: skip
            history.add(entry)
            page.live.notify([entry])
        yield page
    patch.undo()
