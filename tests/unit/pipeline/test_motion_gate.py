"""A picture that stands still is looked at rarely; what moves in it is seen at once, and the model is told the time."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from streamrec import Frame, Recognizer, Watcher, results
from streamrec.commands.app import app
from streamrec.errors import StreamrecError
from streamrec.pipeline.motion_gate import MotionGate, block_means
from streamrec.sources.files import FileSource
from streamrec.sources.iterable import IterableSource

ROOM = cv2.resize(np.random.default_rng(0).integers(40, 200, (9, 16, 3), np.uint8), (320, 240))


def frames(pictures: list[np.ndarray], fps: float = 10.0) -> list[Frame]:
    return [Frame(picture, n, n / fps) for n, picture in enumerate(pictures)]


def passed(given: list[Frame], seconds: float = 0.5) -> list[int]:
    gate = MotionGate(seconds)
    found = [frame.index for frame in given if gate.passes(frame)]
    assert gate.still == len(given) - len(found)
    return found


def with_person(x: int) -> np.ndarray:
    picture = ROOM.copy()
    cv2.rectangle(picture, (x, 120), (x + 20, 180), (0, 0, 0), -1)
    return picture


def test_a_still_picture_is_looked_at_every_so_many_seconds():
    assert passed(frames([ROOM] * 12)) == [0, 5, 10]
    assert passed(frames([ROOM] * 12), seconds=0.05) == list(range(12))


def test_noise_is_no_motion():
    random = np.random.default_rng(1)
    noisy = [np.clip(ROOM + random.normal(0, 4, ROOM.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    assert passed(frames(noisy)) == [0, 5]


def test_a_person_who_walks_is_seen_at_once_and_then_always():
    assert passed(frames([ROOM] * 3 + [with_person(100 + 12 * n) for n in range(5)])) == [0, 3, 4, 5, 6, 7]


def test_slow_motion_adds_up_until_it_is_seen():
    brighter = [np.full((48, 64, 3), 100 + 2 * n, np.uint8) for n in range(9)]
    assert passed(frames(brighter), seconds=60.0) == [0, 4, 8]


def test_another_segment_size_or_clock_is_looked_at():
    still = frames([ROOM] * 4)
    assert passed([still[0], replace(still[1], segment=1)]) == [0, 1]
    assert passed([still[0], replace(still[1], image=ROOM[:120])]) == [0, 1]
    assert passed([still[3], still[1]]) == [3, 1]


@pytest.mark.parametrize("shape", [(2, 3, 3), (3, 1280, 3), (64, 80, 3), (2160, 3840, 3)])
def test_a_picture_of_any_size_has_a_glance(shape):
    assert block_means(np.zeros(shape, np.uint8)).size <= 60 * 60
    assert passed(frames([np.zeros(shape, np.uint8)] * 3)) == [0]


@pytest.mark.parametrize(
    ("seconds", "most", "said"),
    [
        (0.0, float("inf"), "every 0 s: give seconds above 0"),
        (2.0, 2.0, "give seconds above 0, and up to 1.6; after 2 s without a frame this model begins anew"),
        (float("nan"), 2.0, "still, in seconds, is nan"),
    ],
)
def test_seconds_that_cannot_be_are_refused(seconds, most, said):
    with pytest.raises(StreamrecError, match=re.escape(said)):
        MotionGate(seconds, most=most)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Two seconds of an empty room, one of somebody who walks through it, two of the empty room; H.264."""
    path = tmp_path_factory.mktemp("videos") / "room.mp4"
    random = np.random.default_rng(2)
    scene = [ROOM] * 40 + [with_person(40 + 10 * n) for n in range(20)] + [ROOM] * 40
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"crf": "28"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 20)
        for picture in scene:
            noisy = np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("synthetic")


@pytest.mark.parametrize("size", [None, (80, 64)])
def test_of_a_real_video_motion_is_seen_whole_and_stillness_rarely(video, recognizer, size):
    seen = list(results(FileSource(video, size=size), recognizer, fps=20.0, still=0.5))
    times = [result.frame.timestamp for result in seen]
    moving = [time for time in times if 2.0 <= time < 3.0]
    assert len(moving) >= 19
    assert len(times) - len(moving) <= 12  # of 80
    assert max(b - a for a, b in itertools.pairwise(times)) <= 0.56
    assert seen[-1].still + len(seen) >= 95
    assert seen[-1].dropped == 0


def test_the_state_is_told_the_time_that_has_passed(video, recognizer):
    state = recognizer.initial_state()
    for result in results(FileSource(video), recognizer, still=0.5):
        prediction, state = recognizer.step(result.frame, state)
        assert result.prediction.label == prediction.label
        assert np.allclose(result.prediction.probabilities, prediction.probabilities)
        assert state.clock[0] == result.frame.timestamp


def test_without_a_gate_nothing_is_left_out(video, recognizer):
    seen = list(results(FileSource(video), recognizer, fps=20.0))
    assert (len(seen), seen[-1].still) == (100, None)


@pytest.mark.parametrize("live", [False, True])
def test_a_watcher_counts_what_stood_still_by_itself(recognizer, live):
    pictures = [ROOM] * 30 + [with_person(40 + 8 * n) for n in range(10)]
    with Watcher(recognizer, fps=5.0) as watcher:
        camera = watcher.add("room", IterableSource(pictures, fps=10.0, live=live), still=1.0)
        seen = list(watcher)
        counts = camera.counts
    assert counts.read == 40
    assert counts.read == counts.recognized + sum(counts.dropped.values())
    # Every second frame is due, and of these it is looked at one in five while nothing moves.
    assert (counts.dropped["rhythm"], counts.dropped["still"]) == (20, 12)
    if not live:
        assert counts.recognized == len(seen) == 8
        assert seen[-1].still == 12


def test_a_gate_that_is_too_rare_for_the_model_is_refused_at_once(recognizer):
    with pytest.raises(StreamrecError, match="this model begins anew"):
        next(results([ROOM], recognizer, still=1.9))
    with Watcher(recognizer) as watcher, pytest.raises(StreamrecError, match="this model begins anew"):
        watcher.add("room", [ROOM], still=1.9)


def test_run_tells_how_many_frames_stood_still(video, tmp_path):
    lines = tmp_path / "lines.jsonl"
    asked = ["run", str(video), "--no-show", "--jsonl", str(lines), "--still", "0.5"]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    said = [line["still"] for line in told if line["type"] == "prediction"]
    assert said == sorted(said)
    assert said[-1] > 30
    assert f"{said[-1]} still, " in ran.output
