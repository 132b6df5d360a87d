"""The pictures of a recording, decoded by PyAV: upright, without the combs of interlaced video, at their times."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import av
import cv2
import numpy as np

from streamrec.core import threads
from streamrec.sources.file_bytes import Pipe, Recording, RemoteFile, UnreadableError, missing_bytes
from streamrec.sources.image_files import MOST_PIXELS, size_of, too_large
from streamrec.sources.video_io import ffmpeg_reason

WHOLE = 0.9  # of the pictures that a header promises: some headers only estimate
SAME_TIME = 1e-6  # seconds
DAMAGED_READS = 100  # in a row, after which nothing more is expected of a damaged file
RESERVE = 31 << 20  # bytes; glibc heeds no larger block
# FFmpeg invents times for these: so many pictures a second as their own header tells, or 25.
UNTIMED = ("h264", "hevc", "vvc", "m4v", "mjpeg", "mpegvideo", "obu", "cavsvideo", "vc1", "h263", "h261")
_LISTS = (b"#EXTM3U", b"ffconcat version", b"<MPD", b"<?xml", b"v=0", b"[playlist]")
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, -90: cv2.ROTATE_90_CLOCKWISE}


class Video:
    """An open recording. ``pictures`` is read once; then ``amiss`` says what was cut off or lost, None: nothing."""

    def __init__(self, container: Any, data: Recording) -> None:
        self._container, self._data = container, data
        self._stream = stream = _stream_of(container)
        if (large := too_large(stream.codec_context.width, stream.codec_context.height)) is not None:
            raise UnreadableError(large)
        self._untimed = container.format.name in UNTIMED
        rate = stream.average_rate or stream.guessed_rate  # the nominal rate does not know of what is missing
        if self._untimed:
            rate = stream.codec_context.framerate or stream.guessed_rate or rate
        self.rate = float(rate) if rate and 0.0 < rate < 1000.0 else None
        self.amiss: str | None = None

    @property
    def note(self) -> str | None:
        """What a person should know of it before: None where all is as usual."""
        if not self._untimed:
            return None
        told = "as its header says" if self._stream.codec_context.framerate else "for it tells no rate"
        return f"it holds no timestamps; {1.0 / self.step:.4g} pictures a second are assumed, {told}"

    @property
    def step(self) -> float:
        """Seconds from a picture to the next one, where the file does not tell."""
        return 1.0 / self.rate if self.rate else 1.0 / (25.0 if self._untimed else 30.0)

    @property
    def duration(self) -> float | None:
        """Seconds, as the header tells; None: it does not."""
        stream, container = self._stream, self._container
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if container.duration and not self._untimed:
            return float(container.duration / av.time_base)
        return None

    @property
    def promised(self) -> int:
        """How many pictures the header promises; 0: it does not say."""
        if self._stream.frames:
            return int(self._stream.frames)
        return round((self.duration or 0.0) * (self.rate or 0.0))

    def pictures(self, size: tuple[int, int] | None) -> Generator[tuple[np.ndarray, float]]:
        """Pictures (H, W, 3) uint8 BGR and their times in seconds, which grow.

        ``size``: shrunk to this width and height where they are larger, so that the large one is never made.
        """
        _keep_heap()
        stream = self._stream
        start = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        convert = Converter(size)
        came, before = 0, -self.step
        for frame, time in _Deinterlaced().of(self._frames()):
            told = None if self._untimed or time is None else time - start
            # Containers without times say 0 for ever; what rounding alone sets apart is one time said twice.
            before = told if told is not None and told > before + SAME_TIME else before + self.step
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
            for _ in range(DAMAGED_READS):  # what the decoder still holds, after an error too
                errors = self._errors
                yield from self._decoded(None)
                if self._errors == errors:
                    return
        finally:
            # Ends what the decoder's threads do. Left to the closing, which holds Python's lock, one that has
            # something to say at that moment, and so wants it too, would wait for ever.
            context.flush_buffers()

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            frames: list[Any] = self._stream.codec_context.decode(packet)
        except EOFError:
            return []
        except av.FFmpegError:
            self._errors += self._came  # what comes before the first key frame was never whole
            return []
        for frame in frames:
            frame.time_base = self._stream.time_base  # the last ones have none, and no time then
            if self._container.format.name == "avi":  # counts its pictures as they are decoded
                frame.pts = frame.dts
        self._came = self._came or bool(frames)
        return frames

    def _packets(self) -> Iterator[Any]:
        """Those of the pictures; a part that cannot be read is passed over."""
        damaged = 0
        while damaged < DAMAGED_READS:
            try:
                for packet in self._container.demux(self._stream):
                    damaged = 0
                    yield packet
                return
            except av.FFmpegError:
                damaged += 1
        self._errors += 1

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
    """Frames of a decoder become pictures, BGR, upright, and small where ``size`` is smaller."""

    def __init__(self, size: tuple[int, int] | None) -> None:
        self._size = size
        # A frame's own conversion makes a scaler for that frame alone, with threads for each core.
        self._scaler = av.video.reformatter.VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        """(H, W, 3) uint8; raises ``UnreadableError`` for what cannot be converted: that is never passed on."""
        turn = _TURNS.get(round(frame.rotation / 90.0) * 90 if frame.rotation else 0)
        if abs(frame.rotation) == 180:
            turn = cv2.ROTATE_180
        width, height = frame.width, frame.height
        if self._size is not None:
            wide, high = self._size[::-1] if turn is not None and turn != cv2.ROTATE_180 else self._size
            if width >= wide and height >= high:
                width, height = wide, high
        how = "BICUBIC" if self._size is None else "AREA"  # by area each pixel counts, as Transform has it
        try:
            made = self._scaler.reformat(frame, width, height, "bgr24", interpolation=how, threads=1)
        except av.FFmpegError:
            made = self._as_ordinary(frame, width, height, how)
        image = made.to_ndarray()
        return image if turn is None else np.asarray(cv2.rotate(image, turn))

    def _as_ordinary(self, frame: Any, width: int, height: int, how: str) -> Any:
        """Of colours that the scaler does not know: taken for those of ordinary video."""
        try:
            return self._scaler.reformat(
                frame, width, height, "bgr24", src_colorspace=1, interpolation=how, threads=1
            )
        except av.FFmpegError as error:
            raise UnreadableError(
                f"its pictures ({frame.format.name}) cannot be converted: {error.strerror}"
            ) from None


class _Deinterlaced:
    """Two fields filmed one after the other become one picture; what is not interlaced passes as it is.

    The filter is there from the first interlaced frame on, so that other video pays nothing. It needs the frame
    after, and so gives each one later.
    """

    def __init__(self) -> None:
        self._graph: Any = None
        self._kind: tuple[Any, ...] = ()
        self._times: deque[float | None] = (
            deque()
        )  # of those in the filter, which would tell the last one's wrongly

    def of(self, frames: Generator[Any]) -> Generator[tuple[Any, float | None]]:
        """The frames with their times in seconds, in order, none left out."""
        try:
            for frame in frames:
                kind = (frame.width, frame.height, frame.format.name, frame.time_base)
                if self._graph is not None and kind != self._kind:  # another size: a filter of its own
                    yield from self._rest()
                if self._graph is None and frame.interlaced_frame and min(frame.width, frame.height) >= 4:
                    self._graph, self._kind = _graph(*kind), kind
                if self._graph is None:
                    yield frame, frame.time
                else:
                    self._times.append(frame.time)
                    self._graph.vpush(frame)
                    yield from self._ready()
            if self._graph is not None:
                yield from self._rest()
        finally:
            frames.close()

    def _ready(self) -> Iterator[tuple[Any, float | None]]:
        while self._times:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, EOFError):
                return
            yield frame, self._times.popleft()

    def _rest(self) -> Iterator[tuple[Any, float | None]]:
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
def opened_video(data: Recording) -> Iterator[Video]:
    """Open a recording and close it at the end; raises ``UnreadableError``: what is wrong, without its name."""
    data.open()
    _check_picture(data)
    try:
        # No protocol at all: a playlist, or a film that refers to others, is given nothing but its own bytes.
        container = av.open(data.for_ffmpeg(), options={"protocol_whitelist": "none"}, buffer_size=1 << 16)
    except (av.FFmpegError, UnicodeError) as error:
        if data.error is not None:
            raise data.error from None
        raise UnreadableError(_why_closed(data, error)) from None
    with container:
        yield Video(container, data)


def _check_picture(data: Recording) -> None:
    """A single picture that would fill the memory is not decoded, not even to look what it is."""
    if isinstance(data, Pipe | RemoteFile):
        return
    size = size_of(data)  # type: ignore[arg-type]
    data.seek(0)
    if size is not None and (large := too_large(*size)) is not None:
        raise UnreadableError(large)


def _stream_of(container: Any) -> Any:
    """The first that is film: not a cover, and not what there is no decoder for."""
    films = [stream for stream in container.streams.video if stream.codec_context is not None]
    moving = [stream for stream in films if not stream.disposition & _COVER]
    if moving:
        return moving[0]
    if films and all(stream.type == "video" for stream in container.streams):
        return films[0]
    if container.streams.video and not films:
        raise UnreadableError("FFmpeg has no decoder for its pictures")
    kinds = sorted({stream.type for stream in container.streams} - {"video"})
    raise UnreadableError("it holds no video" + (f", only {', '.join(kinds)}" if kinds else ""))


_FORWARDS = "a pipe is read from its beginning on, which MPEG-TS, Matroska and fragmented MP4 allow"
_COVER = av.stream.Disposition.attached_pic


def _why_closed(data: Recording, error: Exception) -> str:
    if data.lost:
        return data.lost
    if not isinstance(data, Pipe):
        data.seek(0)
        head = data.read(64).lstrip(b"\xef\xbb\xbf \r\n\t")
        if head.startswith(_LISTS):
            return "it is a list that names other files, and these are not read; name the video itself"
        if (missing := missing_bytes(data)) > 0:
            return f"it is cut off: {missing} bytes are missing at its end"
    words = ffmpeg_reason(error, 0.0, 1.0) if isinstance(error, av.FFmpegError) else "it is damaged"
    return f"{words}; {_FORWARDS}" if isinstance(data, Pipe) else words


def _keep_heap() -> None:
    """glibc gives the memory of each large picture back to the system, which costs as much as to convert it.

    It does not below the size of the largest block that was freed; this one is never written, and so costs nothing.
    """
    np.empty(RESERVE, np.uint8)
