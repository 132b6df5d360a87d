"""Takes what waits in the history's queue to one receiver: in order, until it has arrived, across restarts."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from streamrec.errors import HistoryError
from streamrec.history import History, Message

_FIRST_PAUSE = 1.0  # seconds after the first attempt in vain; doubled after each
_LONGEST_PAUSE = 300.0  # a receiver that is back gets its messages within so many seconds
_LOOK_SECONDS = 1.0  # between two looks at the queue when nobody wakes it
_HOUR = 3600.0


class Undelivered(Exception):
    """It did not arrive. ``reason`` is a clause without secrets."""

    def __init__(self, reason: str, *, again_in: float | None = None, attempts: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again_in = again_in  # seconds, where the receiver says so
        self.attempts = attempts  # after so many it is given up; None: only when it is too old


class Courier:
    """A thread that delivers to one receiver of a history; ``send`` raises ``Undelivered``.

    What is sent arrives at least once, with the same ``Message.id`` each time, the oldest first. Between two
    attempts there are pauses that double up to ``longest_pause`` (s), with chance in them. What is older than
    ``give_up_hours`` is given up, and told. ``silent``: that it fails is told elsewhere.
    """

    def __init__(
        self,
        history: History,
        receiver: str,
        send: Callable[[Message], object],
        *,
        wants: Callable[[dict[str, Any]], bool] = lambda body: True,
        tell: Callable[[str], object] = lambda sentence: None,
        give_up_hours: float = 72.0,
        longest_pause: float = _LONGEST_PAUSE,
        silent: bool = False,
        chance: random.Random | None = None,
    ) -> None:
        self.receiver = receiver
        self._history, self._send, self._wants, self._tell = history, send, wants, tell
        self._longest_pause, self._silent = longest_pause, silent
        self._give_up = give_up_hours * _HOUR
        self._chance = chance or random.Random()
        self._woken = threading.Event()
        self._closed = False
        self._failing = False  # the last attempt was in vain
        self._done = -1  # number of the last that was sent: not again should the queue not be writable
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
            except HistoryError as error:
                if closed:
                    return
                self._tell(f"{self.receiver}: {error}")
                pause = _LOOK_SECONDS
            if pause > 0 and closed:
                return
            self._woken.wait(pause)

    def _deliver(self) -> float:
        """Send the oldest; seconds until there is something to do again."""
        waiting = self._history.waiting(self.receiver, limit=1)
        if not waiting:
            return _LOOK_SECONDS
        message = waiting[0]
        if message.number == self._done or not self._wants(json.loads(message.body)):
            self._history.arrived(message)
            return 0.0
        now = time.time()
        if message.due > now:
            # A clock that was set back makes nobody wait for long.
            return min(message.due - now, _LOOK_SECONDS)
        try:
            self._send(message)
        except Undelivered as trouble:
            return self._in_vain(message, trouble, now)
        except Exception as error:  # the thread outlives whatever it is; its text may hold a secret
            return self._in_vain(message, Undelivered(f"it failed ({type(error).__name__})"), now)
        self._done = message.number
        self._history.arrived(message)
        if self._failing:
            self._failing = False
            self._tell(f"{self.receiver}: it takes messages again")
        return 0.0

    def _in_vain(self, message: Message, trouble: Undelivered, now: float) -> float:
        attempts = message.attempts + 1
        too_often = trouble.attempts is not None and attempts >= trouble.attempts
        if too_often or now - message.made > self._give_up:
            self._history.arrived(message)
            self._tell(
                f"{self.receiver}: {trouble.reason}; message {message.id} is given up after {attempts} attempts"
            )
            return 0.0
        pause = min(self._longest_pause, _FIRST_PAUSE * 2.0 ** min(message.attempts, 30))
        pause *= self._chance.uniform(0.5, 1.0)  # many that failed together do not come back together
        if trouble.again_in is not None:
            pause = max(pause, min(trouble.again_in, _HOUR))
        self._history.postpone(message, pause)
        if not self._failing and not self._silent:
            self._failing = True
            self._tell(f"{self.receiver}: {trouble.reason}; it is tried again until it arrives")
        return min(pause, _LOOK_SECONDS)


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
