"""Measuring goes through ``results()``; a recognizer that is always right gets full marks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from streamrec import EventSettings, Frame, Prediction, Recognizer
from streamrec.errors import DataError
from streamrec.synthetic import ACTIONS
from streamrec.train.data import Clip
from streamrec.train.evaluate import evaluate_clips, evaluate_world


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small are seen fastest by one thread, and other tests' threads are left as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Scripted:
    """A recognizer that says what it is told to say of a frame; its state counts the frames."""

    def __init__(self, labels: tuple[str, ...], say, background: tuple[str, ...] = ("idle",)) -> None:
        self.labels = labels
        self.fps = 10.0
        self.config = SimpleNamespace(events=EventSettings(background=background))
        self._say = say

    def initial_state(self) -> int:
        return 0

    def step(self, frame: Frame, state: int) -> tuple[Prediction, int]:
        label = self._say(frame, state)
        shares = np.where(np.array(self.labels) == label, 0.9, 0.1 / (len(self.labels) - 1)).astype(
            np.float32
        )
        return Prediction(label, 0.9, shares, frame.timestamp, self.labels), state + 1


def knows_the_truth(frame: Frame, state: int) -> str:
    assert frame.truth is not None
    return frame.truth


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """Two clips of a label each, bright and dark, two seconds at 10 a second."""
    folder = tmp_path_factory.mktemp("clips")
    made = []
    for label, shade in (("wave", 200), ("idle", 20)):
        for number in range(2):
            path = folder / f"{label}{number}.mp4"
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
            for _ in range(20):
                writer.write(np.full((48, 64, 3), shade, np.uint8))
            writer.release()
            made.append(Clip(path, label, label))
    return made


def by_brightness(frame: Frame, state: int) -> str:
    return "wave" if frame.image.mean() > 100 else "idle"


def test_a_perfect_recognizer_gets_full_marks_on_clips(clips):
    told: list[int] = []
    report = evaluate_clips(Scripted(("idle", "wave"), by_brightness), clips, tell=told.append)
    assert (report.clips, report.frames) == (4, 80)
    assert (report.at_end, report.per_frame) == (1.0, 1.0)
    assert report.at_end_by_label == {"idle": 1.0, "wave": 1.0}
    assert report.unreadable == ()
    assert told == [1, 2, 3, 4]


def test_each_clip_begins_from_the_initial_state_and_its_end_counts_alone(clips):
    def late(frame: Frame, state: int) -> str:
        return by_brightness(frame, state) if state >= 15 else "idle"

    report = evaluate_clips(Scripted(("idle", "wave"), late), clips)
    assert report.at_end == 1.0
    assert report.per_frame == pytest.approx((20 + 20 + 5 + 5) / 80)
    wrong = evaluate_clips(Scripted(("idle", "wave"), lambda frame, state: "wave"), clips)
    assert (wrong.at_end, wrong.per_frame) == (0.5, 0.5)
    assert wrong.at_end_by_label == {"idle": 0.0, "wave": 1.0}


def test_a_clip_that_cannot_be_read_is_named_and_passed_over(clips, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    more = [Clip(broken, "wave", "x"), *clips, Clip(Path("missing.mp4"), "idle", "y")]
    told: list[int] = []
    report = evaluate_clips(Scripted(("idle", "wave"), by_brightness), more, tell=told.append)
    assert report.clips == 4
    assert report.at_end == 1.0
    assert len(report.unreadable) == 2
    assert "broken.mp4" in report.unreadable[0]
    assert "missing.mp4" in report.unreadable[1]
    assert told == [1, 2, 3, 4, 5, 6]


def test_without_a_readable_clip_there_is_no_accuracy():
    report = evaluate_clips(
        Scripted(("idle", "wave"), by_brightness), [Clip(Path("missing.mp4"), "wave", "x")]
    )
    assert (report.clips, report.frames) == (0, 0)
    assert (report.at_end, report.per_frame, report.at_end_by_label) == (None, None, {})


def test_a_real_model_is_measured_on_clips(tiny, clips):
    report = evaluate_clips(tiny, clips)
    assert (report.clips, report.frames) == (4, 80)
    assert 0.0 <= report.per_frame <= 1.0
    assert json.loads(json.dumps(report.to_dict()))["clips"] == 4


def test_a_perfect_recognizer_gets_full_marks_on_the_world():
    told: list[int] = []
    report = evaluate_world(
        Scripted(ACTIONS, knows_the_truth), fps=10.0, streams=2, seconds=20.0, tell=told.append
    )
    assert (report.fps, report.seconds, report.frames) == (10.0, 40.0, 400)
    assert (report.per_frame, report.edit, report.recall, report.precision) == (1.0, 1.0, 1.0, 1.0)
    assert report.f1 == {"10": 1.0, "25": 1.0, "50": 1.0}
    assert report.delay_dated == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < report.delay_told <= 0.5  # it takes a moment to be sure, even of a certain thing
    assert set(report.per_frame_by_label.values()) == {1.0}
    assert told == [1, 2]


def test_a_recognizer_that_sees_nothing_finds_nothing():
    report = evaluate_world(Scripted(ACTIONS, lambda frame, state: "idle"), fps=5.0, streams=1, seconds=20.0)
    assert report.per_frame < 0.6
    assert report.recall == 0.0
    assert report.precision is None  # nothing was told, so nothing of it was wrong
    assert report.delay_told is None
    assert report.edit == 0.0
    assert report.f1 == {"10": 0.0, "25": 0.0, "50": 0.0}


def test_the_delay_is_counted_from_the_true_onset():
    prompt = evaluate_world(Scripted(ACTIONS, knows_the_truth), fps=10.0, streams=1, seconds=20.0)
    history: list[str] = []

    def half_a_second_late(frame: Frame, state: int) -> str:
        history.append(frame.truth or "")
        return history[max(0, len(history) - 6)]

    late = evaluate_world(Scripted(ACTIONS, half_a_second_late), fps=10.0, streams=1, seconds=20.0)
    assert late.delay_dated == pytest.approx(0.5, abs=0.01)
    assert late.delay_told == pytest.approx(prompt.delay_told + 0.5, abs=0.01)
    assert late.edit == 1.0


def test_a_model_that_does_not_know_the_labels_is_not_measured(tiny):
    with pytest.raises(DataError, match="does not know clap"):
        evaluate_world(tiny, streams=1, seconds=1.0)
    with pytest.raises(DataError, match="it knows idle, wave, fall"):
        evaluate_clips(tiny, [Clip(Path("a.mp4"), "swim", "a")])


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_real_model_is_measured_on_the_world(engine):
    report = evaluate_world(Recognizer.load("synthetic", engine=engine), fps=5.0, streams=1, seconds=6.0)
    assert report.frames == 30
    assert 0.0 <= report.per_frame <= 1.0
    assert 0.0 <= report.edit <= 1.0
    plain = json.loads(json.dumps(report.to_dict()))
    assert list(plain["f1"]) == ["10", "25", "50"]


def test_the_world_is_measured_in_the_models_rhythm_whatever_the_camera_gives():
    for fps, expected in ((30.0, 60), (15.0, 45), (10.0, 60), (5.0, 30)):
        report = evaluate_world(Scripted(ACTIONS, knows_the_truth), fps=fps, streams=1, seconds=6.0)
        assert report.frames == expected
