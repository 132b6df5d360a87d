"""The core types, all of them frozen: frames, predictions, events, results; and the interface of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from streamrec.core.arguments import whole_number
from streamrec.core.messages import described
from streamrec.errors import WrongValue

UNKNOWN = "unknown"  # shown instead of a label
VIDEO = "video"  # a sense: what a stream is of. Its frames are pictures.
SIGNAL = "signal"  # readings of sensors, or any series of numbers: a row of channels a frame
SOUND = "sound"  # a hop of samples a frame


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Frame:
    """One image of one stream, and its time; or of a stream of another sense one row of readings, one hop of sound.

    ``index`` counts all frames of the source, also those that are dropped later. ``timestamp`` is in seconds on the
    source's own clock: media time for a file, time since opening for a camera. ``segment`` grows at every reconnect
    or seek: state must not cross it. Of sound it is the time of the first sample.
    """

    # Of video (H, W, 3) uint8, BGR, as OpenCV gives it; of a signal (C,) float32, a number a channel; of sound (S,)
    # float32, samples from -1 to 1. ``data`` is the same, by a name that fits every sense.
    image: np.ndarray
    index: int
    timestamp: float  # seconds on the source's own clock
    segment: int = 0
    source: str = ""  # name of the stream; never holds a password
    captured: float = 0.0  # time.monotonic() when the image was decoded: for latency only
    truth: str | None = None  # the true label, where the source knows it (the synthetic world does)

    @property
    def data(self) -> np.ndarray:
        """What was seen, or read: ``image``.

        >>> Frame(np.array([0.1, 9.8], np.float32), 0, 0.0).data.shape
        (2,)
        """
        return self.image

    @property
    def is_picture(self) -> bool:
        """Whether it is an image, and not a row of readings or a hop of sound."""
        return self.image.ndim == 3


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A person in a frame, who was followed there from earlier ones.

    Places are in parts of the camera's picture, 0 to 1 from its upper left corner; a keypoint may lie outside of it.
    """

    id: int  # the same in every frame of a stream; 1 is the first person
    box: tuple[float, float, float, float]  # ymin, xmin, ymax, xmax
    keypoints: (
        np.ndarray
    )  # (17, 3) float32: y, x and a score from 0 to 1, in the order of COCO, the nose first
    score: float  # how sure the detector is of the person, 0 to 1
    # The prediction of each model, in the order of ``Prediction.each``; None: that model judges whole pictures.
    # Empty: the recognizer was not asked to judge each person.
    predictions: tuple[Prediction | None, ...] = ()
    # Repetitions of the set that this person is at, by the first model that counts; None: none does, or it judges whole
    # pictures.
    repetitions: int | None = None
    # The same of any motion, of no class, and seconds between two of them (None: nothing repeats now). None: not asked
    # for.
    count: int | None = None
    period: float | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a reading was forecast to be, and what it was."""

    channel: int  # its number in the row, from 0; of several the one that fits its forecast least
    reading: float
    expected: float

    def to_dict(self) -> dict[str, float]:
        """The same in every JSON, in six digits.

        >>> Forecast(0, 80.0, 2.0409999).to_dict()
        {'channel': 0, 'reading': 80.0, 'expected': 2.041}
        """
        return {
            "channel": self.channel,
            "reading": float(f"{self.reading:.6g}"),
            "expected": float(f"{self.expected:.6g}"),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The recognizer's output for one frame, given all frames before it."""

    label: str
    confidence: float  # probability of the label, 0 to 1
    probabilities: np.ndarray  # (labels,) float32, sums to 1
    timestamp: float  # of its frame, seconds on the source's clock
    labels: tuple[str, ...] = ()  # names of the probabilities, in order
    # Of the current repetition: (cosine, sine) of an angle that grows from 0 at its start to a full turn at the start
    # of the next one; the length is the certainty. None: the model counts nothing.
    phase: tuple[float, float] | None = None
    # The out-of-distribution score: 0 is the mean of the training data, above 1 is outside of it. None: the model has
    # none.
    strangeness: float | None = None
    others: tuple[Prediction, ...] = ()  # of further models, on the same frame
    people: tuple[Person, ...] | None = (
        None  # who is in the frame; None: the recognizer was not asked for people
    )
    # Who is judged and waited for: not found in this frame; places are those of the last one that they were found in.
    missed: tuple[Person, ...] = ()
    # Boxes, as of ``Person``, of all that may be a person, however unsure, and of those who are waited for: what is to
    # be hidden where people are.
    possible: tuple[tuple[float, float, float, float], ...] = ()
    forecast: Forecast | None = None  # None: the model forecasts nothing

    @classmethod
    def of(
        cls,
        probabilities: np.ndarray,
        timestamp: float,
        labels: tuple[str, ...],
        phase: tuple[float, float] | None = None,
        strangeness: float | None = None,
    ) -> Prediction:
        """The prediction of these probabilities (labels,): their likeliest label.

        >>> Prediction.of(np.array([0.25, 0.75], np.float32), 0.0, ("idle", "wave")).label
        'wave'
        """
        if not isinstance(probabilities, np.ndarray) or probabilities.shape != (len(labels),) or not labels:
            raise WrongValue(
                f"probabilities are {described(probabilities)}: give an array of one number for each of the "
                f"{len(labels)} labels"
            )
        best = int(probabilities.argmax())
        confidence = float(probabilities[best])
        return cls(labels[best], confidence, probabilities, timestamp, labels, phase, strangeness)

    @property
    def each(self) -> tuple[Prediction, ...]:
        """Those of all models, in order: itself, then ``others``."""
        return (self, *self.others)

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest labels with their probabilities, the likeliest first.

        >>> p = Prediction("wave", 0.75, np.array([0.25, 0.75], np.float32), 0.0, ("idle", "wave"))
        >>> p.top(2)
        [('wave', 0.75), ('idle', 0.25)]
        """
        k = whole_number(k, "k", least=0)
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.labels[i], float(self.probabilities[i])) for i in order]


@dataclass(frozen=True, slots=True)
class ActionStarted:
    """An action has begun. Sent once; an ``ActionEnded`` of the same label follows."""

    label: str
    timestamp: float  # when it began, seconds on the source's clock
    confidence: float  # smoothed probability when the event was sent
    source: str = ""
    model: str = ""  # the one that saw it, where several watch the source; "": there is only one
    # Who did it, where each person is judged; None: it is of the whole picture. Box and keypoints are as of ``Person``,
    # when the event was sent.
    person: int | None = None
    box: tuple[float, float, float, float] | None = None
    keypoints: np.ndarray | None = field(default=None, compare=False, repr=False)
    zone: str = ""  # the zone in which it began; "": in none, or the source has no zones
    rule: str = ""  # the rule that reports it; "": a model, a line or the counter does
    based_on: tuple[str, ...] = ()  # of a rule's: the ids of the events in the history that it is based on
    forecast: Forecast | None = None  # of the reading with which an anomaly began


@dataclass(frozen=True, slots=True)
class ActionEnded:
    """An action of which ``ActionStarted`` was sent is over."""

    label: str
    timestamp: float  # when it ended, seconds on the source's clock
    started: float  # the timestamp of its ActionStarted
    confidence: float  # highest smoothed probability while it lasted
    source: str = ""
    repetitions: int | None = None  # counted while it lasted; None: this action is not counted
    model: str = ""  # as ``ActionStarted.model``
    # As of ``ActionStarted``; box and keypoints are those of the frame in which the person was found last.
    person: int | None = None
    box: tuple[float, float, float, float] | None = None
    keypoints: np.ndarray | None = field(default=None, compare=False, repr=False)
    zone: str = ""  # as ``ActionStarted.zone``
    rule: str = ""  # as ``ActionStarted.rule``
    based_on: tuple[str, ...] = ()  # as ``ActionStarted.based_on``

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.timestamp - self.started


Event: TypeAlias = ActionStarted | ActionEnded
"""A start or an end of an action."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """The prediction of one of several models for a frame."""

    model: str  # its name
    prediction: Prediction
    repetitions: int | None = None  # of the current set; None: the model counts nothing
    unknown: bool = False  # it is out of the model's distribution

    @property
    def label(self) -> str:
        """The label to show: the predicted one, or "unknown"."""
        return UNKNOWN if self.unknown else self.prediction.label


@dataclass(frozen=True, slots=True, eq=False)
class Relevance:
    """What each channel of a signal spoke for a label, or against it, at each of the last moments.

    Numbers are parts of the label's log-odds against all other labels, in the prediction of the last moment: with
    ``rest`` they sum to it, to a rounding of the method.

    >>> values = np.array([[0.5, 0.0], [1.0, -0.5]], np.float32)
    >>> found = Relevance("walking", ("x", "y"), np.array([0.9, 1.0]), values, rest=0.25)
    >>> found.by_channel, found.log_odds
    ({'x': 1.5, 'y': -0.5}, 1.25)
    """

    label: str
    channels: tuple[str, ...]
    times: np.ndarray  # (T,) seconds on the source's clock
    values: np.ndarray  # (T, C) float32: above zero it speaks for the label
    rest: float  # what came before these moments, and how the model leans without any reading

    @property
    def log_odds(self) -> float:
        """Of the label against all others."""
        return float(self.values.sum()) + self.rest

    @property
    def by_channel(self) -> dict[str, float]:
        """The sum of each channel."""
        return dict(zip(self.channels, self.values.sum(0).astype(float).tolist(), strict=True))

    def by_moment(self, seconds: float = 0.2) -> tuple[tuple[float, float], ...]:
        """When a span of so many seconds begins, and its sum over all channels; the first may be shorter.

        >>> one = Relevance("a", ("x",), np.array([0.0, 0.1, 0.2]), np.ones((3, 1), np.float32), 0.0)
        >>> one.by_moment(0.2)
        ((0.0, 1.0), (0.1, 2.0))
        """
        if not len(self.times):
            return ()
        ago = np.floor((self.times[-1] - self.times) / seconds + 1e-6).astype(int)
        begins = np.flatnonzero(np.diff(ago, prepend=ago[0] + 1))
        sums = np.add.reduceat(self.values.sum(1), begins)
        return tuple(zip(self.times[begins].tolist(), sums.astype(float).tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A frame, its prediction, and the actions that began or ended with it."""

    frame: Frame
    prediction: Prediction
    events: tuple[Event, ...] = field(default=())
    latency: float = (
        0.0  # seconds from the decoded image to the prediction; of a file, with the time in the buffer
    )
    dropped: int = 0  # frames of this source dropped so far because the reader was slower
    repetitions: int | None = None  # of the current set; None: the model counts nothing
    still: int | None = None  # frames skipped so far because the image was static; None: no motion gate
    unknown: bool = False  # it is out of the model's distribution (EventDetector.is_unknown)
    repeated: bool = False  # the last result of the stream once more, only to bring the events that ended it
    # The prediction of each model, where several watch; the fields above are the first's. Empty: there is only one.
    models: tuple[ModelResult, ...] = ()
    # Of any motion that repeats, of no class (RecurrenceCounter): repetitions of the current set. None: not asked for.
    count: int | None = None
    period: float | None = (
        None  # seconds between two of them; None: nothing repeats now, or it is not asked for
    )
    # Who is in the frame, as far as they were found in it, by number. None: the recognizer was not asked for people.
    people: tuple[Person, ...] | None = None
    # What spoke for the label, of a signal. None: it was not asked for, or not of this moment.
    relevance: Relevance | None = None

    @property
    def each(self) -> tuple[ModelResult, ...]:
        """The prediction of each model: ``models``, or the only one, without a name."""
        return self.models or (ModelResult("", self.prediction, self.repetitions, self.unknown),)

    @property
    def label(self) -> str:
        """The label to show: the predicted one, or "unknown"."""
        return UNKNOWN if self.unknown else self.prediction.label

    @property
    def says(self) -> str:
        """The name of ``label`` before."""
        return self.label


class SourceState(StrEnum):
    """The state of a source."""

    connecting = "connecting"  # it is being opened, for the first time
    live = "live"  # frames arrive
    stalled = "stalled"  # it is open, and no good frame came in time
    reconnecting = "reconnecting"  # it is being opened again, or waited for
    ended = "ended"  # it came to its end, or its reader stopped
    failed = "failed"  # it was given up


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a source at one moment; counts are since it was first opened."""

    state: SourceState = SourceState.connecting
    reason: str = ""  # why it is not live; never holds a password
    since: float = 0.0  # time.monotonic() when this state began
    frames: int = 0  # frames that were passed on
    refused: Mapping[str, int] = field(default_factory=dict)  # cause: frames that were not passed on
    reconnects: Mapping[str, int] = field(default_factory=dict)  # cause: how often it was opened again


class Source(ABC):
    """An iterable of frames; each iteration starts anew and closes what it opened.

    ``live``: frames that are not read in time are lost (a camera) or wait (a file).
    """

    name: str  # as shown to users: no password in it
    live: bool
    sense: str = VIDEO  # what its frames are: VIDEO, SIGNAL or SOUND
    channels: tuple[str, ...] = ()  # of a signal: names of the numbers of a frame; (): not known (yet)
    rate: int = 0  # of sound: samples a second; 0: not known (yet)
    secrets: tuple[str, ...] = ()  # of its address: masked in messages
    duration: float | None = None  # seconds; None: unknown or endless
    together: int = (
        1  # frames that may be read in one run: more than one where the first need not be shown at once
    )
    health: Health = Health()  # as it is now; any thread may read it
    on_health: Callable[[Health], None] | None = None  # called at each change, in the iterating thread

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Open the source and yield its frames; raises ``SourceError``."""

    def settle(self) -> None:  # noqa: B027 (most sources know it from the start)
        """Ask the server what the source is, where only it knows, so that ``live`` is right; may take seconds."""

    def interrupt(self) -> None:  # noqa: B027 (most sources have no wait to end)
        """End a wait that is under way, for the iteration stops. Called from another thread than the iterating one."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
