"""Named settings, what is given before them, and what a model's weights bring along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from streamrec.data.clips import Clip
from streamrec.errors import DataError, ModelError
from streamrec.nn.transforms import Transform
from streamrec.runtime.checkpoint import read_checkpoint, shipped_models
from streamrec.train import recipes
from streamrec.train.fit import TrainSettings
from streamrec.train.recipes import RECIPES, choose_recipe, put_together
from streamrec.types import VIDEO


def test_without_a_name_it_is_the_plain_settings():
    config, settings, weights = put_together()
    assert settings == TrainSettings()
    assert (config.encoder, config.transform.width, config.fps, config.max_gap) == ("motion", 80, 10.0, 2.0)
    assert weights is None


def test_what_is_given_goes_before_the_recipe():
    config, settings, _ = put_together("fight", config={"hidden_size": 8}, settings={"steps": 5}, flip=False)
    assert (config.hidden_size, settings.steps, settings.window) == (8, 5, 24)
    assert settings.augmentation is not None
    assert not settings.augmentation.flip


def test_each_shipped_model_has_its_recipe():
    assert set(shipped_models()) <= set(RECIPES)


@pytest.mark.parametrize("name", shipped_models())
def test_the_recipe_of_a_shipped_model_is_the_shape_of_that_model(name):
    config, _, weights = put_together(name)
    shipped = read_checkpoint(name).config
    for field in ("encoder", "fps", "hidden_size", "dropout", "about"):
        assert getattr(config, field) == getattr(shipped, field), field
    if shipped.transform.sense == VIDEO:  # of the others it follows from the data
        assert config.transform.shape == shipped.transform.shape
    assert weights in (None, "imagenet") or weights.endswith(".safetensors")


def test_an_unknown_name_gets_the_list():
    with pytest.raises(DataError, match=r"no recipe 'figth'; there are: .*fight \(the shipped model fight\)"):
        put_together("figth")


def test_a_models_weights_bring_its_encoder_size_and_rhythm(tiny_file):
    config, _, weights = put_together(weights="synthetic")
    assert (config.encoder, config.fps) == ("difference", 15.0)
    assert weights is not None
    assert weights.endswith("synthetic.safetensors")
    config, _, _ = put_together(weights=str(tiny_file), config={"fps": 5.0})
    assert (config.transform.width, config.fps) == (32, 5.0)
    assert put_together(weights="imagenet")[2] == "imagenet"


def test_weights_that_are_not_there_are_said():
    with pytest.raises(ModelError, match="there is no model 'figth'; the shipped ones are"):
        put_together(weights="figth")


def test_a_slow_rhythm_bears_a_longer_gap():
    assert put_together(config={"fps": 2.0})[0].max_gap == 2.5


def test_an_encoder_that_knows_imagenet_is_given_larger_pictures_where_nobody_says_otherwise():
    assert put_together(config={"encoder": "joint"})[0].transform.width == 160
    small = Transform(width=96, height=64)
    assert put_together(config={"encoder": "joint", "transform": small})[0].transform == small
    assert put_together(config={"encoder": "motion"})[0].transform.width == 80


def clips(count, **more):
    return [Clip(Path(f"{n}.mp4"), "wave", f"g{n % 3}", **more) for n in range(count)]


@pytest.fixture
def people(tiny_file, monkeypatch):
    """Every model is one of the person backbone, as far as the choice can tell."""
    known = read_checkpoint(tiny_file)
    monkeypatch.setattr(
        recipes, "read_checkpoint", lambda _: replace(known, config=replace(known.config, encoder="person"))
    )


def test_few_clips_of_what_people_do_are_learned_over_the_person_backbone(people):
    assert [choose_recipe(clips(n))[0] for n in (1, 60, 61, 600, 601)] == ["people"] * 4 + ["many"]
    _, why = choose_recipe(clips(9))
    assert why.startswith("9 clips of 3 groups: recipe people (")
    long = Clip(Path("long.mp4"), None, "g", tuple((n, n + 1.0, "wave") for n in range(700)))
    assert choose_recipe([long])[0] == "many"  # each of its segments counts


@pytest.mark.parametrize(
    "given",
    [{"steps": 20}, {"encoder": "motion"}, {"size": "80x64"}, {"count": "wave"}, {"weights": "imagenet"}],
)
def test_what_asks_for_a_network_trained_in_steps_gets_one(people, given):
    assert [choose_recipe(clips(n), given)[0] for n in (1, 60, 61, 600, 601)] == [
        "handful", "handful", "few", "few", "many",
    ]  # fmt: skip
    assert choose_recipe(clips(9), dict.fromkeys(given))[0] == "people"


def test_weights_of_another_network_are_learned_from_in_steps():
    assert choose_recipe(clips(9), {"weights": "synthetic"})[0] == "handful"
    assert choose_recipe(clips(9), {"weights": "nowhere"})[0] == "handful"  # read later, and reported there


def test_the_recipe_people_names_what_learns_in_its_place():
    assert RECIPES["people"].otherwise in RECIPES
    assert RECIPES["people"].config["head"] == "statistics"
    assert RECIPES["people"].settings.linear.late == 1.0


def test_what_is_given_goes_before_the_recipe_that_was_chosen():
    _, settings, _ = put_together("handful", settings={"steps": 7})
    assert (settings.steps, settings.streams) == (7, 8)


@pytest.mark.parametrize(
    "asked",
    [("fight", {}), ("fall", {}), ("workout", {}), ("people", {}), (None, {"encoder": "person-joints"})],
)
def test_an_encoder_that_knows_people_has_its_weights_without_being_asked_for_them(asked):
    name, config = asked
    weights = put_together(name, config=config)[2]
    assert weights is not None
    assert weights.endswith("fight.safetensors")
    assert put_together(name, config=config, weights="webcam")[2].endswith("webcam.safetensors")
