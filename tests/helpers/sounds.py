"""Sounds that tests draw, and files of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def clicks(rate: int, seconds: float, at: tuple[float, ...]) -> np.ndarray:
    """(N,) float32: silence with a smooth click of 2 ms at each of these seconds."""
    times = np.arange(round(rate * seconds)) / rate
    return sum((0.8 * np.exp(-(((times - one) / 0.001) ** 2)) for one in at), np.zeros_like(times)).astype(
        np.float32
    )


def tone(rate: int, seconds: float, hertz: float = 440.0, loud: float = 0.5) -> np.ndarray:
    """(N,) float32: a sine."""
    return (loud * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def moments_of(samples: np.ndarray, rate: int, begun: float = 0.0) -> list[float]:
    """Seconds of the clicks in samples (N,)."""
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > rate // 20) + 1)
    weights = [np.abs(samples[part]) for part in parts]
    return [
        begun + float((part * weight).sum() / weight.sum()) / rate
        for part, weight in zip(parts, weights, strict=True)
        if len(part)
    ]


def write_media(
    path: Path,
    sound: np.ndarray | None,
    rate: int = 48_000,
    *,
    codec: str = "pcm_s16le",
    channels: int = 1,
    pictures: list[np.ndarray] | None = None,
    fps: int = 25,
) -> Path:
    """A file with this sound (N,), the same in each channel, and with these pictures where there are any."""
    with av.open(str(path), "w") as container:
        video = None
        if pictures is not None:
            video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
        audio = None
        if sound is not None:
            layout = "mono" if channels == 1 else "stereo"
            audio = container.add_stream(codec, rate=rate, layout=layout)
        for picture in pictures or ():
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        if video is not None:
            container.mux(video.encode(None))
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(
                np.repeat(sound[None], channels, axis=0).astype(np.float32), format="fltp", layout=layout
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path
