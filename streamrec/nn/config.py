"""The model's configuration: all but its weights. No torch here: serving an exported model does not need it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from streamrec.core.arguments import MODEL_FPS, Limits
from streamrec.core.messages import shortened
from streamrec.core.text import printable
from streamrec.errors import ModelError
from streamrec.events.detector import EventSettings
from streamrec.events.repetitions import CountSettings
from streamrec.nn.ood import KnownFeatures, KnownPictures, known_from
from streamrec.nn.signals import SignalTransform
from streamrec.nn.sound import SoundTransform
from streamrec.nn.transforms import InputTransform, Transform

_MOST_LABELS, _LONGEST_LABEL, _LONGEST = 10_000, 200, 10_000  # letters
_LIMITS = {
    "hidden_size": Limits(1, 16_384, whole=True),
    "layers": Limits(1, 64, whole=True),
    "recall_frames": Limits(0.001, 1e6),
    "context": Limits(1, 65_536, whole=True),
    "keypoint_share": Limits(0.0, 1.0),
    "statistics_seconds": Limits(0.01, 3_600, unit="seconds"),
    "dropout": Limits(0, 1),
    "fps": MODEL_FPS,
    "max_gap": Limits(0.001, 3_600, unit="seconds"),
}
_KINDS = {
    **dict.fromkeys(
        (
            *("recall", "recall_features", "recall_only", "recall_gate"),
            *("feature_norm", "standardize", "statistics_changes"),
        ),
        bool,
    ),
    "transform": InputTransform,
    "events": EventSettings,
    "counting": CountSettings,
}
OWN_CLASS = "own"  # the encoder of a model whose CNN is a user's own class: its file runs by the graph in it
TAUGHT = "person-taught"  # of a model that was taught live (``teach``): its file runs by the graph in it too
TAUGHT_SIGNAL = "signal-taught"  # the same, of readings
FORMAT = 2  # of model files; a file of another one is refused
# The kinds of transforms other than of images, by the ``kind`` that stands in their files: one of images says none.
TRANSFORMS: dict[str, type[InputTransform]] = {"signal": SignalTransform, "sound": SoundTransform}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that makes a model besides its weights; it is saved with them.

    >>> ModelConfig(labels=("idle", "squat"), counted=("squat",)).outputs
    4
    """

    labels: tuple[str, ...]
    encoder: str = "motion"
    transform: InputTransform = field(default_factory=Transform)
    head: str = "lstm"  # "lstm", "gru", "attention", "statistics" or "ensemble"
    hidden_size: int = 128
    layers: int = 1
    recall: bool = True  # EMA pooling of the hidden output, beside it; the attention head has none
    recall_features: bool = False  # and of the features
    recall_only: bool = False  # classify on the long-term average only
    recall_gate: bool = False  # with a forget gate
    recall_frames: float = 80.0  # the longest initial time constant, in frames at ``fps``
    context: int = 32  # frames that the attention head keeps; the other heads keep none
    statistics_seconds: float = 1.0  # time constant of the statistics head; the other heads have none
    statistics_changes: bool = True  # whether that head reads how features changed of late, too
    keypoint_share: float = 0.5  # of the ensemble head's logits: what its LSTM on keypoints counts
    standardize: bool = (
        False  # features by mean and deviation of the training data, before an LSTM on keypoints
    )
    feature_norm: bool = False  # layer norm on the features, before the head
    dropout: float = 0.2
    fps: float = 10.0  # the sampling rate that the model was trained at
    max_gap: float = 1.0  # seconds: after a longer gap the state begins anew; training had none longer
    events: EventSettings = field(default_factory=EventSettings)
    counted: tuple[str, ...] = ()  # labels whose repetitions are counted
    counting: CountSettings = field(default_factory=CountSettings)
    known: KnownPictures | KnownFeatures | None = None  # for the out-of-distribution score; None: it has none
    about: str = ""  # one sentence for people: trained on what
    # Names of the data sets that it learned from; what it is measured on must be none of them.
    learned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_labels("labels", self.labels)
        _check_labels("counted", self.counted)
        _check_labels("learned", self.learned)
        for name, allowed in _LIMITS.items():
            if not allowed.holds(value := getattr(self, name)):
                raise ModelError(f"{name} is {shortened(value)}: give {allowed}")
        for name, kind in _KINDS.items():
            if not isinstance(value := getattr(self, name), kind):
                raise ModelError(f"{name} is {shortened(value)}: give a {kind.__name__}")
        for name in ("encoder", "head", "about"):
            if not isinstance(value := getattr(self, name), str) or len(value) > _LONGEST:
                raise ModelError(f"{name} is {shortened(value)}: give a text of at most {_LONGEST:,} letters")
        unknown = [label for label in self.counted if label not in self.labels]
        if unknown and self.labels:  # a recipe has none yet
            raise ModelError(
                f"{', '.join(unknown)} cannot be counted: the labels are {', '.join(self.labels)}"
            )
        idle = [name for name in ("recall_features", "recall_only", "recall_gate") if getattr(self, name)]
        if idle and not self.recall:
            raise ModelError(f"{' and '.join(idle)} without recall: set recall too, or neither")

    @property
    def outputs(self) -> int:
        """Width of the network's output: a logit a label, then cosine and sine of the phase, if it counts."""
        return len(self.labels) + (2 if self.counted else 0)

    @property
    def pictures(self) -> Transform:
        """The transform of a model of pictures; raises ``ModelError`` for a model of another sense."""
        if not isinstance(self.transform, Transform):
            raise ModelError(
                f"this is for models of pictures, and the model takes {self.transform.described}"
            )
        return self.transform

    @property
    def sound(self) -> SoundTransform:
        """The transform of a model of sound; raises ``ModelError`` for a model of another sense."""
        if not isinstance(self.transform, SoundTransform):
            raise ModelError(f"this is for models of sound, and the model takes {self.transform.described}")
        return self.transform

    @property
    def is_own(self) -> bool:
        """Whether its encoder cannot be built from the file, which runs by its graph: a user's own class, or taught."""
        return self.encoder in (OWN_CLASS, TAUGHT, TAUGHT_SIGNAL)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values: dict[str, Any] = _plain(asdict(self))
        kind = next((name for name, made in TRANSFORMS.items() if isinstance(self.transform, made)), None)
        if kind is not None:
            values["transform"] = {"kind": kind, **values["transform"]}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """The reverse of ``to_dict``, also after JSON has made lists of the tuples.

        A field that a file lacks, because it is older than the field, has the default: that was the behaviour then.
        """
        plain = _with_tuples(values)
        plain["transform"] = _transform_from(_with_tuples(values["transform"]))
        plain["events"] = EventSettings.from_dict(values["events"])
        plain["counting"] = CountSettings(**values.get("counting", {}))
        if values.get("known") is not None:
            plain["known"] = known_from(values["known"])
        return cls(**plain)


def _transform_from(values: dict[str, Any]) -> InputTransform:
    if "kind" not in values:  # as of every file from before there were others
        return Transform(**values)
    kind = values.pop("kind")
    if kind not in TRANSFORMS:
        raise ModelError(
            f"it takes {shortened(kind)}, which this streamrec does not know: install a newer one"
        )
    return TRANSFORMS[kind](**values)


def _check_labels(name: str, labels: object) -> None:
    """Labels (and names of sets) are shown and written everywhere: one with control characters is refused."""
    if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
        raise ModelError(f"{name} are {shortened(labels)}: give texts")
    if len(labels) > _MOST_LABELS:
        raise ModelError(f"{len(labels)} {name}: a model has at most {_MOST_LABELS:,}")
    for label in labels:
        if not label.strip() or len(label) > _LONGEST_LABEL:
            raise ModelError(
                f"{name}: {shortened(label)} is none; give 1 to {_LONGEST_LABEL} letters, not all blanks"
            )
        if printable(label) != label:
            raise ModelError(
                f"{name}: {shortened(label)} holds a character that is not printed; give it another name"
            )
    if len(set(labels)) < len(labels):
        raise ModelError(f"{name} are {shortened(labels)}: give each only once")


def _plain(value: Any) -> Any:
    """The same with Python's own numbers in place of numpy's."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value if isinstance(value, str | int | float | None) else value.item()


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
