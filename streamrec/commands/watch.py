"""`streamrec watch`: the cameras of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import (
    Config,
    Device,
    Engine,
    EngineName,
    EvidenceFolder,
    HistoryFile,
    OwnSinks,
    PrivacyMode,
    RecordFolder,
    RecordPictures,
    RecordSize,
    Threads,
    Web,
    WebAccess,
    WebCertificate,
    WebName,
    _files_of_sinks,
)
from streamrec.commands.run import _after_options, _tuned, _web_settings
from streamrec.core.arguments import SECONDS


def watch(
    context: typer.Context,
    cameras: Annotated[
        Path, typer.Argument(help="A TOML file with a [[camera]] table for each; docs/watch.md describes it.")
    ],
    jsonl: Annotated[
        str | None,
        typer.Option(
            help="Append events and changes of state as JSON Lines to a file, or to - (standard output)."
        ),
    ] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Write each prediction to the JSON Lines too.")
    ] = False,
    history: HistoryFile = None,
    web: Web = None,
    web_access: WebAccess = None,
    web_name: WebName = None,
    web_certificate: WebCertificate = None,
    evidence: EvidenceFolder = None,
    privacy: PrivacyMode = None,
    sink: OwnSinks = None,
    record: RecordFolder = None,
    record_pictures: RecordPictures = "input",
    record_gb: RecordSize = 1.0,
    max_seconds: Annotated[
        float | None, typer.Option(min=0.0, max=SECONDS.high, help="Stop after so many seconds.")
    ] = None,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
) -> None:
    """Watch many cameras at once, for as long as it runs: a camera that goes away is opened again.

    The file is read again when it changes, and on SIGHUP: only the cameras that it changes are touched.

    \b
    Examples:
      streamrec watch cameras.toml
      streamrec watch cameras.toml --jsonl events.jsonl
      streamrec watch cameras.toml --jsonl - --predictions --max-seconds 60
      streamrec watch cameras.toml --web
      streamrec watch cameras.toml --web 0.0.0.0:8765 --web-access page.access
    """
    from streamrec.commands.watch_job import WatchJob
    from streamrec.core.threads import limit_opencv_threads

    limit_opencv_threads()
    code = WatchJob(
        path=cameras,
        jsonl=jsonl,
        predictions=predictions,
        web=_web_settings(web, web_access, web_name, web_certificate),
        after=_after_options(history, evidence, privacy, sink, record, record_pictures, record_gb),
        max_seconds=max_seconds,
        engine=engine.value,
        device=device,
        threads=threads,
        tuned=_tuned(context, config),
        inputs=tuple(
            path for path in (config, web_access, web_certificate, *_files_of_sinks(sink)) if path is not None
        ),
    ).run()
    raise typer.Exit(code)
