"""`streamrec events` and `replay`: what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import EngineName, _complete, _echo_utf8, _for_terminal


def events(
    file: Annotated[
        Path, typer.Argument(help="The history, or the cameras.toml that names one in [history].")
    ] = Path("cameras.toml"),
    since: Annotated[
        str | None, typer.Option(help="30m, 2h, 7d (ago), 2026-11-26 or 2026-11-26T14:30 (time here).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="The same; events that begin before it.")] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(help="Only this camera; may be given again.", autocompletion=_complete("cameras")),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Only this action; may be given again.", autocompletion=_complete("labels")),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The newest so many; by default 50, and all with a time.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table with commas, and a head line.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")
    ] = False,
) -> None:
    """List what happened, from the history that watch and run keep; while they run, too.

    \b
    Examples:
      streamrec events --since 2h --camera door --label fight
      streamrec events events.db --since 2026-11-01 --until 2026-12-01 --csv > november.csv
      streamrec events --follow --json
    """
    from streamrec.commands.event_list import EventList
    from streamrec.errors import StreamrecError

    if as_json and as_csv:
        raise StreamrecError("--json and --csv: give one of them")
    EventList(
        file=file,
        since=since,
        until=until,
        cameras=tuple(camera or ()),
        labels=tuple(label or ()),
        limit=limit,
        form="json" if as_json else "csv" if as_csv else "text",
        follow=follow,
    ).run(_echo_utf8 if as_json or as_csv else lambda line: typer.echo(_for_terminal(line)))


def replay(
    folder: Annotated[Path, typer.Argument(help="What --record wrote; of several recordings the newest.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Another model's name or file than was recorded.",
            autocompletion=_complete("models"),
        ),
    ] = None,
    engine: Annotated[EngineName | None, typer.Option(help="Another engine than was recorded.")] = None,
) -> None:
    """Do again what a recording holds, and say whether every prediction is the same, bit for bit.

    Ends with 1 and the first difference where one is not: another model, another engine, another version.

    \b
    Examples:
      streamrec run rtsp://192.168.1.20/stream1 --record flight/
      streamrec replay flight/
      streamrec replay flight/ --engine torch
    """
    from streamrec.core import threads
    from streamrec.pipeline.flight_recorder import load_recorded
    from streamrec.pipeline.flight_recorder import replay as again
    from streamrec.runtime.recognizer import Recognizer

    def load(name: str, recorded_by: str) -> Recognizer:
        by = recorded_by if engine is None else engine.value
        return load_recorded(name, by) if model is None else Recognizer.load(model, engine=by)

    threads.limit_opencv_threads()
    found = again(folder, load)
    for note in found.notes:
        typer.echo(_for_terminal(note), err=True)
    unseen = f", {found.unseen} more have no picture" if found.unseen else ""
    typer.echo(f"{found.frames} frames in {found.steps} steps done again{unseen}")
    typer.echo(
        _for_terminal(f"the first difference: {found.difference}")
        if found.difference
        else "the same, bit for bit"
    )
    raise typer.Exit(0 if found.difference is None else 1)
