"""Live H.264: frames as packets, their parameter sets, and RTP."""

from __future__ import annotations

import base64
import re
from typing import Any

import av
import numpy as np

from streamrec.outputs.encoder import Encoder, need_encoder

_PACKET = 1_400  # bytes of an RTP packet: servers pass them on by UDP
_START = re.compile(rb"\x00\x00\x01")
_SPS, _PPS = 7, 8  # kinds of NAL units


class RtpVideo:
    """Frames of one stream as packets of RTP and RTCP (RFC 6184), with no frame of delay; FFmpeg makes both.

    ``image``: the first frame, which sets the size. Baseline profile, which every browser decodes. ``kbit``: kilobits
    a second at most. Raises ``SinkError`` where this PyAV has no encoder.
    """

    def __init__(self, image: np.ndarray, *, kbit: int, fps: float) -> None:
        need_encoder()
        self._made: list[bytes] = []
        self._container: Any = av.open(self, "w", format="rtp", buffer_size=_PACKET)
        self._encoder = Encoder(self._container, image, fps=fps, options=_options(kbit))
        self._container.start_encoding()  # of RTP: nothing is written

    def write(self, data: bytes) -> int:
        """Called by FFmpeg with each packet of RTP or RTCP."""
        self._made.append(bytes(data))
        return len(data)

    def encode(self, image: np.ndarray, ticks: int, *, key: bool) -> list[Any]:
        """(H, W, 3) BGR -> packets of H.264; an image of another size is fitted into the first one's."""
        return self._encoder.encode(image, ticks, key=key)

    def packets(self, packet: Any) -> list[bytes]:
        """The packets of RTP, and at times of RTCP, for one packet of H.264."""
        self._container.mux(packet)
        made, self._made = self._made, []
        return made

    def close(self) -> None:
        """Free the encoder; a second time does nothing."""
        self._container.close()


def _options(kbit: int) -> dict[str, str]:
    return {
        "preset": "superfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "forced-idr": "1",
        "crf": "23",
        "maxrate": f"{kbit}k",
        "bufsize": f"{kbit}k",
    }


def parameter_sets(data: bytes) -> tuple[bytes, bytes]:
    """The first SPS and PPS of a key frame, without start codes; b"" where there is none.

    >>> parameter_sets(bytes.fromhex("00000001 6742c01e 00000001 68ce3c80 000001 65ff"))
    (b'gB\\xc0\\x1e', b'h\\xce<\\x80')
    """
    found: dict[int, bytes] = {}
    for unit in _START.split(data)[1:]:
        unit = unit.rstrip(b"\x00")  # of the next start code
        if unit:
            found.setdefault(unit[0] & 0x1F, unit)
    return found.get(_SPS, b""), found.get(_PPS, b"")


def describe(sps: bytes, pps: bytes, name: str = "streamrec") -> str:
    """The SDP of a stream of H.264 with these parameter sets (RFC 4566, RFC 6184)."""
    sets = ",".join(base64.b64encode(one).decode() for one in (sps, pps))
    return "\r\n".join(
        (
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            f"s={name}",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            "m=video 0 RTP/AVP 96",
            "a=rtpmap:96 H264/90000",
            f"a=fmtp:96 packetization-mode=1; sprop-parameter-sets={sets}; profile-level-id={sps[1:4].hex().upper()}",
            "a=control:streamid=0",
            "",
        )
    )
