"""A camera that listens: events of its sound come with its pictures, on their clock; lost sound disturbs nothing."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from streamrec import ActionEnded, ActionStarted, Frame, ModelConfig, Prediction, Source
from streamrec.errors import SourceError
from streamrec.events.detector import EventSettings
from streamrec.outputs.fleet.wire import PACKER
from streamrec.outputs.plot import Plots, level_of
from streamrec.pipeline.listening import Listener
from streamrec.pipeline.loop import results
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.pipeline.snapshot import SoundSnapshot
from streamrec.pipeline.watcher import Watcher
from streamrec.sources.iterable import IterableSource
from streamrec.sources.sound import SoundSource
from streamrec.types import SOUND, Health, Result, SourceState
from tests.helpers.sounds import Loudness, tone

LOUD = tone(8_000, 0.4, loud=0.9)
QUIET = np.zeros(8_000, np.float32)


class Bright:
    """Steps like a recognizer of video: "person" while a picture is bright."""

    engine = "none"
    name = "bright"

    def __init__(self) -> None:
        events = EventSettings(background=("idle",), smoothing=0.0, shortest=0.0, merge_gap=0.0)
        self.config = ModelConfig(labels=("idle", "person"), fps=10.0, events=events)
        self.configs = {"bright": self.config}
        self.fps = 10.0

    def initial_state(self) -> int:
        return 0

    def step(self, frame: Frame, state: int) -> tuple[Prediction, int]:
        bright = float(frame.data.mean() > 127)
        shares = np.array([1.0 - bright, bright], np.float32)
        return Prediction.of(shares, frame.timestamp, self.config.labels), state + 1

    def step_many(self, frames, states):
        return [self.step(frame, state) for frame, state in zip(frames, states, strict=True)]


def pictures(seconds: float, bright: tuple[float, float] = (9e9, 9e9)) -> list[np.ndarray]:
    times = [n / 10.0 for n in range(round(10 * seconds))]
    return [np.full((8, 8, 3), 255 if bright[0] <= at < bright[1] else 0, np.uint8) for at in times]


def heard(found) -> list[tuple]:
    return [
        (type(event).__name__.removeprefix("Action"), event.model, event.label, round(event.timestamp, 2))
        for result in found
        for event in result.events
    ]


def run(source, sound, recognizer=None):
    listener = Listener(sound, recognizer or Loudness(), name="glass")
    video = Bright()
    builder = ResultBuilder(video, "door")
    builder.listening(listener, "bright")
    return listener, list(results(source, video, builder=builder))


class TestFiles:
    def test_events_of_sound_and_pictures_come_together_with_their_models_names(self):
        sound = SoundSource([QUIET, LOUD, QUIET], rate=8_000)
        listener, found = run(IterableSource(pictures(3.0, (2.0, 2.5)), fps=10.0), sound)
        assert heard(found) == [
            ("Started", "glass", "glass", 0.96),  # the hop in which it begins: 80 ms
            ("Ended", "glass", "glass", 1.44),
            ("Started", "bright", "person", 2.0),
            ("Ended", "bright", "person", 2.5),
        ]
        assert [one.model for one in found[5].models] == ["bright", "glass"]
        assert {event.source for result in found for event in result.events} == {"door"}
        assert listener.health.frames == 3 and len(found) == 30

    def test_it_is_the_same_however_quickly_the_file_is_read(self):
        sounds = [SoundSource([QUIET, LOUD, QUIET], rate=8_000) for _ in range(2)]
        found = [heard(run(IterableSource(pictures(3.0), fps=10.0), one)[1]) for one in sounds]
        assert found[0] == found[1]

    def test_what_runs_at_the_end_ends_with_the_last_picture(self):
        _, found = run(IterableSource(pictures(1.2), fps=10.0), SoundSource([QUIET, LOUD, LOUD], rate=8_000))
        assert [one[:3] for one in heard(found)] == [
            ("Started", "glass", "glass"),
            ("Ended", "glass", "glass"),
        ]
        assert len(found) == 12 and not found[-1].repeated

    def test_sound_that_cannot_be_read_leaves_the_pictures_as_they_are(self):
        def broken():
            yield QUIET
            raise SourceError("the disk is gone")

        listener, found = run(
            IterableSource(pictures(3.0, (1.5, 2.0)), fps=10.0), SoundSource(broken(), rate=8_000)
        )
        assert [one[2] for one in heard(found)] == ["person", "person"] and len(found) == 30
        assert (listener.health.state, listener.health.reason) == (SourceState.failed, "the disk is gone")

    def test_a_model_that_fails_on_the_sound_leaves_the_pictures_as_they_are(self):
        class Broken(Loudness):
            def step(self, frame, state):
                raise ValueError("secret details")

        listener, found = run(
            IterableSource(pictures(1.0), fps=10.0), SoundSource([QUIET], rate=8_000), Broken()
        )
        assert len(found) == 10
        assert (listener.health.state, listener.health.reason) == (SourceState.failed, "ValueError")

    def test_a_sound_model_takes_no_pictures(self):
        with pytest.raises(SourceError, match="glass takes sound at 8000 Hz, 80 ms a step, and pictures is"):
            Listener(IterableSource(pictures(1.0)), Loudness(), name="glass")

    def test_a_single_model_keeps_its_names_where_nothing_listens(self):
        video = Bright()
        found = list(results(IterableSource(pictures(1.0, (0.5, 0.8)), fps=10.0), video))
        assert {event.model for result in found for event in result.events} == {""}
        assert not any(result.models for result in found)


class Gate:
    """What a test lets through, in the order in which it wants it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: list = []
        self.left = False

    def give(self, *items) -> None:
        with self._changed:
            self._items += items
            self._changed.notify_all()

    def __iter__(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self.left, 10)
                if not self._items:
                    return
                item = self._items.pop(0)
            if isinstance(item, Exception):
                raise item
            yield item


class Live(Source):
    """A live source that a test feeds with frames."""

    live = True

    def __init__(self, sense: str = "video", rate: int = 0) -> None:
        self.name, self.sense, self.rate, self.gate = sense, sense, rate, Gate()
        self.health = Health(SourceState.live, since=1.0)
        self.opened = 0

    def __iter__(self):
        self.opened += 1
        self.gate = gate = self.gate if not self.gate.left else Gate()
        return iter(gate)

    def interrupt(self):
        self.gate.left = True
        self.gate.give()


def until(watcher: Watcher, done, seconds: float = 20.0) -> list:
    """The results until this holds of them."""
    found, deadline = [], time.monotonic() + seconds
    while not done(found):
        assert time.monotonic() < deadline, heard(found)
        found += watcher.step(0.02)
    return found


class TestCameras:
    @pytest.fixture
    def scene(self):
        video, sound = Live(), Live(SOUND, 8_000)
        recognizer, health = Loudness(), []
        with Watcher(
            on_sound=lambda camera, one: health.append((camera.name, one.state, one.reason))
        ) as watcher:
            camera = watcher.add("door", video, recognizer=Bright())
            listener = Listener(sound, recognizer, name="glass")
            camera.listening(listener)
            yield video, sound, watcher, listener, health
            listener.close()

    @staticmethod
    def picture(at: float, captured: float, segment: int = 0) -> Frame:
        return Frame(np.zeros((8, 8, 3), np.uint8), round(at * 10), at, segment, "cam", captured)

    @staticmethod
    def block(samples: np.ndarray, at: float, captured: float) -> Frame:
        return Frame(samples, 0, at, 0, "sound", captured)

    def test_an_event_is_dated_by_the_clock_of_the_pictures(self, scene):
        video, sound, watcher, listener, _ = scene
        now = time.monotonic()
        assert sound.opened == 0, "pictures come first"
        video.gate.give(self.picture(100.0, now))
        until(watcher, lambda found: sound.opened == 1)
        # The sound's own clock says 7 s; its last sample came at the moment of the picture at 102.0.
        samples = np.concatenate([QUIET, LOUD, QUIET[:1600]]).reshape(20, 640)
        for n, block in enumerate(samples):
            sound.gate.give(self.block(block, 7.0 + 0.08 * n, now + 0.4 + 0.08 * (n + 1)))
            until(watcher, lambda found, n=n: listener.recognizer.steps > n)
        video.gate.give(self.picture(102.5, now + 2.5))
        found = until(watcher, lambda found: len(heard(found)) == 2)
        # 1.6 s of sound end at 102.0; the loud part is from 1.0 to 1.4 s in it, in hops of 80 ms.
        assert heard(found) == [("Started", "glass", "glass", 101.36), ("Ended", "glass", "glass", 101.84)]
        assert {event.source for result in found for event in result.events} == {"door"}

    def test_an_event_does_not_wait_for_a_picture_that_does_not_come(self, scene, monkeypatch):
        video, sound, watcher, *_ = scene
        monkeypatch.setattr("streamrec.pipeline.listening.LATE", 0.0)
        now = time.monotonic()
        video.gate.give(self.picture(1.0, now))
        until(watcher, lambda found: sound.opened == 1)
        sound.gate.give(self.block(LOUD, 0.0, now))
        found = until(watcher, lambda found: heard(found) != [])
        assert found[-1].repeated and found[-1].frame.timestamp >= 1.0

    def test_while_the_pictures_are_lost_the_sound_is_closed_and_what_runs_ends(self, scene):
        video, sound, watcher, listener, _ = scene
        now = time.monotonic()
        video.gate.give(self.picture(1.0, now))
        until(watcher, lambda found: sound.opened == 1)
        sound.gate.give(self.block(LOUD, 0.0, now))
        video.gate.give(self.picture(1.5, now + 0.5))
        before = until(watcher, lambda found: listener.recognizer.steps >= 5)
        video.gate.give(self.picture(2.0, now + 1.0))
        started = ("Started", "glass", "glass")
        until(watcher, lambda found: started in [one[:3] for one in heard([*before, *found])])
        lost = Health(SourceState.reconnecting, "the connection was lost", since=2.0)
        video.health = lost
        video.on_health(lost)
        ended = until(watcher, lambda found: heard(found) != [])
        assert [one[:3] for one in heard(ended)] == [("Ended", "glass", "glass")] and ended[-1].repeated
        until(watcher, lambda found: sound.gate.left)
        video.health = Health(SourceState.live, since=3.0)
        video.gate.give(self.picture(9.0, now + 8.0, segment=1), self.picture(9.5, now + 8.5, segment=1))
        until(watcher, lambda found: len(found) >= 1)
        n = iter(range(20, 2000))

        def more(found):
            at = next(n) / 2
            video.gate.give(self.picture(at, now + at - 1.0, segment=1))
            return sound.opened == 2

        until(watcher, more)

    def test_lost_sound_is_a_state_of_its_own_and_the_pictures_go_on(self, scene):
        video, sound, watcher, _, health = scene
        now = time.monotonic()
        video.gate.give(self.picture(1.0, now))
        until(watcher, lambda found: sound.opened == 1)
        sound.gate.give(SourceError("the camera sends no sound"))
        until(watcher, lambda found: health != [])
        assert health == [("door", SourceState.failed, "the camera sends no sound")]
        assert watcher.cameras[0].health.state is SourceState.live
        video.gate.give(self.picture(2.0, now + 1.0))
        found = until(watcher, lambda found: len(found) == 1)
        assert [one.model for one in found[0].models] == ["bright"]

    def test_a_slow_model_of_sound_loses_hops_and_delays_no_picture(self, scene):
        video, sound, watcher, listener, _ = scene
        release = threading.Event()
        step = listener.recognizer.step

        def slow(frame, state):
            release.wait(60.0)
            return step(frame, state)

        listener.recognizer.step = slow
        now = time.monotonic()
        video.gate.give(self.picture(1.0, now))
        until(watcher, lambda found: sound.opened == 1)
        sound.gate.give(self.block(np.zeros(8_000 * 10, np.float32), 0.0, now))
        for n in range(5):
            video.gate.give(self.picture(2.0 + n, now + 1.0 + n))
            until(watcher, lambda found: len(found) == 1)
        release.set()
        until(watcher, lambda found: listener.dropped > 100)


def joined(listener: Listener, frames: list[Frame]) -> list[Result]:
    """Results of the pictures, with what is found beside them."""
    return [listener.joined(Result(frame, Bright().step(frame, 0)[0])) for frame in frames]


def sent(listener: Listener) -> SoundSnapshot:
    """What it remembers, as another process gets it."""
    left: SoundSnapshot = PACKER.unpack(PACKER.pack(listener.snapshot()))
    return left


class TestGoingOnElsewhere:
    @pytest.mark.parametrize("cut", [1, 10, 12, 14, 15, 20])
    def test_a_file_has_the_same_events(self, cut):
        def listening() -> Listener:
            return Listener(SoundSource([QUIET, LOUD, QUIET], rate=8_000), Loudness(), name="glass")

        frames = [Frame(one, n, n / 10.0, 0, "door") for n, one in enumerate(pictures(3.0))]
        whole = heard(joined(listening(), frames))
        first, second = listening(), listening()
        parts = joined(first, frames[:cut])
        second.resume(sent(first))
        first.close()
        parts += joined(second, frames[cut:])
        assert heard(parts) == whole and len(whole) == 2
        assert first.recognizer.steps + second.recognizer.steps == 30

    def test_what_ran_of_a_camera_ends_with_its_last_hop_and_no_sample_is_sent(self):
        sound, now = Live(SOUND, 8_000), time.monotonic()
        first = Listener(sound, Loudness(), name="glass")
        frame = TestCameras.picture(100.0, now)
        joined(first, [frame])
        for n, samples in enumerate(LOUD.reshape(5, 640)):
            sound.gate.give(TestCameras.block(samples, 7.0 + 0.08 * n, now + 0.08 * (n - 4)))
        deadline, found = now + 20.0, []
        left = sent(first)
        while left.frame is None or left.frame.index < 4 or not heard(found):
            assert time.monotonic() < deadline
            found += joined(first, [frame])
            left = sent(first)
        first.close()
        assert left.state is None and left.frame is not None and left.frame.data.size == 0
        second, found = Listener(Live(SOUND, 8_000), Loudness(), name="glass"), []
        second.resume(left)
        while not heard(found):
            assert time.monotonic() < deadline
            found += joined(second, [TestCameras.picture(101.0, now + 1.0)])
        second.close()
        # The last of five hops was over with the picture at 100.0: without a merge gap it ends when that hop began.
        assert heard(found) == [("Ended", "glass", "glass", 99.92)]


def test_no_samples_are_in_results_or_kept_behind_the_step():
    sound = SoundSource([QUIET, LOUD, QUIET], rate=8_000)
    listener, found = run(IterableSource(pictures(3.0), fps=10.0), sound)
    assert all(result.frame.is_picture for result in found)
    assert listener._last is not None and listener._last.data.size == 0
    kept = [value for value in vars(listener).values() if isinstance(value, np.ndarray)]
    assert not kept


def test_ends_have_the_duration_of_the_sound():
    sound = SoundSource([QUIET, LOUD, QUIET], rate=8_000)
    _, found = run(IterableSource(pictures(3.0), fps=10.0), sound)
    started, ended = (event for result in found for event in result.events)
    assert isinstance(started, ActionStarted) and isinstance(ended, ActionEnded)
    assert ended.started == started.timestamp and ended.duration == pytest.approx(0.48)


def test_a_pure_source_of_sound_shows_how_loud_it_is():
    plots = Plots(lambda source: SOUND)
    images = [
        plots.pictured(result).frame.image
        for result in results(SoundSource([QUIET, LOUD, QUIET], rate=8_000), Loudness())
    ]
    assert {image.shape for image in images} == {(360, 640, 3)}
    assert not np.array_equal(images[5], images[-1])
    assert level_of(QUIET).tolist() == [-60.0] and level_of(LOUD)[0] == pytest.approx(-0.9, abs=0.1)
