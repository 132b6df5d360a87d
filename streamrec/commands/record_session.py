"""What ``streamrec record`` does: prompts a person before a camera, and cuts the video into labelled clips."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from streamrec.commands.terminal_keys import TerminalKeys
from streamrec.commands.voice_keys import VoiceKeys, open_voice
from streamrec.core.console import LineConsole
from streamrec.core.files import keep_inputs
from streamrec.core.reading import path_of
from streamrec.data.clip_recorder import (
    INDEX,
    KEYS,
    ClipFolder,
    Cue,
    Phase,
    Recorder,
    _check_name,
    order_of,
    parse_labels,
    session_of,
)
from streamrec.errors import DataError, SinkError
from streamrec.outputs.overlay import AMBER, QUIET, WHITE, Color, draw_cue
from streamrec.outputs.window import Window, why_no_display
from streamrec.pipeline.capture import capture
from streamrec.sources.open import file_of, open_source
from streamrec.sources.synthetic import ACTIONS, UNSEEN, World
from streamrec.types import Frame, Source

_RED: Color = (60, 60, 235)
_FIRST_SEED = 2 * UNSEEN  # bodies that neither shipped models nor their tests have seen


# -- display and keys


class _Prompter:
    """Shows the person what to do: in the terminal, with its bell, and in a window over the live image."""

    def __init__(self, console: Console, window: Window | None) -> None:
        self._console, self._window = console, window
        self._stack = ExitStack()
        self._keys = TerminalKeys()
        self._live: Live | None = None
        self._phase: Phase | None = None
        self._shown = ("", "")

    def __enter__(self) -> Self:
        self._stack.enter_context(self._keys)
        if self._window is not None:
            self._stack.enter_context(self._window)
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._stack.enter_context(self._live)
            self._live.update(Text("waiting for the first picture ..."), refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, cue: Cue, image: np.ndarray) -> str:
        """Show a cue over the image; returns the keys that were pressed."""
        if self._phase is not cue.phase and Phase.RECORDING in (cue.phase, self._phase):
            self._bell()  # at the start and at the end of a clip
        self._phase = cue.phase
        title, detail, style = _text_of(cue)
        if self._live is not None and (title, detail) != self._shown:
            self._shown = (title, detail)
            line = Text.assemble(
                (f" {title} ", f"bold {style} reverse"), f"  {detail}", no_wrap=True, overflow="ellipsis"
            )
            self._live.update(line, refresh=True)
        keys = self._keys.pressed()
        if self._window is not None:
            share = 1.0 - cue.left / cue.lasts if cue.lasts else None
            keys += self._window.show(draw_cue(image, title, detail, color=_COLORS[style], share=share))
            if self._window.closed:
                keys += "q"
        return keys

    def _bell(self) -> None:
        if self._console.is_terminal:
            self._console.bell()


_COLORS: dict[str, Color] = {"yellow": AMBER, "red": _RED, "white": WHITE, "bright_black": QUIET}


def _text_of(cue: Cue) -> tuple[str, str, str]:
    """Title, detail and colour of a cue."""
    where = f"clip {cue.number} of {cue.of}"
    if cue.phase is Phase.COUNTDOWN:
        return f"{cue.label}  {int(np.ceil(cue.left - 1e-6))}", f"comes next, {where}; {KEYS}", "yellow"
    if cue.phase is Phase.RECORDING:
        return cue.label, f"recording, {cue.left:.1f} s left, {where}", "red"
    if cue.phase is Phase.PAUSED:
        coming = f"{cue.label} comes next, {where}" if cue.label else f"all {cue.of} clips are recorded"
        return "paused", f"{coming}; space goes on, r repeats the last clip, q ends", "bright_black"
    return "done", f"all {cue.of} clips are recorded; r repeats the last one", "white"


# -- the job


@dataclass(frozen=True, kw_only=True)
class RecordJob:
    """One run of ``streamrec record``; the fields are its options."""

    folder: Path
    labels: str
    source: str = "0"
    clips: int = 10  # of each label
    seconds: float = 3.0  # of a clip
    countdown: float = 3.0  # seconds
    person: str | None = None  # None: "me", and "body" for the synthetic world
    mixed: bool = True
    new_session: bool = False
    show: bool | None = None  # None: where there is a display
    voice: str | None = None  # a microphone whose spoken digits are keys; None: none

    def run(self) -> None:
        """Record the missing clips, then print the counts; clips from before an error or Ctrl-C stay."""
        console = LineConsole()
        log = console.print_line
        labels = parse_labels(self.labels)
        place = path_of(str(self.folder))
        keep_inputs({"the clips": [place, place / INDEX]}, [file_of(self.source), file_of(self.voice)])
        source = open_source(self.source)
        source.settle()
        world = source if isinstance(source, World) else None
        if world and (unknown := [label for label in labels if label not in ACTIONS]):
            raise DataError(
                f"the synthetic world does not know {', '.join(unknown)}; it knows {', '.join(ACTIONS)}"
            )
        person = self.person if self.person is not None else "body" if world else "me"
        _check_name(person, "--person")
        folder = ClipFolder(self.folder)
        session = session_of(
            folder, person, labels, clips=self.clips, new=self.new_session, alone=world is not None
        )
        made = folder.made(person).get(session.number, Counter())
        missing = {label: self.clips - made[label] for label in labels if made[label] < self.clips}
        # No seed: another order each time.
        order = order_of(missing, mixed=self.mixed, rng=random.Random())
        recorder = Recorder(
            folder,
            session,
            order,
            seconds=self.seconds,
            countdown=self.countdown if source.live else 0.0,
            names=labels,
            log=log,
        )
        window = self._window(source)
        log(
            f"{source.name}: {len(order)} clips of {self.seconds:g} s, {person}'s session {session.number}"
            + (", which goes on" if made else "")
        )
        if self.voice is not None and not source.live:
            raise DataError(f"--voice needs a camera, and {source.name} is a recording: leave it out")
        voice = None if self.voice is None else open_voice(self.voice, log)
        try:
            if source.live:
                with _Prompter(console, window) as prompter, voice or nullcontext():
                    _follow(source, recorder, prompter, voice)
            else:
                _cut(source if world is None else _bodies(world, recorder, self.seconds), recorder)
            if not source.live and not recorder.done:
                log(f"{source.name} has ended")
        finally:
            recorder.close()
            _log_counts(folder, labels, len(order) - recorder.clips, log)

    def _window(self, source: Source) -> Window | None:
        if self.show is False or not source.live:
            return None
        reason = why_no_display()
        if reason is None:
            return Window("streamrec record")
        if self.show:
            raise SinkError(f"{reason}; --no-show does without a window")
        return None


def _follow(source: Source, recorder: Recorder, prompter: _Prompter, voice: VoiceKeys | None = None) -> None:
    """Record from a camera: the person gets prompts, and may press keys, or say them."""
    with capture(source, capacity=8) as frames:
        for frame in frames:
            pressed = [*prompter.show(recorder.step(frame), frame.image)]
            for key in pressed + ([] if voice is None else voice.pressed()):
                recorder.press(key)
            if recorder.done:
                return
    recorder.end()


def _cut(frames: Iterable[Frame], recorder: Recorder) -> None:
    """Cut a recording or a drawn world into clips, as fast as it can be read."""
    for frame in frames:
        recorder.step(frame)
        if recorder.done:
            return
    recorder.end()


def _bodies(world: World, recorder: Recorder, seconds: float) -> Iterator[Frame]:
    """A drawn world for each clip that shows its label; clips of one number share a body and a room."""
    while not recorder.done:
        label, number = recorder.next
        seed = _FIRST_SEED + 1_000_000 * world.settings.seed + 1000 * recorder.session.number + number
        settings = replace(
            world.settings, actions=(label,), seed=seed, seconds=seconds, width=320, height=240
        )
        yield from World(settings)
        recorder.end()


def _log_counts(
    folder: ClipFolder, labels: tuple[str, ...], missing: int, log: Callable[[str], object]
) -> None:
    counts = folder.counts()
    log(
        f"{folder.path}: "
        + ", ".join(f"{label} {counts[label]}" for label in sorted({*labels, *counts}))
        + (f"; {missing} missing, the same command goes on" if missing else "")
    )
