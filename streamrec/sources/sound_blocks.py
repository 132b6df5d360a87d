"""The sound of a file or an address that FFmpeg has opened, decoded into blocks of samples of one channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

from streamrec.sources.decoding import packets_past_damage
from streamrec.sources.file_bytes import UnreadableError
from streamrec.sources.sound import RATE, scaled


def sound_stream(container: Any) -> Any:
    """The first stream of sound that FFmpeg can decode; None: there is none."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


class Blocks:
    """Decodes one stream of sound. Iterate ``read`` once; ``errors`` counts packets that could not be decoded."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.rate = int(stream.codec_context.sample_rate or 0)
        if not RATE.holds(self.rate):
            raise UnreadableError(f"its sound has {self.rate} samples a second, and {RATE} can be read")
        self.errors = 0

    def read(
        self, on_packet: Callable[[], None] = lambda: None, patient: bool = True
    ) -> Iterator[tuple[np.ndarray, float]]:
        """Blocks (N,) float32 from -1 to 1, and the seconds of their first samples on the container's clock.

        A part that cannot be read is skipped; not where ``patient`` is false: then FFmpeg's error is raised.
        """
        follows = 0.0
        for packet in self._packets(patient):
            on_packet()
            for frame in self._decoded(packet):
                if int(frame.sample_rate) != self.rate:
                    raise UnreadableError(
                        f"its sound changes from {self.rate} to {frame.sample_rate} samples a second"
                    )
                seconds = follows if frame.time is None else float(frame.time)
                samples = samples_of(frame)
                follows = seconds + len(samples) / self.rate
                yield samples, seconds

    def _packets(self, patient: bool) -> Iterator[Any]:
        if patient:
            given_up = yield from packets_past_damage(self._container, self._stream)
            self.errors += given_up  # which others have counted up meanwhile
        else:
            yield from self._container.demux(self._stream)

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            frames: list[Any] = self._stream.codec_context.decode(packet if packet.size else None)
        except EOFError:
            return []
        except av.FFmpegError:
            self.errors += 1
            return []
        for frame in frames:
            frame.time_base = self._stream.time_base  # the last ones lack it, and then have no time
        return frames


def samples_of(frame: Any) -> np.ndarray:
    """A decoded frame of any format -> (N,) float32 from -1 to 1, the mean of its channels; silence for no number."""
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, len(frame.layout.channels)).T
    samples = scaled(data)
    samples = samples[0] if len(samples) == 1 else samples.mean(0, dtype=np.float32)
    return samples if np.isfinite(samples).all() else np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
