"""Options that several commands share, and the headings of ``--help`` that they stand under."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from streamrec.core.arguments import GIGABYTES, THREADS

# Headings of --help.
SOURCE = "Source and model"
DATA = "Data"
CONDITIONS = "Conditions"
OUTPUT = "Output"
PAGE = "Page"
EVENTS = "History and evidence"
SPEED = "Speed"


def complete(what: str) -> Any:
    """Completion by a function of streamrec/commands/completion.py, imported when a shell asks."""

    def completed(incomplete: str) -> list[str]:
        from streamrec.commands import completion

        found: list[str] = getattr(completion, what)(incomplete)
        return found

    return completed


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option under a heading of ``--help``."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


class EngineName(StrEnum):
    """The engine that runs a model."""

    auto = "auto"
    onnx = "onnx"
    torch = "torch"


ModelArgument = Annotated[
    str, typer.Argument(help="Name of a shipped model, or a model file.", autocompletion=complete("models"))
]

Model = Annotated[
    str,
    option(
        SOURCE,
        "Name of a shipped model (`streamrec models`), or a model file.",
        "--model",
        "-m",
        autocompletion=complete("models"),
    ),
]

Models = Annotated[
    list[str],
    option(
        SOURCE,
        "Name of a shipped model (`streamrec models`), or a model file; several watch together.",
        "--model",
        "-m",
        autocompletion=complete("models"),
    ),
]

Engine = Annotated[
    EngineName, option(SPEED, "Inference engine; auto takes onnx on a CPU and torch on a GPU.")
]

Device = Annotated[str, option(SPEED, "cpu, cuda, cuda:1, ... or auto.")]

Threads = Annotated[
    int | None,
    option(
        SPEED,
        "CPU threads for one step; by default what suits the model.",
        min=1,
        max=int(THREADS.high),
    ),
]

Config = Annotated[
    Path | None,
    option(
        SPEED,
        "File of `streamrec tune`: model, engine, threads and fps where no option on the line gives them.",
    ),
]

Relabel = Annotated[str, option(DATA, "Rename labels of the data: OLD=NEW with commas between.")]

AsJson = Annotated[bool, option(OUTPUT, "Print JSON.", "--json")]

ModelOut = Annotated[Path, option(OUTPUT, "The .safetensors file to write.", "--out", "-o")]

HistoryFile = Annotated[
    Path | None, option(EVENTS, "Keep events in this SQLite file; docs/events.md.", "--history")
]

Web = Annotated[
    str | None,
    option(
        PAGE,
        "Serve the page, by default at 127.0.0.1:8765; docs/web.md.",
        "--web",
        metavar="[HOST:PORT]",
    ),
]

WebAccess = Annotated[
    Path | None,
    option(PAGE, "Password and tokens of the page: the file that `streamrec access` makes.", "--web-access"),
]

WebName = Annotated[
    list[str] | None,
    option(PAGE, "Address under which a proxy serves the page; may be repeated.", "--web-name"),
]

WebCertificate = Annotated[
    Path | None, option(PAGE, "For https: a file with the certificate and its key.", "--web-certificate")
]

WebLocal = Annotated[
    Path | None,
    option(
        PAGE,
        "Let admins of the page add videos below this folder as cameras, and webcams of this machine.",
        "--web-local",
    ),
]

EvidenceFolder = Annotated[
    Path | None, option(EVENTS, "Write a video of each event into this folder.", "--evidence")
]

PrivacyMode = Annotated[
    str | None,
    option(EVENTS, "What evidence and --stream show: full, blur, or none (no image).", "--privacy"),
]

OwnSinks = Annotated[
    list[str] | None,
    option(OUTPUT, "Your own sink, file.py:Class or module:Class; may be repeated.", "--sink"),
]

StreamAddress = Annotated[
    str | None,
    option(
        OUTPUT,
        "Publish the stream with the overlay to an RTSP server, like rtsp://HOST:8554/door; docs/restream.md.",
        "--stream",
        metavar="ADDRESS",
    ),
]

SegmentLength = Annotated[
    str | None,
    option(
        OUTPUT,
        "Record continuously, in files of this length (10m, 1h); --save is their folder; docs/recording.md.",
        "--segment",
        metavar="TIME",
    ),
]

KeepTime = Annotated[
    str | None,
    option(OUTPUT, "Delete recordings that are older (12h, 7d); by default 7d.", "--keep", metavar="TIME"),
]

KeepSize = Annotated[
    float | None,
    option(
        OUTPUT,
        "Largest size of all recordings, by default 50; the oldest are deleted first.",
        "--keep-gb",
        min=GIGABYTES.low,
        max=GIGABYTES.high,
    ),
]

RecordFolder = Annotated[
    Path | None, option(EVENTS, "Record every step into this folder, for `streamrec replay`.", "--record")
]

RecordPictures = Annotated[
    str,
    option(
        EVENTS,
        "Frames in that recording: input (as the model sees them), full (lossless), or none.",
        "--record-pictures",
    ),
]

RecordSize = Annotated[
    float,
    option(
        EVENTS,
        "Largest size of that recording; the oldest part is deleted first.",
        "--record-gb",
        min=GIGABYTES.low,
        max=GIGABYTES.high,
    ),
]

People = Annotated[
    bool | None,
    option(
        OUTPUT,
        "Follow people: skeletons and numbers, `people` in JSON Lines; by default where the model finds them anyway.",
        "--people/--no-people",
    ),
]
PerPerson = Annotated[
    bool | None,
    option(
        EVENTS,
        "Judge each person on their own: events say who; by default where the model is as good or better so.",
        "--per-person/--no-per-person",
    ),
]
Voice = Annotated[
    str | None,
    option(
        SOURCE,
        "Microphone whose spoken digits (one, two ...) are the number keys: mic:, or another source of sound.",
        "--voice",
    ),
]
Show = Annotated[
    bool | None, option(OUTPUT, "Show a window; by default where there is a display.", "--show/--no-show")
]
