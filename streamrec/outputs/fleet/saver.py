"""How a group saves: in order, to the ledger, or to its outbox while the ledger is away; and when it must stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streamrec.outputs.fleet.outbox import Outbox, Waiting
from streamrec.outputs.fleet.records import (
    FENCE_SECONDS,
    SAVE_SECONDS,
    Batch,
    CameraStatus,
    Claim,
    LedgerAway,
    LedgerService,
    Superseded,
)
from streamrec.outputs.fleet.wire import PACKER
from streamrec.outputs.history.records import RemoteResult
from streamrec.pipeline.snapshot import CameraSnapshot

_AT_ONCE = 50  # of what waits, in one batch


class HeadClock:
    """The head's time on another machine, as exactly as its answers allow.

    Each answer brings the head's time, and lies between the call and the return: the offset is moved into those bounds
    where it is outside of them, and otherwise stays.

    >>> clock = HeadClock(lambda: 100.0)
    >>> clock.answered(105.0, began=100.0, ended=100.2)
    >>> round(clock(), 3)
    104.9
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.local = clock
        self.offset = 0.0  # seconds by which the head is ahead
        self._known = False

    def __call__(self) -> float:
        """Seconds since 1970, by the head's clock."""
        return self.local() + self.offset

    def answered(self, head: float, *, began: float, ended: float) -> None:
        """A call that began and ended at these times of our clock was answered at this time of the head's."""
        low, high = head - ended, head - began
        self.offset = min(max(self.offset, low), high) if self._known else (low + high) / 2
        self._known = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a group has to save."""

    results: tuple[RemoteResult, ...] = ()
    snapshots: Mapping[str, CameraSnapshot | bytes] = field(default_factory=dict)
    cameras: tuple[CameraStatus, ...] = ()
    load: float = 0.0
    memory: int = 0
    interrupted: tuple[str, ...] = ()


class Saver:
    """Saves what a group offers, in order. ``offer`` returns at once; ``step`` saves, in one thread of its own.

    Where the ledger is away, what is offered goes to the ``outbox``, and leaves it in order once the ledger is back.
    After two periods without a save ``witness`` is asked whether a group of another machine can save: then this
    machine is ``cut_off``, and the group stops reading until it can save again. Where another process has claimed the
    group, it is ``superseded``: what it noted before that is brought to the ledger, and nothing else.
    """

    def __init__(
        self,
        ledger: LedgerService,
        outbox: Outbox,
        group: str,
        *,
        clock: HeadClock,
        witness: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
        log: Callable[[str], object] = lambda message: None,
    ) -> None:
        self._ledger, self._outbox, self._group = ledger, outbox, group
        self._clock, self._witness, self._monotonic, self._log = clock, witness, monotonic, log
        self.epoch = 0
        self._number = 0  # of the last batch
        self.superseded: Superseded | None = None
        self.cut_off = False
        self._offers: list[Offer] = []
        self._status = Offer()  # the newest
        self._interrupted: tuple[str, ...] = ()  # until the ledger has them
        self._changed = threading.Condition()
        self._saved = self._tried = monotonic()
        self._away = False

    @property
    def ago(self) -> float:
        """Seconds since the last save."""
        return self._monotonic() - self._saved

    def begin(self, machine: str, cameras: tuple[str, ...]) -> tuple[Claim, dict[str, bytes]]:
        """Claim the group; the claim, and the newest snapshots of its cameras. Raises ``LedgerAway``.

        What an earlier process left in the outbox is saved first: all of it where no other process has had the group
        since, and otherwise what began before that.
        """
        began = self._clock.local()
        claim = self._ledger.claim(self._group, machine, cameras)
        self._clock.answered(claim.at, began=began, ended=self._clock.local())
        self.epoch, self._number = claim.epoch, 0
        self._saved = self._monotonic()
        return claim, {**claim.snapshots, **self._bring_left(claim.previous, cameras)}

    def offer(self, offer: Offer) -> None:
        """Save this soon; any thread."""
        with self._changed:
            self._offers.append(offer)
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until something is offered."""
        with self._changed:
            self._changed.wait_for(lambda: self._offers, seconds)

    def step(self) -> bool:
        """Save what was offered; whether all of it is on the head's disk."""
        with self._changed:
            offers, self._offers = self._offers, []
        if offers:
            self._status = offers[-1]
        if self.superseded is not None:
            return False
        results = _results(offers)
        newest: dict[str, CameraSnapshot | bytes] = {}
        for one in offers:
            newest |= one.snapshots
        snapshots = {
            name: one if isinstance(one, bytes) else PACKER.pack(one) for name, one in newest.items()
        }
        self._interrupted += tuple(id for one in offers for id in one.interrupted)
        now = self._monotonic()
        if len(self._outbox) or (self._away and (results or snapshots)):
            self._outbox.put(self.epoch, results, snapshots)
            if self._away and now - self._tried < SAVE_SECONDS:
                return False
            done = self._try(self._drain)
            if self.superseded is not None:
                self._bring_late(())
            return done
        if not offers and now - self._saved < SAVE_SECONDS:
            return True
        batch = self._batch(results, snapshots)
        if self._try(lambda: self._save(batch)):
            return True
        if self.superseded is None:
            self._outbox.put(self.epoch, results, snapshots)
        else:
            self._bring_late(results)
        return False

    def _batch(self, results: tuple[RemoteResult, ...], snapshots: Mapping[str, bytes]) -> Batch:
        status = self._status
        return Batch(
            group=self._group,
            epoch=self.epoch,
            number=self._next(),
            results=results,
            snapshots=snapshots,
            cameras=status.cameras,
            load=status.load,
            memory=status.memory,
            waiting=len(self._outbox),
            interrupted=self._interrupted,
        )

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _save(self, batch: Batch) -> None:
        began = self._clock.local()
        head = self._ledger.save(batch)
        self._interrupted = ()
        self._clock.answered(head, began=began, ended=self._clock.local())

    def _drain(self) -> None:
        """Save what waits, the oldest first, and with the last of it the snapshots."""
        while True:
            waiting = self._outbox.oldest(_AT_ONCE)
            last = len(waiting) == len(self._outbox)
            own = self._outbox.snapshots() if last else {}
            self._save(self._batch(_results(waiting), {camera: body for camera, (_, body) in own.items()}))
            self._outbox.taken(waiting)
            if last:
                self._outbox.clear()
                return

    def _try(self, save: Callable[[], None]) -> bool:
        self._tried = self._monotonic()
        try:
            save()
        except Superseded as error:
            self.superseded = error
            self._log(str(error))
            return False
        except LedgerAway as error:
            if not self._away:
                self._log(f"{self._group}: {error}; what happens waits on this machine")
            self._away = True
            if self.ago >= FENCE_SECONDS and not self.cut_off and self._witness():
                self.cut_off = True
                self._log(
                    f"{self._group}: this machine is cut off from the head, and others are not: it stops"
                )
            return False
        if self._away:
            self._log(f"{self._group}: the head is back, and has all that happened")
        self._away = self.cut_off = False
        self._saved = self._monotonic()
        return True

    def _bring_left(self, previous: int, cameras: Collection[str]) -> dict[str, bytes]:
        """Bring what an earlier process left in the outbox; the snapshots in it that are still the newest.

        ``previous``: the epoch of the group that saved last. Raises ``LedgerAway``.
        """
        own, left = self._outbox.snapshots(), self._outbox.oldest()
        if not own and not left:
            return {}
        newest: dict[str, bytes] = {}
        if max([*(one.epoch for one in left), *(epoch for epoch, _ in own.values())]) == previous:
            newest = {camera: body for camera, (_, body) in own.items() if camera in cameras}
            self._ledger.save(
                Batch(
                    group=self._group,
                    epoch=self.epoch,
                    number=self._next(),
                    results=_results(left),
                    snapshots=newest,
                )
            )
        else:
            for epoch in sorted({one.epoch for one in left}):
                results = _results(one for one in left if one.epoch == epoch)
                self._late(epoch, results)
        self._outbox.clear()
        return newest

    def _late(self, epoch: int, results: tuple[RemoteResult, ...]) -> None:
        self._ledger.late(Batch(group=self._group, epoch=epoch, number=self._next(), results=results))

    def _bring_late(self, further: Iterable[RemoteResult]) -> None:
        """Bring what began before the group was claimed elsewhere."""
        results = tuple(one for one in (*_results(self._outbox.oldest()), *further) if one.events)
        if results:
            try:
                self._late(self.epoch, results)
            except LedgerAway as error:
                self._log(f"{self._group}: {error}; what happened before waits in {self._outbox.path}")
                return
        self._outbox.clear()


def bring_abandoned(ledger: LedgerService, own: Path) -> int:
    """Bring what groups that run elsewhere now have left in outboxes beside one's own; returns how many events.

    A group that moves because its machine died never comes back to what it had noted there. What began before the
    group was claimed elsewhere is taken, the rest is of no use. A damaged outbox is passed over: its own group
    reports it. Raises ``LedgerAway``.
    """
    brought = 0
    for path in sorted(set(own.parent.glob("*.db")) - {own}):
        group = path.stem
        with Outbox(path) as outbox:
            left = outbox.oldest()
            for epoch in sorted({one.epoch for one in left}):
                if ledger.superseded(group, epoch):
                    old = [one for one in left if one.epoch == epoch]
                    brought += ledger.late(Batch(group=group, epoch=epoch, number=0, results=_results(old)))
                    outbox.taken(old)
    return brought


def _results(parts: Iterable[Offer] | Iterable[Waiting]) -> tuple[RemoteResult, ...]:
    """All results of these, in order."""
    return tuple(result for one in parts for result in one.results)
