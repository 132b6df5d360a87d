"""`streamrec bench`: what a frame costs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from streamrec.commands.option_values import parse_size
from streamrec.commands.options import DATA, AsJson, Device, Engine, EngineName, Models, Threads, option
from streamrec.commands.printing import log_stage, print_json, print_text
from streamrec.settings.tuned_file import DEFAULT_MODEL


def bench(
    model: Models = [DEFAULT_MODEL],  # noqa: B006 (typer makes a new list of it)
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    threads: Threads = None,
    video: Annotated[
        Path | None, option(DATA, "A video to measure on; by default the synthetic world as H.264.")
    ] = None,
    size: Annotated[str, option(DATA, "Frame size of the synthetic world, WIDTHxHEIGHT.")] = "1280x720",
    frames: Annotated[int, option(DATA, "Frames in a round.", min=16)] = 90,
    rounds: Annotated[int, option(DATA, "Rounds of each measurement.", min=1)] = 5,
    seconds: Annotated[float, option(DATA, "Seconds that a camera is watched.", min=0.5)] = 6.0,
    as_json: AsJson = False,
) -> None:
    """Measure what a frame costs on this machine.

    It measures each stage, sustained rates, latency, several streams, memory and start. The machine should do
    nothing else: other work shows in all numbers.

    \b
    Examples:
      streamrec bench
      streamrec bench --model mine.safetensors --engine torch --threads 2
      streamrec bench --video party.mp4 --json
      streamrec bench -m fight -m fall
    """
    from streamrec.evaluation.bench import BenchSettings, run_bench, text_of

    report = run_bench(
        BenchSettings(
            model=model[0],
            further=tuple(model[1:]),
            engine=engine.value,
            device=device,
            threads=threads,
            video=video,
            size=parse_size(size),
            frames=frames,
            rounds=rounds,
            seconds=seconds,
        ),
        log=log_stage,
    )
    if as_json:
        print_json(report.to_dict())
    else:
        print_text(text_of(report))
