"""How well the recipe ``sound`` recognizes sounds of recordings that it did not learn from.

    python benchmarks/sound.py FOLDER --out runs/sound      # sound files with an index.csv: clip,label,group

Each group is held out in turn, and learned from with each seed (a model file each, so that a stopped run goes on).
Reported are: the clip accuracy, of the mean of a clip's probabilities over the labels of sounds, as in published
numbers; the part of the clips for which an event of the right label came, and events of other labels a clip; the delay
from the first step in which something is audible to the event; false events an hour of silence, of the noise of a
microphone and of hum, which are drawn with seeds of their own. Intervals are of 95 %, by bootstrap over groups, or over
clips where ``--by clip`` is given: of few groups the former says little.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from streamrec.data.clips import Clip, find_clips
from streamrec.data.decode_cache import Recording, decode_clips
from streamrec.data.sounds import SILENCE
from streamrec.evaluation.intervals import bootstrap_interval, poisson_interval
from streamrec.evaluation.reports import NOTHING, playback_of
from streamrec.nn.model import ActionModel
from streamrec.runtime.checkpoint import Checkpoint, load_model, write_checkpoint
from streamrec.runtime.export import weights_of
from streamrec.train.job import TrainJob
from streamrec.train.quick_eval import play
from streamrec.train.recipes import find_recipe, put_together
from streamrec.train.sound_windows import drawn_nothing
from streamrec.types import ActionEnded, ActionStarted

ROUNDS = 1000
QUIET = 60  # drawn recordings of nothing, of 10 s each
QUIET_SEED = 1_000_000  # training draws with its own seeds, which are small


@dataclass(frozen=True)
class Scored:
    """The numbers of one clip."""

    right: bool  # by the mean of its probabilities
    found: bool  # an event of its label came
    wrong: int  # events of other labels
    delay: float | None  # seconds from the first step that is audible; None: no event of its label came


def scored(model: ActionModel, clip: Clip, one: Recording) -> Scored:
    """Play a clip from the initial state."""
    labels = model.config.labels
    probabilities = play(model, one).probabilities
    sounds = [n for n, label in enumerate(labels) if label != NOTHING]
    best = labels[sounds[int(probabilities[:, sounds].mean(0).argmax())]]
    played = playback_of(clip, one.timestamps, probabilities, labels, model.config.events)
    started = [
        (event.label, at)
        for event, at in zip(played.events, played.notified, strict=True)
        if isinstance(event, ActionStarted)
    ]
    audible = np.sqrt(np.square(one.pictures).mean(1)) > SILENCE
    begun = float(one.timestamps[audible.argmax()])
    step = 1.0 / model.config.fps  # the time of a step is that of its first sample
    own = [at + step - begun for label, at in started if label == clip.label]
    return Scored(
        best == clip.label,
        bool(own),
        sum(label != clip.label for label, _ in started),
        own[0] if own else None,
    )


def false_events(model: ActionModel) -> tuple[int, float]:
    """Events in drawn recordings of nothing, and their hours; each recording is a stream of its own."""
    labels, count, hours = model.config.labels, 0, 0.0
    for one in drawn_nothing(QUIET, model.config.transform, labels.index(NOTHING), QUIET_SEED):
        clip = Clip(Path("nothing"), None, "nothing", background=NOTHING)
        probabilities = play(model, one).probabilities
        played = playback_of(clip, one.timestamps, probabilities, labels, model.config.events)
        count += sum(not isinstance(event, ActionEnded) for event in played.events)
        hours += len(one.pictures) / model.config.fps / 3600
    return count, hours


MEASURES: dict[str, Callable[[Sequence[Scored]], float]] = {
    "clip accuracy %": lambda clips: 100.0 * float(np.mean([one.right for one in clips])),
    "clips with the right event %": lambda clips: 100.0 * float(np.mean([one.found for one in clips])),
    "other events a clip": lambda clips: float(np.mean([one.wrong for one in clips])),
    "delay s": lambda clips: float(np.median([c.delay for c in clips if c.delay is not None] or [np.nan])),
}


def folds_of(clips: Sequence[Clip]) -> Iterator[tuple[str, list[Clip], list[Clip]]]:
    """Each group, the clips of the others, and its own."""
    for group in sorted({clip.group for clip in clips}):
        yield group, [c for c in clips if c.group != group], [c for c in clips if c.group == group]


def train(clips: list[Clip], arguments: argparse.Namespace) -> None:
    """Train what is missing. Nothing of the group that is held out is looked at."""
    changes = {} if arguments.steps is None else {"steps": arguments.steps}
    config, settings, _ = put_together("sound", settings=changes)
    job = TrainJob(
        data=(arguments.folder,),
        out=arguments.out / "x.safetensors",
        config=config,
        settings=settings,
        score=find_recipe("sound").score,
    )
    for seed in arguments.seeds:
        for group, learned, _ in folds_of(clips):
            path = arguments.out / f"seed{seed}-without-{group}.safetensors"
            if path.exists():
                continue
            one = replace(job, out=path, settings=replace(settings, seed=seed))
            model = one.fit(one.decode(learned, []))
            write_checkpoint(path, Checkpoint(path.stem, model.config, weights_of(model), None))
            for resumed in one.resumes:
                resumed.unlink(missing_ok=True)


def measured(clips: list[Clip], arguments: argparse.Namespace) -> dict[str, object]:
    """Measure every fold of every seed."""
    by_seed: list[list[Scored]] = []
    groups: list[str] = []
    matrix: dict[str, dict[str, int]] = {}
    alarms, hours = 0, 0.0
    decoded: dict[str, list[tuple[Clip, Recording]]] = {}
    for seed in arguments.seeds:
        rows: list[Scored] = []
        groups = []
        for group, _, held in folds_of(clips):
            model = load_model(arguments.out / f"seed{seed}-without-{group}.safetensors").eval()
            if group not in decoded:
                both = decode_clips(held, model.config.transform, model.config.labels)
                decoded[group] = [(clip, one) for clip, one in both if isinstance(one, Recording)]
            with torch.inference_mode():
                found = [scored(model, clip, one) for clip, one in decoded[group]]
            rows += found
            groups += [
                clip.group if arguments.by == "group" else str(clip.path) for clip, _ in decoded[group]
            ]
            for (clip, _), one in zip(decoded[group], found, strict=True):
                counts = matrix.setdefault(str(clip.label), {"right": 0, "of": 0})
                counts["right"] += one.right
                counts["of"] += 1
            events, here = false_events(model)
            alarms, hours = alarms + events, hours + here
        by_seed.append(rows)
    table: dict[str, object] = {}
    for name, measure in MEASURES.items():

        def statistic(drawn: np.ndarray, measure: Callable[[Sequence[Scored]], float] = measure) -> float:
            return float(np.mean([measure([rows[n] for n in drawn]) for rows in by_seed]))

        numbers = np.arange(len(groups))
        low, high = bootstrap_interval(numbers, groups, statistic, rounds=ROUNDS)
        table[name] = {
            "value": statistic(numbers),
            "interval": [low, high],
            "by seed": [measure(rows) for rows in by_seed],
        }
    low, high = (bound / hours for bound in poisson_interval(alarms))
    table["false events an hour of nothing"] = {
        "value": alarms / hours,
        "interval": [low, high],
        "hours": hours,
    }
    table["by label"] = {label: counts["right"] / counts["of"] for label, counts in sorted(matrix.items())}
    return table


def main() -> None:
    """Train what is missing, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder")
    parser.add_argument("--out", type=Path, default=Path("runs/sound"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--by", choices=("group", "clip"), default="group")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = find_clips(arguments.folder)
    train(clips, arguments)
    table = measured(clips, arguments)
    (arguments.out / f"report-by-{arguments.by}.json").write_text(json.dumps(table, indent=2))
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
