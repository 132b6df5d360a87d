"""`streamrec run --people`: who is in the picture, in the lines, where it was asked for or costs nothing."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from streamrec.commands.app import app
from streamrec.errors import ModelError
from tests.helpers.threads import one_thread_a_module  # noqa: F401


def lines_of(tmp_path, *options: str) -> list[dict]:
    out = tmp_path / "out.jsonl"
    words = ["run", "synthetic:0", "--no-show", "--max-seconds", "1", "--jsonl", str(out), *options]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if line["type"] == "prediction"]


@pytest.mark.parametrize(
    ("options", "has_people"),
    [
        (("-m", "webcam"), True),
        (("-m", "webcam", "--no-people"), False),
        (("-m", "fight"), False),
        (("-m", "fight", "--people"), True),
    ],
)
def test_people_are_followed_where_they_cost_nothing_or_were_asked_for(tmp_path, options, has_people):
    lines = lines_of(tmp_path, *options)
    assert lines and all(("people" in line) == has_people for line in lines)
    if has_people:
        assert [one["id"] for one in lines[-1]["people"]] == [1]


@pytest.mark.parametrize(
    ("options", "judged"),
    [
        (("-m", "webcam"), True),
        (("-m", "webcam", "--no-per-person"), False),
        (("-m", "webcam", "--no-people"), False),
        (("-m", "fight", "-m", "webcam", "--per-person"), True),
        (("-m", "fight", "--people"), False),
    ],
)
def test_each_person_is_judged_where_the_model_is_good_at_it_or_it_was_asked_for(tmp_path, options, judged):
    lines = [line for line in lines_of(tmp_path, *options) if line.get("people")]
    if judged:
        predictions = lines[-1]["people"][0]["predictions"]
        assert len(predictions) == options.count("-m") and set(predictions[-1]) == {"label", "confidence"}
        assert all(one is None for one in predictions[:-1])
    else:
        assert not any("predictions" in one for line in lines for one in line["people"])


def test_a_model_of_whole_pictures_says_which_ones_judge_each_person():
    done = CliRunner().invoke(app, ["run", "synthetic", "-m", "fight", "--per-person", "--no-show"])
    assert isinstance(done.exception, ModelError)
    assert "judges whole pictures" in str(done.exception) and "webcam" in str(done.exception)


def test_a_model_that_finds_nobody_says_which_ones_do():
    done = CliRunner().invoke(app, ["run", "synthetic", "-m", "synthetic", "--people", "--no-show"])
    assert isinstance(done.exception, ModelError)
    assert "does not find people" in str(done.exception) and "fight" in str(done.exception)
