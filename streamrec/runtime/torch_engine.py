"""Run a model with torch, on a CPU or a GPU.

On a GPU convolutions calculate in half precision and channels last, and a step is one CUDA graph for each number of
streams: a small CNN is hundreds of kernels of a few microseconds, which take longer to launch than to run.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np

from streamrec.errors import ModelError, need
from streamrec.nn.each_person import EachPerson, of_frame
from streamrec.nn.encoders.with_people import WithPeople
from streamrec.runtime.checkpoint import Checkpoint, build_model
from streamrec.runtime.engine import Arrays, Engine, PersonHeads
from streamrec.runtime.people import check_people

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

Tensors = tuple[Tensor, ...]
_IMPORTED_IN = os.getpid()
Record = Callable[[Callable[[], Tensors]], tuple[Callable[[], None], Tensors]]


class TorchEngine(Engine):
    """Torch in inference mode: eager on a CPU, recorded on a GPU.

    ``precision``: of the operations that autocast may run with less, None for float32; by default float16 on a GPU.
    Flow, state and probabilities are always float32. ``record``: makes a step that is replayed, None for eager.
    """

    name = "torch"

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        threads: int | None = None,
        *,
        precision: torch.dtype | str | None = "auto",
        record: Record | str | None = "auto",
        people: bool = False,
        per_person: bool = False,
    ) -> None:
        """``people``: it finds people as well; ``per_person``: with the heads that judge each person found."""
        if people:
            check_people(checkpoint)
        self.finds_people = people
        self._process = os.getpid()
        self._persons: _TorchPersonHeads | None = None
        if not settle_after_fork() and threads is not None:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._device = torch.device(device)
            self._model = build_model(checkpoint)
            if people:
                self._model.encoder = WithPeople(self._model.encoder)
            if per_person:
                self.persons = self._persons = _TorchPersonHeads(EachPerson(copy.deepcopy(self._model)))
            self._model = self._model.to(self._device)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"torch cannot use the device {device!r}: {str(error).splitlines()[0]}"
            ) from error
        on_gpu = self._device.type == "cuda"
        if on_gpu:
            self._model = self._model.to(memory_format=torch.channels_last)
        self._precision = (torch.float16 if on_gpu else None) if isinstance(precision, str) else precision
        self._record = (record_on_gpu if on_gpu else None) if isinstance(record, str) else record
        self._recorded: dict[int, _Recorded] = {}
        self._lock = threading.Lock()  # recorded steps share their buffers
        self.device = device
        self.config = self._model.config
        self._blank = self._model.initial_state()
        self.head_shapes = tuple(tuple(a.shape[1:]) for a in self._blank.head)
        self.cache_shapes = tuple(tuple(a.shape[1:]) for a in self._blank.cache)

    def step(
        self,
        images: np.ndarray,
        elapsed: np.ndarray,
        head: Arrays,
        cache: Arrays,
        encoded: Arrays | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays, Arrays]:
        """One pass of the model over N streams; raises ``ModelError`` in a process that was forked since."""
        check_process(self._process)
        given = tuple(torch.from_numpy(array) for array in (images, elapsed, *head, *cache))
        try:
            with torch.inference_mode():
                if self._record is None:
                    outputs = _arrays(self._run(*(tensor.to(self._device) for tensor in given)))
                else:
                    with self._lock:
                        outputs = _arrays(self._recorded_for(given)(*given))
        except (RuntimeError, TypeError, MemoryError) as error:  # torch's own are RuntimeErrors
            raise _failed(error) from error
        probabilities, *after = outputs
        phase = after.pop(0) if self.config.counted else None
        return probabilities, phase, tuple(after[: len(head)]), tuple(after[len(head) :])

    def _run(self, images: Tensor, elapsed: Tensor, *memory: Tensor) -> Tensors:
        """Probabilities, the phase where the model counts, and the new memory; all float32."""
        heads = len(self.head_shapes)
        caches = heads + len(self._blank.cache)
        state = replace(self._blank, head=memory[:heads], cache=memory[heads:caches])
        with self._autocast(), self._passing() as passed:
            outputs, state = self._model.step(images, elapsed, state)
        logits, phase = self._model.split(outputs.float())
        scores = (torch.softmax(logits, dim=-1),) if phase is None else (torch.softmax(logits, dim=-1), phase)
        return tuple(tensor.float() for tensor in (*scores, *state.head, *state.cache, *passed))

    @contextmanager
    def _passing(self) -> Iterator[list[Tensor]]:
        """What the heads of each person read of the frame besides, once the step is done."""
        found: list[Tensor] = []
        module = None if self._persons is None else of_frame(self._model)
        if module is None:
            yield found
            return
        hook = module.register_forward_hook(lambda _, given, read: found.append(read))
        try:
            yield found
        finally:
            hook.remove()

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._precision, cache_enabled=self._record is None)

    def _recorded_for(self, given: Tensors) -> _Recorded:
        """The recorded step for so many streams; where a model cannot be recorded, all steps are eager from now on."""
        streams = len(given[0])
        if streams not in self._recorded:
            assert self._record is not None
            buffers = tuple(tensor.to(self._device, copy=True) for tensor in given)
            try:
                self._recorded[streams] = _Recorded(self._run, buffers, self._record)
            except RuntimeError:  # one of its operations waits for the CPU
                self._record = record_nothing
                self._recorded = {streams: _Recorded(self._run, buffers, record_nothing)}
        return self._recorded[streams]


class _TorchPersonHeads(PersonHeads):
    """The head of a model, on the CPU: a few rows take less there than the launch of its kernels on a GPU."""

    def __init__(self, module: EachPerson) -> None:
        self.module = module
        config = module.model.config
        self.judged = (True,)
        self.memory_shapes = tuple(tuple(array.shape[1:]) for array in module.initial_memory())
        self.head_numbers = tuple(range(module.head_size))
        self.labels, self.phases = len(config.labels), 2 * bool(config.counted)
        self.passed = int(of_frame(module.model) is not None)

    def step(
        self, people: np.ndarray, elapsed: np.ndarray, memory: Arrays, passed: Arrays
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays]:
        arrays = (people, elapsed, *memory, *passed)
        border = 2 + len(memory)
        try:
            with torch.inference_mode():
                given = [torch.from_numpy(array) for array in arrays]
                outputs, after = self.module(*given[:2], tuple(given[2:border]), tuple(given[border:]))
                logits, phase = self.module.model.split(outputs)
                found = (torch.softmax(logits, dim=-1), *(() if phase is None else (phase,)), *after)
                scores, *rest = _arrays(found)
        except (RuntimeError, TypeError, MemoryError) as error:
            raise _failed(error) from error
        phases = rest.pop(0) if self.phases else None
        return scores, phases, tuple(rest)


def check_process(made_in: int) -> None:
    """Raise ``ModelError`` where a torch model was made in the process that this one was forked from.

    Torch would wait for ever for threads that stayed behind in the parent.
    """
    if made_in != os.getpid():
        raise ModelError(
            "a model that was loaded with torch before the process was forked cannot run in the child: load it in "
            "the worker, or take the onnx engine"
        )


def settle_after_fork() -> bool:
    """Whether this process was forked from one that may have used torch; if so, torch gets one thread here."""
    if os.getpid() == _IMPORTED_IN:
        return False
    torch.set_num_threads(1)
    return True


class _Recorded:
    """A step over fixed buffers: the inputs are copied into them, and the step is replayed."""

    def __init__(self, run: Callable[..., Tensors], buffers: Tensors, record: Record) -> None:
        self._buffers = buffers
        self._replay, self._outputs = record(lambda: run(*buffers))

    def __call__(self, *given: Tensor) -> Tensors:
        for buffer, tensor in zip(self._buffers, given, strict=True):
            buffer.copy_(tensor)
        self._replay()
        return self._outputs


def record_on_gpu(run: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
    """A CUDA graph: run a few times on a stream of its own, as libraries choose their kernels then, and capture."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
    return graph.replay, outputs


def record_nothing(run: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
    """Not recorded: eager, into fixed outputs."""
    outputs = run()

    def replay() -> None:
        for kept, new in zip(outputs, run(), strict=True):
            kept.copy_(new)

    return replay, outputs


def _failed(error: Exception) -> ModelError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(f"the model failed at a step: {reason}")


def _arrays(tensors: Tensors) -> Arrays:
    """Copies: a recorded step overwrites its outputs the next time."""
    return tuple(tensor.contiguous().cpu().numpy().copy() for tensor in tensors)
