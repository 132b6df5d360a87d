"""Results of a camera on another machine, and a ledger that a test can take away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamrec.outputs.fleet.ledger import Ledger
from streamrec.outputs.fleet.records import Batch, Claim, LedgerAway
from streamrec.outputs.fleet.wire import PACKER
from streamrec.outputs.history.entry_builder import EntryBuilder
from streamrec.outputs.history.records import RemoteResult
from streamrec.outputs.history.store import History
from streamrec.types import ActionEnded, ActionStarted, Event, Frame, Prediction, Result

LABELS = ("idle", "wave")


def result(camera: str, timestamp: float, *events: Event, segment: int = 0) -> Result:
    """A result of a frame of 40 x 30 pixels."""
    scores = np.array([0.25, 0.75], np.float32)
    frame = Frame(np.zeros((30, 40, 3), np.uint8), round(timestamp * 10), timestamp, segment, camera)
    return Result(frame, Prediction.of(scores, timestamp, LABELS), events)


def started(at: float, label: str = "wave") -> ActionStarted:
    return ActionStarted(label, at, 0.75)


def ended(began: float, at: float, label: str = "wave") -> ActionEnded:
    return ActionEnded(label, at, began, 0.9)


class Camera:
    """Makes the results of one camera of a file, as its group does: times are those of the file, from 1000 s on."""

    def __init__(self, name: str, memory: Any = None) -> None:
        self.name = name
        self._builder = EntryBuilder(lambda: 1000.0, repeatable=True)
        if memory is not None:
            self._builder.resume(name, memory)

    @property
    def memory(self) -> Any:
        return self._builder.memory(self.name)

    def at(self, timestamp: float, *events: Event) -> RemoteResult:
        made = result(self.name, timestamp, *events)
        entries = tuple(self._builder.build(made, "hands", live=False))
        seen = self._builder.last_seen[self.name]
        return RemoteResult(made.frame, made.prediction, made.events, entries=entries, seen=seen)


class Head:
    """A ledger over a history, and what a page would have been given."""

    def __init__(self, path: Any = None, clock: Callable[[], float] = lambda: 5000.0) -> None:
        self.history = History(path, keep_open=True, receivers=("phone",))
        self.announced: list[tuple[str, str]] = []
        self.history.start(lambda one: self.announced.append((str(one.kind), one.entry.label)))
        self.written: list[Any] = []
        self.clock = clock
        self.ledger = Ledger(self.history, self.write, clock=lambda: self.clock())

    def write(self, one: Any) -> None:
        self.written.append(one)
        self.history.note(one, "hands")

    def events(self) -> list[tuple[str, str, float, float | None]]:
        """Camera, label, start and duration of all events, the first one first."""
        found = self.history.query()
        return [
            (one.camera, one.label, one.started, None if one.duration is None else round(one.duration, 3))
            for one in reversed(found)
        ]

    def close(self) -> None:
        self.history.close()


class FlakyLedger:
    """A ledger that is away while ``away`` is true; it remembers what it was given.

    Batches come as the bytes that go from machine to machine.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.away, self.batches = ledger, False, list[Batch]()
        self.loses_answers = False

    def _answer(self) -> None:
        if self.away:
            raise LedgerAway("the head does not answer")

    def claim(self, group: str, machine: str, cameras: Sequence[str]) -> Claim:
        self._answer()
        return self.ledger.claim(group, machine, tuple(cameras))

    def save(self, batch: Batch) -> float:
        self._answer()
        at = self.ledger.save(PACKER.unpack(PACKER.pack(batch)))
        self.batches.append(batch)
        if self.loses_answers:
            raise LedgerAway("the head does not answer")
        return at

    def late(self, batch: Batch) -> int:
        self._answer()
        return self.ledger.late(PACKER.unpack(PACKER.pack(batch)))

    def superseded(self, group: str, epoch: int) -> bool:
        self._answer()
        return self.ledger.superseded(group, epoch)
