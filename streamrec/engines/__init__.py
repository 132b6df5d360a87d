"""What runs a model, one step for N streams at a time."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from streamrec.config import ModelConfig
from streamrec.core.limits import THREADS
from streamrec.errors import ModelError, NotPicklable

if TYPE_CHECKING:
    from streamrec.checkpoint import Checkpoint

Arrays = tuple[np.ndarray, ...]
ENGINES = ("auto", "onnx", "torch")


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
        return _again, (self.origin, self.config)


def _again(origin: Origin, config: ModelConfig) -> Engine:
    """The engine made again; raises ``ModelError`` where its file holds another model by now."""
    if not isinstance(origin.model, str):
        return engine_of(origin.model, engine=origin.engine, device=origin.device, threads=origin.threads)
    _, engine = make_engine(origin.model, engine=origin.engine, device=origin.device, threads=origin.threads)
    if engine.config != config:
        raise ModelError(f"{origin.model} holds another model than when this recognizer was pickled")
    return engine


def make_engine(
    name_or_path: str, *, engine: str = "auto", device: str = "auto", threads: int | None = None
) -> tuple[str, Engine]:
    """Read a model and make it ready: ("onnx" on a CPU, "torch" on a GPU, where "auto") its name and engine.

    ``threads``: of one step on a CPU; None is what ``threads.for_engine`` says. Torch has one number for all models.
    """
    from streamrec.checkpoint import find_model, read_checkpoint

    if engine not in ENGINES:
        raise ModelError(f"there is no engine {engine!r}; the engines are {', '.join(ENGINES)}")
    if not isinstance(device, str):
        raise ModelError(f"device is {device!r}: give its name, like cpu, cuda or cuda:1")
    check_device(device)
    if threads is not None and (wrong := THREADS.wrong(threads)) is not None:
        raise ModelError(f"threads: {wrong}")
    path = find_model(name_or_path)
    if path.suffix == ".onnx":
        if engine == "torch":
            raise ModelError(f"{path} is an exported graph: it runs with the onnx engine only")
        _check_on_cpu(device)
        from streamrec.engines.onnx_engine import OnnxEngine

        name = path.stem
        made: Engine = OnnxEngine.from_file(path, threads)
    else:
        checkpoint = read_checkpoint(path)
        name = checkpoint.name
        made = engine_of(checkpoint, engine=engine, device=device, threads=threads)
    made.origin = Origin(str(path.absolute()), engine, device, threads)
    return name, made


def engine_of(
    checkpoint: Checkpoint, *, engine: str = "auto", device: str = "auto", threads: int | None = None
) -> Engine:
    """The same for a model that was read, or that was never in a file."""
    if engine == "auto":
        engine = "onnx" if device in ("auto", "cpu") and checkpoint.graph is not None else "torch"
        if device == "auto" and not checkpoint.config.is_own and _has_gpu():
            engine = "torch"
    if engine == "onnx":
        _check_on_cpu(device)
        from streamrec.engines.onnx_engine import OnnxEngine

        made: Engine = OnnxEngine.from_checkpoint(checkpoint, threads)
    else:
        from streamrec.engines.torch_engine import TorchEngine

        made = TorchEngine(checkpoint, device, threads)
    made.origin = Origin(checkpoint, engine, device, threads)
    return made


def _check_on_cpu(device: str) -> None:
    if device not in ("auto", "cpu"):
        raise ModelError(
            f"the onnx engine runs on the cpu; for {device} take the torch engine (--engine torch)"
        )


def check_device(device: str) -> None:
    """Raise ``ModelError`` for the name of a device that there is not.

    >>> check_device("gpu")
    Traceback (most recent call last):
    ...
    streamrec.errors.ModelError: there is no device 'gpu'; the devices are auto, cpu, cuda, cuda:1, ..., mps and xpu
    """
    from streamrec.errors import ModelError

    if not re.fullmatch(r"auto|cpu|(cuda|mps|xpu)(:\d{1,3})?", device):
        raise ModelError(
            f"there is no device {device!r}; the devices are auto, cpu, cuda, cuda:1, ..., mps and xpu"
        )


def _has_gpu() -> bool:
    """Whether torch can use a GPU; torch is asked only where a driver of NVIDIA's is loaded."""
    from pathlib import Path

    if not Path("/proc/driver/nvidia/version").exists():
        return False
    import torch

    return torch.cuda.is_available()
