"""The alarm contract: thresholds that keep false alarms under a rate, and what may be expected of them.

What a recognizer says of footage in which nothing happens is heard once. Then the detector runs over it with
thresholds from the model's own up to nearly 1, close together where the number of alarms falls: a model whose scores
end at 0.97 has all of its alarms below that. The lowest threshold that keeps within the rate is taken. It was chosen
by the alarms that it silences: where it leaves k of them, k + 1 are to be expected on other footage of the same length
(the mean of an order statistic), so one fewer is left than is allowed, or a whole burst fewer where alarms come in
bursts. Where the footage is too short to see so few, the heights of the loudest alarms are drawn on: their logits thin
out exponentially above a high threshold, as in peaks over threshold (Davison and Smith, J. R. Stat. Soc. B 1990).

The expected rate is measured on footage that did not choose: blocks of it are dealt to two halves, each judges
the thresholds that the other would have had. Its interval is that of a Poisson count of bursts. Where that is more than
was asked for, a lower rate is aimed at.
"""

from __future__ import annotations

import json
import math
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from streamrec.data.clips import find_footage
from streamrec.errors import DataError
from streamrec.evaluation.intervals import poisson_interval, wilson_interval
from streamrec.evaluation.metrics import OnsetDelay, Segment
from streamrec.evaluation.reports import Interval, Playback
from streamrec.evaluation.text_tables import percent, table
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.pipeline.loop import results
from streamrec.runtime.recognizer import Recognizer
from streamrec.sources.files import FileSource
from streamrec.sources.synthetic import ACTIONS, UNSEEN, World, WorldSettings
from streamrec.types import ActionStarted, Source

RUNGS = 24  # thresholds that are tried, at most
STRICTEST = 0.9999  # of them, and that is ever chosen
NARROW = 0.02  # in logits: two thresholds that are so close are one
TAIL = 10  # alarms whose heights say how they thin out
BURST_SECONDS = 60.0  # alarms that follow each other closer come from one thing that is seen
SCALE = 1.0  # logits by which they thin out to a third, where one alarm alone says nothing of it
BLOCK_SECONDS = 300.0  # of footage that go to one half together: alarms come in bursts
BLOCKS = 20  # at least so many, where the footage is shorter
AIMS = 5  # rates that are aimed at, at most
LEAD = 6.0  # times the smoothing: how much is heard of what is before a rise
AFTER_SECONDS = 2.0  # how much after it, at least
NONE_SEEN = -math.log(
    0.05
)  # 3.0: with none seen, the expected number is under it with 95 % ("rule of three")

Enters: TypeAlias = Mapping[str, float]  # label -> enter


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What a recognizer said of one recording, frame by frame."""

    timestamps: np.ndarray  # (T,) float64 seconds
    probabilities: np.ndarray  # (T, labels) float32
    segments: np.ndarray  # (T,) int64
    strangeness: np.ndarray | None = None  # (T,) float32; None: the model does not know

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        gaps = np.diff(self.timestamps)
        return float(gaps[gaps > 0].sum() + np.median(gaps)) if len(gaps) else 0.0


@dataclass(frozen=True, slots=True)
class LabelContract:
    """One label before and after."""

    label: str
    enter: float
    enter_before: float
    alarms: int  # on the footage, with the new threshold
    alarms_before: int
    is_extrapolated: bool  # at most one alarm is left: the footage alone cannot tell the threshold
    actions: int = 0  # true ones that were shown
    missed: int = 0  # of them
    missed_before: int = 0
    delay: float | None = None  # seconds from an action's start to its telling, median
    delay_before: float | None = None

    @property
    def miss_interval(self) -> Interval | None:
        """95 % of the part that is missed, after Wilson."""
        return wilson_interval(self.missed, self.actions) if self.actions else None


@dataclass(frozen=True, slots=True)
class AlarmContract:
    """What was asked, what the thresholds are, and what may be expected of them."""

    about: ClassVar[str] = "calibration"
    asked: float  # false alarms an hour, all labels together
    hours: float  # of footage
    alarms: int  # on footage that did not choose the thresholds
    expected: float  # an hour
    interval: Interval  # of it, 95 %
    expected_before: float  # with the model's own thresholds
    labels: tuple[LabelContract, ...]
    settings: EventSettings  # that the model should have

    @property
    def hours_needed(self) -> float:
        """Of footage without one alarm that would show, with 95 %, that the rate is kept."""
        return NONE_SEEN / self.asked

    @property
    def is_shown(self) -> bool:
        """Whether the footage shows that the rate is kept: the whole interval is under it."""
        return self.interval[1] <= self.asked

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about, **asdict(self), "hours_needed": self.hours_needed}


def parse_rate(text: str) -> float:
    """False alarms an hour.

    >>> parse_rate("12/day"), parse_rate("2/hour")
    (0.5, 2.0)
    """
    number, _, unit = text.partition("/")
    hours = {"hour": 1, "h": 1, "day": 24, "d": 24, "week": 168, "w": 168}.get(unit.strip().lower())
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if hours is None or not (math.isfinite(rate) and rate > 0):
        raise DataError(f"{text} is no rate: write how many in which time, like 1/day, 2/hour or 1/week")
    return rate / hours


def footage_of(places: Iterable[str | Path], recognizer: Recognizer) -> list[Source]:
    """The recordings that these are: video files, folders in which all videos are meant, or ``synthetic``.

    ``synthetic`` is an hour of the synthetic world in which figures do what the model calls background.
    """
    sources: list[Source] = []
    for place in map(str, places):
        if place == "synthetic":
            quiet = tuple(label for label in recognizer.config.events.background if label in ACTIONS)
            if not quiet:
                raise DataError("synthetic shows nothing that this model calls background; give recordings")
            world = WorldSettings(seed=UNSEEN, fps=15.0, seconds=3600.0, scene_seconds=60.0, actions=quiet)
            sources.append(World(world))
        else:
            sources += [FileSource(clip.path) for clip in find_footage([place])]
    return sources


def hear(recognizer: Recognizer, source: Source, *, tell: Callable[[float], None] = lambda at: None) -> Heard:
    """Play a source to its end through the loop that serves cameras; only what was said is kept."""
    times: list[float] = []
    said: list[np.ndarray] = []
    segments: list[int] = []
    strange: list[float] = []
    for result in results(source, recognizer):
        if result.repeated:
            continue
        times.append(result.frame.timestamp)
        said.append(result.prediction.probabilities)
        segments.append(result.frame.segment)
        if result.prediction.strangeness is not None:
            strange.append(result.prediction.strangeness)
        tell(result.frame.timestamp)
    return Heard(
        np.array(times),
        np.array(said, np.float32).reshape(-1, len(recognizer.labels)),
        np.array(segments, np.int64),
        np.array(strange, np.float32) if strange else None,
    )


def calibrate(
    footage: Sequence[Heard],
    labels: tuple[str, ...],
    settings: EventSettings,
    *,
    per_hour: float,
    actions: Sequence[Playback] = (),
) -> AlarmContract:
    """The contract for footage in which none of the actions happens, and true actions to tell what is missed.

    No threshold falls below the model's own. The rate is shared out evenly among the labels, and what one does not
    need goes to the others. Raises ``DataError`` where it cannot be kept by any threshold.
    """
    if not (math.isfinite(per_hour) and per_hour > 0):
        raise DataError(f"{per_hour} false alarms an hour cannot be asked for: give a rate above 0")
    hours = sum(one.seconds for one in footage) / 3600
    if not hours:
        raise DataError("there is no footage: none of the files gave two frames")
    watched = [label for label in labels if label not in settings.background]
    if not watched:
        raise DataError("the model has no label that gives events: all of them are background")
    ladder = _Ladder(footage, labels, settings, watched)
    allowed = aim = per_hour * hours
    choice = ladder.judge(allowed)
    with suppress(DataError):  # no threshold is known to keep so low a rate: what is expected is told
        for _ in range(AIMS - 1):
            if choice.fresh <= allowed + 1:
                break
            aim *= max(0.2, 0.8 * allowed / choice.fresh)
            choice = ladder.judge(aim)
    enters, fresh, bursts = choice.enters, choice.fresh, choice.bursts
    own = {label: settings.of(label).enter for label in watched}
    before, after = (ladder.count(ladder.told(chosen)) for chosen in (own, enters))
    seen, seen_before = (_judged(actions, labels, with_enters(settings, chosen)) for chosen in (enters, own))
    size = fresh / bursts if bursts else 1.0
    low, high = (
        size * bound for bound in poisson_interval(bursts)
    )  # bursts come by chance, not what is in them
    return AlarmContract(
        asked=per_hour,
        hours=hours,
        alarms=fresh,
        expected=fresh / hours,
        interval=(low / hours, high / hours),
        expected_before=sum(before.values()) / hours,
        labels=tuple(
            LabelContract(
                label=label,
                enter=enters[label],
                enter_before=own[label],
                alarms=after[label],
                alarms_before=before[label],
                is_extrapolated=enters[label] != own[label] and after[label] <= 1,
                actions=seen[label][0],
                missed=seen[label][1],
                missed_before=seen_before[label][1],
                delay=seen[label][2],
                delay_before=seen_before[label][2],
            )
            for label in watched
        ),
        settings=with_enters(settings, enters),
    )


def with_enters(settings: EventSettings, enters: Enters) -> EventSettings:
    """The settings with these thresholds; ``leave`` keeps its part of ``enter``.

    >>> with_enters(EventSettings(enter=0.6, leave=0.3), {"fight": 0.9}).of("fight").leave
    0.45
    """
    own = settings.numbers_by_label
    for label, enter in enters.items():
        of = settings.of(label)
        if enter != of.enter:
            numbers = {"enter": enter, "leave": round(enter * of.leave / of.enter, 4)}
            own[label] = {**own.get(label, {}), **numbers}
    return replace(settings, by_label=own)


def told_in(
    footage: Sequence[Heard], labels: tuple[str, ...], settings: EventSettings
) -> dict[str, list[float]]:
    """Label -> when its events would have been told, in seconds of all the footage."""
    watched = [label for label in labels if label not in settings.background]
    detector = EventDetector(labels, settings)
    found: dict[str, list[float]] = {label: [] for label in watched}
    begins = 0.0
    for heard in footage:
        for part in _stretches(heard, labels, settings, watched):
            for when, event in _started(detector, part):
                found[event.label].append(begins + when - float(heard.timestamps[0]))
        begins += heard.seconds
    return found


@dataclass(frozen=True, slots=True)
class _Choice:
    """Thresholds, and what came on footage that did not choose such."""

    enters: dict[str, float]
    fresh: int  # alarms
    bursts: int


class _Ladder:
    """What each of some thresholds would have told, by label."""

    def __init__(
        self,
        footage: Sequence[Heard],
        labels: tuple[str, ...],
        settings: EventSettings,
        watched: Sequence[str],
    ) -> None:
        self._footage = footage
        self._labels = labels
        self._settings = settings
        seconds = sum(one.seconds for one in footage)
        self._block = min(BLOCK_SECONDS, seconds / BLOCKS)
        own = {label: _logit(settings.of(label).enter) for label in watched}
        # By label: what would have been told with each threshold, in logits, the lowest first.
        self._rungs: dict[str, list[tuple[float, list[float]]]] = {label: [] for label in watched}
        at: dict[str, float] = own
        while at:
            told = self.told({label: _share(at.get(label, own[label])) for label in watched})
            for label, logit in at.items():
                insort(self._rungs[label], (logit, told[label]))
            if max(map(len, self._rungs.values())) == RUNGS:
                break
            tried = {label: self._next(label) for label in watched}
            at = {label: logit for label, logit in tried.items() if logit is not None}

    def _next(self, label: str) -> float | None:
        """The threshold that is tried next: in the middle of where the alarms fall most; None: all is known."""
        rungs = self._rungs[label]
        if len(rungs) == 1:
            return _logit(STRICTEST) if rungs[0][1] else None
        falls = [
            (math.log((len(above) + 0.5) / (len(below) + 0.5)), low, high)
            for (low, above), (high, below) in pairwise(rungs)
            if len(above) > len(below) and high - low > NARROW
        ]
        return None if not falls else sum(max(falls)[1:]) / 2

    def told(self, enters: Enters) -> dict[str, list[float]]:
        """``told_in`` all the footage, with these thresholds."""
        return told_in(self._footage, self._labels, with_enters(self._settings, enters))

    def count(self, told: Mapping[str, list[float]], *, half: int | None = None) -> dict[str, int]:
        """Events by label; of one half of the footage alone where it is named."""
        return {label: self._in_half(times, half) for label, times in told.items()}

    def _in_half(self, times: Sequence[float], half: int | None) -> int:
        return sum(half is None or int(when / self._block) % 2 == half for when in times)

    def judge(self, alarms: float) -> _Choice:
        """Thresholds for so many alarms, and how many there are where what did not choose them is the judge."""
        enters = self.choose(alarms)
        halves = [self.choose(alarms / 2, half=half) for half in (0, 1)]
        fresh = bursts = 0
        for half in (0, 1):
            told = self.told(halves[1 - half])
            fresh += sum(self.count(told, half=half).values())
            begun = {label: _bursts(times) for label, times in told.items()}
            bursts += sum(self.count(begun, half=half).values())
        return _Choice(enters, fresh, bursts)

    def choose(self, alarms: float, *, half: int | None = None) -> dict[str, float]:
        """The lowest thresholds with which so many alarms, or fewer, are expected of all labels together."""
        curves = {
            label: np.minimum.accumulate([self._in_half(times, half) for _, times in rungs])
            for label, rungs in self._rungs.items()
        }
        chosen: dict[str, float] = {}
        open_labels, left = list(curves), alarms
        while open_labels:  # who stays under an even share leaves the rest of it to the others
            share = left / len(open_labels)
            modest = [label for label in open_labels if curves[label][0] <= share]
            if not modest:
                for label in open_labels:
                    told = self._rungs[label][0][1]
                    size = max(1.0, len(told) / len(_bursts(told)))  # alarms of a burst
                    rungs = [logit for logit, _ in self._rungs[label]]
                    chosen[label] = _lowest(label, rungs, curves[label], share, size=size)
                break
            for label in modest:
                chosen[label] = _share(self._rungs[label][0][0])
                left -= curves[label][0]
                open_labels.remove(label)
        return chosen


def _bursts(times: Sequence[float]) -> list[float]:
    """When each burst begins.

    >>> _bursts([3.0, 20.0, 70.0, 500.0])
    [3.0, 500.0]
    """
    ordered = sorted(times)
    return ordered[:1] + [after for before, after in pairwise(ordered) if after - before > BURST_SECONDS]


def _lowest(
    label: str, rungs: Sequence[float], counts: np.ndarray, alarms: float, *, size: float = 1.0
) -> float:
    """The threshold with which so many alarms are to be expected, where they come in bursts of that size."""
    alarms += 1e-6  # an hour of frames is a hair less than an hour
    left = max(math.floor(alarms - size), 0)  # what comes beside those that are left is a burst
    below = np.flatnonzero(counts <= left)
    if not below.size:
        raise DataError(
            f"{label}: no threshold keeps the rate: at {STRICTEST} it is still told {int(counts[-1])} times on this "
            "footage; train with it as background, or allow more false alarms"
        )
    at = rungs[below[0]] if alarms >= 1 else _drawn_on(rungs, counts, alarms)
    if _share(at) > STRICTEST:
        raise DataError(
            f"{label}: this footage is too short for so low a rate: it would take a threshold above {STRICTEST}; "
            "give more of it, or allow more false alarms"
        )
    return _rounded(at)


def _drawn_on(rungs: Sequence[float], counts: np.ndarray, alarms: float) -> float:
    """The threshold, in logits, for less than one alarm: from the loudest or from several, whichever is higher.

    >>> round(_drawn_on([0.0, 1.0, 3.0], np.array([2, 1, 0]), 0.5), 2)  # one at 3, one at 1: they thin out in 1.5
    4.04
    """
    heights = np.repeat(rungs[1:], -np.diff(counts))[::-1]  # of each alarm: where it is no longer told
    above = heights[: min(len(heights) - 1, TAIL)]
    base = float(heights[len(above)])
    thins = (SCALE + float((above - base).sum())) / (
        1 + len(above)
    )  # logits in which they come down to a third
    return max(
        float(heights[0]) + thins * math.log(1 / alarms),
        base + thins * math.log((1 + len(above)) / alarms),
    )


def text_of(contract: AlarmContract) -> str:
    """The contract for people."""
    rows = [
        [
            one.label,
            f"{one.enter_before:g} -> {one.enter:g}" + "*" * one.is_extrapolated,
            f"{one.alarms_before} -> {one.alarms}",
            *(
                ("-", "-")
                if one.miss_interval is None
                else (
                    f"{one.missed_before} -> {one.missed} of {one.actions}: "
                    f"{percent(one.missed / one.actions, one.miss_interval)} %",
                    f"{_seconds(one.delay_before)} -> {_seconds(one.delay)}",
                )
            ),
        ]
        for one in contract.labels
    ]
    head = ["label", "enter", "alarms on the footage", "missed actions", "seconds until told"]
    low, high = contract.interval
    lines = [
        table(head, rows),
        "",
        f"Asked for: at most {_rate(contract.asked)}. Before: {_rate(contract.expected_before)}.",
        f"To be expected: {_rate(contract.expected)} (95 %: {low:.3g} to {high:.3g} an hour), from "
        f"{contract.alarms} in {contract.hours:.2f} hours of footage, each half judged by thresholds of the other.",
    ]
    if not contract.is_shown:
        lines.append(
            f"This footage does not prove that: it takes {contract.hours_needed:.2g} hours without one alarm "
            "to show with 95 % that the rate is kept."
        )
    if any(one.is_extrapolated for one in contract.labels):
        lines.append("* so rare on this footage that the threshold follows from how its alarms thin out.")
    if silent := [one.label for one in contract.labels if 0 < one.actions == one.missed]:
        lines.append(
            f"None of the actions is told any more: {', '.join(silent)}. "
            "The model takes this footage for them: train with it as background."
        )
    if not any(one.actions for one in contract.labels):
        lines.append("What is missed is not known: give --actions with true ones.")
    return "\n".join(lines)


def toml_of(contract: AlarmContract) -> str:
    """The thresholds for a camera in cameras.toml; "" where the model's own are kept."""
    return "".join(
        f"[camera.by_label.{json.dumps(label)}]\n"
        + "".join(f"{name} = {value:g}\n" for name, value in numbers.items())
        for label, numbers in contract.settings.numbers_by_label.items()
    )


def _rate(an_hour: float) -> str:
    """A rate in the unit in which it is easiest to grasp.

    >>> _rate(2.0), _rate(1 / 24), _rate(0.0)
    ('2 an hour', '1 a day', 'none')
    """
    if not an_hour:
        return "none"
    return f"{an_hour:.3g} an hour" if an_hour >= 0.5 else f"{24 * an_hour:.3g} a day"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _stretches(
    heard: Heard, labels: tuple[str, ...], settings: EventSettings, watched: Sequence[str]
) -> Iterator[Heard]:
    """The parts of a recording in which something may run, with seconds before and after them.

    Between the parts a detector only forgets.
    """
    own = [settings.of(label) for label in watched]
    lead = LEAD * max(of.smoothing for of in own)
    after = AFTER_SECONDS + max(of.merge_gap + of.cool_down for of in own)
    leaves = np.array([settings.of(label).leave if label in watched else np.inf for label in labels])
    times = heard.timestamps
    high = times[(heard.probabilities >= leaves).any(1)]
    while len(high):
        apart = np.flatnonzero(np.diff(high) > lead + after)
        last = high[apart[0]] if len(apart) else high[-1]
        part = slice(*np.searchsorted(times, (high[0] - lead, last + after)))
        strange = None if heard.strangeness is None else heard.strangeness[part]
        yield Heard(times[part], heard.probabilities[part], heard.segments[part], strange)
        high = high[high > last]


def _started(detector: EventDetector, heard: Heard) -> Iterator[tuple[float, ActionStarted]]:
    """What begins, and the time of the frame that told it."""
    times = heard.timestamps.tolist()
    strange = None if heard.strangeness is None else heard.strangeness.tolist()
    for frame, event in detector.replay(times, heard.probabilities, heard.segments.tolist(), strange):
        if isinstance(event, ActionStarted):
            yield times[frame], event


def _judged(
    actions: Sequence[Playback], labels: tuple[str, ...], settings: EventSettings
) -> dict[str, tuple[int, int, float | None]]:
    """Label -> true actions, how many of them were not told, seconds until the others were (median)."""
    detector = EventDetector(labels, settings)
    watched = [label for label in labels if label not in settings.background]
    onsets, counts = {label: OnsetDelay() for label in watched}, Counter[str]()
    for one in actions:
        segments = np.zeros(len(one.timestamps), np.int64)
        heard = Heard(one.timestamps, one.probabilities, segments, one.strangeness)
        told = list(_started(detector, heard))
        truth = [action for action in one.actions if action.label in watched]
        if one.label in watched:  # the whole clip is the action
            truth = [Segment(float(one.timestamps[0]), float(one.timestamps[-1]), str(one.label))]
        for label, onset in onsets.items():
            mine = [(when, event) for when, event in told if event.label == label]
            true = [action for action in truth if action.label == label]
            counts[label] += len(true)
            onset.update(true, [event for _, event in mine], told=[when for when, _ in mine])
    got = {label: onset.get() for label, onset in onsets.items()}
    return {
        label: (counts[label], counts[label] - got[label].matched, got[label].told_median)
        for label in watched
    }


def _logit(share: float) -> float:
    share = min(share, STRICTEST)
    return math.log(share / (1 - share))


def _share(logit: float) -> float:
    return round(1 / (1 + math.exp(-logit)), 5)


def _rounded(logit: float) -> float:
    """The threshold, rounded up: never laxer than what was found."""
    return math.ceil(1e4 / (1 + math.exp(-logit))) / 1e4
