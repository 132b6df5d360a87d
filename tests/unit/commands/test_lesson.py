"""A lesson: what is said becomes examples, the third is learned, and every mistake is a sentence."""

from __future__ import annotations

import threading

import pytest

from streamrec.commands.lesson import Lesson
from streamrec.errors import StreamrecError
from tests.helpers.fake_teacher import FakeTeacher, result_at


class Sitting:
    """A lesson at ten frames a second."""

    def __init__(self, **settings):
        self.teacher = FakeTeacher()
        self.said: list[str] = []
        self.lesson = Lesson(self.teacher, log=self.said.append, **settings)
        self.frame = 0
        self.segment = 0

    def watch(self, seconds: float) -> None:
        for _ in range(round(10 * seconds)):
            self.frame += 1
            self.teacher.now = self.frame / 10
            self.lesson.step(result_at(self.frame / 10, segment=self.segment))


@pytest.fixture
def sitting():
    return Sitting()


def test_the_last_seconds_become_an_example(sitting):
    sitting.watch(5.0)
    made = sitting.lesson.example("wave")
    assert (made.label, made.start, made.end) == ("wave", 3.0, 5.0)
    assert sitting.said == ["wave: example 1, 2.0 s; 2 more and it is learned"]
    assert sitting.lesson.labels == ("wave",) and sitting.lesson.label == "wave"


def test_the_third_example_is_learned_without_being_asked_for(sitting):
    sitting.watch(9.0)
    for _ in range(2):
        sitting.lesson.example("wave")
    assert sitting.lesson.wait() and sitting.teacher.fits == []
    sitting.lesson.example("wave")
    assert sitting.lesson.wait()
    assert sitting.teacher.fits == [("wave",) * 3]
    assert sitting.lesson.report is not None
    assert "9 of 10 examples right, each judged by the others" in " ".join(sitting.said)
    assert "no false alarm in 74 s of nothing, at most 180 an hour" in " ".join(sitting.said)
    assert "show wave once more from further away" in sitting.said


def test_what_is_said_while_it_learns_is_learned_right_after(sitting):
    sitting.watch(9.0)
    sitting.teacher.gate.clear()
    for _ in range(3):
        sitting.lesson.example("wave")
    assert sitting.lesson.fitting
    for _ in range(2):
        sitting.lesson.example("wave")
    sitting.teacher.gate.set()
    assert sitting.lesson.wait()
    assert sitting.teacher.fits[-1] == ("wave",) * 5 and len(sitting.teacher.fits) <= 3


def test_a_countdown_runs_on_the_clock_of_the_stream_and_ends_in_an_example(sitting):
    sitting.watch(1.0)
    sitting.lesson.name("jump up")
    sitting.lesson.begin_countdown()
    sitting.watch(2.5)
    assert sitting.lesson.cue.kind == "ready" and sitting.lesson.cue.left == pytest.approx(0.5)
    sitting.watch(1.0)
    assert sitting.lesson.cue.kind == "go" and sitting.lesson.cue.label == "jump up"
    sitting.watch(2.0)
    (made,) = sitting.lesson.examples
    assert (made.label, made.start, made.end) == ("jump up", pytest.approx(4.0), pytest.approx(6.0))
    assert sitting.lesson.cue is None


def test_a_minute_of_nothing_is_asked_for_counted_down_and_used(sitting):
    sitting.watch(9.0)
    assert not sitting.lesson.wants_nothing
    for _ in range(3):
        sitting.lesson.example("wave")
    assert sitting.lesson.wants_nothing
    sitting.lesson.begin_nothing()
    sitting.watch(59.0)
    assert sitting.lesson.cue.left == pytest.approx(1.0) and sitting.lesson.nothing_taught == 0
    sitting.watch(1.5)
    assert sitting.lesson.nothing_taught == 60.0 and not sitting.lesson.wants_nothing
    assert "nothing: 60 s are learned from" in sitting.said
    assert sitting.lesson.labels == ("wave",)
    assert sitting.lesson.wait()


def test_of_a_minute_that_is_stopped_what_has_passed_is_used(sitting):
    sitting.watch(1.0)
    sitting.lesson.begin_nothing()
    sitting.watch(20.0)
    sitting.lesson.stop()
    assert sitting.lesson.nothing_taught == pytest.approx(20.0) and sitting.lesson.cue is None


def test_a_camera_that_breaks_off_spoils_what_is_recorded_and_says_so(sitting):
    sitting.watch(1.0)
    sitting.lesson.begin_countdown("wave")
    sitting.watch(3.5)
    assert sitting.lesson.cue.kind == "go"
    sitting.segment = 1
    sitting.watch(3.0)
    assert sitting.lesson.examples == () and sitting.lesson.cue is None
    assert sitting.said == ["the camera broke off: once more, please"]


def test_examples_are_removed_relabelled_and_every_change_is_undone(sitting):
    sitting.watch(9.0)
    lesson = sitting.lesson
    for _ in range(2):
        lesson.example("wave")
    lesson.relabel(2, "clap")
    lesson.remove(1)
    lesson.nothing(5.0)
    assert [(one.id, one.label) for one in lesson.examples] == [(2, "clap"), (3, "nothing")]
    assert lesson.undoes == "the time of nothing"
    lesson.undo()
    assert [(one.id, one.label) for one in lesson.examples] == [(2, "clap")]
    lesson.undo()
    lesson.undo()
    assert [(one.id, one.label) for one in lesson.examples] == [(1, "wave"), (2, "wave")]
    lesson.undo()
    lesson.undo()
    assert lesson.examples == () and lesson.undoes is None
    with pytest.raises(StreamrecError, match="nothing to undo"):
        lesson.undo()


def test_a_removal_is_learned_too(sitting):
    sitting.watch(9.0)
    for _ in range(3):
        sitting.lesson.example("wave")
    assert sitting.lesson.wait()
    sitting.lesson.remove(1)
    assert sitting.lesson.wait() and sitting.teacher.fits[-1] == ("wave", "wave")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda lesson: lesson.example(" "), "a label has a name"),
        (lambda lesson: lesson.example("x" * 41), "40 are allowed"),
        (lambda lesson: lesson.example("quit"), "mean something else here"),
        (lambda lesson: lesson.example("42"), "cannot be a label"),
        (lambda lesson: lesson.example("wave", 0.1), "at least 0.3 s"),
        (lambda lesson: lesson.example("wave", 50.0), "only 9.0 s were seen"),
        (lambda lesson: lesson.nothing(0.5), "from 1 s to an hour"),
        (lambda lesson: lesson.remove(7), "there is no example 7"),
        (lambda lesson: lesson.relabel(7, "clap"), "there is no example 7"),
        (lambda lesson: lesson.begin_countdown(), "name a label first"),
        (lambda lesson: lesson.next_label(), "name a label first"),
    ],
)
def test_a_mistake_is_said_once_and_raised(sitting, call, says):
    sitting.watch(9.0)
    with pytest.raises(StreamrecError, match=says):
        call(sitting.lesson)
    assert len(sitting.said) == 1 and says in sitting.said[0] == sitting.lesson.message


def test_before_the_first_frame_nothing_can_be_taught(sitting):
    for call in (lambda: sitting.lesson.example("wave"), sitting.lesson.begin_nothing):
        with pytest.raises(StreamrecError, match="shown nothing yet"):
            call()


def test_a_fit_that_is_refused_is_a_sentence_and_the_lesson_goes_on(sitting):
    sitting.watch(9.0)
    sitting.teacher.refuses = "one label alone cannot be told from nothing"
    sitting.lesson.fit()
    assert sitting.lesson.wait()
    assert sitting.lesson.message == "one label alone cannot be told from nothing"
    sitting.teacher.refuses = ""
    sitting.lesson.fit()
    assert sitting.lesson.wait() and sitting.lesson.report is not None


def test_no_fit_begins_after_the_end(sitting):
    sitting.watch(9.0)
    sitting.teacher.gate.clear()
    for _ in range(3):
        sitting.lesson.example("wave")
    threading.Timer(0.05, sitting.teacher.gate.set).start()
    sitting.lesson.close()
    fits = len(sitting.teacher.fits)
    sitting.lesson.fit()
    assert fits == len(sitting.teacher.fits) == 1 and not sitting.lesson.fitting


def test_labels_of_examples_that_were_there_are_known():
    teacher = FakeTeacher(now=9.0)
    for label in ("clap", "nothing", "wave"):
        teacher.example(label)
    lesson = Lesson(teacher)
    assert lesson.labels == ("clap", "wave") and lesson.nothing_taught == 2.0
