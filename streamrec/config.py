"""What makes a model besides its weights. No torch here: serving an exported model does not need it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from streamrec.events import EventSettings
from streamrec.transforms import Transform


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
        transform = {k: tuple(v) if isinstance(v, list) else v for k, v in values["transform"].items()}
        events = {k: tuple(v) if isinstance(v, list) else v for k, v in values["events"].items()}
        plain = values | {
            "labels": tuple(values["labels"]),
            "transform": Transform(**transform),
            "events": EventSettings(**events),
        }
        return cls(**plain)
