"""What makes a model besides its weights. No torch here: serving an exported model does not need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streamrec.core.given import number, whole_number
from streamrec.counting import CountSettings
from streamrec.errors import ModelError
from streamrec.events import EventSettings
from streamrec.strangeness import KnownPictures
from streamrec.transforms import Transform

OWN_CLASS = (
    "own"  # the encoder of a model whose CNN is somebody's own class: its file runs by the graph in it
)
FORMAT = 2  # of model files; a file of another one is refused


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that makes a model besides its weights; it is saved with them.

    >>> ModelConfig(labels=("idle", "squat"), counted=("squat",)).outputs
    4
    """

    labels: tuple[str, ...]
    encoder: str = "motion"
    transform: Transform = field(default_factory=Transform)
    head: str = "lstm"  # "lstm", "gru" or "attention"
    hidden_size: int = 128
    layers: int = 1
    recall: bool = True  # leaky means of the hidden output beside it; the attention head has none
    recall_features: bool = False  # and of the features
    recall_only: bool = False  # the classifier is told the means alone, and nothing of the moment
    recall_gate: bool = False  # a frame may say that what came before is over
    recall_frames: float = 80.0  # the longest of their time constants to begin with, in frames of the rhythm
    context: int = 32  # frames that the attention head keeps; the others keep no frames
    feature_norm: bool = False  # layer norm on the features, before the head
    dropout: float = 0.2
    fps: float = 10.0  # the rhythm that the head learned
    max_gap: float = 1.0  # seconds: after a longer gap than it was trained for, the state begins anew
    events: EventSettings = field(default_factory=EventSettings)
    counted: tuple[str, ...] = ()  # labels whose repetitions are counted
    counting: CountSettings = field(default_factory=CountSettings)
    known: KnownPictures | None = (
        None  # what it knows by sight; None: it says of no picture that it is unknown
    )
    about: str = ""  # one sentence for people: trained on what

    def __post_init__(self) -> None:
        names = self.labels
        if (
            isinstance(names, str)
            or not isinstance(names, Sequence)
            or not all(isinstance(n, str) for n in names)
        ):
            raise ModelError(f"labels are {names!r}: give a tuple of names, like ('wave', 'nothing')")
        if len(set(names)) < len(names):
            raise ModelError(f"labels are {', '.join(names)}: give each only once")
        for name, kind in (("transform", Transform), ("events", EventSettings), ("counting", CountSettings)):
            if not isinstance(getattr(self, name), kind):
                raise ModelError(f"{name} is {getattr(self, name)!r}: give {kind.__name__}(...)")
        for name in ("hidden_size", "layers", "context"):
            whole_number(getattr(self, name), name, error=ModelError)
        for name in ("fps", "max_gap", "recall_frames"):
            number(getattr(self, name), name, above=0.0, error=ModelError)
        if not 0.0 <= number(self.dropout, "dropout", error=ModelError) < 1.0:
            raise ModelError(f"dropout is {self.dropout}: give a part, from 0 to less than 1")
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
        """Width of what the network puts out: a logit a label, then cosine and sine of the phase, if it counts."""
        return len(self.labels) + (2 if self.counted else 0)

    @property
    def is_own(self) -> bool:
        """Whether its CNN is somebody's own class, which a file does not hold: such a file runs by its graph."""
        return self.encoder == OWN_CLASS

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """The reverse of ``to_dict``, also after JSON has made lists of the tuples.

        What a file does not say, because it is older than the field, is as it was then: the default.
        """
        plain = _with_tuples(values)
        plain["transform"] = Transform(**_with_tuples(values["transform"]))
        plain["events"] = EventSettings.from_dict(values["events"])
        plain["counting"] = CountSettings(**values.get("counting", {}))
        if values.get("known") is not None:
            plain["known"] = KnownPictures.from_dict(values["known"])
        return cls(**plain)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
