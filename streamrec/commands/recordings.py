"""`streamrec recordings at`: which recording holds a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.command_class import Command, Program
from streamrec.commands.options import AsJson, complete
from streamrec.commands.printing import print_text, print_utf8

recordings = typer.Typer(
    name="recordings",
    cls=Program,
    help="Find what was recorded continuously (docs/recording.md).",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@recordings.command("at", cls=Command)
def at(
    time: Annotated[str, typer.Argument(help="30m, 2h, 7d (ago), or 2026-11-26T14:30 (local time).")],
    camera: Annotated[str, typer.Argument(help="Its name.", autocompletion=complete("cameras"))],
    file: Annotated[
        Path, typer.Argument(help="The folder, or the cameras.toml that names it in [recording].")
    ] = Path("cameras.toml"),
    as_json: AsJson = False,
) -> None:
    """Find the recording of a moment, the one before and the one after.

    \b
    Examples:
      streamrec recordings at 2026-11-26T14:30 door
      streamrec recordings at 5m door recordings/ --json
    """
    from streamrec.commands.recording_list import RecordingAt

    RecordingAt(time=time, camera=camera, file=file, as_json=as_json).run(
        print_utf8 if as_json else print_text
    )
