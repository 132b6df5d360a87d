"""A finger that draws in the air, seen by a camera on the head of the person who draws."""

from __future__ import annotations

import math

import cv2
import numpy as np

from streamrec.sources.synthetic import air_strokes as strokes
from streamrec.sources.synthetic import backdrop
from streamrec.sources.synthetic.air_strokes import SHAPES, Track
from streamrec.sources.synthetic.figure import capsules, hsv
from streamrec.sources.synthetic.scenario import Kind, Script

_SKINS = ((164, 190, 228), (150, 186, 226), (120, 160, 208), (92, 130, 182), (66, 98, 146), (40, 60, 96))


def write(rng: np.random.Generator, label: str) -> Script:
    """One gesture of 1 to 7 seconds."""
    lines = strokes.draw_strokes(label, rng)
    slow = 0.5 + 0.5 * len(lines) if len(lines[0]) <= 16 else rng.uniform(1.2, 2.6)
    drawing = min(max(slow * rng.uniform(0.6, 1.7), 0.5), 5.5)
    before, after = rng.exponential(0.3, 2)
    enters, leaves = (rng.uniform(0.2, 0.6) if rng.random() < 0.2 else 0.0 for _ in range(2))
    if label == "other" and rng.random() < 0.15:  # comes and goes
        enters, leaves = rng.uniform(0.3, 0.8, 2)
        lines, drawing = lines[:1], 0.5
    track = strokes.timed(lines, drawing, rng)
    begins = before + enters
    seconds = max(begins + drawing + after + leaves, 1.0)
    opens = label == "other" and rng.random() < 0.3

    def stage(width: int, height: int) -> _Stage:
        tip = _placed(track, label, begins, enters, leaves, seconds, width / height, rng)
        return _Stage(rng, width, height, tip, opens=opens)

    return Script(((0.0, seconds, label),), (), stage)


KIND = Kind(SHAPES, write)


def _placed(
    track: Track,
    label: str,
    begins: float,
    enters: float,
    leaves: float,
    seconds: float,
    aspect: float,
    rng: np.random.Generator,
) -> Track:
    """The drawing's place in the image, in image heights, with the ways by which the hand enters and leaves."""
    tall = rng.uniform(0.12, 0.33)
    wide = tall * rng.uniform(0.8, 1.3) * (aspect if label in ("left", "right") else 1)
    wide = min(wide, 0.42 * aspect)
    if label in ("left", "right", "up", "down"):
        wide, tall = max(wide, 0.17), max(tall, 0.17)
    x = rng.uniform(wide + 0.05 * aspect, max(0.95 * aspect - wide, wide + 0.06 * aspect))
    y = rng.uniform(tall + 0.06, 0.92 - tall)
    places = track.places * (wide, tall) + (x, y)
    times = track.times + begins
    if enters:
        far = places[0] + (rng.uniform(-0.1, 0.8), 1.2 - places[0, 1] + rng.uniform(0.0, 0.4))
        times, places = _joined((0.0, enters), (far, places[0]), times, places, end=False)
    if leaves:
        far = places[-1] + (rng.uniform(-0.1, 0.8), 1.2 - places[-1, 1] + rng.uniform(0.0, 0.4))
        times, places = _joined((seconds - leaves, seconds), (places[-1], far), times, places, end=True)
    return Track(times, places)


def _joined(
    span: tuple[float, float],
    ends: tuple[np.ndarray, np.ndarray],
    times: np.ndarray,
    places: np.ndarray,
    *,
    end: bool,
) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(0, 1, 10)
    way = ends[0] + (ends[1] - ends[0]) * (x * x * (3 - 2 * x))[:, None]
    more = span[0] + (span[1] - span[0]) * x
    if end:
        return np.concatenate((times, more)), np.concatenate((places, way))
    return np.concatenate((more, times)), np.concatenate((way, places))


class _Stage:
    """The background, the hand before it, and the head that carries the camera."""

    def __init__(self, rng: np.random.Generator, width: int, height: int, tip: Track, *, opens: bool) -> None:
        self._size = (width, height)
        self._fine = 2 if height <= 160 else 1
        self._tip = tip
        self._hand = _Hand(rng, opens=opens)
        self._head = _Head(rng)
        self._margin = margin = 0.12
        self._canvas = backdrop.paint(rng, round(width * (1 + 2 * margin)), round(height * (1 + 2 * margin)))
        self._effects = backdrop.CameraEffects(rng, width, height)
        self._open_for = rng.uniform(0.0, 0.03)  # exposure time of a frame, seconds

    def render(self, seconds: float) -> np.ndarray:
        """The image (H, W, 3) at a time."""
        width, height = self._size
        turn, dx, dy = self._head.at(seconds)
        c, s = math.cos(turn), math.sin(turn)
        mid_x, mid_y = 0.5 * self._canvas.shape[1], 0.5 * self._canvas.shape[0]
        x, y = 0.5 * width + dx * height, 0.5 * height + dy * height
        move = np.array(((c, -s, x - c * mid_x + s * mid_y), (s, c, y - s * mid_x - c * mid_y)))
        image = np.asarray(cv2.warpAffine(self._canvas, move, self._size, borderMode=cv2.BORDER_REFLECT))
        image = self._with_hand(image, seconds, np.array((dx, dy)))
        return self._effects.apply(image, seconds)

    def _with_hand(self, image: np.ndarray, seconds: float, head: np.ndarray) -> np.ndarray:
        width, height = self._size
        last, now = self._tip.at(seconds - self._open_for), self._tip.at(seconds)
        steps = int(min(max(np.hypot(*(now - last)) * height / 1.5, 1), 4))
        fine = self._fine
        if fine > 1:
            image = cv2.resize(image, (width * fine, height * fine), interpolation=cv2.INTER_LINEAR)
        blurred: np.ndarray = image
        for k in range(steps):
            moment = seconds - self._open_for * k / steps
            one = image.copy() if k < steps - 1 else image
            tip = self._tip.at(moment) + self._head.shake(moment) + 0.35 * head
            self._hand.draw(one, tip, moment, height * fine)
            blurred = one if k == 0 else cv2.addWeighted(blurred, k / (k + 1), one, 1 / (k + 1), 0)
        if fine > 1:
            blurred = cv2.resize(blurred, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(blurred)


class _Head:
    """Slow turns of the head, now and then a faster one; and the hand's tremor."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._sway = rng.exponential(0.012)
        self._pan = rng.normal(0, 0.05, 2) if rng.random() < 0.35 else np.zeros(2)
        self._pan_at, self._pan_takes = rng.uniform(0, 4), rng.uniform(0.5, 2.5)
        self._turn = rng.exponential(0.01)
        self._phases = rng.uniform(0, 2 * math.pi, 6)
        self._tremor = rng.exponential(0.0025)

    def at(self, t: float) -> tuple[float, float, float]:
        """Turn in radians, shift in image heights."""
        p = self._phases
        share = min(max((t - self._pan_at) / self._pan_takes, 0.0), 1.0)
        share = share * share * (3 - 2 * share)
        dx = self._sway * (math.sin(1.3 * t + p[0]) + 0.4 * math.sin(4.1 * t + p[1])) + self._pan[0] * share
        dy = self._sway * (math.sin(1.7 * t + p[2]) + 0.4 * math.sin(5.3 * t + p[3])) + self._pan[1] * share
        return self._turn * math.sin(1.1 * t + p[4]), dx, dy

    def shake(self, t: float) -> np.ndarray:
        """How the hand trembles (2,)."""
        p = self._phases
        x = math.sin(19 * t + p[0]) + math.sin(31 * t + p[1])
        return self._tremor * np.array((x, math.sin(23 * t + p[2]) + math.sin(37 * t + p[3])))


# A right hand whose index finger points up, its tip at (0, 0), in palm widths: x to the right, y down.
_Row = tuple[tuple[float, float], tuple[float, float], float, float]
_ROWS: tuple[_Row, ...] = (  # from, to, radii
    ((0.30, 1.75), (0.30, 1.25), 0.36, 0.50),  # the palm
    ((0.00, 1.05), (0.62, 1.22), 0.20, 0.17),  # the knuckles
    ((0.20, 1.06), (0.18, 1.36), 0.125, 0.12),  # curled fingers
    ((0.42, 1.08), (0.40, 1.38), 0.125, 0.12),
    ((0.62, 1.16), (0.60, 1.40), 0.115, 0.11),
    ((-0.12, 1.62), (-0.22, 1.22), 0.17, 0.12),  # the thumb
    ((0.00, 1.05), (0.03, 0.50), 0.145, 0.125),  # the index finger
    ((0.03, 0.52), (0.00, 0.09), 0.125, 0.095),
)
_STRETCHED = ((0.24, 0.05), (0.5, 0.16), (0.76, 0.42))  # where the curled fingers reach in an open hand
_WRIST = np.array((0.30, 1.95))


class _Hand:
    """A hand and forearm of a random person."""

    def __init__(self, rng: np.random.Generator, *, opens: bool) -> None:
        skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.55, 1.08)
        self._skin, self._dark, self._pale = skin, skin * 0.72, np.minimum(skin * 1.13 + 6, 255)
        self._sleeve = np.array(hsv(rng.uniform(), rng.uniform(0, 0.7), rng.uniform(0.1, 0.95)))
        self._sleeve_at = rng.uniform(0.05, 0.9) if rng.random() < 0.5 else 2.0  # share of the forearm
        self._checks = rng.random() < 0.3
        self._palm = rng.uniform(0.10, 0.21)  # width in image heights
        self._left = rng.random() < 0.2
        self._elbow = np.array((rng.uniform(0.1, 1.0) * (-1 if self._left else 1), rng.uniform(0.75, 1.2)))
        self._follow = rng.uniform(0.25, 0.75)  # how much of the hand's way the elbow goes too
        self._rest = np.array((rng.uniform(0.5, 0.8), 0.55))
        self._bias = rng.normal(-0.12, 0.15)
        self._wrist_turn = rng.uniform(0.3, 0.9)
        rng.uniform(0.85, 1.2)  # unused: without it, later draws would be others, and so the worlds
        self._thumb = rng.uniform(0, 1)
        self._opens = opens
        self._rate, self._phase = rng.uniform(2, 6), rng.uniform(0, 6)
        self._light = np.array((rng.uniform(-0.5, 0.5), -0.5))
        self._slim = rng.uniform(0.75, 1.05)

    def draw(self, image: np.ndarray, tip: np.ndarray, t: float, height: int) -> None:
        """Paint the hand with its fingertip at (2,) image heights."""
        side = -1.0 if self._left else 1.0
        elbow = self._rest + (tip - self._rest) * self._follow + self._elbow
        way = elbow - tip
        lean = math.atan2(-way[0], way[1])  # 0: straight up from below
        turn = self._wrist_turn * lean + self._bias * side
        c, s = math.cos(turn), math.sin(turn)
        size = self._palm * height
        rows = self._shape(t)
        tips = np.array([(r[0], r[1]) for r in rows])
        radius = np.array([(r[2], r[3]) for r in rows]) * size * self._slim
        frame = np.array(((c * side, s * side), (-s, c)))
        tips = tips @ frame * size + tip * height
        wrist = _WRIST @ frame * size + tip * height
        far = elbow * height
        away = far - wrist
        away /= math.hypot(*away) + 1e-9
        far = wrist + away * 7 * size
        arm = np.array(((wrist, far),))
        self._limb(image, arm, np.array(((0.36, 0.8),)) * size * self._slim, self._skin, self._dark)
        if self._sleeve_at < 1:
            cuff = wrist + away * (4.0 * self._sleeve_at) * size
            sleeve = np.array(((cuff, far + away * size),))
            wide = np.array(((0.46 + 0.2 * self._sleeve_at, 0.95),)) * size * self._slim
            self._limb(image, sleeve, wide, self._sleeve, self._sleeve * 0.6)
            if self._checks:
                across = np.array((-away[1], away[0]))
                for k in range(9):
                    at = cuff + away * k * 0.5 * size
                    ends = np.rint(np.array((at - across * 0.45 * size, at + across * 0.45 * size)) * 16)
                    a, b = ends.astype(int).tolist()
                    cv2.line(
                        image, a, b, (self._sleeve * 0.4).tolist(), max(1, int(0.1 * size)), cv2.LINE_AA, 4
                    )
        self._limb(image, tips, radius, self._skin, self._dark)

    def _shape(self, t: float) -> list[_Row]:
        rows = list(_ROWS)
        if self._opens:
            share = 0.5 + 0.5 * math.sin(self._rate * t + self._phase)
            for k, (x, y) in enumerate(_STRETCHED):
                (x0, y0), (x1, y1), r0, r1 = rows[2 + k]
                rows[2 + k] = ((x0, y0), (x1 + (x - x1) * share, y1 + (y - y1) * share), r0, r1)
            (x0, y0), (x1, y1), r0, r1 = rows[5]
            rows[5] = ((x0, y0), (x1 - 0.45 * share, y1), r0, r1)
        else:
            (x0, y0), (x1, y1), r0, r1 = rows[5]
            rows[5] = ((x0, y0), (x1 + (0.35 if self._thumb > 0.4 else -0.15), y1), r0, r1)
        return rows

    def _limb(
        self, image: np.ndarray, tips: np.ndarray, radius: np.ndarray, colour: np.ndarray, dark: np.ndarray
    ) -> None:
        outer = np.rint(capsules(tips, radius) * 16).astype(np.int32)
        inner = capsules(tips + (0.12 * radius)[..., None] * self._light, radius * 0.84)
        inner = np.rint(inner * 16).astype(np.int32)
        edge, fill = dark.tolist(), colour.tolist()
        for a, b in zip(outer, inner, strict=True):
            cv2.fillConvexPoly(image, a, edge, cv2.LINE_AA, 4)
            cv2.fillConvexPoly(image, b, fill, cv2.LINE_AA, 4)
