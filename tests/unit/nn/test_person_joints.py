"""Maps and keypoints of one pass: the features of both encoders, one after the other."""

import pytest
import torch

from streamrec.errors import ModelError
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders import make_encoder
from streamrec.nn.encoders.person_joints import NAME
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import Transform
from tests.helpers.checks import assert_close

SIZE = {"height": 64, "width": 96}


@pytest.fixture(scope="module")
def encoders():
    """The encoder, and the two whose features it gives, with the same backbone."""
    torch.manual_seed(0)
    both = make_encoder(NAME, **SIZE).eval()
    found = [both]
    for name in ("person-both", "person-joints"):
        other = make_encoder(name, **SIZE).eval()
        other.trunk.load_state_dict(both.trunk.state_dict())
        found.append(other)
    return found


def frames(steps: int = 4):
    images = torch.rand(2, steps, 3, 64, 96) * 2.0 - 1.0
    fresh = torch.zeros(2, steps, dtype=torch.bool)
    fresh[0, 2] = True
    return images, torch.zeros(2, steps), fresh


@torch.inference_mode()
def test_the_features_are_those_of_both_encoders(encoders):
    both, maps, joints = encoders
    clip = frames()
    found, after = both(*clip, both.initial_cache(2, 64, 96))
    one, kept = maps(*clip, maps.initial_cache(2, 64, 96))
    other, who = joints(*clip, joints.initial_cache(2, 64, 96))
    assert found.shape[-1] == both.feature_size == maps.feature_size + joints.feature_size
    assert_close(found, torch.cat([one, other], dim=-1), 1e-4)
    for mine, theirs in zip(after, (*kept, *who), strict=True):
        assert_close(mine, theirs, 1e-4)


@torch.inference_mode()
def test_frames_and_clips_agree_and_backbone_features_may_be_known(encoders):
    both, _, _ = encoders
    images, log_elapsed, fresh = frames()
    whole, _ = both(images, log_elapsed, fresh, both.initial_cache(2, 64, 96))
    seen = both.backbone_features(images.flatten(0, 1)).unflatten(0, (2, 4))
    known, _ = both(images, log_elapsed, fresh, both.initial_cache(2, 64, 96), seen)
    assert_close(known, whole, 1e-4)
    cache, found = both.initial_cache(2, 64, 96), []
    for t in range(4):
        part = slice(t, t + 1)
        features, cache = both(images[:, part], log_elapsed[:, part], fresh[:, part], cache)
        found.append(features)
    assert_close(torch.cat(found, 1), whole, 1e-4)


def test_an_ensemble_head_over_another_encoder_is_refused():
    config = ModelConfig(
        labels=("a", "b"), encoder="person", head="ensemble", transform=Transform(width=96, height=64)
    )
    with pytest.raises(ModelError, match="take the encoder person-both-joints"):
        ActionModel(config)


@torch.inference_mode()
def test_a_model_counts_by_the_phase_of_its_keypoints():
    config = ModelConfig(
        labels=("rest", "squat"),
        counted=("squat",),
        encoder=NAME,
        head="ensemble",
        transform=Transform(width=96, height=64),
    )
    model = ActionModel(config).eval()
    outputs, _ = model(torch.zeros(1, 2, 3, 64, 96, dtype=torch.uint8))
    logits, phase = model.split(outputs)
    assert logits.shape == (1, 2, 2) and phase.shape == (1, 2, 2)
