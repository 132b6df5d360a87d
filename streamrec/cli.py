"""The command line: ``streamrec run | watch | demo | record | train | eval | crossval | export | ...``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from streamrec.core import ending, limits
from streamrec.tunefile import DEFAULT_MODEL

if TYPE_CHECKING:
    from streamrec.announce import AfterSettings
    from streamrec.tunefile import Tuned

# Everything that is slow to import (OpenCV, ONNX Runtime, torch) is imported where it is used: --help is quick.

# So begin the names of the threads that read sources and settings, and of those that look at pictures.
READING = ("capture ", "read ", "look")
_SLOW = ("train", "crossval")  # one step of theirs may take long, and what was learned is written at the end
_LONG_PATIENCE = 120.0  # seconds
_LARGEST = 1e9  # of any number of an option
CUT_OFF = 3  # exit code where a recording was cut off, damaged, or lost on the way
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it
HUNG_UP = 129  # after the terminal was closed
app = typer.Typer(
    name="streamrec",
    help="Watches a camera and says what is happening, now.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete(what: str) -> Any:
    """Completion by a function of streamrec/completion.py, imported when a shell asks."""

    def complete(incomplete: str) -> list[str]:
        from streamrec import completion

        found: list[str] = getattr(completion, what)(incomplete)
        return found

    return complete


class EngineName(StrEnum):
    """What runs a model."""

    auto = "auto"
    onnx = "onnx"
    torch = "torch"


class RecordOrder(StrEnum):
    """Which label comes when."""

    mixed = "mixed"
    by_label = "by-label"


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
    typer.Option(min=1, max=int(limits.THREADS.high), help="Of one step; by default what suits the model."),
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
        min=limits.GIGABYTES.low,
        max=limits.GIGABYTES.high,
        help="The oldest of it goes when there is more.",
    ),
]
Show = Annotated[
    bool | None, typer.Option("--show/--no-show", help="A window; by default where there is a display.")
]


def main() -> None:
    """Run the command line; a user's mistake gets one sentence and exit code 2, Ctrl-C ends with 130.

    A closed terminal ends with 129, what nobody foresaw with 1. ``STREAMREC_DEBUG=1`` shows where the latter was.
    """
    # Read by OpenCV when it opens its first video: FFmpeg's own messages would hide ours.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    _open_streams()
    from streamrec.core.redact import RedactingStream
    from streamrec.errors import StreamrecError

    _hide_passwords()
    if secrets := _secrets_given():  # whoever echoes what was typed, down to a traceback, echoes no password
        sys.stderr = RedactingStream(sys.stderr, secrets)
    sys.excepthook = lambda kind, error, trace: _tell_unforeseen(error)
    threading.excepthook = lambda failed: _tell_unforeseen(failed.exc_value or failed.exc_type())
    ended_by = _heed_signals()
    try:
        app()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
    except StreamrecError as error:
        _tell(str(error))
        code = 2
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # | head
        code = 1
    except ImportError as error:
        _tell(_what_is_missing(error))
        code = 2
    except OSError as error:
        from streamrec.core.files import why

        named = error.filename if error.filename is not None else "a file or standard output"
        _tell(f"{os.fsdecode(named) if isinstance(named, str | bytes) else named}: {why(error)}")
        _show_where(error)
        code = 2
    except Exception as error:  # the last line of defence: no traceback for a person
        _tell_unforeseen(error)
        code = 1
    if code == INTERRUPTED and "SIGHUP" in ended_by:
        code = HUNG_UP
    _leave(code)


def _heed_signals() -> list[str]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does; where somebody said not to (nohup), that holds.

    The names of those that came stand in the list.
    """
    came: list[str] = []

    def end(number: int, frame: Any) -> None:
        came.append(signal.Signals(number).name)
        _interrupt()

    with contextlib.suppress(ValueError):  # not in the main thread
        before = signal.signal(signal.SIGTERM, end)
        hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
        if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
            signal.signal(hang_up, end)
        if before is not None:  # or else it is not Python's process
            slow = sys.argv[1:2] and sys.argv[1] in _SLOW
            ending.watch_over(_interrupt, _LONG_PATIENCE if slow else ending.PATIENCE)
    return came


def _interrupt() -> None:
    ending.heard()
    raise KeyboardInterrupt


def _open_streams() -> None:
    """Standard streams that can be written to, whatever was closed, and whatever letters they know.

    A number that is closed is taken by /dev/null: else the next file that is opened would get it, and with it
    what some library prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            mode = "r" if name == "stdin" else "w"
            nothing = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 (for all the time)
            setattr(sys, name, nothing)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # cp1252 has no letters for all names


def _tell(sentence: str) -> None:
    """The one sentence of an error; it is no matter where nobody reads it."""
    from streamrec.core.redact import redact
    from streamrec.core.text import printable

    with contextlib.suppress(OSError, ValueError):
        typer.echo(f"streamrec: {printable(redact(sentence))}", err=True)


def _tell_unforeseen(error: BaseException) -> None:
    """What nobody foresaw, in one sentence; with STREAMREC_DEBUG=1 also where."""
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return
    said = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError):
        _tell("there is not enough memory for this; give it smaller pictures, or more memory")
    else:
        _tell(
            f"this is a fault of streamrec itself ({type(error).__name__}{': ' if said else ''}{said}); please report "
            "it, with what STREAMREC_DEBUG=1 in the environment shows"
        )
    _show_where(error)


def _for_terminal(text: object) -> str:
    """A text of several lines, of which some may name files and labels, as a terminal may have it."""
    from streamrec.core.text import printable

    return "\n".join(map(printable, str(text).split("\n")))


def _echo_utf8(line: str) -> None:
    """A line for a program: UTF-8, whatever letters the terminal knows."""
    typer.echo(line.encode("utf-8", "backslashreplace"))


def _show_where(error: BaseException) -> None:
    if os.environ.get("STREAMREC_DEBUG", "") in ("", "0"):
        return

    from streamrec.core.redact import redact

    with contextlib.suppress(OSError, ValueError):
        typer.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)


def _what_is_missing(error: ImportError) -> str:
    """What to install: a package that is not there, or what OpenCV needs of the system."""
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("streamrec."):
        package = error.name.partition(".")[0]
        return f"{package} is not installed; pip install {_PACKAGES.get(package, package)}"
    if re.search(r"lib(GL|gthread|glib)\b", str(error)):
        return f"{error}; on Debian: apt-get install libgl1 libglib2.0-0"
    return f"{error}; `streamrec doctor` says what works here and what to install"


# Packages that are not installed by the name that they are imported by.
_PACKAGES = {"cv2": "opencv-python", "onnx_ir": "onnx-ir", "PIL": "pillow", "paho": "paho-mqtt"}


def _shown(argument: str) -> str:
    """An argument as others may see it: an address, or ``--option=address``."""
    from streamrec.core.redact import redact_address

    option, equals, value = argument.partition("=")
    if argument.startswith("-") and equals:
        return f"{option}={redact_address(value)}"
    return redact_address(argument)


def _secrets_given() -> list[str]:
    """Passwords and keys on the command line."""
    from streamrec.core.redact import secrets_of

    found: list[str] = []
    for argument in sys.argv[1:]:
        if _shown(argument) != argument:
            found += secrets_of(argument.partition("=")[2] if argument.startswith("-") else argument)
    return found


def _hide_passwords() -> None:
    """Take passwords out of what a list of processes shows of this one: on Linux, from now on."""
    secret = [argument for argument in sys.argv[1:] if _shown(argument) != argument]
    if not secret or not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # where the arguments lie, each ended by a zero
        held = ctypes.string_at(start, end - start)
        for argument in secret:
            written, shown = os.fsencode(argument), os.fsencode(_shown(argument))
            at = held.find(b"\0" + written + b"\0")
            if at >= 0:
                ctypes.memmove(start + at + 1, shown.ljust(len(written), b"\0"), len(written))


def _leave(code: int) -> NoReturn:
    """End the process; not by Python's own way where a thread still waits for a silent camera, for that may crash."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # what it still holds would be tried again, and that would be told
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if any(thread.name.startswith(READING) for thread in threading.enumerate()):
        os._exit(code)
    sys.exit(code)


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


class _WithPage(TyperCommand):
    """A command whose ``--web`` may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
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
    from streamrec.serve.access import Access
    from streamrec.serve.web import WebSettings, parse_address

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


@app.command(cls=_WithPage)
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
        typer.Option(min=0.0, max=limits.SECONDS.high, help="Stop after so many seconds of stream."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=limits.FPS.low, max=limits.FPS.high, help="Another rhythm than the model learned."),
    ] = None,
    still: Annotated[
        float | None,
        typer.Option(
            min=limits.STILL.low,
            max=limits.STILL.high,
            help="Look at a picture that stands still only every so many seconds.",
        ),
    ] = None,
    retries: Annotated[
        int,
        typer.Option(
            min=-1,
            max=int(limits.RETRIES.high),
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
    from streamrec.checkpoint import model_file
    from streamrec.core.files import keep_inputs
    from streamrec.health import amiss
    from streamrec.recognizer import Recognizer
    from streamrec.resolve import Running, of_run
    from streamrec.sinks import files_of_video, why_no_display
    from streamrec.sources import file_of, open_source
    from streamrec.terminal import play
    from streamrec.threads import settle

    settle()
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


def _files_of_sinks(sinks: list[str] | None) -> list[Path]:
    """The files that --sink names."""
    return [Path(use.rpartition(":")[0]) for use in sinks or () if use.rpartition(":")[0].endswith(".py")]


def _after_options(
    history: Path | None,
    evidence: Path | None,
    privacy: str | None,
    sinks: list[str] | None,
    record: Path | None,
    record_pictures: str,
    record_gb: float,
) -> dict[str, Any]:
    """For ``AfterSettings.with_options``."""
    return {
        "history": history,
        "evidence": evidence,
        "privacy": privacy,
        "sinks": sinks or (),
        "record": record,
        "record_pictures": record_pictures,
        "record_gb": record_gb,
    }


def _after_events(file: Path | None, options: dict[str, Any]) -> AfterSettings:
    """What is to happen after an event: as the file says, and what the command line says in its place."""
    from streamrec.announce import AfterSettings
    from streamrec.watchfile import read_after

    settings = AfterSettings()
    if file is not None:
        read = read_after(file, os.environ)
        for said in read.too_open():
            typer.echo(said, err=True)
        settings = AfterSettings.of(read)
    return settings.with_options(**options)


def _tuned(context: typer.Context, config: Path | None) -> Tuned:
    """What the file says, less what was said on the command line."""
    from streamrec.tunefile import KEYS, Tuned, read_tuned

    if config is None:
        return Tuned()
    sources = {key: context.get_parameter_source(key) for key in KEYS}
    said = [key for key, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return replace(read_tuned(config), **dict.fromkeys(said))


@app.command(cls=_WithPage)
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
        float | None, typer.Option(min=0.0, max=limits.SECONDS.high, help="Stop after so many seconds.")
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
    from streamrec.threads import settle
    from streamrec.watch import WatchJob

    settle()
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


@app.command()
def access(
    file: Annotated[Path, typer.Argument(help="The file to write or add to; nobody else may read it.")],
    token: Annotated[
        bool, typer.Option("--token", help="Add a token for programs, and say it once.")
    ] = False,
) -> None:
    """Make the file that says who may look at the page: a password, or a token for programs.

    The password is asked for twice, or read from standard input. Only hashes are stored.

    \b
    Examples:
      streamrec access page.access
      streamrec access page.access --token
    """
    from streamrec.serve.access import add_line, hash_password, make_token

    if token:
        made, line = make_token()
        add_line(file, line)
        typer.echo(f"the token, which is shown this once: {made}", err=True)
        return
    if sys.stdin.isatty():
        word = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        word = sys.stdin.readline().rstrip("\r\n")
    add_line(file, hash_password(word))
    typer.echo(f"{file}: a password was set", err=True)


@app.command()
def events(
    file: Annotated[
        Path, typer.Argument(help="The history, or the cameras.toml that names one in [history].")
    ] = Path("cameras.toml"),
    since: Annotated[
        str | None, typer.Option(help="30m, 2h, 7d (ago), 2026-11-26 or 2026-11-26T14:30 (time here).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="The same; events that begin before it.")] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(help="Only this camera; may be given again.", autocompletion=_complete("cameras")),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Only this action; may be given again.", autocompletion=_complete("labels")),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The newest so many; by default 50, and all with a time.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table with commas, and a head line.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")
    ] = False,
) -> None:
    """List what happened, from the history that watch and run keep; while they run, too.

    \b
    Examples:
      streamrec events --since 2h --camera door --label fight
      streamrec events events.db --since 2026-11-01 --until 2026-12-01 --csv > november.csv
      streamrec events --follow --json
    """
    from streamrec.errors import StreamrecError
    from streamrec.eventlist import EventList

    if as_json and as_csv:
        raise StreamrecError("--json and --csv: give one of them")
    EventList(
        file=file,
        since=since,
        until=until,
        cameras=tuple(camera or ()),
        labels=tuple(label or ()),
        limit=limit,
        form="json" if as_json else "csv" if as_csv else "text",
        follow=follow,
    ).run(_echo_utf8 if as_json or as_csv else lambda line: typer.echo(_for_terminal(line)))


@app.command()
def replay(
    folder: Annotated[Path, typer.Argument(help="What --record wrote; of several recordings the newest.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Another model's name or file than was recorded.",
            autocompletion=_complete("models"),
        ),
    ] = None,
    engine: Annotated[EngineName | None, typer.Option(help="Another engine than was recorded.")] = None,
) -> None:
    """Do again what a recording holds, and say whether every prediction is the same, bit for bit.

    Ends with 1 and the first difference where one is not: another model, another engine, another version.

    \b
    Examples:
      streamrec run rtsp://192.168.1.20/stream1 --record flight/
      streamrec replay flight/
      streamrec replay flight/ --engine torch
    """
    from streamrec import threads
    from streamrec.flight import load_recorded
    from streamrec.flight import replay as again
    from streamrec.recognizer import Recognizer

    def load(name: str, recorded_by: str) -> Recognizer:
        by = recorded_by if engine is None else engine.value
        return load_recorded(name, by) if model is None else Recognizer.load(model, engine=by)

    threads.settle()
    found = again(folder, load)
    for note in found.notes:
        typer.echo(_for_terminal(note), err=True)
    unseen = f", {found.unseen} more have no picture" if found.unseen else ""
    typer.echo(f"{found.frames} frames in {found.steps} steps done again{unseen}")
    typer.echo(
        _for_terminal(f"the first difference: {found.difference}")
        if found.difference
        else "the same, bit for bit"
    )
    raise typer.Exit(0 if found.difference is None else 1)


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
    from streamrec.terminal import play

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


@app.command()
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
    from streamrec.record import RecordJob

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


class _Grouped(TyperCommand):
    """A command whose help lists its options under headings, by their ``rich_help_panel``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
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


class Stages(StrEnum):
    """What learns when."""

    whole = "whole"
    staged = "staged"
    head = "head"


class Precision(StrEnum):
    """What the forward pass calculates with."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def _set(panel: str, text: str, default: str | None = None, *names: str, **more: Any) -> Any:
    """An option of ``train``; None is what the recipe says, or else ``default``, which only the help reads."""
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=default or False, **more)


@app.command(cls=_Grouped)
def train(
    data: Annotated[
        list[str],
        typer.Argument(help="A folder with one folder a label, a CSV (clip,label,group), or synthetic."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The model file to write; by default DATA.safetensors.")
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            "--run", help="The folder for what is told of the run; by default beside the model, .run."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Named settings, as a model's card has them; options go before it.")
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.5,
            help="Part of the groups kept back to measure on at the end; by default 0.2, of one group 0.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all chance: the same gives the same model.")] = 0,
    about: Annotated[str | None, typer.Option(help="One sentence that is kept in the model.")] = None,
    relabel: Annotated[
        str, typer.Option(help="Other names for labels of the data, OLD=NEW with commas between; * is any.")
    ] = "",
    background: Annotated[
        list[str] | None,
        typer.Option(
            help="Footage in which nothing happens, played between the clips: videos, folders of them."
        ),
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0.01, help="With synthetic as data: how much of that world to learn from.")
    ] = 1.0,
    world: Annotated[
        str | None,
        typer.Option(
            help="Learn from scenes of a synthetic world too: scuffle, falls, workout, finger.",
            autocompletion=_complete("worlds"),
        ),
    ] = None,
    scenes: Annotated[int | None, typer.Option(min=1, help="How many scenes of it.")] = None,
    count: Annotated[str, typer.Option(help="Labels whose repetitions are counted, commas between.")] = "",
    encoder: Annotated[
        str | None, _set("Model", "motion, or any CNN of torchvision or timm by its name.", "motion")
    ] = None,
    weights: Annotated[
        str | None,
        _set(
            "Model",
            "Start from imagenet, a shipped model's encoder (fight), or a .safetensors file.",
            autocompletion=_complete("weights"),
        ),
    ] = None,
    size: Annotated[str | None, _set("Model", "What the model looks at, WIDTHxHEIGHT.", "80x64")] = None,
    fps: Annotated[
        float | None, _set("Model", "The rhythm to learn, in frames a second.", "10", min=0.5)
    ] = None,
    head: Annotated[str | None, _set("Model", "lstm, gru or attention.", "lstm")] = None,
    hidden: Annotated[int | None, _set("Model", "Size of the head's memory.", "128", min=1)] = None,
    dropout: Annotated[
        float | None, _set("Model", "Of the features before the labels.", "0.4", min=0.0, max=0.9)
    ] = None,
    steps: Annotated[int | None, _set("Learning", "How many batches to learn from.", "1500", min=1)] = None,
    soup: Annotated[
        int | None,
        _set("Learning", "Models that learn from --weights one after the other, to be averaged.", "1", min=1),
    ] = None,
    streams: Annotated[int | None, _set("Learning", "Streams in a batch.", "16", min=1)] = None,
    window: Annotated[int | None, _set("Learning", "Frames of a stream in a batch.", "24", min=1)] = None,
    learning_rate: Annotated[float | None, _set("Learning", "AdamW's highest.", "0.002", min=0.0)] = None,
    weight_decay: Annotated[float | None, _set("Learning", "AdamW's, for matrices.", "0.02", min=0.0)] = None,
    label_smoothing: Annotated[
        float | None, _set("Learning", "How much doubt to learn with every label.", "0.05", min=0.0, max=0.5)
    ] = None,
    class_balance: Annotated[
        float | None,
        _set("Learning", "1: a rare label weighs as much as a common one.", "0", min=0.0, max=1.0),
    ] = None,
    flip: Annotated[
        bool | None, _set("Learning", "Mirror at random; not where left and right differ.", "flip")
    ] = None,
    variation: Annotated[
        float | None,
        _set("Learning", "How much recordings are varied; 0 not at all.", "1", min=0.0, max=2.0),
    ] = None,
    carry: Annotated[
        float | None,
        _set("Learning", "Part of the clips that follow the one before as a cut.", "0.25", min=0.0, max=1.0),
    ] = None,
    patience: Annotated[
        int | None,
        _set("Learning", "Stop after so many evaluations without a better one; keep the best.", min=1),
    ] = None,
    evaluate_every: Annotated[
        int | None, _set("Learning", "Steps from one evaluation to the next.", "100", min=1)
    ] = None,
    stages: Annotated[
        Stages | None,
        _set("Transfer", "whole: all learns; staged: first what is on the trunk; head: it alone.", "whole"),
    ] = None,
    unfreeze: Annotated[
        float | None,
        _set(
            "Transfer",
            "Staged: part of the steps before the trunk learns; 1 is never.",
            "0.5",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    trunk_rate: Annotated[
        float | None,
        _set("Transfer", "Staged: its learning rate, as a part of the others'.", "0.1", min=0.0, max=1.0),
    ] = None,
    freeze_norm: Annotated[
        bool | None, _set("Transfer", "Leave the trunk's batch norms as they are.", "no-freeze-norm")
    ] = None,
    device: Annotated[str, _set("Machine", "cpu, cuda, cuda:1, ... or auto.", "auto")] = "auto",
    precision: Annotated[
        Precision | None, _set("Machine", "auto is what the device is fast with.", "auto")
    ] = None,
    threads: Annotated[int | None, _set("Machine", "CPU threads for torch.", min=1)] = None,
) -> None:
    """Train a model on own clips, and write it with a folder that shows how it went.

    A run that is stopped goes on where it was when the same command is given again. docs/training.md explains
    every option.

    \b
    Examples:
      streamrec train my_clips/
      streamrec train my_clips/ --weights fight --out mine.safetensors
      streamrec train my_clips/ --background quiet_evening.mp4
      streamrec train clips.csv --encoder efficientnet_lite0 --weights imagenet --size 160x160 --stages staged
      streamrec train synthetic --hours 2 --out figures.safetensors
      torchrun --nproc-per-node 2 -m streamrec train my_clips/
    """
    from streamrec.core.reading import path_of
    from streamrec.errors import DataError
    from streamrec.synthetic import LABELS
    from streamrec.train.data import find_clips
    from streamrec.train.job import TrainJob
    from streamrec.train.recipes import Recipe, choose_recipe, find_recipe, put_together
    from streamrec.transforms import Transform

    if out is None:
        out = Path(f"{path_of(data[0]).resolve().stem}.safetensors")
        if out.exists():
            raise DataError(f"{out} is there already; say with --out where the new model goes")
    shape = None if size is None else _parse_size(size)
    model = {
        "encoder": encoder,
        "transform": None if shape is None else Transform(width=shape[0], height=shape[1]),
        "fps": fps,
        "head": head,
        "hidden_size": hidden,
        "counted": tuple(_names(count)) or None,
        "dropout": dropout,
        "about": about,
    }
    learning = {
        "steps": steps,
        "soup": soup,
        "streams": streams,
        "window": window,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "class_balance": class_balance,
        "carry": carry,
        "patience": patience,
        "evaluate_every": evaluate_every,
        "stages": None if stages is None else stages.value,
        "unfreeze": unfreeze,
        "trunk_rate": trunk_rate,
        "freeze_norm": freeze_norm,
        "precision": None if precision is None else precision.value,
        "device": device,
        "seed": seed,
    }
    notes = []
    if data != ["synthetic"]:
        clips = find_clips(
            data, relabel=_parse_changes(relabel) or (find_recipe(recipe).relabel if recipe else {})
        )
        if recipe is None and world is None:
            recipe, why = choose_recipe(clips)
            notes.append(why)
        if hold_out is None and len({clip.group for clip in clips}) == 1:
            hold_out = 0.0
            notes.append("all clips are of one group, so nothing is held out and nothing is measured")
    hold_out = 0.2 if hold_out is None else hold_out
    made_by = find_recipe(recipe) if recipe else Recipe(about="")
    world = world or made_by.world
    if world is not None and world not in LABELS:
        raise DataError(f"--world {world}: the synthetic worlds are {', '.join(LABELS)}")
    config, settings, start = put_together(
        recipe,
        weights=weights,
        config={name: value for name, value in model.items() if value is not None},
        settings={name: value for name, value in learning.items() if value is not None},
        flip=flip,
        variation=variation,
    )
    TrainJob(
        data=tuple(data),
        out=out,
        config=config,
        relabel=_parse_changes(relabel) or made_by.relabel,
        background=tuple(background or ()),
        world=world,
        scenes=scenes or made_by.scenes,
        settings=settings,
        weights=start,
        hold_out=hold_out,
        hours=hours,
        folder=run_folder,
        threads=threads,
        notes=tuple(notes),
    ).run()


@app.command("eval")
def evaluate(
    model: Annotated[
        str, typer.Argument(help="A shipped model's name, or a file.", autocompletion=_complete("models"))
    ],
    data: Annotated[str, typer.Argument(help="As for train: a folder, a CSV, or synthetic.")],
    hold_out: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Measure only on the part that train kept back; 0 is all.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The seed that train had.")] = 0,
    relabel: Annotated[
        str, typer.Option(help="Other names for labels of the data, OLD=NEW with commas between.")
    ] = "",
    stream: Annotated[
        bool, typer.Option("--stream", help="Also play all clips as one endless stream, the state carried.")
    ] = False,
    source_fps: Annotated[
        str | None,
        typer.Option(help="Also play the files thinned to these frame rates; synthetic: its frame rates."),
    ] = None,
    drop: Annotated[
        str | None,
        typer.Option(help="Also play with this part of the frames lost; more with commas between."),
    ] = None,
    streams: Annotated[int, typer.Option(min=1, help="For synthetic: how many streams.")] = 6,
    seconds: Annotated[float, typer.Option(min=1.0, help="For synthetic: how long each.")] = 60.0,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a model by playing files, or the synthetic world, through the loop that serves cameras.

    \b
    Examples:
      streamrec eval fight clips/
      streamrec eval mine.safetensors clips.csv --hold-out 0.2
      streamrec eval mine.safetensors clips.csv --stream --source-fps 30,15,10,7.5 --drop 0.3
      streamrec eval synthetic synthetic --source-fps 30,15,10
    """
    from streamrec.errors import DataError
    from streamrec.recognizer import Recognizer
    from streamrec.train.evaluate import (
        evaluate_carried,
        evaluate_clips,
        evaluate_robustness,
        evaluate_world,
    )
    from streamrec.train.tables import text_of

    rates = (
        None if source_fps is None else _parse_numbers(source_fps, "--source-fps", "frame rates", "30,15,10")
    )
    drops = [] if drop is None else _parse_numbers(drop, "--drop", "parts", "0.1,0.3")
    if any(part >= 1.0 for part in drops):
        raise DataError(f"--drop {drop}: give parts of the frames, under 1")
    changed = _parse_changes(relabel)
    if data == "synthetic" and (stream or drops or changed):
        raise DataError("--stream, --drop and --relabel are for files; synthetic is measured without them")
    recognizer = Recognizer.load(model, engine=engine.value, device=device)
    reports: list[Any] = []
    if data == "synthetic":
        rates = rates or [30.0, 15.0, 10.0]
        with _progress("streams", len(rates) * streams) as tell:
            for n, rate in enumerate(rates):
                reports.append(
                    evaluate_world(
                        recognizer, fps=rate, streams=streams, seconds=seconds, tell=_after(tell, n * streams)
                    )
                )
    else:
        from streamrec.train.data import find_clips, held_out

        clips = find_clips(data, relabel=changed, tell=lambda text: typer.echo(text, err=True))
        if hold_out:
            clips = held_out(clips, part=hold_out, seed=seed)[1]
        conditions: dict[str, Any] = {"source_fps": [None, *(rates or [])], "drops": [0.0, *drops]}
        robust = bool(rates or drops)
        played = 1 + 2 * stream
        times = played + robust * len(conditions["source_fps"]) * len(conditions["drops"])
        with _progress("clips", times * len(clips)) as tell:
            reports += evaluate_clips(recognizer, clips, tell=tell)
            if stream:
                reports += evaluate_carried(recognizer, clips, seed=seed, tell=_after(tell, len(clips)))
            if robust:
                told = _after(tell, played * len(clips))
                reports.append(evaluate_robustness(recognizer, clips, **conditions, seed=seed, tell=told))
    if as_json:
        typer.echo(json.dumps([report.to_dict() for report in reports], indent=2))
    else:
        typer.echo(_for_terminal("\n\n".join(text_of(report) for report in reports)))


@app.command()
def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            help="A shipped model's name, or a .safetensors file.", autocompletion=_complete("models")
        ),
    ],
    background: Annotated[
        list[str],
        typer.Option(help="Footage in which nothing happens: a video, a folder of them; may be given again."),
    ],
    max_false_alarms: Annotated[
        str, typer.Option(help="How many are allowed, all labels together: 1/day, 2/hour, 1/week.")
    ] = "1/day",
    actions: Annotated[
        str | None, typer.Option(help="True actions, as for eval: tells what is missed.")
    ] = None,
    relabel: Annotated[
        str, typer.Option(help="Other names for labels of the actions, OLD=NEW with commas between.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the model with these thresholds here.")
    ] = None,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit a model's thresholds to a place: on footage of it in which nothing happens.

    Says how many false alarms are to be expected, how many actions are missed for it, and how much footage that
    rests on. The thresholds are printed for cameras.toml, or written into a model of its own with --out.

    \b
    Examples:
      streamrec calibrate fight --background quiet_nights/ --max-false-alarms 1/day
      streamrec calibrate fight --background yard.mp4 --actions fights.csv --out yard.safetensors
    """
    from streamrec.checkpoint import model_file, save_with
    from streamrec.core.files import keep_inputs
    from streamrec.errors import ModelError
    from streamrec.health import amiss
    from streamrec.recognizer import Recognizer
    from streamrec.train import calibrate as contracts
    from streamrec.train.data import find_clips
    from streamrec.train.evaluate import play_clips

    if out is not None and out.suffix != ".safetensors":
        raise ModelError(f"{out}: the file to write ends in .safetensors")
    read = [model_file(model), *map(Path, background), None if actions is None else Path(actions)]
    keep_inputs({"--out": out}, read)
    per_hour = contracts.parse_rate(max_false_alarms)
    recognizer = Recognizer.load(model, engine=engine.value, device=device)
    sources = contracts.footage_of(background, recognizer)
    clips = [] if actions is None else find_clips(actions, relabel=_parse_changes(relabel))
    with _progress("recordings", len(sources)) as tell:
        footage = []
        for done, source in enumerate(sources, 1):
            footage.append(contracts.hear(recognizer, source))
            if (why := amiss(source)) is not None:
                typer.echo(f"left out: {source.name} in part: {why}", err=True)
            tell(done)
    with _progress("clips", len(clips)) as tell:
        played, unreadable = play_clips(recognizer, clips, tell=tell)
    for reason in unreadable:
        typer.echo(_for_terminal(f"left out: {reason}"), err=True)
    contract = contracts.calibrate(
        footage, recognizer.labels, recognizer.config.events, per_hour=per_hour, actions=played
    )
    typer.echo(
        json.dumps(contract.to_dict(), indent=2) if as_json else _for_terminal(contracts.text_of(contract))
    )
    lines = contracts.toml_of(contract)
    if out is not None:
        try:
            save_with(model, out, events=contract.settings)
        except ModelError:  # what was measured is not lost with it
            if lines:
                typer.echo(f"\nFor cameras.toml, below the camera that it is for:\n\n{lines}", err=True)
            raise
        if not as_json:
            typer.echo(f"\nwrote {out}")
    elif lines and not as_json:
        typer.echo(f"\nFor cameras.toml, below the camera that it is for:\n\n{lines}")


@app.command()
def familiar(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a .safetensors file.")],
    data: Annotated[
        list[str], typer.Argument(help="What it learned from, as for train; or videos of a place.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    strangest: Annotated[
        float | None,
        typer.Option(min=0.0, help="Strangeness above which no action starts: 1 is the border, 0 is off."),
    ] = None,
) -> None:
    """Tell a model which pictures it knows, so that it can say of others that they are unknown.

    The network stays as it is, to the bit. What train writes knows already what it learned from.

    \b
    Examples:
      streamrec familiar mine.safetensors my_clips/ --out mine-again.safetensors
      streamrec familiar fight yard_by_day.mp4 yard_by_night.mp4 --strangest 1 --out yard.safetensors
    """
    from streamrec.checkpoint import model_file, read_checkpoint, save_with
    from streamrec.core.files import keep_inputs
    from streamrec.errors import ModelError
    from streamrec.train.known import known_of, recordings_of

    if out.suffix != ".safetensors":
        raise ModelError(f"{out}: the file to write ends in .safetensors")
    keep_inputs({"--out": out}, [model_file(model), *data])
    config = read_checkpoint(model).config
    recordings, unreadable = recordings_of(data, config)
    for reason in unreadable:
        typer.echo(_for_terminal(f"left out: {reason}"), err=True)
    known = known_of(recordings, config.fps)
    events = config.events if strangest is None else replace(config.events, strangest=strangest)
    save_with(model, out, known=known, events=events)
    groups = len({recording.group for recording in recordings})
    typer.echo(
        f"wrote {_for_terminal(out)}: it knows the pictures of {len(recordings)} recordings, {groups} groups"
    )
    if groups < 2:
        typer.echo(
            "one group alone says little of what else is to be expected; give several places or days",
            err=True,
        )


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def crossval(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="As for train: folders and CSV files. They come first.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder for the folds and the report.")],
    beside: Annotated[
        list[str] | None,
        typer.Option(help="Data that each fold learns from and none is measured on; may be given again."),
    ] = None,
    folds: Annotated[str, typer.Option(help="How many, or group: each group is held out once.")] = "5",
    seeds: Annotated[str, typer.Option(help="Of the training; each trains all folds.")] = "0",
    fold_seed: Annotated[int, typer.Option(min=0, help="How groups fall into folds.")] = 0,
    baselines: Annotated[bool, typer.Option(help="Measure the baselines beside the model.")] = True,
    frozen: Annotated[
        str | None,
        typer.Option(help="Baselines on this encoder with ImageNet weights too, like efficientnet_lite0."),
    ] = None,
    relabel: Annotated[str, typer.Option(help="As for train; by default as the recipe has it.")] = "",
) -> None:
    """Train and measure on folds that share no group; all other options are those of train.

    A run that is stopped goes on where it was when the same command is given again. What was said of each frame,
    report.json and report.md are in the folder.

    \b
    Examples:
      streamrec crossval clips.csv --out folds/
      streamrec crossval clips.csv --out folds/ --folds group --seeds 0,1,2
      streamrec crossval clips.csv more.csv --out folds/ --beside street/
    """
    from streamrec.checkpoint import load_model
    from streamrec.core.files import keep_inputs
    from streamrec.errors import DataError
    from streamrec.train.crossval import CrossValidation, cross_validate, files_in, markdown_of, write_index
    from streamrec.train.data import find_clips, grouped_with
    from streamrec.train.recipes import Recipe, choose_recipe, find_recipe

    more = list(takewhile(lambda word: not word.startswith("-"), context.args))
    options = context.args[len(more) :]
    if data.startswith("-") or "synthetic" in (data, *more):
        raise DataError(f"crossval {data}: first give a folder of clips or a CSV, then the options")
    if any(option.partition("=")[0] in ("--seed", "--hold-out") for option in options):
        raise DataError("crossval takes --seeds and --folds in place of --seed and --hold-out")
    if folds != "group" and not folds.isdecimal():
        raise DataError(f"--folds {folds}: give a number, or group")
    if not all(part.strip().isdecimal() for part in seeds.split(",")):
        raise DataError(f"--seeds {seeds}: give whole numbers with commas between, like 0,1,2")
    assert context.parent is not None
    commands: Any = context.parent.command
    learn = commands.get_command(context.parent, "train")
    # What is wrong with an option of train is said now.
    given = learn.make_context(
        "train", [data, *more, "--out", "model.safetensors", *options], parent=context.parent
    ).params
    own = (
        "data",
        "out",
        "run_folder",
        "seed",
        "hold_out",
        "threads",
        "device",
    )  # they do not change the model
    notes = []  # said when the first fold begins: all that is asked for is possible then
    if given["recipe"] is None and given["world"] is None:  # one for all folds
        chosen, why = choose_recipe(find_clips([data, *more], relabel=_parse_changes(relabel)))
        notes.append(why)
        options, given["recipe"] = ["--recipe", chosen, *options], chosen
    recipe = {name: value for name, value in given.items() if name not in own}

    def train_fold(learned: list[Any], measured: list[Any], number: int, folder: Path) -> Any:
        while notes:
            typer.echo(notes.pop(), err=True)
        model = folder / "model.safetensors"
        if not model.exists():  # it does when the run was stopped while it was measured
            index = write_index(learned, folder / "learned.csv")
            words = [str(index), "--out", str(model), *options, "--hold-out", "0", "--seed", str(number)]
            with learn.make_context("train", words, parent=context.parent) as this:
                learn.invoke(this)
        return load_model(str(model))

    made_by = find_recipe(given["recipe"]) if given["recipe"] else Recipe(about="")
    changed = _parse_changes(relabel) or made_by.relabel
    clips = find_clips([data, *more], relabel=changed, tell=lambda text: typer.echo(text, err=True))
    aside = find_clips(beside, relabel=changed, least=1) if beside else []
    aside = grouped_with(clips, aside, tell=lambda text: typer.echo(text, err=True))
    read = [data, *more, *(beside or ()), *(clip.path for clip in (*clips, *aside))]
    keep_inputs({"--out": [out, *files_in(out)]}, read)
    report = cross_validate(
        clips,
        train_fold,
        out,
        CrossValidation(
            folds=None if folds == "group" else int(folds),
            seeds=tuple(int(part) for part in seeds.split(",")),
            fold_seed=fold_seed,
            baselines=baselines,
            frozen=frozen,
        ),
        beside=aside,
        recipe=json.loads(json.dumps(recipe, default=str)),
        tell=lambda text: typer.echo(_for_terminal(text), err=True),
    )
    typer.echo(_for_terminal(markdown_of(report)))


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A shipped model's name, or a .safetensors file.", autocompletion=_complete("models")
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx or .safetensors file to write.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Convolutions in 8 bits; it says what that gains and loses.")
    ] = False,
    calibrate: Annotated[
        str | None, typer.Option(help="With --int8: clips as for train, or a folder of videos.")
    ] = None,
) -> None:
    """Write a model as one .onnx file: weights, labels and settings in it, the state as inputs and outputs.

    It runs where torch is not installed. As .safetensors it is the same model again, its step graph exported by
    this version: a model that an older one wrote may be slower than it need be.

    With --int8 real frames tell the ranges. It pays for models with a large CNN, on processors that multiply bytes.

    \b
    Examples:
      streamrec export fight --out fight.onnx
      streamrec export workout --int8 --calibrate my_clips/ --out workout-int8.onnx
      streamrec export mine.safetensors --out quicker.safetensors
    """
    from streamrec.checkpoint import build_model, model_file, read_checkpoint, save_model
    from streamrec.core.files import keep_inputs
    from streamrec.errors import ModelError
    from streamrec.export import export_graph, export_onnx

    if out.suffix not in (".onnx", ".safetensors"):
        raise ModelError(f"{out}: the file to write ends in .onnx or .safetensors")
    keep_inputs({"--out": out}, [model_file(model), calibrate])
    if int8 != (calibrate is not None) or (int8 and out.suffix != ".onnx"):
        raise ModelError("--int8 and --calibrate CLIPS go together, and --out is a .onnx file then")
    if calibrate is not None:
        from streamrec.quantize import quantize

        videos = _videos(calibrate)
        keep_inputs({"--out": out}, videos)
        done = quantize(model, out, videos)
        typer.echo(
            f"on {done.frames} other frames: the same label for {100 * done.same:.1f} %, probabilities off by "
            f"{done.difference:.3f}; a step in {1000 * done.after:.2f} ms instead of {1000 * done.before:.2f}"
        )
        typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
        return
    checkpoint = read_checkpoint(model)
    if out.suffix == ".onnx":
        if checkpoint.config.is_own:  # nobody but its maker has the class
            export_graph(checkpoint.graph, checkpoint.weights, checkpoint.referred, checkpoint.config, out)
        else:
            export_onnx(build_model(checkpoint), out)
    else:
        save_model(out, build_model(checkpoint))
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def _videos(data: str) -> list[Path]:
    """The videos of a data set, or those that lie in a folder."""
    from streamrec.core.reading import path_of
    from streamrec.sources import VIDEO_ENDINGS
    from streamrec.train.data import find_clips

    folder = path_of(data)
    found = (
        sorted(p for p in folder.glob("*") if p.suffix.lower() in VIDEO_ENDINGS) if folder.is_dir() else []
    )
    return found or [clip.path for clip in find_clips(data, least=1)]


@app.command()
def bench(
    model: Model = DEFAULT_MODEL,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    threads: Threads = None,
    video: Annotated[
        Path | None, typer.Option(help="A video to measure on; by default the synthetic world as H.264.")
    ] = None,
    size: Annotated[str, typer.Option(help="Of the synthetic world's pictures, WIDTHxHEIGHT.")] = "1280x720",
    frames: Annotated[int, typer.Option(min=16, help="How many frames a round.")] = 90,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.5, help="How long a camera is watched.")] = 6.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what a frame costs here, stage by stage; sustained rates, latency, streams, memory and start.

    On a machine that does nothing else; other work shows in all of its numbers.

    \b
    Examples:
      streamrec bench
      streamrec bench --model mine.safetensors --engine torch --threads 2
      streamrec bench --video party.mp4 --json
    """
    from streamrec.bench import BenchSettings, run_bench, text_of

    report = run_bench(
        BenchSettings(
            model=model,
            engine=engine.value,
            device=device,
            threads=threads,
            video=video,
            size=_parse_size(size),
            frames=frames,
            rounds=rounds,
            seconds=seconds,
        ),
        tell=lambda text: typer.echo(f"{text} ...", err=True),
    )
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else _for_terminal(text_of(report)))


@app.command()
def tune(
    data: Annotated[
        str, typer.Argument(help="Labelled clips, as for train, or synthetic: a world of the model's labels.")
    ] = "synthetic",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="A shipped model's name, or a file; again for each to compare.",
            autocompletion=_complete("models"),
        ),
    ] = None,
    engine: Engine = EngineName.auto,
    cameras: Annotated[int, typer.Option(min=1, help="How many there are to be.")] = 1,
    size: Annotated[str, typer.Option(help="Of their pictures, WIDTHxHEIGHT.")] = "1280x720",
    camera_fps: Annotated[float, typer.Option(min=1.0, help="Their frames a second.")] = 30.0,
    fps: Annotated[
        str | None,
        typer.Option(help="Rhythms to try; by default the model's, 2/3, 1/2 and 1/3 of it."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of stream that each is played.")] = 120.0,
    relabel: Annotated[
        str, typer.Option(help="Other names for labels of the data, OLD=NEW with commas between.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the order of clips, or of the world.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("tuned.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose model, engine, threads and rhythm for this machine, and write them for run and watch.

    What counts is accuracy by the clock: at each moment what was said last, and was ready, is held against what is
    true then. A model's resolution is its own: give models of several sizes to choose among them.

    
    Examples:
      streamrec tune
      streamrec tune my_clips/ --model mine.safetensors --cameras 6
      streamrec tune clips.csv -m fight -m small.safetensors --fps 15,10,5 --out yard.toml
      streamrec watch cameras.toml --config yard.toml
    """
    from streamrec.checkpoint import model_file
    from streamrec.core.files import keep_inputs, replacing
    from streamrec.tune import TuneSettings, run_tune, text_of
    from streamrec.tunefile import toml_of

    keep_inputs({"--out": out}, [data, *map(model_file, model or ())])
    report = run_tune(
        TuneSettings(
            data=data,
            models=tuple(model or [DEFAULT_MODEL]),
            engines=() if engine is EngineName.auto else (engine.value,),
            cameras=cameras,
            size=_parse_size(size),
            camera_fps=camera_fps,
            rates=() if fps is None else tuple(_parse_numbers(fps, "--fps", "frame rates", "15,10,5")),
            seconds=seconds,
            relabel=tuple(_parse_changes(relabel).items()),
            seed=seed,
        ),
        tell=lambda text: typer.echo(f"{text} ...", err=True),
    )
    tuned = report.tuned
    if tuned.model is not None and Path(tuned.model).is_file():
        tuned = replace(tuned, model=str(Path(tuned.model).absolute()))
    why = f"streamrec tune: {text_of(report).splitlines()[0]}; {report.machine['processor']}"
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else _for_terminal(text_of(report)))
    try:
        with replacing(out, "w", encoding="utf-8") as file:
            file.write(toml_of(tuned, why))
    except OSError:  # it took minutes to find: nobody has to find it again
        typer.echo(f"\nWhat {out} would hold:\n\n{toml_of(tuned, why)}", err=True)
        raise
    typer.echo(f"{out}: streamrec run --config {out}, streamrec watch --config {out}", err=True)


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
        typer.echo(f"    {_for_terminal(config.about)}")
        typer.echo(f"    labels: {_for_terminal(', '.join(config.labels))}")


class SchemaName(StrEnum):
    """What a schema is of."""

    jsonl = "jsonl"
    event = "event"


@app.command()
def schema(
    of: Annotated[
        SchemaName,
        typer.Argument(
            help="jsonl: a line of --jsonl; event: what webhooks send, its data a line of events --json."
        ),
    ] = SchemaName.jsonl,
) -> None:
    """Print the JSON Schema of what streamrec writes, by which another program may check it.

    \b
    Examples:
      streamrec schema > jsonl.schema.json
      streamrec schema event
    """
    path = Path(__file__).parent / "schemas" / f"{of.value}.json"
    typer.echo(path.read_text(encoding="utf-8"), nl=False)


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
        typer.echo(f"{finding.what:16} {_for_terminal(finding.found)}")
    raise typer.Exit(1 if failed else 0)


@contextlib.contextmanager
def _progress(what: str, total: int) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from streamrec.train.progress import left, told_every

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console, begun, count = Console(stderr=True), time.monotonic(), 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)

        def tell(done: int) -> None:
            nonlocal count
            count = done
            progress.update(task, completed=done)

        def text() -> str:
            return f"{what}: {count} of {total}{left(count, total, time.monotonic() - begun)}"

        say = _first_of_many()
        with told_every(say, text, wanted=not console.is_terminal):
            yield tell


def _first_of_many() -> Callable[[str], None]:
    """To the terminal; of the processes of a torchrun only the first one speaks."""
    return lambda text: typer.echo(text, err=True) if os.environ.get("RANK", "0") == "0" else None


def _after(tell: Any, before: int) -> Any:
    """``tell``, where so many were done before."""
    return lambda done: tell(before + done)


class _Checked(TyperCommand):
    """A command whose numbers are numbers: NaN lies in each range, and infinity in many."""

    def invoke(self, ctx: Any) -> Any:
        parameter: Any
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            limit = _LARGEST if isinstance(value, float) else 2.0**63
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number and not -limit <= value <= limit:  # NaN fails both
                raise typer.BadParameter(f"{value} is no number that can be used", ctx, parameter)
        return super().invoke(ctx)


for _info in app.registered_commands:
    _base = _info.cls or TyperCommand
    _info.cls = type(_base.__name__, (_Checked, _base), {}) if _base is not TyperCommand else _Checked


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
