"""The interface of an engine: one step of a model for N streams at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from streamrec.errors import NotPicklable
from streamrec.nn.config import ModelConfig

if TYPE_CHECKING:
    from streamrec.runtime.checkpoint import Checkpoint

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """What an engine was made from, so that it can be made again in another process."""

    model: str | Checkpoint  # the absolute path of a file, or a model that was never in one
    engine: str
    device: str
    threads: int | None


class Lookers:
    """Threads that look at pictures before their turn, and what they have begun with: it goes with its frame."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.begun: WeakKeyDictionary[Any, Future[Any]] = WeakKeyDictionary()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="look")
        self.submit = self._pool.submit


class Engine(ABC):
    """A model made ready to run; it remembers nothing, so one engine serves all streams."""

    name: str
    device: str
    config: ModelConfig
    head_shapes: tuple[tuple[int, ...], ...]  # of the memory of one stream, without axis 0
    cache_shapes: tuple[tuple[int, ...], ...]
    origin: Origin | None = None  # None: it was put together by hand
    looks_ahead = False  # whether somebody has asked for the ``lookers``, and there are some

    @abstractmethod
    def step(
        self,
        pictures: np.ndarray,
        elapsed: np.ndarray,
        head: Arrays,
        cache: Arrays,
        seen: Arrays | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays, Arrays]:
        """(N, 3, H, W) uint8 RGB, (N,) float32 seconds, memory -> what is said, and the new memory.

        What is said: probabilities (N, labels) float32, and phase (N, 2) float32, cosine and sine, or None
        where the model counts nothing. Infinite ``elapsed`` means that a stream begins, whatever memory it is given.
        ``seen``: what ``look`` made of the pictures; None where nobody looked.
        """

    def lookers(self) -> Lookers | None:
        """Who looks at several pictures at once; None: this engine does not, and ``step`` looks by itself."""
        return None

    def look(self, pictures: np.ndarray) -> Arrays:
        """(N, 3, H, W) uint8 RGB -> what is seen of each picture alone, whatever came before: the most of a step.

        Only where there are ``lookers``.
        """
        raise NotImplementedError

    def __deepcopy__(self, memo: object) -> Engine:
        """Itself: it remembers nothing, so that a copy of who uses it can share it."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Engine], tuple[Any, ...]]:
        """Pickled as what it was made from: it is made again where it is unpickled."""
        if self.origin is None:
            raise NotPicklable(
                f"a {type(self).__name__} that was not loaded from a model file cannot be pickled; "
                "save the model, and load its file in the other process"
            )
        from streamrec.runtime.load import made_again

        return made_again, (self.origin, self.config)
