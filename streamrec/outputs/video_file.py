"""Results as a video file, with the overlay drawn in."""

from __future__ import annotations

import math
import os
import stat
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np

from streamrec.core.files import PRIVATE_FILE, open_private
from streamrec.core.messages import described
from streamrec.errors import SinkError
from streamrec.outputs.encoder import TICKS, Encoder
from streamrec.outputs.overlay import Trail, draw
from streamrec.outputs.sink import Sink, cannot_write, files_of_video
from streamrec.types import Result

_KEY_SECONDS = 2.0  # between key frames: how far a seek may miss, and how much a kill may cost


_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    # Without B-frames every frame is stored at its own time, in order: no shift, no edit list.
    "libx264": ("H.264", {"preset": "veryfast", "crf": "23", "bf": "0", "forced-idr": "1"}),
    "libvpx-vp9": ("VP9", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "33", "b": "0"}),
    "libvpx": ("VP8", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "2M"}),
}


_ENDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    ".mp4": ("mp4", ("libx264", "libvpx-vp9")),
    ".m4v": ("mp4", ("libx264",)),
    ".mov": ("mov", ("libx264",)),
    ".mkv": ("matroska", ("libx264", "libvpx-vp9")),
    ".webm": ("webm", ("libvpx-vp9", "libvpx")),
}


class VideoFile(Sink):
    """A video that browsers play, each frame at its true time: H.264 in .mp4, .mov or .mkv, VP9 in .webm.

    It shows the results' frames, by default with the overlay; the times are their timestamps, counted from the
    first one. Where the clock goes back or a new segment begins, the video goes
    on after one usual gap. The first frame sets the size (odd sides grow by one pixel); later frames of
    another size are fitted into it between black bars.

    While it grows, the video is ``name.part.mp4`` beside ``name.mp4``: it plays as it is, so a killed process
    loses about two seconds, and an older ``name.mp4`` stays whole until ``close`` puts the new one in its
    place. Without a result no file is left. Its owner alone may read it, unless there is an older one that others
    may read. Raises SinkError for an unknown ending, a folder that cannot be written to, a full disk.

    It does not know which files are being read: do not give it the path of the source.
    """

    def __init__(self, path: str | os.PathLike[str], *, overlay: bool = True) -> None:
        if not isinstance(path, str | os.PathLike):
            raise SinkError(f"a video is written to a path, not to {described(path)}")
        self.path = Path(path)
        ending = self.path.suffix.lower()
        if ending not in _ENDINGS:
            raise SinkError(
                f"cannot write a video to {self.path.name!r}: its name has to end in " + ", ".join(_ENDINGS)
            )
        self._format, encoders = _ENDINGS[ending]
        found = [name for name in encoders if name in av.codecs_available]
        if not found:
            raise SinkError(
                f"this PyAV has no encoder for {ending} ({' or '.join(encoders)}); "
                "pip install --upgrade --force-reinstall av, or choose another of " + ", ".join(_ENDINGS)
            )
        self._codec = found[0]
        _, self._part, self._indexed = files_of_video(self.path)
        if self.path.is_dir():
            raise SinkError(
                f"cannot write a video to {self.path}: it is a folder; add a name such as out.mp4, or --segment 10m"
            )
        try:
            self._make(self._part)
        except OSError as error:
            raise SinkError(cannot_write(self.path, error)) from error
        self._overlay = overlay
        self._trail = Trail()
        self._times = _Times()
        self._container: Any = None
        self._encoder: Encoder | None = None
        self._key_due = 0  # ticks
        self._closed = False

    def _make(self, path: Path) -> None:
        """An empty file with the permissions that the video is to have."""
        open_private(path, "wb").close()
        with suppress(OSError):
            path.chmod(stat.S_IMODE(self.path.stat().st_mode) if self.path.exists() else PRIVATE_FILE)

    def write(self, result: Result) -> None:
        """Add the result's frame; a repeated one adds nothing."""
        if self._closed:
            raise SinkError(f"{self.path.name} is closed already: write before close")
        if self._overlay:
            self._trail.push(result)
        if result.repeated:
            return
        image = result.frame.image
        if self._overlay:
            image = draw(image, result, self._trail)
        try:
            if self._encoder is None:
                self._encoder = self._open(image)
            ticks = self._times.next(result.frame.segment, result.frame.timestamp)
            key = ticks >= self._key_due
            if key:
                self._key_due = ticks + round(_KEY_SECONDS * TICKS)
            self._mux(self._encoder.encode(image, ticks, key=key))
        except (OSError, av.FFmpegError) as error:
            raise SinkError(cannot_write(self.path, error)) from error

    def _open(self, image: np.ndarray) -> Encoder:
        options = {"flush_packets": "1"}  # to the disk at once
        if self._format in ("mp4", "mov"):
            # Fragments: each is complete by itself, so that what is on the disk plays at any moment.
            options |= {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        container = av.open(str(self._part), "w", format=self._format, options=options)
        encoder = Encoder(
            container, image, options=_ENCODERS[self._codec][1], codec=self._codec, gop=600, threads=2
        )
        try:
            # The header at once: FFmpeg crashes where it is tried again after it could not be written.
            container.start_encoding()
        except BaseException:
            container.close()
            raise
        self._container = container
        return encoder

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            # Only the last frame's own duration counts; the others last until the next one.
            packet.duration = self._times.gap
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the video and give it its final name."""
        if self._closed:
            return
        self._closed = True
        if self._encoder is None:
            self._part.unlink(missing_ok=True)
            return
        try:
            try:
                self._mux(self._encoder.flush())
            finally:
                self._container.close()
            if self._format in ("mp4", "mov"):
                self._index_first()
            else:
                self._part.replace(self.path)
        except (OSError, av.FFmpegError) as error:
            message = cannot_write(self.path, error)
            if self._part.exists() and self._part.stat().st_size == 0:  # nothing had room
                self._part.unlink()
            kept = f"; what was recorded is in {self._part}" if self._part.exists() else ""
            raise SinkError(f"{message}{kept}") from error

    def _index_first(self) -> None:
        """Copy the fragments into one file with its index in front: seekable, and it plays while it loads."""
        whole = self._indexed
        try:
            self._make(whole)
            with (
                av.open(str(self._part)) as source,
                av.open(str(whole), "w", format=self._format, options={"movflags": "faststart"}) as target,
            ):
                stream = source.streams.video[0]
                copy = target.add_stream_from_template(stream)
                copy.time_base = stream.time_base
                for packet in source.demux(stream):
                    if packet.dts is None:
                        continue
                    # The last fragment does not hold the duration of its last frame.
                    packet.duration = packet.duration or round(self._times.gap / TICKS / packet.time_base)
                    packet.stream = copy
                    target.mux(packet)
            whole.replace(self.path)
        except BaseException:
            whole.unlink(missing_ok=True)
            raise
        self._part.unlink(missing_ok=True)


class _Times:
    """Source clocks -> ticks that only ever grow.

    >>> times = _Times()
    >>> [times.next(segment, t) / 90_000 for segment, t in [(0, 5.0), (0, 5.5), (1, 9.0), (1, 9.25)]]
    [0.0, 0.5, 1.0, 1.25]
    """

    def __init__(self) -> None:
        self.gap = TICKS // 30  # ticks between two frames: the median of the last ones
        self._gaps: deque[int] = deque(maxlen=9)
        self._segment = 0
        self._start = 0.0  # on the source's clock
        self._offset = 0  # ticks at the start
        self._last: int | None = None

    def next(self, segment: int, timestamp: float) -> int:
        """The ticks of a frame: true to its timestamp, or one usual gap on where that cannot be."""
        if self._last is None:
            self._begin(segment, timestamp, 0)
            self._last = 0
            return 0
        ticks = -1
        if segment == self._segment and math.isfinite(timestamp) and math.isfinite(self._start):
            ticks = self._offset + round((timestamp - self._start) * TICKS)
        if ticks > self._last:
            self._gaps.append(ticks - self._last)
            self.gap = sorted(self._gaps)[len(self._gaps) // 2]
        else:
            ticks = self._last + self.gap
            self._begin(segment, timestamp, ticks)
        self._last = ticks
        return ticks

    def _begin(self, segment: int, timestamp: float, ticks: int) -> None:
        self._segment, self._start, self._offset = segment, timestamp, ticks
