"""`streamrec run` and `demo`: one source."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from streamrec.core.arguments import FPS, RETRIES, SECONDS, STILL
from streamrec.settings.tuned_file import DEFAULT_MODEL

if TYPE_CHECKING:
    from streamrec.notify.dispatcher import DispatchSettings
    from streamrec.settings.tuned_file import Tuned
from streamrec.commands.options import (
    CUT_OFF,
    Config,
    Device,
    Engine,
    EngineName,
    EvidenceFolder,
    HistoryFile,
    Model,
    OwnSinks,
    PrivacyMode,
    RecordFolder,
    RecordPictures,
    RecordSize,
    Show,
    Threads,
    Web,
    WebAccess,
    WebCertificate,
    WebName,
    _files_of_sinks,
)


class WithPage(TyperCommand):
    """A command whose ``--web`` may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``--web`` stand alone."""
        for n, word in enumerate(args):
            if word == "--":
                break
            if word == "--web" and not re.fullmatch(
                r"(\[[\da-fA-F:.]+\]|[\w.-]*):\d+", "".join(args[n + 1 : n + 2])
            ):
                args = [*args[:n], "--web=127.0.0.1:8765", *args[n + 1 :]]
        return super().parse_args(ctx, args)


def _web_settings(
    at: str | None, access: Path | None, names: list[str] | None, certificate: Path | None
) -> Any:
    """The page's settings; None where there is to be none."""
    from streamrec.errors import SettingsError

    if at is None:
        if access or names or certificate:
            raise SettingsError(
                "--web-access, --web-name and --web-certificate belong to --web; give that too"
            )
        return None
    from streamrec.core.files import too_open
    from streamrec.core.reading import path_of
    from streamrec.web.auth import Access
    from streamrec.web.server import WebSettings, parse_address

    for file in (access, certificate):  # the second holds a key
        if file is not None and (said := too_open(path_of(str(file)))):
            typer.echo(said, err=True)
    host, port = parse_address(at)
    return WebSettings(
        host=host,
        port=port,
        access=Access.read(access, os.environ),
        access_file=access,
        public=tuple(name.rstrip("/") for name in names or ()),
        certificate=certificate,
    )


def run(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="0 or /dev/video0, rtsp://... or http://..., a video, a folder of pictures, or synthetic."
        ),
    ],
    model: Model = DEFAULT_MODEL,
    save: Annotated[
        Path | None, typer.Option(help="Write a video with the overlay: .mp4, .mkv or .webm.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option(help="Write JSON Lines to a file, or to - (standard output).")
    ] = None,
    after: Annotated[
        Path | None,
        typer.Option(
            help="What to do after an event: a TOML file with [webhook], [mqtt], ...; docs/events.md."
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
    record: RecordFolder = None,
    record_pictures: RecordPictures = "input",
    record_gb: RecordSize = 1.0,
    show: Show = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Draw where the model looked, in the window (e switches it) and the video."
        ),
    ] = False,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0.0, max=SECONDS.high, help="Stop after so many seconds of stream."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=FPS.low, max=FPS.high, help="Another rhythm than the model learned."),
    ] = None,
    still: Annotated[
        float | None,
        typer.Option(
            min=STILL.low,
            max=STILL.high,
            help="Look at a picture that stands still only every so many seconds.",
        ),
    ] = None,
    retries: Annotated[
        int,
        typer.Option(
            min=-1,
            max=int(RETRIES.high),
            help="How often a lost camera is opened in a row; -1: for ever.",
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
      streamrec run party.mp4 --save seen.mp4 --jsonl seen.jsonl --no-show
      streamrec run party.mp4 --explain --save why.mp4 --no-show
    """
    from streamrec.commands.terminal import play
    from streamrec.core.files import keep_inputs
    from streamrec.core.threads import limit_opencv_threads
    from streamrec.outputs.sink import files_of_video
    from streamrec.outputs.window import why_no_display
    from streamrec.runtime.checkpoint import model_file
    from streamrec.runtime.recognizer import Recognizer
    from streamrec.settings.resolve import Running, of_run
    from streamrec.sources.health import amiss
    from streamrec.sources.open import file_of, open_source

    limit_opencv_threads()
    page = _web_settings(web, web_access, web_name, web_certificate)
    if page is not None and show is None:
        show = False
    tuned = _tuned(context, config)
    given = Running(model=model, engine=engine.value, device=device, threads=threads, fps=fps)
    running = of_run(tuned, given)
    happens = _after_events(
        after, _after_options(history, evidence, privacy, sink, record, record_pictures, record_gb)
    )
    keep_inputs(
        {"--save": None if save is None else files_of_video(save), "--jsonl": jsonl, **happens.outputs},
        [
            file_of(source),
            model_file(running.model),
            after,
            config,
            web_access,
            web_certificate,
            *_files_of_sinks(sink),
        ],
    )
    recognizer = Recognizer.load(
        running.model, engine=running.engine, device=running.device, threads=running.threads
    )
    seen = bool(save or page or happens.needs_pictures) or (show is not False and not why_no_display())
    opened = open_source(
        source,
        retries=None if retries < 0 else retries,
        size=None if seen else recognizer.config.transform.straight,
    )
    play(
        opened,
        recognizer,
        running.model,
        save=save,
        jsonl=jsonl,
        show=show,
        explain=explain,
        max_seconds=max_seconds,
        fps=running.fps,
        still=still,
        web=page,
        after=happens,
    )
    if amiss(opened) is not None:  # told by now
        raise typer.Exit(CUT_OFF)


def _after_options(
    history: Path | None,
    evidence: Path | None,
    privacy: str | None,
    sinks: list[str] | None,
    record: Path | None,
    record_pictures: str,
    record_gb: float,
) -> dict[str, Any]:
    """For ``DispatchSettings.with_options``."""
    return {
        "history": history,
        "evidence": evidence,
        "privacy": privacy,
        "sinks": sinks or (),
        "record": record,
        "record_pictures": record_pictures,
        "record_gb": record_gb,
    }


def _after_events(file: Path | None, options: dict[str, Any]) -> DispatchSettings:
    """What is to happen after an event: as the file says, and what the command line says in its place."""
    from streamrec.notify.dispatcher import DispatchSettings
    from streamrec.settings.cameras_file import read_after

    settings = DispatchSettings()
    if file is not None:
        read = read_after(file, os.environ)
        for said in read.too_open():
            typer.echo(said, err=True)
        settings = DispatchSettings.of(read)
    return settings.with_options(**options)


def _tuned(context: typer.Context, config: Path | None) -> Tuned:
    """What the file says, less what was said on the command line."""
    from streamrec.settings.tuned_file import KEYS, Tuned, read_tuned

    if config is None:
        return Tuned()
    sources = {key: context.get_parameter_source(key) for key in KEYS}
    said = [key for key, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return replace(read_tuned(config), **dict.fromkeys(said))


def demo(
    out: Annotated[Path, typer.Option(help="The folder for the video and the JSON Lines.")] = Path(
        "demo-output"
    ),
    seconds: Annotated[float, typer.Option(min=1.0, help="How long to watch.")] = 30.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another world.")] = 7,
    show: Show = None,
) -> None:
    """Watch the synthetic world: no camera needed. Ends with a video and what was recognized.

    \b
    Examples:
      streamrec demo
      streamrec demo --seconds 60 --seed 3 --out /tmp/demo
    """
    from streamrec.commands.terminal import play
    from streamrec.evaluation.metrics import Accuracy
    from streamrec.runtime.recognizer import Recognizer
    from streamrec.sources.synthetic import UNSEEN, World, WorldSettings

    out.mkdir(parents=True, exist_ok=True)
    video, lines = out / "demo.mp4", out / "demo.jsonl"
    world = World(
        WorldSettings(
            seed=UNSEEN + seed,
            width=640,
            height=480,
            seconds=seconds,
            scene_seconds=10.0,
            action_seconds=(2.5, 5.0),
        )
    )
    accuracy = Accuracy()
    play(
        world,
        Recognizer.load("synthetic"),
        "synthetic",
        save=video,
        jsonl=str(lines),
        show=show,
        also=lambda result: accuracy.update(result.frame.truth, result.prediction.label),
    )
    right = accuracy.get()
    if right is not None:
        typer.echo(f"{100 * right:.1f} % of the frames were given their true label")
    typer.echo(f"video:  {video}\nevents: {lines}")
