"""One training from clips to a model file: what ``streamrec train`` runs."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.core.console import LineConsole
from streamrec.core.files import keep_elsewhere, keep_inputs, too_full, try_room
from streamrec.core.messages import why
from streamrec.data.clips import (
    BACKGROUND,
    Clip,
    apart_from,
    each_once,
    find_clips,
    find_footage,
    grouped_with,
    labels_of,
)
from streamrec.data.decode_cache import ClipCache, Recording
from streamrec.data.splits import held_out, summary_of_groups
from streamrec.errors import DataError, MissingExtra, ModelError, need
from streamrec.evaluation.reports import NOTHING
from streamrec.evaluation.sets import names_of
from streamrec.events.detector import EventSettings
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders import OTHER_SENSES
from streamrec.nn.encoders.keypoints import NAME as KEYPOINTS
from streamrec.nn.model import ActionModel
from streamrec.nn.ood import KnownFeatures, KnownPictures
from streamrec.nn.sound import SoundTransform
from streamrec.runtime.checkpoint import model_file, read_checkpoint, save_model
from streamrec.sources.synthetic import ACTIONS, LABELS, UNSEEN
from streamrec.train import sound_windows
from streamrec.train.ctc import blank_of, right_of
from streamrec.train.distributed import Ranks, choose_device, joined
from streamrec.train.fit import Progress, RunOptions, TrainSettings, judged_linear
from streamrec.train.joints import LABELS as JOINT_LABELS
from streamrec.train.ood_features import known_features_of, knows_features, unknown_features
from streamrec.train.ood_fit import unknown_part
from streamrec.train.progress import duration, log_while, progress_bar, remaining
from streamrec.train.quick_eval import Played, accuracies, play
from streamrec.train.report import PICTURES, draw_report
from streamrec.train.run_log import RunLog, read_lines
from streamrec.train.signal_windows import transform_of
from streamrec.train.soup import check_start, fit_soup
from streamrec.train.speech_streams import SpeechAugmentation
from streamrec.train.speech_windows import streams_of
from streamrec.train.training_data import (
    SCENE_SECONDS,
    SEEDS,
    TrainData,
    decoded,
    decoded_with,
    drawn_figures,
    joint_scenes,
    scenes_of,
)
from streamrec.types import SIGNAL

need("torch", extra="train")

import torch  # noqa: E402

NOTHINGS = 24  # drawn recordings of silence and noise from which a model of sound learns what nothing is
SCENES = 12  # of the synthetic world are held out at most: it is endless, and rendering takes time
MOST_UNKNOWN = 0.5  # of the held-out frames: a score that calls more of them unknown is not kept
CLEAR = EventSettings(
    smoothing=0.2, shortest=0.2
)  # the drawn actions are clear: notified sooner, no worse (measured)


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """One training: ``run`` does it all; ``load_data``, ``fit`` and ``write`` are its steps."""

    data: tuple[str, ...]  # folders and CSV files, "synthetic", or "joints": drawn keypoints without pictures
    out: Path  # the model file
    config: ModelConfig = ModelConfig(labels=())  # noqa: RUF009 (frozen); without labels: those of the data
    settings: TrainSettings = TrainSettings()  # noqa: RUF009 (frozen)
    weights: str | None = None  # initial weights of the encoder, as make_encoder takes them
    relabel: Mapping[str, str] = field(default_factory=dict)  # pattern of a label's name -> its new name
    background: tuple[str, ...] = ()  # footage in which nothing happens: videos, and folders of them
    hold_out: float = 0.2  # part of the groups
    hours: float = 1.0  # of the synthetic world, where that is the data
    world: str | None = None  # a kind of synthetic world to learn from, in addition to the data
    scenes: int = 240  # of it
    mocap: Path | None = None  # with "joints": a folder of motion capture that some scenes are made of
    folder: Path | None = None  # run folder; None: beside the model
    threads: int | None = None  # of torch
    # What the out-of-distribution score judges: "pictures", "features" of a person backbone, or "none": it has none.
    score: str = "pictures"
    notes: tuple[str, ...] = ()  # messages to print when it begins, after all checks
    # What trains in its place where its frozen backbone does not separate the labels; the recipe's name, and it.
    otherwise: tuple[str, TrainJob] | None = None

    @property
    def run_folder(self) -> Path:
        """The folder of config.json, metrics.csv and the report."""
        return self.folder or self.out.with_suffix(".run")

    @property
    def resumes(self) -> list[Path]:
        """The files that a run is resumed from until its model is written: one for each member of a soup."""
        first = self.out.with_name(self.out.name + ".resume")
        return [first, *(first.with_name(f"{first.name}{n}") for n in range(2, self.settings.soup + 1))]

    @property
    def is_synthetic(self) -> bool:
        """Whether the data are the synthetic world."""
        return self.data == ("synthetic",)

    @property
    def is_joints(self) -> bool:
        """Whether the data are drawn keypoints."""
        return self.data == ("joints",)

    @property
    def draws_joints(self) -> bool:
        """Whether drawn keypoints are learned from beside clips."""
        return self.config.head == "ensemble" and self.world in JOINT_LABELS and not self.is_drawn

    @property
    def is_drawn(self) -> bool:
        """Whether there are no clips."""
        return self.is_synthetic or self.is_joints

    @property
    def outputs(self) -> dict[str, list[Path]]:
        """Files that are written, by the option that names them, for ``keep_inputs``."""
        names = ("config.json", "metrics.csv", "report.html", *(f"{name}.png" for name in PICTURES))
        return {
            "--out": [self.out, *self.resumes],
            "--run": [self.run_folder, *map(self.run_folder.joinpath, names)],
        }

    def keep_inputs(self, clips: Iterable[Clip] = ()) -> None:
        """Raise ``SettingsError`` where a file that is written would replace one that is read."""
        start = None if self.weights in (None, "imagenet") else model_file(str(self.weights))
        files = () if self.is_drawn else self.data
        keep_inputs(self.outputs, [*files, *self.background, start, *(clip.path for clip in clips)])

    def run(self) -> None:
        """Train; a run that was stopped is resumed."""
        if self.out.suffix != ".safetensors":
            raise DataError(f"--out {self.out}: a model file ends in .safetensors")
        self.keep_inputs()
        if self.is_synthetic and (self.settings.seed + 1) * SEEDS > UNSEEN:
            raise DataError(f"--seed {self.settings.seed}: for synthetic it is 0 to {UNSEEN // SEEDS - 1}")
        if self.mocap is not None and not (self.is_joints or self.draws_joints):
            raise DataError("--mocap is for joints: streamrec train joints --recipe webcam --mocap FOLDER")
        if self.is_joints:
            self._check_joints()
        self._train(lambda job, ranks: job.load_data(ranks))

    def train_fold(
        self,
        learned: list[Clip],
        measured: list[Clip],
        seed: int,
        folder: Path,
        *,
        run_folder: Path | None = None,
    ) -> ActionModel:
        """Train on some clips and measure on others, as a cross-validation does; all files go to ``folder``.

        ``run_folder``: another one for config.json, metrics.csv and the report.
        """
        fold = self._in_folder(folder, run_folder or folder, seed)
        fold.keep_inputs((*learned, *measured))
        return fold._train(lambda job, ranks: job.decode(each_once(learned), measured, ranks))

    def _in_folder(self, folder: Path, run_folder: Path, seed: int) -> TrainJob:
        """This training with its files in ``folder``, and so for what trains in its place."""
        otherwise = self.otherwise
        if otherwise is not None:
            otherwise = otherwise[0], otherwise[1]._in_folder(folder, run_folder, seed)
        settings = replace(self.settings, seed=seed)
        out = folder / "model.safetensors"
        return replace(self, out=out, folder=run_folder, settings=settings, otherwise=otherwise)

    def _train(self, load: Callable[[TrainJob, Ranks], TrainData]) -> ActionModel:
        """Load the data, learn, measure and write; of several processes the first one writes."""
        if self.threads:
            torch.set_num_threads(self.threads)
        with joined(self.settings.device) as ranks:
            job, data = self, load(self, ranks)
            if self.otherwise is not None and self._doubts(data, ranks):
                job = self.otherwise[1]
                data = load(job, ranks)
            model = job.fit(data, ranks)
            if ranks.first:
                job.write(model, data)
            return model

    def _doubts(self, data: TrainData, ranks: Ranks) -> bool:
        """Whether the frozen backbone does not separate the labels; what was found is printed."""
        console = _console(ranks)
        with log_while("trying the features on clips left out", console.print_line):
            found = judged_linear(data.learned, data.config, self.settings, self.weights)
        if found is None or self.otherwise is None:
            return False
        rates = f"{100 * found.right:.0f} % right at the end where chance is {100 * found.chance:.0f} %"
        if found.suits:
            console.print_line(f"the person backbone separates these labels: left-out clips are {rates}")
            return False
        console.print_line(
            f"the person backbone does not separate these labels (left-out clips are {rates}): "
            f"recipe {self.otherwise[0]} in its place, which learns motion; --recipe names another"
        )
        return True

    def load_data(self, ranks: Ranks | None = None) -> TrainData:
        """Find and decode the recordings to learn from, and the held-out ones."""
        if self.is_joints:
            return self._load_joints(_console(ranks))
        if not self.is_synthetic:
            log = _console(ranks).print_line
            clips = find_clips(self.data, relabel=self.relabel, sense=self._sense(), log=log)
            self.keep_inputs(clips)
            for note in self.notes:
                _console(ranks).print_line(note)
            learned, measured = held_out(clips, part=self.hold_out, seed=self.settings.seed)
            if measured:
                _console(ranks).print_line(
                    f"held out, to measure on at the end: {summary_of_groups(measured)}"
                )
            return self.decode(learned, measured, ranks)
        config = self._config_for(ACTIONS if self.world is None else LABELS[self.world])
        count = self.scenes if self.world else max(1, round(self.hours * 3600 / SCENE_SECONDS))
        back = min(SCENES, round(self.hold_out * count))
        if self.world:
            with log_while("drawing scenes", _console(ranks).print_line):
                scenes = scenes_of(self.world, count + back, config.pictures, config.labels)
        else:
            scenes = drawn_figures(count + back, config, self.settings.seed, _console(ranks))
        names = [f"scene {number}" for number in range(count, count + back)]
        console = _console(ranks)
        footage = self._footage((), (), config, console)
        quiet, _ = decoded("decoding background", footage, config, ClipCache(), console)
        return TrainData(config, scenes[:count], scenes[count:], names, quiet)

    def _sense(self) -> str:
        return SIGNAL if self.config.encoder in OTHER_SENSES[SIGNAL] else self.config.transform.sense

    def _check_joints(self) -> None:
        """Raise ``DataError`` for what keypoints without pictures cannot be learned with."""
        if self.world not in JOINT_LABELS:
            raise DataError(f"joints need a --world: {' or '.join(JOINT_LABELS)}")
        if self.weights in (None, "imagenet"):
            raise DataError(
                "joints are what the person backbone sees, so give it: --weights webcam, or the file that "
                "`streamrec backbone person` writes"
            )
        if self.config.encoder != KEYPOINTS:
            raise DataError(f"joints are what the encoder {KEYPOINTS} sees: give --encoder {KEYPOINTS}")
        if not self.settings.backbone_frozen:
            raise DataError("joints have no pictures for a backbone: give --stages staged --unfreeze 1")
        if self.background:
            raise DataError("joints have no pictures, and --background has: leave it out")

    def _load_joints(self, console: LineConsole) -> TrainData:
        """Draw scenes to learn from, and of another seed those to measure on."""
        assert self.world is not None
        config = self._config_for(JOINT_LABELS[self.world])
        back = min(SCENES, round(self.hold_out * self.scenes))
        with log_while("drawing keypoints", console.print_line):
            scenes = joint_scenes(self.world, self.scenes, config, self.settings.seed, self.mocap)
            held = joint_scenes(self.world, back, config, UNSEEN + self.settings.seed, self.mocap)
        return TrainData(config, scenes, held, [f"scene {number}" for number in range(back)])

    def decode(self, learned: list[Clip], measured: list[Clip], ranks: Ranks | None = None) -> TrainData:
        """Decode clips; one that cannot be read is named and skipped."""
        config = self._config_for(labels_of((*learned, *measured)), learned)
        console, cache = _console(ranks), ClipCache()
        footage = self._footage(learned, measured, config, console)
        with progress_bar("decoding", len(learned) + len(measured), console) as bar:
            readable, _ = decoded_with(bar, learned, config, cache, console)
            back, names = decoded_with(bar, measured, config, cache, console)
        if self.draws_joints:
            assert self.world is not None
            with log_while("drawing keypoints", console.print_line):
                readable += joint_scenes(
                    self.world, self.scenes, config, self.settings.seed, self.mocap, self.relabel
                )
        elif self.world:
            with log_while("drawing scenes", console.print_line):
                readable += scenes_of(self.world, self.scenes, config.pictures, config.labels)
        groups = Counter(clip.group for clip in (*learned, *measured))
        grouped = bool(self.world) or max(groups.values(), default=0) > 1
        quiet, _ = decoded("decoding background", footage, config, cache, console)
        if isinstance(self.settings.augmentation, SpeechAugmentation):
            back = streams_of(back, config.sound, blank_of(config.labels)) if back else []
            names = [f"stream {number} of {one.group}" for number, one in enumerate(back, start=1)]
        elif isinstance(config.transform, SoundTransform):
            target = config.labels.index(config.events.background[0])
            quiet += sound_windows.drawn_nothing(NOTHINGS, config.transform, target, self.settings.seed)
        return TrainData(config, readable, back, names, quiet, grouped)

    def _footage(
        self, learned: Sequence[Clip], measured: Sequence[Clip], config: ModelConfig, console: LineConsole
    ) -> list[Clip]:
        """Clips of --background without held-out ones; raises ``DataError`` where the data call one an action."""
        if not self.background:
            return []
        nothing = config.events.background
        footage = find_footage(self.background, nothing[0], sense=config.transform.sense)
        kept = apart_from(measured, footage)
        if (left := len(footage) - len(kept)) > 0:
            console.print_line(
                f"{left} of the background {'is' if left == 1 else 'are'} held out, and not learned from"
            )
        names = dict.fromkeys(nothing, nothing[0])  # all names of background are one
        grouped_with([clip.relabeled(names) for clip in (*learned, *measured)], footage)
        return kept

    def fit(self, data: TrainData, ranks: Ranks | None = None) -> ActionModel:
        """Learn; the resume file is beside the model until the model is written."""
        ranks = ranks or Ranks(device=choose_device(self.settings.device))
        console = _console(ranks)
        if kept := self._kept():
            console.print_line(f"going on with the run in {kept}")
        log = None
        if ranks.first:
            log = RunLog(self.run_folder, log=console.print_line)
            log.write_config(**self._described(data, ranks))
        try:
            with _learning(self.settings, console, log) as on_progress:
                return fit_soup(
                    data.learned,
                    data.config,
                    self.settings,
                    background=data.background,
                    weights=self.weights,
                    watched=data.measured,
                    resumes=self.resumes,
                    options=RunOptions(on_progress=on_progress, log=console.print_line, ranks=ranks),
                )
        except KeyboardInterrupt:
            if kept := self._kept():
                console.print_line(f"stopped; the same command goes on from {kept}")
            raise
        finally:
            if log is not None:
                log.close()

    def write(self, model: ActionModel, data: TrainData) -> None:
        """Write the model, then measure it on the held-out recordings and draw the report."""
        console = _console(None)
        with log_while("fitting the out-of-distribution score", console.print_line):
            known, unknown = self._known(model, data)
        if unknown > MOST_UNKNOWN:
            known = None
        model.config = replace(model.config, known=known)
        with log_while("writing the model", console.print_line):
            written, unwritten = self._written(model), None
        if written == self.out:
            # Only now: if the model could not be written, the run can still be resumed.
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
        with progress_bar("measuring", len(data.measured), console) as bar:
            played = [bar.count(play(model, recording)) for recording in data.measured]
        if self.score == "none":
            console.print_line("without out-of-distribution score, as the recipe says")
        elif data.unjudged and self.score == "pictures":
            console.print_line(f"without out-of-distribution score: {data.unjudged}")
        elif known is None:
            console.print_line(
                "without out-of-distribution score: it would call "
                f"{100 * unknown:.0f} % of the held-out frames unknown"
            )
        elif data.measured:
            console.print_line(f"{100 * unknown:.1f} % of the held-out frames are out of distribution")
        summary = "nothing was held out, so nothing was measured"
        if played:
            summary = self._summary(played, model.config)
            console.print_line(summary)
        self._draw(model, data, played, summary, console)
        if unwritten is not None:
            raise unwritten  # at the end: all that could be done is done

    def _summary(self, played: Sequence[Played], config: ModelConfig) -> str:
        """One sentence about the held-out recordings."""
        if self.settings.loss == "ctc":
            right, total = np.sum([right_of(one, blank_of(config.labels)) for one in played], axis=0)
            return (
                f"on {len(played)} held-out streams of {total} words: label error rate "
                f"{100 * (1 - right / max(1, total)):.1f} %"
            )
        per_frame, at_end = accuracies(played)
        what = "scenes" if self.is_drawn else "clips"
        return (
            f"on {len(played)} held-out {what}: {100 * at_end:.1f} % right at the end, "
            f"{100 * per_frame:.1f} % of the frames"
        )

    def _known(
        self, model: ActionModel, data: TrainData
    ) -> tuple[KnownPictures | KnownFeatures | None, float]:
        """The out-of-distribution score, and the part of the held-out frames that it calls unknown."""
        if self.score == "none":
            return None, 0.0
        if self.score == "features" and knows_features(model.config):
            features = known_features_of(model, [*data.learned, *data.background])
            return features, unknown_features(features, model, data.measured) if data.measured else 0.0
        pictures = data.known
        if pictures is None or not data.measured:
            return pictures, 0.0
        return pictures, unknown_part(pictures, data.measured, model.config.fps)

    def _draw(
        self,
        model: ActionModel,
        data: TrainData,
        played: Sequence[Played],
        summary: str,
        console: LineConsole,
    ) -> None:
        """Draw the report; where that cannot be, print why."""
        try:
            with log_while("drawing the report", console.print_line):
                draw_report(
                    self.run_folder,
                    title=self.out.stem,
                    summary=summary,
                    labels=model.config.labels,
                    lines=read_lines(self.run_folder / "metrics.csv"),
                    played=played,
                    names=data.names,
                )
        except MissingExtra as error:
            console.print_line(f"no report of the run: {error}")
        except OSError as error:
            console.print_line(f"no report of the run: {self.run_folder} cannot be written: {why(error)}")
        else:
            console.print_line(f"curves and mistakes: {self.run_folder / 'report.html'}")

    def _written(self, model: ActionModel) -> Path:
        """Write the model; returns its path, which is another one where the disk is full. Raises ``ModelError``."""
        try:
            save_model(self.out, model)
            return self.out
        except ModelError:
            place = keep_elsewhere(self.out.name, lambda path: save_model(path, model))
            if place is None:
                raise
            return place

    def _kept(self) -> Path | None:
        """The resume file of the member that was learning last; None: there is none."""
        return next((path for path in reversed(self.resumes) if path.exists()), None)

    def _sets(self, clips: Iterable[Clip]) -> tuple[str, ...]:
        """The names of the sets that the model learns from, those that its initial weights learned from included."""
        before: tuple[str, ...] = ()
        # A statistics head is fitted anew, and the frozen network under it learned from none of the sets.
        if self.weights not in (None, "imagenet") and self.config.head != "statistics":
            with suppress(ModelError):  # the weights of a bare CNN name none
                before = read_checkpoint(str(self.weights)).config.learned
        places = () if self.is_drawn else self.data
        if self.mocap is not None:
            places = (str(self.mocap),)
        own = self.config.learned or names_of((*places, *self.background), clips)
        return tuple(dict.fromkeys((*before, *own)))

    def _config_for(self, labels: tuple[str, ...], clips: Iterable[Clip] = ()) -> ModelConfig:
        if self.world and not (self.is_joints or self.draws_joints):
            labels = tuple(sorted({*labels, *LABELS[self.world]}))
        labels = self.config.labels or labels
        # Silence is learned, too; with ctc it is what is between the labels.
        nothing = isinstance(self.config.transform, SoundTransform) or self.settings.loss == "ctc"
        if (self.background or nothing) and not BACKGROUND & set(labels):
            labels = (*labels, NOTHING)
        events = CLEAR if self.is_synthetic else self.config.events
        events = replace(events, background=tuple(sorted(BACKGROUND & set(labels))))
        config = replace(self.config, labels=labels, events=events, learned=self._sets(clips))
        if config.encoder in OTHER_SENSES[SIGNAL]:
            config = replace(config, transform=transform_of(clips))
        if isinstance(config.transform, SoundTransform):
            if not math.isclose(config.fps, config.transform.fps):
                raise DataError(
                    f"a model of sound takes {config.transform.fps:g} steps a second, which follows from its hop: "
                    "leave out --fps"
                )
            if not config.transform.mean:  # a recipe may have them
                config = replace(config, transform=sound_windows.transform_of(clips, config.transform))
        check_start(self.settings, self.weights)
        # Errors in it are raised now, not after the decoding.
        self._try_room(ActionModel(config, weights=self.weights))
        return config

    def _try_room(self, model: ActionModel) -> None:
        """Raise ``ModelError`` where the model and its run will have no room."""
        size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
        wanted = (
            6 * size + 2_000_000
        )  # bytes: the resume file holds the weights four or five times; and the graph
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
        """The content of config.json."""

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
                "mocap": None if self.mocap is None else str(self.mocap),
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


def _console(ranks: Ranks | None) -> LineConsole:
    """The terminal; of several processes only the first one prints."""
    quiet = ranks is not None and not ranks.first
    return LineConsole(stderr=True, quiet=quiet)


@contextmanager
def _learning(
    settings: TrainSettings, console: LineConsole, log: RunLog | None
) -> Iterator[Callable[[Progress], None]]:
    """A callback that shows the progress of a run, and writes it to the run log."""
    total = settings.soup * settings.steps
    begun, first = time.monotonic(), 0
    last: Progress | None = None
    held_out = numbers = ""

    def line() -> str:
        """Printed where no step ends for long, or while the watched recordings are evaluated."""
        if last is None:
            return f"getting ready to learn: {duration(time.monotonic() - begun)} so far"
        rest = remaining(last.step - first + 1, total - first + 1, time.monotonic() - begun)
        return f"{last.step}/{total} {numbers}{rest}"

    with progress_bar("learning", total, console, line=line) as bar:

        def show(progress: Progress) -> None:
            nonlocal first, last, held_out, numbers
            first, last = first or progress.step, progress
            if progress.watched is not None:
                held_out = f", held out {100 * progress.watched:.1f} %"
            frames = settings.streams * settings.window * (progress.step - first + 1)
            numbers = (
                f"loss {progress.loss:.3f}, {100 * progress.accuracy:.1f} % of the frames{held_out}, "
                f"{frames / (time.monotonic() - begun):.0f} frames a second"
            )
            bar.set(progress.step, numbers)
            if not console.is_terminal and (progress.step % 100 == 0 or progress.step == progress.steps):
                console.print_line(f"{progress.step}/{progress.steps} {numbers}")
            if log is not None:
                log.write(progress)

        yield show
    if last is not None and last.best_at is not None:
        console.print_line(
            f"learned for {last.step} steps; the best model is kept, that of step {last.best_at}"
        )
