"""The command line: one line for each command, in the order of ``--help``.

Everything that is slow to import (OpenCV, ONNX Runtime, torch) is imported where it is used: ``--help`` is quick.
"""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperCommand

from streamrec.commands import doctor, evaluate, events, export, models, record, run, train, watch, web_access
from streamrec.commands.options import Checked, Grouped

app = typer.Typer(
    name="streamrec",
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
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version and exit."),
    ] = False,
) -> None:
    pass


app.command(cls=run.WithPage)(run.run)
app.command(cls=run.WithPage)(watch.watch)
app.command()(web_access.access)
app.command()(events.events)
app.command()(events.replay)
app.command()(run.demo)
app.command()(record.record)
app.command(cls=Grouped)(train.train)
app.command("eval")(evaluate.evaluate)
app.command()(evaluate.calibrate)
app.command()(evaluate.familiar)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(evaluate.crossval)
app.command()(export.export)
app.command()(evaluate.bench)
app.command()(evaluate.tune)
app.command()(models.models)
app.command()(models.schema)
app.command()(doctor.doctor)

for _info in app.registered_commands:
    _base = _info.cls or TyperCommand
    _info.cls = type(_base.__name__, (Checked, _base), {}) if _base is not TyperCommand else Checked
