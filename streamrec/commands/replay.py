"""`streamrec replay`: repeat a recording of the flight recorder (--record), and compare it bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.exit_codes import FAILED
from streamrec.commands.options import SOURCE, SPEED, EngineName, complete, option
from streamrec.commands.printing import log, print_text


def replay(
    folder: Annotated[
        Path, typer.Argument(help="The folder of --record; of several recordings the newest is taken.")
    ],
    model: Annotated[
        list[str] | None,
        option(
            SOURCE,
            "Another model than was recorded: its name or file; each, where several watched together.",
            "--model",
            "-m",
            autocompletion=complete("models"),
        ),
    ] = None,
    engine: Annotated[EngineName | None, option(SPEED, "Another engine than was recorded.")] = None,
) -> None:
    """Repeat a recording, and compare every prediction bit for bit.

    Where one differs (another model, another engine, another version), it prints the first difference and ends with
    exit code 1.

    \b
    Examples:
      streamrec run rtsp://192.168.1.20/stream1 -m fall --record flight/
      streamrec replay flight/
      streamrec replay flight/ --engine torch
    """
    from streamrec.core import threads
    from streamrec.pipeline.flight_recorder import load_recorded
    from streamrec.pipeline.flight_recorder import replay as repeat
    from streamrec.runtime.joint import open_models
    from streamrec.runtime.recognizer import Recognizer

    def load(name: str, recorded_by: str, people: bool = False, per_person: bool = False) -> Recognizer:
        by = recorded_by if engine is None else engine.value
        if model:
            return open_models(model, engine=by, people=people, per_person=per_person)
        return load_recorded(name, by, people, per_person)

    threads.limit_opencv_threads()
    found = repeat(folder, load)
    for note in found.notes:
        log(note)
    unseen = f", {found.unseen} more have no picture" if found.unseen else ""
    print_text(f"{found.frames} frames in {found.steps} steps done again{unseen}")
    print_text(f"the first difference: {found.difference}" if found.difference else "the same, bit for bit")
    raise typer.Exit(0 if found.difference is None else FAILED)
