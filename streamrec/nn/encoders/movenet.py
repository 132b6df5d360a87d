"""MoveNet MultiPose Lightning: a CNN that learned to see people, and where their joints are.

MobileNetV2 (1.5 times as wide), a feature pyramid and CenterNet heads, by Google, Apache-2.0; see NOTICE. The layers
here are ours, the weights are theirs: batch norms are folded into the convolutions, as the published file has them.
https://storage.googleapis.com/movenet/MultiPose%20MoveNet%20Model%20Card.pdf
"""

from __future__ import annotations

from streamrec.errors import need
from streamrec.events.people import detections

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

STRIDE = 32  # height and width are multiples of it
PYRAMID, PYRAMID_STRIDE = 24, 4  # channels of the last maps of the pyramid, and pixels to one of their places
DEEPEST = 480  # channels of the deepest maps, of STRIDE pixels a place
PEOPLE, KEYPOINTS, PERSON = detections.PEOPLE, detections.KEYPOINTS, detections.PERSON
_SCALE = 0.007843017578125  # 1 / 127.5 in half precision, by which the published file multiplies RGB before it takes 1
MEAN = STD = (1 / (255 * _SCALE),) * 3  # the same as normalization of RGB from 0 to 1; 0.5 would do as well

_STEM = 48
_BLOCKS = (  # (channels, stride) of each inverted residual block
    *((24, 1), (40, 2), (40, 1), (48, 2), (48, 1), (48, 1), (96, 2), (96, 1), (96, 1), (96, 1)),
    *((144, 1), (144, 1), (144, 1), (240, 2), (240, 1), (240, 1), (480, 1)),
)
_EXPANSION = 6
_LAST = 1280
_TAPS = (9, 5, 2)  # the blocks that the pyramid reads beside the last one, of 16, 8 and 4 pixels a place
_LATERAL = (64, 64, 32, 24)  # channels of the pyramid on its way up, from the deepest
_HIDDEN = 96  # of a head

# Constants of the published decoder.
_WINDOW = 5  # a center of a person is the maximum of so many places, squared
_EQUAL = 1.0132789611816406e-06
_SPREAD = 0.300048828125  # of the Gaussian around an expected keypoint, in parts of the shorter side
_SEEN = 0.126953125  # a person's score is the mean of the keypoints above it


class MoveNet(nn.Module):
    """MoveNet MultiPose: maps for other heads, and keypoints of up to six people.

    ``maps`` costs nearly all; ``people`` calculates heads only at the places that it reads them from.
    """

    def __init__(self) -> None:
        """With random weights; ``load_weights`` of ``streamrec.nn.encoders`` fills them from a file."""
        super().__init__()
        self.stem = _Conv(3, _STEM, 3, stride=2)
        channels = (_STEM, *(width for width, _ in _BLOCKS))
        self.blocks = nn.ModuleList(
            _Block(before, after, stride, _EXPANSION if number else 1)
            for number, (before, (after, stride)) in enumerate(zip(channels[:-1], _BLOCKS, strict=True))
        )
        self.last = nn.Conv2d(DEEPEST, _LAST, 1)
        read = (_LAST, *(_BLOCKS[tap][0] for tap in _TAPS))
        self.lateral = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(read, _LATERAL, strict=True)
        )
        self.up = nn.ModuleList(
            _Separable(before, after)
            for before, after in zip(_LATERAL[1:], (*_LATERAL[2:], PYRAMID), strict=True)
        )
        self.center = _Head(1)
        self.center_offset = _Head(2)
        self.box_size = _Head(2)
        self.keypoint = _Head(KEYPOINTS)
        self.keypoint_offset = _Head(2 * KEYPOINTS)
        self.regression = _Head(2 * KEYPOINTS)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) RGB from -1 to 1 -> pyramid (N, 24, H/4, W/4), deepest maps (N, 480, H/32, W/32).

        H and W are multiples of 32.
        """
        deepest, taps = self._encode(images)
        x = self.lateral[0](F.relu6(self.last(deepest)))
        for tap, lateral, up in zip(reversed(taps), self.lateral[1:], self.up, strict=True):
            x = up(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) + lateral(tap))
        return x, deepest

    def deepest(self, images: Tensor) -> Tensor:
        """The deepest maps alone, (N, 480, H/32, W/32): without the pyramid, which costs a third of both."""
        return self._encode(images)[0]

    def _encode(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The deepest maps, and those that the pyramid reads beside them."""
        x = F.relu6(self.stem(images))
        taps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _TAPS:
                taps.append(x)
        return x, taps

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) RGB from -1 to 1 -> people (N, 6, 56)."""
        return self.people(self.maps(images)[0])

    def people(self, pyramid: Tensor) -> Tensor:
        """Pyramid (N, 24, h, w) -> (N, 6, 56): 17 x (y, x, score), then the box ymin, xmin, ymax, xmax and a score.

        Places are in parts of the image. There are always six; those with a low score are none.
        """
        _, _, height, width = pyramid.shape
        patches = _Patches(pyramid)
        heat = torch.sigmoid(self.keypoint(pyramid))
        certainty, row, column = self._centers(pyramid)
        around = patches.at(row, column)
        center = torch.stack([row, column], dim=-1).to(pyramid.dtype)  # (N, 6, 2)
        box = self._box(center, around, height, width)
        expected = center.unsqueeze(2) + self.regression.at(around).unflatten(-1, (KEYPOINTS, 2))
        spread = _SPREAD * min(height, width)
        along = torch.arange(max(height, width), dtype=pyramid.dtype, device=pyramid.device)
        rows, columns = (
            _near(along[:size], expected[..., axis], box[..., axis], box[..., 2 + axis], spread)
            for axis, size in enumerate((height, width))
        )
        row, column = _strongest(heat, rows, columns)
        offset = self.keypoint_offset.at(patches.at(row, column), KEYPOINTS)
        found = torch.stack([row, column], dim=-1) + offset
        score = _scores(heat, rows, columns, row, column)
        seen = (score > _SEEN).to(score.dtype)
        mean = (score * seen).sum(-1) / seen.sum(-1).clamp(min=1.0)
        size = torch.tensor([height, width], dtype=pyramid.dtype, device=pyramid.device)
        keypoints = torch.cat([found / size, score.unsqueeze(-1)], dim=-1).flatten(2)
        return torch.cat([keypoints, box / size.repeat(2), (certainty * mean).unsqueeze(-1)], dim=-1)

    def _centers(self, pyramid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Certainty, row and column, each (N, 6), of the six highest maxima of the map of centers."""
        width = pyramid.shape[3]
        heat = torch.sigmoid(self.center(pyramid))
        highest = F.max_pool2d(heat, _WINDOW, stride=1, padding=_WINDOW // 2)
        maxima = heat * (highest - heat < _EQUAL).to(heat.dtype)
        certainty, place = torch.topk(maxima.flatten(1), PEOPLE)
        row = torch.div(place, width, rounding_mode="floor")
        return certainty, row, place - row * width

    def _box(self, center: Tensor, around: Tensor, height: int, width: int) -> Tensor:
        """(N, 6, 4): ymin, xmin, ymax, xmax in places of the pyramid, inside of it."""
        half = self.box_size.at(around).clamp(min=0.0) / 2
        middle = center + self.center_offset.at(around)
        most = torch.tensor([height, width] * 2, dtype=center.dtype, device=center.device)
        return torch.minimum(torch.cat([middle - half, middle + half], dim=-1), most).clamp(min=0.0)


class _Conv(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does: with stride 2, on the right and below."""

    def __init__(self, before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(before, after, kernel, stride=stride, padding=padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.stride[0] == 2 else x)


class _Block(nn.Module):
    """MobileNetV2's inverted residual block, (N, C, h, w) -> (N, C', h/stride, w/stride)."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expand = nn.Conv2d(before, wide, 1) if expansion > 1 else None
        self.depthwise = _Conv(wide, wide, 3, stride=stride, groups=wide)
        self.project = nn.Conv2d(wide, after, 1)
        self.is_residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(wide)))
        return x + y if self.is_residual else y


class _Separable(nn.Module):
    """A depthwise separable convolution with ReLU, (N, C, h, w) -> (N, C', h, w)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        self.pointwise = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.depthwise(x)))


class _Head(nn.Module):
    """One of CenterNet's heads over the pyramid."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.hidden = _Separable(PYRAMID, _HIDDEN)
        self.output = nn.Conv2d(_HIDDEN, outputs, 1)

    def forward(self, pyramid: Tensor) -> Tensor:
        """(N, 24, h, w) -> (N, outputs, h, w)."""
        return self.output(self.hidden(pyramid))

    def at(self, patches: Tensor, parts: int = 1) -> Tensor:
        """What ``forward`` gives at the middle of patches (..., 216) -> (..., outputs).

        ``parts``: the patches are (..., parts, 216), and each reads its own part of the outputs alone:
        (..., parts, outputs / parts).
        """
        kernel = self.hidden.depthwise.weight.flatten(1).T  # (9, 24)
        mixing = self.hidden.pointwise.weight.flatten(1)  # (96, 24)
        together = (kernel.unsqueeze(0) * mixing.unsqueeze(1)).flatten(1)  # (96, 216)
        hidden = F.relu(F.linear(patches, together, self.hidden.pointwise.bias))
        weight, bias = self.output.weight.flatten(1), self.output.bias
        if parts == 1:
            return F.linear(hidden, weight, bias)
        assert bias is not None
        own = hidden.unsqueeze(-2) * weight.unflatten(0, (parts, -1))
        return own.sum(-1) + bias.unflatten(0, (parts, -1))


class _Patches:
    """The 3x3 places around any place of a pyramid (N, 24, h, w), those outside of it zeros."""

    def __init__(self, pyramid: Tensor) -> None:
        streams, channels, height, width = pyramid.shape
        self._columns = width + 2
        self._table = F.pad(pyramid, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, channels)
        size = (height + 2) * self._columns
        self._first = torch.arange(streams, device=pyramid.device).unsqueeze(1) * size
        self._steps = torch.tensor(
            [y * self._columns + x for y in range(3) for x in range(3)], device=pyramid.device
        )

    def at(self, row: Tensor, column: Tensor) -> Tensor:
        """Rows and columns (N, ...) -> (N, ..., 216)."""
        place = self._first + (row * self._columns + column).flatten(1)
        index = place.unsqueeze(-1) + self._steps
        return self._table[index.flatten()].reshape(*row.shape, -1)


def _near(along: Tensor, expected: Tensor, least: Tensor, most: Tensor, spread: float) -> Tensor:
    """How near each place (L) is to where a keypoint (N, P, K) is expected; 0 outside of the person (N, P).

    -> (N, P, K, L). The Gaussian and the box are separable, so that rows and columns have one each.
    """
    distance = along - expected.unsqueeze(-1)
    inside = (along >= least.unsqueeze(-1)) & (along < most.unsqueeze(-1))
    return torch.exp(distance * distance * (-1.0 / spread)) * inside.unsqueeze(2).to(distance.dtype)


def _strongest(heat: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column, each (N, P, K), of the maximum of heat (N, K, h, w) times rows (N, P, K, h) and columns.

    The maximum of each row first: the whole product is made once, and not searched.
    """
    in_rows = (heat.unsqueeze(1) * columns.unsqueeze(3)).amax(-1) * rows
    value, row = in_rows.max(-1, keepdim=True)
    index = row.transpose(1, 2).expand(-1, -1, -1, heat.shape[3])  # (N, K, P, w)
    line = heat.gather(2, index).transpose(1, 2) * columns
    # Where nothing is inside of the box, all are equal: the first place.
    column = (line * (value > 0).to(line.dtype)).argmax(-1)
    return row.squeeze(-1), column


def _scores(heat: Tensor, rows: Tensor, columns: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """(N, P, K): the heat at a place of each person's keypoint, as near as any of the people expects it there."""
    width = heat.shape[3]
    by_person = row.transpose(1, 2).unsqueeze(1), column.transpose(1, 2).unsqueeze(1)  # (N, 1, K, P)
    people = (-1, rows.shape[1], -1, -1)
    near = rows.gather(3, by_person[0].expand(people)) * columns.gather(3, by_person[1].expand(people))
    place = (row * width + column).transpose(1, 2)
    return (heat.flatten(2).gather(2, place) * near.amax(1)).transpose(1, 2)
