"""The recipe, in reading order: windows of endless streams, state carried between them, late steps weigh most."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from streamrec.config import ModelConfig
from streamrec.errors import DataError
from streamrec.model import ActionModel
from streamrec.rhythm import is_due
from streamrec.state import State
from streamrec.train.data import NO_LABEL, Augmentation, Batch, Recording, StreamWindows
from streamrec.transforms import planar


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a model learns; a resumed run must be given the same."""

    steps: int = 1500
    streams: int = 16  # in a batch
    window: int = 24  # frames through which gradients flow; the state is carried on after them
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.05  # of the steps
    gradient_clip: float = 1.0
    label_smoothing: float = 0.05
    average: float = 0.995  # decay of the moving average of the weights, which is what is saved
    carry: float = 0.25  # of the recordings follow the one before as a hard cut, without a new beginning
    augmentation: Augmentation | None = Augmentation()  # noqa: RUF009 (frozen)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    step: int
    steps: int
    loss: float  # smoothed
    accuracy: float  # smoothed, per frame, on what it learns from


@dataclass(slots=True, eq=False)
class _Run:
    """All that changes while a model learns: what a resume file holds."""

    model: ActionModel
    averaged: ActionModel
    optimizer: torch.optim.AdamW
    windows: StreamWindows
    position: np.ndarray  # of the windows, after the last batch that was learned
    state: State
    step: int = 0
    loss: float = math.nan
    accuracy: float = math.nan


def fit(
    recordings: list[Recording],
    config: ModelConfig,
    settings: TrainSettings,
    *,
    weights: str | None = None,
    resume: Path | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> ActionModel:
    """Train a model end to end on recordings; returns it in eval mode.

    ``weights``: what the encoder starts from, as ``make_encoder`` takes it. ``resume``: a file to which the run
    is written every 100 steps and when it is stopped, and from which it goes on, bit for bit, if it is there.
    It is left there at the end too: remove it once the model is saved.
    """
    run = _begin(recordings, config, settings, weights)
    if resume is not None and resume.exists():
        _restore(run, resume, settings)
    try:
        for batch in _ahead(run.windows):
            if run.step >= settings.steps:
                break
            with _uninterrupted():
                _learn(run, batch, settings)
            tell(Progress(run.step, settings.steps, run.loss, run.accuracy))
            if resume is not None and (run.step % 100 == 0 or run.step == settings.steps):
                _keep(run, resume, settings)
    except KeyboardInterrupt:
        if resume is not None:
            _keep(run, resume, settings)
        raise
    return run.averaged.eval()


def _begin(
    recordings: list[Recording], config: ModelConfig, settings: TrainSettings, weights: str | None
) -> _Run:
    if not recordings:
        raise DataError("there is nothing to learn from: no clip could be read")
    torch.manual_seed(settings.seed)
    model = ActionModel(config, weights=weights).to(memory_format=torch.channels_last).train()
    averaged = ActionModel(config).requires_grad_(False)
    averaged.load_state_dict(model.state_dict())
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]  # biases and norms
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
    )
    windows = StreamWindows(
        recordings,
        streams=settings.streams,
        window=settings.window,
        fps=config.fps,
        augmentation=settings.augmentation,
        carry=settings.carry,
        seed=settings.seed,
    )
    return _Run(
        model, averaged, optimizer, windows, windows.position.copy(), model.initial_state(settings.streams)
    )


def _ahead(windows: StreamWindows) -> Iterator[Batch]:
    """The windows, the next one being made while one is learned."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, windows)
        while True:
            batch = coming.result()
            coming = pool.submit(next, windows)
            yield batch


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the step is whole, so that what is kept of the run is whole too."""
    before: dict[int, Any] = {}
    asked: list[int] = []
    if threading.current_thread() is threading.main_thread():  # no other may set handlers, or is interrupted
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: handler for kind in kinds if callable(handler := signal.getsignal(kind))}
    for kind in before:
        signal.signal(kind, lambda number, _: asked.append(number))
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    if asked:
        signal.raise_signal(asked[0])


def _learn(run: _Run, batch: Batch, settings: TrainSettings) -> None:
    pictures, targets = torch.from_numpy(batch.pictures), torch.from_numpy(batch.targets)
    with torch.autocast("cpu", torch.bfloat16, enabled=_fast_bfloat16()):
        logits, state = run.model(pictures, torch.from_numpy(batch.elapsed), run.state)
    loss = step_loss(logits.float(), targets, torch.from_numpy(batch.weights), settings.label_smoothing)
    for group in run.optimizer.param_groups:
        group["lr"] = settings.learning_rate * _schedule(run.step / settings.steps, settings.warmup)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.gradient_clip)
    run.optimizer.step()
    run.step += 1
    run.position = batch.position
    run.state = _detached(state)
    _average(run, min(settings.average, (1.0 + run.step) / (10.0 + run.step)))
    known = targets != NO_LABEL
    accuracy = (logits.argmax(-1) == targets)[known].float().mean().item()
    run.loss = loss.item() if math.isnan(run.loss) else 0.95 * run.loss + 0.05 * loss.item()
    run.accuracy = accuracy if math.isnan(run.accuracy) else 0.95 * run.accuracy + 0.05 * accuracy


def step_loss(logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of each step, (N, T, C) against (N, T), averaged with the weights (N, T)."""
    losses = F.cross_entropy(
        logits.transpose(1, 2),
        targets,
        reduction="none",
        label_smoothing=label_smoothing,
        ignore_index=NO_LABEL,
    )
    weights = weights * (targets != NO_LABEL)
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)


def _schedule(done: float, warmup: float) -> float:
    """Part of the learning rate after part ``done`` of the steps: linear warm-up, then half a cosine to 1 %."""
    if done < warmup:
        return (done + 1e-3) / (warmup + 1e-3)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (done - warmup) / (1.0 - warmup)))


def _fast_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() if hasattr(torch.cpu, "_is_avx512_bf16_supported") else False


def _detached(state: State) -> State:
    return replace(
        state,
        head=tuple(a.detach().float() for a in state.head),
        cache=tuple(a.detach().float() for a in state.cache),
        clock=state.clock.detach(),
    )


@torch.no_grad()
def _average(run: _Run, decay: float) -> None:
    current = run.model.state_dict()
    for name, value in run.averaged.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1.0 - decay)
        else:
            value.copy_(current[name])


def _keep(run: _Run, path: Path, settings: TrainSettings) -> None:
    tensors = {f"model.{name}": value for name, value in run.model.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in run.averaged.state_dict().items()}
    for i, values in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value for name, value in values.items()}
    tensors |= {f"state.head.{i}": value for i, value in enumerate(run.state.head)}
    tensors |= {f"state.cache.{i}": value for i, value in enumerate(run.state.cache)}
    tensors["state.clock"] = run.state.clock
    tensors["windows.position"] = torch.from_numpy(run.position)
    tensors["random"] = torch.get_rng_state()
    numbers = {"step": run.step, "loss": run.loss, "accuracy": run.accuracy}
    unfinished = path.with_name(path.name + ".part")
    save_file(
        {name: value.clone().contiguous() for name, value in tensors.items()},
        unfinished,
        {"numbers": json.dumps(numbers), "settings": _described(run, settings)},
    )
    unfinished.replace(path)


def _restore(run: _Run, path: Path, settings: TrainSettings) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise DataError(f"{path} is damaged; remove it to begin anew") from error
    if metadata.get("settings") != _described(run, settings):
        raise DataError(
            f"{path} is of a run with other settings or data; give the same, or remove it to begin anew"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    run.model.load_state_dict(part("model."))
    run.averaged.load_state_dict(part("averaged."))
    optimizer = run.optimizer.state_dict()
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in part("optimizer.").items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value
    run.optimizer.load_state_dict(optimizer | {"state": moments})
    run.state = replace(
        run.state,
        head=tuple(tensors[f"state.head.{i}"] for i in range(len(run.state.head))),
        cache=tuple(tensors[f"state.cache.{i}"] for i in range(len(run.state.cache))),
        clock=tensors["state.clock"],
    )
    run.position = tensors["windows.position"].numpy()
    run.windows.position[:] = run.position
    torch.set_rng_state(tensors["random"])
    numbers = json.loads(metadata["numbers"])
    run.step, run.loss, run.accuracy = numbers["step"], numbers["loss"], numbers["accuracy"]


def _described(run: _Run, settings: TrainSettings) -> str:
    data = sha256()
    for recording in run.windows.recordings:
        data.update(
            recording.targets.tobytes() + recording.timestamps.tobytes() + recording.pictures[0].tobytes()
        )
    plain: dict[str, Any] = {
        "settings": asdict(settings),
        "config": run.model.config.to_dict(),
        "data": data.hexdigest(),
    }
    return json.dumps(plain, sort_keys=True)


@torch.inference_mode()
def quick_score(model: ActionModel, recordings: list[Recording]) -> tuple[float, float]:
    """Accuracy per frame and at the end, each recording from the initial state, without the pipeline: fast."""
    right = frames = at_end = 0
    for recording in recordings:
        chosen, last = [], -math.inf
        for i, timestamp in enumerate(recording.timestamps):
            if is_due(float(timestamp), last, model.config.fps):
                chosen.append(i)
                last = float(timestamp)
        elapsed = np.diff(recording.timestamps[chosen], prepend=-np.inf).astype(np.float32)
        state, said = model.initial_state(), []
        for start in range(0, len(chosen), 256):  # a long stream in parts, or it would not fit
            part = slice(start, start + 256)
            pictures = torch.from_numpy(planar(recording.pictures[chosen[part]]))[None]
            logits, state = model(pictures, torch.from_numpy(elapsed[part])[None], state)
            said.append(logits[0].argmax(-1).numpy())
        truth = recording.targets[chosen]
        correct = np.concatenate(said)[truth != NO_LABEL] == truth[truth != NO_LABEL]
        right, frames = right + int(correct.sum()), frames + len(correct)
        at_end += bool(len(correct) and correct[-1])
    return right / max(frames, 1), at_end / max(len(recordings), 1)
