"""Augmentation: one draw holds for a whole pass of a clip, so that still things stay still and motion stays motion."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from functools import cache

import cv2
import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Strengths of the augmentation. "Of the passes": the probability that a pass has it at all."""

    flip: bool = True  # half of the passes are mirrored
    mirrored: tuple[tuple[str, str], ...] = ()  # labels that are swapped in a mirrored pass; the others stay
    zoom: float = 0.2  # part of the frame's size
    shift: float = 0.1
    rotation: float = 5.0  # degrees
    light: float = 0.25  # brightness, contrast and gamma
    colour: float = 0.1  # gain a channel
    gray: float = 0.1  # of the passes: without colour, like a camera at night
    blur: float = 0.1  # of the passes
    noise: float = 6.0  # standard deviation, of 255
    blocks: float = 0.05  # of the passes: blocks of strong JPEG compression
    shake: float = 0.015  # of the frame's size: a third of the passes pan or tremble by it
    occlusion: float = 0.1  # of the passes: a box stands or moves in front of the scene
    cutout: float = 0.1  # of the passes: up to 3 small boxes that do not move
    mosaic: float = 0.1  # of the passes: shrunk into a background recording, where there are any
    tempo: float = 0.15  # range of the playing speed, around 1
    rhythm: tuple[float, float] = (0.6, 1.2)  # range of the sampling rate, as a part of the model's
    drop: float = 0.1  # mean part of the frames that are lost
    burst: float = 0.1  # of the passes: up to BURST_SECONDS without a frame
    freeze: float = 0.1  # of the passes: a frame is repeated for up to BURST_SECONDS

    def scaled(self, strength: float) -> Augmentation:
        """All strengths but the mirror times ``strength``: 0 plays recordings as they are.

        >>> Augmentation().scaled(0.5).zoom
        0.1
        """
        kept = {"flip", "mirrored", "rhythm"}
        values = {f.name: strength * getattr(self, f.name) for f in fields(self) if f.name not in kept}
        slow, fast = (limit**strength for limit in self.rhythm)
        return replace(self, rhythm=(slow, fast), **values)


BURST_SECONDS = 0.8  # shorter than the gap after which a state is reset


def mirrored_by_name(labels: tuple[str, ...]) -> tuple[tuple[str, str], ...] | None:
    """The pairs of labels that a mirror swaps, by the words left and right in them; None: one has no counterpart.

    >>> mirrored_by_name(("idle", "wave_left_hand", "wave_right_hand"))
    (('wave_left_hand', 'wave_right_hand'),)
    >>> mirrored_by_name(("idle", "wave_right_hand")) is None
    True
    """
    sides = {"left": "right", "right": "left"}
    known = {label.lower(): label for label in labels}
    pairs = set()
    for name, label in known.items():
        other = "".join(sides.get(word, word) for word in re.split(r"([^a-z]+)", name))
        if other not in known:
            return None
        if other > name:
            pairs.add((label, known[other]))
    return tuple(sorted(pairs))


def mirror(mirrored: tuple[tuple[str, str], ...], labels: tuple[str, ...]) -> np.ndarray:
    """(C,) index of the label that each label becomes in a mirror."""
    swap = np.arange(len(labels))
    for pair in mirrored:
        unknown = [name for name in pair if name not in labels]
        if unknown:
            raise DataError(f"{' and '.join(unknown)} cannot be mirrored: the labels are {', '.join(labels)}")
        one, other = (labels.index(name) for name in pair)
        swap[[one, other]] = swap[[other, one]]
    return swap


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """A box in front of the scene; positions and sizes in pixels, speed in pixels a second."""

    corner: np.ndarray  # (2,) left, top at the start of the pass
    speed: np.ndarray  # (2,)
    size: tuple[int, int]  # width, height
    colour: np.ndarray  # (3,) uint8

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, size: tuple[int, int], part: tuple[float, float], *, moves: bool
    ) -> Box:
        """A box whose sides are ``part`` (from, to) of a frame of ``size`` (height, width)."""
        whole = np.array(size[::-1])
        sides = np.maximum(1, (whole * rng.uniform(*part, 2)).astype(int))
        speed = whole * rng.uniform(-0.5, 0.5, 2) * (1.0, 0.2) if moves else np.zeros(2)
        colour = (
            rng.integers(0, 256, 3, np.uint8) if moves or rng.random() < 0.5 else np.full(3, 128, np.uint8)
        )
        return cls(rng.uniform(0, 1, 2) * (whole - sides), speed, (int(sides[0]), int(sides[1])), colour)

    def paint(self, picture: np.ndarray, age: float) -> None:
        """Paint it at its place ``age`` seconds after the start of the pass."""
        left, top = (round(value) for value in (self.corner + self.speed * age).tolist())
        right, bottom = left + self.size[0], top + self.size[1]
        picture[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = self.colour


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One drawn augmentation: what it does to a frame follows from the frame's index and age alone."""

    matrix: np.ndarray  # (2, 3): crop, shift, rotation, mirror
    table: np.ndarray  # (256, 1, 3) uint8: new value of each old one, for each channel
    is_mirrored: bool = False
    boxes: tuple[Box, ...] = ()
    swing: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # (2,): pixels, radians a second, phase
    gray: bool = False
    blur: float = 0.0  # standard deviation, pixels
    noise: tuple[np.ndarray, np.ndarray] | None = None  # (2 H, 2 W, 3) uint8: to add, to subtract
    quality: int | None = None  # of a JPEG that it goes through

    @classmethod
    def drawn(cls, rng: np.random.Generator, how: Augmentation, size: tuple[int, int]) -> View:
        """Draw one for frames of ``size`` (height, width)."""
        is_mirrored = how.flip and rng.random() < 0.5
        boxes = []
        if rng.random() < how.occlusion:
            boxes.append(Box.drawn(rng, size, (0.1, 0.4), moves=rng.random() < 0.5))
        if rng.random() < how.cutout:
            boxes += [Box.drawn(rng, size, (0.05, 0.2), moves=False) for _ in range(rng.integers(1, 4))]
        gray = rng.random() < how.gray
        return cls(
            _geometry(rng, how, size, is_mirrored),
            _light(rng, how),
            is_mirrored,
            tuple(boxes),
            _swing(rng, how.shake, size) if how.shake and rng.random() < 1 / 3 else None,
            gray,
            rng.uniform(0.4, 1.2) if rng.random() < how.blur else 0.0,
            _noise(rng, how.noise * rng.random() ** 2, size, gray),
            int(rng.integers(8, 40)) if rng.random() < how.blocks else None,
        )

    def __call__(self, picture: np.ndarray, number: int, age: float) -> np.ndarray:
        """(H, W, 3) uint8 -> the same shape; ``number`` picks the noise, ``age`` is in seconds since the pass began."""
        height, width = picture.shape[:2]
        matrix = self.matrix
        if self.swing is not None:
            reach, frequency, phase = self.swing
            matrix = matrix.copy()
            matrix[:, 2] += reach * np.sin(frequency * age + phase)
        seen = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        seen = cv2.LUT(seen, self.table)
        for box in self.boxes:
            box.paint(seen, age)
        if self.gray:
            seen = cv2.cvtColor(cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        if self.blur:
            seen = cv2.GaussianBlur(seen, (5, 5), self.blur)
        if self.noise is not None:
            top, left = number * 37 % height, number * 61 % width
            more, less = (part[top : top + height, left : left + width] for part in self.noise)
            seen = cv2.subtract(cv2.add(seen, more), less)
        if self.quality is not None:
            seen = _through_jpeg(seen, self.quality)
        return seen


def _through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _geometry(
    rng: np.random.Generator, how: Augmentation, size: tuple[int, int], is_mirrored: bool
) -> np.ndarray:
    height, width = size
    zoom = 1.0 + rng.uniform(-how.zoom / 2, how.zoom)
    angle = rng.normal() * how.rotation / 2
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom), np.float64)
    matrix[0, :2] *= math.exp(rng.uniform(-how.zoom, how.zoom) / 2)
    matrix[0, 2] = width / 2 - matrix[0, :2] @ (width / 2, height / 2)
    matrix[:, 2] += rng.uniform(-how.shift, how.shift, 2) * (width, height)
    if is_mirrored:
        matrix[0] = -matrix[0]
        matrix[0, 2] += width - 1
    return matrix


def _light(rng: np.random.Generator, how: Augmentation) -> np.ndarray:
    gamma = math.exp(rng.uniform(-how.light, how.light))
    gain = math.exp(rng.uniform(-how.light, how.light)) * np.exp(rng.uniform(-how.colour, how.colour, 3))
    shift = rng.uniform(-how.light, how.light) * 60
    values = 255 * (np.arange(256)[:, None] / 255) ** gamma
    table = np.clip((values - 128) * gain + 128 + shift, 0, 255).round().astype(np.uint8)[:, None, :]
    return np.ascontiguousarray(table)


def _swing(
    rng: np.random.Generator, shake: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frequency = 2 * math.pi * np.exp(rng.uniform(math.log(0.1), math.log(3.0), 2))  # from a pan to a tremble
    return rng.uniform(0, shake, 2) * size[::-1], frequency, rng.uniform(0, 2 * math.pi, 2)


def _noise(
    rng: np.random.Generator, strength: float, size: tuple[int, int], gray: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    if strength <= 0.5:
        return None
    unit = _unit_noise(size, int(rng.integers(4)))
    if gray:
        unit = np.repeat(unit[..., :1], 3, axis=2)
    scaled = (np.arange(256) - 128) * (strength / 32)
    return (
        cv2.LUT(unit, np.clip(scaled, 0, 255).round().astype(np.uint8)),
        cv2.LUT(unit, np.clip(-scaled, 0, 255).round().astype(np.uint8)),
    )


@cache  # drawing it for each pass took a fifth of the time of all augmentation
def _unit_noise(size: tuple[int, int], seed: int) -> np.ndarray:
    """(2 * height, 2 * width, 3) uint8: 128 is zero, 32 a standard deviation."""
    unit = np.random.default_rng(seed).standard_normal((2 * size[0], 2 * size[1], 3), np.float32)
    return np.clip(unit * 32 + 128, 0, 255).round().astype(np.uint8)


def in_mirror(targets: np.ndarray, swap: np.ndarray) -> np.ndarray:
    """(T,) targets -> (T,) targets of the mirrored frames."""
    return np.where(targets == NO_LABEL, NO_LABEL, swap[np.maximum(targets, 0)]) if len(swap) else targets
