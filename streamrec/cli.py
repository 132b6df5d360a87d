"""The command line: ``streamrec run | demo | train | eval | export | models | doctor``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streamrec.sinks import Sink
    from streamrec.types import Event, Result

# Everything that is slow to import (OpenCV, ONNX Runtime, torch) is imported where it is used: --help is quick.

INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it
app = typer.Typer(
    name="streamrec",
    help="Watches a camera and says what is happening, now.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class EngineName(StrEnum):
    """What runs a model."""

    auto = "auto"
    onnx = "onnx"
    torch = "torch"


Model = Annotated[
    str, typer.Option("--model", "-m", help="A shipped model's name (`streamrec models`), or a file.")
]
Engine = Annotated[
    EngineName, typer.Option(help="What runs the model; auto is onnx on a CPU, torch on a GPU.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ... or auto.")]
Show = Annotated[
    bool | None, typer.Option("--show/--no-show", help="A window; by default where there is a display.")
]


def main() -> None:
    """Run the command line; a user's mistake gets one sentence and exit code 2, Ctrl-C ends with 130."""
    # Read by OpenCV when it opens its first video: FFmpeg's own messages would hide ours.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    from streamrec.errors import StreamrecError

    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    try:
        app()
    except StreamrecError as error:
        typer.echo(f"streamrec: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # | head
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ImportError as error:  # OpenCV without the system's libraries
        typer.echo(f"streamrec: {error}; on Debian: apt-get install libgl1 libglib2.0-0", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:  # nothing that the user named
            raise
        typer.echo(f"streamrec: {error.filename}: {(error.strerror or str(error)).lower()}", err=True)
        sys.exit(2)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"streamrec {version('streamrec')}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version and exit."),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    source: Annotated[
        str,
        typer.Argument(
            help="0 or /dev/video0, rtsp://... or http://..., a video, a folder of pictures, or synthetic."
        ),
    ],
    model: Model = "fight",
    save: Annotated[
        Path | None, typer.Option(help="Write a video with the overlay: .mp4, .mkv or .webm.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option(help="Write JSON Lines to a file, or to - (standard output).")
    ] = None,
    show: Show = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so many seconds of stream.")
    ] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, help="Another rhythm than the model learned.")] = None,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
) -> None:
    """Recognize a camera, a stream or a file.

    \b
    Examples:
      streamrec run 0
      streamrec run rtsp://user:password@192.168.1.20/stream1 --model fight
      streamrec run party.mp4 --save seen.mp4 --jsonl seen.jsonl --no-show
    """
    from streamrec.recognizer import Recognizer
    from streamrec.sources import open_source

    opened = open_source(source)
    recognizer = Recognizer.load(model, engine=engine.value, device=device)
    _play(opened, recognizer, save=save, jsonl=jsonl, show=show, max_seconds=max_seconds, fps=fps)


@app.command()
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
    from streamrec.metrics import Accuracy
    from streamrec.recognizer import Recognizer
    from streamrec.synthetic import UNSEEN, World, WorldSettings

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
    _play(
        world,
        Recognizer.load("synthetic"),
        save=video,
        jsonl=str(lines),
        show=show,
        also=lambda result: accuracy.update(result.frame.truth, result.prediction.label),
    )
    right = accuracy.get()
    if right is not None:
        typer.echo(f"{100 * right:.1f} % of the frames were given their true label")
    typer.echo(f"video:  {video}\nevents: {lines}")


@app.command()
def train(
    data: Annotated[
        str, typer.Argument(help="A folder with one folder a label, a CSV (clip,label,group), or synthetic.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write, .safetensors.")],
    encoder: Annotated[
        str, typer.Option(help="motion, or any CNN of torchvision or timm by its name.")
    ] = "motion",
    weights: Annotated[
        str | None, typer.Option(help="Start from imagenet, or from a .safetensors file.")
    ] = None,
    size: Annotated[str, typer.Option(help="What the model looks at, WIDTHxHEIGHT.")] = "96x72",
    fps: Annotated[float, typer.Option(min=0.5, help="The rhythm to learn, in frames a second.")] = 10.0,
    hidden: Annotated[int, typer.Option(min=1, help="Size of the LSTM's hidden state.")] = 128,
    dropout: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Of the features before the labels.")
    ] = 0.3,
    steps: Annotated[int, typer.Option(min=1, help="How many batches to learn from.")] = 1500,
    streams: Annotated[int, typer.Option(min=1, help="Streams in a batch.")] = 16,
    window: Annotated[int, typer.Option(min=1, help="Frames of a stream in a batch.")] = 24,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="AdamW's highest.")] = 2e-3,
    weight_decay: Annotated[float, typer.Option(min=0.0, help="AdamW's, for matrices.")] = 0.02,
    flip: Annotated[bool, typer.Option(help="Mirror at random; not where left and right differ.")] = True,
    hours: Annotated[
        float, typer.Option(min=0.01, help="How much of the synthetic world to learn from.")
    ] = 1.0,
    hold_out: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Part of the groups kept back to measure on at the end.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of all chance: the same gives the same model.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
    about: Annotated[str, typer.Option(help="One sentence that is kept in the model.")] = "",
) -> None:
    """Train a model end to end on own clips.

    A run that is stopped goes on where it was when the same command is given again.

    \b
    Examples:
      streamrec train my_clips/ --out mine.safetensors
      streamrec train clips.csv --out mine.safetensors --encoder efficientnet_lite0 --weights imagenet --size 160x160
      streamrec train synthetic --out figures.safetensors --hours 2
    """
    from streamrec.train.job import TrainJob

    TrainJob(
        data=data,
        out=out,
        encoder=encoder,
        weights=weights,
        size=_parse_size(size),
        fps=fps,
        hidden=hidden,
        dropout=dropout,
        steps=steps,
        streams=streams,
        window=window,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        flip=flip,
        hours=hours,
        hold_out=hold_out,
        seed=seed,
        threads=threads,
        about=about,
    ).run()


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a file.")],
    data: Annotated[str, typer.Argument(help="As for train: a folder, a CSV, or synthetic.")],
    hold_out: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Measure only on the part that train kept back; 0 is all.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The seed that train had.")] = 0,
    fps: Annotated[str, typer.Option(help="For synthetic: frame rates of the source.")] = "30,15,10",
    streams: Annotated[int, typer.Option(min=1, help="For synthetic: how many streams.")] = 6,
    seconds: Annotated[float, typer.Option(min=1.0, help="For synthetic: how long each.")] = 60.0,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a model by playing clips, or the synthetic world, through the loop that serves cameras.

    \b
    Examples:
      streamrec eval fight clips/
      streamrec eval mine.safetensors clips.csv --hold-out 0.2
      streamrec eval synthetic synthetic --fps 30,15,10
    """
    from streamrec.recognizer import Recognizer
    from streamrec.train.evaluate import evaluate_clips, evaluate_world

    recognizer = Recognizer.load(model, engine=engine.value, device=device)
    reports: list[Any] = []
    if data == "synthetic":
        rates = [float(rate) for rate in _parse_list(fps)]
        with _progress("streams", len(rates) * streams) as tell:
            for n, rate in enumerate(rates):
                before = n * streams

                def told(done: int, before: int = before) -> None:
                    tell(before + done)

                reports.append(
                    evaluate_world(recognizer, fps=rate, streams=streams, seconds=seconds, tell=told)
                )
    else:
        from streamrec.train.data import find_clips, held_out

        clips = find_clips(data)
        if hold_out:
            clips = held_out(clips, part=hold_out, seed=seed)[1]
        with _progress("clips", len(clips)) as tell:
            reports.append(evaluate_clips(recognizer, clips, tell=tell))
    plain = [report.to_dict() for report in reports]
    if as_json:
        typer.echo(json.dumps(plain, indent=2))
    else:
        for report in plain:
            _print_report(report)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a .safetensors file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx file to write.")],
) -> None:
    """Write a model as one .onnx file: weights, labels and settings in it, the state as inputs and outputs.

    \b
    Examples:
      streamrec export fight --out fight.onnx
    """
    from streamrec.checkpoint import load_model
    from streamrec.errors import ModelError
    from streamrec.export import export_onnx

    if out.suffix != ".onnx":
        raise ModelError(f"{out}: the file to write ends in .onnx")
    export_onnx(load_model(model), out)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


@app.command()
def models(
    encoders: Annotated[
        bool, typer.Option("--encoders", help="List the encoders that train knows instead.")
    ] = False,
    search: Annotated[str, typer.Option(help="With --encoders: only names that hold this.")] = "",
) -> None:
    """List the models that come with streamrec.

    \b
    Examples:
      streamrec models
      streamrec models --encoders --search mobilenet
    """
    if encoders:
        from streamrec.encoders import encoder_names

        for name in encoder_names():
            if search in name:
                typer.echo(name)
        return
    from streamrec.checkpoint import find_model, read_checkpoint, shipped_models

    for name in shipped_models():
        path = find_model(name)
        config = read_checkpoint(path).config
        typer.secho(f"{name}", bold=True, nl=False)
        typer.echo(
            f"  {path.stat().st_size / 1e6:.1f} MB, {config.fps:g} frames a second, {config.encoder} encoder"
        )
        typer.echo(f"    {config.about}")
        typer.echo(f"    labels: {', '.join(config.labels)}")


@app.command()
def doctor() -> None:
    """Say what works here: cameras, display, video formats, engines; and what to install for the rest."""
    from streamrec.doctor import check_all

    marks = {
        True: ("ok", typer.colors.GREEN),
        False: ("no", typer.colors.RED),
        None: ("--", typer.colors.YELLOW),
    }
    failed = False
    for finding in check_all():
        mark, colour = marks[finding.good]
        failed |= finding.good is False
        typer.secho(f"{mark:3}", fg=colour, nl=False)
        typer.echo(f"{finding.what:16} {finding.found}")
    raise typer.Exit(1 if failed else 0)


def _play(
    source: Any,
    recognizer: Any,
    *,
    save: Path | None,
    jsonl: str | None,
    show: bool | None,
    max_seconds: float | None = None,
    fps: float | None = None,
    also: Any = None,
) -> None:
    """The loop of ``run`` and ``demo``: results to sinks, events to the terminal, a summary at the end."""
    from streamrec.errors import SinkError
    from streamrec.pipeline import results
    from streamrec.sinks import Background, JsonLines, VideoFile, Window, why_no_display
    from streamrec.sources import Limited, RealTime

    if max_seconds is not None:
        source = Limited(source, max_seconds)
    reason = why_no_display() if show is not False else None
    if show and reason:
        raise SinkError(reason)
    with contextlib.ExitStack() as stack:
        sinks: list[Sink] = []
        window = None
        if show is not False and reason is None:
            window = stack.enter_context(Window())
            source = source if source.live else RealTime(source)  # a file is watched at its own speed
        if save is not None:
            # Of a file every frame is written; a live stream is never held up by the disk. A video of hours takes
            # its time to close.
            sinks.append(
                stack.enter_context(Background(VideoFile(save), drop_oldest=source.live, patience=600.0))
            )
        if jsonl is not None:
            sinks.append(stack.enter_context(JsonLines(jsonl)))
        terminal = stack.enter_context(_Terminal(source, recognizer, on_stdout=jsonl != "-"))
        if show is None and reason and not sinks:
            terminal.say(f"No window: {reason}")
        for result in results(source, recognizer, fps=fps):
            for sink in sinks:
                sink.write(result)
            if window is not None:
                window.write(result)
            terminal.write(result)
            if also is not None:
                also(result)
            if window is not None and window.closed:
                break


class _Terminal:
    """What a person at the terminal sees: events as lines, a line that lives, and a summary."""

    def __init__(self, source: Any, recognizer: Any, *, on_stdout: bool) -> None:
        from rich.console import Console

        from streamrec.metrics import Latency

        self.source, self.recognizer = source, recognizer
        self.console = Console(stderr=not on_stdout, highlight=False, soft_wrap=True)
        self.latency, self.recent = Latency(), Latency()
        self.frames = self.events = self.dropped = 0
        self.seconds = 0.0  # of stream
        self._last: Result | None = None
        self._status: Any = None
        self._begun = self._reported = time.monotonic()
        self._reported_frames = 0

    def __enter__(self) -> _Terminal:
        self.say(f"{self.source.name}: {self.recognizer.name} model, {self.recognizer.engine} engine")
        if self.console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            duration = self.source.duration
            columns = [
                TimeElapsedColumn(),
                *([BarColumn()] if duration else []),
                TextColumn("{task.description}"),
            ]
            self._status = Progress(*columns, console=self.console, transient=True)
            self._task = self._status.add_task("opening ...", total=duration)
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
        took = time.monotonic() - self._begun
        if self.frames:
            quantiles = self.latency.get()
            self.say(
                f"{self.frames} frames in {took:.1f} s ({self.frames / took:.1f} a second), "
                f"latency p50 {_ms(quantiles['p50'])} p99 {_ms(quantiles['p99'])}, "
                f"{self.dropped} dropped, {self.events} action{'' if self.events == 1 else 's'}"
                + (", stopped" if kind is not None and issubclass(kind, KeyboardInterrupt) else "")
            )

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def write(self, result: Result) -> None:
        from streamrec.types import ActionStarted

        frame, last = result.frame, self._last
        for event in result.events:
            self.events += isinstance(event, ActionStarted)
            self.say(_describe(event))
        if last is not None and (last.frame.segment, last.frame.index) == (frame.segment, frame.index):
            return  # it repeats the last frame to tell what ended
        self._last = result
        self.frames += 1
        self.dropped = result.dropped
        self.latency.update(result.latency)
        self.recent.update(result.latency)
        if last is not None:
            self.seconds += max(0.0, frame.timestamp - last.frame.timestamp)
        if self._status is not None:
            shown = f"{result.prediction.label} {100 * result.prediction.confidence:.0f} %"
            self._status.update(self._task, completed=self.seconds, description=shown)
        if self.source.live and time.monotonic() - self._reported >= 5.0:
            self._report(frame.timestamp)

    def _report(self, timestamp: float) -> None:
        from streamrec.metrics import Latency

        now = time.monotonic()
        quantiles = self.recent.get()
        rate = (self.frames - self._reported_frames) / (now - self._reported)
        self.say(
            f"{_clock(timestamp)}  {rate:.1f} a second, latency p50 {_ms(quantiles['p50'])} "
            f"p99 {_ms(quantiles['p99'])}, {self.dropped} dropped"
        )
        self._reported, self._reported_frames = now, self.frames
        self.recent = Latency()


def _describe(event: Event) -> str:
    from streamrec.types import ActionEnded

    if isinstance(event, ActionEnded):
        return f"{_clock(event.timestamp)}  {event.label} ended after {event.duration:.1f} s"
    return f"{_clock(event.timestamp)}  {event.label} started ({100 * event.confidence:.0f} %)"


def _clock(seconds: float) -> str:
    """125.3 -> 2:05.3."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes):3d}:{rest:04.1f}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"


@contextlib.contextmanager
def _progress(what: str, total: int) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _print_report(report: dict[str, Any]) -> None:
    for key, value in report.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {_number(v)}" for k, v in value.items())
        elif isinstance(value, tuple | list):
            value = "; ".join(value) or "none"
        typer.echo(f"{key.replace('_', ' '):>20}  {_number(value)}")
    typer.echo()


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _parse_size(text: str) -> tuple[int, int]:
    from streamrec.errors import StreamrecError

    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) >= 16 and int(height) >= 16):
        raise StreamrecError(f"--size {text}: give WIDTHxHEIGHT of at least 16, like 96x72")
    return int(width), int(height)


def _parse_list(text: str) -> list[str]:
    from streamrec.errors import StreamrecError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.replace(".", "", 1).isdecimal() and float(part) > 0 for part in parts):
        raise StreamrecError(f"--fps {text}: give frame rates with commas between, like 30,15,10")
    return parts
