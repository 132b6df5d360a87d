"""`streamrec train`: clips to a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.option_values import parse_names, parse_relabel, parse_size
from streamrec.commands.options import DATA, OUTPUT, complete
from streamrec.commands.options import option as plain_option

if TYPE_CHECKING:
    from streamrec.train.job import TrainJob

_MODEL = "Model"
_LEARNING = "Learning"
_TRANSFER = "Transfer"
_MACHINE = "Machine"
_HOLD_OUT = 0.2  # part of the groups, where there are several
# Option -> field of ModelConfig; `size` and `count` are parsed on the way.
_CONFIG = {
    "encoder": "encoder",
    "fps": "fps",
    "head": "head",
    "hidden": "hidden_size",
    "dropout": "dropout",
    "about": "about",
}
# Options that are fields of TrainSettings, under the same name.
_SETTINGS = (
    "steps", "soup", "streams", "window", "learning_rate", "weight_decay", "label_smoothing", "class_balance",
    "carry", "patience", "evaluate_every", "stages", "unfreeze", "trunk_rate", "freeze_norm", "precision", "device",
    "seed",
)  # fmt: skip


class Stages(StrEnum):
    """Which layers learn, and in which stages."""

    whole = "whole"
    staged = "staged"
    head = "head"


class Precision(StrEnum):
    """Number format of the forward pass."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def _option(panel: str, text: str, default: str | None = None, *names: str, **more: Any) -> Any:
    """An option whose None means: as the recipe says, or else ``default``, which only the help reads."""
    return plain_option(panel, text, *names, show_default=default or False, **more)


# Longer than 80 lines: typer makes the options of the signature. ``job_of`` reads most of them, by their names.
def train(
    context: typer.Context,
    data: Annotated[
        list[str],
        typer.Argument(
            help="A folder with one folder for each label, a CSV (clip,label,group), synthetic, or joints."
        ),
    ],
    out: Annotated[
        Path | None,
        _option(OUTPUT, "The model file to write; by default DATA.safetensors.", None, "--out", "-o"),
    ] = None,
    run_folder: Annotated[
        Path | None,
        _option(
            OUTPUT, "Folder for the report and curves; by default beside the model, .run.", None, "--run"
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        _option(_LEARNING, "Named settings, as in a model's card; single options override them."),
    ] = None,
    hold_out: Annotated[
        float | None,
        _option(
            DATA,
            "Part of the groups held out to measure on at the end; by default 0.2, or 0 with one group.",
            min=0.0,
            max=0.5,
        ),
    ] = None,
    seed: Annotated[
        int, plain_option(_LEARNING, "Random seed; the same seed gives the same model.", min=0)
    ] = 0,
    about: Annotated[str | None, _option(OUTPUT, "One sentence about the model, stored in its file.")] = None,
    learned: Annotated[
        str | None,
        _option(
            OUTPUT,
            "Names of the data sets that it learns from, stored in its file; by default those of the folders.",
        ),
    ] = None,
    relabel: Annotated[
        str, plain_option(DATA, "Rename labels of the data: OLD=NEW with commas between; * matches any.")
    ] = "",
    background: Annotated[
        list[str] | None,
        _option(
            DATA, "Footage in which nothing happens, played between the clips: videos or folders of them."
        ),
    ] = None,
    hours: Annotated[
        float,
        plain_option(DATA, "With synthetic as data: hours of that world to learn from.", min=0.01),
    ] = 1.0,
    world: Annotated[
        str | None,
        _option(
            DATA,
            "Also learn from scenes of a synthetic world: scuffle, falls, workout, finger. With joints: webcam, room.",
            autocompletion=complete("worlds"),
        ),
    ] = None,
    scenes: Annotated[int | None, _option(DATA, "Number of those scenes.", min=1)] = None,
    mocap: Annotated[
        Path | None,
        _option(DATA, "With joints: the folder with cuts of HDM05, of which some scenes are made."),
    ] = None,
    count: Annotated[
        str, plain_option(_MODEL, "Labels whose repetitions are counted, with commas between.")
    ] = "",
    encoder: Annotated[
        str | None, _option(_MODEL, "motion, or any CNN of torchvision or timm by its name.", "motion")
    ] = None,
    weights: Annotated[
        str | None,
        _option(
            _MODEL,
            "Start from imagenet, a shipped model's encoder (fight), or a .safetensors file.",
            autocompletion=complete("weights"),
        ),
    ] = None,
    size: Annotated[str | None, _option(_MODEL, "Input size of the model, WIDTHxHEIGHT.", "80x64")] = None,
    fps: Annotated[
        float | None, _option(_MODEL, "Sampling rate of the model, in frames a second.", "10", min=0.5)
    ] = None,
    head: Annotated[str | None, _option(_MODEL, "lstm, gru or attention.", "lstm")] = None,
    hidden: Annotated[int | None, _option(_MODEL, "Hidden size of the head.", "128", min=1)] = None,
    dropout: Annotated[
        float | None, _option(_MODEL, "Dropout before the classifier.", "0.4", min=0.0, max=0.9)
    ] = None,
    steps: Annotated[
        int | None, _option(_LEARNING, "Number of batches to learn from.", "1500", min=1)
    ] = None,
    soup: Annotated[
        int | None,
        _option(_LEARNING, "Models that are trained from --weights one by one, then averaged.", "1", min=1),
    ] = None,
    streams: Annotated[int | None, _option(_LEARNING, "Streams in a batch.", "16", min=1)] = None,
    window: Annotated[
        int | None, _option(_LEARNING, "Frames of each stream in a batch.", "24", min=1)
    ] = None,
    learning_rate: Annotated[
        float | None, _option(_LEARNING, "Peak learning rate of AdamW.", "0.002", min=0.0)
    ] = None,
    weight_decay: Annotated[
        float | None, _option(_LEARNING, "Weight decay of AdamW, for matrices.", "0.02", min=0.0)
    ] = None,
    label_smoothing: Annotated[
        float | None, _option(_LEARNING, "Label smoothing of the loss.", "0.05", min=0.0, max=0.5)
    ] = None,
    class_balance: Annotated[
        float | None,
        _option(_LEARNING, "With 1 a rare label weighs as much as a common one.", "0", min=0.0, max=1.0),
    ] = None,
    flip: Annotated[
        bool | None,
        _option(_LEARNING, "Mirror clips at random; switch it off where left and right differ.", "flip"),
    ] = None,
    variation: Annotated[
        float | None,
        _option(_LEARNING, "Strength of data augmentation; 0 is none.", "1", min=0.0, max=2.0),
    ] = None,
    carry: Annotated[
        float | None,
        _option(
            _LEARNING,
            "Part of the clips that follow the one before without a reset.",
            "0.25",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        _option(_LEARNING, "Stop after so many evaluations without a better one; keep the best.", min=1),
    ] = None,
    evaluate_every: Annotated[
        int | None, _option(_LEARNING, "Steps between two evaluations.", "100", min=1)
    ] = None,
    stages: Annotated[
        Stages | None,
        _option(
            _TRANSFER,
            "whole: train everything; staged: the backbone is frozen at first; head: the backbone stays frozen.",
            "whole",
        ),
    ] = None,
    unfreeze: Annotated[
        float | None,
        _option(
            _TRANSFER,
            "Staged: part of the steps before the backbone is unfrozen; 1 is never.",
            "0.5",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    trunk_rate: Annotated[
        float | None,
        _option(
            _TRANSFER,
            "Staged: learning rate of the backbone, as a part of the others'.",
            "0.1",
            "--backbone-rate",
            "--trunk-rate",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    freeze_norm: Annotated[
        bool | None,
        _option(_TRANSFER, "Keep the batch norms of the backbone as they are.", "no-freeze-norm"),
    ] = None,
    device: Annotated[str, _option(_MACHINE, "cpu, cuda, cuda:1, ... or auto.", "auto")] = "auto",
    precision: Annotated[
        Precision | None,
        _option(_MACHINE, "Precision of the forward pass; auto is what the device is fast with.", "auto"),
    ] = None,
    threads: Annotated[int | None, _option(_MACHINE, "CPU threads for torch.", min=1)] = None,
) -> None:
    """Train a model on your own clips.

    It writes the model, and a folder that shows how the training went. A run that is stopped goes on where it was
    when the same command is given again. docs/training.md explains every option.

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
    if list(data) not in (["synthetic"], ["joints"]):
        renamed = parse_relabel(relabel) or (find_recipe(recipe).relabel if recipe else {})
        clips = find_clips(data, relabel=renamed)
        if recipe is None and world is None:
            given["recipe"], why = choose_recipe(clips, given)
            given["recipe_is_chosen"] = True
            notes.append(why)
        if hold_out is None and len({clip.group for clip in clips}) == 1:
            given["hold_out"] = 0.0
            notes.append("all clips are of one group, so nothing is held out and nothing is measured")
    replace(job_of(given), notes=tuple(notes)).run()


def job_of(given: Mapping[str, Any]) -> TrainJob:
    """The training that the options of ``train`` describe, by their Python names; ``out`` must be among them.

    Raises ``DataError`` and ``ModelError`` for what cannot be.
    """
    from streamrec.errors import DataError
    from streamrec.sources.synthetic import LABELS
    from streamrec.train.job import TrainJob
    from streamrec.train.joints import KINDS
    from streamrec.train.recipes import Recipe, find_recipe, put_together

    recipe = given["recipe"]
    made_by = find_recipe(recipe) if recipe else Recipe(about="")
    world = given["world"] or made_by.world
    worlds = KINDS if list(given["data"]) == ["joints"] else (*LABELS, *KINDS)
    if world is not None and world not in worlds:
        raise DataError(
            f"--world {world}: the synthetic worlds are {', '.join(LABELS)}, those of joints {', '.join(KINDS)}"
        )
    config, settings, start = put_together(
        recipe,
        weights=given["weights"],
        config=_config_of(given),
        settings=_settings_of(given),
        flip=given["flip"],
        variation=given["variation"],
    )
    otherwise = None
    if made_by.otherwise is not None and given.get("recipe_is_chosen"):
        otherwise = made_by.otherwise, job_of({**given, "recipe": made_by.otherwise, "weights": None})
    return TrainJob(
        data=tuple(given["data"]),
        out=Path(given["out"]),
        config=config,
        relabel=parse_relabel(given["relabel"]) or made_by.relabel,
        background=tuple(given["background"] or ()),
        world=world,
        scenes=given["scenes"] or made_by.scenes,
        mocap=given["mocap"],
        settings=settings,
        weights=start,
        hold_out=_HOLD_OUT if given["hold_out"] is None else given["hold_out"],
        hours=given["hours"],
        folder=None if given["run_folder"] is None else Path(given["run_folder"]),
        threads=given["threads"],
        score=made_by.score,
        otherwise=otherwise,
    )


def _config_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say of the ModelConfig."""
    from streamrec.nn.transforms import Transform

    values = {field: given[option] for option, field in _CONFIG.items()}
    values["counted"] = tuple(parse_names(given["count"])) or None
    values["learned"] = tuple(parse_names(given["learned"] or "")) or None
    if given["size"] is not None:
        width, height = parse_size(given["size"])
        values["transform"] = Transform(width=width, height=height)
    return {field: value for field, value in values.items() if value is not None}


def _settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say of the TrainSettings."""
    values = {option: getattr(given[option], "value", given[option]) for option in _SETTINGS}
    return {option: value for option, value in values.items() if value is not None}
