"""Where results go: a window, a video file, JSON lines, a variable that holds the newest, any function."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import stat
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO, Any

import av
import cv2
import numpy as np

from streamrec.closing import Closing
from streamrec.core.files import PRIVATE_FILE, open_private, why
from streamrec.core.given import described, path_to_write, whole_number
from streamrec.core.redact import redact
from streamrec.core.steady import BackgroundFile, SteadyFile
from streamrec.core.text import printable
from streamrec.errors import SinkError
from streamrec.overlay import Trail, draw
from streamrec.types import ActionEnded, Event, Frame, Health, Result


class Sink(Closing, ABC):
    """A place for results: ``write`` each, ``close`` at the end, or use it in a ``with``."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Take one result."""

    @abstractmethod
    def close(self) -> None:
        """Finish; a second time does nothing."""


class _Told:
    """Knows whether a result repeats the prediction that was told last of its source."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}  # source -> segment and index

    def again(self, frame: Frame) -> bool:
        """True when the last frame of this source was this one; remembers it otherwise."""
        which = (frame.segment, frame.index)
        if self._last.get(frame.source) == which:
            return True
        self._last[frame.source] = which
        return False


# -- window


class Window(Sink):
    """A window with the overlay; q, Esc or its close button close it, and then writing does nothing.

    Create it, write to it and close it in the main thread: that is what window systems ask for. Raises
    SinkError where there is no screen.
    """

    def __init__(self, title: str = "streamrec") -> None:
        reason = why_no_display()
        if reason is not None:
            raise SinkError(f"{reason}; use --save out.mp4 or --jsonl - instead of a window, or --no-show")
        self._title = title
        self._trail = Trail()
        self.key = ""  # that was pressed when the last result was shown; "": none
        self._shown = False  # a window system may take a moment until the window is there
        self._size: tuple[int, int] | None = None
        self._closed = False
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise SinkError(f"OpenCV cannot open a window ({error.err}); use --save or --no-show") from error

    @property
    def closed(self) -> bool:
        """True once somebody closed the window: the moment to stop."""
        return self._closed

    def write(self, result: Result) -> None:
        """Show the result, and look whether somebody wants to leave."""
        if self._closed:
            return
        self._trail.push(result)
        self.key = self.show(draw(result.frame.image, result, self._trail))

    def show(self, picture: np.ndarray) -> str:
        """Show a picture (H, W, 3) as it is; the key that was pressed, "" for none."""
        if self._closed:
            return ""
        if self._size is None:
            self._size = _window_size(picture.shape[1], picture.shape[0])
            cv2.resizeWindow(self._title, *self._size)
        cv2.imshow(self._title, picture)
        key = cv2.waitKey(1) & 0xFF
        visible = self._visible()
        if key in (ord("q"), ord("Q"), 27) or (self._shown and not visible):
            self.close()
        self._shown = self._shown or visible
        return "" if key == 0xFF else chr(key)

    def _visible(self) -> bool:
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # Qt says so when the last window is gone
            return False

    def close(self) -> None:
        """Take the window off the screen."""
        if self._closed:
            return
        self._closed = True
        try:
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)  # lets the window system do it
        except cv2.error:  # it is gone already
            pass


def _window_size(width: int, height: int) -> tuple[int, int]:
    """Small pictures are shown twice as large, big ones within 1280 x 800.

    >>> _window_size(320, 240), _window_size(3840, 2160), _window_size(1080, 1920)
    ((640, 480), (1280, 720), (450, 800))
    """
    scale = min(2.0 if width <= 400 else 1.0, 1280 / width, 800 / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def why_no_display() -> str | None:
    """None where a window can be opened, else one clause that says why not."""
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        return "this OpenCV was built without windows (opencv-python-headless); pip install opencv-python"
    if not sys.platform.startswith("linux"):
        return None
    display, wayland = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    if not display and not wayland:
        return "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    where = f"DISPLAY={display}" if display else f"WAYLAND_DISPLAY={wayland}"
    if not _window_opens(display, wayland, os.environ.get("XAUTHORITY")):
        return f"the display does not let a window open ({where})"
    return None


@cache
def _window_opens(display: str | None, wayland: str | None, authority: str | None) -> bool:
    """Whether a window opens, tried in another process: Qt aborts the one that cannot reach its display."""
    try_it = "import cv2; cv2.namedWindow('streamrec'); cv2.waitKey(1)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", try_it],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


# -- video file


_TICKS = 90_000  # a second: what every video container can tell
_KEY_SECONDS = 2.0  # between key frames: how far a seek may miss, and how much a kill may cost
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    # Without B-frames every picture is stored at its own time, in order: no shift, no edit list.
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
    """A video that browsers play, each picture at its true time: H.264 in .mp4, .mov or .mkv, VP9 in .webm.

    The pictures come from the results' frames, with the overlay unless told otherwise; the times are their
    timestamps, counted from the first one. Where the clock goes back or a new segment begins, the video goes
    on after one usual gap. The first picture sets the size (odd sides grow by one pixel); later pictures of
    another size are fitted into it between black bars.

    While it grows, the video is ``name.part.mp4`` beside ``name.mp4``: it plays as it is, so a killed process
    loses about two seconds, and an older ``name.mp4`` stays whole until ``close`` puts the new one in its
    place. Without a result no file is left. Its owner alone may read it, unless there is an older one that others
    may read. Raises SinkError for an unknown ending, a folder that cannot be written to, a full disk.

    It cannot know what else is being read: give it another name than that of the source.
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
        self._encoder = found[0]
        _, self._part, self._indexed = files_of_video(self.path)
        if self.path.is_dir():
            raise SinkError(
                f"cannot write a video to {self.path}: it is a folder; add a file name such as out.mp4"
            )
        try:
            self._make(self._part)
        except OSError as error:
            raise SinkError(_cannot_write(self.path, error)) from error
        self._overlay = overlay
        self._trail = Trail()
        self._told = _Told()
        self._times = _Times()
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)  # width, height: even
        self._key_due = 0  # ticks
        self._closed = False

    def _make(self, path: Path) -> None:
        """An empty file with the rights that the video is to have."""
        open_private(path, "wb").close()
        with suppress(OSError):
            path.chmod(stat.S_IMODE(self.path.stat().st_mode) if self.path.exists() else PRIVATE_FILE)

    def write(self, result: Result) -> None:
        """Add the result's picture; one that only repeats the last picture adds nothing."""
        if self._closed:
            raise SinkError(f"{self.path.name} is closed already: write before close")
        if self._overlay:
            self._trail.push(result)
        if self._told.again(result.frame):
            return
        image = result.frame.image
        if self._overlay:
            image = draw(image, result, self._trail)
        try:
            if self._container is None:
                self._open(image)
            frame = av.VideoFrame.from_ndarray(self._to_yuv(image), format="yuv420p")
            frame.pts = self._times.next(result.frame.segment, result.frame.timestamp)
            frame.time_base = Fraction(1, _TICKS)
            if frame.pts >= self._key_due:
                frame.pict_type = av.video.frame.PictureType.I
                self._key_due = frame.pts + round(_KEY_SECONDS * _TICKS)
            self._mux(self._stream.encode(frame))
        except (OSError, av.FFmpegError) as error:
            raise SinkError(_cannot_write(self.path, error)) from error

    def _open(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        self._size = (width + width % 2, height + height % 2)
        options = {"flush_packets": "1"}  # to the disk at once
        if self._format in ("mp4", "mov"):
            # Fragments: each is complete by itself, so that what is on the disk plays at any moment.
            options |= {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        container = av.open(str(self._part), "w", format=self._format, options=options)
        stream: Any = container.add_stream(self._encoder, rate=30, options=dict(_ENCODERS[self._encoder][1]))
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        stream.time_base = Fraction(1, _TICKS)
        context.gop_size = 600
        context.thread_count = 2
        # What cv2.cvtColor makes, said aloud: BT.601, limited range.
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 6, 6, 1
        try:
            # The header at once: FFmpeg crashes where it is tried again after it could not be written.
            container.start_encoding()
        except BaseException:
            container.close()
            raise
        self._container, self._stream = container, stream

    def _to_yuv(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) BGR of any size -> (3 H' / 2, W') planar YUV 4:2:0 of the video's size."""
        width, height = self._size
        if (image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2) != self._size:
            image = _letterbox(image, width, height)
        right, below = width - image.shape[1], height - image.shape[0]
        if right or below:
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        return cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            # Only the last picture's own duration counts; the others last until the next one.
            packet.duration = self._times.gap
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the video and give it its name."""
        if self._closed:
            return
        self._closed = True
        if self._container is None:
            self._part.unlink(missing_ok=True)
            return
        try:
            try:
                self._mux(self._stream.encode(None))
            finally:
                self._container.close()
            if self._format in ("mp4", "mov"):
                self._index_first()
            else:
                self._part.replace(self.path)
        except (OSError, av.FFmpegError) as error:
            told = _cannot_write(self.path, error)
            if self._part.exists() and self._part.stat().st_size == 0:  # nothing had room
                self._part.unlink()
            kept = f"; what was recorded is in {self._part}" if self._part.exists() else ""
            raise SinkError(f"{told}{kept}") from error

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
                    # The last fragment does not tell how long its last picture lasts.
                    packet.duration = packet.duration or round(self._times.gap / _TICKS / packet.time_base)
                    packet.stream = copy
                    target.mux(packet)
            whole.replace(self.path)
        except BaseException:
            whole.unlink(missing_ok=True)
            raise
        self._part.unlink(missing_ok=True)


def files_of_video(path: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """What a ``VideoFile`` writes: the video, what it is while it grows, and what it is while its index is made.

    >>> [file.name for file in files_of_video("seen.mp4")]
    ['seen.mp4', 'seen.part.mp4', 'seen.whole.mp4']
    """
    path = Path(path)
    part, whole = (path.with_name(f"{path.stem}.{word}{path.suffix}") for word in ("part", "whole"))
    return path, part, whole


class _Times:
    """Source clocks -> ticks that only ever grow.

    >>> times = _Times()
    >>> [times.next(segment, t) / 90_000 for segment, t in [(0, 5.0), (0, 5.5), (1, 9.0), (1, 9.25)]]
    [0.0, 0.5, 1.0, 1.25]
    """

    def __init__(self) -> None:
        self.gap = _TICKS // 30  # ticks between two pictures, as usual of late
        self._gaps: deque[int] = deque(maxlen=9)
        self._segment = 0
        self._start = 0.0  # on the source's clock
        self._offset = 0  # ticks at the start
        self._last: int | None = None

    def next(self, segment: int, timestamp: float) -> int:
        """The ticks of a picture: true to its timestamp, or one usual gap on where that cannot be."""
        if self._last is None:
            self._begin(segment, timestamp, 0)
            self._last = 0
            return 0
        ticks = -1
        if segment == self._segment and math.isfinite(timestamp) and math.isfinite(self._start):
            ticks = self._offset + round((timestamp - self._start) * _TICKS)
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


def _letterbox(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture as large as it fits, black around it: (H, W, 3) -> (height, width, 3)."""
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.zeros((height, width, 3), np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas[y : y + inner[1], x : x + inner[0]] = cv2.resize(image, inner, interpolation=how)
    return canvas


def _cannot_write(path: Path, error: OSError | av.FFmpegError) -> str:
    return redact(printable(_why_not_written(path, error)))


def _why_not_written(path: Path, error: OSError | av.FFmpegError) -> str:
    if not path.parent.is_dir():
        return f"cannot write {path}: the folder {path.parent} does not exist; create it first"
    if error.errno == errno.ENOSPC:
        return f"cannot write {path}: the disk is full"
    reason = why(error) if isinstance(error, OSError) else (error.strerror or str(error)).lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {path}: {reason}; choose a place where you may write"
    return f"cannot write {path}: {reason}"


# -- JSON lines


class JsonLines(Sink):
    """One JSON object a line for each prediction, event and state of a source, as docs/jsonl.md describes.

    ``target`` is a path (an older file is replaced, or with ``append`` goes on), "-" for standard output, or
    something with ``write(text)``, which stays open. Without ``predictions`` events alone are written; ``clock``
    (seconds since 1970) gives each line the ``time`` of its writing. Every line is on its way before ``write``
    returns. A new file is for its owner alone. Raises SinkError where it cannot be written, or holds no text.

    >>> from streamrec.types import Prediction
    >>> lines = io.StringIO()
    >>> says = Prediction("wave", 0.75, np.array([0.25, 0.75], np.float32), 0.04, ("idle", "wave"))
    >>> with JsonLines(lines) as sink:
    ...     sink.write(Result(Frame(np.zeros((2, 2, 3), np.uint8), 1, 0.04, source="door"), says))
    >>> json.loads(lines.getvalue())["probabilities"]
    {'idle': 0.25, 'wave': 0.75}
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | IO[str] | SteadyFile | BackgroundFile,
        *,
        append: bool = False,
        predictions: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._told = _Told()
        self._predictions = predictions
        self._clock = clock
        self._lock = threading.Lock()  # states come from the thread that reads
        self._file: Any
        self._mine = False
        self._closed = False
        if isinstance(target, str) and target == "-":
            self._name = "standard output"
            check_lines(target)
            sys.stdout.flush()
            self._file = getattr(sys.stdout, "buffer", sys.stdout)  # bytes: UTF-8 whatever the console thinks
        elif isinstance(target, (str, os.PathLike)):
            path = path_to_write(target, "a file of JSON Lines", error=SinkError)
            self._name = str(path)
            check_lines(path)
            try:
                self._file = open_private(path, "ab" if append else "wb")
            except OSError as error:
                raise SinkError(_cannot_write(path, error)) from error
            self._mine = True
        else:
            if not hasattr(target, "write"):
                raise SinkError(
                    f"JSON lines are written to a path, '-' or an open file, not to {described(target)}"
                )
            self._name = str(getattr(target, "name", "the JSON lines"))
            self._file = target
        self._bytes = isinstance(self._file, (io.RawIOBase, io.BufferedIOBase)) or "b" in str(
            getattr(self._file, "mode", "")
        )

    def write(self, result: Result) -> None:
        """Write the prediction, unless it was told already, and the events."""
        again = self._told.again(result.frame) or not self._predictions
        lines = [] if again else [_prediction_line(result)]
        self._write(lines + [_event_line(event, result.frame.source) for event in result.events])

    def write_event(self, source: str, event: Event) -> None:
        """Write one event; from any thread."""
        self._write([_event_line(event, source)])

    def write_health(self, source: str, health: Health) -> None:
        """Write how a source is now; from any thread."""
        self._write([_health_line(source, health)])

    def _write(self, lines: list[dict[str, object]]) -> None:
        if self._closed:
            raise SinkError(f"{self._name} is closed already: write before close")
        if not lines:
            return
        if self._clock is not None:
            moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
            lines = [{**line, "time": moment} for line in lines]
        text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
        # A half surrogate (a file name that was not UTF-8) becomes the escape that JSON has for it.
        data = text.encode("utf-8", "backslashreplace")
        try:
            with self._lock:
                self._file.write(data if self._bytes else data.decode())
                flush = getattr(self._file, "flush", None)
                if flush is not None:
                    flush()
        except BrokenPipeError as error:
            raise SinkError(f"nobody reads {self._name} any more") from error
        except OSError as error:
            raise SinkError(f"cannot write {self._name}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file if it was opened here."""
        if self._closed:
            return
        self._closed = True
        if self._mine:
            self._file.close()


def check_lines(target: str | os.PathLike[str]) -> None:
    """Raise SinkError where lines would go nowhere, or over what is no text: a video, a model."""
    if isinstance(target, str) and target == "-":
        closed = sys.__stdout__ is None and getattr(sys.stdout, "name", os.devnull) == os.devnull
        if sys.stdout is None or closed:
            raise SinkError("standard output is closed; write the JSON Lines to a file, --jsonl out.jsonl")
        return
    path = Path(target)
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                if b"\0" in file.read(4096):
                    raise SinkError(
                        f"{printable(str(path))} is there and holds no text: JSON Lines would destroy it; "
                        "name another file"
                    )


def open_lines(
    target: str,
    *,
    append: bool,
    background: bool,
    tell: Callable[[str], object],
    predictions: bool = True,
    clock: Callable[[], float] | None = None,
) -> tuple[JsonLines, SteadyFile | BackgroundFile]:
    """JSON Lines that a full disk does not end, and their file, to be closed after them.

    ``background``: in a thread of its own, for what must not wait: a reader that is too slow loses the oldest lines,
    which are counted and told. Otherwise every line is handed over before ``write`` returns. ``tell`` gets sentences.
    """
    check_lines(target)
    name = "standard output" if target == "-" else target
    to: Any = getattr(sys.stdout, "buffer", sys.stdout) if target == "-" else Path(target)
    try:
        file = SteadyFile(to, name, tell=tell, append=append)
    except OSError as error:
        raise SinkError(_cannot_write(Path(target), error)) from error
    written = BackgroundFile(file, tell=tell) if background else file
    return JsonLines(written, predictions=predictions, clock=clock), written


def _number(value: float, digits: int) -> float | None:
    """Rounded; None where it is not a number, which JSON cannot say."""
    value = float(value)
    return round(value, digits) if math.isfinite(value) else None


def _prediction_line(result: Result) -> dict[str, object]:
    frame, prediction = result.frame, result.prediction
    return {
        "type": "prediction",
        "version": 1,
        "source": frame.source,
        "index": int(frame.index),
        "timestamp": _number(frame.timestamp, 6),
        "segment": int(frame.segment),
        "label": prediction.label,
        "confidence": _number(prediction.confidence, 4),
        "probabilities": {
            label: _number(share, 4)
            for label, share in zip(prediction.labels, prediction.probabilities, strict=False)
        },
        "latency": _number(result.latency, 4),
        "dropped": int(result.dropped),
        **({} if result.still is None else {"still": int(result.still)}),
        **({} if result.repetitions is None else {"repetitions": int(result.repetitions)}),
        **({} if prediction.strangeness is None else _strangeness(result, prediction.strangeness)),
    }


def _strangeness(result: Result, value: float) -> dict[str, object]:
    return {"strangeness": _number(value, 3), "unknown": result.unknown}


def _event_line(event: Event, source: str) -> dict[str, object]:
    ended = isinstance(event, ActionEnded)
    line: dict[str, object] = {
        "type": "event",
        "version": 1,
        "event": "ended" if ended else "started",
        "source": event.source or source,
        "label": event.label,
        "timestamp": _number(event.timestamp, 6),
        "confidence": _number(event.confidence, 4),
    }
    if isinstance(event, ActionEnded):
        line |= {"started": _number(event.started, 6), "duration": _number(event.duration, 6)}
        if event.repetitions is not None:
            line["repetitions"] = int(event.repetitions)
    return line


def _health_line(source: str, health: Health) -> dict[str, object]:
    return {
        "type": "state",
        "version": 1,
        "source": source,
        "state": str(health.state),
        "reason": health.reason,
        "frames": int(health.frames),
        "refused": {cause: int(count) for cause, count in health.refused.items()},
        "reconnects": {cause: int(count) for cause, count in health.reconnects.items()},
    }


# -- in the same program


class Latest(Sink):
    """Holds the newest result for one reader with its own rhythm: a GUI, a web page.

    The events of results that nobody got travel on with the next one (the newest thousand of them).
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._result: Result | None = None
        self._closed = False

    def write(self, result: Result) -> None:
        """Put this result in place of the one before."""
        with self._changed:
            if self._closed:
                raise SinkError("this Latest is closed already: write before close")
            missed = () if self._result is None else self._result.events
            self._result = _with_earlier(missed[-1000:], result)
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> Result | None:
        """The newest result not got yet, waiting for it up to ``timeout`` seconds; None when none came.

        It also returns None once the sink is closed and everything was got.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._result is not None or self._closed, timeout)
            result, self._result = self._result, None
            return result

    @property
    def closed(self) -> bool:
        """True once no newer result will come."""
        return self._closed

    def close(self) -> None:
        """Wake who waits; what was written last can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Callback(Sink):
    """Calls a function with each result.

    >>> seen = []
    >>> with Callback(seen.append) as sink:
    ...     sink.write("a result")
    >>> seen
    ['a result']
    """

    def __init__(self, function: Callable[[Result], object]) -> None:
        if not callable(function):
            raise SinkError(f"a Callback takes a function of a result, not {described(function)}")
        self._function = function

    def write(self, result: Result) -> None:
        """Call the function."""
        self._function(result)

    def close(self) -> None:
        """Nothing is left to do."""


def as_sink(thing: Sink | Callable[[Result], object]) -> Sink:
    """A sink as it is, a function as a sink.

    >>> type(as_sink(print)).__name__
    'Callback'
    """
    if isinstance(thing, Sink):
        return thing
    if callable(thing):
        return Callback(thing)
    raise SinkError(
        f"{type(thing).__name__} is no place for results: pass a Sink or a function of one result"
    )


# -- slow ones


def _with_earlier(events: tuple[Event, ...], result: Result) -> Result:
    return replace(result, events=events + result.events) if events else result


class Background(Sink):
    """A slow sink in a thread of its own, so that it never slows the recognizer.

    At most ``capacity`` results wait. When it is full, the oldest is dropped and counted, and its events go
    on to the next result in line, in order: events are never lost. With ``drop_oldest=False`` nothing is
    dropped and ``write`` waits. What the wrapped sink raises is raised by the next ``write`` or by ``close``.
    ``close`` gives the thread ``patience`` seconds to write what waits and to close the sink, and raises
    SinkError after that.
    """

    def __init__(
        self, sink: Sink, *, capacity: int = 8, drop_oldest: bool = True, patience: float = 30.0
    ) -> None:
        whole_number(capacity, "capacity, the results that may wait,", error=SinkError)
        self._sink = as_sink(sink)
        self._capacity = capacity
        self._drop_oldest = drop_oldest
        self._patience = patience
        self._waiting: deque[Result] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        self._closed = False
        self._error: BaseException | None = None
        self._raised = False
        self._thread = threading.Thread(target=self._work, name=f"sink {type(sink).__name__}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many results were dropped because the sink was slower."""
        return self._dropped

    def write(self, result: Result) -> None:
        """Hand the result over; raises what the sink raised since."""
        with self._changed:
            if not self._drop_oldest:
                self._changed.wait_for(
                    lambda: len(self._waiting) < self._capacity or self._error is not None or self._closed
                )
            self._raise_error()
            if self._closed:
                raise SinkError(f"this {type(self._sink).__name__} is closed already: write before close")
            if len(self._waiting) >= self._capacity:
                oldest = self._waiting.popleft()
                self._dropped += 1
                if self._waiting:
                    self._waiting[0] = _with_earlier(oldest.events, self._waiting[0])
                else:
                    result = _with_earlier(oldest.events, result)
            self._waiting.append(result)
            self._changed.notify_all()

    def _raise_error(self) -> None:
        if self._error is not None:
            self._raised = True
            raise self._error

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._closed)
                    if not self._waiting:
                        break
                    result = self._waiting.popleft()
                    self._changed.notify_all()
                self._sink.write(result)
        except BaseException as error:  # it is raised again, where the writer is
            self._fail(error)
        try:
            self._sink.close()  # in the thread that wrote
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._waiting.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, close the wrapped sink, end the thread."""
        with self._changed:
            if self._closed and not self._thread.is_alive():
                return
            self._closed = True
            self._changed.notify_all()
        self._thread.join(self._patience)
        if self._thread.is_alive():
            with self._changed:
                left = len(self._waiting)
                self._waiting.clear()
            raise SinkError(
                f"{type(self._sink).__name__} is stuck: "
                f"after {self._patience:g} s {left} more results were not written"
            )
        if self._error is not None and not self._raised:
            self._raise_error()
