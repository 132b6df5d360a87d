"""Lines that teach: each is taken when its time has come, and what is not understood says what would be."""

from __future__ import annotations

import time

import pytest

from streamrec.commands.lesson import Lesson
from streamrec.commands.teach_lines import Line, Lines, parse_line
from streamrec.errors import StreamrecError
from tests.helpers.fake_teacher import FakeTeacher, result_at


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("wave", Line("example", "wave")),
        ("  thumbs   up 2.5 ", Line("example", "thumbs up", 2.5)),
        ("wave at 9", Line("example", "wave", at=9.0)),
        ("nothing", Line("nothing")),
        ("NOTHING 60 at 70.5", Line("nothing", seconds=60.0, at=70.5)),
        ("remove 3", Line("remove", id=3)),
        ("relabel 3 thumbs up", Line("relabel", "thumbs up", id=3)),
        ("quit", Line("quit")),
        ("quiet 2", Line("example", "quiet", 2.0)),
        ("stop at 9", Line("example", "stop", at=9.0)),
    ],
)
def test_a_line_is_understood(text, line):
    assert parse_line(text) == line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("remove", "give the number of an example"),
        ("remove wave", "give the number of an example"),
        ("remove 3 wave", "give the number of an example"),
        ("relabel 3", "give the number of an example"),
        ("fit now", "fit stands alone"),
        ("nothing else 3", "not understood; wave 2: the last 2 s"),
        ("quitt", "quitt: do you mean quit.* quitt 2"),
        ("nothin", "do you mean nothing"),
        ("exit", "do you mean quit"),
        ("7", "cannot be a label"),
        ("7 7", "cannot be a label"),
        ("wave\x1b[2J", "cannot be a label"),
    ],
)
def test_what_is_not_understood_says_what_would_be(text, says):
    with pytest.raises(StreamrecError, match=says):
        parse_line(text)


class Reader:
    def __init__(self, *lines: str):
        self.teacher = FakeTeacher()
        self.said: list[str] = []
        self.saved = 0
        self.lesson = Lesson(self.teacher, log=self.said.append)
        self.lines = Lines(
            self.lesson, stream=[f"{line}\n" for line in lines], log=self.said.append, save=self.save
        )
        while self.lines._lines.qsize() < len(lines) + 1:
            time.sleep(0.001)

    def save(self) -> None:
        self.saved += 1

    def at(self, second: float) -> None:
        self.teacher.now = second
        self.lesson.step(result_at(second))
        self.lines.step()


def test_a_line_waits_for_its_second_and_those_behind_it_wait_too():
    reader = Reader("wave 1 at 5", "list")
    for second in (1.0, 4.9):
        reader.at(second)
        assert reader.said == []
    reader.at(5.05)
    assert (reader.teacher.examples[0].start, reader.teacher.examples[0].end) == (4.0, 5.0)
    assert reader.said[1:] == ["1  wave  1.0 s", "1 example, 0 s of nothing"]
    assert reader.lines.ended and not reader.lines.done


def test_what_follows_a_fit_waits_until_it_is_done():
    reader = Reader("wave at 3", "clap at 6", "fit", "save", "quit", "wave")
    reader.teacher.gate.clear()
    reader.at(6.0)
    assert reader.lesson.fitting and reader.saved == 0 and not reader.lines.done
    reader.teacher.gate.set()
    assert reader.lesson.wait()
    reader.at(6.1)
    assert reader.saved == 1 and reader.lines.done and len(reader.teacher.examples) == 2


def test_a_mistake_is_said_and_the_next_line_is_taken():
    reader = Reader("remove 7", "nothing else 3", "", "help", "wave 2")
    reader.at(9.0)
    assert reader.said[0] == "there is no example 7"
    assert "not understood" in reader.said[1] and reader.said[2].startswith("wave 2: the last 2 s")
    assert len(reader.teacher.examples) == 1


def test_before_the_first_frame_only_quit_is_heard():
    reader = Reader("quit")
    reader.lines.step()
    assert reader.lines.done


def test_after_the_last_frame_the_rest_is_taken():
    reader = Reader("wave 1 at 50", "nothing 2")
    reader.at(9.0)
    reader.lines.step(final=True)
    assert reader.lines.ended and len(reader.teacher.examples) == 2
