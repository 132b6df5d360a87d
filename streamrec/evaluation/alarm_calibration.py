"""Alarm calibration: thresholds that keep false alarms under a rate, and the rate to expect of them.

The recognizer processes footage in which nothing happens once. The detector then runs over its scores with thresholds
from the model's own up to nearly 1, close together where the number of alarms falls: a model whose scores end at 0.97
has all of its alarms below that. The lowest threshold within the rate is chosen. Because it was chosen on these alarms,
a threshold that leaves k of them has an expected k + 1 on other footage of the same length (the mean of an order
statistic). So one alarm fewer than allowed is left, or one burst fewer where alarms come in bursts. Where the footage
is too short for so few alarms, the heights of the highest alarms are extrapolated: above a high threshold their logits
fall off exponentially, as in peaks over threshold (Davison and Smith, J. R. Stat. Soc. B 1990).

The expected rate is measured by cross-validation: blocks of footage are assigned to two halves, and each half judges
the thresholds that the other one chooses. Its interval is that of a Poisson count of bursts. Where the expected rate is
above the wanted one, the search aims at a lower rate.
"""

from __future__ import annotations

import json
import math
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from streamrec.core.rates import parse_rate as parse_rate
from streamrec.data.clips import find_footage
from streamrec.errors import DataError
from streamrec.evaluation.intervals import poisson_interval, wilson_interval
from streamrec.evaluation.metrics import OnsetDelay, Segment
from streamrec.evaluation.reports import Interval, Playback
from streamrec.evaluation.text_tables import percent, table
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.events.thresholds import with_enters
from streamrec.pipeline.loop import results
from streamrec.pipeline.senses import sense_of
from streamrec.runtime.recognizer import Recognizer
from streamrec.sources.open import recording
from streamrec.sources.synthetic import ACTIONS, UNSEEN, World, WorldSettings
from streamrec.types import ActionStarted, Source

MOST_THRESHOLDS = 24  # that are tried for a label
STRICTEST = 0.9999  # highest threshold that is tried or chosen
NARROW = 0.02  # in logits: two thresholds that are closer are the same
TAIL = 10  # highest alarms that the extrapolation uses
BURST_SECONDS = 60.0  # alarms that are closer to each other are one burst, of one cause
SCALE = 1.0  # prior of the extrapolation: logits over which alarms fall to a third
BLOCK_SECONDS = 300.0  # of footage that are in one half together: alarms come in bursts
BLOCKS = 20  # at least, where the footage is short
AIMS = 5  # rates that the search aims at, at most
LEAD = 6.0  # times the smoothing: the part before a rise that the detector processes
AFTER_SECONDS = 2.0  # the part after it, at least
NONE_SEEN = -math.log(
    0.05
)  # 3.0: with none seen, the expected number is under it with 95 % ("rule of three")

Enters: TypeAlias = Mapping[str, float]  # label -> enter


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRecording:
    """A recognizer's predictions for one recording, frame by frame."""

    timestamps: np.ndarray  # (T,) float64 seconds
    probabilities: np.ndarray  # (T, labels) float32
    segments: np.ndarray  # (T,) int64 segment of the source
    strangeness: np.ndarray | None = None  # (T,) float32 out-of-distribution scores; None: the model has none

    @property
    def seconds(self) -> float:
        """Its length."""
        gaps = np.diff(self.timestamps)
        return float(gaps[gaps > 0].sum() + np.median(gaps)) if len(gaps) else 0.0


@dataclass(frozen=True, slots=True)
class LabelContract:
    """The threshold of one label, before and after."""

    label: str
    enter: float
    enter_before: float
    alarms: int  # on the footage, with the new threshold
    alarms_before: int
    is_extrapolated: bool  # at most one alarm is left: the threshold is extrapolated
    actions: int = 0  # true actions that were played
    missed: int = 0  # of them
    missed_before: int = 0
    delay: float | None = None  # median seconds from an action's start to its notification
    delay_before: float | None = None

    @property
    def miss_interval(self) -> Interval | None:
        """The 95 % interval of the missed part (Wilson)."""
        return wilson_interval(self.missed, self.actions) if self.actions else None


@dataclass(frozen=True, slots=True)
class AlarmContract:
    """The wanted rate, the thresholds, and the rate to expect of them."""

    about: ClassVar[str] = "calibration"
    asked: float  # wanted false alarms an hour, all labels together
    hours: float  # of footage
    alarms: int  # on the halves that did not choose the thresholds
    expected: float  # an hour
    interval: Interval  # of it, 95 %
    expected_before: float  # with the model's own thresholds
    labels: tuple[LabelContract, ...]
    settings: EventSettings  # with the new thresholds

    @property
    def hours_needed(self) -> float:
        """Hours of footage without an alarm that would prove the rate with 95 %."""
        return NONE_SEEN / self.asked

    @property
    def is_shown(self) -> bool:
        """Whether the footage proves the rate: the whole interval is under it."""
        return self.interval[1] <= self.asked

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"about": self.about, **asdict(self), "hours_needed": self.hours_needed}


def footage_of(places: Iterable[str | Path], recognizer: Recognizer) -> list[Source]:
    """The recordings at these places: files, folders with all of them that the model takes, or ``synthetic``.

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
            sense = sense_of(recognizer)
            sources += [recording(clip.path, sense=sense) for clip in find_footage([place], sense=sense)]
    return sources


def score_recording(recognizer: Recognizer, source: Source) -> ScoredRecording:
    """Play a source to its end through the loop that serves cameras; only predictions are stored, no frames."""
    times: list[float] = []
    probabilities: list[np.ndarray] = []
    segments: list[int] = []
    strange: list[float] = []
    for result in results(source, recognizer):
        if result.repeated:
            continue
        times.append(result.frame.timestamp)
        probabilities.append(result.prediction.probabilities)
        segments.append(result.frame.segment)
        if result.prediction.strangeness is not None:
            strange.append(result.prediction.strangeness)
    return ScoredRecording(
        np.array(times),
        np.array(probabilities, np.float32).reshape(-1, len(recognizer.labels)),
        np.array(segments, np.int64),
        np.array(strange, np.float32) if strange else None,
    )


def calibrate(
    footage: Sequence[ScoredRecording],
    labels: tuple[str, ...],
    settings: EventSettings,
    *,
    per_hour: float,
    actions: Sequence[Playback] = (),
) -> AlarmContract:
    """Calibrate on footage in which nothing happens; with true ``actions`` the contract has the missed ones too.

    No threshold falls below the model's own. The rate is divided evenly among the labels, and the part that a label
    does not need goes to the others. Raises ``DataError`` where no threshold keeps the rate.
    """
    if not (math.isfinite(per_hour) and per_hour > 0):
        raise DataError(f"{per_hour} false alarms an hour cannot be asked for: give a rate above 0")
    hours = sum(one.seconds for one in footage) / 3600
    if not hours:
        raise DataError("there is no footage: none of the files gave two frames")
    watched = [label for label in labels if label not in settings.background]
    if not watched:
        raise DataError("the model has no label that gives events: all of them are background")
    curves = _AlarmCurves(footage, labels, settings, watched)
    allowed = aim = per_hour * hours
    choice = curves.judge(allowed)
    with suppress(DataError):  # no threshold keeps so low a rate: the contract has the expected one
        for _ in range(AIMS - 1):
            if choice.fresh <= allowed + 1:
                break
            aim *= max(0.2, 0.8 * allowed / choice.fresh)
            choice = curves.judge(aim)
    enters, fresh, bursts = choice.enters, choice.fresh, choice.bursts
    own = {label: settings.of(label).enter for label in watched}
    before, after = (curves.count(curves.alarms(chosen)) for chosen in (own, enters))
    found, found_before = (
        _judged(actions, labels, with_enters(settings, chosen)) for chosen in (enters, own)
    )
    size = fresh / bursts if bursts else 1.0
    # Bursts are random, the alarms within a burst are not.
    low, high = (size * bound for bound in poisson_interval(bursts))
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
                actions=found[label][0],
                missed=found[label][1],
                missed_before=found_before[label][1],
                delay=found[label][2],
                delay_before=found_before[label][2],
            )
            for label in watched
        ),
        settings=with_enters(settings, enters),
    )


def alarm_times(
    footage: Sequence[ScoredRecording], labels: tuple[str, ...], settings: EventSettings
) -> dict[str, list[float]]:
    """Label -> times of its alarms, in seconds of all the footage."""
    watched = [label for label in labels if label not in settings.background]
    detector = EventDetector(labels, settings)
    found: dict[str, list[float]] = {label: [] for label in watched}
    enters = np.array([settings.of(label).enter if label in watched else np.inf for label in labels])
    begins = 0.0
    for scored in footage:
        for part in _active_parts(scored, labels, settings, watched):
            if not (part.probabilities >= enters).any():  # nothing starts without such a score
                continue
            for when, event in _started(detector, part):
                found[event.label].append(begins + when - float(scored.timestamps[0]))
        begins += scored.seconds
    return found


@dataclass(frozen=True, slots=True)
class _Choice:
    """Thresholds, and the alarms on the halves that did not choose them."""

    enters: dict[str, float]
    fresh: int  # alarms
    bursts: int


class _AlarmCurves:
    """The alarms at several thresholds, by label."""

    def __init__(
        self,
        footage: Sequence[ScoredRecording],
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
        # Label -> (threshold in logits, times of the alarms), the lowest threshold first.
        self._points: dict[str, list[tuple[float, list[float]]]] = {label: [] for label in watched}
        at: dict[str, float] = own
        while at:
            times = self.alarms({label: _share(at.get(label, own[label])) for label in watched})
            for label, logit in at.items():
                insort(self._points[label], (logit, times[label]))
            if max(map(len, self._points.values())) == MOST_THRESHOLDS:
                break
            tried = {label: self._next(label) for label in watched}
            at = {label: logit for label, logit in tried.items() if logit is not None}

    def _next(self, label: str) -> float | None:
        """The threshold to try next: in the middle of the steepest fall of alarms; None: the curve is complete."""
        points = self._points[label]
        if len(points) == 1:
            return _logit(STRICTEST) if points[0][1] else None
        falls = [
            (math.log((len(above) + 0.5) / (len(below) + 0.5)), low, high)
            for (low, above), (high, below) in pairwise(points)
            if len(above) > len(below) and high - low > NARROW
        ]
        return None if not falls else sum(max(falls)[1:]) / 2

    def alarms(self, enters: Enters) -> dict[str, list[float]]:
        """``alarm_times`` of all the footage, with these thresholds."""
        return alarm_times(self._footage, self._labels, with_enters(self._settings, enters))

    def count(self, alarms: Mapping[str, list[float]], *, half: int | None = None) -> dict[str, int]:
        """Label -> number of alarms, in all the footage or in one half of it."""
        return {label: self._in_half(times, half) for label, times in alarms.items()}

    def _in_half(self, times: Sequence[float], half: int | None) -> int:
        return sum(half is None or int(when / self._block) % 2 == half for when in times)

    def judge(self, alarms: float) -> _Choice:
        """Thresholds for so many alarms, and the alarms on the halves that did not choose them."""
        enters = self.choose(alarms)
        halves = [self.choose(alarms / 2, half=half) for half in (0, 1)]
        fresh = bursts = 0
        for half in (0, 1):
            found = self.alarms(halves[1 - half])
            fresh += sum(self.count(found, half=half).values())
            begun = {label: _bursts(times) for label, times in found.items()}
            bursts += sum(self.count(begun, half=half).values())
        return _Choice(enters, fresh, bursts)

    def choose(self, alarms: float, *, half: int | None = None) -> dict[str, float]:
        """The lowest thresholds with which so many alarms, or fewer, are expected of all labels together."""
        curves = {
            label: np.minimum.accumulate([self._in_half(times, half) for _, times in points])
            for label, points in self._points.items()
        }
        chosen: dict[str, float] = {}
        open_labels, left = list(curves), alarms
        while open_labels:  # a label under its even share leaves the remainder to the others
            share = left / len(open_labels)
            modest = [label for label in open_labels if curves[label][0] <= share]
            if not modest:
                for label in open_labels:
                    times = self._points[label][0][1]
                    size = max(1.0, len(times) / len(_bursts(times)))  # alarms of a burst
                    logits = [logit for logit, _ in self._points[label]]
                    chosen[label] = _lowest(label, logits, curves[label], share, size=size)
                break
            for label in modest:
                chosen[label] = _share(self._points[label][0][0])
                left -= curves[label][0]
                open_labels.remove(label)
        return chosen


def _bursts(times: Sequence[float]) -> list[float]:
    """The times at which bursts begin, in seconds.

    >>> _bursts([3.0, 20.0, 70.0, 500.0])
    [3.0, 500.0]
    """
    ordered = sorted(times)
    return ordered[:1] + [after for before, after in pairwise(ordered) if after - before > BURST_SECONDS]


def _lowest(
    label: str, logits: Sequence[float], counts: np.ndarray, alarms: float, *, size: float = 1.0
) -> float:
    """The lowest threshold with so many expected alarms, which come in bursts of ``size``."""
    alarms += 1e-6  # an hour of frames is a little less than an hour
    left = max(math.floor(alarms - size), 0)  # one more burst is expected beside those that are left
    below = np.flatnonzero(counts <= left)
    if not below.size:
        raise DataError(
            f"{label}: no threshold keeps the rate: at {STRICTEST} there are still {int(counts[-1])} alarms on this "
            "footage; train with it as background, or allow more false alarms"
        )
    at = logits[below[0]] if alarms >= 1 else _extrapolated(logits, counts, alarms)
    if _share(at) > STRICTEST:
        raise DataError(
            f"{label}: this footage is too short for so low a rate: it would take a threshold above {STRICTEST}; "
            "give more of it, or allow more false alarms"
        )
    return _rounded(at)


def _extrapolated(logits: Sequence[float], counts: np.ndarray, alarms: float) -> float:
    """The threshold in logits for less than one alarm: from the highest alarm or from several, whichever is higher.

    >>> round(_extrapolated([0.0, 1.0, 3.0], np.array([2, 1, 0]), 0.5), 2)  # alarms at 3 and at 1: a scale of 1.5
    4.04
    """
    heights = np.repeat(logits[1:], -np.diff(counts))[::-1]  # threshold at which each alarm disappears
    above = heights[: min(len(heights) - 1, TAIL)]
    base = float(heights[len(above)])
    scale = (SCALE + float((above - base).sum())) / (
        1 + len(above)
    )  # logits over which alarms fall to a third
    return max(
        float(heights[0]) + scale * math.log(1 / alarms),
        base + scale * math.log((1 + len(above)) / alarms),
    )


def text_of(contract: AlarmContract) -> str:
    """The report as text."""
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
    head = ["label", "enter", "alarms on the footage", "missed actions", "delay, s"]
    low, high = contract.interval
    lines = [
        table(head, rows),
        "",
        f"Asked for: at most {_rate(contract.asked)}. Before: {_rate(contract.expected_before)}.",
        f"Expected: {_rate(contract.expected)} (95 %: {low:.3g} to {high:.3g} an hour), from "
        f"{contract.alarms} in {contract.hours:.2f} hours of footage, each half judged by thresholds of the other.",
    ]
    if not contract.is_shown:
        lines.append(
            f"This footage does not prove that: it takes {contract.hours_needed:.2g} hours without one alarm "
            "to show with 95 % that the rate is kept."
        )
    if any(one.is_extrapolated for one in contract.labels):
        lines.append("* extrapolated: at most one alarm on this footage is above this threshold.")
    if silent := [one.label for one in contract.labels if 0 < one.actions == one.missed]:
        lines.append(
            f"All actions are missed now: {', '.join(silent)}. "
            "The model confuses this footage with them: train with it as background."
        )
    if not any(one.actions for one in contract.labels):
        lines.append("Missed actions are unknown: give --actions with true ones.")
    return "\n".join(lines)


def toml_of(contract: AlarmContract) -> str:
    """The thresholds for a camera in cameras.toml; "" where the model's own are kept."""
    return "".join(
        f"[camera.by_label.{json.dumps(label)}]\n"
        + "".join(f"{name} = {value:g}\n" for name, value in numbers.items())
        for label, numbers in contract.settings.numbers_by_label.items()
    )


def _rate(an_hour: float) -> str:
    """A rate in a readable unit.

    >>> _rate(2.0), _rate(1 / 24), _rate(0.0)
    ('2 an hour', '1 a day', 'none')
    """
    if not an_hour:
        return "none"
    return f"{an_hour:.3g} an hour" if an_hour >= 0.5 else f"{24 * an_hour:.3g} a day"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _active_parts(
    recording: ScoredRecording, labels: tuple[str, ...], settings: EventSettings, watched: Sequence[str]
) -> Iterator[ScoredRecording]:
    """The parts of a recording in which an action may run, with some seconds before and after.

    Between them a detector returns to its initial state.
    """
    own = [settings.of(label) for label in watched]
    lead = LEAD * max(of.smoothing for of in own)
    after = AFTER_SECONDS + max(of.merge_gap + of.cool_down for of in own)
    leaves = np.array([settings.of(label).leave if label in watched else np.inf for label in labels])
    times = recording.timestamps
    high = times[(recording.probabilities >= leaves).any(1)]
    while len(high):
        apart = np.flatnonzero(np.diff(high) > lead + after)
        last = high[apart[0]] if len(apart) else high[-1]
        part = slice(*np.searchsorted(times, (high[0] - lead, last + after)))
        strange = None if recording.strangeness is None else recording.strangeness[part]
        yield ScoredRecording(times[part], recording.probabilities[part], recording.segments[part], strange)
        high = high[high > last]


def _started(detector: EventDetector, recording: ScoredRecording) -> Iterator[tuple[float, ActionStarted]]:
    """The actions that start, with the time in seconds of the frame that gave the event."""
    times = recording.timestamps.tolist()
    strange = None if recording.strangeness is None else recording.strangeness.tolist()
    segments = recording.segments.tolist()
    for frame, event in detector.replay(times, recording.probabilities, segments, strange):
        if isinstance(event, ActionStarted):
            yield times[frame], event


def _judged(
    actions: Sequence[Playback], labels: tuple[str, ...], settings: EventSettings
) -> dict[str, tuple[int, int, float | None]]:
    """Label -> true actions, missed ones, and the median seconds until the notification of the others."""
    detector = EventDetector(labels, settings)
    watched = [label for label in labels if label not in settings.background]
    onsets, counts = {label: OnsetDelay() for label in watched}, Counter[str]()
    for one in actions:
        segments = np.zeros(len(one.timestamps), np.int64)
        recording = ScoredRecording(one.timestamps, one.probabilities, segments, one.strangeness)
        started = list(_started(detector, recording))
        truth = [action for action in one.actions if action.label in watched]
        if one.label in watched:  # the whole clip is the action
            truth = [Segment(float(one.timestamps[0]), float(one.timestamps[-1]), str(one.label))]
        for label, onset in onsets.items():
            mine = [(when, event) for when, event in started if event.label == label]
            true = [action for action in truth if action.label == label]
            counts[label] += len(true)
            onset.update(true, [event for _, event in mine], notified=[when for when, _ in mine])
    got = {label: onset.get() for label, onset in onsets.items()}
    return {
        label: (counts[label], counts[label] - got[label].matched, got[label].notified_median)
        for label in watched
    }


def _logit(share: float) -> float:
    share = min(share, STRICTEST)
    return math.log(share / (1 - share))


def _share(logit: float) -> float:
    return round(1 / (1 + math.exp(-logit)), 5)


def _rounded(logit: float) -> float:
    """The threshold, rounded up, so that it is never lower than the one found."""
    return math.ceil(1e4 / (1 + math.exp(-logit))) / 1e4
