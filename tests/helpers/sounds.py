"""Sounds that tests draw, and files of them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from streamrec import Frame, Prediction
from streamrec.events.detector import EventSettings
from streamrec.types import SOUND as SENSE_OF_SOUND
from tests.helpers.models import SOUND


def clicks(rate: int, seconds: float, at: tuple[float, ...]) -> np.ndarray:
    """(N,) float32: silence with a smooth click of 2 ms at each of these seconds."""
    times = np.arange(round(rate * seconds)) / rate
    return sum((0.8 * np.exp(-(((times - one) / 0.001) ** 2)) for one in at), np.zeros_like(times)).astype(
        np.float32
    )


def tone(rate: int, seconds: float, hertz: float = 440.0, loud: float = 0.5) -> np.ndarray:
    """(N,) float32: a sine."""
    return (loud * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def vowels(rate: int, seconds: int, seed: int = 0) -> np.ndarray:
    """(N,) float32: each second half a second of harmonics, which the model ``digits`` takes for words."""
    draw, times = np.random.default_rng(seed), np.arange(rate // 2) / rate
    sound = draw.normal(0, 0.001, rate * seconds).astype(np.float32)
    for second in range(seconds):
        pitch, formant = draw.uniform(120, 250), draw.uniform(400, 900)
        parts = [
            np.sin(2 * np.pi * pitch * n * times) / n * np.exp(-(((pitch * n - formant) / 300) ** 2))
            for n in range(1, 20)
        ]
        voice = np.sum(parts, axis=0) * np.hanning(len(times))
        sound[second * rate : second * rate + len(times)] += (0.3 * voice / np.abs(voice).max()).astype(
            np.float32
        )
    return sound


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


class Loudness:
    """Steps like a recognizer of sound: "glass" while a hop is loud. It counts its steps."""

    engine = "none"
    name = "glass"
    sense = SENSE_OF_SOUND

    def __init__(self, shortest: float = 0.0) -> None:
        events = EventSettings(
            background=("quiet",), smoothing=0.0, shortest=shortest, merge_gap=0.0, enter=0.6, leave=0.4
        )
        self.config = replace(SOUND, labels=("quiet", "glass"), events=events)
        self.configs = {"glass": self.config}
        self.fps = 12.5
        self.steps = 0

    def initial_state(self) -> int:
        return 0

    def step(self, frame: Frame, state: int) -> tuple[Prediction, int]:
        self.steps += 1
        loud = float(np.abs(frame.data).max() > 0.2)
        shares = np.array([1.0 - loud, loud], np.float32)
        return Prediction.of(shares, frame.timestamp, self.config.labels), state + 1
