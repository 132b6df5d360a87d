"""A correction: a person's verdict on an event, or on a time at which there should have been one."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from streamrec.core.messages import shortened
from streamrec.errors import WrongValue

LONGEST_LABEL = 100  # letters
LONGEST_MISSED = 60.0  # seconds
_MOST_MOMENT = 1e11  # seconds since 1970


class Verdict(StrEnum):
    """A person's verdict."""

    right = "right"  # the event is true
    wrong = "wrong"  # nothing happened
    other = "other"  # something else happened: ``Correction.truth`` names it
    missed = "missed"  # there was no event, and there should have been one


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One correction."""

    id: str  # unique; sorts by the time at which it was made
    made: float  # seconds since 1970
    verdict: Verdict
    camera: str
    model: str
    label: str  # of the event; of a missed one, what it should have been
    truth: str = ""  # what it was, where the verdict is ``other``
    event: str = ""  # id of the event in the history; "": a missed one
    started: float  # seconds since 1970
    ended: float
    confidence: float = 0.0  # of the event: its highest smoothed score
    moment: bool = False  # whether the scores of these seconds are kept too

    @property
    def is_false(self) -> bool:
        """Whether the label was reported where it should not have been."""
        return self.verdict in (Verdict.wrong, Verdict.other)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "verdict": str(self.verdict)
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Correction:
        """The correction that ``to_dict`` wrote; raises ``WrongValue`` for anything else.

        >>> made = Correction(id="1", made=2.0, verdict=Verdict.wrong, camera="door", model="fall", label="fall",
        ...                   started=0.0, ended=1.0)
        >>> Correction.from_dict(made.to_dict()) == made
        True
        """
        try:
            found = cls(**{**values, "verdict": Verdict(values["verdict"])})
        except (TypeError, KeyError, ValueError) as error:
            raise WrongValue(f"this is no correction: {shortened(values)}") from error
        texts = (found.id, found.camera, found.model, found.label, found.truth, found.event)
        numbers = (found.made, found.started, found.ended, found.confidence)
        if not (
            all(isinstance(text, str) for text in texts)
            and all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
            and isinstance(found.moment, bool)
        ):
            raise WrongValue(f"this is no correction: {shortened(values)}")
        return found


def new_correction_id(made: float) -> str:
    """A unique id; ids sort by time, and are names of files."""
    return f"{max(0, round(min(made, _MOST_MOMENT) * 1000)):012x}-{secrets.token_hex(4)}"
