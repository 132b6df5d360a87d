"""`streamrec teach`: own labels, taught live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.exit_codes import CUT_OFF
from streamrec.commands.option_groups import page_settings
from streamrec.commands.options import (
    OUTPUT,
    SOURCE,
    Voice,
    Web,
    WebAccess,
    WebCertificate,
    WebName,
    complete,
    option,
)
from streamrec.core.arguments import RETRIES, SECONDS

_LESSON = "Lesson"


# Longer than 80 lines: typer makes the options of the signature.
def teach(
    source: Annotated[
        str,
        typer.Argument(
            help="As for run: 0 is the webcam; rtsp://... or http://..., a video, or readings of sensors."
        ),
    ] = "0",
    out: Annotated[Path, option(OUTPUT, "The .safetensors file to write.", "--out", "-o")] = Path(
        "mine.safetensors"
    ),
    model: Annotated[
        list[str] | None,
        option(
            SOURCE,
            "Shipped model or model file beside which you teach: its labels stay; may be repeated.",
            "--model",
            "-m",
            autocompletion=complete("models"),
            show_default="webcam",
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        option(OUTPUT, "File that keeps the examples. [default: the name of --out, with .teach]"),
    ] = None,
    pictures: Annotated[
        bool, option(OUTPUT, "Keep a few small images of each example too, not only features.", "--pictures")
    ] = False,
    seconds: Annotated[
        float, option(_LESSON, "Length of an example for which none is given.", min=0.5, max=30.0)
    ] = 2.0,
    countdown: Annotated[float, option(_LESSON, "Seconds of countdown.", min=0.0, max=30.0)] = 3.0,
    nothing: Annotated[
        float, option(_LESSON, "Seconds of nothing that are asked for.", min=5.0, max=110.0)
    ] = 60.0,
    show: Annotated[
        bool | None,
        option(
            OUTPUT,
            "Show a window; by default where there is a display. Without one the keys are those of the terminal, "
            "or lines of standard input.",
            "--window/--no-window",
        ),
    ] = None,
    voice: Voice = None,
    web: Web = None,
    web_access: WebAccess = None,
    web_name: WebName = None,
    web_certificate: WebCertificate = None,
    max_seconds: Annotated[
        float | None,
        option(SOURCE, "Stop after so many seconds of stream.", min=0.0, max=SECONDS.high),
    ] = None,
    retries: Annotated[
        int,
        option(
            SOURCE, "Attempts in a row to open a lost camera; -1: without end.", min=-1, max=int(RETRIES.high)
        ),
    ] = 10,
) -> None:
    """Teach your own actions, live: show one three times, and it is known.

    Do it, then press its number: the last 2 seconds were that. Or hold the key while you do it, or let a countdown say
    when, or say its number (--voice mic:). n names a new label. A minute of nothing keeps false alarms away: 0. From
    the third example on everything that you say is learned within seconds, while the camera runs. The labels of the
    shipped model stay.

    Each example is on the disk when it is confirmed. q or Ctrl-C ends, and writes the model; the same command goes on
    next week. Where standard input is no terminal its lines teach: "wave 2", "nothing 60", "remove 3",
    "relabel 3 wave", "undo", "list", "fit", "save", "quit"; "wave 2 at 14.5" means a second of the stream.

    \b
    Examples:
      streamrec teach 0
      streamrec teach 0 --out office.safetensors --web
      streamrec teach rtsp://user:password@192.168.1.20/stream1 --no-window
      streamrec teach party.mp4 -m fight --no-window < lines.txt
      streamrec teach mqtt://broker/phone/sensors -m motion
    """
    from streamrec.commands.teach_job import TeachJob, check_out
    from streamrec.core.files import keep_inputs
    from streamrec.core.reading import path_of
    from streamrec.core.redact import redact_address
    from streamrec.core.threads import limit_opencv_threads
    from streamrec.runtime.checkpoint import model_file
    from streamrec.settings.default_model import WEBCAM_MODEL
    from streamrec.sources.health import amiss
    from streamrec.sources.open import file_of, open_source
    from streamrec.teach.encoder import sense_taught
    from streamrec.teach.teacher import Teacher

    limit_opencv_threads()
    page = page_settings(web, web_access, web_name, web_certificate)
    if page is not None and show is None:
        show = False
    models = model or [WEBCAM_MODEL]
    out = path_of(str(out))
    kept = out.with_suffix(".teach") if examples is None else path_of(str(examples))
    keep_inputs(
        {"--out": out, "--examples": kept},
        [file_of(source), file_of(voice), *map(model_file, models), web_access, web_certificate],
    )
    check_out(out, kept)
    opened = open_source(source, retries=None if retries < 0 else retries, sense=sense_taught(models))
    with Teacher(models, file=kept, pictures=pictures) as teacher:
        TeachJob(
            source=opened,
            teacher=teacher,
            out=out,
            examples=kept,
            models=tuple(models),
            named=redact_address(source),
            seconds=seconds,
            countdown=countdown,
            nothing=nothing,
            show=show,
            max_seconds=max_seconds,
            web=page,
            voice=voice,
            read_lines=False if source == "-" else None,
        ).run()
    if amiss(opened) is not None:  # reported by now
        raise typer.Exit(CUT_OFF)
