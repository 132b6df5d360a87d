"""Takes what waits in the history's queue to one receiver: in order, until it has arrived, across restarts."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from streamrec.errors import HistoryError
from streamrec.outputs.history.records import Message
from streamrec.outputs.history.store import History

_FIRST_PAUSE = 1.0  # seconds after the first attempt in vain; doubled after each
_LONGEST_PAUSE = 300.0  # a receiver that is back gets its messages within so many seconds
_LOOK_SECONDS = 1.0  # between two looks at the queue when nobody wakes it
_HOUR = 3600.0
_SOON = 60.0  # seconds: what fails again so soon after its end comes and goes
_STEADIEST = 300.0  # seconds without trouble that are waited for at most, before its end is told
_REASONS = 4  # of one trouble that are told


class Undelivered(Exception):
    """It did not arrive. ``reason`` is a clause without secrets."""

    def __init__(self, reason: str, *, again_in: float | None = None, attempts: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again_in = again_in  # seconds, where the receiver says so
        self.attempts = attempts  # after so many it is given up; None: only when it is too old


class FailureReporter:
    """Tells that something fails, once, and its end; what comes and goes is one trouble. Any thread may call it.

    ``steady``: seconds without trouble after which its end is told; twice as many after each relapse. ``log`` gets
    ``name: reason; more`` and ``name: over``.
    """

    def __init__(
        self,
        name: str,
        log: Callable[[str], object],
        *,
        more: str,
        over: str,
        steady: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._log, self._more, self._over = name, log, more, over
        self._least = self._steady = steady
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._reasons: set[str] = set()  # told of the trouble that is; empty: there is none
        self._well: float | None = None  # monotonic(): since when it works, while that is not told yet
        self._ended = -_SOON  # monotonic(): when the last trouble was told to be over

    @property
    def is_told(self) -> bool:
        """Whether it was told that it fails, and not yet that it works."""
        return bool(self._reasons)

    def fail(self, reason: str) -> None:
        """It fails; ``reason`` is a clause without secrets."""
        with self._lock:
            relapse = self._well is not None or (
                not self._reasons and self._monotonic() - self._ended < _SOON
            )
            if relapse:
                self._steady = min(_STEADIEST, max(2.0 * self._steady, 10.0))
            elif not self._reasons:
                self._steady = self._least
            self._well = None
            new = reason not in self._reasons and len(self._reasons) < _REASONS
            if new:
                self._reasons.add(reason)
        if new:
            self._log(f"{self._name}: {reason}; {self._more}")

    def fine(self) -> None:
        """It works."""
        with self._lock:
            if self._reasons and self._well is None:
                self._well = self._monotonic()
        self.look()

    def look(self) -> None:
        """Tell the end where it has come; call it now and then."""
        with self._lock:
            now = self._monotonic()
            over = self._well is not None and now - self._well >= self._steady
            if over:
                self._reasons.clear()
                self._well, self._ended = None, now
        if over:
            self._log(f"{self._name}: {self._over}")


class OutboxWorker:
    """A thread that delivers to one receiver of a history; ``send`` raises ``Undelivered``.

    What is sent arrives at least once, with the same ``Message.id`` each time, the oldest first. Between two
    attempts there are pauses that double up to ``longest_pause`` (s), with chance in them. What is older than
    ``give_up_hours`` is given up, and told. ``silent``: that it fails is told elsewhere. ``look`` is called every
    second or so.
    """

    def __init__(
        self,
        history: History,
        receiver: str,
        send: Callable[[Message], object],
        *,
        wants: Callable[[dict[str, Any]], bool] = lambda body: True,
        log: Callable[[str], object] = lambda sentence: None,
        give_up_hours: float = 72.0,
        longest_pause: float = _LONGEST_PAUSE,
        silent: bool = False,
        look: Callable[[], object] = lambda: None,
        chance: random.Random | None = None,
    ) -> None:
        self.receiver = receiver
        self._history, self._send, self._wants, self._log = history, send, wants, log
        self._longest_pause = longest_pause
        self._give_up = give_up_hours * _HOUR
        self._chance = chance or random.Random()
        self._woken = threading.Event()
        self._closed = False
        self._look = look
        self._trouble = FailureReporter(
            receiver,
            (lambda sentence: None) if silent else log,
            more="it is tried again until it arrives",
            over="it takes messages again",
        )
        self._given_up: dict[str, int] = {}  # reason: how many messages since one arrived
        self._stuck = ""  # what is wrong with the queue
        self._done = ""  # id of the last that was sent: not again should the queue not be writable
        self._thread = threading.Thread(target=self._work, name=receiver, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something new waits; returns at once."""
        self._woken.set()

    def close(self, patience: float = 1.0) -> None:
        """Send what is due, for at most so many seconds; the rest waits for the next start."""
        self._closed = True
        self._woken.set()
        self._thread.join(patience)

    def _work(self) -> None:
        while True:
            self._woken.clear()
            closed = self._closed
            try:
                pause = self._deliver()
                self._stuck = ""
            except HistoryError as error:
                if closed:
                    return
                if str(error) != self._stuck:
                    self._stuck = str(error)
                    self._log(f"{self.receiver}: {error}")
                pause = _LOOK_SECONDS
            self._trouble.look()
            self._look()
            if pause > 0 and closed:
                self._tell_count()
                return
            self._woken.wait(pause)

    def _deliver(self) -> float:
        """Send the oldest; seconds until there is something to do again."""
        waiting = self._history.waiting(self.receiver, limit=1)
        if not waiting:
            return _LOOK_SECONDS
        message = waiting[0]
        if message.id == self._done or not self._is_wanted(message):
            self._history.arrived(message)
            return 0.0
        now = time.time()
        if 0.0 < message.due - now <= 2.0 * _HOUR:  # longer: the clock was set back
            return min(message.due - now, _LOOK_SECONDS)
        try:
            self._send(message)
        except Undelivered as trouble:
            return self._in_vain(message, trouble)
        except Exception as error:  # the thread outlives whatever it is; its text may hold a secret
            return self._in_vain(message, Undelivered(f"it failed ({type(error).__name__})"))
        self._done = message.id
        self._trouble.fine()
        self._history.arrived(message)
        self._tell_count()
        return 0.0

    def _is_wanted(self, message: Message) -> bool:
        try:
            return self._wants(json.loads(message.body))
        except (ValueError, TypeError, KeyError):  # somebody else wrote into the queue, or it is damaged
            self._log(f"{self.receiver}: message {message.id} is no announcement, and is passed over")
            return False

    def _in_vain(self, message: Message, trouble: Undelivered) -> float:
        attempts = message.attempts + 1
        too_often = trouble.attempts is not None and attempts >= trouble.attempts
        # A clock that jumped makes no message old.
        if too_often or message.made < self._history.oldest(self._give_up / (24 * _HOUR)):
            self._history.arrived(message)
            self._give_one_up(message, trouble.reason, attempts)
            return 0.0
        pause = min(self._longest_pause, _FIRST_PAUSE * 2.0 ** min(message.attempts, 30))
        pause *= self._chance.uniform(0.5, 1.0)  # many that failed together do not come back together
        if trouble.again_in is not None:
            pause = max(pause, min(trouble.again_in, _HOUR))
        self._trouble.fail(trouble.reason)
        self._history.postpone(message, pause)
        return min(pause, _LOOK_SECONDS)

    def _give_one_up(self, message: Message, reason: str, attempts: int) -> None:
        """The first for a reason is told, the others are counted until something arrives."""
        new = reason not in self._given_up
        self._given_up[reason] = self._given_up.get(reason, 0) + 1
        if new:
            times = f"{attempts} attempt{'' if attempts == 1 else 's'}"
            self._log(
                f"{self.receiver}: {reason}; message {message.id} is given up after {times}, "
                "and so are others for the same reason, which are counted"
            )

    def _tell_count(self) -> None:
        """How many were given up since that was told."""
        count, self._given_up = sum(self._given_up.values()), {}
        if count > 1:
            self._log(f"{self.receiver}: {count} messages were given up")


def wanted(
    kinds: Iterable[str], cameras: Iterable[str], labels: Iterable[str]
) -> Callable[[dict[str, Any]], bool]:
    """Whether an announcement, as JSON has it, is one of these; empty is all."""
    kinds, cameras, labels = frozenset(kinds), frozenset(cameras), frozenset(labels)

    def wants(body: dict[str, Any]) -> bool:
        data = body["data"]
        return (
            (not kinds or body["event"] in kinds)
            and (not cameras or data["camera"] in cameras)
            and (not labels or data["label"] in labels)
        )

    return wants
