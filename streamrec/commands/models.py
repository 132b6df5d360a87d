"""`streamrec models` and `schema`: what ships."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import _for_terminal


def models(
    encoders: Annotated[
        bool, typer.Option("--encoders", help="List the encoders that train knows instead.")
    ] = False,
    search: Annotated[str, typer.Option(help="With --encoders: only names that hold this.")] = "",
) -> None:
    """List the models that come with streamrec.

    \b
    Examples:
      streamrec models
      streamrec models --encoders --search mobilenet
    """
    if encoders:
        from streamrec.nn.encoders import encoder_names

        for name in encoder_names():
            if search in name:
                typer.echo(name)
        return
    from streamrec.runtime.checkpoint import find_model, read_checkpoint, shipped_models

    for name in shipped_models():
        path = find_model(name)
        config = read_checkpoint(path).config
        typer.secho(f"{name}", bold=True, nl=False)
        typer.echo(
            f"  {path.stat().st_size / 1e6:.1f} MB, {config.fps:g} frames a second, {config.encoder} encoder"
        )
        typer.echo(f"    {_for_terminal(config.about)}")
        typer.echo(f"    labels: {_for_terminal(', '.join(config.labels))}")


class SchemaName(StrEnum):
    """What a schema is of."""

    jsonl = "jsonl"
    event = "event"


def schema(
    of: Annotated[
        SchemaName,
        typer.Argument(
            help="jsonl: a line of --jsonl; event: what webhooks send, its data a line of events --json."
        ),
    ] = SchemaName.jsonl,
) -> None:
    """Print the JSON Schema of what streamrec writes, by which another program may check it.

    \b
    Examples:
      streamrec schema > jsonl.schema.json
      streamrec schema event
    """
    path = Path(__file__).parents[1] / "outputs" / "schemas" / f"{of.value}.json"
    typer.echo(path.read_text(encoding="utf-8"), nl=False)
