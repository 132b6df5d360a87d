"""Opening an address with FFmpeg and reading it until it ends."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import av

from streamrec.core.address import percent_hint
from streamrec.sources.ffmpeg_log import Line, LogLines, captured_log, messages_of, verbose_log
from streamrec.sources.http_kind import ends, redirects, sends_parts
from streamrec.sources.open_errors import (
    CIRCLE,
    DEAF,
    HUNG_UP,
    LOST,
    NESTED,
    NO_CODEC,
    NO_SOUND,
    NO_WAY,
    NOT_OPENED,
    OPEN_SECONDS,
    nests,
    no_answer,
    no_video,
    why_not_opened,
)
from streamrec.sources.packet_decoder import READ_SECONDS, Decoder, Pacer
from streamrec.sources.reader_thread import ENDED, SILENT, ReaderThread, StreamEnded

BUSY_TRIES, BUSY_SECONDS = 4, 0.25  # a server that has just lost a client may be too busy for the next one
REORDERED = "16"  # packets of RTP that wait for one before them: over TCP, too, a camera may leave some out
# FFmpeg invents times for these.
UNTIMED = ("mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe", "h264", "hevc", "m4v")


def read_stream(address: str, transport: str, reader: ReaderThread, *, refuse_files: bool = False) -> None:
    """Read an address until it ends or the reader is not wanted any more; raises ``StreamEnded``.

    ``refuse_files``: a video file is not read; ``StreamEnded.is_file`` is true then.
    """
    options = {"fpsprobesize": "0", **stream_options(address, "video", transport)}
    begun = time.monotonic()
    with captured_log() as log, opened_stream(address, options, reader.opening, log) as container:
        if container.streams.video and container.streams.video[0].codec_context is None:
            raise StreamEnded(NO_CODEC, cause=LOST)
        if reader.opening < OPEN_SECONDS and time.monotonic() - begun >= 0.95 * reader.opening:
            raise StreamEnded("it is open, and nothing came", cause=SILENT)
        if not container.streams.video:
            raise StreamEnded(NESTED if nests(messages_of(log)) else no_video(container), cause=LOST)
        kind = container.format.name
        recording = container.duration is not None and container.duration > 0
        pieces, timed = "hls" in kind, kind not in UNTIMED
        if refuse_files and not pieces and (recording or (timed and ends(container.size))):
            raise StreamEnded(None, is_file=True)
        reader.opened(
            pieces=pieces,
            timely=timed and not pieces and not recording,
            endless=not recording,
            received=False,
        )
        decoder = Decoder(
            container,
            reader,
            log=log,
            timed=timed,
            hurry=not recording and not pieces,
            pacer=Pacer() if pieces else None,
        )
        decoder.run()
        if reader.unwanted:
            return
        raise StreamEnded(None) if recording else StreamEnded(ENDED, cause=ENDED)


def stream_options(address: str, kind: str, transport: str = "auto") -> dict[str, str]:
    """FFmpeg's options for an address; ``kind``: "video" or "audio", which alone is asked for by RTSP."""
    # FFmpeg analyses five seconds of some streams, which is all the time that there is to open them. What is in it is
    # known after less, and RTSP and RTMP announce it.
    announced = address.lower().startswith(("rtsp", "rtmp"))
    options = {"analyzeduration": "200000" if announced else "1000000"}
    if address.lower().startswith("rtsp"):
        options["allowed_media_types"] = kind
        options["reorder_queue_size"] = REORDERED
        if transport == "auto":
            options["rtsp_flags"] = "prefer_tcp"
        else:
            options["rtsp_transport"] = transport
    return options


def opened_stream(address: str, options: dict[str, str], seconds: float, log: list[Line]) -> Any:
    """An address, opened within so many seconds; raises ``StreamEnded``. ``log``: FFmpeg's lines of this thread."""
    begun = time.monotonic()
    if isinstance(log, LogLines):
        log.until = begun + seconds
    try:
        with verbose_log() if address.lower().startswith("http") else nullcontext():
            container = av.open(address, options=options, timeout=(seconds, READ_SECONDS))
        if isinstance(log, LogLines):
            log.until = 0.0
        return container
    except av.FFmpegError as error:
        if isinstance(error, av.InvalidDataError) and (parts := _parts(address, seconds)) is not None:
            return parts
        reason = why_not_opened(error, messages_of(log), address, time.monotonic() - begun, seconds)
        if reason == NOT_OPENED and address.lower().startswith("http") and redirects(address, seconds):
            reason = CIRCLE
        circle = reason in (CIRCLE, NESTED)
        silent = reason in (no_answer(seconds), DEAF, NO_WAY, HUNG_UP) or reason.startswith("the name ")
        locked = isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError)
        reason += percent_hint(address) if locked else ""
        known = locked or circle or isinstance(error, av.HTTPNotFoundError)
        if "allowed_media_types" in options and not silent and not known:
            reason = _without(options["allowed_media_types"], address, reason)
    raise StreamEnded(reason, silent=silent, locked=locked)


def _parts(address: str, seconds: float) -> Any:
    """MJPEG that does not begin with a boundary, which browsers accept too; None: it is none."""
    if not address.lower().startswith("http") or not sends_parts(address, seconds):
        return None
    try:
        options = {"analyzeduration": "1000000", "fpsprobesize": "0"}
        return av.open(address, format="mjpeg", options=options, timeout=(seconds, READ_SECONDS))
    except av.FFmpegError:
        return None


def _without(kind: str, address: str, reason: str) -> str:
    """The reason, or that an RTSP address, which could not be opened for its video (or audio), has none."""
    for _ in range(BUSY_TRIES):
        try:
            with av.open(
                address, options={"rtsp_flags": "prefer_tcp"}, timeout=(OPEN_SECONDS, READ_SECONDS)
            ) as container:
                if any(stream.type == kind for stream in container.streams):
                    return reason
                return no_video(container) if kind == "video" else NO_SOUND
        except av.HTTPServerError:
            time.sleep(BUSY_SECONDS)
        except av.FFmpegError:
            break
    return reason
