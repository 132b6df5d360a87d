"""What ``streamrec train`` does: find the data, decode it, learn, measure, write the model."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamrec.checkpoint import read_checkpoint, save_model
from streamrec.config import ModelConfig
from streamrec.errors import DataError
from streamrec.events import EventSettings
from streamrec.model import ActionModel
from streamrec.synthetic import ACTIONS, UNSEEN, World, WorldSettings
from streamrec.train.data import (
    BACKGROUND,
    Augmentation,
    Clip,
    Recording,
    decode,
    decode_clips,
    find_clips,
    held_out,
)
from streamrec.train.fit import Progress as Standing
from streamrec.train.fit import TrainSettings, fit, quick_score
from streamrec.transforms import Transform

SCENE_SECONDS = 20.0  # of the synthetic world: so long is a recording, with one body, camera and room
SEEDS = 100_000  # worlds that one --seed may use; those from UNSEEN on belong to evaluation
CLEAR = EventSettings(smoothing=0.2, shortest=0.2)  # its actions are clear: told sooner, no worse (measured)


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """One training from the command line; the fields are its options."""

    data: str
    out: Path
    encoder: str
    weights: str | None
    size: tuple[int, int]  # width, height
    fps: float
    hidden: int
    dropout: float
    steps: int
    streams: int
    window: int
    learning_rate: float
    weight_decay: float
    flip: bool
    hours: float
    hold_out: float
    seed: int
    threads: int | None
    about: str

    def run(self) -> None:
        """Do it; what is left of a run that was stopped is taken up again."""
        if self.out.suffix != ".safetensors":
            raise DataError(f"--out {self.out}: a model file ends in .safetensors")
        if self.data == "synthetic" and (self.seed + 1) * SEEDS > UNSEEN:
            raise DataError(f"--seed {self.seed}: for synthetic it is 0 to {UNSEEN // SEEDS - 1}")
        if self.threads:
            torch.set_num_threads(self.threads)
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        width, height = self.size
        transform = Transform(width=width, height=height)
        clips = None if self.data == "synthetic" else find_clips(self.data)
        labels = ACTIONS if clips is None else tuple(sorted({clip.label for clip in clips}))
        background = tuple(sorted(BACKGROUND & set(labels)))
        config = ModelConfig(
            labels=labels,
            encoder=self.encoder,
            transform=transform,
            hidden_size=self.hidden,
            dropout=self.dropout,
            fps=self.fps,
            max_gap=max(1.0, 5.0 / self.fps),
            events=replace(CLEAR if self.data == "synthetic" else EventSettings(), background=background),
            about=self.about,
        )
        ActionModel(config, weights=self.weights)  # what is wrong with it is said now, not after the decoding
        self.out.parent.mkdir(parents=True, exist_ok=True)
        if clips is None:
            learned, measured = self._render(transform, console), []
        else:
            to_learn, to_measure = held_out(clips, part=self.hold_out, seed=self.seed)
            learned = self._decode(to_learn, transform, labels, console)
            measured = self._decode(to_measure, transform, labels, console)
        settings = TrainSettings(
            steps=self.steps,
            streams=self.streams,
            window=self.window,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            augmentation=replace(Augmentation(), flip=self.flip),
            seed=self.seed,
        )
        resume = self.out.with_name(self.out.name + ".resume")
        if resume.exists():
            console.print(f"going on with the run in {resume}")
        try:
            with _learning(console) as tell:
                model = fit(learned, config, settings, weights=self.weights, resume=resume, tell=tell)
        except KeyboardInterrupt:
            console.print(f"stopped; the same command goes on from {resume}")
            raise
        save_model(self.out, model)
        resume.unlink(missing_ok=True)  # not before: if the model cannot be written, nothing is lost
        console.print(f"wrote {self.out}")
        if read_checkpoint(self.out).graph is None:
            console.print(
                f"the encoder {self.encoder} cannot be exported to ONNX: this model runs with torch only"
            )
        if measured:
            per_frame, at_end = quick_score(model, measured)
            console.print(
                f"on {len(measured)} held-out clips: {100 * at_end:.1f} % right at the end, "
                f"{100 * per_frame:.1f} % of the frames"
            )

    def _render(self, transform: Transform, console: Console) -> list[Recording]:
        count = max(1, round(self.hours * 3600 / SCENE_SECONDS))

        def one(number: int) -> Recording:
            # 30 a second, and many changes: recordings are played again at other speeds and rates.
            seed = self.seed * SEEDS + number
            settings = WorldSettings(
                seed=seed, fps=30.0, seconds=SCENE_SECONDS, width=160, height=120, action_seconds=(2.0, 6.0)
            )
            return decode(World(settings), transform, ACTIONS, None, f"world {seed}")

        with _counting("rendering", count, console) as done, ThreadPoolExecutor(2) as pool:
            return [done(recording) for recording in pool.map(one, range(count))]

    def _decode(
        self, clips: list[Clip], transform: Transform, labels: tuple[str, ...], console: Console
    ) -> list[Recording]:
        recordings = []
        with _counting("decoding", len(clips), console) as done:
            for _, recording in map(done, decode_clips(clips, transform, labels)):
                if isinstance(recording, Recording):
                    recordings.append(recording)
                else:
                    console.print(f"passed over: {recording}", style="yellow")
        return recordings


@contextmanager
def _counting(what: str, total: int, console: Console) -> Iterator[Any]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)

        def done(item: Any) -> Any:
            progress.advance(task)
            return item

        yield done


@contextmanager
def _learning(console: Console) -> Iterator[Any]:
    columns = (
        TextColumn("learning"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def tell(standing: Standing) -> None:
            told = f"loss {standing.loss:.3f}, {100 * standing.accuracy:.1f} % of the frames"
            progress.update(task, total=standing.steps, completed=standing.step, description=told)
            if not console.is_terminal and standing.step % 100 == 0:
                console.print(f"{standing.step}/{standing.steps} {told}")

        yield tell
