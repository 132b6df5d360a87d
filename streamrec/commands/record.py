"""`streamrec record`: a person before a camera records labelled clips."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import SOURCE, Show, Voice, complete, option


class RecordOrder(StrEnum):
    """In which order the labels are recorded."""

    mixed = "mixed"
    by_label = "by-label"


_CLIPS = "Clips"


def record(
    folder: Annotated[Path, typer.Argument(help="Folder for the clips; what is in it stays.")],
    labels: Annotated[
        str,
        option(
            _CLIPS,
            "What to record, with commas between: wave,clap,nothing.",
            autocompletion=complete("labels"),
        ),
    ],
    source: Annotated[str, option(SOURCE, "As for run: 0 is the webcam.")] = "0",
    clips: Annotated[int, option(_CLIPS, "Number of clips for each label.", min=1)] = 10,
    seconds: Annotated[float, option(_CLIPS, "Length of a clip.", min=0.5)] = 3.0,
    countdown: Annotated[
        float, option(_CLIPS, "Seconds of countdown before each clip of a camera.", min=0.0)
    ] = 3.0,
    person: Annotated[
        str | None,
        option(_CLIPS, "Name of the person; a session of that person is the clips' group. [default: me]"),
    ] = None,
    order: Annotated[
        RecordOrder,
        option(_CLIPS, "mixed: all labels in random order, round after round; by-label: one by one."),
    ] = RecordOrder.mixed,
    new_session: Annotated[
        bool,
        option(_CLIPS, "Begin a new session even where the last one still lacks clips.", "--new-session"),
    ] = False,
    show: Show = None,
    voice: Voice = None,
) -> None:
    """Record your own clips to train on.

    It shows what comes next, counts down, records, beeps and goes on. Space or Enter pauses, 1 to 9 choose the label
    that comes next, r repeats the last clip, q ends; with --voice the numbers may be spoken. Given again, the command
    goes on with a session that lacks clips, or begins the next one: light and clothes of another day make a fair test.
    Synthetic makes clips of figures that act the labels, without a camera.

    \b
    Examples:
      streamrec record my_clips/ --labels wave,clap,nothing
      streamrec record my_clips/ --labels wave,clap,nothing --person anna --source rtsp://192.168.1.20/stream1
      streamrec record my_clips/ --labels wave,clap,nothing --voice mic:
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
        voice=voice,
    ).run()
