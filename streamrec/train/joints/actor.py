"""A person who acts: a body, a movement that is being written, and the labels of its stretches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.motion import Motion, Oscillation, along, cruising, dropping, minimum_jerk, reach

Span = tuple[float, float, str]
"""Start and end in seconds, and the label."""

LEFT, RIGHT = 0, 1
SEAT = 0.5  # height of the pelvis on a chair, leg lengths

_STANDING_HANDS: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((0.16, -0.96, 0.06), sk.ELBOW_DOWN),  # hanging
    ((0.14, -0.93, 0.16), sk.ELBOW_DOWN),
    ((-0.22, -0.74, 0.3), (0.8, -0.5, -0.3)),  # hands held before the belly
    ((0.12, -0.7, 0.05), (1.0, -0.1, -0.4)),  # on the hips
    ((0.12, -0.78, 0.1), (0.7, -0.3, -0.7)),  # in the pockets
    ((-0.25, -0.42, 0.34), (0.6, -0.7, 0.2)),  # arms crossed
    ((-0.15, -0.82, -0.16), (0.8, -0.2, -0.5)),  # behind the back
)
_STANDING_SHARES = (0.42, 0.2, 0.1, 0.06, 0.09, 0.08, 0.05)
_SEATED_HANDS: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((0.02, -0.68, 0.42), (0.7, -0.6, -0.3)),  # in the lap
    ((0.1, -0.72, 0.5), (0.6, -0.7, -0.3)),  # on a thigh
    ((0.02, -0.48, 0.62), (0.6, -0.8, -0.2)),  # on the desk
    ((-0.22, -0.42, 0.55), (0.8, -0.6, 0.1)),  # folded on the desk
    ((0.28, -0.55, 0.3), (0.6, -0.6, -0.5)),  # on an arm-rest
    ((-0.25, -0.4, 0.34), (0.6, -0.7, 0.2)),  # arms crossed
    ((0.14, -0.92, 0.1), sk.ELBOW_DOWN),  # hanging
)
_SEATED_SHARES = (0.24, 0.16, 0.26, 0.12, 0.1, 0.06, 0.06)


@dataclass(eq=False)
class Actor:
    """One person; every method writes a stretch of movement and returns when it is over, in seconds."""

    rng: np.random.Generator
    body: sk.Body
    motion: Motion
    seated: bool = False
    spans: list[Span] = field(default_factory=list)

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, *, seated: bool = False, children: float = 0.12, yaw: float = 0.0
    ) -> Actor:
        """A person who stands or sits at the origin."""
        actor = cls(rng, sk.draw_body(rng, children=children), Motion(sk.standing()), seated)
        pose = actor.motion.first
        if seated:
            pose[sk.PELVIS] = (0, SEAT + rng.uniform(-0.03, 0.06), 0)
            wide = rng.uniform(0.1, 0.24)
            for foot, knee in zip(sk.FEET, sk.KNEES, strict=True):
                pose[foot] = (wide, 0, rng.uniform(0.35, 0.52))
                pose[knee] = rng.uniform(0.0, 0.4)
            pose[sk.LEAN] = rng.uniform(-0.22, 0.12)
            pose[sk.BEND] = rng.uniform(0.0, 0.25)
            pose[sk.NOD] = -pose[sk.LEAN] - pose[sk.BEND] + rng.uniform(-0.1, 0.25)
        else:
            wide = rng.uniform(0.07, 0.17)
            for foot in sk.FEET:
                pose[foot] = (wide, 0, rng.normal(0, 0.03))
            pose[sk.LEAN] = rng.normal(0.01, 0.03)
            pose[sk.BEND] = abs(rng.normal(0.03, 0.05))
            pose[sk.NOD] = rng.normal(0.03, 0.08)
        pose[sk.YAW] = yaw
        actor.motion = Motion(pose)
        both = actor._rest_place()
        for side in (LEFT, RIGHT):
            hand, elbow = both if rng.random() < 0.75 else actor._rest_place()
            pose[sk.HANDS[side]] = hand + rng.normal(0, 0.02, 3)
            pose[sk.ELBOWS[side]] = elbow
        actor.motion = Motion(pose)
        return actor

    @property
    def now(self) -> np.ndarray:
        """The pose (35,) to which all that is written so far leads."""
        return self.motion.now

    def label(self, start: float, end: float, name: str) -> None:
        """What is written from ``start`` to ``end`` shows this."""
        self.spans.append((start, end, name))

    def side(self) -> int:
        """Left or right; most people are right-handed."""
        return RIGHT if self.rng.random() < 0.6 else LEFT

    def live(self, end: float) -> None:
        """Breath, sway and small wandering of head, hands and torso, from the start to ``end``."""
        rng = self.rng
        calm = float(np.exp(rng.normal(-0.3, 0.5)))
        parts = [
            (rng.uniform(0.2, 0.35), along((sk.BEND, 0.012), (sk.HIGH, 0.002))),
            (rng.uniform(0.1, 0.3), along((sk.ROLL, 0.012 * calm), (3, 0.01 * calm))),
            (rng.uniform(0.08, 0.3), along((sk.LEAN, 0.015 * calm), (sk.NOD, -0.02 * calm))),
            (rng.uniform(0.1, 0.4), along((sk.TURN, 0.06 * calm), (sk.TILT, 0.03 * calm))),
            (rng.uniform(0.2, 0.6), along((sk.NOD, 0.04 * calm), (sk.TWIST, 0.02 * calm))),
        ]
        for hand in sk.HANDS:
            for _ in range(2):
                parts.append((rng.uniform(0.2, 1.2), along((hand, rng.normal(0, 0.008 * calm, 3)))))
            parts.append((rng.uniform(6, 10), along((hand, rng.normal(0, 0.0012, 3)))))  # tremor
        for rate, vector in parts:
            self.motion.swing(Oscillation(-1.0, end + 1.0, rate, vector, rng.uniform(0, 6.3), wander=1.0))

    def hand(
        self,
        side: int,
        start: float,
        seconds: float,
        target: Sequence[float] | np.ndarray,
        *,
        elbow: Sequence[float] | None = sk.ELBOW_DOWN,
        around: Sequence[float] | None = None,
    ) -> float:
        """Bring a hand somewhere, in arm lengths from its shoulder."""
        pole = None if elbow is None else np.asarray(elbow) + self.rng.normal(0, 0.08, 3)
        reach(self.motion, side, start, seconds, target, elbow=pole, around=around)
        return start + seconds

    def rest(self, side: int, start: float, seconds: float, around: Sequence[float] | None = None) -> float:
        """Bring a hand back to a resting place."""
        hand, elbow = self._rest_place()
        return self.hand(side, start, seconds, hand + self.rng.normal(0, 0.02, 3), elbow=elbow, around=around)

    def _rest_place(self) -> tuple[np.ndarray, tuple[float, float, float]]:
        places, shares = (
            (_SEATED_HANDS, _SEATED_SHARES) if self.seated else (_STANDING_HANDS, _STANDING_SHARES)
        )
        hand, elbow = places[int(self.rng.choice(len(places), p=shares))]
        return np.array(hand), elbow

    def torso(self, start: float, seconds: float, **turns: float) -> float:
        """Turn torso or head: ``lean``, ``roll``, ``bend``, ``side``, ``twist``, ``nod``, ``turn``, ``tilt``."""
        for name, angle in turns.items():
            self.motion.to(start, seconds, angle, getattr(sk, name.upper()))
        return start + seconds

    def sway(
        self,
        start: float,
        end: float,
        rate: float,
        vector: np.ndarray,
        *,
        shape: str = "sine",
        fade: float = 0.15,
    ) -> None:
        """Let channels swing from start to end."""
        phase = 0.0 if shape in ("half", "triangle") else float(self.rng.uniform(0, 6.3))
        self.motion.swing(Oscillation(start, end, rate, vector, phase, fade, 0.3, shape))

    def stand_up(self, start: float, seconds: float) -> float:
        """From a seat."""
        ahead = float(np.mean([self.now[foot][2] for foot in sk.FEET]))
        lean = self.rng.uniform(0.35, 0.8)
        self.torso(start, 0.5 * seconds, lean=lean, nod=-0.5 * lean)
        target = (0.0, 0.985, ahead - self.rng.uniform(0.0, 0.08))
        self.motion.to(start + 0.22 * seconds, 0.78 * seconds, np.array(target), sk.PELVIS)
        self.torso(start + 0.45 * seconds, 0.55 * seconds, lean=0.0, bend=0.05, nod=0.0)
        self.seated = False
        for side in (LEFT, RIGHT):
            if self.rng.random() < 0.3:  # pushes off
                self.hand(side, start, 0.4 * seconds, (0.15, -0.75, 0.1))
            self.rest(side, start + 0.4 * seconds, 0.6 * seconds)
        self.rebase(start + seconds)
        return start + seconds

    def sit_down(self, start: float, seconds: float, *, height: float = SEAT, plump: bool = False) -> float:
        """Onto a seat that stands behind; ``plump``: let oneself fall onto it."""
        ahead = float(np.mean([self.now[foot][2] for foot in sk.FEET]))
        lean = self.rng.uniform(0.1, 0.3) if plump else self.rng.uniform(0.3, 0.7)
        self.torso(start, 0.55 * seconds, lean=lean, nod=-0.3 * lean)
        target = np.array((0.0, height + self.rng.uniform(-0.03, 0.06), ahead - self.rng.uniform(0.36, 0.48)))
        self.motion.to(start, seconds, target, sk.PELVIS, dropping if plump else minimum_jerk)
        back = self.rng.uniform(-0.35, 0.1)
        self.seated = True
        for knee in sk.KNEES:
            self.motion.to(start, seconds, self.rng.uniform(0, 0.4), knee)
        for side in (LEFT, RIGHT):
            if self.rng.random() < 0.3:  # feels for the seat
                self.hand(side, start, 0.6 * seconds, (0.2, -0.85, -0.15))
            self.rest(side, start + 0.5 * seconds, 0.6 * seconds)
        after = start + 0.6 * seconds
        self.torso(
            after, 0.7 * seconds, lean=back, bend=self.rng.uniform(0.0, 0.25), nod=max(-0.3, -back) * 0.6
        )
        self.rebase(start + seconds)
        return start + 1.3 * seconds

    def walk(
        self,
        start: float,
        to: Sequence[float] | np.ndarray,
        *,
        speed: float | None = None,
        face: float | None = None,
        arms: bool = True,
    ) -> float:
        """Walk to a place on the floor (x, z), turning to it first; then turn to the heading ``face``."""
        rng, body = self.rng, self.body
        pace = rng.uniform(0.6, 1.35) if speed is None else speed
        here = self.now[sk.ROOT]
        way = np.asarray(to, float) - here
        far = float(np.linalg.norm(way))
        if far > 0.15:
            turned = self.turn(start, math.atan2(way[0], way[1]))
            begin = start + 0.6 * (turned - start)
            seconds = far / pace + 0.3
            swing = float(np.clip(0.27 * pace / (body.leg * 1.15), 0.1, 0.42))
            rate = pace / (4 * swing * body.leg)
            end = begin + seconds
            self.motion.to(begin, seconds, np.asarray(to, float), sk.ROOT, cruising)
            self._gait(begin, end, rate, swing, arms)
            start = end
        if face is not None:
            start = self.turn(start - 0.2, face)
        return start

    def _gait(self, start: float, end: float, rate: float, swing: float, arms: bool) -> None:
        swings = []
        for side, sign in ((LEFT, 1.0), (RIGHT, -1.0)):
            first = sk.FEET[side].start
            swings.append(("triangle", rate, along((first + 2, sign * swing)), 0.0))
            lift = along((first + 1, 0.1 + 0.15 * swing))
            swings.append(("half", rate, lift, sign * math.pi / 2))
            if arms:
                hand = sk.HANDS[side].start
                size = self.rng.uniform(0.4, 1.1) * swing
                swings.append(("sine", rate, along((hand + 2, -sign * size), (hand + 1, 0.1 * size)), 0.0))
        swings.append(("sine", 2 * rate, along((sk.HIGH, 0.012)), 0.0))
        swings.append(("sine", rate, along((sk.TWIST, -0.08), (sk.ROLL, 0.03), (3, 0.02)), 0.0))
        # The foot that swings forwards is lifted, so that it is highest while it passes the other.
        for shape, often, vector, phase in swings:
            self.motion.swing(Oscillation(start, end, often, vector, phase, 0.3, 0.0, shape))
        self.motion.to(start, 0.3, 0.955, sk.HIGH)
        self.motion.to(end - 0.3, 0.35, 0.985, sk.HIGH)

    def turn(self, start: float, heading: float) -> float:
        """Turn on the spot, the short way, with small steps."""
        before = float(self.now[sk.YAW])
        change = (heading - before + math.pi) % (2 * math.pi) - math.pi
        if abs(change) < 0.05:
            return start
        seconds = 0.25 + abs(change) / self.rng.uniform(1.8, 4.0)
        self.motion.to(start, seconds, before + change, sk.YAW)
        steps = max(1, round(seconds / 0.5)) / seconds
        for side, phase in ((LEFT, 0.0), (RIGHT, math.pi)):
            lift = along((sk.FEET[side].start + 1, 0.05))
            self.motion.swing(Oscillation(start, start + seconds, steps, lift, phase, 0.1, 0.0, "half"))
        return start + seconds

    def rebase(self, t: float) -> None:
        """Measure pelvis and feet from the place below the pelvis; nothing moves by it."""
        offset = self.now[[sk.PELVIS.start, sk.PELVIS.start + 2]].copy()
        angle = float(self.now[sk.YAW])
        change = np.zeros(sk.SIZE)
        change[0] = offset[0] * math.cos(angle) + offset[1] * math.sin(angle)
        change[1] = offset[1] * math.cos(angle) - offset[0] * math.sin(angle)
        change[sk.ROOT] *= self.body.leg
        change[[sk.PELVIS.start, sk.PELVIS.start + 2]] = -offset
        for foot, sign in zip(sk.FEET, (1.0, -1.0), strict=True):
            change[[foot.start, foot.start + 2]] = -offset * (sign, 1.0)
        self.motion.to(t, 0.0, self.now + change)

    def joints(self, times: np.ndarray) -> np.ndarray:
        """(T,) seconds -> (T, 17, 3) metres."""
        return sk.joints(self.motion.poses(times), self.body)
