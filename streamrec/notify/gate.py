"""The gate: decides of each event, once, whether receivers are notified of it.

An event passes the gate in the transaction that writes it into the history, in the history's thread. What is decided
(``Decision``) is kept with the event, so that its end, its evidence and a restart find the same:

- ``deliver``: its announcements are queued for the receivers, and each receiver is notified.
- ``keep``: it is in the history, on the page and in the other outputs; no receiver is notified, now or later.
- ``hold``: no receiver is notified until ``Gate.settle`` is called with another decision, or ``Decision.until`` has
  passed. Then all announcements that it has had so far follow, in order.

**The gate has parts.** A ``Decider`` is asked in the order in which it was added, and the first that does not deliver
decides. So an event that receivers are not notified of anyway is never held, and costs no second opinion. After a hold
only the part that held the event is asked again. A part that fails with an exception is left out for this event, with a
message: an alarm too many is better than one too few.

Outputs are no receivers: the page, lines, video and plug-in sinks get every event at once, whatever is decided.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from streamrec.outputs.history.records import DELIVER, Decision, Entry, Outcome
from streamrec.outputs.history.store import History

_AGAIN_SECONDS = 1.0  # before a hold whose time-out passed is settled again, where that was not written


class Decider(ABC):
    """One part of the gate. ``name`` is the ``Decision.by`` of its decisions, and stays the same across restarts."""

    name: str

    @abstractmethod
    def decide(self, entry: Entry) -> Decision:
        """Decide on a new event; called in the history's thread, within a transaction.

        It must return at once: it waits for no disk, network or lock that is held for long, and calls nothing of the
        history. Work that takes time is handed to a thread, and the answer is ``hold``; ``settle`` follows. It may be
        called again for the same event, where the transaction failed. ``entry`` is as it is written: running, or over.
        """

    def attach(self, gate: Gate) -> None:  # noqa: B027 (most parts hold nothing)
        """The gate that asks this part, for ``Gate.settle``; called by ``Gate.add``."""

    def resume(self, entry: Entry) -> None:  # noqa: B027 (most parts hold nothing)
        """This event was held by this part when the last process ended, and still is; called before ``decide`` is."""

    def poll(self) -> None:  # noqa: B027 (most parts need none)
        """Called every second or so in the history's thread, outside a transaction."""

    def timed_out(self, entry_id: str) -> Decision:
        """The decision on an event that was held until its time-out; no hold. Called in the history's thread."""
        return DELIVER


class Gate:
    """The parts of the gate, and what is held. Thread-safe.

    ``on_settled`` is called with each event whose hold has ended, as it is on the disk, in the history's thread.
    """

    def __init__(
        self,
        history: History,
        *,
        log: Callable[[str], object] = lambda message: None,
        on_settled: Callable[[Entry], object] = lambda entry: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._history, self._log, self._on_settled, self._clock = history, log, on_settled, clock
        self._deciders: dict[str, Decider] = {}  # by name, in the order in which they are asked
        self._lock = threading.Lock()  # of what follows; held for microseconds
        self._held: dict[str, tuple[float, str]] = {}  # by id: until when, and by which part

    def add(self, decider: Decider) -> None:
        """Ask this part too, after those that were added before; call it before ``start``."""
        self._deciders[decider.name] = decider
        decider.attach(self)

    def start(self) -> None:
        """Go on with what the last process held. Call it after ``add``, and before the history is started."""
        for entry in self._history.held():
            decider = self._deciders.get(entry.decided_by or "")
            # What a part held that is no longer used is delivered at once.
            until = self._clock() if decider is None else entry.held_until
            self._held[entry.id] = self._clock() if until is None else until, entry.decided_by or ""
            if decider is not None:
                decider.resume(entry)

    def decide(self, entry: Entry) -> Decision:
        """What becomes of a new event; called by the history, as ``Decider.decide``."""
        for decider in self._deciders.values():
            try:
                decision = decider.decide(entry)
            except Exception as error:  # no part may lose an event, or its alarm
                self._log(f"{decider.name}: {type(error).__name__}: {error}; the event is delivered")
                continue
            if decision.outcome is Outcome.hold:
                with self._lock:
                    until = self._clock() if decision.until is None else decision.until
                    self._held[entry.id] = until, decider.name
            if decision.outcome is not Outcome.deliver:
                return decision
        return DELIVER

    def settle(self, id: str, decision: Decision) -> None:
        """End the hold of an event, from any thread; returns at once. Nothing is done where it is not held any more.

        The first decision that is written counts: one that comes after the time-out changes nothing. With ``hold`` the
        event is held on, until the new time.
        """
        with self._lock:
            held = self._held.get(id)
            if held is not None and decision.outcome is Outcome.hold:
                self._held[id] = self._clock() if decision.until is None else decision.until, held[1]
        self._history.settle(id, decision, partial(self._settled, id))

    def poll(self) -> None:
        """Poll the parts, and settle what was held until now; called by the history every second or so."""
        for part in self._deciders.values():
            try:
                part.poll()
            except Exception as error:  # the history is written all the same
                self._log(f"{part.name}: {type(error).__name__}: {error}")
        if not self._held:
            return
        now = self._clock()
        with self._lock:
            due = [(id, by) for id, (until, by) in self._held.items() if until <= now]
            for id, by in due:
                self._held[id] = now + _AGAIN_SECONDS, by
        for id, by in due:
            decider, decision = self._deciders.get(by), DELIVER
            if decider is not None:
                try:
                    decision = decider.timed_out(id)
                except Exception as error:
                    self._log(f"{by}: {type(error).__name__}: {error}; the event is delivered")
            self.settle(id, decision if decision.outcome is not Outcome.hold else DELIVER)

    def _settled(self, id: str, entry: Entry | None) -> None:
        """A decision on a held event is on the disk; None: it was not held any more."""
        if entry is None or entry.decision is not Outcome.hold:
            with self._lock:
                self._held.pop(id, None)
        if entry is not None:
            self._on_settled(entry)
