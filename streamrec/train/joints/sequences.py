"""The door: endless sequences of keypoints with a label a frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamrec.data.phase import phase_targets
from streamrec.errors import WrongValue
from streamrec.train.joints import captured, gestures, gym, room, webcam
from streamrec.train.joints.camera import FITS
from streamrec.train.joints.motion_capture import Capture, read_captures
from streamrec.train.joints.movenet_noise import detect, draw_conditions
from streamrec.train.joints.scene import Scene

KINDS = ("webcam", "room", "gym")
LABELS = {"webcam": gestures.LABELS, "room": room.LABELS, "gym": gym.LABELS}
_WRITERS = {"webcam": webcam.write, "room": room.write, "gym": gym.write}


@dataclass(frozen=True, eq=False, slots=True)
class JointSequence:
    """What a detector of keypoints makes of one scene, and the truth."""

    people: np.ndarray  # (T, 6, 56) float32, as MoveNet MultiPose reports them
    timestamps: np.ndarray  # (T,) seconds from the first frame
    labels: np.ndarray  # (T,) int64, index into ``names``
    names: tuple[str, ...]
    source: str  # "drawn" or "mocap"
    credit: str = ""  # what a model card has to say of it
    # (T, 2) float32 cosine and sine of the phase of the repetition, NaN where there is none; None: nothing is repeated
    phases: np.ndarray | None = None

    def label_names(self) -> list[str]:
        """The label of each frame in words."""
        return [self.names[number] for number in self.labels]


def sequences(
    kind: str = "webcam",
    rng: np.random.Generator | int = 0,
    *,
    seconds: tuple[float, float] = (10.0, 30.0),
    fps: tuple[float, float] = (10.0, 30.0),
    fit: str = "pad",
    mocap: str | Path | None = None,
    mocap_share: float = 0.15,
) -> Iterator[JointSequence]:
    """Scenes without an end; the same seed gives the same ones.

    ``kind``: "webcam" (one person before a webcam; labels of gestures), "room" (daily life and falls) or "gym"
    (exercises that are counted, and daily life without them). Length and
    frame rate are drawn from the ranges. ``fit``: how pictures become the net's input, "pad" or "stretch". ``mocap``:
    a folder with the cuts of HDM05, of which so large a share of the scenes is made; a model that learned from them
    has to carry the credit of these. Raises ``DataError`` where that folder lacks them.
    """
    if kind not in KINDS:
        raise WrongValue(f"kind is one of {', '.join(KINDS)}, not {kind}")
    if fit not in FITS:
        raise WrongValue(f"fit is one of {', '.join(FITS)}, not {fit}")
    return _endless(kind, rng, seconds, fps, fit, [] if mocap is None else read_captures(mocap), mocap_share)


def _endless(
    kind: str,
    seed: np.random.Generator | int,
    seconds: tuple[float, float],
    fps: tuple[float, float],
    fit: str,
    captures: list[Capture],
    share: float,
) -> Iterator[JointSequence]:
    rng = np.random.default_rng(seed)
    while True:
        long, rate = float(rng.uniform(*seconds)), float(rng.uniform(*fps))
        # Half of the scenes are entered in the middle, so that an action may be under way, or begin at once.
        start = float(rng.uniform(0.0, 6.0)) if rng.random() < 0.5 else 0.0
        if captures and rng.random() < share:
            scene = captured.write(rng, start + long, captures, kind=kind, fit=fit)
        else:
            scene = _WRITERS[kind](rng, start + long, fit)
        yield seen(scene, kind, rng, start, long, rate)


def seen(
    scene: Scene, kind: str, rng: np.random.Generator, start: float, seconds: float, fps: float
) -> JointSequence:
    """A scene as a detector reports it from ``start`` on, for so many seconds at a frame rate."""
    times = start + np.arange(max(2, int(seconds * fps))) / fps
    people = [person.joints(times) for person in scene.people]
    conditions = draw_conditions(rng, webcam=kind == "webcam", desk=scene.desk)
    if kind == "gym":  # filmed to be seen
        conditions = replace(conditions, quality=conditions.quality + 0.15)
    found = detect(people, scene.camera, rng, fps=fps, conditions=conditions)
    names = LABELS[kind]
    labels = labelled(times, scene.spans, names)
    places, depth = scene.camera.project(people[0])
    hidden = scene.camera.shows(places, depth).sum(1) < 3
    labels[hidden] = 0
    return JointSequence(
        found, times - start, labels, names, scene.source, scene.credit, _phases(times, scene, hidden)
    )


def _phases(times: np.ndarray, scene: Scene, hidden: np.ndarray) -> np.ndarray | None:
    """The phase of the repetition at each time: (T, 2)."""
    if not scene.repetitions:
        return None
    found = np.full((len(times), 2), np.nan, np.float32)
    for starts in scene.repetitions:
        phases = phase_targets(times, starts)
        known = np.isfinite(phases[:, 0]) & ~hidden
        found[known] = phases[known]
    return found


def labelled(times: np.ndarray, spans: list[tuple[float, float, str]], names: tuple[str, ...]) -> np.ndarray:
    """The label of each time: (T,) int64; the first name where no span is, the later span where two overlap."""
    labels = np.zeros(len(times), np.int64)
    for start, end, name in spans:
        labels[(times >= start) & (times < end)] = names.index(name)
    return labels
