"""What groups and the ledger pass to each other as bytes: in calls, in snapshots on the head, in outboxes."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from streamrec.core.packed import Form, Packer
from streamrec.core.state import State
from streamrec.events.detector import EventState, Track
from streamrec.events.occupancy import OccupancyState, Spell
from streamrec.events.places import Side
from streamrec.events.recurrence import Recurrence, RecurrenceState
from streamrec.events.repetitions import CountState
from streamrec.outputs.fleet.records import Batch, CameraStatus, SoundStatus
from streamrec.outputs.history.records import DECIDED, Entry, Kind, RemoteResult
from streamrec.pipeline.snapshot import CameraSnapshot, SoundSnapshot
from streamrec.types import ActionEnded, ActionStarted, Forecast, Frame, ModelResult, Person, Prediction


def _frame(shape: tuple[int, ...], index: int, timestamp: float, segment: int, source: str) -> Frame:
    return Frame(np.broadcast_to(np.uint8(0), shape), index, timestamp, segment, source)


# A frame, of pictures as of readings and sound, leaves its data behind, and the time of another machine's monotonic
# clock.
_FRAME = Form(
    lambda one: (tuple(map(int, one.image.shape)), one.index, one.timestamp, one.segment, one.source), _frame
)

# Whether receivers are notified of an event is decided on the head, when it is written there.
_ENTRY_FIELDS = tuple(field.name for field in fields(Entry) if field.name not in DECIDED)
_ENTRY = Form(
    lambda one: [getattr(one, name) for name in _ENTRY_FIELDS],
    lambda *values: Entry(**dict(zip(_ENTRY_FIELDS, values, strict=True))),
)

PACKER = Packer(
    (
        ActionEnded, ActionStarted, Batch, CameraSnapshot, CameraStatus, CountState, EventState, Forecast, Kind,
        ModelResult, OccupancyState, Person, Prediction, Recurrence, RecurrenceState, RemoteResult, Side,
        SoundSnapshot, SoundStatus, Spell, State, Track,
    ),
    {Entry: _ENTRY, Frame: _FRAME},
)  # fmt: skip
"""For every record of ``outputs/fleet`` and all that a camera remembers."""
