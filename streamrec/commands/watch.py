"""`streamrec watch`: the cameras of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.option_groups import (
    after_options,
    files_of_sinks,
    page_settings,
    recording_options,
    tuned_settings,
)
from streamrec.commands.options import (
    OUTPUT,
    SOURCE,
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
    StreamAddress,
    Threads,
    Web,
    WebAccess,
    WebCertificate,
    WebLocal,
    WebName,
    option,
)
from streamrec.core.arguments import SECONDS


def watch(
    context: typer.Context,
    cameras: Annotated[
        Path, typer.Argument(help="A TOML file with a [[camera]] table for each; docs/watch.md describes it.")
    ],
    jsonl: Annotated[
        str | None,
        option(
            OUTPUT, "Append events and changes of state as JSON Lines to a file, or to - (standard output)."
        ),
    ] = None,
    predictions: Annotated[
        bool, option(OUTPUT, "Write each prediction to the JSON Lines too.", "--predictions")
    ] = False,
    save: Annotated[
        Path | None, option(OUTPUT, "Record continuously into this folder; docs/recording.md.")
    ] = None,
    segment: SegmentLength = None,
    keep: KeepTime = None,
    keep_gb: KeepSize = None,
    history: HistoryFile = None,
    web: Web = None,
    web_access: WebAccess = None,
    web_name: WebName = None,
    web_certificate: WebCertificate = None,
    web_local: WebLocal = None,
    evidence: EvidenceFolder = None,
    privacy: PrivacyMode = None,
    sink: OwnSinks = None,
    stream: StreamAddress = None,
    record: RecordFolder = None,
    record_pictures: RecordPictures = "input",
    record_gb: RecordSize = 1.0,
    people: People = None,
    per_person: PerPerson = None,
    max_seconds: Annotated[
        float | None, option(SOURCE, "Stop after so many seconds.", min=0.0, max=SECONDS.high)
    ] = None,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
) -> None:
    """Watch many cameras at once.

    A camera that goes away is opened again, without end. The file is read again when it
    changes, and on SIGHUP: only the cameras that it changes are touched.

    \b
    Examples:
      streamrec watch cameras.toml
      streamrec watch cameras.toml --jsonl events.jsonl
      streamrec watch cameras.toml --jsonl - --predictions --max-seconds 60
      streamrec watch cameras.toml --web
      streamrec watch cameras.toml --save recordings/ --keep 7d --keep-gb 50
      streamrec watch cameras.toml --stream rtsp://127.0.0.1:8554/{camera}
      streamrec watch cameras.toml --web 0.0.0.0:8765 --web-access page.access
    """
    from streamrec.commands.watch_job import WatchJob
    from streamrec.core.memory import limit_heaps
    from streamrec.core.threads import limit_opencv_threads

    limit_opencv_threads()
    limit_heaps()
    others = after_options(history, evidence, privacy, sink, stream, record, record_pictures, record_gb)
    length = "10m" if save is not None and segment is None else segment
    recording = recording_options(save, length, keep, keep_gb)
    code = WatchJob(
        path=cameras,
        jsonl=jsonl,
        predictions=predictions,
        web=page_settings(web, web_access, web_name, web_certificate, web_local),
        after={**others, "recording": recording},
        max_seconds=max_seconds,
        engine=engine.value,
        device=device,
        threads=threads,
        people=people,
        per_person=per_person,
        tuned=tuned_settings(context, config),
        inputs=tuple(
            path for path in (config, web_access, web_certificate, *files_of_sinks(sink)) if path is not None
        ),
    ).run()
    raise typer.Exit(code)
