"""The features of the last minutes of each camera, for vectors of events: how like two events are.

What is kept is what a model's last layer reads (``head_inputs``): it is at hand after each step, so that no graph has a
further output and no frame is encoded twice. A model's features are comparable with those of the same weights alone,
which a digest of the weights names.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from streamrec.core.state import State
from streamrec.errors import StreamrecError
from streamrec.runtime.checkpoint import Checkpoint, find_model, read_checkpoint
from streamrec.runtime.recognizer import Recognizer, RecognizerWrapper
from streamrec.types import Frame, Prediction

APART = 0.25  # seconds between two features of a camera: the heads' memories change slowly
MOST_BYTES = 4 << 20  # of the features of a camera: of an event that lasts longer the last part counts
MOST_SECONDS = 600.0
_LARGEST = 60_000.0  # of a feature, in half precision

Key: TypeAlias = tuple[str, int | None]  # a model, and a person's number; None: the whole picture


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """What is remembered of one event's seconds."""

    kind: str  # names the model's weights
    rows: tuple[np.ndarray, ...]  # each (D,) float16, in order

    def mean(self) -> np.ndarray:
        """(D,) float32."""
        total: np.ndarray = np.mean(np.stack(self.rows).astype(np.float32), axis=0)
        return total


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    time: float  # seconds on the source's clock
    features: Mapping[Key, np.ndarray]
    size: int  # bytes


@dataclass(slots=True, eq=False)
class _Camera:
    segment: int
    rows: deque[_Kept] = field(default_factory=deque)
    bytes: int = 0
    # The segment before: its last event ends with the first frame of this one.
    before: tuple[_Kept, ...] = ()


class FeatureMemory:
    """The features of the last minutes of all cameras. Any thread may ask for a span.

    ``watching`` wraps the recognizer of cameras; several may be wrapped.

    >>> memory = FeatureMemory()
    >>> recognizer = memory.watching(Recognizer.load("synthetic"))
    >>> state = recognizer.initial_state()
    >>> for n in range(30):
    ...     frame = Frame(np.full((72, 96, 3), 4 * n, np.uint8), n, n / 15, 0, "door")
    ...     _, state = recognizer.step(frame, state)
    >>> len(memory.span("door", "synthetic", None, 1.0, 2.0).rows), memory.span("door", "other", None, 1.0, 2.0)
    (4, None)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held for microseconds
        self._cameras: dict[str, _Camera] = {}
        self._kinds: dict[str, str] = {}  # by model

    def watching(self, recognizer: Recognizer) -> Recognizer:
        """The recognizer to use: one whose features are kept. One whose weights cannot be named stays as it is."""
        kinds = kinds_of(recognizer)
        if not kinds:
            return recognizer
        with self._lock:
            self._kinds = {**self._kinds, **kinds}
        return _Remembering(recognizer, self)

    def keep(self, recognizer: Recognizer, frame: Frame, state: State) -> None:
        """The features after a step; called by the recognizing thread for each frame."""
        camera = self._cameras.get(frame.source)
        rows = None if camera is None or camera.segment != frame.segment else camera.rows
        if rows and 0 <= frame.timestamp - rows[-1].time < APART - 1e-6:
            return
        found: dict[Key, np.ndarray] = {
            (model, None): _limited(one[0]) for model, one in recognizer.head_inputs(state).items()
        }
        for person, own in recognizer.person_inputs(state).items():
            found |= {(model, person): _limited(one[0]) for model, one in own.items()}
        kept = _Kept(frame.timestamp, found, sum(one.nbytes for one in found.values()))
        with self._lock:
            if (
                camera is None
                or camera.segment != frame.segment
                or (rows and frame.timestamp < rows[-1].time)
            ):
                before = () if camera is None else tuple(camera.rows)
                camera = self._cameras[frame.source] = _Camera(frame.segment, before=before)
            camera.rows.append(kept)
            camera.bytes += kept.size
            while camera.bytes > MOST_BYTES or frame.timestamp - camera.rows[0].time > MOST_SECONDS:
                camera.bytes -= camera.rows.popleft().size

    def span(self, camera: str, model: str, person: int | None, begins: float, ends: float) -> Span | None:
        """What is remembered of a camera between two times of its source; None: nothing is.

        An event that is shorter than the distance of two features has the one that is nearest.
        """
        with self._lock:
            kind, of = self._kinds.get(model), self._cameras.get(camera)
            segments = () if of is None else (tuple(of.rows), of.before)
        key = model, person
        if kind is None:
            return None
        for rows in segments:
            near = [row for row in rows if begins - APART <= row.time <= ends + APART and key in row.features]
            if near:
                within = [row for row in near if begins - 1e-6 <= row.time <= ends + 1e-6]
                nearest = [min(near, key=lambda row: abs(row.time - ends))]
                return Span(kind, tuple(row.features[key] for row in within or nearest))
        return None

    def forget(self, camera: str) -> None:
        """A camera is no longer watched."""
        with self._lock:
            self._cameras.pop(camera, None)


def _limited(features: np.ndarray) -> np.ndarray:
    """(D,) float32 -> (D,) float16, finite."""
    bounded = np.clip(np.nan_to_num(features, posinf=_LARGEST, neginf=-_LARGEST), -_LARGEST, _LARGEST)
    return bounded.astype(np.float16)


class _Remembering(RecognizerWrapper):
    """A recognizer whose features are kept."""

    def __init__(self, recognizer: Recognizer, memory: FeatureMemory) -> None:
        super().__init__(recognizer)
        self._memory = memory

    def on_step(
        self,
        frames: Sequence[Frame],
        states: Sequence[State],
        steps: Sequence[tuple[Prediction, State]],
    ) -> None:
        """Keep the features of each frame."""
        for frame, (_, state) in zip(frames, steps, strict=True):
            self._memory.keep(self._recognizer, frame, state)


def kinds_of(recognizer: Recognizer) -> dict[str, str]:
    """By model, the name of its weights: the same for the same weights, whatever its file is called.

    Empty where a model was put together by hand, so that no file of it can be read.
    """
    try:
        return {name: weights_digest(origin) for name, origin in recognizer.origins.items()}
    except (StreamrecError, OSError):  # the file is gone since it was loaded
        return {}


def weights_digest(model: str | Path | Checkpoint) -> str:
    """A model file's weights as 16 letters: the step graph and the file's name do not count."""
    digest = hashlib.blake2b(digest_size=8)
    if not isinstance(model, Checkpoint):
        path = find_model(model)
        if path.suffix == ".onnx":
            digest.update(path.read_bytes())
            return digest.hexdigest()
        model = read_checkpoint(path)
    for name, value in sorted(model.weights.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
