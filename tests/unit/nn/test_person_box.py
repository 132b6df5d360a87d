"""Maps inside the box of the person who is followed, and their keypoints, from one pass."""

from itertools import pairwise

import pytest
import torch

from streamrec.errors import ModelError
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders import make_encoder
from streamrec.nn.encoders.movenet import DEEPEST
from streamrec.nn.encoders.person_box import MAPS, NAME, SEEN
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import Transform
from tests.helpers.checks import assert_close

HEIGHT, WIDTH = 64, 96
SIZE = {"height": HEIGHT, "width": WIDTH}
ROWS, COLUMNS = 2, 3
CELLS = ROWS * COLUMNS
NO_PERSON = torch.zeros(6, 56)


def person(ymin: float, xmin: float, ymax: float, xmax: float) -> torch.Tensor:
    """All six places of a frame (6, 56), the first of which is a person of this box."""
    found = NO_PERSON.clone()
    found[0, :51] = torch.tensor([(ymin + ymax) / 2, (xmin + xmax) / 2, 0.9]).repeat(17)
    found[0, 51:] = torch.tensor([ymin, xmin, ymax, xmax, 0.9])
    return found


def maps_of(numbers: list[float]) -> torch.Tensor:
    """Deepest maps (480 * 6,) that are alike in all channels."""
    return torch.tensor(numbers).repeat(DEEPEST)


def seen(*frames: tuple[list[float], torch.Tensor], joints: bool = False):
    """The features (T, F) of frames of maps and people."""
    encoder = make_encoder(NAME if joints else MAPS, **SIZE).eval()
    backbone = torch.stack([torch.cat([maps_of(maps), people.flatten()]) for maps, people in frames])[None]
    steps = len(frames)
    fresh = torch.zeros(1, steps, dtype=torch.bool)
    fresh[:, 0] = True
    with torch.inference_mode():
        features, _ = encoder(
            backbone, torch.zeros(1, steps), fresh, encoder.initial_cache(1, **SIZE), backbone
        )
    return features[0]


LEFT = person(0.2, 0.05, 0.8, 0.15)  # with its margin inside of the left third


def test_the_maps_are_read_inside_of_the_box():
    (found,) = seen(([4.0, 1.0, 1.0, 8.0, 1.0, 1.0], LEFT))
    assert torch.allclose(found[:DEEPEST], torch.tensor(6.0))  # the mean of the two cells on the left
    assert torch.equal(found[DEEPEST:], torch.zeros(DEEPEST))  # no change in the first frame


def test_a_cell_counts_by_how_much_of_it_the_box_covers():
    right = person(
        0.0, 0.0, 0.5 / 1.15, 0.5 / 1.15
    )  # with the margin: half of the image, less what is outside
    (found,) = seen(([3.0, 6.0, 9.0, 100.0, 100.0, 100.0], right))
    assert found[0] == pytest.approx((3.0 + 6.0 * 0.5) / 1.5, abs=1e-4)


def test_changes_outside_of_the_box_are_not_seen():
    quiet = [1.0] * CELLS
    loud = [1.0, 5.0, 5.0, 1.0, 5.0, 5.0]
    assert torch.equal(seen((quiet, LEFT), (loud, LEFT))[1, DEEPEST:], torch.zeros(DEEPEST))
    assert seen((quiet, NO_PERSON), (loud, NO_PERSON))[1, DEEPEST] == pytest.approx(16.0 / CELLS)


def test_without_a_person_the_box_is_the_image():
    (found,) = seen(([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], NO_PERSON))
    assert found[0] == pytest.approx(3.5)


def test_who_is_missed_stays_where_they_were_and_is_forgotten_later():
    maps = [4.0, 1.0, 1.0, 4.0, 1.0, 1.0]
    found = seen(*[(maps, LEFT)] * 8, *[(maps, NO_PERSON)] * 20)[:, 0].tolist()
    assert found[7] == found[8] == pytest.approx(4.0)
    assert found[-1] == pytest.approx(2.0)
    assert all(before >= after for before, after in pairwise(found))


@torch.inference_mode()
def test_the_keypoints_are_those_of_the_encoder_of_keypoints_alone():
    torch.manual_seed(0)
    both, joints = (make_encoder(name, **SIZE).eval() for name in (NAME, "person-joints"))
    joints.trunk.load_state_dict(both.trunk.state_dict())
    images = torch.rand(2, 4, 3, HEIGHT, WIDTH) * 2.0 - 1.0
    fresh = torch.zeros(2, 4, dtype=torch.bool)
    fresh[0, 2] = True
    clip = images, torch.zeros(2, 4), fresh
    found, after = both(*clip, both.initial_cache(2, HEIGHT, WIDTH))
    other, who = joints(*clip, joints.initial_cache(2, HEIGHT, WIDTH))
    assert found.shape[-1] == both.feature_size == SEEN + joints.feature_size
    assert_close(found[..., SEEN:], other, 1e-4)
    for mine, theirs in zip(after[-2:], who, strict=True):
        assert_close(mine, theirs, 1e-4)


@torch.inference_mode()
def test_frames_and_clips_agree_and_backbone_features_may_be_known():
    torch.manual_seed(0)
    both = make_encoder(NAME, **SIZE).eval()
    images = torch.rand(2, 4, 3, HEIGHT, WIDTH) * 2.0 - 1.0
    log_elapsed, fresh = torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.bool)
    fresh[0, 2] = True
    whole, _ = both(images, log_elapsed, fresh, both.initial_cache(2, HEIGHT, WIDTH))
    maps = both.backbone_features(images.flatten(0, 1)).unflatten(0, (2, 4))
    known, _ = both(images, log_elapsed, fresh, both.initial_cache(2, HEIGHT, WIDTH), maps)
    assert_close(known, whole, 1e-4)
    cache, found = both.initial_cache(2, HEIGHT, WIDTH), []
    for t in range(4):
        part = slice(t, t + 1)
        features, cache = both(images[:, part], log_elapsed[:, part], fresh[:, part], cache)
        found.append(features)
    assert_close(torch.cat(found, 1), whole, 1e-4)


def test_an_ensemble_head_over_another_encoder_is_refused():
    config = ModelConfig(
        labels=("a", "b"), encoder="person", head="ensemble", transform=Transform(width=96, height=64)
    )
    with pytest.raises(ModelError, match="take the encoder person-box-joints"):
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
