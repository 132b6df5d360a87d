"""Corrections of running cameras: thresholds at once, learning on request, undo of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec.errors import SettingsError, WrongValue
from streamrec.events.tracker import EventTracker
from streamrec.nn.config import ModelConfig
from streamrec.outputs.history.records import Entry
from streamrec.runtime.recognizer import Recognizer
from streamrec.teach.corrections.corrector import Corrections
from streamrec.teach.corrections.known_events import NONE
from streamrec.teach.corrections.records import Verdict
from streamrec.types import ActionEnded, Frame, Prediction
from tests.helpers import corrections
from tests.helpers.corrections import LABELS, SETTINGS

SIZE = 6  # of the features
BLANK = np.zeros((2, 2, 3), np.uint8)


class Scripted(corrections.Scripted):
    """With a config and a name of its own, and features of its words that are told apart from those of none."""

    def __init__(self, name: str = "m") -> None:
        self.name = name
        self._config = ModelConfig(labels=LABELS, events=SETTINGS)

    @property
    def config(self) -> ModelConfig:
        return self._config

    @property
    def configs(self):
        return {self.name: self._config}

    def initial_state(self):
        return "nothing"

    def head_inputs(self, state):
        words = {"idle": 0, "wave": 1, "tree": 2, "dog": 3}
        row = np.zeros((1, SIZE), np.float32)
        row[0, words.get(state, 4)] = 1.0
        return {self.name: row}

    def _prediction(self, state):
        return Prediction.of(np.array([0.05, 0.95], np.float32), 0.0, LABELS)


class Camera:
    """A stream under correction."""

    def __init__(
        self, corrections: Corrections, recognizer: Recognizer | None = None, name: str = "door"
    ) -> None:
        self.corrections, self.name = corrections, name
        self.recognizer = corrections.watching(recognizer or Scripted())
        settings = corrections.camera(name, {"m": SETTINGS}, {"m": LABELS})
        self.tracker = EventTracker(LABELS, settings["m"])
        corrections.on_thresholds = lambda camera, moved: self.tracker.retune(moved["m"])
        self.index, self.count = 0, 0

    def show(self, truth: str = "", seconds: float = 1.0) -> list[ActionEnded]:
        """Frames of a word and its score; the events that ended, noted."""
        ended = []
        for _ in range(round(10 * seconds)):
            when = self.index / 10
            frame = Frame(BLANK, self.index, when, 0, self.name, truth=truth or None)
            prediction, _ = self.recognizer.step(frame, "")
            ended += [e for e in self.tracker.step(prediction, when) if isinstance(e, ActionEnded)]
            self.index += 1
        return ended

    def events(self, truth: str, times: int = 1) -> list[Entry]:
        """What is reported of it, with idle seconds around."""
        found = []
        for _ in range(times):
            self.show(seconds=2.0)
            ended = self.show(truth, 1.5) + self.show(seconds=2.0)
            found += [self._entry(event) for event in ended]
        return found

    def _entry(self, event: ActionEnded) -> Entry:
        self.count += 1
        entry = Entry(
            id=f"e{self.name}{self.count}", camera=self.name, model="", label=event.label, started=event.started,
            ended=event.timestamp, timestamp=event.started, confidence=event.confidence,
        )  # fmt: skip
        self.corrections.noted(entry)
        return entry


@pytest.fixture(autouse=True)
def no_trial_pictures(monkeypatch):
    """The scripted model needs none."""
    from streamrec.teach.corrections import corrector

    monkeypatch.setattr(corrector, "fingerprint", lambda recognizer: {"m": np.zeros(3, np.float32)})


@pytest.fixture
def corrections():
    moments = iter(range(1_000_000))
    with Corrections.open(known=lambda model: NONE, clock=lambda: float(next(moments)) / 10) as made:
        yield made


def test_a_wrong_event_moves_the_threshold_at_once_and_undo_moves_it_back(corrections):
    camera = Camera(corrections)
    (entry,) = camera.events("tree 0.7")
    said = corrections.correct(entry, "wrong")
    assert said.moment
    (moved,) = corrections.thresholds
    assert (moved.camera, moved.model, moved.label, moved.own) == ("door", "m", "wave", 0.6)
    assert 0.6 < moved.now < 0.75
    for _ in range(4):
        for entry in camera.events("tree 0.7"):
            corrections.correct(entry, Verdict.wrong)
    assert camera.events("tree 0.7") == []
    assert len(camera.events("wave 0.95")) == 1
    for one in corrections.store.active:
        assert corrections.undo(one.id) == one
    assert corrections.thresholds == []
    assert len(camera.events("tree 0.7")) == 1


def test_what_runs_goes_on_when_the_threshold_moves(corrections):
    camera = Camera(corrections)
    (entry,) = camera.events("tree 0.7")
    camera.show(seconds=2.0)
    assert camera.show("wave 0.9", 1.0) == []
    corrections.correct(entry, "wrong")
    ended = camera.show("wave 0.9", 1.0) + camera.show(seconds=2.0)
    assert [round(event.duration, 1) for event in ended] == [2.0]


def test_events_that_were_called_right_stay_above_the_threshold(corrections):
    camera = Camera(corrections)
    (true,) = camera.events("wave 0.7")
    corrections.correct(true, "right")
    for entry in camera.events("tree 0.9", 5):
        corrections.correct(entry, "wrong")
    assert len(camera.events("wave 0.7")) == 1


def test_it_learns_what_thresholds_cannot_tell_apart_and_forgets_it_on_request(corrections):
    camera = Camera(corrections)
    for entry in camera.events("wave 0.7", 3):
        corrections.correct(entry, "right")
    for entry in camera.events("tree 0.8", 5):
        corrections.correct(entry, "wrong")
    assert len(camera.events("tree 0.8")) == 1
    lesson = corrections.learn("m")
    assert (lesson.false.before, lesson.false.after, lesson.false.of) == (5, 0, 5)
    assert (lesson.true.before, lesson.true.after, lesson.true.of) == (3, 3, 3)
    assert camera.events("tree 0.8") == []
    assert len(camera.events("wave 0.7")) == 1
    assert len(camera.events("dog 0.95")) == 1  # nothing was said of dogs
    assert corrections.unlearn("m")
    assert len(camera.events("tree 0.8")) == 1
    assert not corrections.unlearn("m")


def test_the_former_lesson_is_kept_under_the_new_one(corrections):
    camera = Camera(corrections)
    for entry in [*camera.events("wave 0.7", 3)]:
        corrections.correct(entry, "right")
    for entry in camera.events("tree 0.8", 4):
        corrections.correct(entry, "wrong")
    corrections.learn("m")
    first = corrections.change("m")
    for entry in camera.events("dog 0.8", 4):
        corrections.correct(entry, "wrong")
    corrections.learn("m")
    assert camera.events("dog 0.8") == camera.events("tree 0.8") == []
    assert corrections.store.depth("m") == 2
    assert corrections.unlearn("m")
    assert corrections.change("m") is first
    assert camera.events("tree 0.8") == []


def test_something_else_is_learned_as_what_it_was(corrections):
    recognizer = Scripted()
    camera = Camera(corrections, recognizer)
    for entry in camera.events("tree 0.8", 4):
        said = corrections.correct(entry, "other", "a tree in the wind")
    assert said.truth == "a tree in the wind"
    corrections.learn("m")
    assert camera.events("tree 0.8") == []


def test_a_missed_event_is_found_afterwards(corrections):
    camera = Camera(corrections)
    for _ in range(3):
        assert camera.events("wave 0.45") == []
        wall = camera.index / 10  # the clock of this test is that of the source
        corrections.missed("door", "wave", wall - 3.5, wall - 2.0)
    assert [one.moment for one in corrections.store.active] == [True] * 3
    corrections.learn("m")
    assert len(camera.events("wave 0.45")) == 1
    assert camera.events("idle 0.05") == []


def test_who_says_little_learns_nothing(corrections):
    camera = Camera(corrections)
    for entry in camera.events("tree 0.7", 2):
        corrections.correct(entry, "wrong")
    with pytest.raises(SettingsError, match="it takes 3"):
        corrections.learn("m")


def test_what_looks_exactly_like_a_true_event_is_not_unlearned(corrections):
    camera = Camera(corrections)
    entries = camera.events("wave 0.8", 8)
    for entry in entries[:4]:
        corrections.correct(entry, "right")
    for entry in entries[4:]:
        corrections.correct(entry, "wrong")
    before = len(camera.events("wave 0.8"))
    try:
        lesson = corrections.learn("m")
        assert lesson.true.after == lesson.true.of
    except SettingsError as error:
        assert "would forget" in str(error)
    assert len(camera.events("wave 0.8")) == before == 1


def test_wrong_words_are_refused_in_a_sentence(corrections):
    camera = Camera(corrections)
    (entry,) = camera.events("tree 0.7")
    for verdict, truth in (("bad", ""), ("missed", ""), ("other", " "), ("other", "x" * 101)):
        with pytest.raises(WrongValue):
            corrections.correct(entry, verdict, truth)
    with pytest.raises(SettingsError, match="no camera"):
        corrections.missed("yard", "wave", 1.0, 2.0)
    with pytest.raises(WrongValue, match="60 seconds"):
        corrections.missed("door", "wave", 1.0, 100.0)
    assert corrections.store.active == ()


def test_after_a_restart_thresholds_and_lessons_are_in_force(tmp_path):
    def begin():
        return Corrections.open(tmp_path / "c", known=lambda model: NONE)

    with begin() as corrections:
        camera = Camera(corrections)
        for entry in camera.events("wave 0.7", 3):
            corrections.correct(entry, "right")
        for entry in camera.events("tree 0.8", 5):
            corrections.correct(entry, "wrong")
        corrections.learn("m")
        moved = corrections.thresholds
    with begin() as corrections:
        camera = Camera(corrections)
        assert corrections.thresholds == moved
        assert camera.events("tree 0.8") == []
        assert len(camera.events("wave 0.7")) == 1
        assert len(corrections.learnable("m")) == 8


def test_another_model_with_the_same_name_is_not_changed(tmp_path, monkeypatch):
    from streamrec.teach.corrections import corrector

    with Corrections.open(tmp_path / "c", known=lambda model: NONE) as corrections:
        camera = Camera(corrections)
        for entry in camera.events("tree 0.8", 5):
            corrections.correct(entry, "wrong")
        corrections.learn("m")
    monkeypatch.setattr(corrector, "fingerprint", lambda recognizer: {"m": np.ones(3, np.float32)})
    with Corrections.open(tmp_path / "c", known=lambda model: NONE) as corrections:
        Camera(corrections)
        assert corrections.change("m") is None
        assert corrections.learnable("m") == []


def test_an_event_of_before_the_start_counts_by_its_confidence(corrections):
    Camera(corrections)
    entry = Entry(
        id="old",
        camera="door",
        model="m",
        label="wave",
        started=1.0,
        ended=2.0,
        timestamp=1e6,
        confidence=0.8,
    )
    said = corrections.correct(entry, "wrong")
    assert not said.moment
    (moved,) = corrections.thresholds
    assert moved.now > 0.6
    assert corrections.learnable("m") == []


def test_a_running_event_may_be_corrected_and_is_kept_whole_when_it_ends(corrections):
    camera = Camera(corrections)
    camera.show(seconds=2.0)
    camera.show("tree 0.8", 1.0)
    entry = Entry(id="now", camera="door", model="", label="wave", started=2.0, timestamp=2.0, confidence=0.8)
    assert corrections.correct(entry, "wrong").moment
    ended = replace(entry, ended=3.0)
    corrections.noted(ended)
    corrections.correct(ended, "right")
    (said,) = corrections.store.active
    assert said.verdict == "right"
    assert corrections.thresholds == []


def test_memory_for_events_is_bounded(corrections, monkeypatch):
    from streamrec.teach.corrections import corrector

    monkeypatch.setattr(corrector, "MOMENTS_BYTES", 3_000)
    camera = Camera(corrections)
    entries = camera.events("tree 0.8", 12)
    assert corrections._moments_bytes <= 3_000
    assert corrections.correct(entries[-1], "wrong").moment
