"""A movement as a sum of submovements of minimum jerk, and of oscillations: evaluated for all frames at once.

That reaches are superposed submovements with the least jerk is Flash and Hogan's model ("The coordination of arm
movements", Journal of Neuroscience, 1985); overlapping ones give smooth, curved paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from streamrec.train.joints.skeleton import ELBOWS, HANDS, SIZE

Ease: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""How far a movement has come (0 to 1) when a part (0 to 1) of its time is over."""
Where: TypeAlias = slice | int
"""Channels of a pose."""


def minimum_jerk(part: np.ndarray) -> np.ndarray:
    """Starts and ends at rest."""
    return part**3 * (10 - 15 * part + 6 * part**2)


def falling(part: np.ndarray) -> np.ndarray:
    """Starts at rest and gets faster until it is stopped, as what falls freely does; a little slack at the end."""
    return np.where(part < 0.92, 0.97 * (part / 0.92) ** 2.1, 0.97 + 0.03 * (part - 0.92) / 0.08)


def toppling(part: np.ndarray) -> np.ndarray:
    """The angle of an inverted pendulum that was pushed over: slow first, ever faster."""
    return 0.86 * (np.sinh(2.8 * part) / np.sinh(2.8)) + 0.14 * part


def toppling_down(part: np.ndarray) -> np.ndarray:
    """How far the top of such a pendulum has come down."""
    return 1 - np.cos(np.pi / 2 * toppling(part))


def toppling_along(part: np.ndarray) -> np.ndarray:
    """How far the top of such a pendulum has moved aside."""
    return np.sin(np.pi / 2 * toppling(part))


def cruising(part: np.ndarray) -> np.ndarray:
    """At an even speed, with a soft start and end: the way of a person who walks."""
    ramp = 0.15
    speed = 1 / (1 - ramp)
    early = speed * part**2 / (2 * ramp)
    late = 1 - speed * (1 - part) ** 2 / (2 * ramp)
    return np.where(part < ramp, early, np.where(part > 1 - ramp, late, speed * (part - ramp / 2)))


def dropping(part: np.ndarray) -> np.ndarray:
    """Gets going smoothly and ends with half of its speed, as when a person plumps down on a seat."""
    return 1.6 * part**2 - 0.6 * part**3


@dataclass(frozen=True, slots=True)
class Oscillation:
    """Something that swings while it lasts: ``direction`` times a wave whose rate wanders a little.

    ``shape``: "sine"; "step", which stays at its ends for longer; "triangle"; "half", the upper half of a sine; or
    "arc", one parabola from start to end, as the way of what was thrown up.
    """

    start: float  # seconds
    end: float
    rate: float  # hertz
    direction: np.ndarray  # (35,)
    phase: float = 0.0  # radians
    fade: float = 0.15  # seconds in which it begins and ends
    wander: float = 0.0  # radians by which its phase wanders
    shape: str = "sine"


class Motion:
    """The movement of one person: a first pose, then submovements and oscillations, written down in order of time."""

    def __init__(self, pose: np.ndarray) -> None:
        self.first = pose.copy()
        self.now = pose.copy()  # where all movements written down so far lead
        self._moves: list[tuple[float, float, Ease, np.ndarray]] = []
        self._swings: list[Oscillation] = []

    def to(
        self,
        start: float,
        seconds: float,
        target: np.ndarray | float,
        where: Where = slice(None),
        ease: Ease = minimum_jerk,
    ) -> None:
        """Move some channels (all of them, without ``where``) to a target."""
        change = np.zeros(SIZE)
        change[where] = target - self.now[where]
        if change.any():
            self._moves.append((start, max(seconds, 1e-3), ease, change))
            self.now = self.now + change

    def swing(self, oscillation: Oscillation) -> None:
        """Add an oscillation."""
        self._swings.append(oscillation)

    def poses(self, times: np.ndarray) -> np.ndarray:
        """(T,) seconds -> (T, 35)."""
        found = np.repeat(self.first[None], len(times), 0)
        if self._moves:
            shares = np.empty((len(times), len(self._moves)))
            starts = np.array([move[0] for move in self._moves])
            takes = np.array([move[1] for move in self._moves])
            parts = np.clip((times[:, None] - starts) / takes, 0, 1)
            eases = [move[2] for move in self._moves]
            for ease in set(eases):
                chosen = [number for number, other in enumerate(eases) if other is ease]
                shares[:, chosen] = ease(parts[:, chosen])
            found += shares @ np.array([move[3] for move in self._moves])
        for swing in self._swings:
            inside = (times > swing.start) & (times < swing.end)
            if inside.any():
                found[inside] += _swung(times[inside], swing)
        return found


def _swung(times: np.ndarray, swing: Oscillation) -> np.ndarray:
    if swing.shape == "arc":
        part = (times - swing.start) / (swing.end - swing.start)
        return (4 * part * (1 - part))[:, None] * swing.direction
    envelope = np.minimum(times - swing.start, swing.end - times) / max(swing.fade, 1e-3)
    angle = 2 * np.pi * swing.rate * (times - swing.start) + swing.phase
    if swing.wander:
        angle = angle + swing.wander * np.sin(0.83 * times + swing.phase) * np.sin(2.1 * times)
    wave = np.sin(angle)
    if swing.shape == "step":
        wave = np.tanh(2.5 * wave) / np.tanh(2.5)
    elif swing.shape == "triangle":
        wave = np.arcsin(wave) * (2 / np.pi)
    elif swing.shape == "half":
        wave = np.maximum(wave, 0)
    return (np.clip(envelope, 0, 1) * wave)[:, None] * swing.direction


def along(*parts: tuple[Where, np.ndarray | float | tuple[float, ...]]) -> np.ndarray:
    """A vector (35,) that has these values at these channels and is 0 elsewhere.

    >>> from streamrec.train.joints.skeleton import HIGH
    >>> along((HIGH, 0.1)).sum()
    np.float64(0.1)
    """
    vector = np.zeros(SIZE)
    for where, value in parts:
        vector[where] = value
    return vector


def reach(
    motion: Motion,
    side: int,
    start: float,
    seconds: float,
    target: Sequence[float] | np.ndarray,
    *,
    elbow: Sequence[float] | np.ndarray | None = None,
    around: Sequence[float] | None = None,
    ease: Ease = minimum_jerk,
) -> None:
    """Bring a hand (0: left) to a target in arm lengths from its shoulder.

    A way that would lead through the shoulder goes around it instead, past ``around`` where it is given.
    """
    aim = np.asarray(target, float)
    before = motion.now[HANDS[side]]
    straight = np.linalg.norm(before + aim) / 2
    if around is None and straight < 0.55:
        middle = before / np.linalg.norm(before) + aim / np.linalg.norm(aim) + (0.5, 0.0, 0.7)
        around = middle / np.linalg.norm(middle) * 0.75
    if around is not None:
        motion.to(start, 0.66 * seconds, np.asarray(around, float), HANDS[side], ease)
        motion.to(start + 0.3 * seconds, 0.7 * seconds, aim, HANDS[side], ease)
    else:
        motion.to(start, seconds, aim, HANDS[side], ease)
    if elbow is not None:
        motion.to(start, seconds, np.asarray(elbow, float), ELBOWS[side], ease)
