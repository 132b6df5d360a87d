"""`streamrec events`: list what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import OUTPUT, complete, option
from streamrec.commands.printing import print_text, print_utf8

_WHICH = "Which events"


def events(
    file: Annotated[
        Path, typer.Argument(help="The history, or the cameras.toml that names one in [history].")
    ] = Path("cameras.toml"),
    since: Annotated[
        str | None, option(_WHICH, "30m, 2h, 7d (ago), 2026-11-26 or 2026-11-26T14:30 (local time).")
    ] = None,
    until: Annotated[str | None, option(_WHICH, "Only events that begin before this time.")] = None,
    camera: Annotated[
        list[str] | None,
        option(_WHICH, "Only this camera; may be repeated.", autocompletion=complete("cameras")),
    ] = None,
    label: Annotated[
        list[str] | None,
        option(_WHICH, "Only this action; may be repeated.", autocompletion=complete("labels")),
    ] = None,
    limit: Annotated[
        int | None,
        option(_WHICH, "Number of newest events; by default 50, or all where a time is given.", min=1),
    ] = None,
    like: Annotated[
        str | None,
        option(_WHICH, "The events that are most like the one with this id, the most similar first."),
    ] = None,
    as_json: Annotated[bool, option(OUTPUT, "Print one JSON object a line.", "--json")] = False,
    as_csv: Annotated[bool, option(OUTPUT, "Print CSV with a header line.", "--csv")] = False,
    follow: Annotated[bool, option(OUTPUT, "Go on with what happens from now on.", "--follow", "-f")] = False,
    export: Annotated[
        Path | None, option(OUTPUT, "Write a .zip of them, with their videos and images.", "--export")
    ] = None,
) -> None:
    """List what happened.

    It reads the history that watch and run keep, also while they run.

    \b
    Examples:
      streamrec events --since 2h --camera door --label fight
      streamrec events events.db --since 2026-11-01 --until 2026-12-01 --csv > november.csv
      streamrec events --follow --json
      streamrec events --like 01a21858f5c0-b2f2cb5b --camera door
      streamrec events --since 2h --label fight --export fights.zip
    """
    from streamrec.commands.event_list import EventList
    from streamrec.core.files import keep_inputs
    from streamrec.errors import StreamrecError

    keep_inputs({"--export": export}, [file])
    if as_json and as_csv:
        raise StreamrecError("--json and --csv: give one of them")
    if sum([like is not None, export is not None, follow]) > 1:
        raise StreamrecError("--like, --export and --follow: give one of them")
    if like is not None and as_csv:
        raise StreamrecError("--like prints text, or JSON with --json")
    if export is not None and export.suffix != ".zip":
        raise StreamrecError(f"--export {export}: the file to write ends in .zip")
    EventList(
        file=file,
        since=since,
        until=until,
        cameras=tuple(camera or ()),
        labels=tuple(label or ()),
        limit=limit,
        form="json" if as_json else "csv" if as_csv else "text",
        follow=follow,
        like=like,
        export=export,
    ).run(print_utf8 if as_json or as_csv else print_text)
