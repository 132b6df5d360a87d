"""``models`` and ``by_model`` of cameras.toml: several models on one camera."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamrec.errors import SettingsError
from streamrec.settings.cameras_file import CameraSettings, WatchFile
from streamrec.settings.resolve import InForce, check, configs_of, events_by_model, model_config, notes_on
from streamrec.settings.tuned_file import Tuned

PLAIN = '[[camera]]\nname = "door"\naddress = "0"\n'
BOTH = PLAIN + 'models = ["fight", "fall"]\n'


def read(folder: Path, text: str, **given) -> WatchFile:
    path = folder / "cameras.toml"
    path.write_text(text, encoding="utf-8")
    return InForce(path=path, environment={"WHICH": "fall"}, **given).read()


def camera(folder: Path, text: str, **given) -> CameraSettings:
    (found,) = read(folder, text, **given).cameras
    return found


def test_a_camera_has_its_own_model_or_models_or_else_those_of_the_defaults(tmp_path):
    for text, models in (
        (BOTH, ("fight", "fall")),
        (PLAIN + 'models = ["fall"]\n', ("fall",)),
        ('[defaults]\nmodels = ["fall", "workout"]\n' + PLAIN, ("fall", "workout")),
        ('[defaults]\nmodels = ["fall", "workout"]\n' + PLAIN + 'model = "fight"\n', ("fight",)),
        ('[defaults]\nmodel = "workout"\n' + BOTH, ("fight", "fall")),
        (PLAIN + 'models = ["fight", "${WHICH}"]\n', ("fight", "fall")),
    ):
        assert camera(tmp_path, text).models == models
    own = camera(tmp_path, PLAIN + 'models = ["fight", "own/yard.safetensors"]\n')
    assert own.models == ("fight", str(tmp_path / "own" / "yard.safetensors"))
    assert own.names == ["fight", "yard"]


def test_what_was_tuned_for_one_model_is_not_for_several(tmp_path):
    tuned = Tuned(model="fight", fps=5.0)
    assert camera(tmp_path, BOTH, tuned=tuned).fps is None
    assert camera(tmp_path, PLAIN + 'models = ["fight"]\n', tuned=tuned).fps == 5.0
    assert camera(tmp_path, BOTH + "fps = 3\n", tuned=tuned).fps == 3.0


def test_a_change_of_the_models_is_a_change_of_the_camera(tmp_path):
    assert camera(tmp_path, BOTH) != camera(tmp_path, PLAIN + 'models = ["fall", "fight"]\n')
    assert camera(tmp_path, BOTH) != camera(tmp_path, BOTH + "[camera.by_model.fall]\nenter = 0.9\n")


def test_settings_are_those_of_the_model_on_this_camera_then_the_camera_then_the_model(tmp_path):
    text = BOTH + (
        "leave = 0.3\n[camera.by_label.normal]\nenter = 0.95\n"
        '[camera.by_model.fall]\nenter = 0.9\nbackground = ["normal", "sit"]\n'
        "[camera.by_model.fall.by_label.fall]\nshortest = 2\n"
    )
    file = read(tmp_path, text)
    (door,) = file.cameras
    events = events_by_model(door, configs_of(door, file), file)
    own = {name: model_config(name).events for name in ("fight", "fall")}
    assert list(events) == ["fight", "fall"]
    assert (events["fight"].enter, events["fight"].leave) == (own["fight"].enter, 0.3)
    assert (
        events["fight"].of("normal").enter == 0.95 and events["fight"].background == own["fight"].background
    )
    assert (events["fall"].enter, events["fall"].leave) == (0.9, 0.3)
    assert events["fall"].of("fall").shortest == 2 and events["fall"].of("normal").enter == 0.9
    assert events["fall"].background == ("normal", "sit")
    check(file)


def test_by_model_holds_for_a_camera_with_one_model_too(tmp_path):
    file = read(
        tmp_path,
        "[defaults.by_model.fall]\nenter = 0.9\n"
        + PLAIN
        + 'model = "fall"\n'
        + PLAIN.replace("door", "yard")
        + 'model = "fight"\n',
    )
    door, yard = (events_by_model(one, configs_of(one, file), file) for one in file.cameras)
    assert door["fall"].enter == 0.9 and yard["fight"].enter == model_config("fight").events.enter
    check(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOTH + 'model = "fight"\n', "camera 'door': models: there is a model too; give one of them"),
        ('[defaults]\nmodel = "a"\nmodels = ["b"]\n' + PLAIN, "[defaults]: models: there is a model too"),
        (PLAIN + "models = []\n", 'models: give a list like ["fight", "fall"], not []'),
        (PLAIN + 'models = "fight"\n', "models: give a list like"),
        (PLAIN + 'models = ["fight", 3]\n', "models: give a list like"),
        (PLAIN + 'models = ["fight", ""]\n', "models: give a list like"),
        (PLAIN + 'models = ["fight", "${NONE}"]\n', "models: the environment has no NONE"),
        (PLAIN + 'models = ["fall", "fight", "fall"]\n', "models: two of the models are called fall"),
        (PLAIN + 'models = ["fall", "own/fall.onnx"]\n', "models: two of the models are called fall"),
        (
            PLAIN + f"models = {[str(n) for n in range(17)]}\n",
            "models: 17 models on one stream; give at most 16",
        ),
        (PLAIN + 'modells = ["fight"]\n', "modells: there is no such key; did you mean models?"),
        (BOTH + "by_model = 3\n", "by_model: it is no table of tables; write [camera.by_model.fight]"),
        (BOTH + "[camera.by_model.fall]\nentre = 0.9\n", "by_model: fall: entre: there is no such key"),
        (
            BOTH + "[camera.by_model.fall]\nenter = 9\n",
            "by_model: fall: enter: give a number from 0.001 to 1",
        ),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, text, message):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


FALL = BOTH + "[camera.by_model.fall"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN + 'models = ["fight", "fal"]\n', "camera 'door': models: there is no model 'fal'"),
        (
            BOTH + "[camera.by_model.fal]\nenter = 0.9\n",
            "by_model: fal: there is no such model of this camera",
        ),
        (FALL + ".by_label.fight]\nenter = 0.9\n", "by_model: fall: by_label: fight: there is no such label"),
        (BOTH + "[camera.by_label.figth]\nenter = 0.9\n", "label of the model; did you mean fight?"),
        (FALL + "]\nenter = 0.2\nleave = 0.5\n", "by_model: fall: leave is 0.5 and enter is 0.2"),
        (BOTH + "still = 100\n", "still: "),
        (
            "[defaults.by_model.fal]\nenter = 0.9\n" + BOTH,
            "[defaults]: by_model: fal: there is no such model",
        ),
    ],
)
def test_what_the_models_do_not_have_is_told_before_they_run(tmp_path, text, message):
    file = read(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        check(file)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_background_that_one_of_the_models_has_is_no_mistake(tmp_path):
    configs = {name: model_config(name) for name in ("fight", "fall")}
    assert notes_on(read(tmp_path, BOTH + 'background = ["normal", "fall"]\n'), configs) == []
    (note,) = notes_on(read(tmp_path, BOTH + 'background = ["normal", "sit"]\n'), configs)
    assert "background: sit" in note
