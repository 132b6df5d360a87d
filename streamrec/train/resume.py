"""A run that was stopped goes on bit for bit: all that changes while a model learns, in one safetensors file."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from streamrec.core.files import keep_elsewhere, replacing
from streamrec.core.messages import why
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, need
from streamrec.nn.model import ActionModel
from streamrec.state import State
from streamrec.train.distributed import Ranks
from streamrec.train.stream_windows import StreamWindows

need("torch", extra="train")

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402


@dataclass(slots=True, eq=False)
class Standing:
    """The numbers of a run."""

    step: int = 0  # steps that are learned
    loss: float = math.nan  # smoothed
    accuracy: float = math.nan  # smoothed, per frame, on what it learns from
    watched_at: int = 0  # the step at which the watched recordings were last measured
    watched: float = math.nan  # their accuracy per frame then
    best_at: int = 0
    best: float = -1.0


@dataclass(slots=True, eq=False)
class Run:
    """All that changes while a model learns."""

    model: ActionModel
    averaged: ActionModel  # what will be returned
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    windows: StreamWindows
    position: np.ndarray  # of the windows, after the last batch that was learned
    state: State
    balance: Tensor | None  # (labels,) what a frame of each label weighs
    learner: nn.Module  # the model as it is called: several processes average its gradients
    frozen: bool | None = None  # whether the trunk is; None: nothing was set yet
    best: dict[str, Tensor] = field(default_factory=dict)  # the averaged weights that did best, with patience
    now: Standing = field(default_factory=Standing)


def identity(settings: dict[str, Any], recordings: Iterable[Recording], ranks: Ranks) -> str:
    """What a run must share with another to go on from it: settings, data and the number of processes."""
    data = sha256()
    for recording in recordings:
        data.update(
            recording.targets.tobytes() + recording.timestamps.tobytes() + recording.pictures[0].tobytes()
        )
    return json.dumps(settings | {"data": data.hexdigest(), "processes": ranks.count}, sort_keys=True)


def keep(run: Run, path: Path, which: str, ranks: Ranks) -> None:
    """Write a run, whole or not at all, for its owner alone; all processes take part, the first one writes.

    Raises ``OSError`` in the first one where it cannot be written.
    """
    tensors = {f"model.{name}": value for name, value in run.model.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in run.averaged.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in run.best.items()}
    for i, values in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value for name, value in values.items()}
    for name, value in _own(run, ranks).items():
        tensors |= {f"{rank}.{name}": each for rank, each in enumerate(ranks.gather(value))}
    if not ranks.first:
        return
    numbers = {each.name: getattr(run.now, each.name) for each in fields(Standing)}
    whole = {name: value.cpu().clone().contiguous() for name, value in tensors.items()}
    metadata = {
        "numbers": json.dumps(numbers),
        "scaler": json.dumps(run.scaler.state_dict()),
        "settings": which,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, private=True) as file:
        try:
            save_file(whole, file.name, metadata)
        except SafetensorError as error:  # what the system said stands in its text alone
            number = re.search(r"os error (\d+)", str(error))
            code = int(number[1]) if number else errno.EIO
            raise OSError(code, os.strerror(code), str(path)) from error


class Keeper:
    """Keeps a run in a file as it goes on; where the disk refuses it, that is told once, and it goes on learning."""

    def __init__(self, path: Path | None, which: str, ranks: Ranks, say: Callable[[str], object]) -> None:
        self._path, self._which, self._ranks, self._say = path, which, ranks, say
        self._told = False

    def keep(self, run: Run) -> None:
        """Now and then."""
        if self._path is None:
            return
        try:
            keep(run, self._path, self._which, self._ranks)
            self._told = False
        except OSError as error:
            if not self._told:
                self._say(f"the run cannot be kept in {self._path}: {why(error)}; it goes on learning")
            self._told = True

    def keep_last(self, run: Run) -> None:
        """When it was stopped: where its own place is full, in another one, which is told."""
        if self._path is None:
            return
        try:
            keep(run, self._path, self._which, self._ranks)
        except OSError as error:
            place = keep_elsewhere(
                self._path.name, lambda path: keep(run, path, self._which, Ranks(device=self._ranks.device))
            )
            if place is None or self._ranks.count > 1:  # what others have cannot be gathered again
                self._say(f"the run cannot be kept in {self._path}: {why(error)}; what was learned is lost")
            else:
                self._say(
                    f"the run cannot be kept in {self._path}: {why(error)}; it is in {place}: "
                    f"make room, move it to {self._path}, and the same command goes on"
                )


def restore(run: Run, path: Path, which: str, ranks: Ranks) -> None:
    """Fill a run that has just begun from a file; raises ``DataError`` for one of another run."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise DataError(f"{path} is damaged; remove it to begin anew") from error
    if metadata.get("settings") != which:
        raise DataError(
            f"{path} is of a run with other settings or data; give the same, or remove it to begin anew"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    run.model.load_state_dict(part("model."))
    run.averaged.load_state_dict(part("averaged."))
    run.best = {name: value.to(ranks.device) for name, value in part("best.").items()}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in part("optimizer.").items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value
    run.optimizer.load_state_dict(run.optimizer.state_dict() | {"state": moments})
    run.scaler.load_state_dict(json.loads(metadata["scaler"]))
    own = part(f"{ranks.rank}.")
    run.state = replace(
        run.state,
        head=tuple(own[f"state.head.{i}"].to(ranks.device) for i in range(len(run.state.head))),
        cache=tuple(own[f"state.cache.{i}"].to(ranks.device) for i in range(len(run.state.cache))),
        clock=own["state.clock"].to(ranks.device),
    )
    run.position = own["windows.position"].numpy()
    run.windows.position[:] = run.position
    torch.set_rng_state(own["random"])
    if "random.cuda" in own:
        torch.cuda.set_rng_state(own["random.cuda"], ranks.device)
    run.now = Standing(**json.loads(metadata["numbers"]))


def _own(run: Run, ranks: Ranks) -> dict[str, Tensor]:
    """What each process has for itself: its streams and its chance."""
    tensors = {f"state.head.{i}": value for i, value in enumerate(run.state.head)}
    tensors |= {f"state.cache.{i}": value for i, value in enumerate(run.state.cache)}
    tensors["state.clock"] = run.state.clock
    tensors["windows.position"] = torch.from_numpy(run.position)
    tensors["random"] = torch.get_rng_state()
    if ranks.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(ranks.device)
    return tensors
