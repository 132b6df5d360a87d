"""`streamrec carry`: how far models carry to data sets that they did not learn from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.option_values import parse_names
from streamrec.commands.options import CONDITIONS, DATA, OUTPUT, SOURCE, complete, option
from streamrec.commands.printing import log, print_text, progress

if TYPE_CHECKING:
    from streamrec.evaluation.carry import CarryRow, CarrySettings, Job
    from streamrec.evaluation.sets import DataSet
    from streamrec.runtime.recognizer import Recognizer


class Split(StrEnum):
    """Which groups of each set are played."""

    all = "all"
    choose = "choose"
    report = "report"


def carry(
    data: Annotated[Path, typer.Argument(help="The folder that holds the data sets, a folder each.")],
    model: Annotated[
        list[str] | None,
        option(
            SOURCE,
            "Name of a shipped model, or a model file; may be repeated; by default all shipped models.",
            "--model",
            "-m",
            autocompletion=complete("models"),
        ),
    ] = None,
    sets: Annotated[
        str, option(DATA, "Names of the sets, commas between; by default all that are there.")
    ] = "",
    split: Annotated[
        Split,
        option(DATA, "Play one half of the groups of each set: choose by the one, report on the other."),
    ] = Split.all,
    clips: Annotated[
        int | None, option(CONDITIONS, "At most so many clips of each set, spread evenly.", min=1)
    ] = None,
    json_out: Annotated[Path | None, option(OUTPUT, "Write the rows as JSON.", "--json")] = None,
    markdown: Annotated[Path | None, option(OUTPUT, "Write the table as Markdown.")] = None,
    looks: Annotated[
        Path | None,
        option(OUTPUT, "Append each look at a set to this file, and print how many there were.", "--log"),
    ] = None,
    note: Annotated[str, option(OUTPUT, "A remark for that file, like the seed of the training.")] = "",
) -> None:
    """Measure how far models carry: play each on the data sets that it did not learn from.

    One table: of sets that show the model's actions how many it found, when, and how many clips are right; of sets in
    which nothing of its kind happens its false events. docs/metrics.md says how it is made.

    \b
    Examples:
      streamrec carry data/
      streamrec carry data/ -m mine.safetensors --sets urfall,yoga --split choose
      streamrec carry data/ -m mine.safetensors --split report --log looks.jsonl --markdown carry.md
    """
    from streamrec.core.files import keep_inputs
    from streamrec.errors import DataError
    from streamrec.evaluation.carry import CarrySettings, jobs_of
    from streamrec.evaluation.carry_table import carry_text
    from streamrec.evaluation.looks import read_looks
    from streamrec.evaluation.sets import INDEX, find_sets

    settings = CarrySettings(most=clips, split=split.value)
    there, missing = find_sets(data, parse_names(sets))
    recognizers, files = _models(model)
    read = [*(data / one.name / INDEX for one in there), *files.values()]
    keep_inputs({"--json": json_out, "--markdown": markdown, "--log": looks}, read)
    if looks is not None:
        read_looks(looks)  # a mistake in it is reported now
    jobs = jobs_of(recognizers, data, there, settings)
    if not jobs:
        raise DataError(
            f"none of the sets in {data} can judge {', '.join(recognizers)}: a set shows none of its actions, or "
            "the model learned from it"
        )
    if missing:
        log(f"not in {data}, and left out: {', '.join(missing)}")
    rows, interrupted = _played(jobs)
    counts = _looked(rows, recognizers, files, settings, looks, note)
    notes = _notes(settings, recognizers, [one.name for one in there], stopped=interrupted is not None)
    text = carry_text(rows, there, looks=counts, notes=notes)
    _write(markdown, text + "\n")
    _write(json_out, json.dumps(_plain(rows, there, settings, counts), indent=2) + "\n")
    print_text(text)
    if interrupted is not None:
        raise interrupted


def _models(names: Sequence[str] | None) -> tuple[dict[str, Recognizer], dict[str, Path]]:
    """The models and their files; one whose name another one has is called by its path."""
    from streamrec.runtime.checkpoint import find_model, shipped_models
    from streamrec.runtime.recognizer import Recognizer

    recognizers: dict[str, Recognizer] = {}
    files: dict[str, Path] = {}
    for given in dict.fromkeys(names or shipped_models()):
        recognizer = Recognizer.load(given)
        name = given if recognizer.name in recognizers else recognizer.name
        recognizers[name], files[name] = recognizer, find_model(given)
    return recognizers, files


def _played(jobs: Sequence[Job]) -> tuple[list[CarryRow], KeyboardInterrupt | None]:
    """The rows by model, and Ctrl-C where it ended the playing: what was played until then is in the rows."""
    from streamrec.evaluation.carry import carry

    rows: list[CarryRow] = []
    interrupted = None
    with progress("clips", sum(len(job.clips) for job in jobs)) as update:
        try:
            for row in carry(jobs, on_progress=update):
                rows.append(row)
        except KeyboardInterrupt as error:
            interrupted = error
    order = list(dict.fromkeys(row.model for row in rows))
    return sorted(rows, key=lambda row: order.index(row.model)), interrupted


def _looked(
    rows: Sequence[CarryRow],
    recognizers: dict[str, Recognizer],
    files: dict[str, Path],
    settings: CarrySettings,
    path: Path | None,
    note: str,
) -> dict[tuple[str, str], int] | None:
    """Log the looks; how many there were so far, by model and set; None without a log."""
    from datetime import UTC, datetime

    from streamrec.evaluation.carry import TOTAL
    from streamrec.evaluation.looks import add_looks, count_looks, look_of, read_looks

    if path is None:
        return None
    now = datetime.now(UTC)
    seen = [row for row in rows if row.data != TOTAL]
    add_looks(
        path,
        [
            look_of(row, recognizers[row.model].config, files[row.model], settings, now=now, note=note)
            for row in seen
        ],
    )
    looks = read_looks(path)
    return {(row.model, row.data): count_looks(looks, row, settings.split) for row in seen}


def _notes(
    settings: CarrySettings, recognizers: dict[str, Recognizer], sets: Sequence[str], *, stopped: bool
) -> list[str]:
    """What was left out."""
    learned = {name: [one for one in sets if one in r.config.learned] for name, r in recognizers.items()}
    notes = [
        f"{name} learned from {', '.join(places)}, and was not played there"
        for name, places in learned.items()
        if places
    ]
    if stopped:
        notes.append("stopped before the end: the table has what was played until then")
    if settings.most is not None:
        notes.append(f"at most {settings.most} clips of each set, spread evenly")
    if settings.split != "all":
        notes.append(
            f"the half of the groups to {settings.split}{' by' if settings.split == 'choose' else ''}"
        )
    return notes


def _plain(
    rows: Sequence[CarryRow],
    sets: Sequence[DataSet],
    settings: CarrySettings,
    counts: dict[tuple[str, str], int] | None,
) -> dict[str, Any]:
    """Plain values, for JSON."""
    from streamrec.core.version import version_of

    return {
        "about": "carry",
        "streamrec": version_of(),
        "split": settings.split,
        "clips": settings.most,
        "rows": [row.to_dict() | {"looks": (counts or {}).get((row.model, row.data))} for row in rows],
        "sets": {
            one.name: {"about": one.about, "licence": one.licence, "may_ship": one.may_ship} for one in sets
        },
    }


def _write(path: Path | None, text: str) -> None:
    from streamrec.core.files import replacing

    if path is not None:
        with replacing(path, "w", encoding="utf-8") as file:
            file.write(text)
