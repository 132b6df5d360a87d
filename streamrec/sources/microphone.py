"""The microphone of this machine, by PortAudio (the package sounddevice)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from streamrec.core.messages import shortened
from streamrec.core.text import printable
from streamrec.errors import SourceError, need
from streamrec.sources.live_sound import LiveSound
from streamrec.sources.network_sound import RETRIES
from streamrec.sources.reader_thread import UNPLUGGED, ReaderThread, StreamEnded
from streamrec.sources.sound import RATE
from streamrec.types import Frame

PREFIX = "mic"
_TICK = 0.1  # seconds between two checks whether the reader is wanted
_NO_PORTAUDIO = (
    "PortAudio, which reads microphones, is not installed; on Debian and Ubuntu: apt install libportaudio2"
)


class Microphone(LiveSound):
    """``mic:`` is the default microphone, ``mic:NAME`` the one whose name contains NAME, ``mic:2`` that of a number.

    A missing one raises ``SourceError`` at once; one that is unplugged is opened again.
    """

    def __init__(self, text: str, *, retries: int | None = RETRIES) -> None:
        self._device = text.partition(":")[2].strip()
        super().__init__(printable(f"microphone {self._device}".strip()), retries=retries)

    def __iter__(self) -> Iterator[Frame]:
        portaudio()  # what is not installed is reported at once
        return super().__iter__()

    def _read(self, reader: ReaderThread) -> None:
        library = portaudio()
        device: Any = int(self._device[:9]) if self._device.isdecimal() else self._device or None
        try:
            found = library.query_devices(device, "input")
        except (ValueError, library.PortAudioError):
            raise StreamEnded(self._missing(library), whole=True) from None
        rate = round(found["default_samplerate"])
        if not RATE.holds(rate):
            raise StreamEnded(f"{self.name} has {rate} samples a second: {RATE} can be read", whole=True)
        blocks = _Blocks(self, reader, rate)
        try:
            with library.InputStream(
                device=device, channels=1, samplerate=rate, dtype="float32", callback=blocks.take
            ) as stream:
                reader.opened()
                while not reader.unwanted and stream.active:
                    time.sleep(_TICK)
        except library.PortAudioError as error:
            reason = printable(str(error))[:200]
            raise StreamEnded(f"{self.name} cannot be opened: {reason}", whole=True) from None
        raise StreamEnded(
            f"{self.name} gives no sound any more; is it still plugged in?", cause=UNPLUGGED, whole=True
        )

    def _missing(self, library: Any) -> str:
        names = [one["name"] for one in library.query_devices() if one["max_input_channels"] > 0]
        if not names:
            return (
                "this machine has no microphone: plug one in, or use the sound of a camera (rtsp://...#sound)"
            )
        known = ", ".join(printable(name) for name in names[:8])
        wanted = f"microphone {shortened(self._device)}" if self._device else "default microphone"
        return f"there is no {wanted}; there are: {known}. Name one like mic:{printable(names[0])}"


class _Blocks:
    """Takes PortAudio's blocks in its thread; their times are counted in samples, those that it lost included."""

    def __init__(self, source: Microphone, reader: ReaderThread, rate: int) -> None:
        self._source, self._reader, self._rate = source, reader, rate
        self._samples = 0
        self._began: float | None = None

    def take(self, data: np.ndarray, frames: int, times: Any, status: Any) -> None:
        """A block (N, 1) float32."""
        now = time.monotonic()
        if self._began is None:
            self._began = now - frames / self._rate
        if status.input_overflow:  # some were lost: how many, only the clock knows
            self._samples = max(self._samples, round((now - self._began) * self._rate) - frames)
        seconds = self._samples / self._rate
        self._samples += frames
        samples = np.nan_to_num(data[:, 0], nan=0.0, posinf=0.0, neginf=0.0)
        self._source._put(self._reader, samples, seconds, self._rate)


def portaudio() -> Any:
    """The package sounddevice; raises ``MissingExtra``, or ``SourceError`` where PortAudio itself is missing."""
    try:
        return need("sounddevice", extra="mic")
    except OSError as error:  # the package is there, and no library
        hint = _NO_PORTAUDIO if sys.platform.startswith("linux") else "PortAudio is not installed"
        raise SourceError(hint) from error
