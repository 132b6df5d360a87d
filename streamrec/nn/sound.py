"""From a hop of samples to the model's input, and the mel filters that the step graph applies to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from streamrec.core.arguments import Limits
from streamrec.core.messages import described, shortened
from streamrec.errors import PictureError, WrongValue
from streamrec.nn.transforms import InputTransform
from streamrec.sources.sound import scaled
from streamrec.types import SOUND

FLOOR = 1e-8  # power that is added before the logarithm: 80 dB below a sine of full scale
_LIMITS = {
    "rate": Limits(1_000, 192_000, whole=True, unit="samples a second"),
    "hop": Limits(16, 192_000, whole=True, unit="samples"),
    "window": Limits(16, 8_192, whole=True, unit="samples"),
    "stride": Limits(8, 8_192, whole=True, unit="samples"),
    "mels": Limits(4, 512, whole=True),
    "low": Limits(0, 96_000, unit="Hz"),
    "high": Limits(1, 96_000, unit="Hz"),
}
_MEAN, _STD = Limits(-1e6, 1e6), Limits(1e-6, 1e6)
_WHOLE = ("int16", "int32", "uint8")  # types of samples that are whole numbers


@dataclass(frozen=True, kw_only=True)
class SoundTransform(InputTransform):
    """How a hop of samples becomes the model's input; saved with the model.

    The input is the samples themselves. Their log-mel spectrum, which these numbers describe, is a part of the model.

    >>> transform = SoundTransform(rate=8000, hop=640, window=256, stride=80, mels=40, low=60, high=3800)
    >>> transform.shape, transform.frames, transform.fps
    ((640,), 8, 12.5)
    """

    sense: ClassVar[str] = SOUND
    dtype: ClassVar[type] = np.float32
    input_name: ClassVar[str] = "samples"

    rate: int = 16_000  # samples a second; a source is resampled to it
    hop: int = 1_280  # samples of one step of the model
    window: int = 400  # samples of one spectrum
    stride: int = 160  # samples from one spectrum to the next; a hop is a multiple of it
    mels: int = 64  # bands
    low: float = 50.0  # Hz, where the lowest band begins
    high: float = 7_600.0  # Hz, where the highest band ends
    # Of the log-mel spectrum in the training data, a number a band; the model applies them inside. (): 0 and 1.
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in _LIMITS.items():
            if not allowed.holds(value := getattr(self, name)):
                raise WrongValue(f"{name} is {shortened(value)}: give {allowed}")
        if not self.low < self.high <= self.rate / 2:
            raise WrongValue(
                f"bands from {self.low:g} to {self.high:g} Hz: give low below high, and high at most half the rate, "
                f"{self.rate / 2:g} Hz"
            )
        if self.hop % self.stride or not self.stride < self.window <= self.hop:
            raise WrongValue(
                f"hop {self.hop}, window {self.window}, stride {self.stride}: the hop is a multiple of the stride, and "
                "the window longer than the stride and no longer than the hop"
            )
        for name, allowed in (("mean", _MEAN), ("std", _STD)):
            numbers = getattr(self, name)
            fits = isinstance(numbers, tuple) and len(numbers) in (0, self.mels)
            if not fits or not all(map(allowed.holds, numbers)):
                raise WrongValue(
                    f"{name} is {shortened(numbers)}: give a number for each of {self.mels} bands"
                )
        if not self.filters().any(axis=0).all():
            raise WrongValue(
                f"{self.mels} bands are too many for a window of {self.window} samples: the lowest are narrower than "
                f"{self.rate / self.window:.0f} Hz; give fewer, or a longer window"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """(hop,)."""
        return (self.hop,)

    @property
    def frames(self) -> int:
        """Spectra in a step."""
        return self.hop // self.stride

    @property
    def fps(self) -> float:
        """Steps a second."""
        return self.rate / self.hop

    @property
    def tail(self) -> int:
        """Samples of the hop before that the first window of a step reaches back to."""
        return self.window - self.stride

    @property
    def described(self) -> str:
        """The rate and the hop.

        >>> SoundTransform().described
        'sound at 16000 Hz, 80 ms a step'
        """
        return f"sound at {self.rate} Hz, {1000 / self.fps:g} ms a step"

    def normalization(self) -> tuple[np.ndarray, np.ndarray]:
        """(1,) each, 0 and 1: ``mean`` and ``std`` are for the spectrum, and not for samples."""
        return np.zeros(1, np.float32), np.ones(1, np.float32)

    def band_normalization(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the log-mel spectrum, (mels,) each."""
        return (
            np.array(self.mean or (0.0,) * self.mels, np.float32),
            np.array(self.std or (1.0,) * self.mels, np.float32),
        )

    def filters(self) -> np.ndarray:
        """``mel_filters`` of these numbers, (window // 2 + 1, mels)."""
        return mel_filters(self.rate, self.window, self.mels, self.low, self.high)

    def blank(self) -> np.ndarray:
        """Silence."""
        return np.zeros(self.hop, np.float32)

    def read(self, given: Any) -> np.ndarray:
        """Samples of one channel, from -1 to 1 or 16-bit, 32-bit or unsigned 8-bit numbers -> (hop,) float32.

        >>> SoundTransform().read(np.full(1280, 16384, np.int16))[:2].tolist()
        [0.5, 0.5]
        """
        if isinstance(given, list | tuple):
            try:
                given = np.array(given, np.float32)
            except (TypeError, ValueError) as error:
                raise PictureError(f"the model takes {self.described}, not {described(given)}") from error
        if isinstance(given, np.ndarray) and given.dtype.name in _WHOLE:
            given = scaled(given)
        return self.stored(given)

    def stored(self, data: np.ndarray) -> np.ndarray:
        """(hop,) of floats -> (hop,) float32; raises ``PictureError`` for any other shape and what is no number."""
        if not isinstance(data, np.ndarray) or data.shape != self.shape or data.dtype.kind != "f":
            raise PictureError(
                f"the model takes {self.described}: {self.hop} samples from -1 to 1 at a time, not {described(data)}"
            )
        samples = np.asarray(data, np.float32)
        if not np.isfinite(samples).all():
            raise PictureError("a hop of sound holds what is no number")
        return samples

    def inputs(self, stored: np.ndarray) -> np.ndarray:
        """As they are."""
        return np.ascontiguousarray(stored)


def mel_filters(rate: int, window: int, mels: int, low: float, high: float) -> np.ndarray:
    """The weight of each bin of a spectrum in each band, (window // 2 + 1, mels) float32.

    Triangles of height 1 whose corners are evenly spread on the mel scale of O'Shaughnessy, 2595 log10(1 + f / 700):
    those of HTK, of torchaudio by default and of librosa with ``htk=True, norm=None``.
    """
    corners = _hertz(np.linspace(_mel(low), _mel(high), mels + 2))
    bins = np.arange(window // 2 + 1) * (rate / window)
    widths = np.diff(corners)
    slopes = corners[None, :] - bins[:, None]
    rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def fourier_kernels(window: int) -> np.ndarray:
    """The Fourier transform of a Hann window of samples as two filters a bin, (2, window // 2 + 1, window) float32.

    Cosines, then sines, scaled so that a sine of full scale has a power of 1 in its bin.
    """
    n, hann = np.arange(window), _hann(window)
    angles = 2 * np.pi * np.arange(window // 2 + 1)[:, None] * n / window
    return (np.stack([np.cos(angles), np.sin(angles)]) * hann * (2.0 / hann.sum())).astype(np.float32)


def _hann(window: int) -> np.ndarray:
    """(window,) float64 from 0 to 1."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window))


def log_mel(samples: np.ndarray, transform: SoundTransform) -> np.ndarray:
    """(S,) samples -> (K, mels) float64: what the step graph computes, before it is normalized, of whole windows."""
    window, used = transform.window, transform.filters().astype(np.float64)
    hann = _hann(window)
    if len(samples) < window:
        return np.empty((0, transform.mels))
    parts = np.lib.stride_tricks.sliding_window_view(samples, window)[:: transform.stride]
    power = np.square(np.abs(np.fft.rfft(parts * (hann * 2.0 / hann.sum()))))
    return np.asarray(np.log(power @ used + FLOOR))


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def _hertz(mels: np.ndarray) -> np.ndarray:
    return np.asarray(700.0 * (10.0 ** (mels / 2595.0) - 1.0))
