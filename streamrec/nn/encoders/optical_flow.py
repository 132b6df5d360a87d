"""Optical flow in closed form, as a few products of matrices: it needs no training and exports with the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from streamrec.errors import need

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

LIMIT = 3.0  # pixels: larger results of a local method are noise
NOISE = 2e-4  # squared gradient (of gray from 0 to 1) below which a place has no texture to track


def lucas_kanade(before: Tensor, now: Tensor, *, pool: int = 1, window: int = 5) -> Tensor:
    """(N, 1, H, W) gray from 0 to 1, twice -> (N, 2, H / pool, W / pool) motion in pixels, right and down.

    The least squares of brightness constancy over a window (Lucas and Kanade, IJCAI 1981), with a small ridge
    so that a place without texture has zero motion. With ``pool`` the sums are taken over pool x pool pixels
    first, which costs less. Motion of more than about 2 pixels is found on a smaller image only.

    Each sum over neighbours is a product with a banded matrix, which holds edges, pooling and window: a third of
    the nodes that convolutions would need, and an exported step pays for each node.

    >>> y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    >>> before, now = (0.5 + 0.4 * torch.sin(0.6 * (x - moved)) * torch.sin(0.5 * y) for moved in (0.0, 1.0))
    >>> flow = lucas_kanade(before[None, None], now[None, None])
    >>> [round(v, 1) for v in flow[0, :, 16, 16].abs().tolist()]
    [1.1, 0.0]
    """
    height, width = before.shape[-2:]
    both, dt = before + now, now - before
    dx = both @ _constant(before, _difference, width).T
    dy = _constant(before, _difference, height) @ both
    products = torch.cat([dx, dx, dy, dx, dy], dim=1) * torch.cat([dx, dy, dy, dt, dt], dim=1)
    across = products @ _constant(before, _box, width, pool, window).T
    sums = _constant(before, _box, height, pool, window) @ across + _constant(before, _ridge)
    # xx, xy, yy, xt, yt: minors of the system, each a product less another
    products = _chosen(sums, (0, 1, 1, 1, 2, 0)) * _chosen(sums, (2, 4, 3, 1, 3, 4))
    minors = products[:, :3] - products[:, 3:]
    return (minors[:, 1:] / minors[:, :1]).clamp(-LIMIT, LIMIT)


def described(flow: Tensor, change: Tensor, difference: Tensor) -> Tensor:
    """Vectors, lengths, lengths of the change, and the greatest difference: (N, 12, H / 2, W / 2).

    ``flow`` and ``change`` (N, 6, H / 2, W / 2) are of three scales, ``difference`` (N, 1, H, W) is the image's.
    All lengths are taken at once, and put into order then: the flow of a scale and its length, the changes' lengths.
    """
    vectors = torch.cat([flow[:, :4], change], dim=1)
    squares = vectors * vectors
    lengths = (_chosen(squares, (0, 2, 4, 6, 8)) + _chosen(squares, (1, 3, 5, 7, 9))).sqrt()
    greatest = F.max_pool2d(difference.abs(), 2)
    return _chosen(torch.cat([flow, lengths, greatest], dim=1), (0, 1, 6, 2, 3, 7, 4, 5, 8, 9, 10, 11))


def _chosen(maps: Tensor, channels: tuple[int, ...]) -> Tensor:
    return torch.index_select(maps, 1, _constant(maps, _numbers, *channels))


def _constant(like: Tensor, made: Callable[..., np.ndarray], *of: int) -> Tensor:
    """A constant where ``like`` is; made by numpy, for what torch does while a model is traced becomes part of it."""
    if like.device.type == "cpu":
        return torch.from_numpy(made(*of))
    return _elsewhere(like.device, made, *of)


@cache
def _elsewhere(device: torch.device, made: Callable[..., np.ndarray], *of: int) -> Tensor:
    """Copied once: a step that is recorded as a CUDA graph may copy nothing from the CPU."""
    return torch.from_numpy(made(*of)).to(device)


@cache
def _numbers(*numbers: int) -> np.ndarray:
    return np.array(numbers)


@cache
def _ridge() -> np.ndarray:
    return np.array([NOISE, 0.0, NOISE, 0.0, 0.0], np.float32).reshape(5, 1, 1)


@cache
def _difference(size: int) -> np.ndarray:
    """(size, size): half the central difference, of a image whose edge is repeated; half, for two are added."""
    matrix = np.zeros((size, size), np.float32)
    for place in range(size):
        matrix[place, min(place + 1, size - 1)] += 0.25
        matrix[place, max(place - 1, 0)] -= 0.25
    return matrix


@cache
def _box(size: int, pool: int, window: int) -> np.ndarray:
    """(size / pool, size): means of ``pool``, then of ``window`` of these, the edge repeated."""
    pooled = size // pool
    matrix = np.zeros((pooled, size), np.float32)
    for place in range(pooled):
        for near in range(place - window // 2, place + window // 2 + 1):
            begin = pool * min(max(near, 0), pooled - 1)
            matrix[place, begin : begin + pool] += 1.0 / (window * pool)
    return matrix
