"""The command line: one line for each command, in the order of ``--help``.

Everything that is slow to import (OpenCV, ONNX Runtime, torch) is imported where it is used: ``--help`` is quick.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streamrec.commands.access import access
from streamrec.commands.arming import arming
from streamrec.commands.backbone import backbone
from streamrec.commands.bench import bench
from streamrec.commands.calibrate import calibrate
from streamrec.commands.carry import carry
from streamrec.commands.command_class import Command, CommandWithPage, Program
from streamrec.commands.crossval import crossval
from streamrec.commands.demo import demo
from streamrec.commands.discover import discover
from streamrec.commands.doctor import doctor
from streamrec.commands.eval import evaluate
from streamrec.commands.events import events
from streamrec.commands.export import export
from streamrec.commands.familiar import familiar
from streamrec.commands.fleet.commands import fleet
from streamrec.commands.models import models
from streamrec.commands.notify import notify
from streamrec.commands.record import record
from streamrec.commands.recordings import recordings
from streamrec.commands.replay import replay
from streamrec.commands.run import run
from streamrec.commands.schema import schema
from streamrec.commands.teach import teach
from streamrec.commands.train import train
from streamrec.commands.tune import tune
from streamrec.commands.watch import watch
from streamrec.commands.webpage import webpage


class _App(typer.Typer):
    def command(self, name: str | None = None, *, cls: Any = Command, **more: Any) -> Any:
        """Register a command; by default it checks numbers and shows its options in groups."""
        return super().command(name, cls=cls, **more)


app = _App(
    name="streamrec",
    cls=Program,
    help="Watches a camera and says what is happening, now.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from streamrec.core.version import version_of

        typer.echo(f"streamrec {version_of()}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


_WATCH, _TEACH, _MEASURE, _MORE = "Watch", "Teach", "Measure", "Look after"
_OPTIONS_OF_TRAIN = {"allow_extra_args": True, "ignore_unknown_options": True}  # crossval passes them on

app.command(cls=CommandWithPage, rich_help_panel=_WATCH)(run)
app.command(cls=CommandWithPage, rich_help_panel=_WATCH)(watch)
app.add_typer(fleet, name="fleet", rich_help_panel=_WATCH)
app.command(rich_help_panel=_WATCH)(discover)
app.command(rich_help_panel=_WATCH)(access)
app.command(rich_help_panel=_WATCH)(events)
app.add_typer(notify, name="notify", rich_help_panel=_WATCH)
app.add_typer(recordings, name="recordings", rich_help_panel=_WATCH)
app.add_typer(arming, name="arming", rich_help_panel=_WATCH)
app.command(rich_help_panel=_WATCH)(replay)
app.command(rich_help_panel=_WATCH)(demo)
app.command(cls=CommandWithPage, rich_help_panel=_TEACH)(teach)
app.command(rich_help_panel=_TEACH)(record)
app.command(rich_help_panel=_TEACH)(train)
app.command(rich_help_panel=_TEACH)(backbone)
app.command("eval", rich_help_panel=_MEASURE)(evaluate)
app.command(rich_help_panel=_MEASURE)(calibrate)
app.command(rich_help_panel=_TEACH)(familiar)
app.command(rich_help_panel=_MEASURE, context_settings=_OPTIONS_OF_TRAIN)(crossval)
app.command(rich_help_panel=_MEASURE)(carry)
app.command(rich_help_panel=_TEACH)(export)
app.command(rich_help_panel=_TEACH)(webpage)
app.command(rich_help_panel=_MEASURE)(bench)
app.command(rich_help_panel=_MEASURE)(tune)
app.command(rich_help_panel=_MORE)(models)
app.command(rich_help_panel=_MORE)(schema)
app.command(rich_help_panel=_MORE)(doctor)
