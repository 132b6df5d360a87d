"""The overlay: the prediction drawn over its frame: label, bars, repetitions, people, actions, the last seconds."""

from __future__ import annotations

import math
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from types import MappingProxyType

import cv2
import numpy as np

from streamrec.core.image import as_bgr
from streamrec.core.messages import described
from streamrec.core.text import in_visual_order, printable, spelled
from streamrec.errors import WrongValue
from streamrec.types import ActionStarted, Frame, ModelResult, Person, Result

Color = tuple[int, int, int]  # BGR, as OpenCV has it

# After Okabe and Ito (jfly.uni-koeln.de/color): distinct for colour-blind eyes; lighter, for dark panels.
PALETTE: tuple[Color, ...] = (
    (233, 180, 86),  # sky blue
    (30, 160, 240),  # orange
    (135, 190, 40),  # bluish green
    (190, 130, 215),  # reddish purple
    (85, 225, 240),  # yellow
    (55, 105, 230),  # vermilion
    (215, 125, 60),  # blue
)
QUIET: Color = (150, 146, 142)  # for the labels that mean "nothing is happening"
WHITE: Color = (250, 250, 250)
SOFT: Color = (214, 212, 210)
AMBER: Color = (60, 190, 255)
INK: Color = (22, 18, 16)

HEAT_COVERS = 0.65  # of the image, where the heat map is warmest
_QUIET_LABELS = frozenset(
    {"", "background", "idle", "neutral", "no action", "no_action", "none", "nothing", "other"}
)
_CLEAR_TEXT = int(cv2.__version__.split(".")[0]) >= 5  # OpenCV 5 draws TrueType letters, 4 only ASCII strokes
_LIMBS = (  # pairs of keypoints that are joined by a line
    (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12),
    (11, 13), (13, 15), (12, 14), (14, 16), (0, 1), (0, 2), (1, 3), (2, 4),
)  # fmt: skip
_SURE = 0.2  # score from which on a keypoint is drawn
_JUST = 1.5  # seconds that an action counts as just started, or just ended
_ASCII = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "Ae", "œ": "oe"}
    | {"Œ": "Oe", "ı": "i", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "·": "-"}
)


@dataclass(frozen=True, slots=True)
class Moment:
    """One prediction as the timeline remembers it."""

    timestamp: float  # seconds on the source's clock
    index: int  # of the label among the prediction's labels; -1 where it is not one of them
    label: str
    confidence: float
    truth: str | None
    truth_index: int


@dataclass(frozen=True, slots=True)
class Action:
    """An action that runs, or that ended a moment ago."""

    label: str
    started: float  # seconds on the source's clock
    ended: float | None = None
    model: str = ""  # the one that saw it, where there are several
    person: int | None = None  # who does it; None: it is of the whole picture


class Trail:
    """The last seconds of one stream: timeline, running actions and frame rate come from it.

    It forgets everything when the segment or the source changes or the clock goes back. Its size is bounded.

    >>> from streamrec.types import Frame, Prediction
    >>> clock = iter([0.0, 0.5, 1.0]).__next__
    >>> trail = Trail(seconds=0.7, clock=clock)
    >>> image = np.zeros((2, 2, 3), np.uint8)
    >>> for i in range(3):
    ...     prediction = Prediction("wave", 0.9, np.array([0.9], np.float32), i * 0.75, ("wave",))
    ...     trail.push(Result(Frame(image, i, i * 0.75), prediction))
    >>> [moment.timestamp for moment in trail], trail.fps
    ([0.75, 1.5], 2.0)
    """

    def __init__(self, seconds: float = 10.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._moments: deque[Moment] = deque(maxlen=4096)  # of the first model
        self._further: dict[str, deque[Moment]] = {}  # of the others, by name
        self._arrivals: deque[float] = deque(maxlen=512)
        self._actions: deque[Action] = deque(maxlen=16)
        self._where: tuple[str, int] | None = None  # source and segment

    def push(self, result: Result) -> None:
        """Remember a result; one that repeats the last frame only brings its events."""
        frame = result.frame
        where = (frame.source, frame.segment)
        last = self._moments[-1].timestamp if self._moments else -math.inf
        if not result.repeated:
            if where != self._where or not frame.timestamp >= last:
                self.clear()
            self._where = where
            self._remember(self._moments, frame, result.each[0])
            for one in result.each[1:]:
                moments = self._further.setdefault(one.model, deque(maxlen=self._moments.maxlen))
                self._remember(moments, frame, one)
            now = self._clock()
            self._arrivals.append(now)
            while len(self._arrivals) > 2 and self._arrivals[0] < now - 2.0:
                self._arrivals.popleft()
        self._follow_events(result)

    def _remember(self, moments: deque[Moment], frame: Frame, shown: ModelResult) -> None:
        labels = shown.prediction.labels
        moments.append(
            Moment(
                frame.timestamp,
                _index_of(shown.label, labels),
                shown.label,
                0.0 if shown.unknown else shown.prediction.confidence,
                frame.truth,
                -1 if frame.truth is None else _index_of(frame.truth, labels),
            )
        )
        # One moment older than the window stays: the left edge of the timeline lies behind it.
        while len(moments) > 1 and moments[1].timestamp <= frame.timestamp - self.seconds:
            moments.popleft()

    def _follow_events(self, result: Result) -> None:
        for event in result.events:
            if isinstance(event, ActionStarted):
                self._actions.append(_action_of(event))
                continue
            for i, action in enumerate(self._actions):
                is_it = (action.model, action.label, action.person) == (
                    event.model,
                    event.label,
                    event.person,
                )
                if is_it and action.ended is None:
                    self._actions[i] = replace(action, ended=event.timestamp)
                    break
        now = result.frame.timestamp
        gone = [a for a in self._actions if a.ended is not None and now - a.ended > _JUST]
        for action in gone:
            self._actions.remove(action)

    def clear(self) -> None:
        """Forget everything but the frame rate."""
        self._moments.clear()
        self._further.clear()
        self._actions.clear()

    @property
    def fps(self) -> float | None:
        """Results a second over the last two seconds of the wall clock; None before the second result."""
        if len(self._arrivals) < 2 or self._arrivals[-1] <= self._arrivals[0]:
            return None
        return (len(self._arrivals) - 1) / (self._arrivals[-1] - self._arrivals[0])

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions that run or have just ended, the newest last."""
        return tuple(self._actions)

    @property
    def each(self) -> list[list[Moment]]:
        """The moments of each model; those of the first are what iterating gives."""
        return [list(self._moments), *map(list, self._further.values())]

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments)

    def __len__(self) -> int:
        return len(self._moments)


@lru_cache(maxsize=4096)
def color_of(index: int, label: str = "") -> Color:
    """The stable BGR colour of the label with this index; labels such as "idle" are grey.

    >>> color_of(0, "wave"), color_of(1, "idle")
    ((233, 180, 86), (150, 146, 142))
    >>> len({color_of(i, "x") for i in range(21)})
    21
    """
    if index < 0 or label.casefold() in _QUIET_LABELS:
        return QUIET
    round_, which = divmod(index, len(PALETTE))
    color = PALETTE[which]
    if round_ % 3 == 1:  # paler, then deeper: where hues repeat, lightness differs
        return tuple(round(c + (255 - c) * 0.5) for c in color)  # type: ignore[return-value]
    if round_ % 3 == 2:
        return tuple(round(c * 0.62) for c in color)  # type: ignore[return-value]
    return color


def draw(image: np.ndarray, result: Result, trail: Trail | Iterable[Moment] = ()) -> np.ndarray:
    """A new image with the result drawn over this one, at any size.

    ``image`` is (H, W, 3) uint8 BGR and stays as it is. ``trail`` holds the last seconds, the result
    included; a ``Trail`` also knows the frame rate and the running actions. Images below about 120 x 90
    pixels get colours only: letters would not be readable.
    """
    if not isinstance(result, Result):
        raise WrongValue(f"what is drawn is a Result, as results() gives it, not {described(result)}")
    if not isinstance(trail, Iterable):
        raise WrongValue(f"trail is {described(trail)}: give a Trail, or nothing")
    out = _copied(image)
    height, width = out.shape[:2]
    if height < 8 or width < 8:
        return out
    size = min(width / 640, height / 480)
    unit = size**0.9 if size >= 1 else size**0.6
    if width < 120 or height < 90:
        _draw_tiny(out, result, trail)
        return out
    actions = trail.actions if isinstance(trail, Trail) else _actions_in(result)
    doing = doing_of((one.person, one.label) for one in actions if one.ended is None)
    _draw_people(out, result.people or (), unit, doing)
    bottom = _draw_labels(out, result, unit)
    top = _draw_time(out, result, trail, unit)
    bottom = _draw_count(out, result, unit, bottom, top)
    _draw_actions(out, result, actions, unit, bottom, top)
    return out


def draw_people(
    image: np.ndarray, people: tuple[Person, ...], doing: Mapping[int, str] = MappingProxyType({})
) -> np.ndarray:
    """A new image with a skeleton, a name tag and a count for each person over this one, (H, W, 3) uint8 BGR.

    ``doing``: what stands behind the name, by number, as ``doing_of`` gives it.
    """
    out = _copied(image)
    height, width = out.shape[:2]
    if min(height, width) >= 8:
        size = min(width / 640, height / 480)
        _draw_people(out, people, size**0.9 if size >= 1 else size**0.6, doing)
    return out


def doing_of(running: Iterable[tuple[int | None, str]]) -> dict[int, str]:
    """What each person does, of the people and the labels of events that run.

    >>> doing_of([(1, "wave"), (None, "fight"), (2, "squat"), (1, "jump")])
    {1: 'wave, jump', 2: 'squat'}
    """
    found: dict[int, str] = {}
    for person, label in running:
        if person is not None:
            found[person] = f"{found[person]}, {label}" if person in found else label
    return found


def draw_heat(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 and (H, W) float32 from 0 to 1 -> a new image, covered where it is warm, as it is elsewhere."""
    image = _copied(image)
    if not isinstance(heat, np.ndarray) or heat.shape != image.shape[:2] or not np.isfinite(heat).all():
        raise WrongValue(
            f"heat is {described(heat)}: give numbers from 0 to 1, one for each pixel of {image.shape[:2]}"
        )
    heat = np.clip(heat, 0.0, 1.0).astype(np.float32, copy=False)
    colors = cv2.applyColorMap((255.0 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.blendLinear(image, colors, 1.0 - HEAT_COVERS * heat, HEAT_COVERS * heat)


def _copied(image: np.ndarray) -> np.ndarray:
    """A copy to draw on; raises ``PictureError`` for what is no image."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return np.array(image, order="C")
    return np.array(as_bgr(image), order="C")


def draw_cue(
    image: np.ndarray, title: str, detail: str = "", *, color: Color = WHITE, share: float | None = None
) -> np.ndarray:
    """A new image with text over this one that can be read from across the room.

    ``image`` is (H, W, 3) uint8 BGR and stays as it is. ``title`` is large, in ``color``; ``detail`` stands
    small below it; ``share``, from 0 to 1, is a bar. Images below about 120 x 90 pixels get the bar only.
    """
    out = np.array(image, order="C")
    height, width = out.shape[:2]
    size = min(width / 640, height / 480)
    unit = size**0.9 if size >= 1 else size**0.6
    margin, pad = round(10 * unit), round(14 * unit)
    if width < 120 or height < 90:
        _bar(out, 0, 0, width, max(1, height // 16), 1.0 if share is None else share, color)
        return out
    room = width - 2 * margin - 2 * pad
    big, small, bar = round(34 * unit), max(6, round(8.6 * unit)), max(3, round(6 * unit))
    _panel(out, margin, margin, width - 2 * margin, 3 * pad + big + 2 * bar + small, unit)
    left, base = margin + pad, margin + pad + big
    title, cap = _fit(title, room, big, True)
    _write(out, title, left, base, cap, color, bold=True)
    if share is not None:
        _bar(out, left, base + pad // 2 + bar, room, bar, share, color)
    detail, cap = _fit(detail, room, small, False)
    _write(out, detail, left, base + pad + 2 * bar + small, cap, SOFT)
    return out


def _actions_in(result: Result) -> tuple[Action, ...]:
    return tuple(_action_of(event) for event in result.events if isinstance(event, ActionStarted))


def _action_of(event: ActionStarted) -> Action:
    return Action(event.label, event.timestamp, model=event.model, person=event.person)


def _label_width(width: int, unit: float) -> int:
    margin = round(10 * unit)
    return min(width - 2 * margin, round(252 * unit))


def _draw_labels(out: np.ndarray, result: Result, unit: float) -> int:
    """The panels at the top left, one for each model. Returns where they end."""
    each = result.each
    room = round(out.shape[0] * 0.6)
    top = margin = round(10 * unit)
    bottom = top
    for one in each:
        bottom = _draw_label(out, one, unit, top, margin + (room - margin) // len(each))
        top = bottom + round(6 * unit)
        if top >= room:
            break
    return bottom


def _draw_label(out: np.ndarray, shown: ModelResult, unit: float, y0: int, room: int) -> int:
    """The panel of a model: the label, its probability, and the next likeliest. Returns where it ends.

    An unknown frame is labelled so, and the likeliest labels stand below. ``y0``: its top; ``room``: what it may take.
    """
    width = out.shape[1]
    prediction = shown.prediction
    margin, pad = round(10 * unit), round(12 * unit)
    panel_width = _label_width(width, unit)
    big, small = max(8, round(15 * unit)), max(6, round(8.6 * unit))
    bar, row = max(2, round(4 * unit)), max(small * 2, round(25 * unit))

    others = _others(prediction.labels, shown.label, prediction.probabilities)
    head = pad + big + round(9 * unit) + bar
    room -= margin + head + pad
    others = others[: max(0, min(len(others), room // row))]
    panel_height = head + len(others) * row + pad
    x0 = margin
    _panel(out, x0, y0, panel_width, panel_height, unit)

    left, right = x0 + pad, x0 + panel_width - pad
    percent = "" if shown.unknown else _percent(prediction.confidence)
    percent_cap = round(big * 0.8)
    percent_width = _width_of(percent, percent_cap, False)
    base = y0 + pad + big
    _write(out, percent, right - percent_width, base, percent_cap, WHITE)
    called = _named(shown.model, shown.label)
    name, cap = _fit(called, right - left - percent_width - pad // 2, big, True)
    _write(out, name, left, base, cap, WHITE, bold=True)
    y = base + round(9 * unit)
    color = color_of(_index_of(shown.label, prediction.labels), shown.label)
    _bar(out, left, y, right - left, bar, 0.0 if shown.unknown else prediction.confidence, color)

    y += bar
    for index, label, probability in others:
        percent = _percent(probability)
        percent_width = _width_of(percent, small, False)
        thin = max(1, bar // 2)
        base = y + row - thin - max(3, round(5.5 * unit))
        _write(out, percent, right - percent_width, base, small, SOFT)
        name, cap = _fit(label, right - left - percent_width - pad // 2, small, False)
        _write(out, name, left, base, cap, SOFT)
        _bar(out, left, y + row - thin, right - left, thin, probability, color_of(index, label))
        y += row
    return y0 + panel_height


def _draw_count(out: np.ndarray, result: Result, unit: float, bottom: int, top: int) -> int:
    """The repetitions below the first panel, to be read from across a room. Returns where they end."""
    counted = [one.repetitions for one in result.each if one.repetitions is not None]
    count = counted[0] if counted else result.count
    if count is None:
        return bottom
    text = str(count)
    gap, pad = round(6 * unit), round(12 * unit)
    room = top - bottom - 2 * gap - 2 * pad
    cap = min(round(54 * unit), room)
    if cap < 8:
        return bottom
    x0, y0 = round(10 * unit), bottom + gap
    width, height = _width_of(text, cap, True) + 2 * pad, cap + 2 * pad
    if x0 + width > out.shape[1]:
        return bottom
    _panel(out, x0, y0, width, height, unit)
    _write(out, text, x0 + pad, y0 + pad + cap, cap, WHITE, bold=True)
    small = max(6, round(8.6 * unit))
    if result.period is not None and x0 + width + pad // 2 + _width_of("00.0 s", small, False) < out.shape[1]:
        _write(out, f"{result.period:.1f} s", x0 + width + pad // 2, y0 + pad + cap, small, SOFT)
    return y0 + height


def _draw_time(out: np.ndarray, result: Result, trail: Trail | Iterable[Moment], unit: float) -> int:
    """The panel at the bottom: timeline, truth, rate, latency, drops and clock. Returns where it starts."""
    height, width = out.shape[:2]
    frame = result.frame
    seconds = trail.seconds if isinstance(trail, Trail) else 10.0
    moments = list(trail) if math.isfinite(frame.timestamp) else []
    further = trail.each[1:] if moments and isinstance(trail, Trail) else []
    margin, pad = round(10 * unit), round(9 * unit)
    small = max(6, round(7.6 * unit))
    strip = max(4, round(11 * unit)) if moments else 0
    truth = max(2, round(4 * unit)) if moments and frame.truth is not None else 0
    gap = max(1, round(2 * unit))
    panel_width = width - 2 * margin
    strips = strip + len(further) * (gap + strip)
    panel_height = (
        pad + strips + (gap + truth if truth else 0) + (round(8 * unit) if moments else 0) + small + pad
    )
    x0, y0 = margin, height - margin - panel_height
    _panel(out, x0, y0, panel_width, panel_height, unit)

    left, right = x0 + pad, x0 + panel_width - pad
    y = y0 + pad
    if moments:
        predicted, known = _columns(moments, frame.timestamp, seconds, right - left, truth > 0)
        out[y : y + strip, left:right] = predicted
        y += strip
        for others in further:
            y += gap
            out[y : y + strip, left:right] = _columns(others, frame.timestamp, seconds, right - left, False)[
                0
            ]
            y += strip
        if truth:
            y += gap
            out[y : y + truth, left:right] = known
            y += truth
        y += round(8 * unit)

    base = y + small
    fps = trail.fps if isinstance(trail, Trail) else None
    facts = [] if fps is None else [(f"{fps:.0f} fps" if fps >= 9.95 else f"{fps:.1f} fps", SOFT)]
    facts.append((f"{_milliseconds(result.latency)} ms", SOFT))
    facts.append((f"{result.dropped} dropped", AMBER if result.dropped else SOFT))
    space = round(14 * unit)
    x = left
    for text, ink in facts:
        wide = _width_of(text, small, False)
        if x + wide > right:
            return y0
        _write(out, text, x, base, small, ink)
        x += wide + space
    clock = _clock_text(frame.timestamp)
    wide = _width_of(clock, small, False)
    if right - wide < x:
        return y0
    _write(out, clock, right - wide, base, small, SOFT)
    if frame.truth is not None:
        room = right - wide - space - x
        text, cap = _fit(f"truth: {frame.truth}", room, small, False)
        if room > 6 * small:
            ink = SOFT if frame.truth == result.prediction.label else AMBER
            _write(out, text, right - wide - space - _width_of(text, cap, False), base, cap, ink)
    return y0


def person_color(number: int) -> Color:
    """The BGR colour of the person with this number; it lasts as long as the number does.

    >>> person_color(1) == person_color(1), person_color(1) == person_color(2)
    (True, False)
    """
    return color_of(number - 1, "person")


def _draw_people(out: np.ndarray, people: tuple[Person, ...], unit: float, doing: Mapping[int, str]) -> None:
    """A skeleton and a name tag for each person, in a colour of their own."""
    for person in people:
        _draw_skeleton(out, person, unit)
    for person in people:
        _draw_name(out, person, unit, doing.get(person.id, ""))


def _draw_skeleton(out: np.ndarray, person: Person, unit: float) -> None:
    """Limbs between the keypoints that are sure enough; every line dark first, so that it shows on any ground."""
    height, width = out.shape[:2]
    shift = 4
    at = person.keypoints[:, 1::-1].astype(np.float64) * (width, height)
    sure = (person.keypoints[:, 2] >= _SURE) & (np.abs(at) < 4 * max(width, height)).all(1)
    points = np.rint(at * (1 << shift)).astype(int)
    limbs = [(tuple(points[a]), tuple(points[b])) for a, b in _LIMBS if sure[a] and sure[b]]
    thin = max(1, round(2.2 * unit))
    for ink, thick, dot in (
        (INK, thin + max(2, round(2 * unit)), 3.6),
        (person_color(person.id), thin, 2.6),
    ):
        for start, end in limbs:
            cv2.line(out, start, end, ink, thick, cv2.LINE_AA, shift)
        for place in points[sure]:
            radius = max(1 << shift, round(dot * unit * (1 << shift)))
            cv2.circle(out, tuple(place), radius, ink, cv2.FILLED, cv2.LINE_AA, shift)


def _draw_name(out: np.ndarray, person: Person, unit: float, doing: str) -> None:
    """The tag above the person's box, with what they do and how often; inside of it at the picture's upper edge."""
    height, width = out.shape[:2]
    ymin, xmin, _, xmax = person.box
    cap, pad = max(6, round(8.6 * unit)), max(3, round(5 * unit))
    count = person.repetitions or person.count
    tag = f"person {person.id}" + (f": {doing}" if doing else "") + (f" x {count}" if count else "")
    text, cap = _fit(tag, width - 2 * pad, cap, True)
    wide, tall = _width_of(text, cap, True) + 2 * pad, cap + 2 * pad
    if wide > width or tall > height:
        return
    x = round(min(max(0.0, (xmin + xmax) / 2 * width - wide / 2), width - wide))
    y = round(min(max(0.0, ymin * height - tall), height - tall))
    _panel(out, x, y, wide, tall, unit, fill=person_color(person.id))
    _write(out, text, x + pad, y + pad + cap, cap, INK, bold=True)


def _draw_actions(
    out: np.ndarray, result: Result, actions: tuple[Action, ...], unit: float, bottom: int, top: int
) -> None:
    """A chip for each running action: filled with its colour when it has just started, dark while it runs."""
    if not actions:
        return
    width = out.shape[1]
    labels = {one.model: one.prediction.labels for one in result.each}
    margin, pad = round(10 * unit), round(9 * unit)
    cap = max(6, round(8.6 * unit))
    chip_height = cap + 2 * max(4, round(7 * unit))
    dot = max(3, round(3.4 * unit))
    beside = width - 3 * margin - _label_width(width, unit)
    # Beside the panel when a name has room there, else below it.
    fits = beside >= 14 * cap
    room = beside if fits else width - 2 * margin
    y = margin if fits else bottom + round(6 * unit)
    for action in list(reversed(actions))[:3]:
        if y + chip_height > top:
            return
        color = color_of(_index_of(action.label, labels.get(action.model, ())), action.label)
        until = result.frame.timestamp if action.ended is None else action.ended
        lasted = max(0.0, until - action.started)
        fresh = action.ended is None and lasted < _JUST
        tail = "started" if fresh else _lasted_text(lasted, action.ended is not None)
        tail_width = _width_of(tail, cap, False)
        inner = 2 * dot + round(6 * unit) + round(6 * unit)
        who = "" if action.person is None else f", person {action.person}"
        title = _named(action.model, action.label) + who
        name, name_cap = _fit(title, room - 2 * pad - inner - tail_width, cap, True)
        name_width = _width_of(name, name_cap, True)
        chip_width = 2 * pad + inner + name_width + tail_width
        if chip_width > room:
            return
        x0 = width - margin - chip_width if fits else margin
        _panel(out, x0, y, chip_width, chip_height, unit, fill=color if fresh else None)
        base = y + (chip_height + cap) // 2
        x = x0 + pad
        mark = INK if fresh else (color if action.ended is None else QUIET)
        hollow = action.ended is not None
        _dot(out, x + dot, y + chip_height // 2, dot, mark, hollow=hollow, unit=unit)
        x += 2 * dot + round(6 * unit)
        _write(out, name, x, base, name_cap, INK if fresh else WHITE, bold=True)
        x += name_width + round(6 * unit)
        _write(out, tail, x, base, cap, INK if fresh else SOFT)
        y += chip_height + round(6 * unit)


def _draw_tiny(out: np.ndarray, result: Result, trail: Trail | Iterable[Moment]) -> None:
    height, width = out.shape[:2]
    prediction = result.prediction
    color = color_of(_index_of(result.label, prediction.labels), result.label)
    _bar(out, 0, 0, width, max(1, height // 16), 0.0 if result.unknown else prediction.confidence, color)
    moments = list(trail) if math.isfinite(result.frame.timestamp) else []
    if moments:
        seconds = trail.seconds if isinstance(trail, Trail) else 10.0
        predicted, _ = _columns(moments, result.frame.timestamp, seconds, width, False)
        out[height - max(1, height // 12) :] = predicted


def _columns(
    moments: list[Moment], now: float, seconds: float, width: int, truth: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The colours of the timeline: (W, 3) predicted and (W, 3) true, the newest at the right."""
    times = np.array([m.timestamp for m in moments])
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    longest = max(0.5, 4 * usual)
    at = now - seconds * (1 - (np.arange(width) + 0.5) / width)
    # A prediction covers the time since the one before it; a stall is left blank.
    which = np.minimum(np.searchsorted(times, at), len(times) - 1)
    blank = times[which] - at > np.where(which > 0, longest, usual)
    sure = _smooth(
        [min(1.0, max(0.0, m.confidence)) if math.isfinite(m.confidence) else 0.0 for m in moments], usual
    )
    shades = (np.array([color_of(m.index, m.label) for m in moments], np.float32) - INK) * (
        0.3 + 0.7 * sure
    ) + INK
    predicted = shades.astype(np.uint8)[which]
    predicted[blank] = _TRACK
    known = None
    if truth:
        known = np.array([color_of(m.truth_index, m.truth or "") for m in moments], np.uint8)[which]
        known[blank] = _TRACK
    return predicted, known


_TRACK: Color = (62, 58, 56)


def _smooth(values: list[float], step: float) -> np.ndarray:
    """(N, 1) float32: the mean of about half a second around each value, against flicker."""
    reach = min(len(values), 1 + 2 * round(0.25 / step)) if step > 0.02 else min(len(values), 25)
    kernel = np.ones(max(1, reach), np.float32)
    at = slice((reach - 1) // 2, (reach - 1) // 2 + len(values))
    total = np.convolve(values, kernel)[at] / np.convolve(np.ones(len(values)), kernel)[at]
    return total[:, None].astype(np.float32)


def _others(labels: tuple[str, ...], label: str, probabilities: np.ndarray) -> list[tuple[int, str, float]]:
    """The next likeliest labels, at most four."""
    order = np.argsort(-probabilities, kind="stable")[:6] if len(labels) == len(probabilities) else ()
    found = ((int(i), labels[i], float(probabilities[i])) for i in order)
    return list(islice((entry for entry in found if entry[1] != label), 4))


def _named(model: str, label: str) -> str:
    """A label with the name of its model, where that is one of several, and distinguishes them.

    >>> _named("night", "fall"), _named("fall", "fall"), _named("", "fall")
    ('night: fall', 'fall', 'fall')
    """
    return label if model in ("", label) else f"{model}: {label}"


def _index_of(label: str, labels: tuple[str, ...]) -> int:
    try:
        return labels.index(label)
    except ValueError:
        return -1


def _percent(share: float) -> str:
    return f"{share * 100:.0f}%" if math.isfinite(share) else "-"


def _milliseconds(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "-"
    return f"{seconds * 1000:.0f}" if seconds >= 0.00995 else f"{seconds * 1000:.1f}"


def _clock_text(seconds: float) -> str:
    """Minutes and seconds, with hours once there are some.

    >>> _clock_text(75.25), _clock_text(7325.0)
    ('1:15.2', '2:02:05')
    """
    if not math.isfinite(seconds):
        return "-"
    sign, tenths = ("-" if seconds < 0 else ""), int(abs(seconds) * 10 + 1e-6)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}:{minutes:02}:{tenths // 10:02}"
    return f"{sign}{minutes}:{tenths // 10:02}.{tenths % 10}"


def _lasted_text(seconds: float, over: bool) -> str:
    if not math.isfinite(seconds):
        return ""
    if seconds >= 60:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02} min"
    return f"{seconds:.1f} s" if over else f"{int(seconds)} s"


# -- shapes


def _panel(
    out: np.ndarray, x: int, y: int, width: int, height: int, unit: float, *, fill: Color | None = None
) -> None:
    """A dark translucent rectangle with round corners, or one filled with a colour. Touches nothing else."""
    if width < 1 or height < 1:
        return
    view = out[y : y + height, x : x + width]
    height, width = view.shape[:2]
    radius = min(round(6 * unit), width // 2, height // 2)
    corners = [
        (slice(0, radius), slice(0, radius), 0),
        (slice(0, radius), slice(width - radius, width), 1),
        (slice(height - radius, height), slice(0, radius), 2),
        (slice(height - radius, height), slice(width - radius, width), 3),
    ]
    kept = [view[rows, columns].copy() for rows, columns, _ in corners] if radius else []
    if fill is None:
        cv2.convertScaleAbs(view, dst=view, alpha=0.30, beta=12)
    else:
        cv2.rectangle(view, (0, 0), (width, height), fill, cv2.FILLED)
    if not radius:
        return
    for before, (rows, columns, which) in zip(kept, corners, strict=True):
        inside, outside = _corner(radius, which)
        patch = view[rows, columns]
        patch[:] = cv2.add(
            cv2.multiply(patch, inside, scale=1 / 255), cv2.multiply(before, outside, scale=1 / 255)
        )


@lru_cache(maxsize=64)
def _corner(radius: int, which: int) -> tuple[np.ndarray, np.ndarray]:
    """How much of a corner's pixels lies inside the round and outside, 0 to 255: two (R, R, 3)."""
    fine = 8  # sub-pixels a side
    at = radius - (np.arange(radius * fine) + 0.5) / fine
    inside = (
        (at[:, None] ** 2 + at[None, :] ** 2 <= radius**2).reshape(radius, fine, radius, fine).mean((1, 3))
    )
    if which & 1:
        inside = inside[:, ::-1]
    if which & 2:
        inside = inside[::-1]
    share = np.repeat(np.rint(inside * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    return share, 255 - share


def _bar(out: np.ndarray, x: int, y: int, width: int, height: int, share: float, color: Color) -> None:
    track = out[y : y + height, x : x + width]
    if track.size == 0:
        return
    cv2.convertScaleAbs(track, dst=track, alpha=0.8, beta=36)
    filled = round(width * min(1.0, max(0.0, share))) if math.isfinite(share) else 0
    if filled:
        cv2.rectangle(out, (x, y), (x + filled - 1, y + height - 1), color, cv2.FILLED)


def _dot(out: np.ndarray, x: int, y: int, radius: int, color: Color, *, hollow: bool, unit: float) -> None:
    shift = 4
    thick = max(1, round(1.4 * unit)) if hollow else cv2.FILLED
    cv2.circle(out, (x << shift, y << shift), radius << shift, color, thick, cv2.LINE_AA, shift)


# -- letters


def plain(text: str, *, unicode: bool = _CLEAR_TEXT) -> str:
    """The text on one line in letters that can be drawn: OpenCV before 5 only has ASCII.

    >>> plain("Händewaschen – größer", unicode=False)
    'Handewaschen - grosser'
    >>> plain("飲む 🎉", unicode=False)
    '(U+98F2)mu (party popper)'
    >>> plain("red\\x1b[2J", unicode=False)
    'red\\\\x1b[2J'
    """
    text = printable(" ".join(text.split()))
    if unicode:
        return in_visual_order(spelled(unicodedata.normalize("NFC", text), _is_drawn))
    letters = []
    for letter in unicodedata.normalize("NFC", text.translate(_ASCII)):
        stripped = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
        letters.append(stripped or ("" if unicodedata.combining(letter) else letter))
    return spelled("".join(letters), str.isascii)


@lru_cache(maxsize=4096)
def _is_drawn(letter: str) -> bool:
    """Whether OpenCV has this letter: it draws a question mark where it has none."""
    if letter.isascii() or letter == "…" or not unicodedata.name(letter, ""):
        return letter.isascii() or letter == "…"
    if unicodedata.combining(letter):
        return False
    return not np.array_equal(_drawn_alone(letter), _drawn_alone("?"))


def _drawn_alone(letter: str) -> np.ndarray:
    canvas = np.zeros((48, 72), np.uint8)
    cv2.putText(canvas, letter, (8, 36), _face(False), 1.0, 255, _thickness(24, False), cv2.LINE_AA)
    return canvas


@lru_cache(maxsize=2)
def _cap_at_one(bold: bool) -> float:
    """Pixels from the foot to the head of a capital letter at font scale 1."""
    canvas = np.zeros((160, 160), np.uint8)
    cv2.putText(canvas, "H", (20, 140), _face(bold), 4, 255, 1, cv2.LINE_AA)
    rows = np.nonzero((canvas > 100).any(axis=1))[0]
    return float(rows[-1] - rows[0] + 1) / 4


def _face(bold: bool) -> int:
    return cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX


def _thickness(cap: int, bold: bool) -> int:
    # OpenCV 5 reads thickness as weight; in 4 it is pixels and has to grow with the letters.
    if _CLEAR_TEXT:
        return 1
    return max(1, round(cap / (9 if bold else 13)))


@lru_cache(maxsize=4096)
def _width_of(text: str, cap: int, bold: bool) -> int:
    """Pixels that the text takes from left to right when capitals are ``cap`` pixels high."""
    if not text:
        return 0
    (width, _), _ = cv2.getTextSize(text, _face(bold), cap / _cap_at_one(bold), _thickness(cap, bold))
    return int(width)


@lru_cache(maxsize=1024)
def _fit(text: str, room: int, cap: int, bold: bool) -> tuple[str, int]:
    """The text as it fits the room, smaller or cut with an ellipsis if it must, and its letters' size."""
    text = plain(text)
    for size in (cap, max(6, round(cap * 0.75))):
        if _width_of(text, size, bold) <= room:
            return text, size
    size = min(cap, max(6, round(cap * 0.75)))
    dots = "…" if _CLEAR_TEXT else "..."
    short, long = 0, len(text)
    while short < long:  # the longest head that fits
        middle = (short + long + 1) // 2
        if _width_of(text[:middle].rstrip() + dots, size, bold) <= room:
            short = middle
        else:
            long = middle - 1
    return (text[:short].rstrip() + dots if short else ""), size


def _write(
    out: np.ndarray, text: str, x: int, base: int, cap: int, color: Color, *, bold: bool = False
) -> None:
    if text:
        scale = cap / _cap_at_one(bold)
        cv2.putText(out, text, (x, base), _face(bold), scale, color, _thickness(cap, bold), cv2.LINE_AA)
