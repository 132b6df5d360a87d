"""The door: endless sequences of keypoints with a label a frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streamrec.train.joints import gestures, webcam
from streamrec.train.joints.movenet_noise import detect, draw_conditions

KINDS = ("webcam",)
LABELS = {"webcam": gestures.LABELS, "room": ("normal", "fall", "lying")}


@dataclass(frozen=True, eq=False, slots=True)
class JointSequence:
    """What a detector of keypoints makes of one scene, and the truth."""

    people: np.ndarray  # (T, 6, 56) float32, as MoveNet MultiPose reports them
    timestamps: np.ndarray  # (T,) seconds from the start of the scene
    labels: np.ndarray  # (T,) int64, index into ``names``
    names: tuple[str, ...]
    source: str  # "drawn" or "mocap"
    credit: str = ""  # what a model card has to say of it

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
) -> Iterator[JointSequence]:
    """Scenes without an end; the same seed gives the same ones.

    ``kind``: "webcam" (one person before a webcam; labels of gestures) or "room" (daily life and falls). Length and
    frame rate are drawn from the ranges. ``fit``: how pictures become the net's input, "pad" or "stretch".
    """
    random = np.random.default_rng(rng)
    while True:
        yield sequence(kind, random, float(random.uniform(*seconds)), float(random.uniform(*fps)), fit)


def sequence(
    kind: str, rng: np.random.Generator, seconds: float, fps: float, fit: str = "pad"
) -> JointSequence:
    """One scene of so many seconds at a frame rate."""
    times = np.arange(max(2, int(seconds * fps))) / fps
    scene = webcam.write(rng, seconds, fit)
    people = [actor.joints(times) for actor in scene.people]
    conditions = draw_conditions(rng, webcam=kind == "webcam", desk=scene.desk)
    found = detect(people, scene.camera, rng, fps=fps, conditions=conditions)
    names = LABELS[kind]
    labels = labelled(times, scene.spans, names)
    places, depth = scene.camera.project(people[0])
    seen = scene.camera.shows(places, depth).sum(1) >= 3
    labels[~seen] = 0
    return JointSequence(found, times, labels, names, "drawn")


def labelled(times: np.ndarray, spans: list[tuple[float, float, str]], names: tuple[str, ...]) -> np.ndarray:
    """The label of each time: (T,) int64; the first name where no span is, the later span where two overlap."""
    labels = np.zeros(len(times), np.int64)
    for start, end, name in spans:
        labels[(times >= start) & (times < end)] = names.index(name)
    return labels
