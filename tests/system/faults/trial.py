"""One reader and one fault: what happened, and what that means in numbers.

The reader is a process of its own with an end: one that hangs is killed, and its row says so.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.helpers.rtsp_server import keys_every
from tests.system.faults.bench import Bench, stream_bench
from tests.system.faults.child import Child
from tests.system.faults.faults import Fault
from tests.system.faults.truth import Seen

START_SECONDS = 30.0  # for a reader's imports on a busy machine
WARM_SECONDS = (
    20.0  # until the first pictures of a healthy camera; OpenCV's opening looks at some seconds of it
)
SETTLE_SECONDS = 3.0  # from the recovery to the end: the lag is looked at in the second half
LATE_SECONDS = 1.0  # a picture so old is of little use to whoever watches live
LATE_INTERVALS = 3.0  # and of a slow camera, so many of its own intervals
IN_A_ROW = 3  # good pictures after each other that make a recovery
LEAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Told:
    """What the reader said of its state."""

    at: float
    state: str
    reason: str


@dataclass(frozen=True)
class Counts:
    """streamrec's own counts, at one moment."""

    at: float
    frames: int
    refused: dict[str, int]
    reconnects: dict[str, int]


@dataclass
class Trial:
    """All that was seen; times are of ``time.monotonic()``."""

    fault: str
    reader: str
    started: float = 0.0  # the fault began, or the reader if that was later
    stopped: float = 0.0  # the fault was over
    over: float = 0.0  # nobody looked any more
    deadline: float = 0.0  # seconds that the reader had to come back
    rates: tuple[float, float] = (0.0, 0.0)  # pictures a second until the fault was over, and then
    begun: bool = True  # False: pictures never came, and so the fault did not
    silent: bool = True
    first: bool = False
    grace: float = Fault.grace
    seen: list[Seen] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    end: tuple[float, str, str] | None = None  # when, the sentence, the kind of error; None: it went on
    left: float | None = None  # seconds that leaving took
    threads: list[str] = field(default_factory=list)  # reading threads that were there after leaving
    orphans: bool = False  # processes that were there after leaving
    output: str = ""  # all that it wrote

    @property
    def good(self) -> list[Seen]:
        """The pictures that were whole and new, in the order in which they came."""
        found, newest = [], (float("-inf"), 0)
        for seen in self.seen:
            # A camera on a busy machine may make two in the same millisecond.
            made = (seen.taken or 0.0, seen.number or 0)
            if seen.whole and made > newest:
                newest = made
                found.append(seen)
        return found

    @property
    def noticed(self) -> float | None:
        """Seconds from the fault's start until the reader said that something is wrong."""
        moments = [t.at for t in self.told if t.at >= self.started and self._is_alarm(t)]
        before = [sum(c.refused.values()) for c in self.counts if c.at < self.started]
        known = before[-1] if before else 0
        moments += [c.at for c in self.counts if c.at >= self.started and sum(c.refused.values()) > known]
        if self.end is not None:
            moments.append(max(self.end[0], self.started))
        return min(moments) - self.started if moments else None

    def _is_alarm(self, told: Told) -> bool:
        return told.state not in ("live", "connecting") or (told.state == "connecting" and bool(told.reason))

    @property
    def recovered(self) -> float | None:
        """Seconds from the fault's end to the first of several pictures in a row that are whole, new and in time.

        None: never. What was taken before the fault's end does not count.
        """
        good = {id(seen) for seen in self.good if seen.taken is not None and seen.taken >= self.stopped}
        for few in zip(*(self.seen[n:] for n in range(IN_A_ROW)), strict=False):
            if all(id(seen) in good and not self._is_late(seen) for seen in few):
                return few[0].at - self.stopped
        return None

    @property
    def lost(self) -> int | None:
        """Pictures that the camera made and that never came whole, but for those that could not come.

        A torn one that was passed on in a whole one's place is lost too. None: it never came back.
        """
        if self.recovered is None:
            return None
        since, until = self._window
        made = (self.stopped - since) * self.rates[0] + max(0.0, until - self.stopped) * self.rates[1]
        return max(0, round(made) - len(self._in_window))

    @property
    def skipped(self) -> int:
        """Pictures of that time, by the camera's own count, that never came whole between two that did.

        Other than ``lost`` it does not depend on the rate that a camera has on a busy machine, but it knows nothing
        of a time without a connection, in which the camera makes no pictures.
        """
        numbers = {seen.number for seen in self._in_window if seen.number is not None}
        return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0

    @property
    def late(self) -> int | None:
        """Pictures of the same time that came, but when they were old; None: it never came back."""
        if self.recovered is None:
            return None
        return sum(1 for seen in self._in_window if self._is_late(seen))

    def _is_late(self, seen: Seen) -> bool:
        limit = max(LATE_SECONDS, LATE_INTERVALS / self.rates[1] if self.rates[1] else 0.0)
        return (seen.age or 0.0) > limit

    @property
    def _window(self) -> tuple[float, float]:
        """The time in which pictures could come, without the last ones, which are still on their way."""
        return self.stopped if self.silent else self.started, self.over - 0.5

    @property
    def _in_window(self) -> list[Seen]:
        since, until = self._window
        return [seen for seen in self.good if since <= (seen.taken or 0.0) <= until]

    @property
    def lag(self) -> float | None:
        """How old pictures are in the end, in pictures of the camera; None: there are none."""
        ages = [s.age for s in self.seen if s.at >= self.over - SETTLE_SECONDS / 2 and s.age is not None]
        return statistics.median(ages) * self.rates[1] if ages else None

    @property
    def wrong_live(self) -> float:
        """Seconds in which it said "live" though the last good picture was older than the grace."""
        end = self.end[0] if self.end is not None else self.over
        arrivals = [seen.at for seen in self.good]
        wrong = 0.0
        for told, until in zip(self.told, [*(t.at for t in self.told[1:]), end], strict=False):
            if told.state != "live":
                continue
            marks = [told.at, *(at for at in arrivals if told.at < at < until), until]
            wrong += sum(max(0.0, b - a - self.grace) for a, b in itertools.pairwise(marks))
        return wrong

    @property
    def damaged(self) -> int:
        """Pictures that it passed on as good though they are torn, grey or unreadable."""
        return sum(1 for seen in self.seen if not seen.whole)

    @property
    def repeated(self) -> int:
        """Pictures that it passed on though they are the same as one before."""
        return sum(1 for seen in self.seen if seen.whole) - len(self.good)

    @property
    def sentence(self) -> str:
        """The last thing that it said in words about what is wrong."""
        if self.end is not None and self.end[1]:
            return self.end[1]
        reasons = [told.reason for told in self.told if told.reason]
        return reasons[-1] if reasons else ""

    @property
    def outcome(self) -> str:
        """ "recovered", "gave up", "ended" (an end without an error), or "hang"."""
        if self.recovered is not None:
            return "recovered"
        if self.end is not None:
            return "gave up" if self.end[2] else "ended"
        return "hang"


class Reader(Child):
    """A reader's process, and what it has told so far."""

    def __init__(self, trial: Trial, work: float) -> None:
        self.trial = trial
        self.ready: float | None = None
        super().__init__("tests.system.faults.readers", trial.reader, "--work", str(work))

    @property
    def is_over(self) -> bool:
        return self.trial.end is not None or super().is_over

    def leave(self) -> None:
        """Ask it to leave, and see how that goes."""
        self.say("leave")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVE_SECONDS)
            self._listener.join(LEAVE_SECONDS)  # what it wrote last
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 0)
                self.trial.orphans = True

    def end(self) -> str:
        self.trial.output += (complaints := super().end())
        return complaints

    def _hear(self, line: str) -> None:
        self.trial.output += line
        with contextlib.suppress(ValueError):  # a library that writes where it should not
            self._take(json.loads(line))

    def _take(self, said: dict[str, Any]) -> None:
        trial, at, what = self.trial, said["at"], said["what"]
        if what == "ready":
            self.ready = at
        elif what == "picture":
            trial.seen.append(Seen(**said["seen"]))
        elif what == "state":
            trial.told.append(Told(at, said["state"], said["reason"]))
        elif what == "counts":
            trial.counts.append(Counts(at, said["frames"], said["refused"], said["reconnects"]))
        elif what == "end":
            trial.end = (at, said["sentence"], said["kind"])
        elif what == "left":
            trial.left, trial.threads = said["seconds"], said["threads"]


@contextmanager
def running_reader(trial: Trial, address: str, work: float = 0.0) -> Iterator[Reader]:
    """A reader that has begun to open the address, at ``trial.started``; it is gone after the block."""
    reader = Reader(trial, work)
    try:
        if not reader.wait_for(lambda: reader.ready is not None, START_SECONDS):
            reader.end()
            raise RuntimeError(f"the reader {trial.reader} did not start: {trial.output}")
        trial.started = time.monotonic()  # before it opens: what it reports at once counts
        reader.say(address)
        yield reader
    finally:
        reader.end()


def run_trial(
    kind: type[Fault],
    reader: str,
    *,
    seconds: float | None = None,
    deadline: float = 20.0,
    noticed: float = 0.0,
) -> Trial:
    """Let a fault happen to a reader of a camera. ``seconds``: how long; ``deadline``: seconds to come back.

    ``noticed``: seconds that a silent fault may last longer, until the reader has reported it.
    """
    trial = Trial(
        kind.name, reader, silent=kind.silent, first=kind.first, grace=kind.grace, deadline=deadline
    )
    lasts = kind.seconds if seconds is None else seconds
    with stream_bench(**kind.camera) as bench:
        fault = kind(bench)
        if fault.first:
            fault.start()
        with running_reader(trial, fault.address(), fault.work / bench.fps) as process:
            if not fault.first and not process.wait_for(lambda: _is_warm(trial, bench.fps), WARM_SECONDS):
                # It did not even begin: there is nothing to measure, but the row says so.
                trial.begun = False
                trial.started = trial.stopped = trial.over = time.monotonic()
                return trial
            if not fault.first:
                process.wait_for(lambda: False, _until_between_keys(trial, bench))
                trial.started = time.monotonic()
                fault.start()
            before = bench.mean_fps
            if fault.ends:
                process.wait_for(lambda: False, lasts)
                if lasts and fault.silent:
                    process.wait_for(lambda: trial.noticed is not None, noticed)
                fault.stop()
            else:
                process.wait_for(lambda: trial.noticed is not None, deadline)
            trial.stopped = time.monotonic()
            trial.rates = (before, bench.mean_fps)
            if fault.ends and process.wait_for(lambda: trial.recovered is not None, deadline):
                process.wait_for(lambda: False, SETTLE_SECONDS)
            trial.over = time.monotonic()
            process.leave()
    return _at_rest(trial)


def run_elsewhere(name: str, address: str, reader: str, *, deadline: float = 15.0) -> Trial:
    """Let a reader open what is no camera."""
    trial = Trial(name, reader, silent=False, first=True, deadline=deadline)
    with running_reader(trial, address) as process:
        process.wait_for(lambda: False, deadline)
        trial.stopped = trial.over = time.monotonic()
        process.leave()
    return _at_rest(trial)


def _is_warm(trial: Trial, fps: float) -> bool:
    """Pictures come, and what the opening kept back is through, as far as this reader can."""
    good = trial.good
    if len(good) < 3:
        return False
    since = time.monotonic() - good[0].at
    through = (good[-1].age or 0.0) < 2.5 / fps
    return since > 1.0 if through else since > 4.0  # one that is too slow never gets through


def _until_between_keys(trial: Trial, bench: Bench) -> float:
    """Seconds until the camera is half-way between two key frames.

    Whoever waits for the next key frame waits equally long then, whenever its reader was ready. Faults that
    end on the same connection last whole seconds, and so end half-way too.
    """
    last, interval = trial.good[-1], keys_every(bench.fps)
    assert last.number is not None and last.taken is not None
    missing = (interval // 2 - last.number) % interval
    return (last.taken - time.monotonic() + missing / bench.fps) % (interval / bench.fps)


def _at_rest(trial: Trial) -> Trial:
    """What came after nobody looked any more is of no account."""
    trial.told = [told for told in trial.told if told.at <= trial.over]
    trial.seen = [seen for seen in trial.seen if seen.at <= trial.over]
    if trial.end is not None and trial.end[0] > trial.over:
        trial.end = None
    return trial
