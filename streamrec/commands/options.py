"""Options that several commands share, how their values are read, and how commands print."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from streamrec.core.arguments import GIGABYTES, THREADS

CUT_OFF = 3  # exit code where a recording was cut off, damaged, or lost on the way
_LARGEST = 1e9  # of any number of an option


def _complete(what: str) -> Any:
    """Completion by a function of streamrec/commands/completion.py, imported when a shell asks."""

    def complete(incomplete: str) -> list[str]:
        from streamrec.commands import completion

        found: list[str] = getattr(completion, what)(incomplete)
        return found

    return complete


class EngineName(StrEnum):
    """What runs a model."""

    auto = "auto"
    onnx = "onnx"
    torch = "torch"


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A shipped model's name (`streamrec models`), or a file.",
        autocompletion=_complete("models"),
    ),
]


Engine = Annotated[
    EngineName, typer.Option(help="What runs the model; auto is onnx on a CPU, torch on a GPU.")
]


Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ... or auto.")]


Threads = Annotated[
    int | None,
    typer.Option(min=1, max=int(THREADS.high), help="Of one step; by default what suits the model."),
]


Config = Annotated[
    Path | None,
    typer.Option(help="A file of `streamrec tune`: model, engine, threads, fps where no option says them."),
]


HistoryFile = Annotated[
    Path | None, typer.Option("--history", help="Keep events in this SQLite file; docs/events.md.")
]


Web = Annotated[
    str | None,
    typer.Option(
        "--web",
        metavar="[HOST:PORT]",
        help="A page to look at, by default at 127.0.0.1:8765; docs/web.md.",
    ),
]


WebAccess = Annotated[
    Path | None, typer.Option("--web-access", help="Who may look: the file that `streamrec access` makes.")
]


WebName = Annotated[
    list[str] | None,
    typer.Option("--web-name", help="An address under which a proxy leads to the page; may be given again."),
]


WebCertificate = Annotated[
    Path | None, typer.Option("--web-certificate", help="For https: a file of the certificate and its key.")
]


EvidenceFolder = Annotated[
    Path | None, typer.Option("--evidence", help="Write a video of each event into this folder.")
]


PrivacyMode = Annotated[
    str | None, typer.Option("--privacy", help="Of the evidence: full, blur, or none (no picture is kept).")
]


OwnSinks = Annotated[
    list[str] | None, typer.Option("--sink", help="Your own sink: file.py:Class or module:Class.")
]


RecordFolder = Annotated[
    Path | None,
    typer.Option("--record", help="Write down every step into this folder, for `streamrec replay`."),
]


RecordPictures = Annotated[
    str,
    typer.Option("--record-pictures", help="input (as the model sees them), full (without loss), or none."),
]


RecordSize = Annotated[
    float,
    typer.Option(
        "--record-gb",
        min=GIGABYTES.low,
        max=GIGABYTES.high,
        help="The oldest of it goes when there is more.",
    ),
]


Show = Annotated[
    bool | None, typer.Option("--show/--no-show", help="A window; by default where there is a display.")
]


@contextlib.contextmanager
def _progress(what: str, total: int) -> Iterator[Any]:
    """A callback that shows how many of ``total`` are done; of the processes of a torchrun the first one shows it."""
    from streamrec.core.console import LineConsole
    from streamrec.train.progress import progress_bar

    console = LineConsole(stderr=True, quiet=os.environ.get("RANK", "0") != "0")
    with progress_bar(what, total, console) as bar:
        yield bar.set


def _after(tell: Any, before: int) -> Any:
    """``tell``, where so many were done before."""
    return lambda done: tell(before + done)


def _parse_size(text: str) -> tuple[int, int]:
    from streamrec.errors import StreamrecError

    width, _, height = text.lower().partition("x")
    sides = [int(side) if side.isdecimal() and len(side) < 6 else 0 for side in (width, height)]
    if not all(16 <= side <= 8192 for side in sides):
        raise StreamrecError(
            f"--size {text[:40]}: give WIDTHxHEIGHT of at least 16 and at most 8192, like 80x64"
        )
    return int(width), int(height)


def _parse_numbers(text: str, option: str, what: str, example: str) -> list[float]:
    from streamrec.errors import StreamrecError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(
        part.replace(".", "", 1).isdecimal() and 1e-6 <= float(part) <= _LARGEST for part in parts
    ):
        raise StreamrecError(f"{option} {text}: give {what} with commas between, like {example}")
    return [float(part) for part in parts]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _parse_changes(text: str) -> dict[str, str]:
    from streamrec.errors import StreamrecError

    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(old.strip() and new.strip() for old, _, new in pairs):
        raise StreamrecError(f"--relabel {text}: give OLD=NEW with commas between, like sit=idle,stand=idle")
    return {old.strip(): new.strip() for old, _, new in pairs}


class Checked(TyperCommand):
    """A command whose numbers are numbers: NaN lies in each range, and infinity in many."""

    def invoke(self, ctx: Any) -> Any:
        """Refuse numbers that are none, then run."""
        check_numbers(ctx)
        return super().invoke(ctx)


def check_numbers(context: Any) -> None:
    """Raise ``typer.BadParameter`` for an option of the context's command whose number cannot be used."""
    parameter: Any
    for parameter in context.command.params:
        value = context.params.get(parameter.name)
        limit = _LARGEST if isinstance(value, float) else 2.0**63
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not -limit <= value <= limit:  # NaN fails both
            raise typer.BadParameter(f"{value} is no number that can be used", context, parameter)


class Grouped(TyperCommand):
    """A command whose help lists its options under headings, by their ``rich_help_panel``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Options under their headings."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                arguments = "Arguments" if parameter.param_type_name == "argument" else "Options"
                panel = getattr(parameter, "rich_help_panel", None) or arguments
                panels.setdefault(panel, []).append(record)
        for name, records in panels.items():
            with formatter.section(name):
                formatter.write_dl(records)


def _for_terminal(text: object) -> str:
    """A text of several lines, of which some may name files and labels, as a terminal may have it."""
    from streamrec.core.text import printable

    return "\n".join(map(printable, str(text).split("\n")))


def _echo_utf8(line: str) -> None:
    """A line for a program: UTF-8, whatever letters the terminal knows."""
    typer.echo(line.encode("utf-8", "backslashreplace"))


def _files_of_sinks(sinks: list[str] | None) -> list[Path]:
    """The files that --sink names."""
    return [Path(use.rpartition(":")[0]) for use in sinks or () if use.rpartition(":")[0].endswith(".py")]
