"""Encoder and head joined: ``ActionModel`` for streams, ``CNNLSTM`` for the classical use on clips."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypedDict, Unpack

from streamrec.core.arguments import number, whole_number
from streamrec.core.state import State
from streamrec.errors import ModelError, need
from streamrec.events.detector import BACKGROUND, EventSettings
from streamrec.nn.config import OWN_CLASS, ModelConfig
from streamrec.nn.encoders import FrameEncoder, make_encoder, strip_classifier
from streamrec.nn.encoders.base import Encoder, find_feature_size
from streamrec.nn.encoders.keypoints import FEATURES
from streamrec.nn.encoders.person_box import NAME as PERSON_BOX_JOINTS
from streamrec.nn.heads import (
    AttentionHead,
    EnsembleHead,
    GRUHead,
    Head,
    LSTMHead,
    PoolingSettings,
    Standardized,
    StatisticsHead,
)
from streamrec.nn.transforms import IMAGENET_MEAN, IMAGENET_STD, Transform

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

COLORS = ("rgb", "bgr", "gray")


class ActionModel(nn.Module):
    """f_t = encoder(x_t); y_t, (h_t, c_t) = head(f_t, (h_t-1, c_t-1)): over clips and frame by frame alike.

    Frames are what the transform gives: images are uint8, or float of the same range, RGB, (3, H, W); readings of a
    signal are float32, (C,), a hop of sound too, (S,). ``elapsed`` is the seconds since the
    stream's last frame: infinite (none was seen), negative, or more than ``max_gap`` makes the stream begin from its
    initial state.

    Outputs are ``config.outputs`` wide: a logit a label, then, in a model that counts, cosine and sine of the
    repetition's phase. ``split`` takes them apart.
    """

    mean: Tensor  # of images (3, 1, 1), from 0 to 255; of a signal (C,)
    std: Tensor

    def __init__(
        self,
        config: ModelConfig,
        *,
        weights: str | None = None,
        encoder: Encoder | None = None,
        head: Head | None = None,
    ) -> None:
        """``encoder`` and ``head``: None makes those that the config names; others are used as they are."""
        super().__init__()
        if not isinstance(config, ModelConfig):
            raise ModelError(
                f"an ActionModel is made of a ModelConfig, not of {_described(config)}; "
                "load_model(name_or_path) reads one"
            )
        if encoder is None:
            encoder = make_encoder(config.encoder, transform=config.transform, weights=weights)
        self.encoder = encoder
        self.head = make_head(config, self.encoder.feature_size) if head is None else head
        self.config = config
        if self.encoder.mean is not None and self.encoder.std is not None:
            transform = replace(config.pictures, mean=self.encoder.mean, std=self.encoder.std)
            self.config = replace(config, transform=transform)
        for name, numbers in zip(("mean", "std"), self.config.transform.normalization(), strict=True):
            self.register_buffer(name, torch.from_numpy(numbers), persistent=False)

    def initial_state(self, streams: int = 1) -> State:
        """The state of new streams."""
        size, device = self.config.transform.shape[1:], self.mean.device
        return State(
            head=self.head.initial_memory(streams),
            cache=self.encoder.initial_cache(streams, *size),
            clock=torch.full((streams,), -math.inf, dtype=torch.float64, device=device),
            segment=torch.zeros(streams, dtype=torch.int64, device=device),
            probabilities=torch.zeros(streams, len(self.config.labels), device=device),
            phase=torch.zeros(streams, 2, device=device) if self.config.counted else None,
        )

    def forward(
        self,
        clips: Tensor,
        elapsed: Tensor | None = None,
        state: State | None = None,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """(N, T, *frame), (N, T) seconds -> outputs (N, T, C) and the state after the last frame.

        Without ``state`` streams begin; without ``elapsed`` frames follow each other at the training rate.
        ``backbone`` (N, T, S): the ``backbone_features`` of the clips, so that they are not computed again.
        """
        streams, steps = clips.shape[:2]
        state = self.initial_state(streams) if state is None else state
        if elapsed is None:
            elapsed = torch.full((streams, steps), 1.0 / self.config.fps, device=self.mean.device)
            elapsed[:, 0] = torch.where(torch.isinf(state.clock), math.inf, elapsed[:, 0])
        fresh, log_elapsed = self.timing(elapsed)
        features, cache = self.encoder(
            (clips - self.mean) / self.std, log_elapsed, fresh, state.cache, backbone
        )
        outputs, memory = self.head(features, log_elapsed, fresh, state.head)
        return outputs, self._after(state, memory, cache, elapsed)

    def step(self, frames: Tensor, elapsed: Tensor, state: State) -> tuple[Tensor, State]:
        """(N, *frame), (N,) seconds -> outputs (N, C) and the state after the frame."""
        fresh, log_elapsed = self.timing(elapsed)
        images = ((frames - self.mean) / self.std).unsqueeze(1)
        features, cache = self.encoder(images, log_elapsed.unsqueeze(1), fresh.unsqueeze(1), state.cache)
        outputs, memory = self.head.step(features.squeeze(1), log_elapsed, fresh, state.head)
        return outputs, self._after(state, memory, cache, elapsed.unsqueeze(1))

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) as in ``forward`` -> (K, S), the output of the encoder's backbone for each image alone."""
        return self.encoder.backbone_features((images - self.mean) / self.std)

    trunk_features = backbone_features  # its former name

    def split(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """(..., C) -> logits (..., labels) and phase (..., 2); None where the model counts nothing."""
        labels = len(self.config.labels)
        return outputs[..., :labels], outputs[..., labels:] if self.config.counted else None

    def timing(self, elapsed: Tensor) -> tuple[Tensor, Tensor]:
        """Seconds since the last frame -> where a stream begins anew, and the ``log_elapsed`` of encoder and head."""
        fresh = ~((elapsed >= 0.0) & (elapsed <= self.config.max_gap))  # NaN begins anew too
        log_elapsed = torch.log(torch.clamp(elapsed * self.config.fps, 0.1, 10.0))
        return fresh, torch.where(fresh, torch.zeros_like(log_elapsed), log_elapsed).to(self.mean.dtype)

    def _after(self, state: State, memory: Any, cache: Any, elapsed: Tensor) -> State:
        begun = torch.where(torch.isinf(state.clock), torch.zeros_like(state.clock), state.clock)
        seconds = torch.where(torch.isfinite(elapsed), elapsed, torch.zeros_like(elapsed)).double().sum(1)
        return replace(state, head=memory, cache=cache, clock=begun + seconds)


def _recurrent(kind: type[LSTMHead] | type[GRUHead], config: ModelConfig, feature_size: int) -> Head:
    pooling = PoolingSettings(
        features=config.recall_features,
        only=config.recall_only,
        gate=config.recall_gate,
        frames=config.recall_frames,
    )
    head = kind(
        feature_size,
        config.hidden_size,
        config.outputs,
        layers=config.layers,
        dropout=config.dropout,
        feature_norm=config.feature_norm,
        pooling=pooling if config.recall else None,
    )
    if config.standardize:
        head.norm = Standardized(feature_size)
    return head


def _attention(config: ModelConfig, feature_size: int) -> Head:
    return AttentionHead(
        feature_size,
        config.hidden_size,
        config.outputs,
        layers=config.layers,
        dropout=config.dropout,
        feature_norm=config.feature_norm,
        context=config.context,
    )


def _statistics(config: ModelConfig, feature_size: int) -> Head:
    return _statistics_over(config, feature_size, config.outputs)


def _statistics_over(config: ModelConfig, feature_size: int, outputs: int) -> StatisticsHead:
    frames, changes = config.statistics_seconds * config.fps, config.statistics_changes
    return StatisticsHead(feature_size, outputs, frames=frames, changes=changes)


def _ensemble(config: ModelConfig, feature_size: int) -> Head:
    if config.encoder != PERSON_BOX_JOINTS:
        raise ModelError(
            f"the ensemble head reads maps and keypoints, and the encoder {config.encoder} gives one of them at most: "
            f"take the encoder {PERSON_BOX_JOINTS}"
        )
    labels = len(config.labels)
    statistics = _statistics_over(config, feature_size - FEATURES, labels)
    recurrent = _recurrent(LSTMHead, config, FEATURES)
    assert isinstance(recurrent, LSTMHead)
    return EnsembleHead(statistics, recurrent, labels=labels, share=config.keypoint_share)


# ModelConfig.head -> what builds it from the config and the size of the features.
# A new head is a file in this folder and a line here.
HEADS: dict[str, Callable[[ModelConfig, int], Head]] = {
    "attention": _attention,
    "ensemble": _ensemble,
    "gru": partial(_recurrent, GRUHead),
    "lstm": partial(_recurrent, LSTMHead),
    "statistics": _statistics,
}


def make_head(config: ModelConfig, feature_size: int) -> Head:
    """The head that the config names, over features of this size; raises ``ModelError`` for an unknown one."""
    if config.head not in HEADS:
        raise ModelError(f"there is no head {config.head!r}; the heads are {', '.join(sorted(HEADS))}")
    return HEADS[config.head](config, feature_size)


class RunOptions(TypedDict, total=False):
    """The options of a ``CNNLSTM`` that say how its clips were made; ``_RunSettings`` has the defaults."""

    labels: Sequence[str] | None
    fps: float
    mean: Sequence[float] | None
    std: Sequence[float] | None
    colors: str | None
    fit: str
    about: str


@dataclass(frozen=True, kw_only=True)
class _RunSettings:
    labels: Sequence[str] | None = None
    fps: float = 10.0
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    colors: str | None = None
    fit: str = "stretch"
    about: str = ""


class CNNLSTM(nn.Module):
    """The classical recurrent convolutional network (LRCN; Donahue et al., CVPR 2015) on clips.

    Each frame of a clip goes through the CNN, the features through an LSTM, and a linear layer gives logits
    for each time step, or with ``last`` for the last one only. The CNN is used, not copied: a torchvision
    or timm one loses its classifier, if it has one; any other CNN gives (N, F), or maps (N, F, h, w), which are
    averaged. Once it is trained, ``save_model(path, model)`` writes a file for ``streamrec run``, and
    ``Recognizer(model)`` makes it ready to run. It takes pictures alone: a CNN of signals convolves over time, and a
    step that carries its past needs the cache that the encoder ``signal-cnn`` of an ``ActionModel`` has.

    >>> import torchvision
    >>> model = CNNLSTM(torchvision.models.resnet18(), hidden_size=64, num_classes=5)
    >>> logits = model(torch.randn(2, 3, 3, 64, 64))
    >>> logits.shape
    torch.Size([2, 3, 5])
    >>> sum_of_step_losses(logits, torch.tensor([0, 4])).backward()
    """

    def __init__(
        self,
        cnn: nn.Module,
        hidden_size: int,
        num_classes: int,
        *,
        num_layers: int = 1,
        dropout: float = 0.0,
        last: bool = False,
        image_size: tuple[int, int] | int | None = None,
        **running: Unpack[RunOptions],
    ) -> None:
        """``image_size``: (height, width) of the frames; None takes it from the first clips.

        ``running``, for running it: ``labels``: a name for each class. ``fps``: of the frames in the clips.
        ``mean``, ``std``: the normalization of frames from 0 to 1, one number a channel as the CNN takes them;
        None is that of a timm CNN, else ImageNet's. ``colors``: "rgb", "bgr" or "gray"; None is gray for a CNN of
        one channel, else rgb. ``fit`` as in ``Transform``. Raises ``ModelError``.
        """
        super().__init__()
        if not isinstance(cnn, nn.Module):
            raise ModelError(f"the CNN is a torch.nn.Module, not {_described(cnn)}; build it first")
        whole_number(hidden_size, "hidden_size", error=ModelError)
        whole_number(num_classes, "num_classes", error=ModelError)
        whole_number(num_layers, "num_layers", error=ModelError)
        for name in running.keys() - _RunSettings.__dataclass_fields__.keys():
            raise TypeError(f"CNNLSTM.__init__() got an unexpected keyword argument {name!r}")
        settings = _RunSettings(**running)
        cnn = strip_classifier(cnn)
        self.colors = _colors_of(cnn, settings.colors)
        self._given_size = _size_of(image_size)
        self._clip_size: tuple[int, int] | None = None  # height, width of the last clips
        self._settled = self._given_size is not None  # whether the number of features is final
        found, self._exact = _probed(cnn, self._given_size, 1 if self.colors == "gray" else 3)
        self.encoder = FrameEncoder(cnn, feature_size=found)
        self.head = LSTMHead(
            found, hidden_size, num_classes, layers=num_layers, dropout=dropout, pooling=None
        )
        self.last = last
        self.labels = _names_of(settings.labels, num_classes)
        self.fps = number(settings.fps, "fps", above=0.0, error=ModelError)
        self.fit, self.about, self.dropout = settings.fit, settings.about, dropout
        known = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, **getattr(cnn, "default_cfg", {})}
        self.mean = _channels_of(known["mean"] if settings.mean is None else settings.mean, "mean")
        self.std = _channels_of(known["std"] if settings.std is None else settings.std, "std")
        if min(self.std) <= 0.0:
            raise ModelError(f"std is {self.std}: what pictures are divided by is more than 0")
        self.register_load_state_dict_pre_hook(_make_room)

    def forward(self, clips: Tensor) -> Tensor:
        """(N, T, 3, H, W) float, normalized as the CNN wants it -> logits (N, T, C), or (N, C) with ``last``."""
        fresh, log_elapsed, features = self._features(clips)
        logits, _ = self.head(features, log_elapsed, fresh, self.initial_state(len(clips)))
        return logits[:, -1] if self.last else logits

    def initial_state(self, streams: int = 1) -> tuple[Tensor, ...]:
        """(h, c) of new streams."""
        return self.head.initial_memory(streams)

    def step(self, frames: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(N, 3, H, W), (h, c) -> logits (N, C) and the new (h, c): the same numbers as ``forward``."""
        if not isinstance(frames, Tensor) or frames.dim() != 4:
            raise ModelError(f"frames are a float tensor (N, 3, H, W), not {_described(frames)}")
        fresh, log_elapsed, features = self._features(frames.unsqueeze(1))
        return self.head.step(features.squeeze(1), log_elapsed.squeeze(1), fresh.squeeze(1), state)

    @property
    def transform(self) -> Transform:
        """Makes an image as OpenCV gives it (3, height, width) uint8 RGB, at the size that the CNN takes.

        Raises ``ModelError`` while that size is not known.
        """
        size = self._given_size or self._clip_size or ((224, 224) if self._exact else None)
        if size is None:
            raise ModelError(
                "the size of the pictures is not known yet: give image_size=(height, width), or show the model a clip"
            )
        mean, std = (_in_rgb(numbers, self.colors) for numbers in (self.mean, self.std))
        try:
            return Transform(height=size[0], width=size[1], fit=self.fit, mean=mean, std=std)
        except ValueError as error:
            raise ModelError(str(error)) from error

    def normalized(self, images: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 RGB, as ``transform`` gives them -> float as ``forward`` wants it."""
        transform = self.transform
        scaled = images.float() / 255.0
        mean, std = (
            torch.tensor(n, device=scaled.device).view(3, 1, 1) for n in (transform.mean, transform.std)
        )
        return _in_colors((scaled - mean) / std, self.colors)

    @property
    def config(self) -> ModelConfig:
        """All that makes the model besides its weights, as in a model file."""
        return ModelConfig(
            labels=self.labels,
            encoder=OWN_CLASS,
            transform=self.transform,
            hidden_size=self.head.lstm.hidden_size,
            layers=self.head.lstm.num_layers,
            recall=False,
            dropout=self.dropout,
            fps=self.fps,
            max_gap=max(2.0, 5.0 / self.fps),
            events=EventSettings(background=tuple(name for name in self.labels if name in BACKGROUND)),
            about=self.about,
        )

    def as_action_model(self) -> ActionModel:
        """A copy for streams, in eval mode on the CPU: the same numbers, frame by frame.

        This network never uses the elapsed time, so the copy ignores it: its weight is set to zero.
        """
        config = self.config
        cnn = _InColors(copy.deepcopy(self.encoder.cnn).cpu().eval(), self.colors)
        transform = config.pictures
        encoder = FrameEncoder(cnn, height=transform.height, width=transform.width)
        encoder.mean, encoder.std = transform.mean, transform.std
        head = copy.deepcopy(self.head).cpu()
        _first_weight(head).data[:, -1] = 0.0  # the time since the last frame
        return ActionModel(config, encoder=encoder, head=head).float().eval()

    def _features(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The head's inputs: fresh (N, T), log_elapsed (N, T), features (N, T, F)."""
        channels = 1 if self.colors == "gray" else 3
        if not isinstance(clips, Tensor) or clips.dim() != 5 or clips.shape[2] != channels:
            raise ModelError(f"clips are a float tensor (N, T, {channels}, H, W), not {_described(clips)}")
        if not clips.is_floating_point():
            raise ModelError(
                f"clips are {clips.dtype}: give floats, normalized as the CNN wants them; model.normalized(pictures) "
                "makes them of uint8"
            )
        if 0 in clips.shape:
            raise ModelError(f"clips {tuple(clips.shape)} hold no picture")
        size = (clips.shape[3], clips.shape[4])
        if size != self._clip_size:
            self._adapt_to(size)
        fresh = torch.zeros(clips.shape[:2], dtype=torch.bool, device=clips.device)
        log_elapsed = clips.new_zeros(clips.shape[:2])
        features, _ = self.encoder(clips, log_elapsed, fresh, ())
        return fresh, log_elapsed, features

    def _adapt_to(self, size: tuple[int, int]) -> None:
        """Clips of another size: check that the CNN takes it, with as many features; before training, adapt."""
        found, _ = _probed(self.encoder.cnn, size, 1 if self.colors == "gray" else 3)
        if found != self.encoder.feature_size:
            if self._settled:
                raise ModelError(
                    f"the CNN gives {found} features for pictures of {size[1]}x{size[0]}, and the model was built for "
                    f"{self.encoder.feature_size}; give image_size=({size[0]}, {size[1]})"
                )
            self._resize_features(found)
        self._clip_size, self._settled = size, True

    def _resize_features(self, feature_size: int) -> None:
        """Resize the first layer of the LSTM to so many features; an optimizer keeps its parameter."""
        weight = _first_weight(self.head)
        fresh = _first_weight(LSTMHead(feature_size, self.head.lstm.hidden_size, 1, pooling=None)).data
        weight.data = fresh.to(weight.device, weight.dtype)
        weight.grad = None
        self.head.lstm.input_size = feature_size + 1
        self.head.lstm.flatten_parameters()
        self.encoder.feature_size = feature_size


class _InColors(nn.Module):
    """A CNN that takes other colours than RGB, as one that takes RGB."""

    def __init__(self, cnn: nn.Module, colors: str) -> None:
        super().__init__()
        self.cnn = cnn
        self.colors = colors

    def forward(self, images: Tensor) -> Any:
        return self.cnn(_in_colors(images, self.colors))


def _first_weight(head: LSTMHead) -> Tensor:
    """(4 hidden, features + 1): the first layer's weights of the features, and of the elapsed time."""
    return head.lstm.get_parameter("weight_ih_l0")


def action_model_of(model: Any) -> ActionModel:
    """An ``ActionModel`` as it is, a ``CNNLSTM`` as one; raises ``ModelError`` for anything else."""
    if isinstance(model, CNNLSTM):
        return model.as_action_model()
    if not isinstance(model, ActionModel):
        raise ModelError(f"a model is an ActionModel or a CNNLSTM, not {_described(model)}")
    return model


def _in_colors(images: Tensor, colors: str) -> Tensor:
    """(..., 3, H, W) RGB -> as the CNN takes it."""
    if colors == "bgr":
        return images.flip(-3)
    if colors == "gray":  # as cv2.cvtColor has it
        red, green, blue = (images[..., n : n + 1, :, :] for n in range(3))
        return 0.299 * red + 0.587 * green + 0.114 * blue
    return images


def _in_rgb(numbers: Sequence[float], colors: str) -> tuple[float, float, float]:
    one, two, three = numbers
    return (three, two, one) if colors == "bgr" else (one, two, three)


def _colors_of(cnn: nn.Module, colors: str | None) -> str:
    first = next((m for m in cnn.modules() if isinstance(m, nn.Conv2d)), None)
    channels = 3 if first is None else first.in_channels
    if colors is None:
        colors = "gray" if channels == 1 else "rgb"
    if colors not in COLORS:
        raise ModelError(f"colors is {colors!r}; there are {', '.join(COLORS)}")
    if channels != (1 if colors == "gray" else 3):
        raise ModelError(
            f"the first layer of the CNN takes {channels} channels, and pictures have "
            f"{1 if colors == 'gray' else 3} ({colors})"
        )
    return colors


def _size_of(image_size: Any) -> tuple[int, int] | None:
    if image_size is None:
        return None
    both = (image_size, image_size) if isinstance(image_size, int) else image_size
    try:
        height, width = both
    except (TypeError, ValueError) as error:
        raise ModelError(f"image_size is {image_size!r}: give (height, width), like (32, 32)") from error
    whole_number(height, "the height of image_size", error=ModelError)
    whole_number(width, "the width of image_size", error=ModelError)
    return int(height), int(width)


def _names_of(labels: Any, count: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"class {number}" for number in range(count))
    names = () if isinstance(labels, str) else tuple(labels)
    if len(names) != count or not all(isinstance(name, str) and name.strip() for name in names):
        raise ModelError(f"labels are {labels!r}: give a name for each of the {count} classes")
    if len(set(names)) < count:
        raise ModelError(f"labels are {', '.join(names)}: give each class a name of its own")
    return names


def _channels_of(numbers: Any, what: str) -> tuple[float, float, float]:
    try:
        given = [number(each, what, error=ModelError) for each in numbers]
    except TypeError:
        given = [number(numbers, what, error=ModelError)]
    if len(given) not in (1, 3):
        raise ModelError(f"{what} is {numbers!r}: give a number a channel, three of them or one")
    one, two, three = given * 3 if len(given) == 1 else given
    return one, two, three


def _described(given: Any) -> str:
    return f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__


def _probed(cnn: nn.Module, size: tuple[int, int] | None, channels: int) -> tuple[int, bool]:
    """How many features a CNN gives, and whether it takes images of the size that was tried.

    Where no size was given, 224x224 is tried; if that fails, inputs of linear layers are cut or padded to fit.
    """
    height, width = size or (224, 224)
    if size is None and any(isinstance(p, nn.parameter.UninitializedParameter) for p in cnn.parameters()):
        raise ModelError(
            "the CNN has lazy layers, which take the first size that they see: give image_size=(height, width)"
        )
    try:
        return find_feature_size(cnn, height, width, channels), True
    except (RuntimeError, ValueError) as error:
        if size is not None:
            raise ModelError(f"the CNN cannot take pictures of {width}x{height}: {error}") from error

    def cut(module: nn.Linear, given: tuple[Tensor]) -> tuple[Tensor]:
        missing = max(0, module.in_features - given[0].shape[-1])
        return (F.pad(given[0], (0, missing))[..., : module.in_features],)

    hooks = [m.register_forward_pre_hook(cut) for m in cnn.modules() if isinstance(m, nn.Linear)]
    try:
        return find_feature_size(cnn, height, width, channels), False
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"the CNN cannot take pictures of {width}x{height}: {error}; give image_size=(height, width)"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()


def _make_room(model: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Before loading weights of another number of features: adapt to it, unless the size was given."""
    assert isinstance(model, CNNLSTM)
    weight = state.get(f"{prefix}head.lstm.weight_ih_l0")
    if weight is None or weight.dim() != 2 or model._settled:
        return
    features = weight.shape[1] - 1
    if features != model.encoder.feature_size and features > 0:
        model._resize_features(features)
        model._exact = False
    model._settled = True


def sum_of_step_losses(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over t of the cross-entropy of each step, averaged over clips.

    ``logits`` (N, T, C); ``targets`` (N,) for a label a clip or (N, T) for a label a frame, -100 is left out;
    ``weights`` (N, T) or (T,), None for ones.
    """
    steps = logits.shape[1]
    if targets.dim() == 1:
        targets = targets.unsqueeze(1).expand(-1, steps)
    losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    if weights is not None:
        losses = losses * weights
    return losses.sum(1).mean()


def phase_loss(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error of the phase over the steps where it is known; zero where it is never known.

    ``outputs`` (N, T, 2) as ``ActionModel.split`` gives them; ``targets`` (N, T, 2) cosine and sine, NaN where
    unknown; ``weights`` (N, T) or (T,), None for ones.
    """
    known = ~torch.isnan(targets).any(-1)
    errors = (outputs - torch.where(known.unsqueeze(-1), targets, outputs.detach())).square().mean(-1)
    shares = known.to(errors.dtype) if weights is None else known * weights
    return (errors * shares).sum() / shares.sum().clamp(min=1e-6)
