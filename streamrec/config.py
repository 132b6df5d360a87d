"""What makes a model besides its weights. No torch here: serving an exported model does not need it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from streamrec.events import EventSettings
from streamrec.transforms import Transform

FORMAT = 1  # of model files; a file of a later one is refused


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that makes a model besides its weights; it is saved with them."""

    labels: tuple[str, ...]
    encoder: str = "motion"
    transform: Transform = field(default_factory=Transform)
    hidden_size: int = 128
    layers: int = 1
    dropout: float = 0.2
    fps: float = 10.0  # the rhythm that the head learned
    max_gap: float = 1.0  # seconds: after a longer gap than it was trained for, the state begins anew
    events: EventSettings = field(default_factory=EventSettings)
    about: str = ""  # one sentence for people: trained on what

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """The reverse of ``to_dict``, also after JSON has made lists of the tuples."""
        plain = _with_tuples(values)
        plain["transform"] = Transform(**_with_tuples(values["transform"]))
        plain["events"] = EventSettings.from_dict(values["events"])
        return cls(**plain)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
