from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamrec import (
    ActionEnded,
    ActionStarted,
    Event,
    EventSettings,
    Frame,
    ModelConfig,
    Prediction,
    Recognizer,
    Result,
    Source,
    World,
    WorldSettings,
    async_results,
    pace,
    results,
)
from streamrec.errors import PictureError, SourceError
from streamrec.sources.iterable import IterableSource
from tests.helpers.checks import Squats, moving
from tests.helpers.frames import numbered
from tests.helpers.threads import one_thread_a_module  # noqa: F401

LABELS = ("idle", "wave", "fall")
BLANK = np.zeros((24, 32, 3), np.uint8)


def at(times: list[float], segment: int = 0) -> list[Frame]:
    return [Frame(BLANK, n, t, segment) for n, t in enumerate(times)]


def times_of(frames) -> list[float]:
    return [round(frame.timestamp, 6) for frame in frames]


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("capture")]


def assert_nobody_reads(seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while readers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert readers() == []


class Camera(Source):
    """A live source: so many pictures a second, until it ends or breaks."""

    name = "camera"
    live = True

    def __init__(
        self, count: int | None = None, fps: float = 100.0, error: Exception | None = None, segments: int = 1
    ) -> None:
        self.count, self.fps, self.error, self.segments = count, fps, error, segments
        self.released = False

    def __iter__(self) -> Iterator[Frame]:
        begun, index = time.monotonic(), 0
        try:
            while self.count is None or index < self.count:
                time.sleep(max(0.0, begun + index / self.fps - time.monotonic()))
                segment = 0 if self.count is None else index * self.segments // self.count
                yield Frame(BLANK, index, index / self.fps, segment, self.name, time.monotonic())
                index += 1
        finally:
            self.released = True
        if self.error is not None:
            raise self.error


class Stepped(Camera):
    """A live source whose clock the test steps: the next picture comes when ``due`` is released."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.due = threading.Semaphore(1)
        self.released, self.passed_on = 1, 0

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.passed_on = index
            assert self.due.acquire(timeout=30.0)
            yield Frame(BLANK, index, index / 100.0, 0, self.name, time.monotonic())

    def interrupt(self) -> None:
        self.due.release()

    def step(self, frames: int) -> None:
        """So many frames come, and have come when this returns."""
        self.released += frames
        self.due.release(frames)
        deadline = time.monotonic() + 30.0
        while self.passed_on < self.released:
            assert time.monotonic() < deadline
            time.sleep(0.001)


class Scripted:
    """Says of each frame what the script says, as sure as told; the state counts the frames that it saw."""

    labels = LABELS
    fps = 10.0

    def __init__(self, script: Callable[[Frame], str], *, takes: float = 0.0, **settings: float) -> None:
        self.script = script
        self.takes = takes
        self.seen: list[Frame] = []
        self.config = ModelConfig(labels=LABELS, events=EventSettings(background=("idle",), **settings))

    def initial_state(self) -> int:
        return 0

    def prefetch(self, frame: Frame) -> Frame:
        return frame

    def step(self, frame: Frame, state: int) -> tuple[Prediction, int]:
        time.sleep(self.takes)
        self.seen.append(frame)
        label = self.script(frame)
        shares = np.full(3, 0.05, np.float32)
        shares[LABELS.index(label)] = 0.9
        return Prediction(label, 0.9, shares, frame.timestamp, LABELS), state + 1


def always_waving(**settings: float) -> Scripted:
    return Scripted(lambda frame: "wave", **settings)


def check_pairs(events: list[Event]) -> None:
    """Every start is followed by one end of its own; no end without a start."""
    running: dict[str, ActionStarted] = {}
    for event in events:
        if isinstance(event, ActionStarted):
            assert event.label not in running
            running[event.label] = event
        else:
            started = running.pop(event.label)
            assert event.started == started.timestamp
            assert event.timestamp >= event.started
    assert running == {}


class TestPace:
    @pytest.mark.parametrize(
        ("source_fps", "expected"), [(30.0, 10.0), (10.0, 10.0), (7.0, 7.0), (25.0, 12.5)]
    )
    def test_a_steady_camera_is_seen_in_the_rhythm_nearest_to_the_models(self, source_fps, expected):
        seen = times_of(pace(at([n / source_fps for n in range(round(source_fps * 6))]), 10.0))
        assert np.diff(seen) == pytest.approx(1 / expected, abs=1e-5)
        assert seen[0] == 0.0

    def test_a_slower_camera_passes_whole(self):
        frames = at([n / 7 for n in range(30)])
        assert list(pace(frames, 10.0)) == frames

    def test_a_camera_that_slows_down_is_seen_at_every_frame_then(self):
        times = [n / 30 for n in range(60)] + [2.0 + n / 5 for n in range(10)]
        seen = times_of(pace(at(times), 10.0))
        assert [t for t in seen if t >= 2.0] == times_of(at(times[60:]))
        assert len([t for t in seen if t < 2.0]) == 20

    def test_a_new_segment_begins_at_once(self):
        frames = at([0.0, 0.02, 0.04]) + at([0.05, 0.07], segment=1) + at([0.08], segment=2)
        assert [(f.segment, f.timestamp) for f in pace(frames, 10.0)] == [(0, 0.0), (1, 0.05), (2, 0.08)]

    def test_time_that_went_back_is_no_reason_to_wait(self):
        assert times_of(pace(at([100.0, 100.1, 3.0, 3.05, 3.1]), 10.0)) == [100.0, 100.1, 3.0, 3.1]

    def test_it_takes_no_more_than_it_is_asked_for(self):
        taken = []
        frames = pace((taken.append(f) or f for f in at([0.0, 0.1, 0.2])), 10.0)
        assert taken == []
        next(frames)
        assert len(taken) == 1


class TestResults:
    def test_there_is_one_result_a_paced_frame_and_the_encoder_ran_once_for_each(self, tiny, monkeypatch):
        calls, step = [], tiny._engine.step
        monkeypatch.setattr(
            tiny._engine, "step", lambda pictures, *rest: calls.append(len(pictures)) or step(pictures, *rest)
        )
        frames = moving(60, fps=30.0)
        found = list(results(frames, tiny))
        assert [result.frame.index for result in found] == list(range(0, 60, 3))
        assert calls == [1] * 20
        for result in found:
            assert result.prediction.timestamp == result.frame.timestamp
            assert result.prediction.label in tiny.labels
            assert result.dropped == 0

    def test_they_say_what_the_recognizer_says(self, tiny):
        frames, state = moving(20), tiny.initial_state()
        for result in results(frames, tiny):
            prediction, state = tiny.step(result.frame, state)
            assert (result.prediction.probabilities == prediction.probabilities).all()
            assert result.frame is frames[result.frame.index]

    @pytest.mark.parametrize(("fps", "expected"), [(None, 20), (30.0, 60), (15.0, 30)])
    def test_another_rhythm_may_be_asked_for(self, tiny, fps, expected):
        assert len(list(results(moving(60, fps=30.0), tiny, fps=fps))) == expected

    def test_a_plain_iterable_of_arrays_will_do(self, tiny):
        for pictures in (numbered(31), iter(numbered(31)), np.stack(numbered(31))):
            found = list(results(pictures, tiny))
            assert [int(result.frame.image[0, 0, 0]) for result in found] == list(range(0, 31, 3))

    def test_a_file_loses_nothing_however_slow_its_reader_is(self):
        seen = []
        for result in results(IterableSource(numbered(40), fps=10.0), always_waving(takes=0.002)):
            seen.append(result.frame.index)
            time.sleep(0.005)
        assert seen == list(range(40))

    def test_nothing_comes_of_nothing(self, tiny):
        assert list(results([], tiny)) == []
        assert list(results(Camera(0), tiny)) == []

    def test_a_bad_picture_is_told_after_the_good_ones(self, tiny):
        seen = []
        with pytest.raises(PictureError, match="picture 4"):
            for result in results(IterableSource([*numbered(4), None], fps=10.0), tiny):
                seen.append(result.frame.index)
        assert seen == [0, 1, 2, 3]

    def test_what_cannot_be_opened_is_told_at_the_first_result(self, tiny):
        with pytest.raises(SourceError, match="no source"):
            next(results(3.5, tiny))

    def test_memory_does_not_cross_a_segment(self, tiny):
        before = moving(15, seed=1)
        after = [replace(f, index=f.index + 15, timestamp=f.timestamp + 1.5) for f in moving(15, seed=2)]
        joined = list(results([*before, *(replace(f, segment=1) for f in after)], tiny))[15:]
        fresh = list(results(after, tiny))
        carried = list(results([*before, *after], tiny))[15:]
        for one, other in zip(joined, fresh, strict=True):
            assert one.prediction.probabilities.tobytes() == other.prediction.probabilities.tobytes()
        assert joined[0].prediction.probabilities.tobytes() != carried[0].prediction.probabilities.tobytes()

    def test_the_latency_of_frames_without_a_time_of_capture_is_that_of_the_model(self):
        frames = [replace(frame, captured=0.0) for frame in moving(5)]
        begun = time.monotonic()
        for result in results(frames, Scripted(lambda frame: "idle", takes=0.02)):
            assert 0.02 <= result.latency < time.monotonic() - begun


class TestLive:
    def test_a_slow_recognizer_sees_the_newest_frame_and_counts_what_it_missed(self):
        camera = Stepped(200)

        def slow(frame: Frame) -> str:
            camera.step(5)  # so many come while one is recognized
            return "wave"

        found: list[Result] = []
        for result in results(camera, Scripted(slow), fps=1000.0):
            found.append(result)
            if len(found) == 25:
                break
        assert [result.frame.index for result in found] == list(range(0, 125, 5))
        assert [result.dropped for result in found] == list(range(4, 101, 4))

    def test_a_reader_that_pauses_comes_back_to_now(self):
        camera = Stepped(100)
        stream = results(camera, always_waving(), fps=1000.0)
        assert next(stream).frame.index == 0
        camera.step(50)
        second = next(stream)
        assert (second.frame.index, second.dropped) == (50, 49)  # the newest one
        camera.step(1)
        third = next(stream)
        assert (third.frame.index, third.dropped) == (51, 49)
        stream.close()

    def test_a_quick_recognizer_misses_nothing(self):
        camera = Stepped(40)
        found = []
        for result in results(camera, Scripted(lambda frame: "idle"), fps=1000.0):
            found.append(result)
            camera.due.release()  # its next picture comes when the last one was dealt with
        assert [result.frame.index for result in found] == list(range(40))
        assert found[-1].dropped == 0

    def test_a_result_does_not_wait_for_the_frame_after_it(self):
        camera = Stepped(2)
        stream = results(camera, always_waving(), fps=1000.0)
        assert next(stream).frame.index == 0  # the second frame is not due yet
        camera.due.release(2)
        assert next(stream).frame.index == 1
        stream.close()


class TestEvents:
    def test_the_last_result_of_a_file_carries_what_ended(self):
        found = list(results(IterableSource(numbered(20), fps=10.0), always_waving()))
        assert [result.frame.index for result in found] == list(range(20))
        (ended,) = found[-1].events
        assert isinstance(ended, ActionEnded)
        assert (ended.label, ended.started, ended.timestamp) == ("wave", 0.0, 1.9)
        check_pairs([event for result in found for event in result.events])

    def test_a_camera_gets_one_closing_result_that_repeats_its_last(self):
        found = list(results(Camera(30, fps=50.0), always_waving(), fps=1000.0))
        assert found[-1].frame is found[-2].frame
        assert found[-1].prediction is found[-2].prediction
        assert [result.repeated for result in found] == [False] * (len(found) - 1) + [True]
        assert [type(event) for event in found[-1].events] == [ActionEnded]
        assert found[-3].frame is not found[-2].frame
        check_pairs([event for result in found for event in result.events])

    def test_a_camera_before_which_nothing_happens_gets_none(self):
        found = list(results(Camera(10, fps=20.0), Scripted(lambda frame: "idle"), fps=1000.0))
        assert found[-1].frame.index == 9
        assert all(result.events == () for result in found)

    @pytest.mark.parametrize("live", [False, True])
    def test_an_action_ends_where_a_segment_ends_and_may_start_anew(self, live):
        frames = [
            replace(f, segment=n // 15, timestamp=f.timestamp + 100 * (n // 15))
            for n, f in enumerate(moving(45))
        ]
        source = IterableSource((wait(frame) for frame in frames) if live else frames, live=live)
        found = list(results(source, always_waving()))
        events = [event for result in found for event in result.events]
        assert [type(event) for event in events] == [ActionStarted, ActionEnded] * 3
        check_pairs(events)
        for started, ended in zip(events[::2], events[1::2], strict=True):
            assert 1.0 < ended.timestamp - started.timestamp < 1.5

    @pytest.mark.parametrize("seed", range(12))
    def test_every_action_that_started_ends_exactly_once(self, seed):
        rng = np.random.default_rng(seed)
        labels = np.repeat(rng.choice(LABELS, 30), rng.integers(1, 15, 30))
        times = np.cumsum(rng.uniform(0.05, 0.3, len(labels)))
        times[rng.random(len(times)) < 0.02] += 5.0
        segments = np.cumsum(rng.random(len(labels)) < 0.03)
        frames = [
            Frame(BLANK, n, float(t), int(s), truth=str(label))
            for n, (t, s, label) in enumerate(zip(times, segments, labels, strict=True))
        ]
        found = list(results(frames, Scripted(lambda frame: frame.truth)))
        events = [event for result in found for event in result.events]
        assert len(events) >= 4
        assert {event.label for event in events} <= {"wave", "fall"}
        check_pairs(events)

    @pytest.mark.parametrize("live", [False, True])
    def test_an_action_ends_also_when_the_source_fails(self, live):
        def failing():
            for frame in moving(20):
                yield wait(frame) if live else frame
            raise SourceError("the cable was pulled")

        found = []
        with pytest.raises(SourceError, match="pulled"):
            for result in results(IterableSource(failing(), live=live), always_waving()):
                found.append(result)
        assert max(result.frame.index for result in found) == 19
        check_pairs([event for result in found for event in result.events])
        assert len([e for result in found for e in result.events]) == 2

    def test_events_name_their_source(self):
        found = list(results(IterableSource(numbered(20), fps=10.0, name="door"), always_waving()))
        assert {event.source for result in found for event in result.events} == {"door"}


def wait(frame: Frame) -> Frame:
    """A moment between two frames of a live source, so that none is dropped."""
    time.sleep(0.004)
    return frame


class TestErrors:
    @pytest.mark.parametrize("live", [False, True])
    def test_an_error_of_the_source_reaches_the_reader_after_the_frames_before_it(self, live):
        def failing():
            for frame in moving(9):
                yield frame
                until = time.monotonic() + 60.0
                while live and len(seen) <= frame.index and time.monotonic() < until:
                    time.sleep(0.001)  # so that none is dropped
            raise SourceError("the camera burned down")

        seen = []
        with pytest.raises(SourceError, match="burned down"):
            for result in results(IterableSource(failing(), live=live), Scripted(lambda frame: "idle")):
                seen.append(result.frame.index)
        assert seen == list(range(9))
        assert_nobody_reads()

    def test_an_error_of_the_model_ends_the_reading(self):
        def fail(frame: Frame) -> str:
            if frame.index > 3:
                raise ZeroDivisionError
            return "idle"

        camera = Camera()
        with pytest.raises(ZeroDivisionError):
            list(results(camera, Scripted(fail), fps=1000.0))
        assert readers() == []
        assert camera.released


class TestLeaving:
    def test_the_thread_is_gone_after_a_break(self, tiny):
        camera = Camera()
        for _ in results(camera, tiny):
            assert readers() == ["capture camera"]
            break
        assert_nobody_reads()
        assert camera.released

    def test_the_thread_is_gone_when_the_reader_raises(self, tiny):
        camera = Camera()
        with pytest.raises(ZeroDivisionError):
            for _ in results(camera, tiny):
                1 / 0  # noqa: B018
        gc.collect()
        assert_nobody_reads()
        assert camera.released

    def test_the_thread_is_gone_when_the_generator_is_forgotten(self, tiny):
        camera = Camera()
        stream = results(camera, tiny)
        next(stream)
        del stream
        gc.collect()
        assert_nobody_reads()
        assert camera.released

    def test_a_generator_that_was_never_asked_starts_nothing(self, tiny):
        stream = results(Camera(), tiny)
        assert readers() == []
        del stream

    def test_a_file_that_waits_for_its_reader_is_left_at_once(self, tiny):
        released = []

        def endless():
            try:
                while True:
                    yield BLANK
            finally:
                released.append(True)

        pictures = endless()
        stream = results(pictures, tiny, fps=1000.0)
        next(stream)
        stream.close()
        assert readers() == []


STREAM = """
import gc, json, os, sys
from pathlib import Path
import numpy as np
from streamrec import Frame, Recognizer, results

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

recognizer = Recognizer.load(sys.argv[1], engine="onnx")
noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
frames = (Frame(np.roll(noise, n, axis=1), n, n / 5) for n in range(9_000))
used, kept = [], []
for result in results(frames, recognizer):
    if result.frame.index % 900 == 0:
        gc.collect()
        used.append(resident())  # MB
        kept.append(len(gc.get_objects()))
print(json.dumps([used, kept]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_half_an_hour_of_stream_takes_no_more_memory_than_a_few_minutes(tiny_file):
    """In a process of its own: what other tests have left in this one comes and goes when it likes."""
    run = subprocess.run(
        [sys.executable, "-c", STREAM, str(tiny_file)], check=True, capture_output=True, text=True
    )
    used, kept = json.loads(run.stdout)
    assert len(used) == 10
    assert max(used[2:]) - used[1] < 5.0
    assert max(kept[2:]) - kept[1] < 200


def test_a_world_is_recognized_to_its_end(tiny):
    world = World(WorldSettings(width=64, height=48, fps=30.0, seconds=5.0, scene_seconds=4.0, seed=2))
    found = list(results(world, tiny))
    assert [round(result.frame.timestamp, 3) for result in found][:3] == [0.0, 0.1, 0.2]
    assert all(result.frame.truth for result in found)
    check_pairs([event for result in found for event in result.events])


class TestCounting:
    def test_results_carry_the_count_and_ends_carry_theirs(self):
        found = list(results(moving(81), Recognizer(Squats())))
        assert [found[n].repetitions for n in (0, 10, 20, 40, 60, 80)] == [0, 0, 1, 2, 3, 4]
        ended = [e for result in found for e in result.events if isinstance(e, ActionEnded)]
        assert [(e.label, e.repetitions) for e in ended if e.label == "squat"] == [("squat", 4)]

    def test_the_count_does_not_cross_a_reconnect(self):
        frames = [replace(frame, segment=int(n >= 45)) for n, frame in enumerate(moving(91))]
        found = list(results(frames, Recognizer(Squats())))
        assert [found[n].repetitions for n in (44, 45, 65, 90)] == [2, 0, 1, 2]
        ended = [e for result in found for e in result.events if isinstance(e, ActionEnded)]
        assert [e.repetitions for e in ended if e.label == "squat"] == [2, 2]

    def test_a_model_that_does_not_count_says_none(self, tiny):
        found = list(results(moving(5), tiny))
        assert {result.repetitions for result in found} == {None}
        assert {result.prediction.phase for result in found} == {None}


class Silent(Camera):
    """A camera that gives one picture and then nothing, until it is interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(BLANK, 0, 0.0, 0, self.name, time.monotonic())
        self.interrupted.wait()
        self.released = True

    def interrupt(self) -> None:
        self.interrupted.set()


class TestInAnEventLoop:
    def test_the_same_results_come_as_by_the_plain_loop(self):
        async def read() -> list[Result]:
            return [result async for result in async_results(at([0.0, 0.1, 0.2, 0.3]), always_waving())]

        plain = list(results(at([0.0, 0.1, 0.2, 0.3]), always_waving()))
        found = asyncio.run(read())
        assert times_of(result.frame for result in found) == times_of(result.frame for result in plain)
        assert [result.events for result in found] == [result.events for result in plain]

    def test_the_loop_is_free_while_a_result_is_made(self):
        async def read() -> int:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.01)
                    ticks += 1

            beside = asyncio.create_task(tick())
            async for _ in async_results(at([0.0, 0.1, 0.2]), always_waving(takes=0.2)):
                pass
            beside.cancel()
            return ticks

        assert asyncio.run(read()) > 10

    def test_a_task_that_is_cancelled_ends_the_wait_for_a_silent_camera(self):
        camera = Silent()

        async def read() -> None:
            async for _ in async_results(camera, always_waving()):
                pass

        async def cancelled() -> None:
            task = asyncio.create_task(read())
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())
        assert camera.interrupted.is_set()
        assert_nobody_reads()
        assert camera.released

    def test_leaving_early_closes_the_source(self):
        camera = Camera()

        async def first() -> Result:
            async with contextlib.aclosing(async_results(camera, always_waving())) as stream:
                async for result in stream:
                    return result
            raise AssertionError

        assert asyncio.run(first()).frame.source == "camera"
        assert_nobody_reads()
        assert camera.released

    def test_what_the_source_raises_is_raised_there(self):
        async def read() -> None:
            async for _ in async_results(Camera(3, error=SourceError("unplugged")), always_waving()):
                pass

        with pytest.raises(SourceError, match="unplugged"):
            asyncio.run(read())
