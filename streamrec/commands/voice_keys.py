"""Spoken digits as keys: a microphone beside the camera, for hands that are busy or far away."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Self

from streamrec.core import process_end
from streamrec.core.messages import why
from streamrec.errors import SettingsError
from streamrec.pipeline.loop import results
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.runtime.recognizer import Recognizer
from streamrec.types import ActionStarted, Source

MODEL = "digits"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SURE = 0.6  # ``enter`` at least: a key that was not spoken costs more than a digit that is spoken again
_END_PATIENCE = 2.0  # seconds for a microphone to let go


class VoiceKeys:
    """Reads a microphone in a thread of its own; ``pressed`` gives the keys of the digits that were spoken.

    A microphone that is lost is reported to ``log``, once, and the keys of the keyboard go on. Raises
    ``SettingsError`` for a model that knows no digit.
    """

    def __init__(
        self, source: Source, recognizer: Recognizer, *, log: Callable[[str], object] = lambda message: None
    ) -> None:
        self._keys = {name: str(digit) for digit, name in enumerate(DIGITS) if name in recognizer.labels}
        if not self._keys:
            raise SettingsError(
                f"the model {recognizer.name} knows no spoken digit: its labels are not {DIGITS[0]} to {DIGITS[-1]}"
            )
        self._source, self._recognizer, self._log = source, recognizer, log
        self._pressed: deque[str] = deque(maxlen=64)
        self._stop = threading.Event()
        # A microphone may hang in a native call: a thread of this name keeps no process from its end.
        self._thread = threading.Thread(target=self._run, name=f"{process_end.READ} voice", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._source.interrupt()
        self._thread.join(_END_PATIENCE)

    @property
    def ended(self) -> bool:
        """Whether no key will come any more but those that wait."""
        return not self._thread.is_alive()

    def pressed(self) -> list[str]:
        """The keys since the last call."""
        return [self._pressed.popleft() for _ in range(len(self._pressed))]

    def _run(self) -> None:
        try:
            own = self._recognizer.config.events
            events = replace(own, enter=max(own.enter, SURE))
            builder = ResultBuilder(self._recognizer, self._source.name, events=events)
            with closing(results(self._source, self._recognizer, builder=builder)) as found:
                for result in found:
                    if self._stop.is_set():
                        return
                    for event in result.events:
                        if isinstance(event, ActionStarted) and event.label in self._keys:
                            self._pressed.append(self._keys[event.label])
        except Exception as error:  # whatever it is: the keyboard goes on, and the reason is shown
            if not self._stop.is_set():
                self._log(f"voice: {why(error)}; the other keys go on")
            return
        if not self._stop.is_set():
            self._log(f"voice: {self._source.name} has ended; the other keys go on")


def open_voice(what: str, log: Callable[[str], object]) -> VoiceKeys:
    """The keys of a microphone (``mic:``), or of any other source of sound; raises ``StreamrecError``."""
    from streamrec.sources.open import open_source
    from streamrec.types import SOUND

    source = open_source(what, sense=SOUND)
    if source.sense != SOUND:
        raise SettingsError(f"--voice {source.name} is no sound: give mic:, or a file of sound")
    return VoiceKeys(source, Recognizer.load(MODEL), log=log)
