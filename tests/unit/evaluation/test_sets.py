"""What the data sets hold: which labels are which model's actions, and what a model learned from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamrec.data.clips import Clip
from streamrec.errors import DataError
from streamrec.evaluation.sets import EXERCISES, SETS, WHOLE, clips_of, find_sets, names_of
from streamrec.runtime.checkpoint import read_checkpoint, shipped_models
from tests.helpers.paths import ROOT


def labelled(*labels: str) -> list[Clip]:
    return [Clip(Path(f"{label}.mp4"), label, label) for label in labels]


@pytest.mark.parametrize(
    ("name", "labels", "actions", "shown", "judged"),
    [
        ("interaction", ("punch", "hug", "background"), ("fight",), ("fight",), ("fight",)),
        ("interaction", ("punch", "hug"), ("punch", "wave"), ("punch",), ("punch",)),
        ("interaction", ("punch", "hug"), ("fall",), (), ()),
        ("yoga", ("padmasana",), ("fight", "walk"), (), ("fight",)),
        ("workout", ("dips", "squats"), EXERCISES, ("dips", "squats"), ("dips", "squats")),
        ("gestures", ("wave_right_hand",), ("wave", "clap"), ("wave",), ("wave", "clap")),
        ("pointing", ("circle",), ("wave", "clap"), (), ()),
    ],
)
def test_a_set_shows_some_actions_of_a_model_and_judges_those_and_what_never_happens_in_it(
    name, labels, actions, shown, judged
):
    assert SETS[name].judges(labelled(*labels), actions) == (shown, judged)


def test_a_clip_is_seen_with_the_actions_of_the_model_alone():
    hit, hug = labelled("punch", "hug")
    assert SETS["interaction"].seen_by(hit, ["fight"]).segments == ((0.0, WHOLE, "fight"),)
    assert SETS["interaction"].seen_by(hug, ["fight"]).segments == ()


def test_lying_after_a_fall_is_of_the_fall_and_lying_on_purpose_is_not():
    rows = ((1.0, 2.0, "falling"), (2.0, 4.0, "lying"), (6.0, 9.0, "lying on purpose"))
    seen = SETS["urfall"].seen_by(Clip(Path("a.mp4"), None, "A", rows), ["fall"])
    assert seen.segments == ((1.0, 4.0, "fall"),)
    assert seen.label is None


def write_set(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "index.csv").write_text(text, encoding="utf-8")


def test_cameras_of_a_set_are_apart_and_groups_stand_in_its_own_column(tmp_path):
    write_set(
        tmp_path / "urfall",
        "clip,group,camera,segments\na.mp4,A,0,falling:1-2\nb.mp4,A,1,falling:1-2\nc.mp4,B,0,\n",
    )
    write_set(tmp_path / "signing", "clip,source\nhello.mp4,thai\n")
    cameras = clips_of(tmp_path, SETS["urfall"])
    assert {part: [clip.path.name for clip in clips] for part, clips in cameras.items()} == {
        "0": ["a.mp4", "c.mp4"],
        "1": [
            "b.mp4",
            "c.mp4",
        ],  # in which nobody falls: it judges the ceiling camera too, which has no such clip
    }
    (sign,) = clips_of(tmp_path, SETS["signing"])[""]
    assert (sign.label, sign.segments, sign.group) == (None, (), "thai")


def test_missing_sets_are_named_and_sets_of_ones_own_are_found(tmp_path):
    write_set(tmp_path / "mine", "clip,label\na.mp4,wave\n")
    write_set(tmp_path / "yoga", "clip,label\na.mp4,plank\n")
    found, missing = find_sets(tmp_path)
    assert [one.name for one in found] == ["yoga", "mine"]
    assert "urfall" in missing
    assert [one.name for one in find_sets(tmp_path, ["mine"])[0]] == ["mine"]
    with pytest.raises(DataError, match=r"has no set urfall .* it has mine, yoga"):
        find_sets(tmp_path, ["urfall", "mine"])
    with pytest.raises(DataError, match="holds no data set"):
        find_sets(tmp_path / "mine")
    with pytest.raises(DataError, match="is no folder"):
        find_sets(tmp_path / "nowhere")


def test_a_table_without_a_sets_own_column_is_refused(tmp_path):
    write_set(tmp_path / "urfall", "clip,group,segments\na.mp4,A,falling:1-2\n")
    with pytest.raises(DataError, match="needs a column camera"):
        clips_of(tmp_path, SETS["urfall"])


def test_the_set_of_a_clip_is_known_whatever_table_names_it(tmp_path):
    write_set(tmp_path / "fights", "clip,label\nfight/a.mp4,fight\n")
    clip = Clip(tmp_path / "fights" / "fight" / "a.mp4", "fight", "v1")
    assert names_of([tmp_path / "part.csv"], [clip]) == ("part", "fights")


@pytest.mark.parametrize("model", shipped_models())
def test_the_card_of_a_shipped_model_names_the_sets_in_its_file(model):
    card = (ROOT / "docs/model-cards" / f"{model}.md").read_text(encoding="utf-8")
    named = re.search(r"\*\*Learned from\*\* \(sets: ([^)]*)\)", card)
    assert named is not None, "write (sets: ...) after **Learned from**"
    assert tuple(re.findall(r"`([^`]*)`", named[1])) == read_checkpoint(model).config.learned


def test_the_sets_are_there_as_described(shared_data):
    found, missing = find_sets(shared_data, [*SETS])
    assert missing == []
    for one in found:
        clips = [clip for part in clips_of(shared_data, one).values() for clip in part]
        assert len(clips) > 10
        labels = {label for clip in clips for label in clip.labels}
        assert all(one.action_of(label, ["fight", "fall"]) is None for label in ("normal", "background"))
        if one.shows:
            shown = {n for p, names in one.shows.items() for n in (p, *names)}
            assert any(one.action_of(label, sorted(shown)) for label in labels)
