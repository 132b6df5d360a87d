"""Where a CNN's last feature maps are, and how they lie over the image: for explanations."""

from __future__ import annotations

from streamrec.errors import need

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

MOST_BESIDE = 8  # tokens of a transformer that stand for no place: class, distillation, registers


def last_maps(cnn: nn.Module, height: int, width: int) -> nn.Module | None:
    """The module of a CNN, in eval mode, whose output is the last that lies over the image and matters for the
    features; None where there is none.

    It is found by running an image of noise, so it works for any structure: convolutions, channels last, and
    transformers, whose tokens after the last attention no longer matter where only one is read.
    """
    ran: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda module, _, output: ran.append((module, output)))
        for module in cnn.modules()
    ]
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    try:
        with torch.enable_grad():
            features = cnn(image.to(next(cnn.parameters()).device)).flatten()
    finally:
        for hook in hooks:
            hook.remove()
    modules = [module for module, _ in ran]
    found = [
        (module, output)
        for module, output in ran
        if isinstance(output, Tensor) and output.requires_grad and modules.count(module) == 1
        # A shared activation runs in many places: a cut there would cut all of them.
    ]
    found = [(module, output) for module, output in found if laid_out(output, height, width) is not None]
    if not found:
        return None
    # Different weights: the plain sum behind a layer norm is constant.
    wanted = (features * torch.linspace(-1.0, 1.0, len(features), device=features.device)).sum()
    slopes = torch.autograd.grad(wanted, [output for _, output in found], allow_unused=True)
    for (module, _), slope in reversed(list(zip(found, slopes, strict=True))):
        if slope is not None:
            placed = laid_out(slope, height, width)
            if placed is not None and bool(placed.any()):
                return module
    return None


def laid_out(output: Tensor, height: int, width: int) -> Tensor | None:
    """A module's output for one image (1, ...) as maps (C, rows, columns); None where it is no map of the image.

    >>> [tuple(laid_out(torch.zeros(shape), 96, 128).shape) for shape in ((1, 8, 6, 8), (1, 6, 8, 5), (1, 49, 7))]
    [(8, 6, 8), (5, 6, 8), (7, 6, 8)]
    >>> laid_out(torch.zeros(1, 8, 1, 1), 96, 128)
    """
    if output.dim() == 4 and len(output) == 1:
        for maps in (output[0], output[0].permute(2, 0, 1)):
            if _covers(maps.shape[1], maps.shape[2], height, width):
                return maps
    if output.dim() == 3 and len(output) == 1:
        for beside in range(min(MOST_BESIDE, output.shape[1] - 1) + 1):
            tokens = output.shape[1] - beside
            rows = max(1, round((tokens * height / width) ** 0.5))
            if tokens % rows == 0 and _covers(rows, tokens // rows, height, width):
                return output[0, beside:].T.unflatten(1, (rows, -1))
    return None


def _covers(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether a grid has places, and the shape of the image, to a cell."""
    return min(rows, columns) > 1 and abs(rows * width / height - columns) <= 1.0
