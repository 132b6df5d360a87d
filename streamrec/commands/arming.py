"""`streamrec arming` and its commands: what is armed, and the choice of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from streamrec.commands.command_class import Command, Program
from streamrec.commands.options import AsJson, complete, option

_WHICH = "Which"

arming = typer.Typer(
    name="arming",
    cls=Program,
    help="What receivers are notified of: profiles, schedules and snoozes.\n\nIt works beside a running watch or "
    "fleet, through the history's file, and also while none runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Settings = Annotated[Path, option(_WHICH, "The cameras.toml, or the history.")]
_USUAL = Path("cameras.toml")


@arming.command(cls=Command)
def status(settings: Settings = _USUAL, as_json: AsJson = False) -> None:
    """What is armed now, why, and until when."""
    _print(settings, {}, as_json)


@arming.command("set", cls=Command)
def choose(
    profile: Annotated[str, typer.Argument(help="Its name; schedule: as the schedule says.")],
    minutes: Annotated[
        float | None,
        option(_WHICH, "For so many minutes; by default until another is chosen.", "--for", max=10_080),
    ] = None,
    until_schedule: Annotated[
        bool, option(_WHICH, "Until the schedule changes next.", "--until-schedule")
    ] = False,
    settings: Settings = _USUAL,
    as_json: AsJson = False,
) -> None:
    """Put a profile in force: armed, disarmed, or one of cameras.toml.

    \b
    Examples:
      streamrec arming set away
      streamrec arming set disarmed --for 60
      streamrec arming set schedule
    """
    from streamrec.errors import SettingsError
    from streamrec.events.arming import SCHEDULE

    if minutes is not None and until_schedule:
        raise SettingsError("--for and --until-schedule: give one of them")
    wanted: Any = SCHEDULE if until_schedule else minutes
    _print(settings, {"profile": None if profile == SCHEDULE else profile, "minutes": wanted}, as_json)


@arming.command(cls=Command)
def snooze(
    camera: Annotated[str, typer.Argument(help="Its name.", autocompletion=complete("cameras"))],
    minutes: Annotated[
        float | None, typer.Argument(help="0 ends it; by default until it is ended.", min=0, max=10_080)
    ] = None,
    label: Annotated[
        str | None,
        option(_WHICH, "Only this action of the camera.", autocompletion=complete("labels")),
    ] = None,
    settings: Settings = _USUAL,
    as_json: AsJson = False,
) -> None:
    """Send no notifications of a camera, or of one label of it, for a while.

    \b
    Examples:
      streamrec arming snooze door 30
      streamrec arming snooze door 30 --label fight
      streamrec arming snooze door 0
    """
    _print(settings, {"snooze": camera, "label": label, "minutes": minutes}, as_json)


def _print(file: Path, request: dict[str, Any], as_json: bool) -> None:
    from streamrec.commands.arming_request import ask, text_of
    from streamrec.commands.printing import print_json, print_text

    found = ask(file, request)
    if as_json:
        print_json(found)
    else:
        print_text(text_of(found))
