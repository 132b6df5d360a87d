"""The keypoint encoder: whom it follows, body units, and frames that agree with clips."""

import itertools

import numpy as np
import pytest
import torch

from streamrec.errors import ModelError
from streamrec.nn.encoders import make_encoder
from streamrec.train.joints import sequences
from tests.helpers.checks import assert_close

HEIGHT, WIDTH = 192, 256
LEFT_WRIST, RIGHT_WRIST = 9, 10
SEEN, CENTER = -4, slice(138, 140)  # places in the features: whether somebody is seen; where they are


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return make_encoder("person-joints", height=HEIGHT, width=WIDTH).eval()


@pytest.fixture(scope="module")
def scenes() -> torch.Tensor:
    """(4, 40, 6 * 56) of drawn scenes."""
    found = itertools.islice(sequences("webcam", 2, fps=(10.0, 10.0)), 4)
    return torch.stack([torch.from_numpy(scene.people[:40]).flatten(1) for scene in found])


def standing(y: float = 0.3, x: float = 0.5, size: float = 0.3, score: float = 0.8) -> np.ndarray:
    """(56,) of somebody whose shoulders' middle is at y, x; ``size``: trunk, in heights of the image."""
    in_body = (
        ((-0.5, 0), (-0.55, 0.07), (-0.55, -0.07), (-0.5, 0.15), (-0.5, -0.15), (0, 0.35), (0, -0.35), (0.6, 0.45),
         (0.6, -0.45), (1.1, 0.45), (1.1, -0.45), (1, 0.22), (1, -0.22), (1.9, 0.2), (1.9, -0.2), (2.7, 0.2),
         (2.7, -0.2))
    )  # fmt: skip
    places = np.array((y, x)) + np.array(in_body) * (size, size * HEIGHT / WIDTH)
    joints = np.concatenate([places, np.full((17, 1), score)], axis=1).ravel()
    return np.concatenate([joints, places.min(0), places.max(0), [score]]).astype(np.float32)


def played(encoder, people: np.ndarray, elapsed: float = 1.0) -> torch.Tensor:
    """(T, P, 56) -> features (T, F) from the initial state."""
    whole = torch.zeros(1, len(people), 6, 56)
    whole[0, :, : people.shape[1]] = torch.from_numpy(people)
    log_elapsed = torch.full((1, len(people)), float(np.log(elapsed)))
    fresh = torch.zeros(1, len(people), dtype=torch.bool)
    images = torch.zeros(1, len(people), 3, 0, 0)
    cache = encoder.initial_cache(1, HEIGHT, WIDTH)
    return encoder(images, log_elapsed, fresh, cache, whole.flatten(2))[0][0]


@torch.inference_mode()
def test_frames_and_clips_agree_and_a_cut_begins_anew(encoder, scenes):
    log_elapsed, fresh = torch.zeros(4, 40), torch.zeros(4, 40, dtype=torch.bool)
    log_elapsed[:, 7], fresh[0, 20] = 0.7, True
    images = torch.zeros(4, 40, 3, 0, 0)
    whole, after = encoder(images, log_elapsed, fresh, encoder.initial_cache(4, HEIGHT, WIDTH), scenes)
    cache, found = encoder.initial_cache(4, HEIGHT, WIDTH), []
    for t in range(40):
        part = slice(t, t + 1)
        given = images[:, part], log_elapsed[:, part], fresh[:, part], cache, scenes[:, part]
        features, cache = encoder(*given)
        found.append(features)
    assert whole.shape == (4, 40, encoder.feature_size) and torch.isfinite(whole).all()
    assert_close(torch.cat(found, 1), whole, 1e-5)
    for one, other in zip(cache, after, strict=True):
        assert_close(one, other, 1e-5)
    new = encoder.initial_cache(1, HEIGHT, WIDTH)
    anew, _ = encoder(images[:1, 20:], log_elapsed[:1, 20:], fresh[:1, 20:] & False, new, scenes[:1, 20:])
    assert_close(whole[:1, 20:], anew, 1e-5)


@torch.inference_mode()
def test_features_of_the_backbone_may_be_known_already():
    encoder = make_encoder("person-joints", height=64, width=96).eval()
    images, none = torch.rand(1, 3, 3, 64, 96) * 2 - 1, torch.zeros(1, 3)
    seen = encoder.backbone_features(images.flatten(0, 1)).unsqueeze(0)
    cache = encoder.initial_cache(1, 64, 96)
    whole, _ = encoder(images, none, none.bool(), cache)
    known, _ = encoder(images, none, none.bool(), cache, seen)
    assert seen.shape == (1, 3, 6 * 56)
    assert_close(known, whole, 1e-5)


@torch.inference_mode()
def test_a_posture_is_the_same_wherever_and_however_large_it_is(encoder):
    near = played(encoder, np.stack([standing(0.3, 0.5, 0.25)] * 30)[:, None])
    far = played(encoder, np.stack([standing(0.2, 0.3, 0.1)] * 30)[:, None])
    assert_close(near[-1, :100], far[-1, :100], 1e-4)
    assert not torch.allclose(near[-1, CENTER], far[-1, CENTER])


@torch.inference_mode()
def test_the_person_followed_is_not_exchanged_for_one_who_is_larger_and_surer(encoder):
    mine = np.stack([standing(0.3, 0.25, 0.12, 0.6)] * 40)
    people = np.stack([mine, np.zeros_like(mine)], axis=1)
    people[20:, 1] = standing(0.2, 0.75, 0.25, 0.9)
    alone = played(encoder, people[:, :1])
    assert_close(played(encoder, people)[:, :100], alone[:, :100], 1e-5)


@torch.inference_mode()
def test_who_is_lost_for_moments_is_waited_for_and_who_is_gone_is_not(encoder):
    one, other = standing(0.3, 0.25, 0.15), standing(0.3, 0.8, 0.15)
    people = np.stack([np.stack([one, other])] * 40)
    people[:, 1, -1] = 0.5
    people[10:13, 0] = 0.0  # three frames
    people[25:, 0] = 0.0
    features = played(encoder, people)
    assert (features[10:13, SEEN] == 0).all() and features[13, SEEN] > 0
    assert features[13:25, CENTER][:, 1].max() < 0 < features[-1, CENTER][1]
    assert features[26, SEEN] == 0 < features[-1, SEEN]


@torch.inference_mode()
def test_unsure_keypoints_keep_their_place_for_a_while_and_fade(encoder):
    people = np.stack([standing()] * 60)
    people[20:, 3 * LEFT_WRIST : 3 * LEFT_WRIST + 3] = 0.9, 0.1, 0.05  # anywhere, with a low score
    features = played(encoder, people[:, None])
    wrist = features[:, 2 * LEFT_WRIST : 2 * LEFT_WRIST + 2]
    assert (wrist[20] - wrist[19]).abs().max() < 0.2
    assert wrist[-1].abs().max() < 0.1
    steady = features[:, : 2 * LEFT_WRIST]
    assert_close(steady[-1], steady[19], 1e-3)


@torch.inference_mode()
def test_velocities_are_by_the_clock(encoder):
    def moving(step: float) -> np.ndarray:
        people = np.stack([standing()] * 20)
        people[:, 3 * RIGHT_WRIST] -= step * np.arange(20)
        return people[:, None]

    velocity = 100 + 2 * RIGHT_WRIST
    usual, slow = played(encoder, moving(0.01)), played(encoder, moving(0.02), elapsed=2.0)
    assert usual[-1, velocity] < -0.05
    assert_close(slow[-1, velocity], usual[-1, velocity], 1e-3)
    assert played(encoder, moving(0.0))[-1, 100:138].abs().max() < 1e-4


@torch.inference_mode()
def test_nobody_gives_nothing(encoder):
    assert played(encoder, np.zeros((5, 1, 56), np.float32)).abs().max() == 0.0


def test_a_size_that_the_backbone_cannot_take_is_refused():
    with pytest.raises(ModelError, match="multiples of 32, not 100x64"):
        make_encoder("person-joints", height=64, width=100)
