"""Many streams at once: each as if it were alone, and none waits for another."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from streamrec import (
    ActionEnded,
    ActionStarted,
    EventSettings,
    Frame,
    ModelConfig,
    Prediction,
    Recognizer,
    Result,
    Source,
    Watcher,
    results,
    results_of,
)
from streamrec.errors import PictureError, SourceError, StreamrecError
from streamrec.pipeline.watcher import BATCH, Camera
from streamrec.sources import health as report
from streamrec.sources.iterable import IterableSource
from streamrec.types import Health, SourceState
from tests.helpers.checks import Squats, moving
from tests.helpers.frames import numbered

LABELS = ("idle", "wave", "fall")
BLANK = np.zeros((24, 32, 3), np.uint8)


class Clockwork(Source):
    """A live source: so many frames a second, by its own thread's clock; it counts what it gave."""

    live = True

    def __init__(
        self,
        name: str = "clockwork",
        *,
        fps: float = 50.0,
        count: int | None = None,
        error: Exception | None = None,
    ) -> None:
        self.name, self.fps, self.count, self.error = name, fps, count, error
        self.given = 0
        self.released = False

    def __iter__(self) -> Iterator[Frame]:
        begun = time.monotonic()
        try:
            while self.count is None or self.given < self.count:
                time.sleep(max(0.0, begun + self.given / self.fps - time.monotonic()))
                self.given += 1
                yield Frame(
                    BLANK, self.given - 1, (self.given - 1) / self.fps, 0, self.name, time.monotonic()
                )
        finally:
            self.released = True
        if self.error is not None:
            raise self.error


class Silent(Source):
    """Opens, and never says a word until it is told that nobody reads; or not even then, for a while."""

    live = True

    def __init__(self, name: str = "silent", *, deaf: bool = False) -> None:
        self.name = name
        self.deaf = deaf
        self.left = threading.Event()
        self.let_go = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        (self.let_go if self.deaf else self.left).wait()
        return
        yield

    def interrupt(self) -> None:
        self.left.set()


class Scripted:
    """Says "wave" of every frame; ``takes`` so many seconds for a batch, and remembers the batches."""

    labels = LABELS
    fps = 10.0

    def __init__(
        self,
        *,
        takes: float = 0.0,
        label: str = "wave",
        check: Callable[[Frame], object] = lambda frame: None,
    ) -> None:
        self.takes, self.label, self.check = takes, label, check
        self.batches: list[list[str]] = []
        self.reserved: list[int] = []
        self.config = ModelConfig(labels=LABELS, events=EventSettings(background=("idle",)))

    def initial_state(self) -> int:
        return 0

    def reserve(self, streams: int) -> None:
        self.reserved.append(streams)

    def prefetch(self, frame: Frame) -> Frame:
        return frame

    def step(self, frame: Frame, state: int) -> tuple[Prediction, int]:
        return self.step_many([frame], [state])[0]

    def step_many(self, frames: list[Frame], states: list[int]) -> list[tuple[Prediction, int]]:
        for frame in frames:
            self.check(frame)
        time.sleep(self.takes)
        self.batches.append([frame.source for frame in frames])
        shares = np.full(3, 0.05, np.float32)
        shares[LABELS.index(self.label)] = 0.9
        return [
            (Prediction(self.label, 0.9, shares, frame.timestamp, LABELS), state + 1)
            for frame, state in zip(frames, states, strict=True)
        ]


def by_source(found: list[Result]) -> dict[str, list[Result]]:
    grouped: dict[str, list[Result]] = {}
    for result in found:
        grouped.setdefault(result.frame.source, []).append(result)
    return grouped


def steps_for(watcher: Watcher, seconds: float) -> list[Result]:
    found, ends = [], time.monotonic() + seconds
    while time.monotonic() < ends:
        found += watcher.step(0.05)
    return found


def steps_until(
    watcher: Watcher, done: Callable[[list[Result]], bool], seconds: float = 60.0
) -> list[Result]:
    found: list[Result] = []
    ends = time.monotonic() + seconds
    while not done(found):
        assert time.monotonic() < ends, "it did not come to pass"
        found += watcher.step(0.05)
    return found


def assert_accounted(camera: Camera) -> None:
    """Once its thread has ended, every frame is a result or was dropped for a cause."""
    assert camera._reader.join(60.0)
    counts = camera.counts
    assert counts.waiting == 0
    assert counts.read == counts.recognized + sum(counts.dropped.values())
    assert set(counts.dropped) <= {"rhythm", "overload", "unusable", "left"}


def check_pairs(found: list[Result]) -> None:
    running = set()
    for result in found:
        for event in result.events:
            assert event.source == result.frame.source
            key = event.source, event.label
            if isinstance(event, ActionStarted):
                assert key not in running
                running.add(key)
            else:
                running.remove(key)
    assert not running


class TestEngine:
    @pytest.mark.parametrize("size", [1, 2, 3, 8, 17])
    def test_a_batch_of_any_size_is_one_run_of_the_engine(self, tiny, monkeypatch, size):
        calls, step = [], tiny._engine.step
        monkeypatch.setattr(
            tiny._engine, "step", lambda pictures, *rest: calls.append(len(pictures)) or step(pictures, *rest)
        )
        frames = [moving(1, seed=seed)[0] for seed in range(size)]
        said = tiny.step_many(frames, [tiny.initial_state()] * size)
        assert calls == [size]
        for frame, (prediction, state) in zip(frames, said, strict=True):
            alone, after = tiny.step(frame, tiny.initial_state())
            assert prediction.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
            assert state.h == pytest.approx(after.h, abs=1e-5)

    def test_streams_that_are_ready_together_share_a_batch(self):
        recognizer = Scripted(takes=0.02)
        list(results_of({str(n): numbered(30) for n in range(6)}, recognizer, fps=1000.0))
        sizes = Counter(map(len, recognizer.batches))
        assert sum(size * count for size, count in sizes.items()) == 6 * 30
        assert sizes[6] >= 20
        assert all(len(set(batch)) == len(batch) for batch in recognizer.batches)

    def test_a_batch_is_never_larger_than_the_best_one(self):
        recognizer = Scripted(takes=0.02)
        list(results_of({str(n): numbered(10) for n in range(BATCH + 5)}, recognizer, fps=1000.0))
        assert max(map(len, recognizer.batches)) == BATCH


class TestAlone:
    def test_each_stream_is_told_as_if_it_were_alone(self, tiny):
        streams = {
            f"stream {seed}": moving(40 + 7 * seed, fps=20.0 + 5 * seed, seed=seed) for seed in range(5)
        }
        many = by_source(list(results_of(streams, tiny)))
        for name, frames in streams.items():
            alone = list(results(frames, tiny))
            assert [r.frame.index for r in many[name]] == [r.frame.index for r in alone]
            for one, other in zip(many[name], alone, strict=True):
                assert one.prediction.probabilities == pytest.approx(other.prediction.probabilities, abs=1e-5)
                assert one.frame.source == name
                assert [(type(e), e.label, e.timestamp) for e in one.events] == [
                    (type(e), e.label, e.timestamp) for e in other.events
                ]

    def test_memory_does_not_cross_a_reconnect_of_one_among_many(self, tiny):
        before = moving(15, seed=1)
        after = [
            replace(f, index=f.index + 15, timestamp=f.timestamp + 1.5, segment=1) for f in moving(15, seed=2)
        ]
        found = by_source(list(results_of({"a": [*before, *after], "b": moving(30, seed=3)}, tiny)))["a"]
        fresh = list(results(moving(15, seed=2), tiny))
        for one, other in zip(found[15:], fresh, strict=True):
            assert one.prediction.probabilities == pytest.approx(other.prediction.probabilities, abs=1e-5)

    def test_the_last_result_of_each_file_carries_what_ended(self):
        streams = {"short": numbered(25), "long": numbered(50)}
        found = by_source(
            list(results_of({n: IterableSource(p, fps=10.0) for n, p in streams.items()}, Scripted()))
        )
        for name, pictures in streams.items():
            assert len(found[name]) == len(pictures)
            (ended,) = found[name][-1].events
            assert isinstance(ended, ActionEnded)
            assert (ended.timestamp, ended.source) == ((len(pictures) - 1) / 10, name)
            check_pairs(found[name])

    def test_each_stream_counts_its_own_repetitions(self):
        found = by_source(list(results_of({"a": moving(81), "b": moving(41)}, Recognizer(Squats()))))
        assert [found["a"][n].repetitions for n in (0, 20, 40, 80)] == [0, 1, 2, 4]
        assert [found["b"][n].repetitions for n in (0, 20, 40)] == [0, 1, 2]

    def test_cameras_may_have_models_rhythms_and_thresholds_of_their_own(self):
        sure, calm = Scripted(), Scripted(label="idle")
        with Watcher(sure) as watcher:
            watcher.add("sure", IterableSource(numbered(60)))
            watcher.add("calm", IterableSource(numbered(60)), recognizer=calm)
            watcher.add("often", IterableSource(numbered(60)), fps=30.0)
            watcher.add("strict", IterableSource(numbered(60)), events=EventSettings(enter=0.95))
            found = by_source(list(watcher))
        assert {name: len(told) for name, told in found.items()} == {
            "sure": 20,
            "calm": 20,
            "often": 60,
            "strict": 20,
        }
        assert {r.prediction.label for r in found["calm"]} == {"idle"}
        assert [e for r in found["strict"] for e in r.events] == []
        assert len([e for r in found["sure"] for e in r.events]) == 2
        assert all(batch == ["calm"] for batch in calm.batches)
        assert "calm" not in {name for batch in sure.batches for name in batch}


class TestNobodyWaits:
    def test_a_dead_or_slow_camera_delays_no_other(self):
        quick = Clockwork("quick", fps=20.0)
        with Watcher(Scripted()) as watcher:
            for n in range(3):
                watcher.add(f"dead {n}", Silent())
            watcher.add("slow", Clockwork(fps=1.0))
            camera = watcher.add("quick", quick)
            # A watcher that waited for a dead one would wait for ever.
            enough = steps_until(
                watcher, lambda found: Counter(r.frame.source for r in found)["quick"] >= 20, 60.0
            )
            found = by_source(enough)
        assert 1 <= len(found["slow"]) <= len(found["quick"]) / 2
        assert_accounted(camera)

    def test_a_camera_that_fails_ends_alone_and_says_why(self):
        heard: list[tuple[str, SourceState, str]] = []
        with Watcher(
            Scripted(),
            on_health=lambda camera, health: heard.append((camera.name, health.state, health.reason)),
        ) as watcher:
            good = watcher.add("good", Clockwork(fps=20.0, count=50))
            bad = watcher.add("bad", Clockwork(fps=20.0, count=20, error=SourceError("the cable was pulled")))
            odd = watcher.add("odd", Clockwork(count=0, error=ValueError("rtsp://me:hunter2@host broke")))
            found = list(watcher)
        assert good.health.state is SourceState.ended
        assert (bad.health.state, bad.health.reason) == (SourceState.failed, "the cable was pulled")
        assert odd.health.reason == "ValueError: rtsp://***@host broke"
        check_pairs(found)
        told = by_source(found)
        assert isinstance(told["bad"][-1].events[-1], ActionEnded)
        assert told["good"][-1].frame.index > told["bad"][-1].frame.index + 20
        assert [state for name, state, _ in heard if name == "bad"] == ["connecting", "live", "failed"]
        assert [state for name, state, _ in heard if name == "good"][-1] == "ended"
        for camera in (good, bad, odd):
            assert_accounted(camera)

    def test_a_picture_that_is_refused_is_one_cameras_alone(self):
        def check(frame: Frame) -> None:
            if frame.source == "bad" and frame.index == 5:
                raise PictureError("this is no picture")

        with Watcher(Scripted(takes=0.01, check=check), fps=1000.0) as watcher:
            cameras = [
                watcher.add(name, IterableSource(numbered(20), fps=10.0)) for name in ("a", "bad", "b")
            ]
            found = by_source(list(watcher))
        assert [len(found[name]) for name in ("a", "bad", "b")] == [20, 6, 20]  # the sixth tells what ended
        assert found["bad"][-1].frame.index == 4
        assert cameras[1].health.reason == "this is no picture"
        assert cameras[1].counts.dropped["unusable"] == 1
        for camera in cameras:
            assert_accounted(camera)

    def test_a_model_that_fails_ends_its_cameras_alone(self):
        class Broken(Scripted):
            def reserve(self, streams: int) -> None:
                raise MemoryError

        def check(frame: Frame) -> None:
            if frame.source in ("bad", "worse") and frame.index == 5:
                raise RuntimeError("rtsp://me:hunter2@host: tensor too large")

        good, bad = Scripted(), Broken(check=check)
        with Watcher(fps=1000.0) as watcher:
            cameras = [
                watcher.add(name, IterableSource(numbered(20), fps=10.0), recognizer=one)
                for name, one in (("a", good), ("bad", bad), ("worse", bad), ("shares", bad))
            ]
            found = by_source(list(watcher))
        assert [len(found[name]) for name in ("a", "shares")] == [20, 20]
        for camera in cameras[1:3]:
            assert camera.health.state is SourceState.failed
            assert camera.health.reason == "RuntimeError: rtsp://***@host: tensor too large"
        for camera in cameras:
            assert_accounted(camera)

    def test_an_error_of_the_model_itself_is_raised(self):
        def check(frame: Frame) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            list(results_of([numbered(5), numbered(5)], Scripted(check=check)))
        assert not [t for t in threading.enumerate() if t.name.startswith("capture") and not t.daemon]


class TestFairness:
    def test_a_machine_that_cannot_keep_up_serves_every_camera_alike(self):
        recognizer = Scripted(takes=0.05)  # 40 frames a second in all, and 120 are asked for
        with Watcher(recognizer, fps=1000.0, batch=2) as watcher:
            cameras = [watcher.add(f"camera {n}", Clockwork(fps=20.0)) for n in range(6)]
            found = steps_for(watcher, 4.0)
        shares = Counter(result.frame.source for result in found)
        assert len(shares) == 6
        assert max(shares.values()) <= 1.5 * min(shares.values())
        for camera in cameras:
            assert camera.counts.dropped["overload"] > 0
            assert_accounted(camera)

    def test_a_quick_camera_takes_nothing_from_a_slow_one(self):
        with Watcher(Scripted(takes=0.04), fps=1000.0, batch=1) as watcher:
            watcher.add("slow", Clockwork(fps=4.0))
            for n in range(3):
                watcher.add(f"quick {n}", Clockwork(fps=100.0))
            shares = Counter(result.frame.source for result in steps_for(watcher, 4.0))
        assert shares["slow"] >= 11  # it asks for less than its share, and gets all of it
        quick = [shares[f"quick {n}"] for n in range(3)]
        assert max(quick) <= 1.5 * min(quick)

    def test_memory_for_all_cameras_at_once_is_taken_before_they_come_together(self):
        model = Scripted()
        with Watcher(model, batch=3) as watcher:
            for n in range(5):
                watcher.add(f"camera {n}", Clockwork(fps=10.0))
                steps_for(watcher, 0.3)
        assert model.reserved == [2, 3]

    def test_models_take_turns(self):
        models = [Scripted(takes=0.03), Scripted(takes=0.03)]
        with Watcher(fps=1000.0, batch=4) as watcher:
            for n in range(4):
                watcher.add(f"camera {n}", Clockwork(fps=50.0), recognizer=models[n == 0])
            shares = Counter(result.frame.source for result in steps_for(watcher, 3.0))
        assert max(shares.values()) <= 1.7 * min(shares.values())

    def test_what_is_shed_is_newest_first_and_the_time_told_stays_true(self, tiny):
        """The state's clock is that of the frame it saw, however many lay between."""

        class Late(Recognizer):
            def step_many(self, frames, states):
                time.sleep(0.1)
                return super().step_many(frames, states)

        with Watcher(Late(tiny._engine, "late"), fps=1000.0, batch=2) as watcher:
            cameras = [watcher.add(f"camera {n}", Clockwork(fps=50.0)) for n in range(2)]
            found = by_source(steps_for(watcher, 2.0))
        for camera in cameras:
            told = found[camera.name]
            last = told[-1]
            assert camera._state.clock[0] == last.frame.timestamp
            gaps = np.diff([result.frame.timestamp for result in told])
            assert np.median(gaps) > 0.05  # two periods and more
            assert last.latency < 1.0
            assert last.dropped >= len(told)
            assert_accounted(camera)


class TestAccounts:
    @pytest.mark.parametrize("takes", [0.0, 0.03])
    def test_every_frame_of_every_camera_is_accounted_for(self, takes):
        sources = [
            Clockwork("camera", fps=90.0, count=250),
            Clockwork("broken", fps=60.0, count=100, error=SourceError("gone")),
            Clockwork("left", fps=40.0),
            IterableSource(numbered(200), name="file"),
        ]
        with Watcher(Scripted(takes=takes)) as watcher:
            cameras = [watcher.add(source.name, source) for source in sources]
            found = steps_until(
                watcher, lambda found: all(cameras[n].health.state is SourceState.ended for n in (0, 3))
            )
            assert cameras[2].health.state is SourceState.live
            watcher.stop()
            found += watcher.step()
        told = Counter((r.frame.source, r.frame.index) for r in found)  # a closing result repeats a frame
        for camera, source in zip(cameras, sources, strict=True):
            assert_accounted(camera)
            counts = camera.counts
            assert counts.recognized == len([key for key in told if key[0] == camera.name])
            if isinstance(source, Clockwork):
                assert counts.read == source.given
                assert source.released
        file = cameras[3].counts
        assert (file.read, file.recognized, file.dropped) == (200, 67, {"rhythm": 133})
        assert cameras[0].counts.read == 250
        assert cameras[0].counts.dropped["rhythm"] > 50
        assert ("overload" in cameras[0].counts.dropped) == (takes > 0) or takes == 0

    def test_the_rhythm_is_that_of_results(self):
        for fps in (30.0, 25.0, 7.0):
            frames = moving(80, fps=fps)
            alone = [result.frame.index for result in results(frames, Scripted())]
            many = [result.frame.index for result in results_of([frames], Scripted())]
            assert many == alone


class TestComingAndGoing:
    def test_cameras_are_added_and_removed_while_it_runs(self):
        with Watcher(Scripted()) as watcher:
            first = watcher.add("first", Clockwork(fps=20.0))
            found = steps_until(watcher, lambda found: len(found) >= 8)
            second = watcher.add("second", Clockwork(fps=20.0))
            found += steps_until(watcher, lambda found: len(by_source(found).get("second", [])) >= 8)
            assert watcher.remove("first") is first
            assert [camera.name for camera in watcher.cameras] == ["second"]
            more = steps_until(watcher, lambda found: len(found) >= 8)
            assert {r.frame.source for r in more if not r.events} == {"second"}
            (ending,) = [r for r in more if r.frame.source == "first"]
            assert [type(event) for event in ending.events] == [ActionEnded]
            assert (first.health.state, first.health.reason) == (SourceState.ended, "it was removed")
            again = watcher.add("first", Clockwork(fps=20.0))
            more += steps_until(watcher, lambda found: "first" in by_source(found))
            watcher.stop()
            found += more + list(watcher)
        check_pairs(found)
        for camera in (first, second, again):
            assert_accounted(camera)

    def test_a_camera_can_be_added_from_another_thread_while_all_is_silent(self):
        with Watcher(Scripted()) as watcher:
            watcher.add("silent", Silent())
            adds = threading.Timer(0.3, lambda: watcher.add("late", Clockwork(count=5)))
            adds.start()
            assert next(iter(watcher)).frame.source == "late"
            adds.join()

    def test_names_are_unique_and_mistakes_are_told(self):
        with Watcher(Scripted()) as watcher:
            watcher.add("door", Silent())
            with pytest.raises(StreamrecError, match="there is a camera door already"):
                watcher.add("door", Silent())
            with pytest.raises(StreamrecError, match="no camera yard; there are: door"):
                watcher.remove("yard")
        with pytest.raises(StreamrecError, match="stopped"):
            watcher.add("late", Silent())
        with pytest.raises(StreamrecError, match="no recognizer for door"):
            Watcher().add("door", Silent())
        with pytest.raises(StreamrecError, match="batch is 0"):
            Watcher(batch=0)

    def test_stop_ends_the_iteration_from_another_thread(self):
        with Watcher(Scripted()) as watcher:
            camera = watcher.add("camera", Clockwork(fps=50.0))
            threading.Timer(1.0, watcher.stop).start()
            found = list(watcher)
        check_pairs(found)
        assert len(found) >= 5
        assert camera.health.reason == "it was stopped"
        assert_accounted(camera)

    def test_an_action_ends_when_its_camera_is_lost_and_not_when_it_is_back(self):
        back = threading.Event()

        class Lost(Clockwork):
            def __iter__(self) -> Iterator[Frame]:
                report.set_state(self, SourceState.live)
                for frame in super().__iter__():
                    if frame.index == 40:
                        report.set_state(self, SourceState.reconnecting, "the camera ended the stream")
                        back.wait(60.0)
                        report.set_state(self, SourceState.live)
                    yield replace(frame, segment=int(frame.index >= 40))

        said: list[tuple[str, int]] = []
        with Watcher(Scripted()) as watcher:
            watcher.add("door", Lost(count=80))
            for result in watcher:
                said += [(type(event).__name__, result.frame.segment) for event in result.events]
                if len(said) == 2:
                    back.set()
        assert said == [("ActionStarted", 0), ("ActionEnded", 0), ("ActionStarted", 1), ("ActionEnded", 1)]
        assert back.is_set()

    def test_a_removed_camera_keeps_no_picture_though_somebody_keeps_the_camera(self):
        class Pictures(Clockwork):
            def __iter__(self) -> Iterator[Frame]:
                for frame in super().__iter__():
                    image = np.zeros((24, 32, 3), np.uint8)
                    kept.append(weakref.ref(image))
                    yield replace(frame, image=image)
                    del image, frame

        kept: list[weakref.ref[np.ndarray]] = []
        gc.disable()  # it may not come for hours
        try:
            with Watcher(Scripted()) as watcher:
                watcher.add("door", Clockwork())
                camera = watcher.add("yard", Pictures())
                while camera.counts.recognized < 5:
                    watcher.step(1.0)
                watcher.remove("yard")
                until = time.monotonic() + 60.0
                while any(one() is not None for one in kept) and time.monotonic() < until:
                    watcher.step(0.1)
                assert [one() for one in kept if one() is not None] == []
                assert_accounted(camera)
        finally:
            gc.enable()

    @pytest.mark.parametrize("end", ["closed", "removed"])
    def test_a_camera_that_is_over_is_freed_with_its_models_without_the_garbage_collector(self, end):
        gc.disable()
        try:
            watcher, recognizer = Watcher(), Scripted()
            camera = watcher.add("door", Clockwork(), recognizer=recognizer)
            kept = weakref.ref(camera), weakref.ref(recognizer), weakref.ref(camera.source)
            while camera.counts.recognized < 5:
                watcher.step(1.0)
            if end == "removed":
                watcher.remove("door")
                watcher.step(1.0)
            watcher.close(5.0)
            del camera, recognizer, watcher
            assert [one() for one in kept if one() is not None] == []
        finally:
            gc.enable()

    def test_a_source_that_does_not_hear_is_left_behind_in_time(self):
        deaf, silent = Silent("deaf", deaf=True), Silent("silent")
        watcher = Watcher(Scripted())
        cameras = [watcher.add(source.name, source) for source in (deaf, silent)]
        assert watcher.step(0.1) == []
        watcher.close(1.0)  # the deaf one is let go only after that
        assert [camera.name for camera in cameras if not camera._reader.join(0.0)] == ["deaf"]
        assert {camera.health.state for camera in cameras} == {SourceState.ended}
        deaf.let_go.set()
        assert cameras[0]._reader.join(60.0)

    def test_the_threads_are_gone_when_the_generator_is_left(self):
        sources = [Clockwork(str(n)) for n in range(3)]
        for _ in results_of(sources, Scripted()):
            break
        deadline = time.monotonic() + 60.0
        while not all(source.released for source in sources):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_nothing_comes_of_nothing(self):
        assert list(results_of([], Scripted())) == []
        assert list(results_of({"empty": []}, Scripted())) == []
        with Watcher(Scripted()) as watcher:
            assert watcher.step() == []


class TestHealth:
    def test_a_source_that_tells_of_itself_is_believed(self):
        class Telling(Clockwork):
            def __iter__(self):
                for frame in super().__iter__():
                    state = SourceState.stalled if 5 <= frame.index < 10 else SourceState.live
                    if self.health.state is not state:
                        self.health = Health(state, "torn pictures" if frame.index else "", time.monotonic())
                        self.on_health(self.health)
                    yield frame

        told = []
        with Watcher(Scripted(), on_health=lambda camera, health: told.append(health)) as watcher:
            watcher.add("telling", Telling(fps=50.0, count=20))
            list(watcher)
        assert [h.state for h in told] == ["connecting", "live", "stalled", "live", "ended"]
        assert told[2].reason == "torn pictures"

    def test_a_live_source_that_gives_nothing_is_not_live(self, monkeypatch):
        monkeypatch.setattr("streamrec.pipeline.watcher.STALL_SECONDS", 0.3)

        class Pausing(Clockwork):
            def __iter__(self):
                for frame in super().__iter__():
                    if frame.index == 10:
                        time.sleep(1.5)
                    yield frame

        told = []
        with Watcher(Scripted(), on_health=lambda camera, health: told.append(health)) as watcher:
            watcher.add("pausing", Pausing(fps=50.0, count=20))
            list(watcher)
        assert [h.state for h in told] == ["connecting", "live", "stalled", "live", "ended"]
        assert told[2].reason == "no picture for 0.3 s"

    def test_a_listener_that_was_there_before_still_hears(self):
        source, heard = Clockwork(count=3), []
        source.on_health = heard.append
        with Watcher(Scripted()) as watcher:
            watcher.add("camera", source)
            source.on_health(Health(SourceState.stalled, "a cloud"))
            list(watcher)
        assert [health.reason for health in heard] == ["a cloud"]


class TestResultsOf:
    def test_sources_of_one_name_are_told_apart(self):
        found = by_source(list(results_of([numbered(5), numbered(5), numbered(5)], Scripted())))
        assert sorted(found) == ["pictures", "pictures 2", "pictures 3"]

    def test_the_error_of_one_source_is_raised_when_all_have_ended(self):
        broken = Clockwork("broken", count=3, error=SourceError("the cable was pulled"))
        found = []
        with pytest.raises(SourceError, match=r"^the cable was pulled$"):
            for result in results_of({"broken": broken, "file": Clockwork(fps=30.0, count=40)}, Scripted()):
                found.append(result)
        assert {r.frame.source for r in found} == {"broken", "file"}
        assert max(r.frame.index for r in found if r.frame.source == "file") >= 37

    def test_errors_of_several_sources_are_told_together(self):
        sources = [Clockwork(name, count=2, error=SourceError(f"{name} is dark")) for name in ("a", "b")]
        with pytest.raises(SourceError, match="2 of 3 sources failed: a: a is dark; b: b is dark"):
            list(results_of([*sources, numbered(3)], Scripted()))

    def test_one_address_is_no_list_of_sources(self):
        with pytest.raises(SourceError, match="put rtsp://\\*\\*\\*@host/live into a list"):
            list(results_of("rtsp://me:hunter2@host/live", Scripted()))

    def test_the_door_of_a_camera_shows_no_password(self):
        with Watcher(Scripted()) as watcher:
            camera = watcher.add("door", "rtsp://me:hunter2@127.0.0.1:9/live")
            assert repr(camera) == f"<Camera door: {camera.health.state}>"
            steps_for(watcher, 0.3)
            assert "hunter2" not in repr(camera.health) + repr(camera.source)
