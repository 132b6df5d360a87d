"""Measuring goes through ``results()``; a recognizer that is always right gets full marks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from streamrec import EventSettings, Frame, ModelConfig, Prediction, Recognizer
from streamrec.data.clips import Clip
from streamrec.errors import DataError
from streamrec.evaluation.evaluate import (
    evaluate_carried,
    evaluate_clips,
    evaluate_robustness,
    evaluate_world,
    play_clips,
)
from streamrec.evaluation.reports import RepetitionReport, StreamReport
from streamrec.evaluation.text_tables import text_of
from streamrec.sources.synthetic import ACTIONS


class Scripted:
    """A recognizer that says what it is told to say of a frame; its state counts the frames."""

    def __init__(self, labels: tuple[str, ...], say, background: tuple[str, ...] = ("idle",)) -> None:
        self.labels = labels
        self.fps = 10.0
        self.config = ModelConfig(labels=labels, events=EventSettings(background=background))
        self._say = say

    def initial_state(self) -> int:
        return 0

    def prefetch(self, frame: Frame) -> Frame:
        return frame

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


def timed(path: Path, group: str, segments) -> Clip:
    """An untrimmed clip."""
    return Clip(path, None, group, segments)


def video(path: Path, shades: list[int], fps: float = 10.0) -> Path:
    """A video of which each frame has its own shade."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    for shade in shades:
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    return path


def by_brightness(frame: Frame, state: int) -> str:
    return "wave" if frame.image.mean() > 100 else "idle"


def test_a_perfect_recognizer_gets_full_marks_on_clips(clips):
    told: list[int] = []
    (report,) = evaluate_clips(Scripted(("idle", "wave"), by_brightness), clips, on_progress=told.append)
    assert (report.clips, report.frames) == (4, 80)
    assert (report.at_end, report.per_frame) == (1.0, 1.0)
    assert {label: one["at_end"] for label, one in report.by_label.items()} == {"idle": 1.0, "wave": 1.0}
    assert (report.balanced, report.clip_mean, report.map, report.cap) == (1.0, 1.0, 1.0, 1.0)
    assert report.confusion == {"labels": ["idle", "wave"], "counts": [[2, 0], [0, 2]]}
    assert report.at_end_interval == (1.0, 1.0)
    assert (report.groups, report.alarms.count) == (2, 0)
    assert report.alarms.hours == pytest.approx(4.0 / 3600)
    assert report.unreadable == ()
    assert told == [1, 2, 3, 4]


def test_each_clip_begins_from_the_initial_state_and_its_end_counts_alone(clips):
    def late(frame: Frame, state: int) -> str:
        return by_brightness(frame, state) if state >= 15 else "idle"

    (report,) = evaluate_clips(Scripted(("idle", "wave"), late), clips)
    assert report.at_end == 1.0
    assert report.per_frame == pytest.approx((20 + 20 + 5 + 5) / 80)
    (wrong,) = evaluate_clips(Scripted(("idle", "wave"), lambda frame, state: "wave"), clips)
    assert (wrong.at_end, wrong.per_frame) == (0.5, 0.5)
    assert {label: one["at_end"] for label, one in wrong.by_label.items()} == {"idle": 0.0, "wave": 1.0}
    assert wrong.confusion["counts"] == [[0, 2], [0, 2]]
    assert wrong.at_end_interval == (0.0, 1.0)  # two groups, one of them all wrong
    assert wrong.alarms.count == 2  # a wave is told in each of the idle clips
    assert wrong.alarms.per_hour == pytest.approx(1800.0)


def test_a_clip_that_cannot_be_read_is_named_and_passed_over(clips, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    more = [Clip(broken, "wave", "x"), *clips, Clip(Path("missing.mp4"), "idle", "y")]
    told: list[int] = []
    (report,) = evaluate_clips(Scripted(("idle", "wave"), by_brightness), more, on_progress=told.append)
    assert report.clips == 4
    assert report.at_end == 1.0
    assert len(report.unreadable) == 2
    assert "broken.mp4" in report.unreadable[0]
    assert "missing.mp4" in report.unreadable[1]
    assert told == [1, 2, 3, 4, 5, 6]


def test_without_a_readable_clip_there_is_no_accuracy():
    (report,) = evaluate_clips(
        Scripted(("idle", "wave"), by_brightness), [Clip(Path("missing.mp4"), "wave", "x")]
    )
    assert (report.clips, report.frames) == (0, 0)
    assert (report.at_end, report.per_frame, report.by_label) == (None, None, {})
    assert "could not be read" in text_of(report)


def test_a_real_model_is_measured_on_clips(tiny, clips):
    (report,) = evaluate_clips(tiny, clips)
    assert (report.clips, report.frames) == (4, 80)
    assert 0.0 <= report.per_frame <= 1.0
    assert json.loads(json.dumps(report.to_dict()))["clips"] == 4


def test_a_perfect_recognizer_gets_full_marks_on_the_world():
    told: list[int] = []
    report = evaluate_world(
        Scripted(ACTIONS, knows_the_truth), fps=10.0, streams=2, seconds=20.0, on_progress=told.append
    )
    assert (report.fps, report.seconds, report.frames) == (10.0, 40.0, 400)
    assert (report.per_frame, report.edit, report.recall, report.precision) == (1.0, 1.0, 1.0, 1.0)
    assert report.f1 == {"10": 1.0, "25": 1.0, "50": 1.0}
    assert report.delay_dated == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < report.delay_told <= 0.5  # it takes a moment to be sure, even of a certain thing
    assert {one["per_frame"] for one in report.by_label.values()} == {1.0}
    assert (report.map, report.alarms.count) == (1.0, 0)
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


def test_what_was_seen_of_a_clip_decides_at_each_part_of_it(clips):
    def late(frame: Frame, state: int) -> str:
        return by_brightness(frame, state) if state >= 10 else "idle"

    (report,) = evaluate_clips(Scripted(("idle", "wave"), late), clips)
    # 20 frames: half of them is 10 frames, the last of which has state 9.
    assert list(report.at_part) == ["10", "20", "30", "40", "50", "60", "70", "80", "90", "100"]
    assert [report.at_part[str(part)] for part in (10, 50, 60, 100)] == [0.5, 0.5, 1.0, 1.0]
    # A wave clip: 10 frames at 0.1 and 10 at 0.9 for wave, so the mean is a tie, which the first label wins.
    assert report.clip_mean == 0.5
    # Always said with 0.9: at the end all right, per frame 60 of 80.
    assert report.ece_at_end == pytest.approx(0.1, abs=1e-6)
    assert report.ece_per_frame == pytest.approx(0.9 - 60 / 80, abs=1e-6)


def test_an_untrimmed_video_is_measured_by_its_segments(tmp_path):
    # 10 s at 10 a second: waves from 2 to 4 s and from 6 to 8 s; what is told besides is a clap at 9 s.
    shades = [20] * 20 + [200] * 20 + [20] * 20 + [200] * 20 + [20] * 10 + [120] * 10
    path = video(tmp_path / "day.mp4", shades)

    def says(frame: Frame, state: int) -> str:
        return "wave" if frame.image.mean() > 150 else "clap" if frame.image.mean() > 100 else "idle"

    clip = timed(path, "a", ((2.0, 4.0, "wave"), (6.0, 8.0, "wave")))
    (report,) = evaluate_clips(Scripted(("idle", "wave", "clap"), says), [clip])
    assert isinstance(report, StreamReport)
    assert (report.videos, report.frames, report.seconds) == (1, 100, pytest.approx(10.0))
    assert report.per_frame == 0.9
    assert report.per_frame_interval is None  # one group
    assert report.map == 1.0
    assert (report.recall, report.precision) == (1.0, pytest.approx(2 / 3))
    assert report.edit == pytest.approx(2 / 3)  # wave, wave against wave, wave, clap
    assert report.f1["50"] == pytest.approx(2 * 2 / (2 + 3))
    assert report.delay_dated == pytest.approx(0.0, abs=1e-6)
    assert report.delay_told == pytest.approx(0.3, abs=0.06)
    # The clap is told in 6 s of background.
    assert report.alarms.count == 1
    assert report.alarms.per_hour == pytest.approx(600.0)
    assert report.by_label["wave"]["actions"] == 2
    assert "F1@50" in text_of(report)


def test_background_that_the_model_has_no_label_for_counts_as_negatives_only(tmp_path):
    path = video(tmp_path / "a.mp4", [200] * 10 + [20] * 10)
    recognizer = Scripted(("wave", "clap"), lambda frame, state: "wave", background=())
    (report,) = evaluate_clips(recognizer, [timed(path, "a", ((0.0, 1.0, "wave"),))])
    assert report.per_frame == 1.0
    assert report.map == 0.5  # all twenty frames share a rank, ten of them are true
    assert report.frames == 20


def test_segments_of_labels_that_the_model_does_not_know_are_told(tiny):
    with pytest.raises(DataError, match="does not know swim"):
        evaluate_clips(tiny, [timed(Path("a.mp4"), "a", ((0.0, 1.0, "swim"),))])


def test_clips_and_videos_get_a_report_each_and_the_first_names_what_is_unreadable(clips, tmp_path):
    path = video(tmp_path / "day.mp4", [20] * 20)
    more = [*clips, timed(path, "a", ((0.5, 1.0, "wave"),)), Clip(tmp_path / "no.mp4", "wave", "x")]
    whole, untrimmed = evaluate_clips(Scripted(("idle", "wave"), by_brightness), more)
    assert (whole.clips, untrimmed.videos) == (4, 1)
    assert (len(whole.unreadable), untrimmed.unreadable) == (1, ())


def test_repetitions_are_compared_at_the_end(clips, monkeypatch):
    from streamrec.evaluation import evaluate

    def counting(source, recognizer):
        for result in results(source, recognizer):
            yield SimpleNamespace(
                frame=result.frame,
                prediction=result.prediction,
                events=(),
                repeated=False,
                repetitions=int(result.frame.index / 5),
            )

    results = evaluate.results
    monkeypatch.setattr(evaluate, "results", counting)
    monkeypatch.setattr(evaluate, "_without_image", lambda result: result)
    numbered = [
        replace(clip, group=clip.path.name, repetitions=times)
        for clip, times in zip(clips, ((0.1, 0.5, 1.0), (0.1, 0.3, 0.5, 0.8, 1.0), (0.1,), None), strict=True)
    ]
    *_, report = evaluate_clips(Scripted(("idle", "wave"), by_brightness), numbered)
    # The last of 20 frames has index 19: 3 are counted. Of 3, 5 and 1 that is 0, 2 and 2 off.
    assert isinstance(report, RepetitionReport)
    assert (report.clips, report.error) == (3, pytest.approx(4 / 3))
    assert report.relative_error == pytest.approx((0 + 2 / 5 + 2) / 3)
    assert (report.off_by_one, report.exact) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert report.error_interval[0] < 4 / 3 < report.error_interval[1]
    assert "OBO" in text_of(report)


def test_a_model_that_does_not_count_gets_no_report_on_counting(clips):
    numbered = [replace(clip, repetitions=(0.5,)) for clip in clips]
    assert len(evaluate_clips(Scripted(("idle", "wave"), by_brightness), numbered)) == 1


def test_one_endless_stream_shows_what_an_old_state_costs(clips):
    told: list[int] = []
    (fresh,) = evaluate_carried(Scripted(("idle", "wave"), by_brightness), clips, on_progress=told.append)
    assert (fresh.from_zero, fresh.carried, fresh.difference, fresh.agreement) == (1.0, 1.0, 0.0, 1.0)
    assert fresh.clips == 4
    assert fresh.seconds == pytest.approx(7.9, abs=0.01)
    assert told == [1, 2, 3, 4, 5, 6, 7, 8]

    def tires(frame: Frame, state: int) -> str:  # right while it is young
        return by_brightness(frame, state) if state < 40 else "idle"

    (old,) = evaluate_carried(Scripted(("idle", "wave"), tires), clips)
    assert old.from_zero == 1.0
    assert old.carried < 1.0
    assert old.difference == old.carried - 1.0
    assert "carried" in text_of(old)


def waving(folder: Path, person: str, frames: int = 30) -> Clip:
    """Three seconds, in the second one of which somebody waves; with fewer frames it is cut off there."""
    path = video(folder / f"{person}.mp4", ([20] * 10 + [200] * 10 + [20] * 10)[:frames])
    return timed(path, person, ((1.0, min(2.0, frames / 10), "wave"),))


def test_untrimmed_videos_as_one_stream_are_judged_each_on_its_own_clock(tmp_path):
    told: list[int] = []
    videos = [waving(tmp_path, "anna"), waving(tmp_path, "ben")]
    (report,) = evaluate_carried(Scripted(("idle", "wave"), by_brightness), videos, on_progress=told.append)
    assert (report.videos, report.seconds) == (2, pytest.approx(5.9, abs=0.01))
    assert report.carried == report.from_zero
    assert (report.carried.per_frame, report.carried.recall, report.carried.precision) == (1.0, 1.0, 1.0)
    assert report.carried.f1 == {"10": 1.0, "25": 1.0, "50": 1.0}
    assert 0.0 < report.carried.delay_worst <= 0.5
    assert (report.difference, report.difference_interval) == (0.0, (0.0, 0.0))
    assert told == [1, 2, 3, 4]
    assert json.loads(json.dumps(report.to_dict()))["carried"]["recall"] == 1.0


def test_untrimmed_videos_as_one_stream_show_what_an_old_state_misses(tmp_path):
    def tires(frame: Frame, state: int) -> str:
        return by_brightness(frame, state) if state < 30 else "idle"

    videos = [waving(tmp_path, "anna"), waving(tmp_path, "ben")]
    (report,) = evaluate_carried(Scripted(("idle", "wave"), tires), videos)
    assert (report.from_zero.recall, report.carried.recall) == (1.0, 0.5)
    assert report.carried.per_frame == pytest.approx(50 / 60)
    assert report.difference == pytest.approx(-10 / 60)
    assert report.difference_interval == pytest.approx((-1 / 3, 0.0))  # one of two people is not seen at all
    lines = {line.split("|")[1].strip(): line for line in text_of(report).splitlines() if "|" in line}
    assert [cell.strip() for cell in lines["events: recall"].split("|")[2:4]] == ["100.0", "50.0"]


def test_what_an_old_state_makes_up_is_a_false_alarm_of_the_video_in_which_it_is_told(tmp_path):
    quiet = [timed(video(tmp_path / f"{name}.mp4", [20] * 20), name, ()) for name in "ab"]
    dreams = Scripted(("idle", "wave"), lambda frame, state: "wave" if state >= 25 else "idle")
    (report,) = evaluate_carried(dreams, quiet)
    assert (report.from_zero.alarms.count, report.carried.alarms.count) == (0, 1)
    assert report.carried.precision == 0.0


def test_an_action_that_runs_over_the_cut_ends_with_its_video(tmp_path):
    videos = [waving(tmp_path, "anna", 20), waving(tmp_path, "ben", 20)]  # cut off while they wave
    (report,) = evaluate_carried(Scripted(("idle", "wave"), by_brightness), videos)
    assert report.carried == report.from_zero
    assert (report.carried.f1["50"], report.carried.precision, report.carried.alarms.count) == (1.0, 1.0, 0)


def test_clips_of_one_label_and_untrimmed_videos_make_one_stream_and_two_reports(clips, tmp_path):
    of_clips, of_videos = evaluate_carried(
        Scripted(("idle", "wave"), by_brightness), [*clips, waving(tmp_path, "anna")]
    )
    assert (of_clips.clips, of_clips.carried, of_videos.videos) == (4, 1.0, 1)
    assert of_clips.seconds == of_videos.seconds == pytest.approx(10.9, abs=0.01)
    assert of_videos.difference_interval is None  # of one person
    assert of_videos.carried.per_frame == 1.0


def test_without_clips_there_is_no_stream():
    with pytest.raises(DataError, match="no clips"):
        evaluate_carried(Scripted(("idle", "wave"), by_brightness), [])


def test_a_clip_that_cannot_be_read_is_not_in_the_stream(clips, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    (report,) = evaluate_carried(
        Scripted(("idle", "wave"), by_brightness), [Clip(broken, "wave", "x"), *clips]
    )
    assert (report.clips, report.carried) == (4, 1.0)
    (nothing,) = evaluate_carried(
        Scripted(("idle", "wave"), by_brightness), [timed(broken, "x", ((0.0, 1.0, "wave"),))]
    )
    assert (nothing.clips, nothing.carried) == (0, None)
    assert "-" in text_of(nothing)


def test_robustness_plays_every_rate_with_every_loss(clips):
    def needs_time(frame: Frame, state: int) -> str:
        return by_brightness(frame, state) if state >= 9 else "idle"

    report = evaluate_robustness(
        Scripted(("idle", "wave"), needs_time), clips, source_fps=[None, 4.0], drops=[0.0, 0.3], seed=1
    )
    assert [(c.source_fps, c.drop) for c in report.conditions] == [
        (None, 0.0), (None, 0.3), (4.0, 0.0), (4.0, 0.3)
    ]  # fmt: skip
    whole, lossy, slow, slow_and_lossy = report.conditions
    assert (whole.at_end, whole.looked_at) == (1.0, pytest.approx(10.0))
    assert slow.looked_at == pytest.approx(4.0, abs=0.3)
    assert slow.at_end == slow_and_lossy.at_end == 0.5  # it never saw ten frames
    assert lossy.looked_at < 10.0
    assert report.worst_loss == 0.5
    assert "source fps" in text_of(report)
    assert json.loads(json.dumps(report.to_dict()))["worst_loss"] == 0.5


def test_what_was_said_is_kept_without_the_pictures(clips, tiny):
    (one, *_), unreadable = play_clips(tiny, clips)
    assert unreadable == ()
    assert one.probabilities.shape == (20, 3)
    assert one.durations.sum() == pytest.approx(2.0)
