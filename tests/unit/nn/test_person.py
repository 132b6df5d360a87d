import numpy as np
import pytest
import torch

from streamrec.errors import ModelError
from streamrec.nn.encoders import make_encoder
from streamrec.nn.encoders.person import PERSONS
from tests.helpers.checks import assert_close


@pytest.fixture(scope="module", params=PERSONS)
def encoder(request):
    torch.manual_seed(0)
    return make_encoder(request.param, height=64, width=96).eval()


def frames(steps: int, streams: int = 2):
    images = torch.rand(streams, steps, 3, 64, 96) * 2.0 - 1.0
    return images, torch.zeros(streams, steps), torch.zeros(streams, steps, dtype=torch.bool)


@torch.inference_mode()
def test_frames_and_clips_agree_and_a_cut_begins_anew(encoder):
    images, log_elapsed, fresh = frames(4)
    fresh[0, 2] = True
    whole, after = encoder(images, log_elapsed, fresh, encoder.initial_cache(2, 64, 96))
    cache, found = encoder.initial_cache(2, 64, 96), []
    for t in range(4):
        part = slice(t, t + 1)
        features, cache = encoder(images[:, part], log_elapsed[:, part], fresh[:, part], cache)
        found.append(features)
    assert whole.shape == (2, 4, encoder.feature_size)
    assert_close(torch.cat(found, 1), whole, 1e-4)
    for one, other in zip(cache, after, strict=True):
        assert_close(one, other, 1e-4)
    anew, _ = encoder(
        images[:1, 2:], log_elapsed[:1, 2:], fresh[:1, 2:] | True, encoder.initial_cache(1, 64, 96)
    )
    assert_close(whole[:1, 2], anew[:, 0], 1e-4)


@torch.inference_mode()
def test_what_stands_still_has_no_change(encoder):
    images, log_elapsed, fresh = frames(1, streams=1)
    still = images.expand(-1, 3, -1, -1, -1)
    log_elapsed, fresh = log_elapsed.expand(-1, 3), fresh.expand(-1, 3)
    features, _ = encoder(still, log_elapsed, fresh, encoder.initial_cache(1, 64, 96))
    moved, _ = encoder(frames(3, streams=1)[0], log_elapsed, fresh, encoder.initial_cache(1, 64, 96))
    changes = np.flatnonzero(features[0, 2].abs().numpy() == 0.0)
    assert len(changes) >= encoder.feature_size // 2  # what is weighted by motion is zero too
    assert moved[0, 2, changes].abs().max() > 0.0


@torch.inference_mode()
def test_weighted_by_motion_the_features_are_those_of_the_cell_that_moves():
    torch.manual_seed(0)
    encoder = make_encoder("person-moving", height=64, width=96)
    maps = torch.rand(1, 3, 480, 6).cumsum(1)
    still = maps[:, :1, :, :].expand(-1, 3, -1, -1).clone()
    still[..., 4] = maps[..., 4]
    _, log_elapsed, fresh = frames(3, streams=1)
    fresh[:, 0] = True
    cache = encoder.initial_cache(1, 64, 96)
    features, _ = encoder(still, log_elapsed, fresh, cache, still.flatten(2))
    assert_close(features[0, 1:, :480], still[0, 1:, :, 4], 1e-3)
    assert_close(features[0, 1:, 480:], still[0, 1:, :, 4] - still[0, :-1, :, 4], 1e-3)


@torch.inference_mode()
def test_features_of_the_backbone_may_be_known_already(encoder):
    images, log_elapsed, fresh = frames(3)
    seen = encoder.backbone_features(images.flatten(0, 1)).unflatten(0, (2, 3))
    cache = encoder.initial_cache(2, 64, 96)
    whole, _ = encoder(images, log_elapsed, fresh, cache)
    known, _ = encoder(images, log_elapsed, fresh, cache, seen)
    assert_close(known, whole, 1e-4)


def test_a_size_that_the_backbone_cannot_take_is_refused():
    with pytest.raises(ModelError, match="multiples of 32, not 100x64"):
        make_encoder("person", height=64, width=100)


@torch.inference_mode()
def test_each_memory_is_written_anew_by_a_step(encoder):
    """One that is passed through would be an input and an output of one name in the exported graph."""
    images, log_elapsed, fresh = frames(1)
    cache = encoder.initial_cache(2, 64, 96)
    _, after = encoder(images, log_elapsed, fresh, cache)
    assert [each.shape for each in after] == [each.shape for each in cache]
    assert all(new is not old for new, old in zip(after, cache, strict=True))
