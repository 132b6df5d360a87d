"""From a model's name or file to the engine that runs it."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from streamrec.core.arguments import THREADS
from streamrec.core.text import printable
from streamrec.errors import MissingExtra, ModelError, need
from streamrec.nn.config import ModelConfig
from streamrec.runtime.engine import Engine, EngineOptions, Origin

if TYPE_CHECKING:
    from streamrec.runtime.checkpoint import Checkpoint

ENGINES = ("auto", "onnx", "torch")


def make_again(origin: Origin, config: ModelConfig) -> Engine:
    """The engine made again; raises ``ModelError`` where its file holds another model by now."""
    if not isinstance(origin.model, str):
        return engine_of(origin.model, **asdict(origin.options))
    _, engine = make_engine(origin.model, **asdict(origin.options))
    if engine.config != config:
        raise ModelError(f"{origin.model} holds another model than when this recognizer was pickled")
    return engine


def make_engine(
    name_or_path: str,
    *,
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    people: bool = False,
    per_person: bool = False,
) -> tuple[str, Engine]:
    """Read a model and make it ready: its name, and its engine ("auto": "onnx" on a CPU, "torch" on a GPU).

    ``threads``: of one step on a CPU; None: ``threads.for_engine`` decides. Torch has one number for all models.
    ``people``: it finds people as well; ``per_person``: and judges each.
    """
    from streamrec.runtime.checkpoint import find_model, read_checkpoint

    check_options(engine, device, threads)
    path = find_model(name_or_path)
    if path.suffix == ".onnx":
        check_exported(path, engine, device)
        if people or per_person:
            raise people_exported(path)
        from streamrec.runtime.onnx_engine import OnnxEngine

        name = path.stem
        made: Engine = OnnxEngine.from_file(path, threads)
    else:
        checkpoint = read_checkpoint(path)
        name = checkpoint.name
        made = engine_of(
            checkpoint, engine=engine, device=device, threads=threads, people=people, per_person=per_person
        )
    options = EngineOptions(engine, device, threads, people, per_person)
    made.origin = Origin(make_again, str(path.absolute()), options)
    return name, made


def check_options(engine: str, device: str, threads: int | None) -> None:
    """Raise ``ModelError`` for an engine, a device or a number of threads that there is not."""
    if engine not in ENGINES:
        raise ModelError(f"there is no engine {engine!r}; the engines are {', '.join(ENGINES)}")
    if not isinstance(device, str):
        raise ModelError(f"device is {device!r}: give its name, like cpu, cuda or cuda:1")
    check_device(device)
    if threads is not None and (wrong := THREADS.wrong(threads)) is not None:
        raise ModelError(f"threads: {wrong}")


def engine_of(
    checkpoint: Checkpoint,
    *,
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    people: bool = False,
    per_person: bool = False,
) -> Engine:
    """The engine of a model that was read, or that was never in a file."""
    people = people or per_person
    if per_person:
        from streamrec.runtime.people import check_per_person

        check_per_person(checkpoint)
    engine = choose_engine(checkpoint, engine, device)
    if engine == "onnx":
        from streamrec.runtime.onnx_engine import OnnxEngine, merged_step, step_of

        step = step_of(checkpoint)
        if people:
            from streamrec.runtime.people import people_step

            step, _ = merged_step([step, people_step(checkpoint)])
        made: Engine = OnnxEngine.of_step(step, threads, per_person)
    else:
        from streamrec.runtime.torch_engine import TorchEngine

        made = TorchEngine(checkpoint, device, threads, people=people, per_person=per_person)
    options = EngineOptions(engine, device, threads, people, per_person)
    made.origin = Origin(make_again, checkpoint, options)
    return made


def choose_engine(checkpoint: Checkpoint, engine: str, device: str) -> str:
    """The engine that runs a model: "onnx" or "torch"; raises where there is none, or not on this device."""
    if engine == "auto":
        engine = "onnx" if device in ("auto", "cpu") and checkpoint.graph is not None else "torch"
        if device == "auto" and not checkpoint.config.is_own and _has_gpu():
            engine = "torch"
    if checkpoint.graph is None:
        _need_torch(checkpoint.name)
    if engine == "onnx":
        _check_on_cpu(device)
    return engine


def _need_torch(name: str) -> None:
    """Raise ``MissingExtra`` where torch is missing, for a model that has no step graph."""
    try:
        need("torch", extra="train")
    except MissingExtra as error:
        raise MissingExtra(
            f"{printable(name)} has no step graph, so that only torch can run it: {error}"
        ) from error


def check_exported(path: Path, engine: str, device: str) -> None:
    """Raise ``ModelError`` where an .onnx file is to run otherwise than with the onnx engine on the CPU."""
    if engine == "torch":
        raise ModelError(f"{path} is an exported graph: it runs with the onnx engine only")
    _check_on_cpu(device)


def people_exported(path: Path) -> ModelError:
    """The error of an .onnx file that is asked for people."""
    return ModelError(
        f"{printable(str(path))} is an exported graph, which does not find people: give the .safetensors file that "
        "it was exported from, or watch without people"
    )


def _check_on_cpu(device: str) -> None:
    if device not in ("auto", "cpu"):
        raise ModelError(
            f"the onnx engine runs on the cpu; for {device} take the torch engine (--engine torch)"
        )


def check_device(device: str) -> None:
    """Raise ``ModelError`` for the name of a device that does not exist.

    >>> check_device("gpu")
    Traceback (most recent call last):
    ...
    streamrec.errors.ModelError: there is no device 'gpu'; the devices are auto, cpu, cuda, cuda:1, ..., mps and xpu
    """
    if not re.fullmatch(r"auto|cpu|(cuda|mps|xpu)(:\d{1,3})?", device):
        raise ModelError(
            f"there is no device {device!r}; the devices are auto, cpu, cuda, cuda:1, ..., mps and xpu"
        )


def _has_gpu() -> bool:
    """Whether torch can use a GPU; torch is imported only where an NVIDIA driver is loaded."""
    if not Path("/proc/driver/nvidia/version").exists():
        return False
    try:
        need("torch", extra="train")
    except MissingExtra:  # an installation that runs on the CPU
        return False
    import torch

    return torch.cuda.is_available()
