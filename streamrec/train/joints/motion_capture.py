"""Motion capture as joints: cuts of HDM05, with other bodies, speeds and headings.

The data used in this project was obtained from HDM05 (Mueller, Roeder, Clausen, Eberhardt, Krueger, Weber:
Documentation Mocap Database HDM05, CG-2007-2, University of Bonn; CC BY-SA 3.0).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrec.core.csv_tables import read_table
from streamrec.errors import DataError
from streamrec.train.joints.skeleton import FACE, Body

CREDIT = "The data used in this project was obtained from HDM05."
METRES = 0.0254 / 0.45  # of the unit of its skeleton files
RATE = 30.0  # frames a second
_MIDDLES = ("lhipjoint", "rhipjoint"), ("lclavicle", "rclavicle")
# The vectors of which a body is built, each from a joint (or the middle of two) to another.
_VECTORS = (
    ("hips", "rhipjoint", "lhipjoint"),
    ("torso", "", ""),
    ("shoulders", "rclavicle", "lclavicle"),
    ("neck", "lowerneck", "head"),
    ("left_upper_arm", "lclavicle", "lhumerus"),
    ("left_forearm", "lhumerus", "lwrist"),
    ("right_upper_arm", "rclavicle", "rhumerus"),
    ("right_forearm", "rhumerus", "rwrist"),
    ("left_thigh", "lhipjoint", "lfemur"),
    ("left_shank", "lfemur", "ltibia"),
    ("right_thigh", "rhipjoint", "rfemur"),
    ("right_shank", "rfemur", "rtibia"),
)
_MIRROR = (0, 1, 2, 3, 6, 7, 4, 5, 10, 11, 8, 9)
_ACROSS = (0, 2)  # vectors from right to left


@dataclass(frozen=True, eq=False, slots=True)
class Capture:
    """One cut: directions of the parts of a body, so that a body of other proportions can move alike."""

    action: str
    person: str
    hips: np.ndarray  # (T, 3) middle of the hips, leg lengths over the floor
    parts: np.ndarray  # (T, 12, 3) unit vectors, see ``_VECTORS``

    def mirrored(self) -> Capture:
        """Left and right exchanged."""
        parts = self.parts[:, _MIRROR] * (-1, 1, 1)
        parts[:, _ACROSS] *= -1
        return Capture(self.action, self.person, self.hips * (-1, 1, 1), parts)

    def backwards(self) -> Capture:
        """Played from its end to its start."""
        return Capture(self.action, self.person, self.hips[::-1], self.parts[::-1])

    def at_speed(self, factor: float) -> Capture:
        """So many times as fast."""
        count = len(self.hips)
        at = np.linspace(0, count - 1, max(2, round(count / factor)))
        return Capture(self.action, self.person, _sampled(self.hips, at), _units(_sampled(self.parts, at)))

    def turned(self, angle: float, place: tuple[float, float] = (0.0, 0.0)) -> Capture:
        """Turned to the left by so many radians about where it starts, which is moved to a place (x, z)."""
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.array(((cosine, 0, sine), (0, 1, 0), (-sine, 0, cosine)))
        start = self.hips[0] * (1, 0, 1)
        return Capture(
            self.action,
            self.person,
            (self.hips - start) @ turn.T + (place[0], 0, place[1]),
            self.parts @ turn.T,
        )

    @property
    def heading(self) -> float:
        """Where it faces at its start, radians to the left of +z."""
        return _heading(self.parts[0])

    @property
    def last_heading(self) -> float:
        """Where it faces at its end."""
        return _heading(self.parts[-1])

    def joints(self, body: Body, times: np.ndarray) -> np.ndarray:
        """The joints of a body at some seconds: (T,) -> (T, 17, 3) metres; beyond its end it stays as it was."""
        at = np.clip(times * RATE, 0, len(self.hips) - 1)
        return _built(_sampled(self.hips, at), _units(_sampled(self.parts, at)), body)


def read_captures(folder: str | Path) -> list[Capture]:
    """The cuts of ``hdm05.npz`` with their ``hdm05.csv`` and ``hdm05_joints.json``; raises ``DataError``."""
    folder = Path(folder)
    missing = [
        name for name in ("hdm05.npz", "hdm05.csv", "hdm05_joints.json") if not (folder / name).is_file()
    ]
    if missing:
        raise DataError(f"{folder} has no {missing[0]}: give the folder that holds the cuts of HDM05")
    names = json.loads((folder / "hdm05_joints.json").read_text(encoding="utf-8"))["joints"]
    _, rows = read_table(folder / "hdm05.csv", ("sequence", "action", "person", "frames", "fps"))
    with np.load(folder / "hdm05.npz", allow_pickle=False) as cuts:
        return [_capture(row, cuts[row["sequence"]].astype(float) * METRES, names) for _, row in rows]


def joined(
    captures: list[Capture], blend: float = 0.5, pause: float = 0.3, *, stays: bool = False
) -> tuple[Capture, list[tuple[float, float]]]:
    """One after the other, each beginning where and as the last one ended: blended for so many seconds.

    Between two, the body is still for ``pause`` seconds; one that ``stays`` is led back to where and as it first stood.
    Also gives the start and end of each in seconds.
    """
    first = captures[0]
    hips, parts = [first.hips], [first.parts]
    heading = first.last_heading
    count = len(first.hips)
    times = [(0.0, count / RATE)]
    for capture in captures[1:]:
        place = hips[-1][-1][[0, 2]]
        if stays:
            place, heading = first.hips[0, [0, 2]], first.heading
        capture = capture.turned(heading - capture.heading, (float(place[0]), float(place[1])))
        steps = max(2, round((blend + pause) * RATE))
        share = np.clip(np.arange(1, steps) / (blend * RATE), 0, 1)[:, None]
        share = share**3 * (10 - 15 * share + 6 * share**2)
        hips.append(hips[-1][-1] * (1 - share) + capture.hips[0] * share)
        share = share[..., None]
        parts.append(_units(parts[-1][-1] * (1 - share) + capture.parts[0] * share))
        hips.append(capture.hips)
        parts.append(capture.parts)
        heading = capture.last_heading
        start = count + steps - 1
        count = start + len(capture.hips)
        times.append((start / RATE, count / RATE))
    name = "+".join(capture.action for capture in captures)
    return Capture(name, first.person, np.concatenate(hips), np.concatenate(parts)), times


def _capture(row: dict[str, str], cut: np.ndarray, names: list[str]) -> Capture:
    """(T, 31, 3) metres -> directions."""

    def of(name: str) -> np.ndarray:
        return cut[:, names.index(name)]

    low, high = ((of(left) + of(right)) / 2 for left, right in _MIDDLES)
    vectors = [high - low if name == "torso" else of(end) - of(start) for name, start, end in _VECTORS]
    leg = sum(float(np.median(np.linalg.norm(vectors[part], axis=1))) for part in (8, 9))
    ankle = float(min(of("ltibia")[:, 1].min(), of("rtibia")[:, 1].min()))
    hips = low - (0, ankle, 0)
    hips[:, 1] /= leg
    hips[:, [0, 2]] /= leg
    return Capture(row["action"], row["person"], hips, _units(np.stack(vectors, 1)))


def _built(hips: np.ndarray, parts: np.ndarray, body: Body) -> np.ndarray:
    found = np.empty((len(hips), 17, 3))
    leg = body.thigh + body.shank
    middle = hips * leg + (0, body.ankle, 0)
    chest = middle + parts[:, 1] * body.torso
    for side, sign in enumerate((1, -1)):
        found[:, 11 + side] = middle + sign * parts[:, 0] * body.hips
        found[:, 13 + side] = found[:, 11 + side] + parts[:, 8 + 2 * side] * body.thigh
        found[:, 15 + side] = found[:, 13 + side] + parts[:, 9 + 2 * side] * body.shank
        found[:, 5 + side] = chest + sign * parts[:, 2] * body.shoulders
        found[:, 7 + side] = found[:, 5 + side] + parts[:, 4 + 2 * side] * body.upper_arm
        found[:, 9 + side] = found[:, 7 + side] + parts[:, 5 + 2 * side] * body.forearm
    up = _units(parts[:, 1] + parts[:, 3])
    left = _units(parts[:, 2] - (parts[:, 2] * up).sum(1, keepdims=True) * up)
    ahead = np.cross(left, up)
    axes = np.stack((left, up, ahead), 1)
    pivot = chest + body.neck * up
    found[:, :5] = pivot[:, None] + (FACE * body.head) @ axes
    return found


def _heading(parts: np.ndarray) -> float:
    across = parts[0] + parts[2]  # of hips and shoulders, to the left: x when facing +z
    return math.atan2(-across[2], across[0])


def _sampled(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    before = np.minimum(at.astype(int), len(values) - 2)
    part = (at - before).reshape(-1, *([1] * (values.ndim - 1)))
    return values[before] * (1 - part) + values[before + 1] * part


def _units(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
