"""What runs a model, one step for N streams at a time."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from streamrec.config import ModelConfig
from streamrec.core.limits import THREADS

Arrays = tuple[np.ndarray, ...]


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


def make_engine(
    name_or_path: str, *, engine: str = "auto", device: str = "auto", threads: int | None = None
) -> tuple[str, Engine]:
    """Read a model and make it ready: ("onnx" on a CPU, "torch" on a GPU, where "auto") its name and engine.

    ``threads``: of one step on a CPU; None is what ``threads.for_engine`` says. Torch has one number for all models.
    """
    from streamrec.checkpoint import find_model, read_checkpoint
    from streamrec.errors import ModelError

    if engine not in ("auto", "onnx", "torch"):
        raise ModelError(f"there is no engine {engine!r}; the engines are auto, onnx, torch")
    check_device(device)
    if threads is not None and (wrong := THREADS.wrong(threads)) is not None:
        raise ModelError(f"threads: {wrong}")
    path = find_model(name_or_path)
    if path.suffix == ".onnx":
        if engine == "torch":
            raise ModelError(f"{path} is an exported graph: it runs with the onnx engine only")
        _check_on_cpu(device)
        from streamrec.engines.onnx_engine import OnnxEngine

        return path.stem, OnnxEngine.from_file(path, threads)
    checkpoint = read_checkpoint(path)
    if engine == "auto":
        engine = "onnx" if device in ("auto", "cpu") and checkpoint.graph is not None else "torch"
        if device == "auto" and _has_gpu():
            engine = "torch"
    if engine == "onnx":
        _check_on_cpu(device)
        from streamrec.engines.onnx_engine import OnnxEngine

        return checkpoint.name, OnnxEngine.from_checkpoint(checkpoint, threads)
    from streamrec.engines.torch_engine import TorchEngine

    return checkpoint.name, TorchEngine(checkpoint, device, threads)


def _check_on_cpu(device: str) -> None:
    from streamrec.errors import ModelError

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
