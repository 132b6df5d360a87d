"""Motion capture: read, mapped, mirrored, turned and joined; bodies of other proportions move alike."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from streamrec.errors import DataError
from streamrec.train.joints import sequences
from streamrec.train.joints import skeleton as sk
from streamrec.train.joints.motion_capture import CREDIT, METRES, joined, read_captures
from tests.helpers.paths import DATA

NAMES = [
    "root", "lhipjoint", "lfemur", "ltibia", "lfoot", "ltoes", "rhipjoint", "rfemur", "rtibia", "rfoot",
    "rtoes", "lowerback", "upperback", "thorax", "lowerneck", "upperneck", "head", "lclavicle", "lhumerus",
    "lradius", "lwrist", "lhand", "lfingers", "lthumb", "rclavicle", "rhumerus", "rradius", "rwrist", "rhand",
    "rfingers", "rthumb",
]  # fmt: skip
# Somebody who stands, faces +z, and has their left at +x; metres.
STANDING = {
    "lhipjoint": (0.1, 0.9, 0), "rhipjoint": (-0.1, 0.9, 0), "lfemur": (0.1, 0.5, 0), "rfemur": (-0.1, 0.5, 0),
    "ltibia": (0.1, 0.1, 0), "rtibia": (-0.1, 0.1, 0), "lclavicle": (0.18, 1.4, 0), "rclavicle": (-0.18, 1.4, 0),
    "lhumerus": (0.2, 1.12, 0), "rhumerus": (-0.2, 1.12, 0), "lwrist": (0.22, 0.86, 0.05),
    "rwrist": (-0.22, 0.86, 0.05), "lowerneck": (0, 1.45, 0), "head": (0, 1.62, 0),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Three cuts: somebody raises the left hand, walks ahead, and bends the knees."""
    rest = np.array([STANDING.get(name, (0, 1, 0)) for name in NAMES])
    wave, walk, squat = (np.repeat(rest[None], 60, 0) for _ in range(3))
    wave[:, NAMES.index("lwrist")] = (0.22, 1.38, 0)
    walk += np.linspace(0, 1, 60)[:, None, None] * (0, 0, 1.0)
    down = 0.35 * np.sin(np.linspace(0, np.pi, 60))[:, None, None]
    upper = [
        number for number, name in enumerate(NAMES) if name not in ("lfemur", "rfemur", "ltibia", "rtibia")
    ]
    squat[:, upper] -= down * (0, 1, 0)
    cuts = {"a_wave": wave, "a_walk": walk, "a_squat": squat}
    np.savez(
        tmp_path / "hdm05.npz", **{name: (cut / METRES).astype(np.float16) for name, cut in cuts.items()}
    )
    rows = "".join(f"{name},{name[2:]},a,60,30.0\n" for name in cuts)
    (tmp_path / "hdm05.csv").write_text("sequence,action,person,frames,fps\n" + rows)
    (tmp_path / "hdm05_joints.json").write_text(json.dumps({"joints": NAMES}))
    return tmp_path


def body() -> sk.Body:
    return sk.draw_body(np.random.default_rng(2), children=0.0)


def test_joints_are_where_they_were_captured(folder):
    captures = {capture.action: capture for capture in read_captures(folder)}
    one = body()
    joints = captures["wave"].joints(one, np.arange(0, 2, 0.1))
    assert joints.shape == (20, 17, 3)
    assert (joints[:, 9, 1] > joints[:, 7, 1]).all() and (joints[:, 10, 1] < joints[:, 8, 1]).all()
    assert (joints[:, 5, 0] > joints[:, 6, 0]).all()  # left is at +x
    assert (joints[:, 0, 2] > joints[:, 3, 2]).all()  # the nose is ahead of the ears
    assert abs(joints[:, (15, 16), 1] - one.ankle).max() < 0.01
    assert captures["wave"].heading == pytest.approx(0, abs=0.01)


def test_limbs_have_the_lengths_of_the_body(folder):
    one = body()
    for capture in read_captures(folder):
        joints = capture.at_speed(1.3).joints(one, np.arange(0, 2, 1 / 15))
        lengths = {(5, 7): one.upper_arm, (7, 9): one.forearm, (11, 13): one.thigh, (14, 16): one.shank}
        for (start, end), length in lengths.items():
            np.testing.assert_allclose(
                np.linalg.norm(joints[:, start] - joints[:, end], axis=1), length, atol=1e-9
            )


def test_mirrored_turned_and_backwards(folder):
    captures = {capture.action: capture for capture in read_captures(folder)}
    joints = captures["wave"].mirrored().joints(body(), np.zeros(1))[0]
    assert joints[10, 1] > joints[8, 1] and joints[9, 1] < joints[7, 1] and joints[5, 0] > joints[6, 0]
    turned = captures["walk"].turned(np.pi / 2, (1.0, 2.0))
    assert turned.heading == pytest.approx(np.pi / 2, abs=0.01)
    way = turned.hips[-1] - turned.hips[0]
    assert way[0] > 1.0 and abs(way[2]) < 0.01  # ahead is to +x now
    np.testing.assert_allclose(turned.hips[0, [0, 2]], (1.0, 2.0), atol=1e-9)
    back = captures["walk"].backwards()
    assert back.hips[0, 2] > back.hips[-1, 2]


def test_joined_cuts_go_on_where_the_last_one_ended(folder):
    captures = read_captures(folder)
    whole, times = joined([captures[1], captures[2], captures[1]], blend=0.5, pause=0.5)
    joints = whole.joints(body(), np.arange(0, times[-1][1], 1 / 30))
    assert np.abs(np.diff(joints, axis=0)).max() < 0.1  # no jump
    assert len(times) == 3 and times[1][0] > times[0][1]
    assert whole.hips[-1, 2] > 1.8 * (captures[1].hips[-1, 2] - captures[1].hips[0, 2])


def test_sequences_of_captures_carry_the_credit(folder):
    for kind in ("webcam", "room"):
        found = list(itertools.islice(sequences(kind, 1, mocap=folder, mocap_share=1.0), 4))
        assert {sequence.source for sequence in found} == {"mocap"}
        assert {sequence.credit for sequence in found} == {CREDIT}
    names = [name for s in itertools.islice(sequences("webcam", 1, mocap=folder, mocap_share=1.0), 6)
             for name in s.label_names()]  # fmt: skip
    assert {"nothing", "squat"} <= set(names)
    mixed = {s.source for s in itertools.islice(sequences("room", 1, mocap=folder, mocap_share=0.5), 12)}
    assert mixed == {"drawn", "mocap"}


def test_a_folder_without_captures_is_told(tmp_path):
    with pytest.raises(DataError, match=r"hdm05\.npz"):
        sequences("room", mocap=tmp_path)


def test_the_real_cuts_stand_on_the_floor():
    data = DATA / "mocap"
    if not data.is_dir():
        pytest.skip("no motion capture here")
    for capture in read_captures(data)[::40]:
        joints = capture.joints(body(), np.arange(0, len(capture.hips) / 30, 0.1))
        assert -0.1 < joints[..., 1].min() < 0.35 and joints[..., 1].max() < 2.6
