"""What ``streamrec train`` does: find the data, decode it, learn, measure, write the model and its run folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamrec.core.console import LineConsole
from streamrec.core.files import keep_elsewhere, keep_inputs, too_full, try_room
from streamrec.core.messages import why
from streamrec.core.text import printable
from streamrec.data.clips import (
    BACKGROUND,
    Clip,
    apart_from,
    find_clips,
    find_footage,
    grouped_with,
    held_out,
    labels_of,
    told_of,
)
from streamrec.data.decode_cache import ClipCache, Recording, decode, decode_clips
from streamrec.data.phase import phase_targets
from streamrec.errors import DataError, MissingExtra, ModelError, need
from streamrec.evaluation.reports import NOTHING
from streamrec.events.detector import EventSettings
from streamrec.nn.config import ModelConfig
from streamrec.nn.model import ActionModel
from streamrec.nn.ood import FOLDS, KnownPictures
from streamrec.nn.transforms import Transform
from streamrec.runtime.checkpoint import model_file, read_checkpoint, save_model
from streamrec.sources.synthetic import ACTIONS, LABELS, UNSEEN, World, WorldSettings, clips
from streamrec.train.distributed import Ranks, choose_device, joined
from streamrec.train.fit import Progress as Standing
from streamrec.train.fit import TrainSettings
from streamrec.train.ood_fit import known_of, unknown_part
from streamrec.train.progress import left, span, still, told_every
from streamrec.train.quick_eval import accuracies, play
from streamrec.train.report import PICTURES, draw_report
from streamrec.train.run_log import RunLog, read_lines
from streamrec.train.soup import check_start, fit_soup

need("torch", extra="train")

import torch  # noqa: E402

SCENE_SECONDS = 20.0  # of the synthetic world: so long is a recording, with one body, camera and room
SEEDS = 100_000  # worlds that one seed may use; those from UNSEEN on belong to evaluation
SCENES = 12  # of the synthetic world are held out at most: it is endless, and rendering takes time
MOST_UNKNOWN = 0.5  # of what is held out: who calls more than that unknown has not learned what is
CLEAR = EventSettings(smoothing=0.2, shortest=0.2)  # its actions are clear: told sooner, no worse (measured)


@dataclass(frozen=True, slots=True, eq=False)
class TrainData:
    """What a job learns from and measures on, decoded."""

    config: ModelConfig  # with the labels of the data
    learned: list[Recording]
    measured: list[Recording]  # held out
    names: list[str]  # of those that are measured
    background: list[Recording] = field(default_factory=list)  # in which nothing happens
    grouped: bool = True  # whether it is known which recordings share a person or a place

    @property
    def known(self) -> KnownPictures | None:
        """What a model that learned from this knows by sight; None where that cannot be judged (``unjudged``)."""
        return None if self.unjudged else known_of([*self.learned, *self.background], self.config.fps)

    @property
    def unjudged(self) -> str | None:
        """Why such a model should call no picture unknown: who knows one place calls every other one strange."""
        groups = len({recording.group for recording in (*self.learned, *self.background)})
        if not self.grouped:
            return (
                "no clips share a group, so that it is not known how unlike each other people and places are"
            )
        if groups < FOLDS:
            return (
                f"it learned from {groups} group{'s' if groups > 1 else ''}, and {FOLDS} are needed to tell"
            )
        return None


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """One training: ``run`` does it all; ``load_data``, ``fit`` and ``write`` are its steps."""

    data: tuple[str, ...]  # folders and CSV files, or "synthetic"
    out: Path  # the model file
    config: ModelConfig = ModelConfig(labels=())  # noqa: RUF009 (frozen); without labels: those of the data
    settings: TrainSettings = TrainSettings()  # noqa: RUF009 (frozen)
    weights: str | None = None  # what the encoder starts from, as make_encoder takes it
    relabel: Mapping[str, str] = field(default_factory=dict)  # pattern of a label's name -> its new name
    background: tuple[str, ...] = ()  # footage in which nothing happens: videos, and folders of them
    hold_out: float = 0.2  # part of the groups
    hours: float = 1.0  # of the synthetic world, where that is the data
    world: str | None = None  # a kind of synthetic world that is learned from beside the data
    scenes: int = 240  # of it
    folder: Path | None = None  # for what is told of the run; None: beside the model
    threads: int | None = None  # of torch
    notes: tuple[str, ...] = ()  # said when it begins, after all checks

    @property
    def run_folder(self) -> Path:
        """Where config.json, metrics.csv and the pictures are written."""
        return self.folder or self.out.with_suffix(".run")

    @property
    def resumes(self) -> list[Path]:
        """Where a run is kept until its model is written: a file for each member of a soup."""
        first = self.out.with_name(self.out.name + ".resume")
        return [first, *(first.with_name(f"{first.name}{n}") for n in range(2, self.settings.soup + 1))]

    @property
    def is_synthetic(self) -> bool:
        """Whether it learns from the synthetic world."""
        return self.data == ("synthetic",)

    @property
    def outputs(self) -> dict[str, list[Path]]:
        """What is written, by the option that says so, for ``keep_inputs``."""
        told = ("config.json", "metrics.csv", "report.html", *(f"{name}.png" for name in PICTURES))
        return {
            "--out": [self.out, *self.resumes],
            "--run": [self.run_folder, *map(self.run_folder.joinpath, told)],
        }

    def keep_inputs(self, clips: Iterable[Clip] = ()) -> None:
        """Raise ``SettingsError`` where something that is written would take the place of what is read."""
        start = None if self.weights in (None, "imagenet") else model_file(str(self.weights))
        files = () if self.is_synthetic else self.data
        keep_inputs(self.outputs, [*files, *self.background, start, *(clip.path for clip in clips)])

    def run(self) -> None:
        """Do it; what is left of a run that was stopped is taken up again."""
        if self.out.suffix != ".safetensors":
            raise DataError(f"--out {self.out}: a model file ends in .safetensors")
        self.keep_inputs()
        if self.is_synthetic and (self.settings.seed + 1) * SEEDS > UNSEEN:
            raise DataError(f"--seed {self.settings.seed}: for synthetic it is 0 to {UNSEEN // SEEDS - 1}")
        self._train(self.load_data)

    def train_fold(
        self,
        learned: list[Clip],
        measured: list[Clip],
        seed: int,
        folder: Path,
        *,
        run_folder: Path | None = None,
    ) -> ActionModel:
        """Train on some clips and measure on others, as a cross-validation does; all is written to ``folder``.

        ``run_folder``: another one for config.json, metrics.csv and the report.
        """
        settings = replace(self.settings, seed=seed)
        fold = replace(self, out=folder / "model.safetensors", folder=run_folder or folder, settings=settings)
        fold.keep_inputs((*learned, *measured))
        return fold._train(lambda ranks: fold.decode(learned, measured, ranks))

    def _train(self, load: Callable[[Ranks], TrainData]) -> ActionModel:
        """Load the data, learn, measure and write; of several processes the first one writes."""
        if self.threads:
            torch.set_num_threads(self.threads)
        with joined(self.settings.device) as ranks:
            data = load(ranks)
            model = self.fit(data, ranks)
            if ranks.first:
                self.write(model, data)
            return model

    def load_data(self, ranks: Ranks | None = None) -> TrainData:
        """Find and decode what is learned from, and what is held out."""
        if not self.is_synthetic:
            clips = find_clips(self.data, relabel=self.relabel, tell=_console(ranks).print_line)
            self.keep_inputs(clips)
            for note in self.notes:
                _console(ranks).print_line(note)
            learned, measured = held_out(clips, part=self.hold_out, seed=self.settings.seed)
            if measured:
                _console(ranks).print_line(f"held out, to measure on at the end: {told_of(measured)}")
            return self.decode(learned, measured, ranks)
        config = self._config_for(ACTIONS if self.world is None else LABELS[self.world])
        count = self.scenes if self.world else max(1, round(self.hours * 3600 / SCENE_SECONDS))
        back = min(SCENES, round(self.hold_out * count))
        if self.world:
            with still("drawing scenes", _console(ranks).print_line):
                scenes = scenes_of(self.world, count + back, config.transform, config.labels)
        else:
            scenes = self._render(count + back, config, _console(ranks))
        names = [f"scene {number}" for number in range(count, count + back)]
        console = _console(ranks)
        quiet = self._decode_background(self._footage((), (), config, console), config, ClipCache(), console)
        return TrainData(config, scenes[:count], scenes[count:], names, quiet)

    def decode(self, learned: list[Clip], measured: list[Clip], ranks: Ranks | None = None) -> TrainData:
        """Decode clips; one that cannot be read is named and passed over."""
        config = self._config_for(labels_of((*learned, *measured)))
        console, names, cache = _console(ranks), [], ClipCache()
        footage = self._footage(learned, measured, config, console)
        parts: tuple[list[Recording], list[Recording]] = ([], [])
        with _counting("decoding", len(learned) + len(measured), console) as done:
            for clips, recordings in zip((learned, measured), parts, strict=True):
                for clip, recording in map(
                    done, decode_clips(clips, config.transform, config.labels, cache=cache)
                ):
                    if isinstance(recording, Recording):
                        recordings.append(recording)
                        if recording.amiss is not None:
                            console.print_line(
                                f"{printable(clip.path.name)}: {recording.amiss}", style="yellow"
                            )
                        if clips is measured:
                            names.append(clip.path.name)
                    else:
                        console.print_line(f"passed over: {recording}", style="yellow")
        if self.world:
            with still("drawing scenes", console.print_line):
                parts[0].extend(scenes_of(self.world, self.scenes, config.transform, config.labels))
        groups = Counter(clip.group for clip in (*learned, *measured))
        grouped = bool(self.world) or max(groups.values(), default=0) > 1
        quiet = self._decode_background(footage, config, cache, console)
        return TrainData(config, *parts, names, quiet, grouped)

    def _footage(
        self, learned: Sequence[Clip], measured: Sequence[Clip], config: ModelConfig, console: LineConsole
    ) -> list[Clip]:
        """What --background names, but for what is held out; raises ``DataError`` for what is an action by the data."""
        if not self.background:
            return []
        nothing = config.events.background
        footage = find_footage(self.background, nothing[0])
        kept = apart_from(measured, footage)
        if (left := len(footage) - len(kept)) > 0:
            console.print_line(
                f"{left} of the background {'is' if left == 1 else 'are'} held out, and not learned from"
            )
        names = dict.fromkeys(nothing, nothing[0])  # whatever it is called
        grouped_with([clip.relabeled(names) for clip in (*learned, *measured)], footage)
        return kept

    def _decode_background(
        self, clips: Sequence[Clip], config: ModelConfig, cache: ClipCache, console: LineConsole
    ) -> list[Recording]:
        if not clips:
            return []
        with _counting("decoding background", len(clips), console) as done:
            found = [*map(done, decode_clips(clips, config.transform, config.labels, cache=cache))]
        for clip, recording in found:
            if not isinstance(recording, Recording):
                console.print_line(f"passed over: {recording}", style="yellow")
            elif recording.amiss is not None:
                console.print_line(f"{printable(clip.path.name)}: {recording.amiss}", style="yellow")
        return [recording for _, recording in found if isinstance(recording, Recording)]

    def fit(self, data: TrainData, ranks: Ranks | None = None) -> ActionModel:
        """Learn; the run is kept beside the model until the model is written."""
        ranks = ranks or Ranks(device=choose_device(self.settings.device))
        console = _console(ranks)
        if kept := self._kept():
            console.print_line(f"going on with the run in {kept}")
        log = None
        if ranks.first:
            log = RunLog(self.run_folder, say=console.print_line)
            log.write_config(**self._described(data, ranks))
        try:
            with _learning(self.settings, console, log) as tell:
                return fit_soup(
                    data.learned,
                    data.config,
                    self.settings,
                    background=data.background,
                    weights=self.weights,
                    watched=data.measured,
                    resumes=self.resumes,
                    tell=tell,
                    say=console.print_line,
                    ranks=ranks,
                )
        except KeyboardInterrupt:
            if kept := self._kept():
                console.print_line(f"stopped; the same command goes on from {kept}")
            raise
        finally:
            if log is not None:
                log.close()

    def write(self, model: ActionModel, data: TrainData) -> None:
        """Write the model, then what it says of the held-out recordings."""
        console = _console(None)
        with still("looking at what it learned from", console.print_line):
            known, unknown = data.known, 0.0
            if known is not None and data.measured:
                unknown = unknown_part(known, data.measured, model.config.fps)
        if unknown > MOST_UNKNOWN:
            known = None
        model.config = replace(model.config, known=known)
        with still("writing the model", console.print_line):
            written, unwritten = self._written(model), None
        if written == self.out:
            # Not before: if the model cannot be written, nothing is lost.
            for path in self.resumes:
                path.unlink(missing_ok=True)
            console.print_line(f"wrote {self.out}")
        else:
            unwritten = ModelError(f"{self.out} was not written; the model is in {written}")
            console.print_line(
                f"{self.out} cannot be written; the model is in {written}: make room, and move it"
            )
        if read_checkpoint(written).graph is None:
            console.print_line(
                f"the encoder {model.config.encoder} cannot be exported to ONNX: this model runs with torch only"
            )
        with _counting("measuring", len(data.measured), console) as done:
            played = [done(play(model, recording)) for recording in data.measured]
        if data.unjudged:
            console.print_line(f"it calls no picture unknown: {data.unjudged}")
        elif known is None:
            console.print_line(
                f"it calls no picture unknown: it would be wrong of {100 * unknown:.0f} % of the held-out ones"
            )
        elif data.measured:
            console.print_line(f"of the held-out pictures {100 * unknown:.1f} % are unknown to it")
        told = "nothing was held out, so nothing was measured"
        if played:
            per_frame, at_end = accuracies(played)
            what = "scenes" if self.is_synthetic else "clips"
            told = (
                f"on {len(played)} held-out {what}: {100 * at_end:.1f} % right at the end, "
                f"{100 * per_frame:.1f} % of the frames"
            )
            console.print_line(told)
        try:
            with still("drawing the report", console.print_line):
                draw_report(
                    self.run_folder,
                    title=self.out.stem,
                    told=told,
                    labels=model.config.labels,
                    lines=read_lines(self.run_folder / "metrics.csv"),
                    played=played,
                    names=data.names,
                )
        except MissingExtra as error:
            console.print_line(f"no pictures of the run: {error}")
        except OSError as error:
            console.print_line(f"no pictures of the run: {self.run_folder} cannot be written: {why(error)}")
        else:
            console.print_line(f"its curves and mistakes: {self.run_folder / 'report.html'}")
        if unwritten is not None:
            raise unwritten  # at the end: all that could be done is done

    def _written(self, model: ActionModel) -> Path:
        """Write the model; where its place is full, to another one, which is returned. Raises ``ModelError``."""
        try:
            save_model(self.out, model)
            return self.out
        except ModelError:
            place = keep_elsewhere(self.out.name, lambda path: save_model(path, model))
            if place is None:
                raise
            return place

    def _kept(self) -> Path | None:
        """Where the member that was learning last is kept; None: nothing is."""
        return next((path for path in reversed(self.resumes) if path.exists()), None)

    def _config_for(self, labels: tuple[str, ...]) -> ModelConfig:
        if self.world:
            labels = tuple(sorted({*labels, *LABELS[self.world]}))
        labels = self.config.labels or labels
        if self.background and not BACKGROUND & set(labels):
            labels = (*labels, NOTHING)
        events = CLEAR if self.is_synthetic else self.config.events
        events = replace(events, background=tuple(sorted(BACKGROUND & set(labels))))
        config = replace(self.config, labels=labels, events=events)
        check_start(self.settings, self.weights)
        # What is wrong with it is said now, not after the decoding.
        self._try_room(ActionModel(config, weights=self.weights))
        return config

    def _try_room(self, model: ActionModel) -> None:
        """Raise ``ModelError`` where the model and its run will have no room."""
        size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
        wanted = 6 * size + 2_000_000  # the run holds it four or five times; and its graph
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            try_room(self.out, wanted)
        except OSError as error:
            if not too_full(error):
                raise ModelError(f"{self.out} cannot be written: {why(error)}") from error
            raise ModelError(
                f"there is no room for {self.out} and the run beside it: {why(error)}, and it takes "
                f"{max(1, round(wanted / 1e6))} MB; make room, or give another --out"
            ) from error

    def _described(self, data: TrainData, ranks: Ranks) -> dict[str, Any]:
        """What config.json holds."""

        def summary(recordings: list[Recording]) -> dict[str, Any]:
            counts = Counter(data.config.labels[r.target] for r in recordings if r.target >= 0)
            return {
                "recordings": len(recordings),
                "groups": len({r.group for r in recordings}),
                "frames": sum(len(r.timestamps) for r in recordings),
                "labels": {label: counts[label] for label in data.config.labels},
            }

        return {
            "data": {
                "place": list(self.data),
                "relabel": dict(self.relabel),
                "world": self.world,
                "scenes": self.scenes if self.world else 0,
                "background": {"place": list(self.background), "recordings": len(data.background)},
                "hold_out": self.hold_out,
                "learned": summary(data.learned),
                "held_out": summary(data.measured),
            },
            "settings": asdict(self.settings),
            "model": data.config.to_dict(),
            "weights": self.weights,
            "device": str(ranks.device),
            "processes": ranks.count,
        }

    def _render(self, count: int, config: ModelConfig, console: LineConsole) -> list[Recording]:
        def one(number: int) -> Recording:
            # 30 a second, and many changes: recordings are played again at other speeds and rates.
            seed = self.settings.seed * SEEDS + number
            settings = WorldSettings(
                seed=seed, fps=30.0, seconds=SCENE_SECONDS, width=160, height=120, action_seconds=(2.0, 6.0)
            )
            return decode(World(settings), config.transform, ACTIONS, None, f"world {seed}")

        with _counting("rendering", count, console) as done, ThreadPoolExecutor(2) as pool:
            return [done(recording) for recording in pool.map(one, range(count))]


@lru_cache(maxsize=1)  # the folds of a cross-validation learn from the same
def scenes_of(kind: str, count: int, transform: Transform, labels: tuple[str, ...]) -> list[Recording]:
    """Scenes of a synthetic world, each of its own people, camera and place."""
    found = []
    width, height = 2 * transform.width, 2 * transform.height
    for number, world in enumerate(clips(kind, count, seed=0, fps=(10.0, 16.0), width=width, height=height)):
        scene = decode(world, transform, labels, None, f"{kind} {number}")
        starts = tuple(world.repetitions())
        found.append(replace(scene, phases=phase_targets(scene.timestamps, starts)) if starts else scene)
    return found


def _console(ranks: Ranks | None) -> LineConsole:
    """The terminal; of several processes only the first one speaks."""
    quiet = ranks is not None and not ranks.first
    return LineConsole(stderr=True, quiet=quiet)


@contextmanager
def _counting(what: str, total: int, console: LineConsole) -> Iterator[Any]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    begun, count = time.monotonic(), 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)

        def done(item: Any) -> Any:
            nonlocal count
            count += 1
            progress.advance(task)
            return item

        def text() -> str:
            return f"{what}: {count} of {total}{left(count, total, time.monotonic() - begun)}"

        with told_every(console.print_line, text, wanted=not console.is_terminal):
            yield done


@contextmanager
def _learning(
    settings: TrainSettings, console: LineConsole, log: RunLog | None
) -> Iterator[Callable[[Standing], None]]:
    """A listener that shows where the run stands, and writes it down."""
    columns = (
        TextColumn("learning"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    begun, first = time.monotonic(), 0
    last: Standing | None = None
    held_out = ""
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=settings.soup * settings.steps)
        told = ""

        def tell(standing: Standing) -> None:
            nonlocal first, last, held_out, told
            first, last = first or standing.step, standing
            if standing.watched is not None:
                held_out = f", held out {100 * standing.watched:.1f} %"
            rate = (
                settings.streams * settings.window * (standing.step - first + 1) / (time.monotonic() - begun)
            )
            told = (
                f"loss {standing.loss:.3f}, {100 * standing.accuracy:.1f} % of the frames{held_out}, "
                f"{rate:.0f} frames a second"
            )
            progress.update(task, completed=standing.step, description=told)
            if not console.is_terminal and (standing.step % 100 == 0 or standing.step == standing.steps):
                console.print_line(f"{standing.step}/{standing.steps} {told}")
            if log is not None:
                log.write(standing)

        def text() -> str:
            """Also while a step takes long, or what is watched is measured."""
            if last is None:
                return f"getting ready to learn: {span(time.monotonic() - begun)} so far"
            total = settings.soup * settings.steps
            rest = left(last.step - first + 1, total - first + 1, time.monotonic() - begun)
            return f"{last.step}/{total} {told}{rest}"

        with told_every(console.print_line, text, wanted=not console.is_terminal):
            yield tell
    if last is not None and last.best_at is not None:
        console.print_line(f"learned for {last.step} steps; what is kept was the best, after {last.best_at}")
