"""The nouns: frames, predictions, events, results, all of them frozen; and what a source of frames is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from streamrec.core.arguments import described, whole_number
from streamrec.errors import WrongValue

UNKNOWN = "unknown"  # what a person is told in the place of a label


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Frame:
    """One picture of one stream, and when it was.

    ``index`` counts what the source produced, frames that were dropped later too. ``timestamp`` is in
    seconds on the source's own clock: media time for a file, time since opening for a camera. ``segment``
    grows at every reconnect or seek: memory must not cross it.
    """

    image: np.ndarray  # (H, W, 3) uint8, BGR, as OpenCV gives it
    index: int
    timestamp: float  # seconds on the source's own clock
    segment: int = 0
    source: str = ""  # which stream; never holds a password
    captured: float = 0.0  # time.monotonic() when the picture was in hand: for latency, not for meaning
    truth: str | None = None  # the right label, where the source knows it (the synthetic world does)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the recognizer says of one frame, having seen all frames before it."""

    label: str
    confidence: float  # probability of the label, 0 to 1
    probabilities: np.ndarray  # (labels,) float32, sums to 1
    timestamp: float  # of the frame that it is about, seconds on the source's clock
    labels: tuple[str, ...] = ()  # names of the probabilities, in order
    # Of the repetition that is under way: (cosine, sine), at angle 0 where it starts, growing to a full turn
    # where the next one does; its length says how sure. None: the model counts nothing.
    phase: tuple[float, float] | None = None
    # How unlike what the model learned from the picture is: 0 is its mean, above 1 is beyond its border. None: the
    # model does not know.
    strangeness: float | None = None

    @classmethod
    def of(
        cls,
        probabilities: np.ndarray,
        timestamp: float,
        labels: tuple[str, ...],
        phase: tuple[float, float] | None = None,
        strangeness: float | None = None,
    ) -> Prediction:
        """The prediction that these probabilities (labels,) are: their likeliest label.

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
    """An action has begun. It is told once; an ``ActionEnded`` of the same label follows."""

    label: str
    timestamp: float  # when it began, seconds on the source's clock
    confidence: float  # smoothed probability at the moment of telling
    source: str = ""


@dataclass(frozen=True, slots=True)
class ActionEnded:
    """An action that was told as started is over."""

    label: str
    timestamp: float  # when it ended, seconds on the source's clock
    started: float  # the timestamp of its ActionStarted
    confidence: float  # highest smoothed probability while it lasted
    source: str = ""
    repetitions: int | None = None  # counted while it lasted; None: this action is not counted

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.timestamp - self.started


Event: TypeAlias = ActionStarted | ActionEnded
"""What began, or what is over."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A frame, what the recognizer says of it, and what began or ended with it."""

    frame: Frame
    prediction: Prediction
    events: tuple[Event, ...] = field(default=())
    latency: float = (
        0.0  # seconds from the picture in hand to the prediction ready; of a file, waiting included
    )
    dropped: int = 0  # frames of this source dropped so far because the reader was slower
    repetitions: int | None = None  # of the set that is under way; None: the model counts nothing
    still: int | None = None  # frames left out so far because the picture stood still; None: no gate
    unknown: bool = False  # its picture is unlike what the model learned from (EventDetector.is_unknown)
    repeated: bool = False  # the last result of the stream once more, only to bring the events that ended it

    @property
    def label(self) -> str:
        """The label to show: the predicted one, or "unknown"."""
        return UNKNOWN if self.unknown else self.prediction.label

    @property
    def says(self) -> str:
        """The name of ``label`` before."""
        return self.label


class SourceState(StrEnum):
    """What a person is told of a source."""

    connecting = "connecting"  # it is being opened, for the first time
    live = "live"  # pictures come
    stalled = "stalled"  # it is open, and no good picture came in time
    reconnecting = "reconnecting"  # it is being opened again, or waited for
    ended = "ended"  # it came to its end, or nobody reads it any more
    failed = "failed"  # it was given up


@dataclass(frozen=True, slots=True)
class Health:
    """How a source is, at one moment; counts are since it was first opened."""

    state: SourceState = SourceState.connecting
    reason: str = ""  # in words, where it is not live; never holds a password
    since: float = 0.0  # time.monotonic() when this state began
    frames: int = 0  # pictures that were passed on
    refused: Mapping[str, int] = field(default_factory=dict)  # cause: pictures that were not passed on
    reconnects: Mapping[str, int] = field(default_factory=dict)  # cause: how often it was opened again


class Source(ABC):
    """Something that gives frames when iterated; each iteration starts anew and closes what it opened.

    ``live`` says whether frames that nobody reads in time are lost (a camera) or wait (a file).
    """

    name: str  # as shown to people: no password in it
    live: bool
    secrets: tuple[str, ...] = ()  # of its address: masked in what is told of it
    duration: float | None = None  # seconds, where the source knows; None: unknown or endless
    together: int = (
        1  # so many frames may wait for each other: more than one where nobody waits for the first
    )
    health: Health = Health()  # as it is now; any thread may look
    on_health: Callable[[Health], None] | None = (
        None  # called at each change of state, in the thread that reads
    )

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Open the source and yield its frames; raises ``SourceError`` in words."""

    def settle(self) -> None:  # noqa: B027 (most are what they are)
        """Find out what it is where only a server knows, so that ``live`` is true; may take seconds."""

    def interrupt(self) -> None:  # noqa: B027 (most sources have no wait to end)
        """Nobody reads any more: end a wait that is under way. Called from another thread than reads."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
