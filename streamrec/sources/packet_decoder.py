"""Packets of a camera become frames; damaged and old ones are refused."""

from __future__ import annotations

import time
from typing import Any

import av

from streamrec.sources.camera_clock import JUMP_SECONDS
from streamrec.sources.ffmpeg_log import Line, messages_of
from streamrec.sources.h264 import FrameNumbers
from streamrec.sources.open_errors import LOST
from streamrec.sources.reader_thread import (
    LATE,
    LATE_SECONDS,
    TORN,
    TRUSTED,
    DecodedFrame,
    ReaderThread,
    StreamEnded,
    sleep,
)
from streamrec.sources.slices import Joiner, Whole

READ_SECONDS = 5.0  # after so long without data the thread checks whether it is still wanted
CAUGHT_UP_SECONDS = 0.02  # it had to wait so shortly before, if only for sound: the data is new
FIRST_NUMBER, NUMBERED = -(1 << 40), 32  # no frame's own time is like these; so many may be in the decoder


class Pacer:
    """When frames that arrived in a piece of several seconds are due, by the stream's clock.

    >>> pacer = Pacer()
    >>> [round(pacer.wait(at, now), 1) for at, now in ((5.0, 100.0), (5.2, 100.0), (5.4, 100.5), (5.6, 100.5))]
    [0.0, 0.2, 0.0, 0.1]
    """

    def __init__(self) -> None:
        self._offset: float | None = None  # from the stream's clock to time.monotonic()

    def wait(self, camera_time: float, now: float) -> float:
        """Seconds until the frame of this time is due."""
        if self._offset is None or not -LATE_SECONDS < camera_time + self._offset - now < JUMP_SECONDS:
            self._offset = now - camera_time  # the first one; a piece came late; the clock was set
        return max(0.0, camera_time + self._offset - now)


class Decoder:
    """Decodes the packets of one opening, and hands frames without damage to its reader."""

    def __init__(
        self,
        container: Any,
        reader: ReaderThread,
        *,
        timed: bool,
        hurry: bool,
        pacer: Pacer | None = None,
        log: list[Line] | None = None,
    ) -> None:
        self._container, self._reader, self._timed, self._hurry = container, reader, timed, hurry
        self._log = [] if log is None else log  # FFmpeg's lines of this thread
        self._pacer = pacer
        self._stream = container.streams.video[0]
        self._context = self._new_context()
        # A frame's own conversion makes a scaler for that frame alone, with threads for each core.
        self._convert = av.video.reformatter.VideoReformatter()
        self._numbers = FrameNumbers(self._context.extradata) if self._context.name == "h264" else None
        self._broken = False  # until the next key frame, or the end of a renewal, every frame is damaged
        self._broken_at: int | None = None  # the pts of what broke it
        self._unplaced = False  # what broke it is a key frame without a pts, as the first may be
        self._wary = (
            reader.wary
        )  # the decoder met damage that no packet loss explains: it may not see all of it
        self._whole = 0  # frames since the last damage
        self._whole_from: int | None = None  # the pts of the frame with which a renewal ends
        self._waited = time.monotonic()  # when there was last nothing to read
        self._behind = False
        self._joiner = Joiner(self._context.name, getattr(self._context, "extradata", None))
        self._number = FIRST_NUMBER
        self._times: dict[int | None, float | None] = {}  # by number: the time of the packet
        self._read = 0  # bytes of video so far
        self._idle = 0.0  # seconds so far in which there was nothing to read
        self._asked = 0.0  # time.monotonic() of the last read

    def _new_context(self) -> Any:
        """A decoder without memory, of H.264; else the one that the opening made."""
        context = self._stream.codec_context
        if context.name == "h264" and not context.has_b_frames:  # a new one would not know a reordered stream
            extradata, context = context.extradata, av.CodecContext.create(context.codec, "r")
            context.extradata = extradata
        context.thread_count = 1  # more threads decode ahead: a frame of delay for each
        if self._reader.strict:
            context.options = {**context.options, "err_detect": "explode"}  # flags alone miss most damage
        return context

    def run(self) -> None:
        """Decode until the stream ends or is not wanted any more; raises ``StreamEnded`` when it is lost."""
        while not self._reader.unwanted:
            begun = time.monotonic()
            try:
                self._demux()
                return
            except av.FFmpegError as error:
                # A deadline that passed: the thread that waits decides whether that was too long.
                if not isinstance(error, av.ExitError | av.TimeoutError) and (
                    time.monotonic() - max(begun, self._asked) < 0.95 * READ_SECONDS
                ):
                    raise StreamEnded(LOST, cause=LOST) from None

    def _demux(self) -> None:
        # All streams: a read of video alone would not return while there is sound.
        packets = self._container.demux()
        while not self._reader.unwanted:
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
            if packet.stream is not self._stream or not packet.size:  # FFmpeg ends a stream with an empty one
                continue
            self._reader.note_packet()
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
            if picture.again:  # it was broken only because it was not complete
                self._broken_at = None
            self._take(packet, now, old=old)

    def _place(self, packet: Any) -> None:
        """Number the frames of a stream in decoding order: a clock that is wrong gives no order."""
        if self._context.name not in ("h264", "hevc") or self._context.has_b_frames:
            return
        self._number += 1
        self._times[self._number] = None if packet.pts is None else float(packet.pts * packet.time_base)
        packet.pts = self._number
        while len(self._times) > NUMBERED:
            del self._times[next(iter(self._times))]

    def _is_incomplete(self) -> bool:
        """Whether packets of RTP were lost while the last frame was put together."""
        missed = any(message.startswith("RTP: missed") for message in self._new_messages())
        return missed and self._context.name != "mjpeg"  # FFmpeg drops such a frame of MJPEG itself

    def _take(self, packet: Any, now: float, *, old: bool) -> None:
        lost = self._numbers.lost(bytes(packet)) if self._numbers is not None else False
        if self._hurry and self._skipped(packet, now):
            return
        if lost:
            self._break(packet.pts, missed=True)
        frames = self._decoded(packet)
        if frames is None:
            return
        if self._reader.keyframe_at is None and (
            packet.is_keyframe or (self._numbers is not None and self._numbers.renewed)
        ):
            self._reader.keyframe_at = time.monotonic()
        if self._numbers is not None and self._numbers.renewed:
            self._whole_from = packet.pts
        for frame in frames:
            self._hand_over(frame, old=old)

    def _decoded(self, packet: Any) -> list[Any] | None:
        """The frames that the decoder makes of a packet; None: it refuses the packet as damaged."""
        renewal = self._numbers is not None and self._numbers.anew and not self._context.has_b_frames
        if self._broken and renewal:  # no frame from before is needed any more, or still in the decoder
            # What a damaged frame leaves behind in FFmpeg's decoder spoils the key frame after it one time in five,
            # and with it all that follow, without a message. To flush its buffers does not help.
            self._context = self._new_context()
        try:
            frames: list[Any] = self._context.decode(packet)
        except av.FFmpegError:
            self._new_messages()
            self._break(packet.pts, damaged=True)
            self._reader.refuse(TORN)
            return None
        messages = self._new_messages()
        # FFmpeg logs it for H.265, and goes on: a frame that this one is predicted from was lost whole;
        if any("Could not find ref" in message for message in messages):
            self._break(packet.pts, missed=self._reader.keyframe_at is not None)
        # this one is damaged, where one before it comes out at the same time.
        if any("Error parsing NAL unit" in message for message in messages):
            self._break(packet.pts, damaged=True)
        return frames

    def _hand_over(self, frame: Any, *, old: bool) -> None:
        """Give a decoded frame to the reader, or refuse it as torn."""
        renewed = frame.pts is not None and self._whole_from is not None and frame.pts >= self._whole_from
        key = bool(frame.key_frame) or renewed
        if frame.is_corrupt:
            self._break(frame.pts, damaged=True)
        elif renewed or (key and not self._is_spoiled(frame.pts)):
            self._wary = self._wary and (self._broken or self._whole < TRUSTED)
            self._broken, self._broken_at, self._whole_from = False, None, None
        if self._broken:
            self._reader.refuse(TORN)
            return
        self._whole += 1
        image = self._convert.reformat(frame, format="bgr24", threads=1).to_ndarray()
        camera_time = self._times.get(frame.pts, frame.time) if self._timed else None
        if self._pacer is not None and camera_time is not None:
            sleep(self._pacer.wait(camera_time, time.monotonic()), self._reader)
        marked = not self._wary or (self._numbers is not None and self._numbers.known)
        self._reader.put(
            DecodedFrame(
                image,
                camera_time,
                time.monotonic(),
                key,
                sure=self._reader.strict and marked,
                alone=self._context.name == "mjpeg",
                old=old,
                read=self._read,
                idle=self._idle,
            )
        )

    def _is_spoiled(self, pts: int | None) -> bool:
        """Whether a key frame is, or comes before, what broke the stream."""
        if pts is None:
            unplaced, self._unplaced = self._unplaced, False
            return unplaced
        return self._broken_at is not None and pts <= self._broken_at

    def _new_messages(self) -> list[str]:
        """FFmpeg's messages since the last call."""
        messages = messages_of(self._log)
        self._log.clear()
        return messages

    def _break(self, pts: int | None, *, damaged: bool = False, missed: bool = False) -> None:
        """Mark the stream as damaged; ``missed``: known from lost packets, not from the decoder."""
        self._wary = self._wary or not (self._broken or missed)
        self._broken, self._whole = True, 0
        self._reader.packets_lost = self._reader.packets_lost or missed
        self._whole_from = None
        if damaged and self._numbers is not None:
            self._numbers.damaged()
        if pts is not None:
            self._broken_at = pts if self._broken_at is None else max(pts, self._broken_at)

    def _skipped(self, packet: Any, now: float) -> bool:
        """Whether decoding is behind and this packet is left out, undecoded, to reach the newest."""
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
            self._reader.refuse(LATE)
            return True
        return False
