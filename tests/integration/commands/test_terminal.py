"""What somebody at a terminal is told while one source plays, without the command line around it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from streamrec import Frame, Recognizer, Source
from streamrec.commands.run_job import RunJob
from streamrec.errors import SinkError
from streamrec.sources.health import LEFT, OVER, set_state
from streamrec.types import SourceState
from tests.helpers.checks import moving


class Camera(Source):
    """Ten frames, lost in the middle, and over for a reason; its pictures wait until somebody looks."""

    name, live = "door", False

    def __init__(self, why: str) -> None:
        self.why = why

    def __iter__(self) -> Iterator[Frame]:
        set_state(self, SourceState.connecting)
        try:
            for frame in moving(10):
                if frame.index == 5:
                    set_state(self, SourceState.reconnecting, "the line was cut")
                set_state(self, SourceState.live)
                yield frame
        except GeneratorExit:
            set_state(self, SourceState.ended, LEFT)
            raise
        set_state(self, SourceState.ended, self.why)


@pytest.fixture
def recognizer(tiny_file) -> Recognizer:
    return Recognizer.load(tiny_file, engine="onnx", threads=1)


def played(recognizer: Recognizer, why: str = OVER, **more) -> None:
    RunJob(source=Camera(why), recognizer=recognizer, model="tiny", **{"show": False} | more).run()


def states_in(path) -> list[str]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["state"] for line in lines if line["type"] == "state"]


def test_it_begins_with_who_watches_what_and_ends_with_a_summary(recognizer, capsys):
    played(recognizer)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "door: tiny model, onnx engine"
    assert last.startswith("10 frames in ")
    assert "0 dropped" in last


def test_a_camera_that_is_lost_and_comes_back_is_told_and_its_first_picture_is_not(recognizer, capsys):
    played(recognizer)
    assert capsys.readouterr().err.splitlines() == ["door: reconnecting: the line was cut", "door: live"]


@pytest.mark.parametrize(("why", "told"), [(OVER, False), ("it is cut off", True)])
def test_an_end_is_told_where_it_has_a_reason(recognizer, capsys, why, told):
    played(recognizer, why)
    assert (f"door: {why}" in capsys.readouterr().err.splitlines()) is told


def test_states_are_written_beside_what_is_recognized(recognizer, tmp_path):
    played(recognizer, "it is cut off", jsonl=str(tmp_path / "door.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "door.jsonl").read_text().splitlines()]
    assert states_in(tmp_path / "door.jsonl") == ["connecting", "live", "reconnecting", "live", "ended"]
    assert sum(line["type"] == "prediction" for line in lines) == 10


def test_the_end_is_written_also_where_a_signal_comes_between_two_results(recognizer, tmp_path):
    def end(result) -> None:
        if result.frame.index == 2:
            raise KeyboardInterrupt

    # What is raised keeps the loop's variables alive, as it does until the command has ended.
    with pytest.raises(KeyboardInterrupt):
        played(recognizer, jsonl=str(tmp_path / "door.jsonl"), also=end)
    states = states_in(tmp_path / "door.jsonl")
    assert (states[:2], states[-1]) == (["connecting", "live"], "ended")


def test_each_result_goes_to_who_asked_for_it(recognizer):
    seen = []
    played(recognizer, also=seen.append)
    assert [result.frame.index for result in seen] == list(range(10))


def test_what_is_said_goes_beside_lines_on_standard_output(recognizer, capsys):
    played(recognizer, jsonl="-")
    out, err = capsys.readouterr()
    assert all(json.loads(line) for line in out.splitlines())
    assert "10 frames in " in err


def test_a_window_without_a_screen_is_refused_in_words(recognizer, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SinkError, match="no display"):
        played(recognizer, show=True)
