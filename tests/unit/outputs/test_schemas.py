"""What is written is what the schemas say, and the schemas know every field of it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError
from typer.testing import CliRunner

from streamrec import ActionEnded, ActionStarted, Frame, JsonLines, Prediction, Relevance, Result
from streamrec.commands.app import app
from streamrec.outputs.history.records import Announcement, Entry, Kind
from streamrec.types import Forecast, Health, ModelResult, Person, SourceState
from tests.helpers.paths import ROOT


def printed(*words: str) -> dict:
    done = CliRunner().invoke(app, ["schema", *words])
    assert done.exit_code == 0
    return json.loads(done.stdout)


LINES, EVENT = printed(), printed("event")
SHAPES = {name: LINES["$defs"][name] for name in ("prediction", "started", "ended", "state", "opinion")}


def written(*, clock=None) -> list[dict]:
    """A line of each kind, with all the fields that may be left out."""
    text = io.StringIO()
    says = Prediction(
        "wave", 0.75, np.array([0.25, 0.75], np.float32), 0.04, ("idle", "wave"), strangeness=0.4
    )
    of_person = {"person": 3, "box": (0.1, 0.2, 0.9, 0.4), "keypoints": np.full((17, 3), 0.5, np.float32)}
    events = (
        ActionStarted("wave", 0.04, 0.8, "door", zone="mat", rule="long wave", based_on=("1",), **of_person),
        ActionEnded(
            "squat", 3.0, 1.0, 0.9, "door", 2, zone="mat", rule="many squats", based_on=("1", "2"),
            **of_person,
        ),
    )  # fmt: skip
    with JsonLines(text, clock=clock) as lines:
        for state in SourceState:
            lines.write_health("door", Health(state, "why", frames=3, refused={"torn": 1}))
        entry = Entry(
            id="1", camera="door", model="fight", label="fight", started=0.5, confidence=0.9, judgment="no",
            opinion="They hug.", judged_by="eye at home",
        )  # fmt: skip
        lines.write_opinion("door", entry.to_dict())
        frame = Frame(np.zeros((2, 2, 3), np.uint8), 1, 0.04, source="door")
        where = (0.1, 0.2, 0.9, 0.4), np.full((17, 3), 0.5, np.float32), 0.75
        people = (Person(3, *where, (says, None), repetitions=2, count=4, period=1.5), Person(4, *where))
        counted = Result(frame, says, events, repetitions=2, still=4, people=people, count=3, period=1.25)
        lines.write(counted)
        spoke = Relevance("wave", ("x",), np.array([0.0, 0.04]), np.ones((2, 1), np.float32), rest=-0.5)
        lines.write(replace(counted, relevance=spoke))
        lines.write(Result(Frame(frame.image, 2, float("nan")), says))
        both = ModelResult("hands", says, 2), ModelResult("legs", says)
        seen = (
            ActionStarted("wave", 0.0, 0.8, model="hands", forecast=Forecast(0, 80.0, 2.04)),
            ActionEnded("squat", 1.0, 0.0, 0.9, model="legs"),
        )
        lines.write(Result(frame, says, seen, models=both))
    return [json.loads(line) for line in text.getvalue().splitlines()]


def shape_of(line: dict) -> dict:
    return SHAPES[line["event"] if line["type"] == "event" else line["type"]]


@pytest.mark.parametrize("schema", [LINES, EVENT], ids=["jsonl", "event"])
def test_the_schemas_are_schemas_of_the_version_that_is_written(schema):
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(":1")


@pytest.mark.parametrize("clock", [None, lambda: 0.0], ids=["run", "watch"])
def test_every_line_is_as_the_schema_says(clock):
    lines = written(clock=clock)
    assert {(line["type"], line.get("event")) for line in lines} == {
        ("state", None),
        ("opinion", None),
        ("prediction", None),
        ("event", "started"),
        ("event", "ended"),
    }
    for line in lines:
        Draft202012Validator(LINES).validate(line)


def test_each_of_several_models_has_a_line_of_its_own_and_a_single_one_no_name():
    *alone, hands, legs, started, ended = written()
    assert [line["model"] for line in (hands, legs, started, ended)] == ["hands", "legs", "hands", "legs"]
    assert hands["repetitions"] == 2 and "repetitions" not in legs
    assert not any("model" in line for line in alone if line["type"] != "opinion")


def test_people_stand_in_the_first_line_of_a_frame_and_only_where_they_are_followed():
    text = io.StringIO()
    says = Prediction("wave", 0.75, np.array([0.25, 0.75], np.float32), 0.04, ("idle", "wave"))
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 1, 0.04)
    both = ModelResult("hands", says), ModelResult("legs", says)
    keypoints = np.full((17, 3), 1 / 3, np.float32)
    keypoints[3, 0] = np.nan
    person = Person(2, (0.0, 0.25, 1.0, 1 / 3), keypoints, 0.55)
    with JsonLines(text) as lines:
        lines.write(Result(frame, says, models=both, people=(person,)))
        lines.write(Result(frame, says, people=()))
        lines.write(Result(frame, says))
    hands, legs, nobody, unasked = map(json.loads, text.getvalue().splitlines())
    (one,) = hands["people"]
    assert not {"repetitions", "count", "period"} & one.keys()
    assert (one["id"], one["score"], one["box"]) == (2, 0.55, [0.0, 0.25, 1.0, 0.3333])
    assert one["keypoints"][0] == [0.3333, 0.3333, 0.33] and one["keypoints"][3] == [None, 0.3333, 0.33]
    assert nobody["people"] == [] and "people" not in legs and "people" not in unasked
    Draft202012Validator(LINES).validate(hands)


def test_the_schema_knows_every_field_and_no_other():
    seen: dict[str, set[str]] = {}
    for line in written(clock=lambda: 0.0):
        seen.setdefault(shape_of(line)["title"], set()).update(line)
    assert seen == {shape["title"]: set(shape["properties"]) for shape in SHAPES.values()}


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"label": None}, {"confidence": 1.5}, {"type": "guess"}], ids=str
)
def test_a_line_of_another_kind_is_refused(change):
    line = next(line for line in written() if line["type"] == "prediction")
    with pytest.raises(ValidationError):
        Draft202012Validator(LINES).validate(line | change)


@pytest.mark.parametrize("ended", [None, 5.5])
def test_an_event_is_sent_as_the_schema_says(ended):
    entry = Entry(
        id="1", camera="door", model="fight", label="fight", started=0.5, ended=ended, confidence=0.9
    )
    sent = Announcement(Kind.started, entry).to_dict()
    Draft202012Validator(EVENT).validate(sent)
    assert set(sent["data"]) == set(EVENT["$defs"]["data"]["properties"])


@pytest.mark.parametrize(("page", "schema"), [("jsonl", LINES), ("events", EVENT)])
def test_what_the_pages_show_is_as_the_schema_says(page, schema):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    shown = [
        line for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    assert shown
    for line in shown:
        Draft202012Validator(schema).validate(json.loads(line))
