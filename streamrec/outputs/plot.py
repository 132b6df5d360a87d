"""Plots of signals, and of how loud a sound is: what stands where video has its picture.

Of sound the level alone is drawn, a number a hop: no spectrum, from which words could be made out again.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import cv2
import numpy as np

from streamrec.outputs.overlay import PALETTE, SOFT
from streamrec.types import SIGNAL, SOUND, Frame, Relevance, Result

SIZE = (640, 360)  # width and height, pixels
SECONDS = 6.0  # of the past
LEAST_ROWS = 120  # of a slow series the last rows, however long ago
EVERY = 0.1  # seconds of the stream between two plots
_GROUND = (34, 29, 26)
_MOST_LINES = 12  # channels that are drawn
_LEAST_SPAN = 1e-6
_FOR, _AGAINST = (60, 190, 255), (200, 120, 70)  # BGR: speaks for the label, against it
_SHADE = 0.55  # of the ground, where it speaks most
_SHOWN = 0.5  # seconds that an explanation is shown
_NAMED = 180  # pixels from the right where a channel's name begins
_BLUR = 0.08  # seconds: single samples would be stripes
QUIETEST = -60.0  # decibels below full scale
Scale: TypeAlias = tuple[float, float]  # the least and the greatest value that are drawn


@dataclass(slots=True)
class _Drawn:
    """The last rows of one source, and its last plot."""

    rows: deque[tuple[float, np.ndarray]] = field(default_factory=deque)
    segment: int = 0
    at: float = -np.inf
    image: np.ndarray | None = None
    made: float = -np.inf  # time.monotonic() of the last plot
    relevance: Relevance | None = None  # the last one


class Plots:
    """Gives results of signals a picture: the last seconds or rows of each channel, on a scale of its own.

    Of sound it is the level. ``sense``: of the source of a name.

    >>> from streamrec.types import Frame, Prediction
    >>> prediction = Prediction.of(np.ones(1, np.float32), 0.0, ("walking",))
    >>> result = Result(Frame(np.zeros(3, np.float32), 0, 0.0), prediction)
    >>> Plots().pictured(result).frame.image.shape
    (360, 640, 3)
    """

    def __init__(self, sense: Callable[[str], str] = lambda source: SIGNAL, *, pause: float = 0.0) -> None:
        """``pause``: seconds of our clock between two plots of a source, however quickly it is read."""
        self._sense, self._pause = sense, pause
        self._drawn: dict[str, _Drawn] = {}

    def pictured(self, result: Result) -> Result:
        """The result with a plot for its picture; one that has a picture as it is."""
        if result.frame.is_picture:
            return result
        frame = result.frame
        data, limits = plotted_of(frame, self._sense(frame.source))
        return replace(result, frame=replace(frame, image=self._plot(result, data, limits)))

    def _plot(self, result: Result, row: np.ndarray, limits: Scale | None) -> np.ndarray:
        frame = result.frame
        drawn = self._drawn.setdefault(frame.source, _Drawn())
        begins = frame.segment != drawn.segment or (drawn.rows and frame.timestamp < drawn.rows[-1][0])
        if begins or (drawn.rows and drawn.rows[-1][1].shape != row.shape):
            drawn.rows.clear()
            drawn.at, drawn.relevance = -np.inf, None
        drawn.segment = frame.segment
        if not result.repeated:
            drawn.rows.append((frame.timestamp, row))
        while len(drawn.rows) > LEAST_ROWS and frame.timestamp - drawn.rows[0][0] > SECONDS:
            drawn.rows.popleft()
        if result.relevance is not None:
            drawn.relevance, drawn.at = result.relevance, -np.inf
        elif drawn.relevance is not None and frame.timestamp - drawn.relevance.times[-1] > _SHOWN:
            drawn.relevance = None
        now = time.monotonic()
        due = frame.timestamp - drawn.at >= EVERY and now - drawn.made >= self._pause
        if drawn.image is None or due:
            drawn.made = now
            times = np.array([seconds for seconds, _ in drawn.rows])
            data = np.stack([one for _, one in drawn.rows]) if drawn.rows else np.zeros((0, len(row)))
            drawn.at = frame.timestamp
            drawn.image = plot_of(data, times, frame.timestamp, limits, drawn.relevance)
        return drawn.image


def plotted_of(frame: Frame, sense: str) -> tuple[np.ndarray, Scale | None]:
    """What is plotted of a frame without a picture: its (C,) readings, or (1,) the level of its sound; and the limits
    of ``plot_of``."""
    return (level_of(frame.data), (QUIETEST, 0.0)) if sense == SOUND else (frame.data, None)


def level_of(samples: np.ndarray) -> np.ndarray:
    """(H,) samples from -1 to 1 -> (1,) float32: decibels of their power, 0 for a sine of full scale.

    >>> [round(float(level_of(np.full(8, one, np.float32))[0]), 2) for one in (0.0, 0.5, 1.0)]
    [-60.0, -3.01, 0.0]
    """
    power = 2.0 * float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return np.array([min(0.0, max(QUIETEST, 10.0 * math.log10(max(power, 1e-12))))], np.float32)


def plot_of(
    data: np.ndarray,
    times: np.ndarray,
    now: float,
    limits: Scale | None = None,
    relevance: Relevance | None = None,
) -> np.ndarray:
    """(R, C) readings at (R,) seconds -> (360, 640, 3) uint8: the last ones, a strip for each channel.

    They reach over the last seconds, or over as long as the last rows took. ``limits``: the least and the greatest
    value that are drawn; None: those of the readings. ``relevance``: shades each strip where it speaks for the label
    (amber) or against it (blue).
    """
    width, height = SIZE
    image = np.full((height, width, 3), _GROUND, np.uint8)
    times, data = times[times <= now], data[times <= now][:, :_MOST_LINES]
    span_seconds = SECONDS if not len(times) else max(SECONDS, now - float(times[-LEAST_ROWS:][0]))
    shown = now - times <= span_seconds
    times, data = times[shown], data[shown]
    if not len(times):
        return image
    strip = height / data.shape[1]
    if relevance is not None:
        _shade(image, relevance, now, span_seconds)
    across = (width - 1) * (1.0 - (now - times) / span_seconds)
    low, high = data.min(0), data.max(0)
    if limits is not None:
        low, high = np.full_like(low, limits[0]), np.full_like(high, limits[1])
    span = np.maximum(high - low, _LEAST_SPAN)
    for channel in range(data.shape[1]):
        share = (data[:, channel] - low[channel]) / span[channel]
        down = strip * (channel + 0.9 - 0.8 * share)
        cv2.line(
            image, (0, round(strip * (channel + 1))), (width, round(strip * (channel + 1))), (60, 54, 50), 1
        )
        points = np.stack([across, down], axis=1).round().astype(np.int32)
        color = PALETTE[channel % len(PALETTE)]
        if len(points) > 1:
            cv2.polylines(
                image, [points[:, None]], isClosed=False, color=color, thickness=2, lineType=cv2.LINE_AA
            )
        cv2.putText(
            image, f"{high[channel]:.3g}", (width - 62, round(strip * channel) + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.38,
            SOFT, 1, cv2.LINE_AA,
        )  # fmt: skip
    return image


def _shade(image: np.ndarray, relevance: Relevance, now: float, reach: float) -> None:
    """Shade the strips of the channels, the most relevant reading most, and name each with its sum.

    ``reach``: seconds from edge to edge.
    """
    height, width = image.shape[:2]
    channels = min(relevance.values.shape[1], _MOST_LINES)
    seconds = now - reach * (1.0 - np.arange(width) / (width - 1))
    times, values = relevance.times, relevance.values[:, :channels]
    values = _smooth(values, times)
    values = values / max(float(np.abs(values).max()), _LEAST_SPAN)
    for channel in range(channels):
        share = np.interp(seconds, times, values[:, channel], left=0.0, right=0.0)
        cover = (_SHADE * np.abs(share))[None, :, None]
        color = np.where(share[:, None] > 0.0, _FOR, _AGAINST)[None]
        top, bottom = round(height * channel / channels), round(height * (channel + 1) / channels)
        part = image[top:bottom]
        part[:] = (part * (1.0 - cover) + color * cover).astype(np.uint8)
        text = f"{relevance.channels[channel]} {relevance.values[:, channel].sum():+.1f}"
        cv2.putText(
            image, text, (width - _NAMED, top + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.38, SOFT, 1, cv2.LINE_AA
        )


def _smooth(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(T, C) averaged over a few samples, weighted by how near they are in time."""
    near = np.exp(-0.5 * ((times[:, None] - times) / _BLUR) ** 2)
    found: np.ndarray = near @ values / near.sum(1, keepdims=True)
    return found
