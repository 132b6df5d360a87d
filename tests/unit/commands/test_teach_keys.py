"""Keys of a lesson: pressed once, held down, typed, and in the list."""

from __future__ import annotations

import pytest

from streamrec.commands.lesson import Lesson
from streamrec.commands.teach_keys import Mode, TeachKeys
from streamrec.commands.teach_window import picture_of
from tests.helpers.fake_teacher import FakeTeacher, result_at


class Person:
    """Somebody at the keys, twenty frames a second; ``clock`` is theirs and the stream's."""

    def __init__(self, *labels: str, **settings):
        self.teacher = FakeTeacher()
        self.said: list[str] = []
        self.lesson = Lesson(self.teacher, log=self.said.append, **settings)
        self.clock = 0.0
        self.keys = TeachKeys(self.lesson, clock=lambda: self.clock)
        self.wait(9.0)
        for label in labels:
            self.lesson.name(label)

    def wait(self, seconds: float) -> None:
        for _ in range(round(20 * seconds)):
            self.clock += 0.05
            self.teacher.now = self.clock
            self.lesson.step(result_at(self.clock))
            self.keys.step()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keys.press(key)

    def hold(self, key: str, seconds: float) -> None:
        """As a keyboard sends a key that is held: at once, after 0.65 s, then every 0.05 s."""
        self.press(key)
        self.wait(0.65)
        for _ in range(round(20 * (seconds - 0.65))):
            self.press(key)
            self.wait(0.05)

    def spans(self) -> list[tuple[str, float, float]]:
        return [(one.label, round(one.start, 2), round(one.end, 2)) for one in self.teacher.examples]


def test_a_key_pressed_once_means_the_seconds_before_it():
    person = Person("wave")
    person.press("1")
    assert person.keys.held is not None and person.spans() == []
    person.wait(1.0)
    assert person.spans() == [("wave", 7.0, 9.0)] and person.keys.held is None


def test_a_digit_that_is_spoken_is_its_key_and_of_no_label_nothing():
    person = Person("wave", "clap")
    person.keys.speak("2")
    person.wait(1.0)
    assert person.spans() == [("clap", 7.0, 9.0)]
    person.keys.speak("7")
    assert person.keys.mode is Mode.TEACH
    person.press("n")
    person.keys.speak("1")
    person.wait(1.0)
    assert person.keys.typed == ""
    assert len(person.spans()) == 1


def test_a_key_that_is_held_means_the_time_in_which_it_is():
    person = Person("wave", "clap")
    person.hold("2", 1.65)
    person.wait(1.0)
    ((label, start, end),) = person.spans()
    assert (label, start) == ("clap", 9.0) and end == pytest.approx(10.6, abs=0.06)


def test_another_key_ends_the_first():
    person = Person("wave", "clap")
    person.press("1", "2")
    person.wait(1.0)
    assert person.spans() == [("wave", 7.0, 9.0), ("clap", 7.0, 9.0)]


def test_a_new_label_is_typed_also_with_letters_that_are_keys():
    person = Person()
    person.press("n", *"quiex", "backspace", "t", "enter")
    assert person.lesson.labels == ("quiet",) and person.keys.mode is Mode.TEACH and not person.keys.done
    person.press("n", "x", "esc")
    assert person.lesson.labels == ("quiet",)
    person.press("n", *"nothing", "enter")
    assert person.lesson.labels == ("quiet",) and "mean something else" in person.said[-1]


def test_a_number_that_no_label_has_asks_for_a_name():
    person = Person("wave")
    person.press("2")
    assert person.keys.mode is Mode.NAME


def test_space_counts_down_for_the_chosen_label_and_stops_it():
    person = Person("wave", "clap")
    person.press("tab", " ")
    assert person.lesson.cue.label == "wave"
    person.press(" ")
    assert person.lesson.cue is None and person.spans() == []
    person.press(" ")
    person.wait(5.2)
    assert [label for label, *_ in person.spans()] == ["wave"]


def test_zero_is_nothing_and_escape_stops_it_but_never_the_lesson():
    person = Person("wave", nothing=10.0)
    person.press("0")
    person.wait(4.0)
    person.press("esc")
    assert person.lesson.nothing_taught == pytest.approx(4.0) and not person.keys.done
    person.press("esc")
    assert not person.keys.done
    person.press("q")
    assert person.keys.done


def test_the_list_removes_relabels_and_undoes():
    person = Person("wave", "clap")
    for _ in range(3):
        person.lesson.example("wave")
    assert person.lesson.wait()
    person.press("l", "down", "x")
    assert [one.id for one in person.lesson.examples] == [1, 3]
    person.press("up", "up", "2")
    assert [one.label for one in person.lesson.examples] == ["wave", "clap"]
    shown = picture_of(person.keys).examples
    assert shown.rows == (("3  clap", "2.0 s"), ("1  wave", "2.0 s")) and shown.chosen == 0
    person.press("u", "u", "q")
    assert [one.label for one in person.lesson.examples] == ["wave"] * 3
    assert person.keys.mode is Mode.TEACH and not person.keys.done
    assert person.lesson.wait()


def test_a_mistake_is_shown_and_the_keys_go_on():
    person = Person()
    for key in ("u", "tab", "f", "é", "up", "F", " "):
        person.press(key)
    assert "there is nothing to undo" in person.said
    assert person.lesson.wait() and person.keys.mode is Mode.NAME


def test_what_is_drawn_says_what_comes_next():
    person = Person()
    assert picture_of(person.keys).asks == "name what you want to teach: n"
    person.press("n", *"wave")
    assert picture_of(person.keys).typed == "wave"
    person.press("enter", "1")
    shown = picture_of(person.keys)
    assert (
        shown.asks.startswith("wave ... let go") and shown.chips[0].held and shown.chips[-1].name == "nothing"
    )
    person.wait(1.0)
    assert picture_of(person.keys).asks.startswith("wave: 2 more")
    person.press(" ")
    person.wait(1.0)
    cue = picture_of(person.keys).cue
    assert (cue.number, cue.title) == ("2", "wave") and 0.3 < cue.share < 0.4
