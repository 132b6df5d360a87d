"""A camera that goes on in another watcher: of a file everything is equal to the bit, of a camera the clock goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamrec import Recognizer
from streamrec.core.zones import Line, Zone
from streamrec.errors import StateError
from streamrec.events.places import PlaceSettings
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.outputs.fleet.wire import PACKER
from streamrec.pipeline.snapshot import CameraSnapshot
from streamrec.pipeline.watcher import Watcher
from streamrec.runtime.joint import open_models
from streamrec.sources.rows import RowSource
from streamrec.sources.synthetic import World, WorldSettings
from streamrec.types import Frame, Result, Source
from tests.helpers.people import frames_of, wave_and_squat

WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
PLACES = PlaceSettings(
    zones=(Zone("all", WHOLE, report=("people", "motion")),),
    lines=(Line("middle", ((0.5, 0.0), (0.5, 1.0)), forward="in", back="out"),),
)


def world(seconds: float = 8.0) -> World:
    return World(WorldSettings(seconds=seconds, seed=3, width=96, height=72, fps=10))


def watched(
    recognizer: Recognizer,
    steps: int | None = None,
    after: bytes | None = None,
    source: Any = None,
    **more: Any,
):
    """The results of the world, from the beginning or after a snapshot, and the snapshot behind them."""
    resume: CameraSnapshot | None = None if after is None else PACKER.unpack(after)
    results: list[Result] = []
    with Watcher(recognizer, batch=1) as watcher:
        camera = watcher.add("door", source or world(), count=RecurrenceSettings(), resume=resume, **more)
        camera.placed(PLACES)
        while steps is None or len(results) < steps:
            found = watcher.step(60.0)
            if not found:
                break
            results += found
        snapshot = camera.snapshot()
    assert snapshot is not None
    return results, PACKER.pack(snapshot)


def numbers(results: list[Result]) -> Iterator[tuple[Any, ...]]:
    for one in results:
        scores = [each.prediction.probabilities.tobytes() for each in one.each]
        people = [
            (
                person.id,
                person.box,
                [p and p.probabilities.tobytes() for p in person.predictions],
                (person.repetitions, person.count, person.period),
            )
            for person in one.people or ()
        ]
        events = [
            (type(event), *(getattr(event, name) for name in ("label", "timestamp", "confidence")))
            for event in one.events
        ]
        yield (
            one.frame.index,
            one.frame.timestamp,
            scores,
            people,
            events,
            one.repetitions,
            one.count,
            one.period,
        )


@pytest.mark.parametrize(
    "models", [("synthetic",), ("workout",), ("webcam",), ("fall", "webcam")], ids="+".join
)
def test_a_file_that_is_moved_three_times_gives_the_results_of_one_that_is_not(models):
    recognizer = open_models(models)
    whole, _ = watched(recognizer)
    parts, snapshot = watched(recognizer, 17)
    for steps in (1, 20, None):
        more, snapshot = watched(recognizer, steps, snapshot)
        parts += more
    assert list(numbers(parts)) == list(numbers(whole))
    assert sum(len(one.events) for one in whole) > 0


def read(model: str, steps: int | None = None, after: bytes | None = None) -> tuple[list[Result], bytes]:
    """The results of readings, from the beginning or after a snapshot, and the snapshot behind them."""
    draw = np.random.default_rng(0)
    rows = draw.normal(0.0, 1.0, (400, 6)) + 3.0 * np.sin(np.arange(400)[:, None] / 3.0)
    rows[300:305] += 40.0
    resume: CameraSnapshot | None = None if after is None else PACKER.unpack(after)
    results: list[Result] = []
    with Watcher(open_models(model), batch=1) as watcher:
        channels = Recognizer.load("motion").config.transform.channels
        camera = watcher.add("pocket", RowSource(rows.tolist(), channels=channels, fps=50.0), resume=resume)
        assert after is None or camera.resumed is not None
        while (steps is None or len(results) < steps) and (found := watcher.step(60.0)):
            results += found
        return results, PACKER.pack(camera.snapshot())


@pytest.mark.parametrize("model", ["motion", "anomaly:1/hour"])
def test_readings_that_are_moved_give_the_results_of_those_that_are_not(model):
    whole, _ = read(model)
    parts, snapshot = read(model, 11)
    for steps in (1, 150, None):
        more, snapshot = read(model, steps, snapshot)
        parts += more
    assert list(numbers(parts)) == list(numbers(whole)) and len(whole) > 190
    assert sum(len(one.events) for one in whole) > 0


def test_the_count_of_each_person_goes_on_after_a_move():
    recognizer, frames = Recognizer.load("workout", per_person=True), frames_of(wave_and_squat(70))
    whole, _ = watched(recognizer, source=frames)
    parts, snapshot = watched(recognizer, 40, source=frames)
    more, _ = watched(recognizer, None, snapshot, source=frames)
    assert list(numbers(parts + more)) == list(numbers(whole))
    assert max(person.repetitions for person in whole[-1].people) >= 2
    assert max(person.count for person in whole[-1].people) >= 3


def test_a_scene_that_stands_still_is_as_still_after_a_move():
    recognizer = Recognizer.load("synthetic")
    whole, _ = watched(recognizer, still=0.6)
    parts, snapshot = watched(recognizer, 9, still=0.6)
    more, _ = watched(recognizer, None, snapshot, still=0.6)
    assert list(numbers(parts + more)) == list(numbers(whole))


class Live(Source):
    """A camera that dates its frames from 100 s on, whenever it is opened."""

    name, live = "camera", True

    def __iter__(self) -> Iterator[Frame]:
        for n in range(3):
            yield Frame(np.zeros((48, 64, 3), np.uint8), n, 100.0 + n / 10, 0, self.name, time.monotonic())
            time.sleep(0.1)


def moved(away: float) -> tuple[Frame, Frame]:
    """The last frame before a move of a camera, and the first one after it was away for so long."""
    recognizer = Recognizer.load("synthetic")
    with Watcher(recognizer) as watcher:
        camera = watcher.add("door", Live())
        (first,) = watcher.step(60.0)
        snapshot = camera.snapshot()
    assert snapshot is not None
    with Watcher(recognizer) as watcher:
        watcher.add("door", Live(), resume=replace(snapshot, captured=time.time() - away))
        (second,) = watcher.step(60.0)
    return first.frame, second.frame


def test_the_clock_of_a_camera_goes_on_over_the_time_that_it_was_away():
    before, after = moved(0.5)
    assert after.segment == before.segment and after.index == before.index + 1
    assert after.timestamp - before.timestamp >= 0.5


def test_a_camera_that_was_away_for_too_long_begins_a_new_segment():
    before, after = moved(3600.0)
    assert after.segment == before.segment + 1
    assert after.timestamp - before.timestamp >= 3600.0


def test_an_event_that_ran_ends_with_the_last_frame_where_the_camera_was_away_for_too_long():
    recognizer = Recognizer.load("synthetic")
    results, snapshot = [], b""
    with Watcher(recognizer, batch=1) as watcher:
        camera = watcher.add("door", world())
        while not any(one.events for one in results):
            results += watcher.step(60.0)
        snapshot = PACKER.pack(camera.snapshot())
    left: CameraSnapshot = PACKER.unpack(snapshot)
    with Watcher(recognizer) as watcher:
        watcher.add("door", Live(), resume=replace(left, captured=time.time() - 3600))
        (first,) = watcher.step(60.0)
    (ended,) = first.events
    assert ended.label == results[-1].events[0].label and ended.timestamp == results[-1].frame.timestamp


def test_a_snapshot_of_another_model_is_left():
    _, snapshot = watched(Recognizer.load("synthetic"), 5)
    with Watcher(Recognizer.load("workout")) as watcher:
        camera = watcher.add("door", world(), resume=PACKER.unpack(snapshot))
        assert camera.resumed is None
        (result, *_) = watcher.step(60.0)
    assert result.frame.index == 0


def test_a_snapshot_holds_no_pixels():
    _, snapshot = watched(Recognizer.load("synthetic"), 5)
    assert PACKER.unpack(snapshot).frame.image.strides == (0, 0, 0)


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * 99]
)
def test_a_damaged_snapshot_is_a_state_error(damage):
    _, snapshot = watched(Recognizer.load("synthetic"), 5)
    with pytest.raises(StateError, match="damaged"):
        PACKER.unpack(damage(snapshot))
