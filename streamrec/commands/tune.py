"""`streamrec tune`: choose model, engine, threads and sampling rate for this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import (
    DATA,
    OUTPUT,
    SOURCE,
    AsJson,
    Engine,
    EngineName,
    Relabel,
    complete,
    option,
)
from streamrec.commands.printing import log, log_stage, print_json, print_text
from streamrec.commands.values import parse_numbers, parse_relabel, parse_size
from streamrec.settings.tuned_file import DEFAULT_MODEL


def tune(
    data: Annotated[
        str, typer.Argument(help="Labelled clips, as for train, or synthetic: a world of the model's labels.")
    ] = "synthetic",
    model: Annotated[
        list[str] | None,
        option(
            SOURCE,
            f"Name of a shipped model, or a model file; repeat it to compare several. [default: {DEFAULT_MODEL}]",
            "--model",
            "-m",
            autocompletion=complete("models"),
        ),
    ] = None,
    engine: Engine = EngineName.auto,
    cameras: Annotated[int, option(SOURCE, "Number of cameras that the machine is to carry.", min=1)] = 1,
    size: Annotated[str, option(SOURCE, "Frame size of the cameras, WIDTHxHEIGHT.")] = "1280x720",
    camera_fps: Annotated[float, option(SOURCE, "Frame rate of the cameras.", min=1.0)] = 30.0,
    fps: Annotated[
        str | None,
        option(SOURCE, "Sampling rates to try; by default the model's, and 2/3, 1/2 and 1/3 of it."),
    ] = None,
    seconds: Annotated[float, option(DATA, "Seconds of stream that each candidate plays.", min=1.0)] = 120.0,
    relabel: Relabel = "",
    seed: Annotated[int, option(DATA, "Random seed for the order of clips, or for the world.", min=0)] = 0,
    out: Annotated[Path, option(OUTPUT, "The file to write.", "--out", "-o")] = Path("tuned.toml"),
    as_json: AsJson = False,
) -> None:
    """Choose the best settings for this machine, for run and watch.

    It chooses model, engine, threads and sampling rate by their accuracy on the clock: at each moment the newest
    finished prediction is compared with what is true then. A model's resolution is fixed: give models of several
    sizes to choose among them.

    \b
    Examples:
      streamrec tune
      streamrec tune my_clips/ --model mine.safetensors --cameras 6
      streamrec tune clips.csv -m fight -m small.safetensors --fps 15,10,5 --out yard.toml
      streamrec watch cameras.toml --config yard.toml
    """
    from streamrec.core.files import keep_inputs, replacing
    from streamrec.evaluation.tune import TuneSettings, run_tune, text_of
    from streamrec.runtime.checkpoint import model_file
    from streamrec.settings.tuned_file import toml_of

    keep_inputs({"--out": out}, [data, *map(model_file, model or ())])
    report = run_tune(
        TuneSettings(
            data=data,
            models=tuple(model or [DEFAULT_MODEL]),
            engines=() if engine is EngineName.auto else (engine.value,),
            cameras=cameras,
            size=parse_size(size),
            camera_fps=camera_fps,
            rates=() if fps is None else tuple(parse_numbers(fps, "--fps", "frame rates", "15,10,5")),
            seconds=seconds,
            relabel=tuple(parse_relabel(relabel).items()),
            seed=seed,
        ),
        log=log_stage,
    )
    tuned = report.tuned
    if tuned.model is not None and Path(tuned.model).is_file():
        tuned = replace(tuned, model=str(Path(tuned.model).absolute()))
    if as_json:
        print_json(report.to_dict())
    else:
        print_text(text_of(report))
    text = toml_of(tuned, f"streamrec tune: {text_of(report).splitlines()[0]}; {report.machine['processor']}")
    try:
        with replacing(out, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:  # it took minutes to find, and is not lost
        log(f"\nWhat {out} would hold:\n\n{text}")
        raise
    log(f"{out}: streamrec run --config {out}, streamrec watch --config {out}")
