"""One segment: H.264 in an MP4 that plays at any moment, also after the process was killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import av
import numpy as np

from streamrec.outputs.encoder import TICKS, Encoder, need_encoder

# The file grows in fragments, each complete by itself. FFmpeg 8 makes an ordinary MP4 of them at the end, in place.
_HYBRID = av.library_versions.get("libavformat", (0,))[0] >= 62
_FLAGS = "hybrid_fragmented" if _HYBRID else "empty_moov"


class SegmentFile:
    """A segment that is being written to an open descriptor, which it closes.

    ``image``: its first frame, which sets the size.

    Errors of the disk are raised as ``OSError`` or ``av.FFmpegError``.
    """

    def __init__(self, path: Path, descriptor: int, image: np.ndarray, *, kbit: int, fps: float) -> None:
        self.path = path
        self._file = os.fdopen(descriptor, "r+b", buffering=0)  # a fragment is on the disk at once
        self._gap = round(TICKS / fps)
        self.ticks = 0  # of the last frame
        self._container: Any = None
        try:
            need_encoder()
            options = {"movflags": f"{_FLAGS}+frag_keyframe+default_base_moof"}
            self._container = av.open(self._file, "w", format="mp4", options=options)
            self._encoder = Encoder(self._container, image, fps=fps, options=_options(kbit))
            first = self._encoder.encode(image, 0, key=True)
            # The header at once: FFmpeg crashes where it is tried again after it could not be written, and where a
            # file is finished that has a header and no frame.
            self._container.start_encoding()
            self._mux(first)
        except BaseException:
            self.close(whole=False)
            raise

    def write(self, image: np.ndarray, ticks: int, *, key: bool) -> None:
        """Add a frame; one of another size is fitted into the first one's."""
        self._gap, self.ticks = ticks - self.ticks, ticks
        self._mux(self._encoder.encode(image, ticks, key=key))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._gap  # only the last frame's own counts
            self._container.mux(packet)

    def close(self, *, whole: bool = True) -> None:
        """Finish the file; a second time does nothing. ``whole`` False: it stays as it is, and plays up to there."""
        container, self._container = self._container, None
        try:
            if container is not None and whole:
                for packet in self._encoder.flush():
                    packet.duration = self._gap
                    container.mux(packet)
                container.close()
        finally:
            self._file.close()
            if container is not None:
                # The file is closed, so nothing more is written: FFmpeg crashes where it finishes one without frames.
                container.close()


def _options(kbit: int) -> dict[str, str]:
    return {
        "preset": "veryfast",
        "crf": "23",
        "bf": "0",  # every frame is stored at its own time, in order
        "forced-idr": "1",
        "maxrate": f"{kbit}k",
        "bufsize": f"{2 * kbit}k",
        "rc-lookahead": "0",  # what waits in the encoder would be lost by a kill
    }
