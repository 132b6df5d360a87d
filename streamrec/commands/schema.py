"""`streamrec schema`: the JSON Schemas of what streamrec writes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class SchemaName(StrEnum):
    """What a schema describes."""

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
    """Print the JSON Schema of what streamrec writes.

    \b
    Examples:
      streamrec schema > jsonl.schema.json
      streamrec schema event
    """
    path = Path(__file__).parents[1] / "outputs" / "schemas" / f"{of.value}.json"
    typer.echo(path.read_text(encoding="utf-8"), nl=False)
