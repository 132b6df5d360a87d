"""Scenes of motion capture: cuts of one person one after the other, seen by a random camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamrec.train.joints import gym
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import Span
from streamrec.train.joints.camera import draw_room_camera, draw_webcam
from streamrec.train.joints.daily import LYING
from streamrec.train.joints.gestures import SQUAT
from streamrec.train.joints.motion_capture import CREDIT, Capture, joined
from streamrec.train.joints.scene import Scene

_NOT_BEFORE_WEBCAMS = (
    "jog",
    "sneak",
    "lie",
    "throw",
)  # by the beginnings of their names: they travel, or leap
_BOTH_WAYS = ("deposit", "grab", "lie", "elbow", "rotate")  # those that are natural played backwards


@dataclass(frozen=True, eq=False, slots=True)
class Player:
    """A body that moves as captured."""

    capture: Capture
    body: sk.Body

    def joints(self, times: np.ndarray) -> np.ndarray:
        """(T,) seconds -> (T, 17, 3) metres."""
        return self.capture.joints(self.body, times)


def write(
    rng: np.random.Generator, seconds: float, captures: list[Capture], *, kind: str, fit: str = "pad"
) -> Scene:
    """A scene of so many seconds for a webcam, or for a camera of a room or a gym."""
    webcam = kind == "webcam"
    capture, actions, times = _played(rng, seconds, captures, webcam)
    heading = rng.normal(0, 0.2) if webcam else rng.uniform(-3.14, 3.14)
    capture = capture.turned(heading - capture.heading)
    player = Player(capture, sk.draw_body(rng, children=0.1))
    body = player.body
    if webcam:
        high = body.leg
        camera = draw_webcam(
            rng,
            head=high + body.torso + 0.15 * body.head,
            middle=high,
            seated=False,
            whole=rng.random() < 0.8,
            fit=fit,
        )
        spans = _gestures(capture, actions, times)
    else:
        focus = player.joints(np.linspace(0, seconds, 9))[:, 11:13].mean((0, 1))
        camera = draw_room_camera(
            rng, stature=body.stature, focus=(float(focus[0]), float(focus[2])), fit=fit
        )
        spans = _squats(capture, actions, times) if kind == "gym" else _lying(player, seconds)
    return Scene([player], camera, spans, None, "mocap", CREDIT)


def _played(
    rng: np.random.Generator, seconds: float, captures: list[Capture], webcam: bool
) -> tuple[Capture, list[str], list[tuple[float, float]]]:
    person = captures[rng.integers(len(captures))].person
    own = [
        capture
        for capture in captures
        if capture.person == person and not (webcam and capture.action.startswith(_NOT_BEFORE_WEBCAMS))
    ]
    actions = sorted({capture.action for capture in own})
    flip = rng.random() < 0.5
    chosen: list[Capture] = []
    blend, pause = rng.uniform(0.35, 0.8), rng.uniform(0.1, 2.5)
    length = 0.0
    lies = False
    while length < seconds:
        action = actions[rng.integers(len(actions))]
        kind = [capture for capture in own if capture.action == action]
        capture = kind[rng.integers(len(kind))].at_speed(float(np.exp(rng.normal(0, 0.15))))
        back = lies or (not action.startswith("lie") and action.startswith(_BOTH_WAYS) and rng.random() < 0.5)
        if lies and not action.startswith("lie"):
            continue  # who lies has to get up first
        if flip:
            capture = capture.mirrored()
        chosen.append(capture.backwards() if back else capture)
        lies = action.startswith("lie") and not back
        length += len(capture.hips) / 30 + blend + pause
    whole, times = joined(chosen, blend, pause, stays=webcam)
    return whole, [capture.action for capture in chosen], times


def _gestures(capture: Capture, actions: list[str], times: list[tuple[float, float]]) -> list[Span]:
    spans: list[Span] = []
    for action, (start, end) in zip(actions, times, strict=True):
        if action.startswith("hop"):
            spans.append((start + 0.15 * (end - start), start + 0.9 * (end - start), "jump"))
        elif action.startswith("squat"):
            inside = capture.hips[round(start * 30) : round(end * 30), 1]
            low = np.flatnonzero(inside < inside[0] - 0.25 * (inside[0] - inside.min()))
            if inside.min() < 0.8 * inside[0]:
                spans.append((start + low[0] / 30, start + low[-1] / 30, "squat"))
    return spans


def _squats(capture: Capture, actions: list[str], times: list[tuple[float, float]]) -> list[Span]:
    found = _gestures(capture, actions, times)
    return [(start, end, gym.SQUATS) for start, end, name in found if name == SQUAT]


def _lying(player: Player, seconds: float) -> list[Span]:
    times = np.arange(0, seconds, 0.1)
    joints = player.joints(times)
    hips, neck = joints[:, 11:13].mean(1), joints[:, 5:7].mean(1)
    upright = (neck - hips)[:, 1] / player.body.torso
    lies = (hips[:, 1] < 0.3 * player.body.leg) & (upright < 0.45)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], lies.astype(int), [0]))))
    return [
        (times[one], times[min(other, len(times) - 1)] + 0.1, LYING) for one, other in edges.reshape(-1, 2)
    ]
