"""`streamrec crossval`: train and measure on folds that share no group."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.command_class import check_numbers
from streamrec.commands.option_values import parse_relabel
from streamrec.commands.options import CONDITIONS, DATA, OUTPUT, option
from streamrec.commands.printing import log, print_text
from streamrec.commands.train import job_of

if TYPE_CHECKING:
    from streamrec.data.clips import Clip
    from streamrec.evaluation.crossval import TrainFold
    from streamrec.nn.model import ActionModel
    from streamrec.train.job import TrainJob

# Options of train that do not change the model.
_NOT_OF_THE_MODEL = ("data", "out", "run_folder", "seed", "hold_out", "threads", "device", "learned")


# Longer than 80 lines: typer makes the options of the signature.
def crossval(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="As for train: folders and CSV files. They come first.")],
    out: Annotated[Path, option(OUTPUT, "Folder for the folds and the report.", "--out", "-o")],
    beside: Annotated[
        list[str] | None,
        option(DATA, "Data that each fold learns from and none is measured on; may be repeated."),
    ] = None,
    folds: Annotated[
        str, option(CONDITIONS, "Number of folds, or group: each group is held out once.")
    ] = "5",
    seeds: Annotated[
        str | None,
        option(
            CONDITIONS,
            "Random seeds of the training, commas between; each trains all folds. By default 0; nested: 0,1,2.",
        ),
    ] = None,
    nested: Annotated[
        bool,
        option(
            CONDITIONS,
            "Choose the recipe and the threshold in each fold by inner folds of what it learns from.",
            "--nested",
        ),
    ] = False,
    tries: Annotated[
        list[str] | None,
        option(
            CONDITIONS,
            'With --nested: a recipe to choose among, with options, like "few --steps 200"; may be repeated.',
            "--try",
        ),
    ] = None,
    inner_folds: Annotated[int, option(CONDITIONS, "With --nested: number of inner folds.", min=2)] = 3,
    fold_seed: Annotated[int, option(CONDITIONS, "Random seed that assigns groups to folds.", min=0)] = 0,
    baselines: Annotated[bool, option(CONDITIONS, "Measure the baselines beside the model.")] = True,
    frozen: Annotated[
        str | None,
        option(
            CONDITIONS,
            "Also measure baselines on this encoder with ImageNet weights, like efficientnet_lite0.",
        ),
    ] = None,
    relabel: Annotated[str, option(DATA, "As for train; by default as the recipe has it.")] = "",
) -> None:
    """Cross-validate: train and measure on folds that share no group.

    All other options are those of train. A run that is stopped goes on where it was when the same command is given
    again. The predictions of each frame, report.json and report.md are in the folder.

    \b
    Examples:
      streamrec crossval clips.csv --out folds/
      streamrec crossval clips.csv --out folds/ --folds group --seeds 0,1,2
      streamrec crossval clips.csv more.csv --out folds/ --beside street/
      streamrec crossval clips.csv --out folds/ --nested --try few --try handful
    """
    from streamrec.core.files import keep_inputs
    from streamrec.data.clips import find_clips, grouped_with
    from streamrec.evaluation.crossval import cross_validate, files_in
    from streamrec.evaluation.crossval_report import CrossValidation, markdown_of
    from streamrec.evaluation.nested import nested_cross_validate
    from streamrec.train.recipes import choose_recipe

    more = list(takewhile(lambda word: not word.startswith("-"), context.args))
    options = context.args[len(more) :]
    paths = [data, *more]
    seeds = seeds or ("0,1,2" if nested else "0")
    _check(paths, options, folds, seeds)
    names = _checked_tries(tries, nested)
    notes: list[str] = []  # printed when the first fold begins: all that is asked for is possible then
    every = {
        name: _options_of_train(context, [*paths, "--out", "model.safetensors", *options, *words])
        for name, words in names.items()
    }
    for given in every.values():
        if given["recipe"] is None and given["world"] is None:  # one for all folds
            given["recipe"], why = choose_recipe(find_clips(paths, relabel=parse_relabel(relabel)), given)
            given["recipe_is_chosen"] = True
            notes.append(why)
    jobs = {name: job_of(given) for name, given in every.items()}
    renamed = parse_relabel(relabel) or _relabel_of(jobs)
    clips = find_clips(paths, relabel=renamed, log=log)
    aside = find_clips(beside, relabel=renamed, least=1) if beside else []
    aside = grouped_with(clips, aside, log=log)
    read = [*paths, *(beside or ()), *(clip.path for clip in (*clips, *aside))]
    keep_inputs({"--out": [out, *files_in(out)]}, read)
    settings = CrossValidation(
        folds=None if folds == "group" else int(folds),
        seeds=tuple(int(part) for part in seeds.split(",")),
        fold_seed=fold_seed,
        baselines=baselines,
        frozen=frozen,
    )
    recipes = {name: _recipe_of(given) for name, given in every.items()}
    trainers = {name: _trainer(job, notes) for name, job in jobs.items()}
    if nested:
        report = nested_cross_validate(
            clips,
            trainers,
            out,
            settings,
            inner_folds=inner_folds,
            beside=aside,
            recipe={"nested": inner_folds, "try": recipes},
            log=log,
        )
    else:
        ((name, train_fold),) = trainers.items()
        report = cross_validate(clips, train_fold, out, settings, beside=aside, recipe=recipes[name], log=log)
    print_text(markdown_of(report))


def _checked_tries(tries: list[str] | None, nested: bool) -> dict[str, list[str]]:
    """What is tried, as options of train; without --try the options alone."""
    from streamrec.errors import DataError

    if tries and not nested:
        raise DataError("--try needs --nested: else a recipe is chosen on the folds that report it")
    found = {}
    for text in tries or [""]:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise DataError(f"--try {text}: {error}") from error
        has_recipe = bool(words) and not words[0].startswith("-")
        found[text or "as given"] = ["--recipe", *words] if has_recipe else words
    return found


def _relabel_of(jobs: Mapping[str, TrainJob]) -> Mapping[str, str]:
    """How the recipes rename labels, which must be the same of all."""
    from streamrec.errors import DataError

    first, *others = (dict(job.relabel) for job in jobs.values())
    if any(other != first for other in others):
        raise DataError(
            f"{' and '.join(jobs)} rename labels differently, so that they cannot be compared; give --relabel"
        )
    return first


def _recipe_of(given: dict[str, Any]) -> dict[str, Any]:
    """The options that make the model, as plain values."""
    recipe = {name: value for name, value in given.items() if name not in _NOT_OF_THE_MODEL}
    plain: dict[str, Any] = json.loads(json.dumps(recipe, default=str))
    return plain


def _trainer(job: TrainJob, notes: list[str]) -> TrainFold:
    """What trains a fold; it prints the notes before the first one."""
    from streamrec.evaluation.crossval import write_index
    from streamrec.runtime.checkpoint import load_model

    def train_fold(learned: list[Clip], measured: list[Clip], number: int, folder: Path) -> ActionModel:
        while notes:
            log(notes.pop())
        model = folder / "model.safetensors"
        if not model.exists():  # it does when the run was stopped while it was measured
            write_index(learned, folder / "learned.csv")
            run = job.folder or model.with_suffix(".run")
            # Nothing is measured while it learns: that is done once, by the loop that serves cameras.
            job.train_fold(learned, [], number, folder, run_folder=run)
        return load_model(str(model))

    return train_fold


def _check(paths: list[str], options: list[str], folds: str, seeds: str) -> None:
    from streamrec.errors import DataError

    if paths[0].startswith("-") or "synthetic" in paths:
        raise DataError(f"crossval {paths[0]}: first give a folder of clips or a CSV, then the options")
    if any(word.partition("=")[0] in ("--seed", "--hold-out") for word in options):
        raise DataError("crossval takes --seeds and --folds in place of --seed and --hold-out")
    if folds != "group" and not folds.isdecimal():
        raise DataError(f"--folds {folds}: give a number, or group")
    if not all(part.strip().isdecimal() for part in seeds.split(",")):
        raise DataError(f"--seeds {seeds}: give whole numbers with commas between, like 0,1,2")


def _options_of_train(context: typer.Context, words: list[str]) -> dict[str, Any]:
    """The options that ``train`` reads from these words; what is wrong with one is reported here."""
    assert context.parent is not None
    program: Any = context.parent.command
    train = program.get_command(context.parent, "train")
    with train.make_context("train", words, parent=context.parent) as read:
        check_numbers(read)
        return dict(read.params)
