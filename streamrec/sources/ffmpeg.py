"""Reading an address with FFmpeg: packets become pictures, and what is damaged or old does not."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import av
import av.logging

from streamrec.core.address import percent_hint
from streamrec.sources.camera_clock import JUMP_SECONDS
from streamrec.sources.h264 import FrameNumbers
from streamrec.sources.http_kind import ends, redirects, sends_parts
from streamrec.sources.open_errors import (
    CIRCLE,
    HUNG_UP,
    NESTED,
    NO_CODEC,
    NO_WAY,
    NOT_OPENED,
    leads_on,
    nests,
    why_not_opened,
)
from streamrec.sources.reader_thread import (
    ENDED,
    LATE,
    LATE_SECONDS,
    SILENT,
    TORN,
    TRUSTED,
    Attempt,
    Over,
    Shot,
    sleep,
)
from streamrec.sources.slices import Joiner, Whole
from streamrec.sources.video_io import DEAF, LOST, OPEN_SECONDS, no_answer, no_video

READ_SECONDS = 5.0  # after so long without a word the thread that reads looks whether it is still wanted
CAUGHT_UP_SECONDS = 0.02  # it had to wait so shortly before, if only for sound: what comes is new
BUSY_TRIES, BUSY_SECONDS = (
    4,
    0.25,
)  # a server that has just let go of a viewer may be too busy for the next one
REORDERED = "16"  # packets of RTP that wait for one before them: over TCP, too, a camera may leave some out
FIRST_NUMBER, NUMBERED = -(1 << 40), 32  # no picture's own time is like these; so many may be on their way
# FFmpeg invents times for these.
UNTIMED = ("mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe", "h264", "hevc", "m4v")


def read_stream(address: str, transport: str, attempt: Attempt, *, films: bool = False) -> None:
    """Read an address until it ends or nobody wants it any more; raises ``Over``. ``films``: unless it is a file."""
    # FFmpeg looks at five seconds of some streams, which is all the time that there is to open them. What kind of
    # pictures come is known after less, and RTSP and RTMP tell it before.
    told = address.lower().startswith(("rtsp", "rtmp"))
    options = {"analyzeduration": "200000" if told else "1000000", "fpsprobesize": "0"}
    if address.lower().startswith("rtsp"):
        options["allowed_media_types"] = "video"
        options["reorder_queue_size"] = REORDERED
        if transport == "auto":
            options["rtsp_flags"] = "prefer_tcp"
        else:
            options["rtsp_transport"] = transport
    asked = time.monotonic()
    with overheard() as said, _opened_stream(address, options, attempt.opening, said) as container:
        if container.streams.video and container.streams.video[0].codec_context is None:
            raise Over(NO_CODEC, cause=LOST)
        if attempt.opening < OPEN_SECONDS and time.monotonic() - asked >= 0.95 * attempt.opening:
            raise Over("it is open, and nothing came", cause=SILENT)
        if not container.streams.video:
            raise Over(NESTED if nests([text for _, _, text in said]) else no_video(container), cause=LOST)
        kind = container.format.name
        recording = container.duration is not None and container.duration > 0
        pieces, timed = "hls" in kind, kind not in UNTIMED
        if films and not pieces and (recording or (timed and ends(container.size))):
            raise Over(None, film=True)
        attempt.opened(
            pieces=pieces, timely=timed and not pieces and not recording, endless=not recording, heard=False
        )
        decoder = Decoder(
            container,
            attempt,
            said=said,
            timed=timed,
            hurry=not recording and not pieces,
            pace=_Pace() if pieces else None,
        )
        decoder.run()
        if attempt.unwanted:
            return
        raise Over(None) if recording else Over(ENDED, cause=ENDED)


class _Said(list[tuple[int, str, str]]):
    """What FFmpeg says while an address is opened. Who is led on in a circle rests here, in FFmpeg's own thread.

    It follows redirects of RTSP, and playlists in playlists, without end, a thousand and more a second, and nothing
    can end it but its deadline.
    """

    until = 0.0  # time.monotonic() of that

    def append(self, said: tuple[int, str, str]) -> None:
        super().append(said)
        if time.monotonic() >= self.until:
            return
        texts = [text for _, _, text in self]
        if leads_on(texts) or nests(texts):
            time.sleep(min(max(0.0, self.until - time.monotonic()) + 0.01, OPEN_SECONDS))


@contextmanager
def overheard() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg says in this thread: how urgent, who, the text, which may hold an address.

    Its log is one for the whole program. Where nobody reads it, nobody else is to hear more of it by this.
    """
    if av.logging.get_level() is None:
        logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.INFO)  # at which redirects are told
    capture, said = av.logging.Capture(local=True), _Said()
    with capture as plain:
        # PyAV hands out a list and no say in it. Where it is built otherwise some day, redirects have no bound.
        for held in gc.get_referents(capture):
            if isinstance(held, list) and held and held[-1] is plain:
                held[-1] = said
                break
        else:
            yield plain
            return
        yield said


@contextmanager
def _lines_told() -> Iterator[None]:
    """FFmpeg tells of each connection that it makes: of playlists in playlists there is no other sign."""
    with _telling:
        _told_by.append(av.logging.get_level())
        av.logging.set_level(max(_told_by[0] or 0, av.logging.VERBOSE))
    try:
        yield
    finally:
        with _telling:
            if len(_told_by) == 1:
                av.logging.set_level(_told_by[0])
            _told_by.pop()


_telling = threading.Lock()
_told_by: list[int | None] = []  # levels, each as it was found: the first is the one to come back to


def _opened_stream(
    address: str, options: dict[str, str], seconds: float, said: list[tuple[int, str, str]]
) -> Any:
    asked = time.monotonic()
    if isinstance(said, _Said):
        said.until = asked + seconds
    try:
        with _lines_told() if address.lower().startswith("http") else nullcontext():
            container = av.open(address, options=options, timeout=(seconds, READ_SECONDS))
        if isinstance(said, _Said):
            said.until = 0.0
        return container
    except av.FFmpegError as error:
        if isinstance(error, av.InvalidDataError) and (parts := _parts(address, seconds)) is not None:
            return parts
        texts = [text for _, _, text in said]
        reason = why_not_opened(error, texts, address, time.monotonic() - asked, seconds)
        if reason == NOT_OPENED and address.lower().startswith("http") and redirects(address, seconds):
            reason = CIRCLE
        circle = reason in (CIRCLE, NESTED)
        silent = reason in (no_answer(seconds), DEAF, NO_WAY, HUNG_UP) or reason.startswith("the name ")
        locked = isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError)
        reason += percent_hint(address) if locked else ""
        known = locked or circle or isinstance(error, av.HTTPNotFoundError)
        if "allowed_media_types" in options and not silent and not known:
            reason = _without_pictures(address, reason)
    raise Over(reason, silent=silent, locked=locked)


def _parts(address: str, seconds: float) -> Any:
    """MJPEG that does not begin with a boundary, as browsers take it too; None: it is none."""
    if not address.lower().startswith("http") or not sends_parts(address, seconds):
        return None
    try:
        options = {"analyzeduration": "1000000", "fpsprobesize": "0"}
        return av.open(address, format="mjpeg", options=options, timeout=(seconds, READ_SECONDS))
    except av.FFmpegError:
        return None


def _without_pictures(address: str, reason: str) -> str:
    """Whether an RTSP address that could not be opened for its pictures has sound alone."""
    for _ in range(BUSY_TRIES):
        try:
            with av.open(
                address, options={"rtsp_flags": "prefer_tcp"}, timeout=(OPEN_SECONDS, READ_SECONDS)
            ) as container:
                return reason if container.streams.video else no_video(container)
        except av.HTTPServerError:
            time.sleep(BUSY_SECONDS)
        except av.FFmpegError:
            break
    return reason


class _Pace:
    """When pictures that came in a piece of several seconds are due, by the stream's clock.

    >>> pace = _Pace()
    >>> [round(pace.wait(told, now), 1) for told, now in ((5.0, 100.0), (5.2, 100.0), (5.4, 100.5), (5.6, 100.5))]
    [0.0, 0.2, 0.0, 0.1]
    """

    def __init__(self) -> None:
        self._offset: float | None = None  # from the stream's clock to time.monotonic()

    def wait(self, told: float, now: float) -> float:
        """Seconds until the picture of this time is due."""
        if self._offset is None or not -LATE_SECONDS < told + self._offset - now < JUMP_SECONDS:
            self._offset = now - told  # the first one; a piece came late; the clock was set
        return max(0.0, told + self._offset - now)


class Decoder:
    """Packets of one opening become pictures; what is damaged, or old, does not."""

    def __init__(
        self,
        container: Any,
        attempt: Attempt,
        *,
        timed: bool,
        hurry: bool,
        pace: _Pace | None = None,
        said: list[tuple[int, str, str]] | None = None,
    ) -> None:
        self._container, self._attempt, self._timed, self._hurry = container, attempt, timed, hurry
        self._said = [] if said is None else said  # by FFmpeg, in this thread
        self._pace = pace
        self._stream = container.streams.video[0]
        self._context = self._anew()
        # A frame's own conversion makes a scaler for that frame alone, with threads for each core.
        self._convert = av.video.reformatter.VideoReformatter()
        self._numbers = FrameNumbers(self._context.extradata) if self._context.name == "h264" else None
        self._broken = False  # until the next key frame, or the end of a renewal, nothing is whole
        self._broken_at: int | None = None  # the pts of what broke it
        self._unplaced = False  # what broke it is a key frame without one, as the first may be
        self._wary = attempt.wary  # the decoder met damage of which nobody had told: it may not see all of it
        self._whole = 0  # pictures since the last damage
        self._whole_from: int | None = None  # the pts of the picture with which a renewal ends
        self._waited = time.monotonic()  # when there was last nothing to read
        self._behind = False
        self._joiner = Joiner(self._context.name, getattr(self._context, "extradata", None))
        self._number = FIRST_NUMBER
        self._times: dict[int | None, float | None] = {}  # by number: the time that the packet told
        self._read = 0  # bytes of pictures so far
        self._idle = 0.0  # seconds so far in which there was nothing to read

    def _anew(self) -> Any:
        """A decoder that has seen nothing yet, of H.264; else the one that the opening made."""
        context = self._stream.codec_context
        if context.name == "h264" and not context.has_b_frames:  # of such an order another cannot be told
            extradata, context = context.extradata, av.CodecContext.create(context.codec, "r")
            context.extradata = extradata
        context.thread_count = 1  # more threads decode ahead: a frame of delay for each
        if self._attempt.strict:
            context.options = {**context.options, "err_detect": "explode"}  # flags alone miss most damage
        return context

    def run(self) -> None:
        """Until the stream ends or is not wanted any more; raises ``Over`` when it is lost."""
        while not self._attempt.unwanted:
            asked = time.monotonic()
            try:
                self._demux()
                return
            except av.FFmpegError as error:
                # A deadline that passed: the watch decides whether that was too long.
                if not isinstance(error, av.ExitError | av.TimeoutError) and (
                    time.monotonic() - max(asked, self._asked) < 0.95 * READ_SECONDS
                ):
                    raise Over(LOST, cause=LOST) from None

    _asked = 0.0

    def _demux(self) -> None:
        # All streams: a read of pictures alone would not return while there is sound.
        packets = self._container.demux()
        while not self._attempt.unwanted:
            self._asked = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                self._take_all(self._joiner.flush(), self._asked, old=False)
                return
            incomplete = self._is_incomplete()
            now = time.monotonic()
            if now - self._asked > 0.002:
                self._waited = now
                self._idle += now - self._asked
            if (
                packet.stream is not self._stream or not packet.size
            ):  # an empty one is FFmpeg's sign of the end
                continue
            self._attempt.hear()
            self._read += packet.size
            pictures = self._joiner.feed(packet, incomplete=incomplete)
            self._take_all(pictures, now, old=now - self._asked >= 0.95 * READ_SECONDS)

    def _take_all(self, pictures: list[Whole], now: float, *, old: bool) -> None:
        for picture in pictures:
            packet = picture.packet
            self._place(packet)
            if picture.incomplete:
                self._break(packet.pts, damaged=True, missed=True)
                self._unplaced = packet.pts is None and packet.is_keyframe
            if picture.again:  # what broke it is only that it was not whole
                self._broken_at = None
            self._take(packet, now, old=old)

    def _place(self, packet: Any) -> None:
        """Where pictures come out as they come in, number them: a clock that lies says nothing of their order."""
        if self._context.name not in ("h264", "hevc") or self._context.has_b_frames:
            return
        self._number += 1
        self._times[self._number] = None if packet.pts is None else float(packet.pts * packet.time_base)
        packet.pts = self._number
        while len(self._times) > NUMBERED:
            del self._times[next(iter(self._times))]

    def _is_incomplete(self) -> bool:
        """Whether packets of RTP were missed while the last picture was put together."""
        missed = any(text.startswith("RTP: missed") for text in self._heard())
        return missed and self._context.name != "mjpeg"  # of that, FFmpeg leaves out the picture itself

    def _take(self, packet: Any, now: float, *, old: bool) -> None:
        lost = self._numbers.lost(bytes(packet)) if self._numbers is not None else False
        if self._hurry and self._skipped(packet, now):
            return
        if lost:
            self._break(packet.pts, missed=True)
        anew = self._numbers is not None and self._numbers.anew and not self._context.has_b_frames
        if self._broken and anew:  # no picture from before is needed any more, or still to come out
            # What a damaged one leaves behind in FFmpeg's decoder spoils the key frame after it one time in five,
            # and with it all that follow, without a word. To empty its buffers does not help.
            self._context = self._anew()
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError:
            self._break(packet.pts, damaged=True)
            self._attempt.refuse(TORN)
            return
        finally:
            said = self._heard()
        # FFmpeg says of H.265, and goes on as if nothing were: a picture that it needs was lost whole;
        if any("Could not find ref" in text for text in said):
            self._break(packet.pts, missed=self._attempt.keyed_at is not None)
        # this one is damaged, where one before it comes out at the same time.
        if any("Error parsing NAL unit" in text for text in said):
            self._break(packet.pts, damaged=True)
        if self._attempt.keyed_at is None and (
            packet.is_keyframe or (self._numbers is not None and self._numbers.renewed)
        ):
            self._attempt.keyed_at = time.monotonic()
        if self._numbers is not None and self._numbers.renewed:
            self._whole_from = packet.pts
        for frame in frames:
            renewed = frame.pts is not None and self._whole_from is not None and frame.pts >= self._whole_from
            key = bool(frame.key_frame) or renewed
            if frame.is_corrupt:
                self._break(frame.pts, damaged=True)
            elif renewed or (key and not self._is_spoiled(frame.pts)):
                self._wary = self._wary and (self._broken or self._whole < TRUSTED)
                self._broken, self._broken_at, self._whole_from = False, None, None
            if self._broken:
                self._attempt.refuse(TORN)
                continue
            self._whole += 1
            image = self._convert.reformat(frame, format="bgr24", threads=1).to_ndarray()
            told = self._times.get(frame.pts, frame.time) if self._timed else None
            if self._pace is not None and told is not None:
                sleep(self._pace.wait(told, time.monotonic()), self._attempt)
            alone = self._context.name == "mjpeg"
            marked = not self._wary or (self._numbers is not None and self._numbers.known)
            sure = self._attempt.strict and marked
            shot = Shot(
                image, told, time.monotonic(), key, sure, alone, old, read=self._read, idle=self._idle
            )
            self._attempt.put(shot)

    def _is_spoiled(self, pts: int | None) -> bool:
        """Whether a key frame is, or comes before, what broke it."""
        if pts is None:
            unplaced, self._unplaced = self._unplaced, False
            return unplaced
        return self._broken_at is not None and pts <= self._broken_at

    def _heard(self) -> list[str]:
        """What FFmpeg has said since the last time."""
        said = [text for _, _, text in self._said]
        self._said.clear()
        return said

    def _break(self, pts: int | None, *, damaged: bool = False, missed: bool = False) -> None:
        """What comes is not whole; ``missed``: known from the line, and not by the decoder, which may see less."""
        self._wary = self._wary or not (self._broken or missed)
        self._broken, self._whole = True, 0
        self._attempt.missed = self._attempt.missed or missed
        self._whole_from = None
        if damaged and self._numbers is not None:
            self._numbers.damaged()
        if pts is not None:
            self._broken_at = pts if self._broken_at is None else max(pts, self._broken_at)

    def _skipped(self, packet: Any, now: float) -> bool:
        """Whether decoding is behind and this packet is left out, undecoded, to come to the newest."""
        late = now - self._waited
        if late >= LATE_SECONDS:
            self._behind = True
        elif self._behind and late < CAUGHT_UP_SECONDS and packet.is_keyframe:
            self._behind = False
            self._broken, self._whole_from = True, None  # it may be where a renewal begins, and no key frame
            if self._numbers is not None:
                self._numbers.forget()
        disposable = self._numbers is not None and self._numbers.disposable
        if self._behind or (disposable and late >= LATE_SECONDS / 2):
            self._attempt.refuse(LATE)
            return True
        return False
