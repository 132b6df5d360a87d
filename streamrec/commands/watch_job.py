"""What ``streamrec watch`` does: the cameras of a file, recognized for as long as it runs."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamrec.commands.wording import describe, describe_health
from streamrec.core import process_end as ending
from streamrec.core.console import LineConsole
from streamrec.core.files import Output, keep_inputs
from streamrec.core.reading import shortened, why
from streamrec.core.redact import redact
from streamrec.core.text import printable
from streamrec.errors import SettingsError, SinkError
from streamrec.events.detector import EventSettings
from streamrec.nn.config import ModelConfig
from streamrec.notify.dispatcher import CommittedEvent, Dispatcher, DispatchSettings
from streamrec.outputs.json_lines import open_lines
from streamrec.pipeline.watcher import Camera, Watcher
from streamrec.runtime.checkpoint import model_file
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.cameras_file import CameraSettings, WatchFile
from streamrec.settings.resolve import InForce, check_defaults, events_of, notes_on, source_of
from streamrec.settings.toml import no_such_key
from streamrec.settings.tuned_file import Tuned
from streamrec.sources.open import file_of
from streamrec.types import ActionStarted, Event, Health, Result, Source, SourceState
from streamrec.web import live as showing

if TYPE_CHECKING:
    from streamrec.web.server import WebSettings

_TICK = 0.25  # seconds: how often the table is drawn and signals are looked for when no frame comes
_SWITCH_SECONDS = 0.0005  # that the thread which recognizes waits at most for one that reads settings
_POLL_SECONDS = 1.0  # between two looks at the file
_PATIENCE = 2.0  # seconds that the cameras' threads have to end
_OVER = (SourceState.ended, SourceState.failed)
_COLORS = {
    SourceState.connecting: "yellow",
    SourceState.live: "green",
    SourceState.stalled: "yellow",
    SourceState.reconnecting: "yellow",
    SourceState.ended: "bright_black",
    SourceState.failed: "red",
}


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """A camera made ready: what it takes to add it."""

    settings: CameraSettings
    source: Source
    recognizer: Recognizer
    events: EventSettings


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """What a file asks for, made ready beside what runs."""

    file: WatchFile
    after: DispatchSettings
    chosen: tuple[_Chosen, ...]  # the cameras that are new or other
    recognizers: dict[str, Recognizer]  # of all that are to run
    notes: list[str]  # what looks like a mistake


class _Roster:
    """Which cameras run with which settings; brings the watcher to what the file says, and touches no other."""

    def __init__(
        self,
        watcher: Watcher,
        load: Callable[[str], Recognizer],
        announcer: Dispatcher | None = None,
        outputs: Mapping[str, Output] = MappingProxyType({}),
    ) -> None:
        self._watcher = watcher
        self._outputs = outputs  # what no camera may read
        self._announcer = announcer
        self._load = load
        self._running: dict[str, CameraSettings] = {}
        self._recognizers: dict[str, Recognizer] = {}

    def prepare(self, file: WatchFile, after: DispatchSettings) -> _Ready:
        """Load and open what the file asks for, and change nothing yet; any thread. Raises ``SettingsError``.

        Whatever it is that goes wrong: a file cannot end what runs.
        """
        wanted = [camera for camera in file.cameras if camera.enabled]
        recognizers = dict(self._recognizers)
        changed = [camera for camera in wanted if self._running.get(camera.name) != camera]
        chosen = tuple(self._choose(camera, file, recognizers) for camera in changed)
        models = {camera.model for camera in wanted}
        recognizers = {name: one for name, one in recognizers.items() if name in models}
        configs = {name: recognizer.config for name, recognizer in recognizers.items()}
        check_defaults(file, configs)
        return _Ready(
            file=file,
            after=after,
            chosen=chosen,
            recognizers=recognizers,
            notes=[*notes_on(file, configs), *_labels_in(after, file, configs)],
        )

    def apply(self, ready: _Ready) -> str:
        """Add, remove and change cameras. What was done, in words; "" where nothing was to do.

        A camera that cannot begin is told, and is no other's trouble.
        """
        wanted = {camera.name for camera in ready.file.cameras if camera.enabled}
        gone = [name for name in self._running if name not in wanted]
        again = [one.settings.name for one in ready.chosen if one.settings.name in self._running]
        for name in (*gone, *again):
            self._watcher.remove(name)
            if name in gone and self._announcer is not None:
                self._announcer.remove(name)
            del self._running[name]
        failed = []
        for one in ready.chosen:
            try:
                self._add(one)
            except Exception as error:
                failed.append(str(ready.file.error(one.settings.name, "it cannot be watched", why(error))))
        self._recognizers = ready.recognizers
        if failed and not self._running:
            raise SettingsError("; ".join(failed))
        new = [one.settings.name for one in ready.chosen if one.settings.name not in again]
        parts = (("added", new), ("removed", gone), ("changed", again))
        done = [f"{what} {', '.join(names)}" for what, names in parts if names]
        return "; ".join([*done, *failed])

    def _add(self, chosen: _Chosen) -> None:
        settings = chosen.settings
        self._watcher.add(
            settings.name,
            chosen.source,
            recognizer=chosen.recognizer,
            fps=settings.fps,
            still=settings.still,
            events=chosen.events,
        )
        self._running[settings.name] = settings
        if self._announcer is not None:
            self._announcer.camera(
                settings.name,
                model=chosen.recognizer.name,
                live=chosen.source.live,
                actions=[r for r in chosen.recognizer.labels if r not in chosen.events.background],
                privacy=settings.privacy,
            )

    def _choose(
        self, settings: CameraSettings, file: WatchFile, recognizers: dict[str, Recognizer]
    ) -> _Chosen:
        key = "model"
        try:
            keep_inputs(self._outputs, [model_file(settings.model)])
            if settings.model not in recognizers:
                recognizers[settings.model] = self._load(settings.model)
            recognizer = recognizers[settings.model]
            events = events_of(settings, recognizer.config, file)
            key = "address"
            keep_inputs(self._outputs, [file_of(settings.address)])
            source = source_of(settings, recognizer.config.transform.straight)
        except SettingsError:
            raise
        except Exception as error:
            raise file.error(settings.name, key, why(error)) from error
        return _Chosen(settings=settings, source=source, recognizer=recognizer, events=events)


def _labels_in(after: DispatchSettings, file: WatchFile, configs: Mapping[str, ModelConfig]) -> Iterator[str]:
    """Cameras and labels of webhooks that nobody has: a receiver that waits for them hears nothing."""
    known = {
        "cameras": [camera.name for camera in file.cameras],
        "labels": [label for config in configs.values() for label in config.labels],
    }
    for webhook in after.webhooks:
        for key, names in known.items():
            for name in getattr(webhook, key):
                if name not in names:
                    hint = no_such_key(name, tuple(dict.fromkeys(names)), what=key.removesuffix("s"))
                    yield f"{file.path.name}: [webhook]: {key}: {shortened(name)[1:-1]}: {hint}"


class _Signals:
    """SIGINT, SIGTERM and SIGHUP become words that the loop looks at; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.code: int | None = None  # exit code that a signal asked for
        self.reload = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        wanted: dict[str, Any] = {"SIGINT": self._interrupt, "SIGTERM": self._end, "SIGHUP": self._reread}
        for name, handler in wanted.items():
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and threading.current_thread() is threading.main_thread():
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        ending.handler_ran()
        if self.code is not None:
            raise KeyboardInterrupt
        self.code = 130  # as shells have it

    def _end(self, number: int, frame: FrameType | None) -> None:
        ending.handler_ran()
        self.code = 0  # how a service is asked to end: nothing went wrong

    def _reread(self, number: int, frame: FrameType | None) -> None:
        self.reload = True


class _Changes:
    """Sees that a file has changed, and is whole: it looks the same twice in a row."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._known = self._last = {path: _look(path) for path in files}
        self._due = time.monotonic() + _POLL_SECONDS

    def seen(self) -> bool:
        """Whether the files are others than when this was last true; looks once a second."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _POLL_SECONDS
        now, before = {path: _look(path) for path in self._known}, self._last
        self._last = now
        if now == self._known or now != before:
            return False
        self._known = now
        return True

    def take(self) -> None:
        """They are read now, as they are: that they are others than before is no news any more."""
        self._known = self._last = {path: _look(path) for path in self._known}

    def follow(self, files: tuple[Path, ...]) -> None:
        """Other files: new ones as they are now, the others as they were when it last looked."""
        self._known = {path: self._known[path] if path in self._known else _look(path) for path in files}
        self._last = {path: self._last.get(path, look) for path, look in self._known.items()}


class _Reload:
    """Reads the file and makes ready what it asks for in a thread: what is recognized meanwhile waits for nothing."""

    def __init__(self, work: Callable[[], _Ready], *, asked: bool) -> None:
        self.asked = asked  # by a signal or the page: told also where nothing changed
        self._work = work
        self._answer: _Ready | SettingsError | None = None
        # Called so, the process does not wait for it at its end: a disk that hangs may hold it.
        self._thread = threading.Thread(target=self._run, name="read settings", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        usual = sys.getswitchinterval()
        sys.setswitchinterval(min(usual, _SWITCH_SECONDS))
        try:
            self._answer = self._work()
        except SettingsError as error:
            self._answer = error
        except BaseException as error:
            self._answer = SettingsError(f"the settings cannot be read: {why(error)}")
        finally:
            sys.setswitchinterval(usual)

    @property
    def over(self) -> bool:
        """Whether there is an answer."""
        return not self._thread.is_alive()

    def get(self) -> _Ready:
        """What was made ready; raises ``SettingsError``."""
        answer = self._answer
        if isinstance(answer, _Ready):
            return answer
        raise answer or SettingsError("the settings cannot be read")


def _look(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # an editor may be about to put the new one in its place
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@dataclass(frozen=True, kw_only=True)
class WatchJob:
    """One run of ``streamrec watch``; the fields are its options."""

    path: Path
    jsonl: str | None = None  # a file that goes on, or "-"
    after: Mapping[str, Any] = field(default_factory=dict)  # options in place of what the file says
    predictions: bool = False  # into the JSON Lines
    web: WebSettings | None = None  # the page
    max_seconds: float | None = None
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None  # of one step; None: what suits the model
    tuned: Tuned = field(default_factory=Tuned)  # what ``streamrec tune`` found, for cameras of its model
    inputs: tuple[Path, ...] = ()  # files that other options read

    def run(self) -> int:
        """Watch until a signal, ``max_seconds``, or the end of every source that can end.

        Raises ``SettingsError`` for a file that is wrong at the start; later on, what is wrong is told and the
        cameras go on as they were.
        """
        with ExitStack() as stack:
            signals = stack.enter_context(_Signals())
            changes = _Changes((self.path,))  # before it is read: a change while it is read counts
            file = self.in_force.read()
            changes.follow(file.read)
            after = DispatchSettings.of(file).with_options(**self.after)
            outputs = {"--jsonl": self.jsonl, **after.outputs}
            cameras = [camera for camera in file.cameras if camera.enabled]
            keep_inputs(
                outputs,
                [
                    self.path,
                    *file.read,
                    *self.inputs,
                    *(file_of(camera.address) for camera in cameras),
                    *(model_file(camera.model) for camera in cameras),
                ],
            )
            board = _Board(file, on_stdout=self.jsonl != "-")
            stack.callback(board.close)
            lines = None
            if self.jsonl is not None:
                lines = _JsonLines(self.jsonl, board.tell, predictions=self.predictions)
                stack.callback(lines.close)
            board.warn(file)
            announcer = stack.enter_context(Dispatcher(after, board.tell))

            live = None if self.web is None else stack.enter_context(self._page(self.web, announcer, board))

            over: list[tuple[Camera, Health]] = []

            def heard(camera: Camera, health: Health) -> None:
                # What is over is told after what ended with it; one that takes its place, after that.
                if health.state in _OVER or any(one.name == camera.name for one, _ in over):
                    over.append((camera, health))
                else:
                    announcer.in_order(camera.name, partial(tell, camera, health), last=False)

            def tell(camera: Camera, health: Health) -> None:
                health = replace(health, reason=redact(health.reason, board.secrets))
                announcer.health(camera.name, health)
                board.say(camera.name, describe_health(health))
                if lines is not None:
                    lines.write_health(camera.name, health)

            def nobody_listens() -> bool:
                """Whether all who were told have left (| head), so that there is nobody to watch for."""
                if announcer.wanted or live is not None or not (board.gone or (lines and lines.gone)):
                    return False
                return (lines is None or lines.gone) and (self.jsonl is not None or board.gone)

            watcher = Watcher(on_health=heard)
            stack.callback(watcher.close, _PATIENCE)  # also after an error
            roster = _Roster(watcher, lambda model: announcer.recorded(self._load(model)), announcer, outputs)
            ready = roster.prepare(file, after)
            board.tell(f"{self.path.name}: {roster.apply(ready) or 'no camera is enabled'}")
            for note in ready.notes:
                board.tell(note)
            stack.enter_context(board.shown())

            def kept(told: CommittedEvent) -> None:  # in a thread of its own, when the event is on the disk
                if live is not None:
                    live.notify((told.entry,))
                board.write_event(told.source, told.event)
                if lines is not None:
                    lines.write_event(told.source, told.event)

            announcer.on_event(kept)

            def take(results: list[Result]) -> None:
                for result in results:
                    shown = announcer.write(result)  # its events are told when they are kept
                    if live is not None:
                        live.write(shown)
                    board.write(shown)
                    if lines is not None:
                        lines.write(shown)
                for camera, health in over:
                    announcer.in_order(camera.name, partial(tell, camera, health), last=True)
                over.clear()
                announcer.tick()
                if nobody_listens():
                    raise BrokenPipeError(errno.EPIPE, "nobody reads what is told")

            code = self._loop(watcher, roster, changes, signals, board, announcer, take, live)
            watcher.stop()
            take(watcher.step(0.0))
            watcher.close(_PATIENCE)
            announcer.settle()
            board.summary(watcher)
            return code

    def _loop(
        self,
        watcher: Watcher,
        roster: _Roster,
        changes: _Changes,
        signals: _Signals,
        board: _Board,
        announcer: Dispatcher,
        take: Callable[[list[Result]], None],
        live: showing.LiveState | None,
    ) -> int:
        def prepare() -> _Ready:
            file = self.in_force.read()
            # The old secrets may still be told, the new ones already.
            board.secrets = tuple({*board.secrets, *file.secrets})
            return roster.prepare(file, DispatchSettings.of(file).with_options(**self.after))

        reload: _Reload | None = None
        ends = time.monotonic() + (float("inf") if self.max_seconds is None else self.max_seconds)
        while signals.code is None:
            if time.monotonic() >= ends:
                return 0
            began = time.monotonic()
            take(watcher.step(_TICK))
            cameras = watcher.cameras
            board.refresh(cameras)
            if live is not None:
                live.secrets = board.secrets
                live.beat(cameras)
                if live.reload.is_set():
                    live.reload.clear()
                    signals.reload = True
            if cameras and all(camera.health.state in _OVER and not camera.source.live for camera in cameras):
                return int(any(camera.error is not None for camera in cameras))
            if reload is None and (changes.seen() or signals.reload):
                if signals.reload:
                    changes.take()
                reload = _Reload(prepare, asked=signals.reload)
                signals.reload = False
            if reload is not None and reload.over:
                try:
                    ready = reload.get()
                    done = roster.apply(ready)
                    changes.follow(ready.file.read)
                    board.warn(ready.file)
                    if ready.after != announcer.settings:
                        board.tell(
                            "what happens after an event is other now: that counts from the next start"
                        )
                    for note in ready.notes:
                        board.tell(note)
                    if done or reload.asked:
                        board.tell(f"{self.path.name}: {done or 'nothing changed'}")
                except SettingsError as error:
                    board.tell(f"{error}; the cameras go on as they were")
                reload = None
            if not cameras:  # all are switched off: nothing takes time
                time.sleep(max(0.0, began + _TICK - time.monotonic()))
        return signals.code

    @contextlib.contextmanager
    def _page(
        self, settings: WebSettings, announcer: Dispatcher, board: _Board
    ) -> Iterator[showing.LiveState]:
        """The page, in threads of its own."""
        from streamrec.web.server import Server

        live = showing.LiveState(announcer.history)
        live.secrets = board.secrets
        with Server(settings, live, file=self.in_force, log=board.tell) as server:
            board.tell(f"the page is at {server.address}")
            yield live

    @property
    def in_force(self) -> InForce:
        """By what the cameras are watched."""
        return InForce(
            path=self.path,
            tuned=self.tuned,
            engine=self.engine,
            device=self.device,
            threads=self.threads,
        )

    def _load(self, model: str) -> Recognizer:
        running = self.in_force.running(model)
        return Recognizer.load(model, engine=running.engine, device=running.device, threads=running.threads)


class _JsonLines:
    """JSON Lines in a thread of their own: a full disk and a reader that stopped are told, and stop no camera."""

    def __init__(self, target: str, tell: Callable[[str], None], *, predictions: bool) -> None:
        self.gone = False  # nobody reads them any more
        self._tell = tell
        self._lines, self._file = open_lines(
            target, append=True, background=True, tell=tell, predictions=predictions, clock=time.time
        )

    def write(self, result: Result) -> None:
        """Hand a result over."""
        self._give(self._lines.write, result)

    def write_event(self, camera: str, event: Event) -> None:
        """Hand over an event that is kept, from any thread."""
        self._give(self._lines.write_event, camera, event)

    def write_health(self, camera: str, health: Health) -> None:
        """Hand over how a camera is."""
        self._give(self._lines.write_health, camera, health)

    def _give(self, write: Callable[..., None], *what: object) -> None:
        if self.gone:
            return
        try:
            write(*what)
        except SinkError as error:
            self.gone = True
            self._tell(str(error))

    def close(self) -> None:
        """Write what waits, for a moment."""
        self._lines.close()
        self._file.close()


class _Board:
    """What a person sees: events and changes of state as lines, and on a terminal a table that lives."""

    def __init__(self, file: WatchFile, *, on_stdout: bool) -> None:
        self.secrets = file.secrets
        # For what is to be said of the lines.
        aside = self._aside = LineConsole(stderr=True, background=True) if on_stdout else None
        self._console = LineConsole(
            stderr=not on_stdout,
            background=True,
            log=(lambda sentence: None) if aside is None else aside.print_line,
        )
        self._live: Live | None = None
        self._drawn = 0.0
        self._latest: dict[str, Result] = {}
        self._begun = time.monotonic()
        self._actions = 0
        self._warned: set[str] = set()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """The table, where there is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def tell(self, text: str) -> None:
        """A line of its own, with the time of day."""
        self._console.print_line(f"{time.strftime('%H:%M:%S')}  {redact(text, self.secrets)}")

    @property
    def gone(self) -> bool:
        """Whether nobody reads the lines any more."""
        return self._console.gone

    def close(self) -> None:
        """Write what waits, for a moment."""
        self._console.close()
        if self._aside is not None:
            self._aside.close()

    def warn(self, file: WatchFile) -> None:
        """Tell, once, which files with secrets in them are open to others."""
        for sentence in file.too_open():
            if sentence not in self._warned:
                self._warned.add(sentence)
                self.tell(sentence)

    def say(self, name: str, text: str) -> None:
        """A line about a camera."""
        self.tell(f"{name}  {text}")

    def write(self, result: Result) -> None:
        """Remember a result for the table, and tell its events."""
        self._latest[result.frame.source] = result
        for event in result.events:
            self.write_event(result.frame.source, event)

    def write_event(self, source: str, event: Event) -> None:
        """Tell an event."""
        self._actions += isinstance(event, ActionStarted)
        self.say(source, describe(event))

    def refresh(self, cameras: tuple[Camera, ...]) -> None:
        """Draw the table, a few times a second."""
        now = time.monotonic()
        if self._live is None or now - self._drawn < _TICK:
            return
        self._drawn = now
        self._live.update(self.table(cameras), refresh=True)

    def table(self, cameras: tuple[Camera, ...]) -> Table:
        """A row for each camera."""
        table = Table("camera", "state", "label", "", "fps", "dropped", box=None, pad_edge=False)
        for column in table.columns:
            column.no_wrap = True
        table.columns[1].ratio = 1
        for right in (3, 4, 5):
            table.columns[right].justify = "right"
        for camera in cameras:
            health, result = camera.health, self._latest.get(camera.name)
            state = Text(printable(redact(describe_health(health), self.secrets)), _COLORS[health.state])
            said = result if result is not None and health.state is SourceState.live else None
            table.add_row(
                Text(printable(camera.name)),
                state,
                "" if said is None else Text(printable(said.label)),
                "" if said is None or said.unknown else f"{100 * said.prediction.confidence:.0f} %",
                f"{camera.rate:.1f}",
                str(camera.counts.dropped.get("overload", 0)),
            )
        return table

    def summary(self, watcher: Watcher) -> None:
        """One line at the end."""
        counts = [camera.counts for camera in watcher.cameras]
        frames = sum(count.recognized for count in counts)
        dropped, still = (
            sum(count.dropped.get(cause, 0) for count in counts) for cause in ("overload", "still")
        )
        took = time.monotonic() - self._begun
        self.tell(
            f"{frames} frames of {len(counts)} camera{'' if len(counts) == 1 else 's'} in {took:.1f} s "
            f"({frames / max(took, 0.1):.1f} a second), {dropped} dropped, {f'{still} still, ' if still else ''}"
            f"{self._actions} action{'' if self._actions == 1 else 's'}"
        )
