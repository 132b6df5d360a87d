"""`streamrec record`: a person before a camera records labelled clips."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import Show, _complete


class RecordOrder(StrEnum):
    """Which label comes when."""

    mixed = "mixed"
    by_label = "by-label"


def record(
    folder: Annotated[Path, typer.Argument(help="The folder for the clips; what is in it stays.")],
    labels: Annotated[
        str,
        typer.Option(
            help="What to record, with commas between: wave,clap,nothing.", autocompletion=_complete("labels")
        ),
    ],
    source: Annotated[str, typer.Option(help="As for run: 0 is the webcam.")] = "0",
    clips: Annotated[int, typer.Option(min=1, help="Clips of each label.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of a clip.")] = 3.0,
    countdown: Annotated[float, typer.Option(min=0.0, help="Seconds before each clip of a camera.")] = 3.0,
    person: Annotated[
        str | None, typer.Option(help="Who is seen; the person's session is the clips' group. [default: me]")
    ] = None,
    order: Annotated[
        RecordOrder, typer.Option(help="mixed: each round all labels at random; or one after the other.")
    ] = RecordOrder.mixed,
    new_session: Annotated[
        bool, typer.Option("--new-session", help="Begin anew where the last session still lacks clips.")
    ] = False,
    show: Show = None,
) -> None:
    """Record own clips to train on: it says what comes next, counts down, records, beeps, goes on.

    Space or Enter pauses, r repeats the last clip, q ends. Given again, the command goes on with a session that
    lacks clips, or begins the next one: light and clothes of another day make a fair test. Synthetic makes clips
    of figures that act the labels, without a camera.

    \b
    Examples:
      streamrec record my_clips/ --labels wave,clap,nothing
      streamrec record my_clips/ --labels wave,clap,nothing --person anna --source rtsp://192.168.1.20/stream1
      streamrec record figures/ --labels wave,clap,idle --source synthetic
    """
    from streamrec.commands.record_session import RecordJob

    RecordJob(
        folder=folder,
        labels=labels,
        source=source,
        clips=clips,
        seconds=seconds,
        countdown=countdown,
        person=person,
        mixed=order is RecordOrder.mixed,
        new_session=new_session,
        show=show,
    ).run()
