"""The sound of a camera at an address, read by FFmpeg; by RTSP without its pictures."""

from __future__ import annotations

import time

import av

from streamrec.core.address import quoted
from streamrec.core.redact import redact_address, secrets_of
from streamrec.sources.ffmpeg import opened_stream, stream_options
from streamrec.sources.ffmpeg_log import captured_log
from streamrec.sources.file_bytes import UnreadableError
from streamrec.sources.live_sound import LiveSound
from streamrec.sources.open_errors import LOST, NO_SOUND
from streamrec.sources.packet_decoder import READ_SECONDS, Pacer
from streamrec.sources.reader_thread import ENDED, ReaderThread, StreamEnded, sleep
from streamrec.sources.sound_blocks import Blocks, sound_stream

RETRIES = 10  # openings in a row of a lost camera before it is given up


class NetworkSound(LiveSound):
    """The sound that a camera sends at an address; a connection of its own beside that of its pictures."""

    def __init__(self, address: str, *, retries: int | None = RETRIES) -> None:
        super().__init__(redact_address(address), retries=retries)
        self.secrets = secrets_of(address)
        self._address = quoted(address)  # never shown: it may hold a password

    def _read(self, reader: ReaderThread) -> None:
        options = stream_options(self._address, "audio")
        with (
            captured_log() as log,
            opened_stream(self._address, options, reader.opening, log) as container,
        ):
            stream = sound_stream(container)
            if stream is None:
                raise StreamEnded(NO_SOUND, cause=NO_SOUND)
            reader.opened()
            pacer = Pacer() if "hls" in container.format.name else None
            try:
                blocks = Blocks(container, stream)
                while not reader.unwanted:
                    asked = time.monotonic()
                    try:
                        for samples, seconds in blocks.read(patient=False):
                            asked = time.monotonic()
                            log.clear()
                            if pacer is not None:
                                sleep(pacer.wait(seconds, asked), reader)
                            self._put(reader, samples, seconds, blocks.rate)
                            if reader.unwanted:
                                return
                        break
                    except av.FFmpegError as error:
                        # A deadline that passed: the thread that waits decides whether that was too long.
                        waited = time.monotonic() - asked >= 0.95 * READ_SECONDS
                        if not waited and not isinstance(error, av.ExitError | av.TimeoutError):
                            raise StreamEnded(LOST, cause=LOST) from None
            except UnreadableError as error:
                raise StreamEnded(str(error)) from None
            recording = bool(container.duration and container.duration > 0)
        raise StreamEnded(None) if recording else StreamEnded(ENDED, cause=ENDED)
