"""Where a CNN's last maps are, and how they lie over the picture: for whoever asks where it looked."""

from __future__ import annotations

from streamrec.errors import need

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

MOST_BESIDE = 8  # tokens of a transformer that stand for no place: class, distillation, registers


def last_maps(cnn: nn.Module, height: int, width: int) -> nn.Module | None:
    """The module of a CNN, in eval mode, whose output is the last that lies over the picture and matters for what
    it says; None where there is none.

    It is found by a look at a picture of noise, so it works for what has no common structure: convolutions,
    channels last, and transformers, whose tokens after the last attention matter no more where only one is read.
    """
    said: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda module, _, output: said.append((module, output)))
        for module in cnn.modules()
    ]
    picture = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    try:
        with torch.enable_grad():
            features = cnn(picture.to(next(cnn.parameters()).device)).flatten()
    finally:
        for hook in hooks:
            hook.remove()
    modules = [module for module, _ in said]
    found = [
        (module, output)
        for module, output in said
        if isinstance(output, Tensor) and output.requires_grad and modules.count(module) == 1
        # A shared activation lies in many places: what is cut there would be cut in all of them.
    ]
    found = [(module, output) for module, output in found if laid_out(output, height, width) is not None]
    if not found:
        return None
    # Weights that differ: the plain sum behind a layer norm never changes.
    wanted = (features * torch.linspace(-1.0, 1.0, len(features), device=features.device)).sum()
    slopes = torch.autograd.grad(wanted, [output for _, output in found], allow_unused=True)
    for (module, _), slope in reversed(list(zip(found, slopes, strict=True))):
        if slope is not None:
            placed = laid_out(slope, height, width)
            if placed is not None and bool(placed.any()):
                return module
    return None


def laid_out(said: Tensor, height: int, width: int) -> Tensor | None:
    """What a module said of one picture (1, ...) as maps (C, rows, columns); None where it does not lie over it.

    >>> [tuple(laid_out(torch.zeros(shape), 96, 128).shape) for shape in ((1, 8, 6, 8), (1, 6, 8, 5), (1, 49, 7))]
    [(8, 6, 8), (5, 6, 8), (7, 6, 8)]
    >>> laid_out(torch.zeros(1, 8, 1, 1), 96, 128)
    """
    if said.dim() == 4 and len(said) == 1:
        for maps in (said[0], said[0].permute(2, 0, 1)):
            if _covers(maps.shape[1], maps.shape[2], height, width):
                return maps
    if said.dim() == 3 and len(said) == 1:
        for beside in range(min(MOST_BESIDE, said.shape[1] - 1) + 1):
            tokens = said.shape[1] - beside
            rows = max(1, round((tokens * height / width) ** 0.5))
            if tokens % rows == 0 and _covers(rows, tokens // rows, height, width):
                return said[0, beside:].T.unflatten(1, (rows, -1))
    return None


def _covers(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether a grid has places, and the shape of the picture, to a cell."""
    return min(rows, columns) > 1 and abs(rows * width / height - columns) <= 1.0
