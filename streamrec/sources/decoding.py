"""Decoding a video file with PyAV: upright, deinterlaced frames with their timestamps."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from streamrec.core import threads
from streamrec.sources.file_bytes import Pipe, UnreadableError, VideoBytes
from streamrec.sources.file_length import missing_bytes
from streamrec.sources.image_files import MOST_PIXELS, size_of, too_large
from streamrec.sources.open_errors import ffmpeg_reason
from streamrec.sources.remote_file import RemoteFile

WHOLE = 0.9  # of the frames that a header announces: some headers only estimate
SAME_TIME = 1e-6  # seconds
DAMAGED_READS = 100  # in a row, after which a damaged file is given up
RESERVE = 31 << 20  # bytes; glibc ignores larger blocks
# FFmpeg invents times for these, by the frame rate of their own header, or 25.
UNTIMED = ("h264", "hevc", "vvc", "m4v", "mjpeg", "mpegvideo", "obu", "cavsvideo", "vc1", "h263", "h261")
_LISTS = (b"#EXTM3U", b"ffconcat version", b"<MPD", b"<?xml", b"v=0", b"[playlist]")
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, -90: cv2.ROTATE_90_CLOCKWISE}


def packets_past_damage(container: Any, stream: Any) -> Generator[Any, None, bool]:
    """The packets of a stream; a part that cannot be read is skipped. Returns whether a damaged file was given up."""
    damaged = 0
    while damaged < DAMAGED_READS:
        try:
            for packet in container.demux(stream):
                damaged = 0
                yield packet
            return False
        except av.FFmpegError:
            damaged += 1
    return True


class Video:
    """An open video. Iterate ``pictures`` once; then ``amiss`` is what was cut off or lost, None: nothing."""

    def __init__(self, container: Any, data: VideoBytes) -> None:
        self._container, self._data = container, data
        self._stream = stream = _stream_of(container)
        if (large := too_large(stream.codec_context.width, stream.codec_context.height)) is not None:
            raise UnreadableError(large)
        self._untimed = container.format.name in UNTIMED
        rate = stream.average_rate or stream.guessed_rate  # the nominal rate ignores gaps
        if self._untimed:
            rate = stream.codec_context.framerate or stream.guessed_rate or rate
        self.rate = float(rate) if rate and 0.0 < rate < 1000.0 else None
        self.amiss: str | None = None

    @property
    def note(self) -> str | None:
        """A note for the user before it is played; None: nothing to note."""
        if not self._untimed:
            return None
        why = "as its header says" if self._stream.codec_context.framerate else "for its header has no rate"
        return f"it holds no timestamps; {1.0 / self.step:.4g} pictures a second are assumed, {why}"

    @property
    def step(self) -> float:
        """Seconds between two frames of a file without timestamps."""
        return 1.0 / self.rate if self.rate else 1.0 / (25.0 if self._untimed else 30.0)

    @property
    def duration(self) -> float | None:
        """Seconds by the header; None: not known."""
        stream, container = self._stream, self._container
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if container.duration and not self._untimed:
            return float(container.duration / av.time_base)
        return None

    @property
    def promised(self) -> int:
        """How many frames the header announces; 0: not known."""
        if self._stream.frames:
            return int(self._stream.frames)
        return round((self.duration or 0.0) * (self.rate or 0.0))

    def pictures(self, size: tuple[int, int] | None) -> Generator[tuple[np.ndarray, float]]:
        """Frames (H, W, 3) uint8 BGR and their timestamps in seconds, which increase.

        ``size``: larger frames are scaled to this width and height, without making the large one.
        """
        _keep_heap()
        stream = self._stream
        start = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        convert = Converter(size)
        came, before = 0, -self.step
        for frame, time in _Deinterlaced().of(self._frames()):
            stamp = None if self._untimed or time is None else time - start
            # Containers without times repeat 0; times that only rounding separates are the same.
            before = stamp if stamp is not None and stamp > before + SAME_TIME else before + self.step
            yield convert(frame), before
            came += 1
        if self._data.error is not None:
            raise self._data.error
        self.amiss = self._what_is_amiss(came, before + self.step)

    def _frames(self) -> Generator[Any]:
        context = self._stream.codec_context
        context.thread_count = threads.for_decoder()
        context.options = {**context.options, "max_pixels": str(MOST_PIXELS)}
        self._stream.thread_type = "AUTO"
        self._errors, self._came = 0, False
        try:
            for packet in self._packets():
                if not packet.size:
                    continue
                yield from self._decoded(packet)
            for _ in range(DAMAGED_READS):  # frames that the decoder still holds, after an error too
                errors = self._errors
                yield from self._decoded(None)
                if self._errors == errors:
                    return
        finally:
            # End the decoder's threads here. The closing holds Python's lock, and a thread that logs a message at that
            # moment would wait for the lock for ever.
            context.flush_buffers()

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            frames: list[Any] = self._stream.codec_context.decode(packet)
        except EOFError:
            return []
        except av.FFmpegError:
            self._errors += self._came  # frames before the first key frame are never whole
            return []
        for frame in frames:
            frame.time_base = self._stream.time_base  # the last ones lack it, and then have no time
            if self._container.format.name == "avi":  # its frames are in decoding order
                frame.pts = frame.dts
        self._came = self._came or bool(frames)
        return frames

    def _packets(self) -> Iterator[Any]:
        """Packets of video; a part that cannot be read is skipped."""
        given_up = yield from packets_past_damage(self._container, self._stream)
        self._errors += given_up  # which others have counted up meanwhile

    def _what_is_amiss(self, came: int, end: float) -> str | None:
        data, promised = self._data, self.promised
        if data.lost:
            of_all = f" of {data.size}" if data.size else ""
            return f"{data.lost}: {data.tell()}{of_all} bytes came, {came} pictures"
        if isinstance(data, Pipe) and not came:
            return f"nothing could be decoded; {_FORWARDS}"
        missing = missing_bytes(data)
        whole = came >= WHOLE * promised or end >= WHOLE * (
            self.duration or 0.0
        )  # an edit list leaves some out
        if missing > 0:
            if promised > came:
                return f"it is cut off or damaged: {came} of its {promised} pictures came"
            return f"it is cut off: {missing} bytes are missing at its end; {came} pictures came"
        if self._errors:
            few = "1 picture" if self._errors == 1 else f"{self._errors} pictures"
            return f"it is damaged: {few} could not be decoded, {came} came"
        return None if whole else f"it is cut off or damaged: {came} of its {promised} pictures came"


class Converter:
    """Converts decoded frames to BGR arrays, upright, and scaled down where ``size`` is smaller."""

    def __init__(self, size: tuple[int, int] | None) -> None:
        self._size = size
        # A frame's own conversion makes a scaler for that frame alone, with threads for each core.
        self._scaler = av.video.reformatter.VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        """(H, W, 3) uint8; raises ``UnreadableError`` for a frame that cannot be converted."""
        turn = _TURNS.get(round(frame.rotation / 90.0) * 90 if frame.rotation else 0)
        if abs(frame.rotation) == 180:
            turn = cv2.ROTATE_180
        width, height = frame.width, frame.height
        if self._size is not None:
            wide, high = self._size[::-1] if turn is not None and turn != cv2.ROTATE_180 else self._size
            if width >= wide and height >= high:
                width, height = wide, high
        how = (
            "BICUBIC" if self._size is None else "AREA"
        )  # by area, so that each pixel counts, as in Transform
        try:
            made = self._scaler.reformat(frame, width, height, "bgr24", interpolation=how, threads=1)
        except av.FFmpegError:
            made = self._as_ordinary(frame, width, height, how)
        image = made.to_ndarray()
        return image if turn is None else np.asarray(cv2.rotate(image, turn))

    def _as_ordinary(self, frame: Any, width: int, height: int, how: str) -> Any:
        """Convert a frame of unknown colours as if they were those of ordinary video."""
        try:
            return self._scaler.reformat(
                frame, width, height, "bgr24", src_colorspace=1, interpolation=how, threads=1
            )
        except av.FFmpegError as error:
            raise UnreadableError(
                f"its pictures ({frame.format.name}) cannot be converted: {error.strerror}"
            ) from None


class _Deinterlaced:
    """Joins the two fields of interlaced video into one frame; other frames pass unchanged.

    The filter is made at the first interlaced frame, so that other video pays nothing. It needs the next frame, and
    so outputs each one later.
    """

    def __init__(self) -> None:
        self._graph: Any = None
        self._kind: tuple[Any, ...] = ()
        self._times: deque[float | None] = deque()  # of frames in the filter, whose own last time is wrong

    def of(self, frames: Generator[Any]) -> Generator[tuple[Any, float | None]]:
        """All frames in order, with their times in seconds."""
        try:
            for frame in frames:
                kind = (frame.width, frame.height, frame.format.name, frame.time_base)
                if self._graph is not None and kind != self._kind:  # another size: a filter of its own
                    yield from self._flush()
                if self._graph is None and frame.interlaced_frame and min(frame.width, frame.height) >= 4:
                    self._graph, self._kind = _graph(*kind), kind
                if self._graph is None:
                    yield frame, frame.time
                else:
                    self._times.append(frame.time)
                    self._graph.vpush(frame)
                    yield from self._ready()
            if self._graph is not None:
                yield from self._flush()
        finally:
            frames.close()

    def _ready(self) -> Iterator[tuple[Any, float | None]]:
        while self._times:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, EOFError):
                return
            yield frame, self._times.popleft()

    def _flush(self) -> Iterator[tuple[Any, float | None]]:
        self._graph.vpush(None)
        yield from self._ready()
        self._graph = None
        self._times.clear()


def _graph(width: int, height: int, kind: str, time_base: Any) -> Any:
    graph = av.filter.Graph()
    with suppress(AttributeError):  # an older PyAV
        graph.threads = threads.for_decoder()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat(kind), time_base=time_base)
    graph.link_nodes(
        source, graph.add("yadif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


@contextmanager
def opened_video(data: VideoBytes) -> Iterator[Video]:
    """Open a video, and close it at the end; raises ``UnreadableError``, whose message does not name it."""
    with opened_media(data) as container:
        yield Video(container, data)


@contextmanager
def opened_media(data: VideoBytes) -> Iterator[Any]:
    """Open a file of pictures or sound with FFmpeg, and close it at the end; raises ``UnreadableError``."""
    data.open()
    _check_picture(data)
    try:
        # No protocol at all: a playlist, or a video that refers to other files, can read nothing but its own bytes.
        container = av.open(data.for_ffmpeg(), options={"protocol_whitelist": "none"}, buffer_size=1 << 16)
    except (av.FFmpegError, UnicodeError) as error:
        if data.error is not None:
            raise data.error from None
        raise UnreadableError(_why_closed(data, error)) from None
    with container:
        yield container


def _check_picture(data: VideoBytes) -> None:
    """Refuse a single image that would fill the memory before FFmpeg analyses it."""
    if isinstance(data, Pipe | RemoteFile):
        return
    size = size_of(data)  # type: ignore[arg-type]
    data.seek(0)
    if size is not None and (large := too_large(*size)) is not None:
        raise UnreadableError(large)


def _stream_of(container: Any) -> Any:
    """The first stream of moving video, or a picture that is alone."""
    videos = [stream for stream in container.streams.video if stream.codec_context is not None]
    if (moving := moving_stream(container)) is not None:
        return moving
    if videos and all(stream.type == "video" for stream in container.streams):
        return videos[0]
    if container.streams.video and not videos:
        raise UnreadableError("FFmpeg has no decoder for its pictures")
    kinds = sorted({stream.type for stream in container.streams} - {"video"})
    raise UnreadableError("it holds no video" + (f", only {', '.join(kinds)}" if kinds else ""))


def moving_stream(container: Any) -> Any:
    """The first stream of moving video: not a cover, and not one without a decoder; None: there is none."""
    videos = (stream for stream in container.streams.video if stream.codec_context is not None)
    return next((stream for stream in videos if not stream.disposition & _COVER), None)


_FORWARDS = "a pipe is read from its beginning on, which MPEG-TS, Matroska and fragmented MP4 allow"
_COVER = av.stream.Disposition.attached_pic


def _why_closed(data: VideoBytes, error: Exception) -> str:
    if data.lost:
        return data.lost
    if not isinstance(data, Pipe):
        data.seek(0)
        head = data.read(64).lstrip(b"\xef\xbb\xbf \r\n\t")
        if head.startswith(_LISTS):
            return "it is a list that names other files, and these are not read; name the video itself"
        if (missing := missing_bytes(data)) > 0:
            return f"it is cut off: {missing} bytes are missing at its end"
    reason = ffmpeg_reason(error, 0.0, 1.0) if isinstance(error, av.FFmpegError) else "it is damaged"
    return f"{reason}; {_FORWARDS}" if isinstance(data, Pipe) else reason


def _keep_heap() -> None:
    """Keep glibc from returning the memory of each large frame to the system, which costs as much as to convert it.

    It keeps blocks up to the size of the largest one that was freed; this one is never written, and costs nothing.
    """
    np.empty(RESERVE, np.uint8)


def seconds_in(path: Path) -> float | None:
    """From the first frame of a video to its last, also of one that was cut short; None where it has none."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            times = [
                float(packet.pts * packet.time_base)
                for packet in container.demux(stream)
                if packet.pts is not None
            ]
    except (av.FFmpegError, OSError, IndexError):
        return None
    return max(times) - min(times) if times else None
