"""The interface of an engine: one step of a model for N streams at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from streamrec.core.process_end import PREFETCH
from streamrec.errors import NotPicklable
from streamrec.nn.config import ModelConfig

if TYPE_CHECKING:
    from streamrec.runtime.checkpoint import Checkpoint

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options of ``Recognizer.load`` with which an engine was made."""

    engine: str
    device: str
    threads: int | None
    people: bool = False
    per_person: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """What an engine was made from, so that ``make`` can make it again in another process, given its config too."""

    make: Callable[[Origin, ModelConfig], Engine]
    model: str | Checkpoint  # the absolute path of a file, or a model that was never in one
    options: EngineOptions


class PrefetchWorkers:
    """Threads that encode images before their turn; ``begun`` maps a frame to its work, as long as the frame lives."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.begun: WeakKeyDictionary[Any, Future[Any]] = WeakKeyDictionary()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=PREFETCH)
        self.submit = self._pool.submit


class PersonHeads(ABC):
    """The heads of an engine's models that read keypoints, for one person a row; no state is held."""

    judged: tuple[bool, ...]  # of each model in the engine, whether its scores are those of a person here
    memory_shapes: tuple[tuple[int, ...], ...]  # of the memory of one person, without axis 0
    head_numbers: tuple[int, ...]  # which arrays of the engine's head memory its first ones are, for a person
    labels: int  # width of the scores, of all models together
    phases: int  # width of the phases; 0: no judged model counts
    passed: int  # arrays that a step of the engine gives behind the caches: what the heads read of the frame besides

    @abstractmethod
    def step(
        self, people: np.ndarray, elapsed: np.ndarray, memory: Arrays, passed: Arrays
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays]:
        """(M, 6, 56) float32, (M,) float32 seconds, memory -> scores (M, labels), phases (M, phases), memory.

        The person of a row is in the first of the six places. Infinite ``elapsed`` starts a row anew.
        """


class Engine(ABC):
    """A model made ready to run; it holds no state of a stream, so one engine serves all streams."""

    name: str
    device: str
    config: ModelConfig  # of its model; of several that were merged, the first's
    head_shapes: tuple[tuple[int, ...], ...]  # of the memory of one stream, without axis 0
    cache_shapes: tuple[tuple[int, ...], ...]
    origin: Origin | None = None  # None: it was put together by hand
    finds_people = False  # whether the last cache is who was found in the frame, (6, 56)
    persons: PersonHeads | None = None  # the heads that judge each person; None: it was not asked for
    prefetches = False  # whether ``prefetch_workers`` was called, and there are some

    def found(self, cache: Arrays) -> np.ndarray:
        """Who was found in the frames, (N, 6, 56), of the caches after a step."""
        return cache[len(self.cache_shapes) - 1]

    @abstractmethod
    def step(
        self,
        images: np.ndarray,
        elapsed: np.ndarray,
        head: Arrays,
        cache: Arrays,
        encoded: Arrays | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays, Arrays]:
        """(N, *frame) as the transform gives it, (N,) float32 seconds, memory -> probabilities, phase, head and cache.

        Probabilities are (N, labels) float32; phase is (N, 2) float32, cosine and sine, or None where the model
        counts nothing; those of several models in one graph stand one behind the other, along axis 1. Infinite
        ``elapsed`` starts a stream anew, whatever memory it is given. Behind the caches stands what ``persons`` is
        passed: it belongs to this frame alone, and no memory. ``encoded``: what ``encode`` made of the
        images; None where they were not encoded ahead.
        """

    def prefetch_workers(self) -> PrefetchWorkers | None:
        """The threads that encode several images at once; None: this engine has none, and ``step`` encodes itself."""
        return None

    def encode(self, images: np.ndarray) -> Arrays:
        """(N, 3, H, W) uint8 RGB -> the part of a step that depends on each image alone: most of its work.

        Only where there are ``prefetch_workers``.
        """
        raise NotImplementedError

    def __deepcopy__(self, memo: object) -> Engine:
        """Itself: it has no state, so that the copy of an object that uses it can share it."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Engine], tuple[Any, ...]]:
        """Pickled as what it was made from: unpickling makes it again."""
        if self.origin is None:
            raise NotPicklable(
                f"a {type(self).__name__} that was not loaded from a model file cannot be pickled; "
                "save the model, and load its file in the other process"
            )
        return self.origin.make, (self.origin, self.config)
