"""`streamrec eval`: measure a model on labelled data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.option_values import parse_numbers, parse_relabel
from streamrec.commands.options import (
    CONDITIONS,
    DATA,
    AsJson,
    Device,
    Engine,
    EngineName,
    ModelArgument,
    Relabel,
    option,
)
from streamrec.commands.printing import log, offset, print_json, print_text, progress

if TYPE_CHECKING:
    from streamrec.runtime.recognizer import Recognizer

_WORLD_RATES = (30.0, 15.0, 10.0)  # frames a second of the synthetic world


def evaluate(
    model: ModelArgument,
    data: Annotated[str, typer.Argument(help="As for train: a folder, a CSV, or synthetic.")],
    hold_out: Annotated[
        float, option(DATA, "Measure only on the part that train held out; 0 is all.", min=0.0, max=0.5)
    ] = 0.0,
    seed: Annotated[int, option(DATA, "Random seed that train had.", min=0)] = 0,
    relabel: Relabel = "",
    stream: Annotated[
        bool,
        option(
            CONDITIONS, "Also play all clips as one endless stream, with the state carried over.", "--stream"
        ),
    ] = False,
    source_fps: Annotated[
        str | None,
        option(
            CONDITIONS, "Also play the files thinned to these frame rates; for synthetic, its frame rates."
        ),
    ] = None,
    drop: Annotated[
        str | None,
        option(CONDITIONS, "Also play with this part of the frames lost; several with commas between."),
    ] = None,
    streams: Annotated[int, option(DATA, "For synthetic: number of streams.", min=1)] = 6,
    seconds: Annotated[float, option(DATA, "For synthetic: length of each stream.", min=1.0)] = 60.0,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a model on labelled clips, or the synthetic world.

    The files are played through the loop that serves cameras.

    \b
    Examples:
      streamrec eval fight clips/
      streamrec eval mine.safetensors clips.csv --hold-out 0.2
      streamrec eval mine.safetensors clips.csv --stream --source-fps 30,15,10,7.5 --drop 0.3
      streamrec eval synthetic synthetic --source-fps 30,15,10
    """
    from streamrec.errors import DataError
    from streamrec.evaluation.text_tables import text_of
    from streamrec.runtime.recognizer import Recognizer

    rates = [] if source_fps is None else parse_numbers(source_fps, "--source-fps", "frame rates", "30,15,10")
    drops = [] if drop is None else parse_numbers(drop, "--drop", "parts", "0.1,0.3")
    if any(part >= 1.0 for part in drops):
        raise DataError(f"--drop {drop}: give parts of the frames, under 1")
    renamed = parse_relabel(relabel)
    if data == "synthetic" and (stream or drops or renamed):
        raise DataError("--stream, --drop and --relabel are for files; synthetic is measured without them")
    recognizer = Recognizer.load(model, engine=engine.value, device=device)
    if data == "synthetic":
        reports = _on_world(recognizer, rates, streams, seconds)
    else:
        asked = _Clips(data, renamed, hold_out, seed, stream, rates, drops)
        reports = _on_clips(recognizer, asked)
    if as_json:
        print_json([report.to_dict() for report in reports])
    else:
        print_text("\n\n".join(text_of(report) for report in reports))


@dataclass(frozen=True)
class _Clips:
    """Which clips are played, and how."""

    data: str
    relabel: dict[str, str]
    hold_out: float  # part of the groups; 0: all clips are measured
    seed: int
    stream: bool  # also as one endless stream
    source_fps: list[float]
    drops: list[float]  # parts of the frames


def _on_world(recognizer: Recognizer, rates: list[float], streams: int, seconds: float) -> list[Any]:
    from streamrec.evaluation.evaluate import evaluate_world

    rates = rates or list(_WORLD_RATES)
    reports: list[Any] = []
    with progress("streams", len(rates) * streams) as update:
        for n, rate in enumerate(rates):
            report = evaluate_world(
                recognizer,
                fps=rate,
                streams=streams,
                seconds=seconds,
                on_progress=offset(update, n * streams),
            )
            reports.append(report)
    return reports


def _on_clips(recognizer: Recognizer, asked: _Clips) -> list[Any]:
    from streamrec.data.clips import find_clips
    from streamrec.data.splits import held_out
    from streamrec.evaluation.evaluate import evaluate_carried, evaluate_clips, evaluate_robustness

    sense = recognizer.config.transform.sense
    clips = find_clips(asked.data, relabel=asked.relabel, sense=sense, log=log)
    if asked.hold_out:
        clips = held_out(clips, part=asked.hold_out, seed=asked.seed)[1]
    source_fps, drops = [None, *asked.source_fps], [0.0, *asked.drops]
    robust = len(source_fps) * len(drops) > 1
    played = 1 + 2 * asked.stream  # how often each clip is, before the conditions
    times = played + robust * len(source_fps) * len(drops)
    reports: list[Any] = []
    with progress("clips", times * len(clips)) as update:
        reports += evaluate_clips(recognizer, clips, on_progress=update)
        if asked.stream:
            reports += evaluate_carried(
                recognizer, clips, seed=asked.seed, on_progress=offset(update, len(clips))
            )
        if robust:
            report = evaluate_robustness(
                recognizer,
                clips,
                source_fps=source_fps,
                drops=drops,
                seed=asked.seed,
                on_progress=offset(update, played * len(clips)),
            )
            reports.append(report)
    return reports
