"""Spoken digits as a stream: recordings of the shared data behind each other, with pauses."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np

RATE = 8000


def write_spoken(
    archive: Path, path: Path, digits: Sequence[int], *, speaker: str = "jackson", pause: float = 0.7
) -> list[float]:
    """A wav file in which these digits are spoken; returns the second at which each ends."""
    parts, ends, at = [], [], 0
    with ZipFile(archive) as packed:
        for number, digit in enumerate(digits):
            with wave.open(BytesIO(packed.read(f"{digit}_{speaker}_{20 + number}.wav"))) as file:
                word = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            silence = np.random.default_rng(number).normal(0, 4, round(pause * RATE)).astype(np.int16)
            parts += [silence, word]
            at += len(silence) + len(word)
            ends.append(at / RATE)
    parts.append(np.zeros(RATE, np.int16))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(parts).tobytes())
    return ends
