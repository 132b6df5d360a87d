"""Who is who, with exact truth: `python benchmarks/tracking.py`.

Drawn scenes of two to five people who walk to and fro and cover each other (``streamrec.train.joints.crossing``), as
MoveNet would see them, at 5, 10 and 15 frames a second, with all frames or 30 % of them lost. Our tracker, and
ByteTrack and OC-SORT of `trackers` (Roboflow) where it is installed, take the same detections.

Printed, summed over the scenes: identity switches and fragmentations (CLEAR MOT; Bernardin and Stiefelhagen, 2008), and
IDF1 (Ristani et al., 2016), at an intersection over union of 0.5; people who are covered do not count while they are.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamrec.events.people.assignment import assign
from streamrec.events.people.detections import Detections, Rectangle, overlaps, read_detections
from streamrec.events.people.tracker import TrackSettings, no_tracks, people_of, step_tracks
from streamrec.train.joints.camera import NET_HEIGHT, NET_WIDTH
from streamrec.train.joints.crossing import Crossing, crossing

ASPECT = NET_WIDTH / NET_HEIGHT
RATES = (5, 10, 15)
LOST = (0.0, 0.3)
Frames = list[list[tuple[int, np.ndarray]]]  # of each frame the people: a number and a box (4,)


@dataclass
class Score:
    """Sums over scenes."""

    switches: int = 0
    fragments: int = 0
    found: int = 0  # IDTP
    truths: int = 0
    reported: int = 0
    steps: int = 0
    seconds: float = 0.0
    lengths: list[float] = field(default_factory=list)

    @property
    def idf1(self) -> float:
        return 2 * self.found / max(1, self.truths + self.reported)


def picture_of(scene: Crossing) -> Rectangle:
    """Where the camera's picture lies in the net's input."""
    tall, wide = scene.camera.part
    return Rectangle(0.5 - tall / 2, 0.5 - wide / 2, tall, wide)


def ours(scene: Crossing, fps: float, settings: TrackSettings = TrackSettings()) -> Frames:
    """Our tracker."""
    tracks, last, tracked = no_tracks(), -np.inf, []
    picture = picture_of(scene)
    for people, moment in zip(scene.people, scene.timestamps, strict=True):
        found = read_detections(people)
        tracks = step_tracks(tracks, found, float(moment - last), aspect=ASPECT, settings=settings)
        tracked.append([(person.id, np.array(person.box)) for person in people_of(tracks, ASPECT, picture)])
        last = moment
    return tracked


def roboflow_bytetrack(scene: Crossing, fps: float, **settings: Any) -> Frames:
    """ByteTrack of trackers, with each frame's time."""
    import trackers

    return _roboflow(trackers.ByteTrackTracker, scene, fps, {**BYTETRACK, **settings})


def roboflow_ocsort(scene: Crossing, fps: float, **settings: Any) -> Frames:
    """OC-SORT of trackers, likewise."""
    import trackers

    return _roboflow(trackers.OCSORTTracker, scene, fps, {**OCSORT, **settings})


def _roboflow(kind: Any, scene: Crossing, fps: float, settings: dict[str, Any]) -> Frames:
    import supervision

    tracker = kind(frame_rate=fps, minimum_consecutive_frames=2, **settings)
    tracked = []
    for found, moment in zip(pixels_of(scene), scene.timestamps, strict=True):
        given = supervision.Detections(
            xyxy=found.boxes[:, [1, 0, 3, 2]],
            confidence=found.scores,
            class_id=np.zeros(len(found.scores), int),
        )
        back = tracker.update(given, timestamp=float(moment))
        tracked.append(
            [
                (int(number), box[[1, 0, 3, 2]] / sizes(scene))
                for number, box in zip(back.tracker_id, back.xyxy, strict=True)
                if number >= 0
            ]
        )
    return tracked


HEIGHT = 480  # pixels that peers are given
# Of the trackers of Roboflow: borders for the scores of MoveNet, and the patience of ours; the rest as they come.
BYTETRACK = {
    "lost_track_buffer": 90,  # of 30 a second
    "track_activation_threshold": 0.25,
    "high_conf_det_threshold": 0.25,
    "minimum_iou_threshold": 0.1,
}
OCSORT = {"lost_track_buffer": 90, "high_conf_det_threshold": 0.25, "minimum_iou_threshold": 0.1}


def sizes(scene: Crossing) -> np.ndarray:
    """(4,) height, width, height, width in pixels."""
    return HEIGHT * np.array((1.0, scene.camera.aspect) * 2)


def pixels_of(scene: Crossing) -> Iterable[Detections]:
    """The detections in pixels, the many places that hold no person left out."""
    pixels = sizes(scene)
    picture = picture_of(scene)
    offset, size = (picture.top, picture.left) * 2, (picture.tall, picture.wide) * 2
    for people in scene.people:
        found = read_detections(people, 0.08)
        boxes = ((found.boxes - offset) / size).clip(0.0, 1.0) * pixels
        yield Detections(found.keypoints, boxes, found.scores)


def measure(scene: Crossing, tracked: Frames, score: Score) -> None:
    """Add the tracks of a scene."""
    picture = picture_of(scene)
    offset = np.array((picture.top, picture.left) * 2)
    truth = (scene.boxes - offset) / np.array((picture.tall, picture.wide) * 2)
    persons = truth.shape[1]
    last: dict[int, int] = {}  # person -> the number that they had last
    held = [False] * persons  # whether they were tracked when they were visible last
    together: Counter[tuple[int, int]] = Counter()
    for boxes, visible, people in zip(truth, scene.visible, tracked, strict=True):
        shared = overlaps(boxes, np.array([box for _, box in people]).reshape(-1, 4))
        pairs: dict[int, int] = {}
        for person, number in last.items():  # who was this is this still, where the boxes allow it
            place = next((n for n, (own, _) in enumerate(people) if own == number), None)
            if place is not None and shared[person, place] >= 0.5 and place not in pairs.values():
                pairs[person] = place
        rows = [person for person in range(persons) if person not in pairs]
        columns = [place for place in range(len(people)) if place not in pairs.values()]
        for row, column in assign(1.0 - shared[np.ix_(rows, columns)], 0.5 + 1e-9):
            pairs[rows[row]] = columns[column]
        hidden = {pairs[person] for person in pairs if not visible[person]}
        score.reported += len(people) - len(hidden)
        score.truths += int(visible.sum())
        for person in range(persons):
            if not visible[person]:
                continue
            if person not in pairs:
                held[person] = False
                continue
            number = people[pairs[person]][0]
            score.switches += person in last and last[person] != number
            score.fragments += person in last and not held[person]
            last[person], held[person] = number, True
            together[person, number] += 1
    numbers = sorted({number for _, number in together})
    table = np.array([[-together[person, number] for number in numbers] for person in range(persons)], float)
    score.found += int(sum(-table[pair] for pair in assign(table.reshape(persons, -1), 0.0)))


def run(
    tracker: Callable[..., Frames], seeds: Iterable[int], people: int, fps: int, lost: float, **options: Any
) -> Score:
    """A tracker's scores over scenes of these seeds."""
    score = Score()
    for seed in seeds:
        scene = crossing(seed * 1000 + people * 100 + fps, people, fps=fps, lost=lost)
        began = time.process_time()
        tracked = tracker(scene, fps, **options)
        score.seconds += time.process_time() - began
        score.steps += len(tracked)
        measure(scene, tracked, score)
    return score


def main() -> None:
    """Run all, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=10, help="of each kind; each is 20 s long")
    parser.add_argument(
        "--first", type=int, default=0, help="the first seed; ours was tuned on 500 and above"
    )
    options = parser.parse_args()
    if options.scenes < 1:
        parser.error(f"--scenes is {options.scenes}: give 1 or more")
    trackers: dict[str, Callable[..., Frames]] = {"streamrec": ours}
    if importlib.util.find_spec("trackers"):
        trackers["trackers ByteTrack"] = roboflow_bytetrack
        trackers["trackers OC-SORT"] = roboflow_ocsort
    seeds = range(options.first, options.first + options.scenes)
    print(
        f"{'fps':>3} {'lost':>5}  {'tracker':22} {'switches':>8} {'fragments':>9} {'IDF1':>6} {'ms/frame':>8}"
    )
    for fps in RATES:
        for lost in LOST:
            for name, tracker in trackers.items():
                scores = [run(tracker, seeds, people, fps, lost) for people in (2, 3, 4, 5)]
                whole = Score()
                for one in scores:
                    for key in ("switches", "fragments", "found", "truths", "reported", "steps", "seconds"):
                        setattr(whole, key, getattr(whole, key) + getattr(one, key))
                print(
                    f"{fps:3} {lost:5.0%}  {name:22} {whole.switches:8} {whole.fragments:9} {whole.idf1:6.3f} "
                    f"{1000 * whole.seconds / whole.steps:8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
