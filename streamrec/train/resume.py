"""Exact resume: all that changes while a model learns, in one safetensors file, so that a run goes on bit for bit."""

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
from streamrec.core.state import State
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, need
from streamrec.nn.model import ActionModel
from streamrec.train.distributed import Ranks
from streamrec.train.speech_windows import SpeechWindows
from streamrec.train.stream_windows import StreamWindows

need("torch", extra="train")

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

KEPT_EVERY = 100  # steps from one write of a run to the next


@dataclass(slots=True, eq=False)
class Counters:
    """The numbers of a run that change while it learns."""

    step: int = 0  # steps that are done
    loss: float = math.nan  # smoothed
    accuracy: float = math.nan  # smoothed, per frame, on training recordings
    watched_at: int = 0  # step of the last evaluation on the watched recordings
    watched: float = math.nan  # accuracy per frame in that evaluation
    best_at: int = 0
    best: float = -1.0


@dataclass(slots=True, eq=False)
class Run:
    """All that changes while a model learns."""

    model: ActionModel
    averaged: ActionModel  # moving average of the weights; it is returned
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    windows: StreamWindows | SpeechWindows
    position: np.ndarray  # (N, 2) of the windows, after the last batch that was learned
    state: State
    balance: Tensor | None  # (labels,) weight of a frame of each label
    learner: nn.Module  # the model to call: wrapped where several processes average gradients
    frozen: bool | None = None  # whether the backbone is; None: not set yet
    best: dict[str, Tensor] = field(default_factory=dict)  # with patience: the best averaged weights so far
    now: Counters = field(default_factory=Counters)


def identity(settings: dict[str, Any], recordings: Iterable[Recording], ranks: Ranks) -> str:
    """Settings, data and number of processes as JSON: a run goes on only from a file with the same."""
    data = sha256()
    for recording in recordings:
        shown = recording.pictures if recording.backbone is None else recording.backbone
        data.update(recording.targets.tobytes() + recording.timestamps.tobytes() + shown[0].tobytes())
    return json.dumps(settings | {"data": data.hexdigest(), "processes": ranks.count}, sort_keys=True)


def keep(run: Run, path: Path, which: str, ranks: Ranks) -> None:
    """Write a run atomically, readable by its owner alone; all processes take part, the first one writes.

    Raises ``OSError`` in the first process where the file cannot be written.
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
    numbers = {each.name: getattr(run.now, each.name) for each in fields(Counters)}
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
        except SafetensorError as error:  # the system's error number is in its text alone
            number = re.search(r"os error (\d+)", str(error))
            code = int(number[1]) if number else errno.EIO
            raise OSError(code, os.strerror(code), str(path)) from error


class Keeper:
    """Writes a run to a file now and then; an error of the disk is reported once, and training goes on."""

    def __init__(self, path: Path | None, which: str, ranks: Ranks, log: Callable[[str], object]) -> None:
        self._path, self._which, self._ranks, self._log = path, which, ranks, log
        self._reported = False

    def keep(self, run: Run) -> None:
        """Write the run."""
        if self._path is None:
            return
        try:
            keep(run, self._path, self._which, self._ranks)
            self._reported = False
        except OSError as error:
            if not self._reported:
                self._log(f"the run cannot be kept in {self._path}: {why(error)}; it goes on learning")
            self._reported = True

    def keep_last(self, run: Run) -> None:
        """Write the run when it was stopped; where its disk is full, to another place, which is reported."""
        if self._path is None:
            return
        try:
            keep(run, self._path, self._which, self._ranks)
        except OSError as error:
            place = keep_elsewhere(
                self._path.name, lambda path: keep(run, path, self._which, Ranks(device=self._ranks.device))
            )
            if place is None or self._ranks.count > 1:  # the streams of the others cannot be gathered again
                self._log(f"the run cannot be kept in {self._path}: {why(error)}; what was learned is lost")
            else:
                self._log(
                    f"the run cannot be kept in {self._path}: {why(error)}; it is in {place}: "
                    f"make room, move it to {self._path}, and the same command goes on"
                )


def restore(run: Run, path: Path, which: str, ranks: Ranks) -> None:
    """Fill a new run from a file; raises ``DataError`` for the file of another run."""
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
    run.now = Counters(**json.loads(metadata["numbers"]))


def _own(run: Run, ranks: Ranks) -> dict[str, Tensor]:
    """What each process has for itself: its streams and its random generators."""
    tensors = {f"state.head.{i}": value for i, value in enumerate(run.state.head)}
    tensors |= {f"state.cache.{i}": value for i, value in enumerate(run.state.cache)}
    tensors["state.clock"] = run.state.clock
    tensors["windows.position"] = torch.from_numpy(run.position)
    tensors["random"] = torch.get_rng_state()
    if ranks.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(ranks.device)
    return tensors
