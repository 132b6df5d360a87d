"""`streamrec run`: one source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.exit_codes import CUT_OFF
from streamrec.commands.option_groups import (
    after_events,
    after_options,
    files_of_sinks,
    page_settings,
    recording_options,
    tuned_settings,
)
from streamrec.commands.options import (
    EVENTS,
    OUTPUT,
    SOURCE,
    SPEED,
    Config,
    Device,
    Engine,
    EngineName,
    EvidenceFolder,
    HistoryFile,
    KeepSize,
    KeepTime,
    OwnSinks,
    People,
    PerPerson,
    PrivacyMode,
    RecordFolder,
    RecordPictures,
    RecordSize,
    SegmentLength,
    Show,
    StreamAddress,
    Threads,
    Web,
    WebAccess,
    WebCertificate,
    WebName,
    complete,
    option,
)
from streamrec.core.arguments import FPS, RETRIES, SECONDS, STILL


# Longer than 80 lines: typer makes the options of the signature.
def run(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="0 or /dev/video0, rtsp://... or http://..., a video, a folder of images, synthetic; readings of "
            "sensors: a .csv, mqtt://..., serial:/dev/...; or sound: a .wav, mic:, rtsp://...#sound"
        ),
    ],
    model: Annotated[
        list[str] | None,
        option(
            SOURCE,
            "Name of a shipped model (`streamrec models`), or a model file; several watch together.",
            "--model",
            "-m",
            autocompletion=complete("models"),
            show_default="webcam for a webcam, fight for a file",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        option(OUTPUT, "Write a video with the overlay: .mp4, .mkv or .webm; with --segment a folder."),
    ] = None,
    segment: SegmentLength = None,
    keep: KeepTime = None,
    keep_gb: KeepSize = None,
    jsonl: Annotated[
        str | None, option(OUTPUT, "Write JSON Lines to a file, or to - (standard output).")
    ] = None,
    settings: Annotated[
        Path | None,
        option(
            EVENTS,
            "A cameras.toml, or a file of its tables about what happens after an event: [webhook], [mqtt], ...; "
            "docs/events.md.",
        ),
    ] = None,
    history: HistoryFile = None,
    web: Web = None,
    web_access: WebAccess = None,
    web_name: WebName = None,
    web_certificate: WebCertificate = None,
    evidence: EvidenceFolder = None,
    privacy: PrivacyMode = None,
    sink: OwnSinks = None,
    stream: StreamAddress = None,
    record: RecordFolder = None,
    record_pictures: RecordPictures = "input",
    record_gb: RecordSize = 1.0,
    show: Show = None,
    people: People = None,
    per_person: PerPerson = None,
    listen: Annotated[
        str | None,
        option(
            SOURCE,
            "A model of sound that listens beside the pictures, to the source's own sound or, of a webcam, the "
            "microphone. Nothing listens without it, and no sound is kept: docs/senses.md.",
            autocompletion=complete("models"),
        ),
    ] = None,
    explain: Annotated[
        bool,
        option(
            OUTPUT,
            "Draw where the model looked, in the window (e switches it) and the video; of readings, what spoke for "
            "the label, in JSON Lines too.",
            "--explain",
        ),
    ] = False,
    max_seconds: Annotated[
        float | None,
        option(SOURCE, "Stop after so many seconds of stream.", min=0.0, max=SECONDS.high),
    ] = None,
    fps: Annotated[
        float | None,
        option(
            SPEED,
            "Frames processed a second; by default the sampling rate that the model learned.",
            min=FPS.low,
            max=FPS.high,
        ),
    ] = None,
    still: Annotated[
        float | None,
        option(
            SPEED,
            "Process a still image only every so many seconds.",
            min=STILL.low,
            max=STILL.high,
        ),
    ] = None,
    count: Annotated[
        bool,
        option(EVENTS, "Count any motion that repeats, of no class: docs/counting.md.", "--count"),
    ] = False,
    retries: Annotated[
        int,
        option(
            SOURCE,
            "Attempts in a row to open a lost camera; -1: without end.",
            min=-1,
            max=int(RETRIES.high),
        ),
    ] = 10,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
) -> None:
    """Recognize a camera, a stream or a file.

    A camera that is lost is opened again: at once, and then with pauses of 1 to 30 seconds, for about three
    minutes. --retries says how often.

    Exit codes: 0 at the end, 2 for what cannot be done, 3 for a file that was cut off, damaged or lost on the
    way, 130 after Ctrl-C. A pipe is read too: - is standard input.

    \b
    Examples:
      streamrec run 0
      streamrec run rtsp://user:password@192.168.1.20/stream1 --model fight
      streamrec run 0 -m fight -m fall
      streamrec run 0 --save recordings/ --segment 10m --keep 7d --keep-gb 50
      streamrec run 0 --stream rtsp://127.0.0.1:8554/door
      streamrec run party.mp4 --save seen.mp4 --jsonl seen.jsonl --no-show
      streamrec run rope.mp4 --count --save counted.mp4 --no-show
      streamrec run party.mp4 --explain --save why.mp4 --no-show
      streamrec run readings.csv -m motion
      streamrec run rtsp://192.168.1.20/stream1 -m fight --listen glass.safetensors
    """
    from streamrec.commands.listening import listener_for, load_sound
    from streamrec.commands.run_job import RunJob
    from streamrec.core.files import keep_inputs
    from streamrec.core.model_names import check_names, names_of
    from streamrec.core.threads import limit_opencv_threads
    from streamrec.events.recurrence import RecurrenceSettings
    from streamrec.outputs.sink import files_of_video
    from streamrec.outputs.window import why_no_display
    from streamrec.runtime.checkpoint import model_file
    from streamrec.runtime.joint import open_models
    from streamrec.settings.default_model import default_model
    from streamrec.settings.resolve import Running, follows, resolve
    from streamrec.settings.tuned_file import Tuned
    from streamrec.sources.health import amiss
    from streamrec.sources.open import file_of, open_source

    limit_opencv_threads()
    page = page_settings(web, web_access, web_name, web_certificate)
    if page is not None and show is None:
        show = False
    tuned = tuned_settings(context, config)
    if model and len(model) > 1:  # it is about one model
        tuned = Tuned()
    named = model or [tuned.model or default_model(source)]
    given = Running(model=named[0], engine=engine.value, device=device, threads=threads, fps=fps)
    running = resolve(given, tuned)
    models = [running.model, *named[1:]]
    recording = recording_options(save, segment, keep, keep_gb)
    if recording:
        save = None  # a folder of segments, not one video
    others = after_options(history, evidence, privacy, sink, stream, record, record_pictures, record_gb)
    after_settings = after_events(settings, {**others, "recording": recording})
    video = None if save is None else files_of_video(save)
    loaded = [*models, *([] if listen is None else [listen])]
    check_names(loaded)
    inputs = [file_of(source), *map(model_file, loaded), settings, config, web_access, web_certificate]
    keep_inputs(
        {"--save": video, "--jsonl": jsonl, **after_settings.outputs}, [*inputs, *files_of_sinks(sink)]
    )
    following = follows(models, people, per_person)
    recognizer = open_models(
        models,
        engine=running.engine,
        device=running.device,
        threads=running.threads,
        people=following.people,
        per_person=following.per_person,
    )
    shown = show is not False and not why_no_display()
    needs_images = bool(save or page or after_settings.needs_pictures) or shown
    opened = open_source(
        source,
        retries=None if retries < 0 else retries,
        size=None if needs_images else recognizer.straight,
        sense=recognizer.sense,
    )
    listener = None
    if listen is not None:
        listener = listener_for(
            load_sound(listen, running.engine, running.device),
            names_of([listen])[0],
            opened,
            source,
            retries=None if retries < 0 else retries,
        )
    RunJob(
        source=opened,
        listener=listener,
        recognizer=recognizer,
        model=running.model if len(models) == 1 else None,
        save=save,
        jsonl=jsonl,
        show=show,
        explain=explain,
        max_seconds=max_seconds,
        fps=running.fps,
        still=still,
        count=RecurrenceSettings() if count else None,
        web=page,
        after=after_settings,
    ).run()
    if amiss(opened) is not None:  # reported by now
        raise typer.Exit(CUT_OFF)
