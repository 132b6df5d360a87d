"""How commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import json
import os
import time
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


def log_stage(stage: str) -> None:
    """What is done now and takes a while."""
    log(f"{stage} ...")


def log_left_out(reasons: Iterable[str]) -> None:
    """Which recordings could not be read."""
    for reason in reasons:
        log(f"left out: {reason}")


def log_of_first_process(text: str) -> None:
    """The same as ``log``, where this is not another process of a torchrun than the first."""
    if os.environ.get("RANK", "0") == "0":
        typer.echo(text, err=True)


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line every few seconds elsewhere; call what it gives with how many are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from streamrec.train.progress import left, told_every

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console, begun, count = Console(stderr=True), time.monotonic(), 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def update(done: int) -> None:
            nonlocal count
            count = done
            bar.update(task, completed=done)

        def text() -> str:
            return f"{what}: {count} of {total}{left(count, total, time.monotonic() - begun)}"

        with told_every(log_of_first_process, text, wanted=not console.is_terminal):
            yield update


def offset(update: Callable[[int], None], before: int) -> Any:
    """``update`` for a part that comes after ``before`` others."""
    return lambda done: update(before + done)
