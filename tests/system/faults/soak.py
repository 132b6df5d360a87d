"""The soak: several cameras, faults thrown at them at random from a seed, and what one process made of it.

::

    soak = run_soak(seconds=60.0, cameras=3, seed=1)
    for check in soak.checks():
        print(check.met, check.text)

Before the first fault and after the last one there is rest, in which every camera is to be live; what the process
holds then is compared.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.system.faults.bench import Bench, stream_bench
from tests.system.faults.child import Child
from tests.system.faults.faults import (
    Close,
    Corrupt,
    Fault,
    Freeze,
    Garbage,
    HungCamera,
    JumpAhead,
    JumpBack,
    LongFreeze,
    Loss,
    Off,
    Reorder,
    Reset,
    Restart,
    SlowNetwork,
    StandStill,
)

FPS = 10
START_SECONDS = 60.0  # for imports, the model and the first pictures on a busy machine
BACK_SECONDS = 45.0  # a camera that is not back then is counted as lost
SETTLE_SECONDS = 12.0  # longer than a reader's thread hangs on a dead line
REST_SECONDS = 8.0  # of which the samples at rest are taken
CALM_SECONDS = 5.0  # after a recovery, lag is looked at
LEAVE_SECONDS = 5.0
RECOVERY_SECONDS = 5.0
GRACE = Fault.grace
STILL_GRACE = StandStill.grace
IN_HAND = 3  # frames that may wait: in the buffer, in its thread's hands, being recognized
LAG_PICTURES = 2.0
MEMORY_MB, MEMORY_SHARE = 10.0, 0.05  # growth that is within the noise of an allocator
HEAP_MB = 4.0  # the decoders of larger pictures, or of another codec, hold so much more

# One camera each, over and over.
CAMERAS: tuple[dict[str, Any], ...] = (
    {"transport": "tcp"},
    {"transport": "udp"},
    {"transport": "tcp", "codec": "mjpeg"},
    {"transport": "tcp"},
)


class Deaf(Fault):
    """The connection is lost, and whoever comes meanwhile is accepted and gets no answer."""

    name, breaks = "half-open", True

    def start(self) -> None:
        self.bench.proxy.mute = True
        self.bench.proxy.reset()

    def stop(self) -> None:
        self.bench.proxy.mute = False


class Reboot(Restart):
    """It comes back with another size and another rate, and the next time with the first ones."""

    name = "reboot, other size and rate"

    def stop(self) -> None:
        small = self.bench.settings["size"] == (320, 240)
        self.bench.start_camera(size=(352, 288) if small else (320, 240), fps=8 if small else FPS)


class RebootOtherCodec(Restart):
    """It comes back with another codec, and the next time with the first one."""

    name = "reboot, other codec"

    def stop(self) -> None:
        other = "h264" if self.bench.settings.get("codec") == "mjpeg" else "mjpeg"
        self.bench.start_camera(codec=other)


class Removed(Fault):
    """Nothing is wrong: the camera is taken out, and added again under another name."""

    name, breaks, seconds = "removed and added", True, 3.0


KINDS: tuple[type[Fault], ...] = (
    Freeze, LongFreeze, Off, Close, Reset, Deaf, HungCamera, Restart, Reboot, RebootOtherCodec,
    Garbage, Corrupt, Loss, Reorder, SlowNetwork, JumpAhead, JumpBack, StandStill, Removed,
)  # fmt: skip
SHORT = tuple(kind for kind in KINDS if kind.seconds <= 5.0)


@dataclass
class Thrown:
    """One fault of one camera, and when pictures were good again."""

    place: str  # which camera, whatever it is called at the time
    kind: type[Fault]
    started: float
    stopped: float = 0.0  # time.monotonic() when the camera could be read again
    recovered: float | None = None  # seconds from then to the first of three good, new pictures

    def as_dict(self, begun: float) -> dict[str, Any]:
        seconds = None if self.recovered is None else round(self.recovered, 2)
        return {
            "camera": self.place,
            "fault": self.kind.name,
            "from": round(self.started - begun, 1),
            "to": round(self.stopped - begun, 1),
            "recovered": seconds,
        }


@dataclass(frozen=True, slots=True)
class Look:
    """One picture as the recognizer was given it; times are ``time.monotonic()``."""

    at: float
    taken: float | None  # when the camera made it; None: its stamp cannot be read
    whole: bool
    index: int


@dataclass
class Watched:
    """What was told of one camera under one name."""

    name: str
    place: str
    began: float
    ended: float | None = None
    looks: list[Look] = field(default_factory=list)
    told: list[tuple[float, str, str]] = field(default_factory=list)  # when, the state, the reason
    final: dict[str, Any] | None = None  # its counts when all was over

    def good(self, since: float = float("-inf")) -> list[Look]:
        """Pictures that are whole and new, from then on."""
        found, newest = [], float("-inf")
        for look in self.looks:
            if look.whole and look.taken is not None and look.taken > newest:
                newest = look.taken
                if look.at >= since:
                    found.append(look)
        return found

    def back_since(self, moment: float) -> float | None:
        """When the first of three good pictures in a row came that were made after ``moment``."""
        few: list[Look] = []
        for look in reversed(self.looks):
            if look.at < moment:
                break
            few.append(look)
        good: list[Look] = []
        for look in reversed(few):
            fresh = look.whole and look.taken is not None and look.taken >= moment
            good = [*good, look] if fresh else []
            if len(good) == 3:
                return good[0].at
        return None

    @property
    def wrong_live(self) -> float:
        """Seconds of being called live with no whole picture for 3 s, or the same one for 35 s."""
        end = self.ended or (self.looks[-1].at if self.looks else self.began)
        if self.told:
            end = max(end, self.told[-1][0])
        whole = [look.at for look in self.looks if look.whole]
        new = [look.at for look in self.good()]
        return max(self._silence(whole, GRACE, end), self._silence(new, STILL_GRACE, end))

    def _silence(self, arrivals: list[float], grace: float, end: float) -> float:
        wrong, position = 0.0, 0
        for (at, state, _), until in zip(self.told, [*(t[0] for t in self.told[1:]), end], strict=False):
            if state != "live":
                continue
            while position < len(arrivals) and arrivals[position] <= at:
                position += 1
            marks = [at]
            while position < len(arrivals) and arrivals[position] < until:
                marks.append(arrivals[position])
                position += 1
            marks.append(until)
            wrong += sum(max(0.0, b - a - grace) for a, b in itertools.pairwise(marks))
        return wrong


@dataclass(frozen=True)
class Check:
    """One thing that is asked of a soak, and whether it was so."""

    name: str
    met: bool
    text: str


@dataclass
class Soak:
    """All that was seen and told."""

    seconds: float
    seed: int
    begun: float = 0.0
    from_: float = 0.0  # the time of the faults
    to: float = 0.0
    samples: list[dict[str, Any]] = field(default_factory=list)
    watched: dict[str, Watched] = field(default_factory=dict)
    thrown: list[Thrown] = field(default_factory=list)
    before: list[dict[str, Any]] = field(default_factory=list)  # samples at rest
    after: list[dict[str, Any]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)  # of calm cameras: when, in pictures
    live_in_the_end: dict[str, str] = field(default_factory=dict)  # place: its state
    final_lag: dict[str, float | None] = field(default_factory=dict)  # place: in pictures
    left: dict[str, Any] | None = None  # its last word; None: it had none
    output: str = ""  # what it complained of

    def during(self) -> list[dict[str, Any]]:
        """Samples while faults were thrown."""
        return [s for s in self.samples if self.from_ <= s["at"] <= self.to]

    def quarters(self, what: str) -> tuple[float, float]:
        """The median in the first and the last quarter of the faults."""
        values = [sample[what] for sample in self.during()]
        return _ends(values)

    def lag_quarters(self) -> tuple[float, float]:
        """The same of lag, in pictures."""
        return _ends([lag for _, lag in self.lags])

    def slope(self, what: str) -> float:
        """Growth an hour from the second quarter of the faults on, by least squares."""
        samples = self.during()
        samples = samples[len(samples) // 4 :]
        if len(samples) < 3:
            return 0.0
        line = statistics.linear_regression([s["at"] / 3600 for s in samples], [s[what] for s in samples])
        return line.slope

    def rest(self, what: str) -> tuple[float, float]:
        """The median at rest before the faults, and after them."""
        return tuple(_median([s[what] for s in samples]) for samples in (self.before, self.after))  # type: ignore[return-value]

    def account(self, watched: Watched) -> str:
        """Why a camera's counts do not add up; "" where they do.

        Three that know nothing of each other must agree: what the source says that it gave, what the watcher
        counted, and the results that came out of it.
        """
        final = watched.final
        if final is None:
            return "its last counts never came"
        dropped, faults = sum(final["dropped"].values()), []
        if final["waiting"] != 0 or final["read"] != final["recognized"] + dropped:
            faults.append(f"read {final['read']} is not {final['recognized']} + {dropped} dropped")
        if final["frames"] != final["read"]:
            faults.append(f"the source gave {final['frames']}, read {final['read']}")
        if final["recognized"] != len(watched.looks):
            faults.append(f"recognized {final['recognized']}, results {len(watched.looks)}")
        indices = [look.index for look in watched.looks]
        if any(b <= a for a, b in itertools.pairwise(indices)) or (indices and indices[-1] >= final["read"]):
            faults.append("the numbers of its frames are out of order")
        return "; ".join(faults)

    def waiting(self) -> tuple[int, int]:
        """The least and the most that ever waited."""
        found = [c["waiting"] for s in self.samples for c in s["cameras"].values()]
        return (min(found), max(found)) if found else (0, 0)

    def checks(self) -> list[Check]:
        """What is asked of a soak, and whether it was so; tolerances are in the text."""
        found: list[Check] = []

        def check(name: str, met: bool, text: str) -> None:
            found.append(Check(name, met, text))

        first, last = self.quarters("memory")
        limit = max(MEMORY_MB, MEMORY_SHARE * first)
        check("memory", last - first <= limit,
              f"{first:.1f} MB in the first quarter, {last:.1f} in the last (may grow by {limit:.0f}); "
              f"slope from the second quarter on {self.slope('memory'):+.1f} MB an hour")  # fmt: skip
        if self.samples and all(sample.get("heap") is not None for sample in self.samples):
            first, last = self.quarters("heap")
            check("memory in use", last - first <= HEAP_MB,
                  f"{first:.1f} MB in the first quarter, {last:.1f} in the last (may grow by {HEAP_MB:g}); slope "
                  f"{self.slope('heap'):+.1f} MB an hour. The rest is what the allocator keeps")  # fmt: skip
        for what, name in (("threads", "threads"), ("files", "file descriptors")):
            (first, last), (before, after) = self.quarters(what), self.rest(what)
            check(name, last - first <= 2 and after <= before,
                  f"{first:g} in the first quarter, {last:g} in the last (may grow by 2, reopenings overlap); "
                  f"at rest {before:g} before, {after:g} after (may not grow)")  # fmt: skip
        first, last = self.lag_quarters()
        check("lag while calm", last - first <= 1.0,
              f"{first:.2f} pictures in the first quarter, {last:.2f} in the last (may grow by 1)")  # fmt: skip
        shown = ", ".join(f"{p} {'none' if v is None else f'{v:.2f}'}" for p, v in self.final_lag.items())
        check("lag in the end", all(v is not None and v < LAG_PICTURES for v in self.final_lag.values()),
              f"{shown} pictures (under {LAG_PICTURES:g})")  # fmt: skip
        wrong = [(name, why) for name, w in self.watched.items() if (why := self.account(w))]
        least, most = self.waiting()
        told = (
            "; ".join(f"{name}: {why}" for name, why in wrong) or f"exact for all {len(self.watched)} cameras"
        )
        check("accounting", not wrong and least >= 0 and most <= IN_HAND,
              f"{told}; between {least} and {most} frames waited (at most {IN_HAND})")  # fmt: skip
        live = sum(w.wrong_live for w in self.watched.values())
        check("wrong live", live == 0.0, f"{live:.1f} s in all (none)")
        damaged = sum(not look.whole for w in self.watched.values() for look in w.looks)
        total = sum(len(w.looks) for w in self.watched.values())
        check("damaged pictures", damaged <= 0.001 * total,
              f"{damaged} of {total} recognized pictures were torn (at most 1 in 1000)")  # fmt: skip
        times = [t.recovered for t in self.thrown if t.recovered is not None]
        slow = sum(t > RECOVERY_SECONDS for t in times)
        check("recoveries", len(times) == len(self.thrown) and slow == 0,
              f"{len(times)} of {len(self.thrown)} faults; slowest {max(times, default=0.0):.1f} s, "
              f"{slow} took more than {RECOVERY_SECONDS:g} s")  # fmt: skip
        check("live in the end", all(state == "live" for state in self.live_in_the_end.values()),
              ", ".join(f"{place} {state}" for place, state in self.live_in_the_end.items()))  # fmt: skip
        if self.left is None:
            check("stop", False, "it never said that it had stopped")
        else:
            stuck = [*self.left["stuck"], *self.left["threads"]]
            check("stop", self.left["seconds"] <= LEAVE_SECONDS and not stuck,
                  f"{self.left['seconds']:.2f} s (within {LEAVE_SECONDS:g}); "
                  f"threads left behind: {', '.join(stuck) or 'none'}")  # fmt: skip
        return found


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def _ends(values: Sequence[float]) -> tuple[float, float]:
    quarter = max(1, len(values) // 4)
    return _median(values[:quarter]), _median(values[-quarter:])


class Process(Child):
    """The watcher's process, and what it has told so far."""

    def __init__(self, soak: Soak, model: str, every: float) -> None:
        self._soak = soak
        self.ready = False
        super().__init__("tests.system.faults.watching", "--model", model, "--every", str(every))

    def add(self, name: str, place: str, address: str) -> None:
        with self.changed:
            self._soak.watched[name] = Watched(name, place, time.monotonic())
        self.say(f"add {name} {address}")

    def remove(self, name: str) -> None:
        self.say(f"remove {name}")
        with self.changed:
            self._soak.watched[name].ended = time.monotonic()

    def leave(self) -> None:
        self.say("leave")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(40.0)
        self.end()

    def end(self) -> str:
        self._soak.output += (complaints := super().end())
        return complaints

    def _hear(self, line: str) -> None:
        self._take(json.loads(line))

    def _take(self, said: dict[str, Any]) -> None:
        soak, what = self._soak, said.pop("what")
        if what == "picture":
            seen = said["seen"]
            look = Look(seen["at"], seen["taken"], seen["whole"], said["index"])
            soak.watched[said["camera"]].looks.append(look)
        elif what == "state":
            soak.watched[said["camera"]].told.append((said["at"], said["state"], said["reason"]))
        elif what == "sample":
            soak.samples.append(said)
        elif what == "gone":
            soak.watched[said["camera"]].final = said["counts"]
        elif what == "left":
            soak.left = said
            for name, counts in said["cameras"].items():
                soak.watched[name].final = counts
        elif what == "ready":
            self.ready = True


class Place:
    """One camera with its proxy, and the thread that throws faults at it."""

    def __init__(
        self, name: str, bench: Bench, process: Process, soak: Soak, chance: random.Random,
        kinds: Sequence[type[Fault]], quiet: tuple[float, float],
    ) -> None:  # fmt: skip
        self.name = name
        self.bench = bench
        self.process, self._soak, self._chance = process, soak, chance
        self._kinds, self._quiet = kinds, quiet
        self._generation = 1
        self._bag: list[type[Fault]] = []
        self.calm_since: float | None = None  # None: a fault is there, or it is not back yet
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"trial {name}", daemon=True)
        process.add(self.watched_as, name, bench.address)

    @property
    def watched_as(self) -> str:
        return self.name if self._generation == 1 else f"{self.name}#{self._generation}"

    @property
    def watched(self) -> Watched:
        return self._soak.watched[self.watched_as]

    @property
    def last_fault(self) -> float:
        return max((t.stopped for t in self._soak.thrown if t.place == self.name), default=0.0)

    def start(self) -> None:
        self.calm_since = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """No more faults; one that is under way is over when ``join`` returns."""
        self._over.set()

    def join(self) -> None:
        self._thread.join()

    def is_live(self) -> bool:
        return bool(self.watched.told) and self.watched.told[-1][1] == "live"

    def _next(self) -> type[Fault]:
        """Each kind once before any comes again, in an order by chance."""
        if not self._bag:
            self._bag = [*self._kinds]
            self._chance.shuffle(self._bag)
        return self._bag.pop()

    def _run(self) -> None:
        while not self._over.wait(self._chance.uniform(*self._quiet)):
            self.throw(self._next())

    def throw(self, kind: type[Fault]) -> Thrown:
        """Let it happen, and wait until pictures are good again."""
        self.calm_since = None
        thrown = Thrown(self.name, kind, time.monotonic())
        fault = kind(self.bench)
        if kind is Removed:
            self.process.remove(self.watched_as)
        fault.start()
        self._over.wait(kind.seconds)
        fault.stop()
        thrown.stopped = time.monotonic()
        if kind is Removed:
            self._generation += 1
            self.process.add(self.watched_as, self.name, self.bench.address)
        self._soak.thrown.append(thrown)
        watched = self.watched
        if self.process.wait_for(lambda: watched.back_since(thrown.stopped) is not None, BACK_SECONDS):
            back = watched.back_since(thrown.stopped)
            assert back is not None
            thrown.recovered = back - thrown.stopped
            self.calm_since = time.monotonic()
        return thrown

    def lag(self, since: float) -> float | None:
        """How old its pictures were when they came, in pictures; the median from then on."""
        ages = []
        with self.process.changed:
            for look in reversed(self.watched.looks):
                if look.at < since:
                    break
                if look.taken is not None:
                    ages.append(look.at - look.taken)
        return statistics.median(ages) * self.bench.fps if ages else None


def run_soak(
    *,
    seconds: float,
    cameras: int = 4,
    seed: int = 0,
    model: str = "fight",
    kinds: Sequence[type[Fault]] = KINDS,
    quiet: tuple[float, float] = (4.0, 20.0),
    every: float = 2.0,
    rest: float = REST_SECONDS,
    settle: float = SETTLE_SECONDS,
    heard: Callable[[str], None] = lambda text: None,
) -> Soak:
    """Throw faults for so many seconds. ``quiet``: the least and the most seconds between two of one camera.

    ``settle`` and ``rest``: seconds after the last fault, and seconds of looking at what is held at rest.
    Raises ``RuntimeError`` where not all cameras can be watched to begin with.
    """
    soak = Soak(seconds, seed, begun=time.monotonic())
    with ExitStack() as stack:
        settings = [CAMERAS[number % len(CAMERAS)] for number in range(cameras)]
        benches = [stack.enter_context(stream_bench(fps=FPS, kbit=500, **one)) for one in settings]
        process = Process(soak, model, every)
        stack.callback(process.end)
        if not process.wait_for(lambda: process.ready, START_SECONDS):
            process.end()
            raise RuntimeError(f"the watcher did not start: {soak.output}")
        places = [
            Place(f"camera{n + 1}", bench, process, soak, random.Random(f"{seed} {n}"), kinds, quiet)
            for n, bench in enumerate(benches)
        ]
        if not process.wait_for(lambda: all(p.watched.back_since(0.0) for p in places), START_SECONDS):
            process.end()
            raise RuntimeError(f"not every camera can be watched: {soak.output}")
        _rest(process, soak, soak.before, rest)
        soak.from_ = time.monotonic()
        for place in places:
            place.start()
        _look_on(soak, process, places, soak.from_ + seconds, heard)
        soak.to = time.monotonic()
        for place in places:
            place.stop()
        for place in places:
            place.join()
        process.wait_for(lambda: all(place.is_live() for place in places), BACK_SECONDS)
        process.wait_for(lambda: False, settle)
        _rest(process, soak, soak.after, rest)
        for place in places:
            soak.live_in_the_end[place.name] = place.watched.told[-1][1] if place.watched.told else "unknown"
            soak.final_lag[place.name] = place.lag(time.monotonic() - rest)
        ended = time.monotonic()
        process.leave()
    for watched in soak.watched.values():
        watched.ended = watched.ended or ended
        watched.told = [told for told in watched.told if told[0] <= watched.ended]
    return soak


def _rest(process: Process, soak: Soak, into: list[dict[str, Any]], seconds: float) -> None:
    """Wait, and take the samples of that time."""
    since = time.monotonic()
    process.wait_for(lambda: False, seconds)
    into += [sample for sample in soak.samples if sample["at"] >= since]


def _look_on(
    soak: Soak, process: Process, places: list[Place], until: float, heard: Callable[[str], None]
) -> None:
    told = due = time.monotonic()
    while (now := time.monotonic()) < until:
        process.wait_for(lambda: False, min(2.0, until - now))
        for place in places:
            calm = place.calm_since
            if calm is not None and time.monotonic() - calm > CALM_SECONDS:
                lag = place.lag(time.monotonic() - 2.0)
                if lag is not None and place.calm_since == calm:
                    soak.lags.append((time.monotonic(), lag))
        if time.monotonic() - told >= 30.0 and soak.samples:
            told = time.monotonic()
            sample = soak.samples[-1]
            heard(f"{told - due:5.0f} s  {sample['memory']:.1f} MB, {sample['threads']} threads, "
                  f"{sample['files']} descriptors, {len(soak.thrown)} faults")  # fmt: skip
        if process.is_over:
            raise RuntimeError(f"the watcher's process ended: {soak.output or process.exit_code}")


def by_kind(soak: Soak) -> dict[str, list[Thrown]]:
    """The faults that were thrown, in the order of ``KINDS``."""
    found: dict[str, list[Thrown]] = {}
    for kind in KINDS:
        if these := [t for t in soak.thrown if t.kind.name == kind.name]:
            found[kind.name] = these
    return found


def summed(soak: Soak, place: str, what: str) -> Counter[str]:
    """``dropped``, ``refused`` or ``reconnects`` of a camera under all its names."""
    total: Counter[str] = Counter()
    for watched in soak.watched.values():
        if watched.place == place and watched.final is not None:
            total.update(watched.final[what])
    return total
