"""Which settings are in force: one place says it, to the watch, the page and its previews."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamrec.errors import SettingsError
from streamrec.settings.resolve import (
    Following,
    InForce,
    Running,
    check,
    config_of,
    events_of,
    follows,
    model_config,
    notes_on,
    resolve,
)
from streamrec.settings.tuned_file import DEFAULT_MODEL, Tuned

PLAIN = '[[camera]]\nname = "door"\naddress = "0"\n'


def in_force(folder: Path, text: str, **given) -> InForce:
    path = folder / "cameras.toml"
    path.write_text(text, encoding="utf-8")
    return InForce(path=path, environment={}, **given)


def test_a_camera_stands_before_its_defaults_these_before_the_tuned_file_and_that_before_the_model(tmp_path):
    tuned = Tuned(model="workout", fps=5.0, threads=2)
    for text, model, fps in (
        (PLAIN, "workout", 5.0),
        ('[defaults]\nmodel = "fall"\n' + PLAIN, "fall", None),
        ("[defaults]\nfps = 4\n" + PLAIN, "workout", 4.0),
        (PLAIN + 'model = "fall"\n', "fall", None),
        (PLAIN + "fps = 3\n", "workout", 3.0),
    ):
        (camera,) = in_force(tmp_path, text, tuned=tuned).read().cameras
        assert (camera.model, camera.fps) == (model, fps)
    (camera,) = in_force(tmp_path, PLAIN).read().cameras
    assert (camera.model, camera.fps) == (DEFAULT_MODEL, None)


def test_the_tuned_file_says_how_its_own_model_runs_and_no_other(tmp_path):
    asked = in_force(
        tmp_path, PLAIN, tuned=Tuned(model="workout", engine="torch", threads=2), engine="onnx", threads=1
    )
    assert asked.running("workout") == Running(model="workout", engine="torch", threads=2)
    assert asked.running("fall") == Running(model="fall", engine="onnx", threads=1)
    # What an option says was taken out of the tuned file before: cli._tuned.
    given = Running(model="fight", engine="onnx", fps=7.0)
    assert resolve(given, Tuned(model="fall")) == Running(model="fall", engine="onnx", fps=7.0)
    assert resolve(given, Tuned()) == given


def test_people_are_followed_and_judged_where_that_is_best_or_was_asked_for():
    both, seen, neither = Following(people=True, per_person=True), Following(people=True), Following()
    for models, people, per_person, wanted in (
        (["webcam"], None, None, both),
        (["fall"], None, None, both),
        (["fight"], None, None, neither),
        (["fight", "fall"], None, None, both),
        (["workout"], None, None, seen),
        (["workout"], None, True, both),
        (["webcam"], None, False, seen),
        (["webcam"], False, None, neither),
        (["webcam"], False, True, both),
        (["fight"], True, None, seen),
        (["synthetic"], None, None, neither),
    ):
        assert follows(models, people, per_person) == wanted, (models, people, per_person)


def test_thresholds_are_those_of_the_camera_then_the_defaults_then_the_model(tmp_path):
    asked = in_force(tmp_path, "[defaults]\nenter = 0.9\nleave = 0.2\n" + PLAIN + "leave = 0.3\n")
    file = asked.read()
    (camera,) = file.cameras
    own = model_config(DEFAULT_MODEL).events
    events = events_of(camera, config_of(camera, file), file)
    assert (events.enter, events.leave, events.shortest) == (0.9, 0.3, own.shortest)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PLAIN + "enter = 0.2\nleave = 0.9\n", "thresholds: leave is 0.9 and enter is 0.2"),
        (PLAIN + "still = 100\n", "still: a still scene cannot be recognized every 100 s"),
        (PLAIN + "[camera.by_label.figth]\nenter = 0.9\n", "by_label: figth: .*; did you mean fight?"),
        (PLAIN + "[camera.by_label.fight]\nenter = 0.1\n", "thresholds: label 'fight': leave is"),
        (PLAIN + 'model = "nonsense"\n', "model: there is no model 'nonsense'"),
        ("[defaults.by_label.figth]\nenter = 0.9\n" + PLAIN, r"\[defaults\]: by_label: figth: .* did you mean fight?"),
    ],
)  # fmt: skip
def test_what_a_start_refuses_is_refused_without_one(tmp_path, text, says):
    with pytest.raises(SettingsError, match=says):
        check(in_force(tmp_path, text).read())
    off = text.replace('address = "0"\n', 'address = "0"\nenabled = false\n')
    check(in_force(tmp_path, off).read())  # a start does not look at it


def test_labels_of_the_defaults_may_be_another_cameras(tmp_path):
    other = PLAIN.replace("door", "gym") + 'model = "workout"\n'
    check(in_force(tmp_path, "[defaults.by_label.fight]\nenter = 0.9\n" + PLAIN + other).read())


def test_a_background_label_that_nobody_has_is_told_and_passed_over(tmp_path):
    file = in_force(tmp_path, PLAIN + 'background = ["normla"]\n').read()
    check(file)
    (note,) = notes_on(file, {DEFAULT_MODEL: model_config(DEFAULT_MODEL)})
    assert (
        "camera 'door': background: normla: there is no such label of the model; did you mean normal?" in note
    )


def test_a_model_that_was_written_again_is_read_again(tmp_path, tiny_file):
    path = tmp_path / "own.safetensors"
    path.write_bytes(tiny_file.read_bytes())
    first = model_config(str(path))
    assert model_config(str(path)) is first
    path.write_bytes(Path(tiny_file).read_bytes().replace(b'\\"fps\\": 10.0', b'\\"fps\\": 12.0'))
    assert model_config(str(path)).fps == 12.0
