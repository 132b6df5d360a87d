"""The outbox worker: delivers the messages of the history's outbox to one receiver, in order, at least once, with
backoff, across restarts."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from streamrec.core.failures import FailureReporter
from streamrec.errors import HistoryError
from streamrec.outputs.history.records import Message
from streamrec.outputs.history.store import History

_FIRST_PAUSE = 1.0  # seconds after the first failed attempt; doubled after each
_LONGEST_PAUSE = 300.0  # a receiver that is back gets its messages within so many seconds
_POLL_SECONDS = 1.0  # between two checks of the outbox without a wake-up
_READY_SECONDS = 0.1  # between two checks whether the oldest message may be sent
_HOUR = 3600.0


class Undelivered(Exception):
    """A message did not arrive. ``reason`` is a clause without secrets."""

    def __init__(self, reason: str, *, again_in: float | None = None, attempts: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again_in = again_in  # seconds, where the receiver gives them
        self.attempts = attempts  # given up after so many; None: only for its age


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How an outbox worker delivers."""

    wants: Callable[[dict[str, Any]], bool] = lambda body: True  # which messages, by their JSON
    # Whether it may be sent now; else it is asked again within a second, or when the worker is woken.
    ready: Callable[[Message], bool] = lambda message: True
    # Takes a message out of the queue that is not to be sent, and returns whether it did.
    limit: Callable[[Message], bool] = lambda message: False
    give_up_hours: float = 72.0  # older messages are given up, and reported
    longest_pause: float = _LONGEST_PAUSE  # seconds between two attempts, at most
    silent: bool = False  # failures are reported elsewhere


class OutboxWorker:
    """A thread that delivers to one receiver of a history; ``send`` raises ``Undelivered``.

    Each message arrives at least once, with the same ``Message.id`` each time, the oldest first. Pauses between
    attempts double, with random jitter. ``on_poll`` is called every second or so; ``rng`` is for tests.
    """

    def __init__(
        self,
        history: History,
        receiver: str,
        send: Callable[[Message], object],
        *,
        settings: DeliverySettings = DeliverySettings(),
        log: Callable[[str], object] = lambda message: None,
        on_poll: Callable[[], object] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        self.receiver = receiver
        self._history, self._send, self._settings, self._log = history, send, settings, log
        self._on_poll = on_poll
        self._rng = rng or random.Random()
        self._woken = threading.Event()
        self._closed = False
        self._failures = FailureReporter(
            receiver,
            (lambda message: None) if settings.silent else log,
            more="it is tried again until it arrives",
            over="it takes messages again",
        )
        self._given_up: dict[str, int] = {}  # reason: messages given up since the last that arrived
        self._queue_error = ""  # the last error of the outbox itself
        self._done = ""  # id of the last message sent: not sent again where the outbox cannot be written
        history.only(receiver, self._is_wanted_now)
        self._thread = threading.Thread(target=self._work, name=receiver, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """A new message waits; returns at once."""
        self._woken.set()

    def close(self, patience: float = 1.0) -> None:
        """Send what is due, for at most so many seconds; other messages wait for the next start."""
        self._closed = True
        self._woken.set()
        self._thread.join(patience)

    def _work(self) -> None:
        while True:
            self._woken.clear()
            closed = self._closed
            try:
                pause = self._deliver()
                self._queue_error = ""
            except HistoryError as error:
                if closed:
                    return
                if str(error) != self._queue_error:
                    self._queue_error = str(error)
                    self._log(f"{self.receiver}: {error}")
                pause = _POLL_SECONDS
            self._failures.poll()
            self._on_poll()
            if pause > 0 and closed:
                self._report_given_up()
                return
            self._woken.wait(pause)

    def _deliver(self) -> float:
        """Send the oldest message; seconds until the next step."""
        waiting = self._history.waiting(self.receiver, limit=1)
        if not waiting:
            return _POLL_SECONDS
        message = waiting[0]
        if message.id == self._done or not self._is_wanted(message):
            self._history.arrived(message)
            return 0.0
        if not self._settings.ready(message):
            return _READY_SECONDS
        now = time.time()
        if 0.0 < message.due - now <= 2.0 * _HOUR:  # longer: the clock was set back
            return min(message.due - now, _POLL_SECONDS)
        if self._settings.limit(message):
            return 0.0
        try:
            self._send(message)
        except Undelivered as failure:
            return self._after_failure(message, failure)
        except Exception as error:  # no error may end the thread; its text may hold a secret
            return self._after_failure(message, Undelivered(f"it failed ({type(error).__name__})"))
        self._done = message.id
        self._failures.succeeded()
        self._history.arrived(message)
        self._report_given_up()
        return 0.0

    def _is_wanted_now(self, body: dict[str, Any]) -> bool:
        try:
            return self._settings.wants(body)
        except Exception:  # it is queued then, and checked again before it is sent
            return True

    def _is_wanted(self, message: Message) -> bool:
        try:
            return self._settings.wants(json.loads(message.body))
        except (ValueError, TypeError, KeyError):  # another program wrote into the outbox, or it is damaged
            self._log(f"{self.receiver}: message {message.id} is no announcement, and is passed over")
            return False

    def _after_failure(self, message: Message, failure: Undelivered) -> float:
        attempts = message.attempts + 1
        too_often = failure.attempts is not None and attempts >= failure.attempts
        # ``History.oldest``: a clock that jumped makes no message old.
        if too_often or message.made < self._history.oldest(self._settings.give_up_hours / 24):
            self._history.arrived(message)
            self._give_up(message, failure.reason, attempts)
            return 0.0
        pause = min(self._settings.longest_pause, _FIRST_PAUSE * 2.0 ** min(message.attempts, 30))
        pause *= self._rng.uniform(0.5, 1.0)  # receivers that failed together are not retried together
        if failure.again_in is not None:
            pause = max(pause, min(failure.again_in, _HOUR))
        self._failures.failed(failure.reason)
        self._history.postpone(message, pause)
        return min(pause, _POLL_SECONDS)

    def _give_up(self, message: Message, reason: str, attempts: int) -> None:
        """The first message for each reason is reported, the others are counted until one arrives."""
        new = reason not in self._given_up
        self._given_up[reason] = self._given_up.get(reason, 0) + 1
        if new:
            times = f"{attempts} attempt{'' if attempts == 1 else 's'}"
            self._log(
                f"{self.receiver}: {reason}; message {message.id} is given up after {times}, "
                "and so are others for the same reason, which are counted"
            )

    def _report_given_up(self) -> None:
        """How many messages were given up since the last report."""
        count, self._given_up = sum(self._given_up.values()), {}
        if count > 1:
            self._log(f"{self.receiver}: {count} messages were given up")


def wanted(
    kinds: Iterable[str], cameras: Iterable[str], labels: Iterable[str], models: Iterable[str] = ()
) -> Callable[[dict[str, Any]], bool]:
    """A filter of announcements, by their JSON; an empty condition accepts all."""
    kinds, cameras, labels, models = map(frozenset, (kinds, cameras, labels, models))

    def wants(body: dict[str, Any]) -> bool:
        data = body["data"]
        return (
            (not kinds or body["event"] in kinds)
            and (not cameras or data["camera"] in cameras)
            and (not labels or data["label"] in labels)
            and (not models or data["model"] in models)
        )

    return wants
