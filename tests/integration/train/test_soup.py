"""Models that learn apart from one beginning become one; it is stopped and taken up as a single run is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from streamrec.errors import DataError
from streamrec.nn.model import ActionModel
from streamrec.runtime.checkpoint import save_model
from streamrec.train.fit import Progress, TrainSettings
from streamrec.train.quick_eval import accuracies, play
from streamrec.train.soup import mean_of
from tests.helpers.training import fit, fit_soup
from tests.integration.train.test_fit import CONFIG, blob, same, stop_at

QUICK = TrainSettings(steps=4, streams=4, window=6, soup=2)


@pytest.fixture(scope="module")
def blobs():
    return [blob(direction, seed) for direction in (-1, 1) for seed in range(8)]


@pytest.fixture(scope="module")
def begun(blobs, tmp_path_factory) -> str:
    """A model that has learned a little."""
    path = tmp_path_factory.mktemp("begun") / "begun.safetensors"
    save_model(path, fit(blobs, CONFIG, replace(QUICK, soup=1)))
    return str(path)


def test_a_soup_has_the_mean_weights_of_its_members(blobs, begun):
    soup = fit_soup(blobs, CONFIG, QUICK, weights=begun)
    members = [fit(blobs, CONFIG, QUICK, member=n, weights=begun) for n in range(2)]
    assert not same(*members)
    assert same(soup, mean_of(members))
    assert not soup.training


def test_the_mean_of_weights_is_taken_of_the_norms_statistics_too(blobs):
    one, two = ActionModel(CONFIG), ActionModel(CONFIG)
    name = next(name for name in one.state_dict() if name.endswith("running_mean"))
    one.state_dict()[name].fill_(1.0)
    two.state_dict()[name].fill_(3.0)
    assert mean_of([one, two]).state_dict()[name].unique().tolist() == [2.0]


def test_a_soup_of_one_is_the_model_itself(blobs):
    settings = replace(QUICK, soup=1)
    assert same(fit_soup(blobs, CONFIG, settings), fit(blobs, CONFIG, settings))


def test_no_member_of_one_seed_is_a_member_of_another(blobs, begun):
    found = [
        fit(blobs, CONFIG, replace(QUICK, seed=seed), member=member, weights=begun)
        for seed in (0, 1)
        for member in (0, 1)
    ]
    assert not any(same(a, b) for n, a in enumerate(found) for b in found[:n])


def test_new_labels_are_learned_from_one_beginning_too(blobs, begun):
    """The new head begins at random, but alike."""
    others = replace(CONFIG, labels=("leftwards", "rightwards"))
    still = replace(QUICK, learning_rate=0.0)
    a, b = (fit(blobs, others, still, member=n, weights=begun).head for n in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_models_that_begin_at_random_are_not_averaged(blobs, weights):
    with pytest.raises(DataError, match="give --weights"):
        fit_soup(blobs, CONFIG, QUICK, weights=weights)


def test_progress_is_told_as_of_one_run(blobs, begun):
    told: list[Progress] = []
    fit_soup(blobs, CONFIG, QUICK, weights=begun, on_progress=told.append)
    assert [each.step for each in told] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {each.steps for each in told} == {8}


@pytest.mark.parametrize("step", [2, 4, 5, 7])
def test_a_soup_that_was_stopped_goes_on_bit_for_bit(blobs, begun, tmp_path, step):
    resumes = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(KeyboardInterrupt):
        fit_soup(blobs, CONFIG, QUICK, weights=begun, resumes=resumes, on_progress=stop_at(step))
    told: list[Progress] = []
    soup = fit_soup(blobs, CONFIG, QUICK, weights=begun, resumes=resumes, on_progress=told.append)
    assert told[0].step == step + 1
    assert same(soup, fit_soup(blobs, CONFIG, QUICK, weights=begun))


@pytest.mark.slow
def test_a_soup_of_models_that_have_learned_has_learned(blobs, tmp_path):
    learning = TrainSettings(steps=80, streams=8, window=12, average=0.95)
    learning = replace(learning, augmentation=replace(learning.augmentation, flip=False))
    path = tmp_path / "begun.safetensors"
    save_model(path, fit(blobs, CONFIG, learning))
    soup = fit_soup(blobs, CONFIG, replace(learning, steps=25, soup=3), weights=str(path))
    others = [blob(direction, seed) for direction in (-1, 1) for seed in range(100, 110)]
    _, at_end = accuracies(play(soup, each) for each in others)
    assert at_end > 0.85
