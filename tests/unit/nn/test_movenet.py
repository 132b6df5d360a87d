from __future__ import annotations

import pytest
import torch
from torch import Tensor

from streamrec.nn.encoders.movenet import DEEPEST, KEYPOINTS, PEOPLE, PERSON, PYRAMID, MoveNet
from tests.helpers.threads import one_thread_a_module  # noqa: F401

HEIGHT, WIDTH = 16, 24  # of a pyramid


@pytest.fixture(scope="module")
def net() -> MoveNet:
    torch.manual_seed(3)
    net = MoveNet().eval()
    with torch.no_grad():
        for head in (net.center, net.keypoint, net.regression, net.keypoint_offset, net.center_offset):
            head.output.weight *= 8  # heat that varies, and keypoints away from the centers
        assert net.box_size.output.bias is not None
        net.box_size.output.bias += 9.0
    return net


def pyramids(streams: int) -> Tensor:
    return 4 * torch.rand(streams, PYRAMID, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def decoded_from_whole_maps(net: MoveNet, pyramid: Tensor) -> Tensor:
    """One stream's people (6, 56), the published way: every head everywhere, every Gaussian over every place."""
    maps = [
        head(pyramid[None])[0]
        for head in (net.regression, net.box_size, net.center_offset, net.keypoint_offset)
    ]
    regression, box_size, center_offset, offset = maps
    heat, center = net.keypoint(pyramid[None])[0].sigmoid(), net.center(pyramid[None])[0, 0].sigmoid()
    maxima = torch.nn.functional.max_pool2d(center[None], 5, stride=1, padding=2)[0] == center
    order = torch.argsort((center * maxima).flatten(), descending=True, stable=True)[:PEOPLE]
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    limits = torch.tensor([HEIGHT, WIDTH, HEIGHT, WIDTH])
    weighted, boxes, certainties = [], [], []
    for place in order.tolist():
        row, column = divmod(place, WIDTH)
        half = box_size[:, row, column].clamp(min=0) / 2
        middle = torch.tensor([row, column]) + center_offset[:, row, column]
        box = torch.cat([middle - half, middle + half]).clamp(min=0).minimum(limits)
        inside = (y >= box[0]) & (x >= box[1]) & (y < box[2]) & (x < box[3])
        expected = torch.tensor([row, column]) + regression[:, row, column].unflatten(0, (KEYPOINTS, 2))
        away = (y - expected[:, 0, None, None]) ** 2 + (x - expected[:, 1, None, None]) ** 2
        weighted.append(heat * torch.exp(-away / (0.300048828125 * min(HEIGHT, WIDTH))) * inside)
        boxes.append(box)
        certainties.append(center[row, column])
    of_any = torch.stack(weighted).amax(0)
    people = []
    for maps_of_one, box, certainty in zip(weighted, boxes, certainties, strict=True):
        points = []
        for k in range(KEYPOINTS):
            row, column = divmod(int(maps_of_one[k].argmax()), WIDTH)
            found = torch.tensor([row, column]) + offset.unflatten(0, (KEYPOINTS, 2))[k, :, row, column]
            points.append([*(found / limits[:2]).tolist(), float(of_any[k, row, column])])
        seen = [score for _, _, score in points if score > 0.126953125]
        score = float(certainty) * sum(seen) / max(len(seen), 1)
        people.append([value for point in points for value in point] + [*(box / limits).tolist(), score])
    return torch.tensor(people)


@torch.no_grad()
def test_people_from_heads_at_their_places_are_those_of_heads_over_the_whole_maps(net: MoveNet):
    pyramid = pyramids(3)
    people = net.people(pyramid)
    assert people.shape == (3, PEOPLE, PERSON)
    assert len({round(float(score), 4) for score in people[..., -1].flatten()}) > PEOPLE  # not all the same
    for stream in range(3):
        torch.testing.assert_close(
            people[stream], decoded_from_whole_maps(net, pyramid[stream]), atol=2e-5, rtol=0
        )


@torch.no_grad()
def test_a_stream_has_the_same_people_alone_and_among_others(net: MoveNet):
    pyramid = pyramids(3)
    torch.testing.assert_close(net.people(pyramid[1:2])[0], net.people(pyramid)[1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_person_without_a_box_has_no_keypoints_and_no_score(net: MoveNet):
    state = {name: value.clone() for name, value in net.state_dict().items()}
    without = MoveNet().eval()
    without.load_state_dict({**state, "box_size.output.bias": torch.full((2,), -1000.0)})
    people = without.people(pyramids(1))
    assert (people[..., -1] == 0).all()
    assert (people[..., 2 : 3 * KEYPOINTS : 3] == 0).all()


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(64, 96), (32, 32)])
def test_maps_are_of_four_and_of_thirty_two_pixels_a_place(net: MoveNet, height: int, width: int):
    pyramid, deepest = net.maps(torch.zeros(2, 3, height, width))
    assert pyramid.shape == (2, PYRAMID, height // 4, width // 4)
    assert deepest.shape == (2, DEEPEST, height // 32, width // 32)


@torch.no_grad()
def test_a_stride_of_two_pads_on_the_right_and_below_as_tensorflow_does(net: MoveNet):
    image = torch.zeros(1, 3, 32, 32)
    image[..., 0, 0] = 1.0  # the first pixel is seen by the first place alone
    image[..., 31, 31] = 1.0  # and so is the last
    changed = (net.stem(image) - net.stem(torch.zeros_like(image))).abs().amax(1)[0] > 1e-6
    assert changed.nonzero().tolist() == [[0, 0], [15, 15]]
    assert torch.allclose(
        net.stem(image)[0, :, 0, 0],
        net.stem.bias + net.stem.weight[:, :, 0, 0].sum(1),  # by the corner of the kernel
        atol=1e-6,
    )
