"""Optical flow in closed form, as plain tensor operations: it needs no training and exports with the model."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LIMIT = 3.0  # pixels: what a local method says beyond this is noise
NOISE = 2e-4  # squared gradient (of gray from 0 to 1) below which a place has no texture to follow


def lucas_kanade(before: Tensor, now: Tensor, *, pool: int = 1, window: int = 5) -> Tensor:
    """(N, 1, H, W) gray from 0 to 1, twice -> (N, 2, H / pool, W / pool) motion in pixels, right and down.

    The least squares of brightness constancy over a window (Lucas and Kanade, IJCAI 1981), with a small ridge
    so that a place without texture is said to rest. With ``pool`` the sums are taken over pool x pool pixels
    first, which costs less. Motion of more than about 2 pixels is seen on a smaller picture only.

    >>> y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    >>> before, now = (0.5 + 0.4 * torch.sin(0.6 * (x - moved)) * torch.sin(0.5 * y) for moved in (0.0, 1.0))
    >>> flow = lucas_kanade(before[None, None], now[None, None])
    >>> [round(v, 1) for v in flow[0, :, 16, 16].abs().tolist()]
    [1.1, 0.0]
    """
    padded = F.pad(0.5 * (before + now), (1, 1, 1, 1), mode="replicate")
    dx = 0.5 * (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2])
    dy = 0.5 * (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1])
    dt = now - before
    products = [dx * dx, dx * dy, dy * dy, dx * dt, dy * dt]
    if pool > 1:
        products = [F.avg_pool2d(product, pool) for product in products]
    sums = torch.cat(products, dim=1)
    box = sums.new_full((5, 1, window, window), 1.0 / window**2)
    sums = F.conv2d(F.pad(sums, (window // 2,) * 4, mode="replicate"), box, groups=5)
    xx, xy, yy = sums[:, 0:1] + NOISE, sums[:, 1:2], sums[:, 2:3] + NOISE
    xt, yt = sums[:, 3:4], sums[:, 4:5]
    determinant = xx * yy - xy * xy
    u = (xy * yt - yy * xt) / determinant
    v = (xy * xt - xx * yt) / determinant
    return torch.cat([u, v], dim=1).clamp(-LIMIT, LIMIT)


def length(vectors: Tensor) -> Tensor:
    """(N, 2, H, W) -> (N, 1, H, W)."""
    return (vectors * vectors).sum(1, keepdim=True).sqrt()
