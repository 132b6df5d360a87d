"""A teacher that learns nothing: what the command, the window and the page are tested with, without a model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from streamrec.errors import StreamrecError
from streamrec.types import ActionStarted, Frame, Prediction, Result

LABELS = ("idle", "wave")


@dataclass(frozen=True)
class FakeExample:
    id: int
    label: str
    start: float
    end: float
    pictures: tuple[bytes, ...] = ()

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass
class FakeTeacher:
    """Keeps examples in memory; ``gate`` holds a fit up until a test opens it."""

    examples_: dict[int, FakeExample] = field(default_factory=dict)
    removed: dict[int, FakeExample] = field(default_factory=dict)
    fits: list[tuple[str, ...]] = field(default_factory=list)
    saved: list[Path] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    now: float = 0.0
    refuses: str = ""  # why a fit is not possible
    pictures: tuple[bytes, ...] = ()
    report: Any = None
    recognizer: Any = field(default_factory=lambda: SimpleNamespace(name="webcam + mine"))

    def __post_init__(self) -> None:
        self.gate.set()
        self.number = 0

    @property
    def examples(self) -> tuple[FakeExample, ...]:
        return tuple(self.examples_[id] for id in sorted(self.examples_))

    def example(self, label: str, *, seconds: float = 2.0, at: float | None = None) -> FakeExample:
        end = self.now if at is None else at
        if end - seconds < -1e-6:
            raise StreamrecError(f"only {end:.1f} s were seen so far")
        self.number += 1
        made = FakeExample(self.number, label, end - seconds, end, self.pictures)
        self.examples_[made.id] = made
        return made

    def nothing(self, *, seconds: float = 60.0, at: float | None = None) -> FakeExample:
        return self.example("nothing", seconds=seconds, at=at)

    def remove(self, id: int) -> None:
        self.removed[id] = self.examples_.pop(id)

    def restore(self, id: int) -> None:
        self.examples_[id] = self.removed.pop(id)

    def relabel(self, id: int, label: str) -> None:
        self.examples_[id] = replace(self.examples_[id], label=label)

    def fit(self) -> Any:
        assert self.gate.wait(60.0)
        if self.refuses:
            raise StreamrecError(self.refuses)
        labels = tuple(example.label for example in self.examples)
        self.fits.append(labels)
        self.report = SimpleNamespace(
            accuracy=0.9, right=9, judged=10, advice=("show wave once more from further away",), seconds=0.25,
            false_events=0, nothing_seconds=74.0, false_per_hour=0.0, false_interval=(0.0, 180.0),
        )  # fmt: skip
        return self.report

    def save(self, path: Path) -> None:
        if not self.fits:
            raise StreamrecError("nothing was learned yet")
        self.saved.append(Path(path))
        Path(path).write_text(" ".join(self.fits[-1]), encoding="utf-8")

    def results(self, source: Any) -> Iterator[Result]:
        for frame in source:
            self.now = frame.timestamp
            yield result_at(frame.timestamp, image=frame.image)

    def close(self) -> None:
        pass

    def __enter__(self) -> FakeTeacher:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def result_at(
    timestamp: float, *, segment: int = 0, image: np.ndarray | None = None, started: str = ""
) -> Result:
    image = np.zeros((48, 64, 3), np.uint8) if image is None else image
    frame = Frame(image, round(timestamp * 10), timestamp, segment, "camera")
    events = (ActionStarted(started, timestamp, 0.9, "camera"),) if started else ()
    scores = np.array([0.9, 0.1], np.float32)
    return Result(frame, Prediction.of(scores, timestamp, LABELS), events)
