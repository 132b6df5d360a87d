"""Plots of signals, and of how loud a sound is: what stands where video has its picture.

Of sound the level alone is drawn, a number a hop: no spectrum, from which words could be made out again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from streamrec.outputs.overlay import PALETTE, SOFT
from streamrec.types import SIGNAL, SOUND, Frame, Result

SIZE = (640, 360)  # width and height, pixels
SECONDS = 6.0  # of the past
LEAST_ROWS = 120  # of a slow series the last rows, however long ago
EVERY = 0.1  # seconds of the stream between two plots
_GROUND = (34, 29, 26)
_MOST_LINES = 12  # channels that are drawn
_LEAST_SPAN = 1e-6
QUIETEST = -60.0  # decibels below full scale


@dataclass(slots=True)
class _Drawn:
    """The last rows of one source, and its last plot."""

    rows: deque[tuple[float, np.ndarray]] = field(default_factory=deque)
    segment: int = 0
    at: float = -np.inf
    image: np.ndarray | None = None


class Plots:
    """Gives results of signals a picture: the last seconds or rows of each channel, on a scale of its own.

    Of sound it is the level. ``sense``: of the source of a name.

    >>> from streamrec.types import Frame, Prediction
    >>> prediction = Prediction.of(np.ones(1, np.float32), 0.0, ("walking",))
    >>> result = Result(Frame(np.zeros(3, np.float32), 0, 0.0), prediction)
    >>> Plots().pictured(result).frame.image.shape
    (360, 640, 3)
    """

    def __init__(self, sense: Callable[[str], str] = lambda source: SIGNAL) -> None:
        self._sense = sense
        self._drawn: dict[str, _Drawn] = {}

    def pictured(self, result: Result) -> Result:
        """The result with a plot for its picture; one that has a picture as it is."""
        if result.frame.is_picture:
            return result
        frame, limits = result.frame, None
        if self._sense(frame.source) == SOUND:
            frame, limits = replace(frame, image=level_of(frame.data)), (QUIETEST, 0.0)
        return replace(result, frame=replace(frame, image=self._plot(result, frame, limits)))

    def _plot(self, result: Result, frame: Frame, limits: tuple[float, float] | None) -> np.ndarray:
        drawn = self._drawn.setdefault(frame.source, _Drawn())
        begins = frame.segment != drawn.segment or (drawn.rows and frame.timestamp < drawn.rows[-1][0])
        if begins or (drawn.rows and drawn.rows[-1][1].shape != frame.data.shape):
            drawn.rows.clear()
            drawn.at = -np.inf
        drawn.segment = frame.segment
        if not result.repeated:
            drawn.rows.append((frame.timestamp, frame.data))
        while len(drawn.rows) > LEAST_ROWS and frame.timestamp - drawn.rows[0][0] > SECONDS:
            drawn.rows.popleft()
        if drawn.image is None or frame.timestamp - drawn.at >= EVERY:
            times = np.array([seconds for seconds, _ in drawn.rows])
            data = np.stack([row for _, row in drawn.rows]) if drawn.rows else np.zeros((0, len(frame.data)))
            drawn.at, drawn.image = frame.timestamp, plot_of(data, times, frame.timestamp, limits)
        return drawn.image


def level_of(samples: np.ndarray) -> np.ndarray:
    """(H,) samples from -1 to 1 -> (1,) float32: decibels of their power, 0 for a sine of full scale.

    >>> [round(float(level_of(np.full(8, one, np.float32))[0]), 2) for one in (0.0, 0.5, 1.0)]
    [-60.0, -3.01, 0.0]
    """
    power = 2.0 * float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return np.array([min(0.0, max(QUIETEST, 10.0 * math.log10(max(power, 1e-12))))], np.float32)


def plot_of(
    data: np.ndarray, times: np.ndarray, now: float, limits: tuple[float, float] | None = None
) -> np.ndarray:
    """(R, C) readings at (R,) seconds -> (360, 640, 3) uint8: the last ones, a strip for each channel.

    They reach over the last seconds, or over as long as the last rows took. ``limits``: the least and the greatest
    value that are drawn; None: those of the readings.
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
