"""The lines of a run: one every ten steps, and a run that goes on goes on with them."""

from __future__ import annotations

import pytest

from streamrec.errors import DataError, MissingExtra
from streamrec.train import run_log as room
from streamrec.train.fit import Progress
from streamrec.train.run_log import RunLog, read_lines


def at(step: int, watched: float | None = None, steps: int = 100) -> Progress:
    return Progress(step, steps, 1.0 / step, 0.5, 1e-3, watched)


def test_the_first_step_every_tenth_the_last_and_each_measurement_have_a_line(tmp_path):
    log = RunLog(tmp_path)
    for step in range(1, 26):
        log.write(at(step, 0.75 if step == 13 else None, steps=25))
    log.close()
    lines = read_lines(tmp_path / "metrics.csv")
    assert [line.step for line in lines] == [1, 10, 13, 20, 25]
    assert [line.held_out for line in lines] == [None, None, 0.75, None, None]
    assert lines[1].loss == pytest.approx(0.1)


def test_a_run_that_goes_on_forgets_the_lines_that_it_learns_again(tmp_path, monkeypatch):
    now = iter(range(1000))  # a second for each line
    monkeypatch.setattr(room.time, "monotonic", lambda: float(next(now)))
    for first, last in ((1, 40), (21, 50)):
        log = RunLog(tmp_path)
        for step in range(first, last + 1):
            log.write(at(step))
        log.close()
    lines = read_lines(tmp_path / "metrics.csv")
    assert [line.step for line in lines] == [1, 10, 20, 30, 40, 50]
    assert [line.seconds for line in lines] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]  # the second run's too


def test_a_line_that_was_cut_off_is_passed_over(tmp_path):
    log = RunLog(tmp_path)
    log.write(at(1))
    log.write(at(10))
    log.close()
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text()[:-12])
    assert [line.step for line in read_lines(path)] == [1]
    assert read_lines(tmp_path / "none.csv") == []


def test_the_numbers_are_there_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    log = RunLog(tmp_path)
    log.write(at(10))
    log.close()
    assert [path.stat().st_size > 0 for path in tmp_path.glob("events.out.tfevents.*")] == [True]


def test_without_tensorboard_it_is_said_once_and_the_lines_are_written(tmp_path, monkeypatch):
    def nothing(module: str, *, extra: str):
        raise MissingExtra(f"{module} is not installed; run: pip install 'streamrec[{extra}]'")

    monkeypatch.setattr(room, "need", nothing)
    said: list[str] = []
    log = RunLog(tmp_path, log=said.append)
    log.write(at(10))
    log.close()
    assert len(said) == 1
    assert "pip install 'streamrec[train]'" in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        RunLog(tmp_path / "file")
