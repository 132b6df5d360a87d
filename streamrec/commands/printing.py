"""How commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import typer


def printable_lines(text: object) -> str:
    """A text of several lines without what a terminal would obey: it may name files and labels."""
    from streamrec.core.text import printable

    return "\n".join(map(printable, str(text).split("\n")))


def print_text(text: object) -> None:
    """A result, for a person."""
    typer.echo(printable_lines(text))


def print_json(value: object) -> None:
    """A result, for a program."""
    typer.echo(json.dumps(value, indent=2))


def print_utf8(line: str) -> None:
    """A line for a program: UTF-8, whatever letters the terminal knows."""
    typer.echo(line.encode("utf-8", "backslashreplace"))


def log(text: object) -> None:
    """A sentence for a person, beside the result."""
    typer.echo(printable_lines(text), err=True)


def print_error(sentence: str) -> None:
    """A sentence about an error, without secrets; a closed stream does not matter."""
    from streamrec.core.redact import redact
    from streamrec.core.text import printable

    with contextlib.suppress(OSError, ValueError):
        typer.echo(f"streamrec: {printable(redact(sentence))}", err=True)


def log_stage(stage: str) -> None:
    """What is done now and takes a while."""
    log(f"{stage} ...")


def log_left_out(reasons: Iterable[str]) -> None:
    """Which recordings could not be read."""
    for reason in reasons:
        log(f"left out: {reason}")


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line every few seconds elsewhere; call what it gives with how many are done."""
    from streamrec.core.console import LineConsole
    from streamrec.train.progress import progress_bar

    console = LineConsole(stderr=True, quiet=os.environ.get("RANK", "0") != "0")
    with progress_bar(what, total, console) as bar:
        yield bar.set


def offset(update: Callable[[int], None], before: int) -> Any:
    """``update`` for a part that comes after ``before`` others."""
    return lambda done: update(before + done)
