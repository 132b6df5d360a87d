"""How unlike a picture is to those that were learned from."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from streamrec import Frame, Recognizer
from streamrec.core.state import State, stack, unstack
from streamrec.errors import DataError
from streamrec.nn.config import ModelConfig
from streamrec.nn.ood import NUMBERS, KnownFeatures, KnownPictures, appearance_of
from streamrec.runtime.checkpoint import find_model, read_checkpoint, save_with, shipped_models


def dim(count: int, seed: int = 0) -> np.ndarray:
    """(N, 3, 64, 80) pictures of a dark place; each has a brightness of its own."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(20, 60, (count, 1, 1, 1))
    return (light + rng.normal(0, 5, (count, 3, 64, 80))).clip(0, 255).astype(np.uint8)


def known(groups: int = 10) -> KnownPictures:
    return KnownPictures.of([appearance_of(dim(8, seed)) for seed in range(groups)], range(groups))


def test_more_of_the_same_is_known_and_another_look_is_not() -> None:
    assert (known().ood_scores(dim(50, seed=99)) < 1).mean() > 0.8
    assert (known().ood_scores(255 - dim(50, seed=99)) > 1).all()
    assert (known().ood_scores(np.full((2, 3, 64, 80), 40, np.uint8)) > 1).all()


def test_the_border_is_found_by_groups_that_were_left_out() -> None:
    """Ten groups that have nothing in common: what was not fitted to is far, so the border is too."""
    far_apart = [appearance_of(np.full((8, 3, 64, 80), 25 * n, np.uint8) + dim(8, n) // 8) for n in range(10)]
    own = KnownPictures.of(far_apart, range(10))
    one_group = KnownPictures.of(far_apart, [0] * 10)
    assert max(own.distances(looks).max() for looks in far_apart) <= 1
    assert one_group == own  # recordings are left out where there is one group


def test_each_recording_weighs_the_same() -> None:
    long, short = appearance_of(dim(64, 1)), appearance_of(dim(8, 2))
    repeated = np.concatenate([short] * 8)
    once, again = (KnownPictures.of([long, part], ["a", "b"]) for part in (short, repeated))
    assert np.allclose(once.mean, again.mean, rtol=1e-3)


def test_one_recording_alone_and_black_pictures_give_finite_numbers() -> None:
    black = np.zeros((3, 3, 8, 8), np.uint8)
    alone = KnownPictures.of([appearance_of(black)], ["a"])
    assert np.isfinite(alone.ood_scores(black)).all()
    assert np.isfinite(alone.ood_scores(255 - black)).all()
    assert appearance_of(black[:, :, :1, :2].repeat(2, 2)).shape == (3, NUMBERS)


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(DataError, match="no picture"):
        KnownPictures.of([], [])


def test_it_survives_json_in_a_config() -> None:
    config = ModelConfig(labels=("a", "b"), known=known())
    again = ModelConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert len(json.dumps(asdict(known()))) < 6000


def test_a_config_of_an_older_file_knows_nothing() -> None:
    values = ModelConfig(labels=("a", "b")).to_dict()
    del values["known"]
    assert ModelConfig.from_dict(values).known is None


def features(count: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (count, 480))


def test_features_of_another_group_are_known_and_a_shift_in_many_of_them_is_not() -> None:
    me = [features(8, seed=n) for n in range(9)]
    own = KnownFeatures.of(me, ["me"] * 9)
    assert (own.ood_scores(features(50, shift=0.1, seed=99)) < 1).all()
    assert (own.ood_scores(features(50, shift=1.5, seed=98)) > 1).all()
    assert own.ood_scores(np.zeros((2, 500))).shape == (2,)  # a backbone's features may go on with others
    with pytest.raises(DataError, match="no picture"):
        KnownFeatures.of([], [])


def test_the_border_of_features_lies_beyond_what_was_left_out() -> None:
    """Groups that have nothing in common: what was not fitted to is far, and so is the border."""
    apart = [features(8, shift=n, seed=n) for n in range(6)]
    groups = KnownFeatures.of(apart, range(6))
    assert max(groups.ood_scores(each).max() for each in apart) <= 1
    still = KnownFeatures.of([np.ones((4, 480))] * 3, ["a", "b", "c"])
    assert np.isfinite(still.ood_scores(np.zeros((1, 480)))).all()


def test_known_features_survive_json_in_a_config_and_damaged_ones_are_refused() -> None:
    config = ModelConfig(labels=("a", "b"), known=KnownFeatures.of([features(8)], ["a"]))
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    for mean, scale in (((), ()), ((1.0,), (1.0, 2.0)), ((float("nan"),), (1.0,))):
        with pytest.raises(ValueError, match="known features"):
            KnownFeatures(mean, scale)


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "knowing.safetensors"
    save_with("fight", path, known=known())
    return str(path)


def frames(count: int = 3, add: int = 0) -> list[Frame]:
    pictures = np.moveaxis(dim(count, seed=7), 1, -1)[..., ::-1] + np.uint8(add)
    return [Frame(np.ascontiguousarray(picture), n, n / 15) for n, picture in enumerate(pictures)]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_prediction_tells_it_whatever_the_engine(knowing: str, engine: str) -> None:
    recognizer = Recognizer.load(knowing, engine=engine)
    state = recognizer.initial_state()
    for frame in frames():
        prediction, state = recognizer.step(frame, state)
        wanted = recognizer.config.known.ood_scores(recognizer.config.transform(frame.image)[None])
        assert prediction.strangeness == pytest.approx(float(wanted[0]))


def test_many_streams_in_one_pass_are_told_as_each_alone(knowing: str) -> None:
    recognizer = Recognizer.load(knowing)
    dark, bright = frames(1)[0], frames(1, add=150)[0]
    states = [recognizer.initial_state(), recognizer.initial_state()]
    (one, _), (other, _) = recognizer.step_many([dark, bright], states)
    assert one.strangeness == pytest.approx(recognizer.step(dark, states[0])[0].strangeness)
    assert other.strangeness == pytest.approx(recognizer.step(bright, states[1])[0].strangeness)
    assert other.strangeness > 1


def test_what_was_said_of_it_is_kept_in_the_state(knowing: str) -> None:
    recognizer = Recognizer.load(knowing)
    prediction, state = recognizer.step(frames(1)[0], recognizer.initial_state())
    again = State.from_bytes(state.to_bytes())
    assert again.strangeness == prediction.strangeness
    both = stack([state, again])
    assert [float(one.strangeness[0]) for one in unstack(both)] == [prediction.strangeness] * 2


def test_a_state_from_before_goes_on_with_a_model_that_knows(knowing: str) -> None:
    recognizer = Recognizer.load(knowing)
    older = replace(recognizer.initial_state(), strangeness=None)
    told = recognizer.step_many(frames(2), [older, recognizer.initial_state()])
    assert None not in [prediction.strangeness for prediction, _ in told]


def test_a_model_that_knows_nothing_says_nothing_of_it() -> None:
    recognizer = Recognizer.load("synthetic")
    prediction, state = recognizer.step(frames(1)[0], recognizer.initial_state())
    assert prediction.strangeness is None
    assert state.strangeness is None


def test_the_network_stays_as_it_is_to_the_bit(knowing: str) -> None:
    before, after = read_checkpoint("fight"), read_checkpoint(knowing)
    assert before.graph == after.graph
    assert all((before.weights[name] == value).all() for name, value in after.weights.items())
    assert abs(find_model(knowing).stat().st_size - find_model("fight").stat().st_size) < 6000


def test_no_shipped_model_calls_other_places_unknown() -> None:
    """They are for places that they never saw: an appearance learned from a few would be no measure of these."""
    configs = [read_checkpoint(name).config for name in shipped_models()]
    assert [(config.known, config.events.strangest) for config in configs] == [(None, 0.0)] * len(configs)
