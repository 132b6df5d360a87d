"""Video of frames that come at their own times, for files and for streams."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np

from streamrec.errors import SinkError
from streamrec.outputs.yuv import even_size, to_yuv

TICKS = 90_000  # a second: RTP's clock for video; every container can store them
_H264 = "libx264"


def need_encoder() -> None:
    """Raise ``SinkError`` where this PyAV has no encoder for H.264."""
    if _H264 not in av.codecs_available:
        raise SinkError(
            "this PyAV has no encoder for H.264 (libx264); pip install --upgrade --force-reinstall av"
        )


class Encoder:
    """Encodes into a new stream of an open container of PyAV's, which need not have its header yet.

    ``image``: the first frame, which sets the size. ``options``: of the ``codec``, FFmpeg's name of the encoder.
    ``gop``: frames after which a key frame comes in any case; the others come where they are asked for.
    """

    def __init__(
        self,
        container: Any,
        image: np.ndarray,
        *,
        options: Mapping[str, str],
        fps: float = 30.0,
        codec: str = _H264,
        gop: int = 100_000,
        threads: int = 1,
    ) -> None:
        self._size = even_size(image)
        rate = Fraction(fps).limit_denominator(1000)
        self._stream: Any = container.add_stream(codec, rate=rate, options=dict(options))
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        self._stream.time_base = context.time_base = Fraction(1, TICKS)
        context.gop_size, context.thread_count = gop, threads
        # What cv2.cvtColor makes, stated explicitly: BT.601, limited range.
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 6, 6, 1

    def encode(self, image: np.ndarray, ticks: int, *, key: bool) -> list[Any]:
        """(H, W, 3) BGR -> packets; an image of another size is fitted into the first one's."""
        frame = av.VideoFrame.from_ndarray(to_yuv(image, self._size), format="yuv420p")
        frame.pts, frame.time_base = ticks, Fraction(1, TICKS)
        if key:
            frame.pict_type = av.video.frame.PictureType.I
        return list(self._stream.encode(frame))

    def flush(self) -> list[Any]:
        """The packets that it still holds."""
        return list(self._stream.encode(None))
