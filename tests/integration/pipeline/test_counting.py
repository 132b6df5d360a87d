"""Any motion that repeats is counted by the loops: in one stream, in many, and an image at a time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from streamrec import (
    ActionEnded,
    ActionStarted,
    Frame,
    Recognizer,
    RecurrenceSettings,
    StreamRecognizer,
    Watcher,
    results,
)
from streamrec.commands.app import app
from streamrec.events.motion_counts import REPEATING
from streamrec.outputs.video_file import VideoFile
from streamrec.sources.iterable import IterableSource
from streamrec.types import Prediction, Result

SECONDS, FPS = 9, 15


def frames(turns=lambda time: time, segment=0, begin=0.0):
    """A bright square that goes up and down, once a second."""
    for n in range(SECONDS * FPS):
        image = np.full((96, 128, 3), 40, np.uint8)
        y = round(48 - 30 * np.cos(2 * np.pi * turns(n / FPS)))
        image[max(0, y - 12) : y + 12, 40:90] = 210
        yield Frame(image, n, begin + n / FPS, segment, "gym")


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load("synthetic", threads=1)


def sets(found):
    return [event for result in found for event in result.events if event.label == REPEATING]


def test_a_stream_is_counted_and_its_set_is_an_event(recognizer):
    found = list(results(IterableSource(frames(), name="gym"), recognizer, count=RecurrenceSettings()))
    assert abs(found[-1].count - SECONDS) <= 1
    assert found[-1].period == pytest.approx(1.0, abs=0.05)
    assert found[0].count == 0 and found[0].period is None
    started, ended = sets(found)
    assert isinstance(started, ActionStarted) and started.source == "gym"
    assert isinstance(ended, ActionEnded) and ended.repetitions == found[-1].count


def test_without_being_asked_for_nothing_is_counted(recognizer):
    found = list(results(IterableSource(frames(), name="gym"), recognizer))
    assert {(result.count, result.period) for result in found} == {(None, None)}
    assert not sets(found)


def test_a_reconnect_ends_the_set(recognizer):
    both = [*frames(), *frames(segment=1, begin=0.5)]
    found = list(results(IterableSource(both, name="gym"), recognizer, count=RecurrenceSettings()))
    assert [type(event) for event in sets(found)] == [ActionStarted, ActionEnded] * 2
    first = next(result for result in found if result.frame.segment == 1)
    assert first.count == 0


def test_cameras_are_counted_each_by_itself(recognizer):
    with Watcher(recognizer) as watcher:
        watcher.add("fast", IterableSource(frames()), count=RecurrenceSettings())
        watcher.add("slow", IterableSource(frames(lambda time: time / 2)), count=RecurrenceSettings())
        watcher.add("none", IterableSource(frames()))
        last = {result.frame.source: result for result in watcher if not result.repeated}
    assert abs(last["fast"].count - SECONDS) <= 1
    assert abs(last["slow"].count - SECONDS / 2) <= 1
    assert last["none"].count is None


def test_an_app_counts_an_image_at_a_time_and_forgets(recognizer):
    stream = StreamRecognizer(recognizer, count=RecurrenceSettings())
    for frame in frames():
        result = stream.recognize(frame.image, frame.timestamp)
    assert abs(result.count - SECONDS) <= 1
    (ended,) = [event for event in stream.finish() if event.label == REPEATING]
    assert ended.repetitions == result.count
    assert stream.recognize(frame.image, 100.0).count == 0


def test_run_counts_a_file(tmp_path):
    video, lines = tmp_path / "up.mp4", tmp_path / "up.jsonl"
    nothing = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
    with VideoFile(video) as file:
        for frame in frames():
            file.write(Result(frame, nothing))
    done = CliRunner().invoke(
        app,
        [
            "run",
            str(video),
            "-m",
            "synthetic",
            "--count",
            "--no-show",
            "--jsonl",
            str(lines),
            "--threads",
            "1",
        ],
    )
    assert done.exit_code == 0, done.output
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    predictions = [line for line in written if line["type"] == "prediction"]
    assert abs(predictions[-1]["count"] - SECONDS) <= 1
    assert predictions[-1]["period"] == pytest.approx(1.0, abs=0.05)
    (ended,) = [line for line in written if line.get("event") == "ended" and line["label"] == REPEATING]
    assert ended["repetitions"] == predictions[-1]["count"]
    assert f"{REPEATING} ended after" in done.output
