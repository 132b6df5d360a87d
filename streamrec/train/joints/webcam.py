"""Scripts of one person before a webcam: what they do one after the other, much of it nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamrec.train.joints import gestures as g
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.actor import SEAT, Actor
from streamrec.train.joints.camera import draw_webcam
from streamrec.train.joints.fidgets import fidget, habits
from streamrec.train.joints.scene import Scene

_HANDS: dict[Callable[[Actor, float], float], float] = {
    g.wave: 2.2, g.raise_one_hand: 1.3, g.raise_both_hands: 1.3, g.arms_out: 1.3, g.clap: 1.0, g.point: 1.1,
    g.drink: 1.0, g.phone: 0.8,
}  # fmt: skip
_SEATED = {g.stand_up: 2.5}
_STANDING = {g.sit_down: 4.0}
_WHOLE = {g.jump: 2.2, g.squat: 1.6}


def write(rng: np.random.Generator, seconds: float, fit: str = "pad") -> Scene:
    """A scene of so many seconds."""
    seated = rng.random() < 0.55
    whole = rng.random() < (0.25 if seated else 0.6)
    actor = Actor.drawn(rng, seated=seated, yaw=float(rng.normal(0, 0.15)))
    body, first = actor.body, actor.now
    hips = first[sk.HIGH] * body.leg
    camera = draw_webcam(
        rng, head=hips + body.torso + 0.15 * body.head, middle=hips, seated=seated, whole=whole, fit=fit
    )
    away = float(camera.place[2])
    wide = 0.5 * camera.aspect / camera.focal * away + 0.25
    own = habits(rng)
    desk = None
    if seated and not whole and rng.random() < 0.5:
        desk = SEAT * body.leg + rng.uniform(0.0, 0.25)
    t = 0.0
    # One of six only sits or stands there: nothing is what a webcam shows most.
    quiet = rng.random() < 0.16
    chair = seated or rng.random() < 0.3
    if not quiet and rng.random() < 0.12 and not seated:  # comes in first
        actor.motion.first[0] = actor.motion.now[0] = rng.choice((-1.0, 1.0)) * (wide + 0.6)
        actor.motion.first[sk.YAW] = actor.motion.now[sk.YAW] = rng.uniform(-3, 3)
        t = g.walk_in(actor, rng.uniform(0.3, 2.5))
    if rng.random() < 0.3:  # something begins at once
        t += rng.uniform(0.0, 0.6)
    else:
        t = fidget(actor, t, t + rng.uniform(0.3, 4.0), own)
    while t < seconds:
        if quiet:
            t = fidget(actor, t, seconds, own)
            break
        begun = t
        t = _act(actor, t, chair, whole, wide)
        t = fidget(actor, t, t + rng.uniform(0.2, 0.8) + rng.uniform(0.0, 0.9) * (t - begun), own)
    actor.live(seconds)
    people = [actor]
    if rng.random() < 0.12:
        people.append(_behind(rng, seconds, away, wide))
    return Scene(people, camera, actor.spans, desk)


def _act(actor: Actor, t: float, chair: bool, whole: bool, wide: float) -> float:
    rng = actor.rng
    if not actor.seated and rng.random() < 0.14:  # goes away and comes back
        t = g.walk_out(actor, t, wide) + rng.uniform(0.5, 4.0)
        return g.walk_in(actor, t)
    acts = dict(_HANDS)
    if actor.seated:
        acts |= _SEATED
    else:
        acts |= (_STANDING if chair else {}) | ({} if not whole else _WHOLE)
    weights = np.array(list(acts.values()))
    act = list(acts)[int(rng.choice(len(acts), p=weights / weights.sum()))]
    return act(actor, t)


def _behind(rng: np.random.Generator, seconds: float, away: float, wide: float) -> Actor:
    """A person in the background who stands, or passes by."""
    other = Actor.drawn(rng, yaw=float(rng.uniform(-3, 3)))
    depth = -rng.uniform(0.8, 3.0)
    edge = wide * (away - depth) / max(away, 0.3) + 0.5
    if rng.random() < 0.5:
        start = np.array((rng.choice((-1.0, 1.0)) * edge, depth))
        other.motion.first[sk.ROOT] = other.motion.now[sk.ROOT] = start
        other.walk(rng.uniform(0, 0.7 * seconds), (-start[0], depth + rng.normal(0, 0.3)))
    else:
        place = np.array((rng.uniform(-0.8, 0.8) * edge, depth))
        other.motion.first[sk.ROOT] = other.motion.now[sk.ROOT] = place
        fidget(other, 0.0, seconds)
    other.live(seconds)
    return other
