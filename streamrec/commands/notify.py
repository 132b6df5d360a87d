"""`streamrec notify`: the receivers of notifications."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.command_class import Command, Program
from streamrec.commands.exit_codes import FAILED

notify = typer.Typer(
    name="notify",
    cls=Program,
    help="Test the receivers of notifications.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Settings = Annotated[Path, typer.Option(help="The cameras.toml with the receivers.")]


@notify.callback()
def _root() -> None:
    pass  # so that `test` stays a word of its own, as long as it is the only command


@notify.command(cls=Command)
def test(
    name: Annotated[
        str | None, typer.Argument(help="A receiver, like 'ntfy ntfy.sh'; by default all.")
    ] = None,
    settings: Settings = Path("cameras.toml"),
) -> None:
    """Send a test notification to a receiver, and show its answer.

    It needs no running streamrec, and disturbs none. It ends with 1 where a test did not arrive.

    \b
    Examples:
      streamrec notify test
      streamrec notify test "ntfy ntfy.sh" --settings /etc/streamrec/cameras.toml
    """
    import os

    from streamrec.commands.printing import log
    from streamrec.errors import SettingsError
    from streamrec.notify.configured import names_of_receivers
    from streamrec.notify.dispatch_settings import DispatchSettings
    from streamrec.notify.trial import try_configured
    from streamrec.settings.cameras_file import read_after

    file = read_after(settings, os.environ)
    for warning in file.too_open():
        log(warning)
    configured = DispatchSettings.of(file)
    names = names_of_receivers(configured) if name is None else [name]
    if not names:
        raise SettingsError(f"{settings.name} names no receiver: add one, as docs/notifications.md has it")
    trials = [try_configured(configured, one) for one in names]
    for trial in trials:
        typer.echo(f"{trial.name}: {'it arrived' if trial.arrived else 'it did not arrive'}: {trial.answer}")
    if not all(trial.arrived for trial in trials):
        raise typer.Exit(FAILED)
