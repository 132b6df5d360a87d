"""`streamrec train`: clips to a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.options import _complete, _names, _parse_changes, _parse_size

if TYPE_CHECKING:
    from streamrec.train.job import TrainJob

# Option -> field of ModelConfig; `size` and `count` are parsed on the way.
MODEL_FIELDS = {
    "encoder": "encoder",
    "fps": "fps",
    "head": "head",
    "hidden": "hidden_size",
    "dropout": "dropout",
    "about": "about",
}
# Options that are fields of TrainSettings, under the same name.
LEARNING_FIELDS = (
    "steps",
    "soup",
    "streams",
    "window",
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "class_balance",
    "carry",
    "patience",
    "evaluate_every",
    "stages",
    "unfreeze",
    "trunk_rate",
    "freeze_norm",
    "precision",
    "device",
    "seed",
)


class Stages(StrEnum):
    """What learns when."""

    whole = "whole"
    staged = "staged"
    head = "head"


class Precision(StrEnum):
    """What the forward pass calculates with."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def _set(panel: str, text: str, default: str | None = None, *names: str, **more: Any) -> Any:
    """An option of ``train``; None is what the recipe says, or else ``default``, which only the help reads."""
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=default or False, **more)


def train(
    context: typer.Context,
    data: Annotated[
        list[str],
        typer.Argument(help="A folder with one folder a label, a CSV (clip,label,group), or synthetic."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The model file to write; by default DATA.safetensors.")
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            "--run", help="The folder for what is told of the run; by default beside the model, .run."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Named settings, as a model's card has them; options go before it.")
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.5,
            help="Part of the groups kept back to measure on at the end; by default 0.2, of one group 0.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all chance: the same gives the same model.")] = 0,
    about: Annotated[str | None, typer.Option(help="One sentence that is kept in the model.")] = None,
    relabel: Annotated[
        str, typer.Option(help="Other names for labels of the data, OLD=NEW with commas between; * is any.")
    ] = "",
    background: Annotated[
        list[str] | None,
        typer.Option(
            help="Footage in which nothing happens, played between the clips: videos, folders of them."
        ),
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0.01, help="With synthetic as data: how much of that world to learn from.")
    ] = 1.0,
    world: Annotated[
        str | None,
        typer.Option(
            help="Learn from scenes of a synthetic world too: scuffle, falls, workout, finger.",
            autocompletion=_complete("worlds"),
        ),
    ] = None,
    scenes: Annotated[int | None, typer.Option(min=1, help="How many scenes of it.")] = None,
    count: Annotated[str, typer.Option(help="Labels whose repetitions are counted, commas between.")] = "",
    encoder: Annotated[
        str | None, _set("Model", "motion, or any CNN of torchvision or timm by its name.", "motion")
    ] = None,
    weights: Annotated[
        str | None,
        _set(
            "Model",
            "Start from imagenet, a shipped model's encoder (fight), or a .safetensors file.",
            autocompletion=_complete("weights"),
        ),
    ] = None,
    size: Annotated[str | None, _set("Model", "What the model looks at, WIDTHxHEIGHT.", "80x64")] = None,
    fps: Annotated[
        float | None, _set("Model", "The rhythm to learn, in frames a second.", "10", min=0.5)
    ] = None,
    head: Annotated[str | None, _set("Model", "lstm, gru or attention.", "lstm")] = None,
    hidden: Annotated[int | None, _set("Model", "Size of the head's memory.", "128", min=1)] = None,
    dropout: Annotated[
        float | None, _set("Model", "Of the features before the labels.", "0.4", min=0.0, max=0.9)
    ] = None,
    steps: Annotated[int | None, _set("Learning", "How many batches to learn from.", "1500", min=1)] = None,
    soup: Annotated[
        int | None,
        _set("Learning", "Models that learn from --weights one after the other, to be averaged.", "1", min=1),
    ] = None,
    streams: Annotated[int | None, _set("Learning", "Streams in a batch.", "16", min=1)] = None,
    window: Annotated[int | None, _set("Learning", "Frames of a stream in a batch.", "24", min=1)] = None,
    learning_rate: Annotated[float | None, _set("Learning", "AdamW's highest.", "0.002", min=0.0)] = None,
    weight_decay: Annotated[float | None, _set("Learning", "AdamW's, for matrices.", "0.02", min=0.0)] = None,
    label_smoothing: Annotated[
        float | None, _set("Learning", "How much doubt to learn with every label.", "0.05", min=0.0, max=0.5)
    ] = None,
    class_balance: Annotated[
        float | None,
        _set("Learning", "1: a rare label weighs as much as a common one.", "0", min=0.0, max=1.0),
    ] = None,
    flip: Annotated[
        bool | None, _set("Learning", "Mirror at random; not where left and right differ.", "flip")
    ] = None,
    variation: Annotated[
        float | None,
        _set("Learning", "How much recordings are varied; 0 not at all.", "1", min=0.0, max=2.0),
    ] = None,
    carry: Annotated[
        float | None,
        _set("Learning", "Part of the clips that follow the one before as a cut.", "0.25", min=0.0, max=1.0),
    ] = None,
    patience: Annotated[
        int | None,
        _set("Learning", "Stop after so many evaluations without a better one; keep the best.", min=1),
    ] = None,
    evaluate_every: Annotated[
        int | None, _set("Learning", "Steps from one evaluation to the next.", "100", min=1)
    ] = None,
    stages: Annotated[
        Stages | None,
        _set("Transfer", "whole: all learns; staged: first what is on the trunk; head: it alone.", "whole"),
    ] = None,
    unfreeze: Annotated[
        float | None,
        _set(
            "Transfer",
            "Staged: part of the steps before the trunk learns; 1 is never.",
            "0.5",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    trunk_rate: Annotated[
        float | None,
        _set("Transfer", "Staged: its learning rate, as a part of the others'.", "0.1", min=0.0, max=1.0),
    ] = None,
    freeze_norm: Annotated[
        bool | None, _set("Transfer", "Leave the trunk's batch norms as they are.", "no-freeze-norm")
    ] = None,
    device: Annotated[str, _set("Machine", "cpu, cuda, cuda:1, ... or auto.", "auto")] = "auto",
    precision: Annotated[
        Precision | None, _set("Machine", "auto is what the device is fast with.", "auto")
    ] = None,
    threads: Annotated[int | None, _set("Machine", "CPU threads for torch.", min=1)] = None,
) -> None:
    """Train a model on own clips, and write it with a folder that shows how it went.

    A run that is stopped goes on where it was when the same command is given again. docs/training.md explains
    every option.

    \b
    Examples:
      streamrec train my_clips/
      streamrec train my_clips/ --weights fight --out mine.safetensors
      streamrec train my_clips/ --background quiet_evening.mp4
      streamrec train clips.csv --encoder efficientnet_lite0 --weights imagenet --size 160x160 --stages staged
      streamrec train synthetic --hours 2 --out figures.safetensors
      torchrun --nproc-per-node 2 -m streamrec train my_clips/
    """
    from streamrec.core.reading import path_of
    from streamrec.data.clips import find_clips
    from streamrec.errors import DataError
    from streamrec.train.recipes import choose_recipe, find_recipe

    given = dict(context.params)
    if out is None:
        given["out"] = out = Path(f"{path_of(data[0]).resolve().stem}.safetensors")
        if out.exists():
            raise DataError(f"{out} is there already; say with --out where the new model goes")
    notes = []
    if list(data) != ["synthetic"]:
        clips = find_clips(
            data, relabel=_parse_changes(relabel) or (find_recipe(recipe).relabel if recipe else {})
        )
        if recipe is None and world is None:
            given["recipe"], why = choose_recipe(clips)
            notes.append(why)
        if hold_out is None and len({clip.group for clip in clips}) == 1:
            given["hold_out"] = 0.0
            notes.append("all clips are of one group, so nothing is held out and nothing is measured")
    replace(job_of(given), notes=tuple(notes)).run()


def job_of(given: Mapping[str, Any]) -> TrainJob:
    """The training that options of ``train`` describe, by their Python names; ``out`` must be among them.

    Raises ``DataError`` and ``ModelError`` for what cannot be.
    """
    from streamrec.errors import DataError
    from streamrec.nn.transforms import Transform
    from streamrec.sources.synthetic import LABELS
    from streamrec.train.job import TrainJob
    from streamrec.train.recipes import Recipe, find_recipe, put_together

    recipe = given["recipe"]
    made_by = find_recipe(recipe) if recipe else Recipe(about="")
    world = given["world"] or made_by.world
    if world is not None and world not in LABELS:
        raise DataError(f"--world {world}: the synthetic worlds are {', '.join(LABELS)}")
    shape = None if given["size"] is None else _parse_size(given["size"])
    model = {field: given[option] for option, field in MODEL_FIELDS.items()} | {
        "transform": None if shape is None else Transform(width=shape[0], height=shape[1]),
        "counted": tuple(_names(given["count"])) or None,
    }
    learning = {name: given[name] for name in LEARNING_FIELDS}
    for name in ("stages", "precision"):
        learning[name] = None if learning[name] is None else str(learning[name])
    config, settings, start = put_together(
        recipe,
        weights=given["weights"],
        config={name: value for name, value in model.items() if value is not None},
        settings={name: value for name, value in learning.items() if value is not None},
        flip=given["flip"],
        variation=given["variation"],
    )
    return TrainJob(
        data=tuple(given["data"]),
        out=Path(given["out"]),
        config=config,
        relabel=_parse_changes(given["relabel"]) or made_by.relabel,
        background=tuple(given["background"] or ()),
        world=world,
        scenes=given["scenes"] or made_by.scenes,
        settings=settings,
        weights=start,
        hold_out=0.2 if given["hold_out"] is None else given["hold_out"],
        hours=given["hours"],
        folder=None if given["run_folder"] is None else Path(given["run_folder"]),
        threads=given["threads"],
    )
