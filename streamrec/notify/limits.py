"""How much one receiver is sent: limits an hour, for each camera and in all, and quiet hours.

The limits are a state machine without a clock of its own. The first message about an event counts, and what follows
about the same event does not: it goes where the first one went.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from streamrec.errors import SinkError

_HOUR = 3600.0
_MOST_KNOWN = 10_000  # events whose first message is remembered
_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")


class Handling(Enum):
    """What becomes of a message."""

    send = auto()
    hold = auto()  # the next message that is sent sums it up
    drop = auto()  # it follows one that was held back


@dataclass(frozen=True, slots=True)
class Span:
    """Hours of each day, by the machine's clock: minutes from midnight; it may go over midnight.

    >>> Span.of("22:00-07:00").holds(23 * 60), Span.of("22:00-07:00").holds(12 * 60)
    (True, False)
    """

    begins: int
    ends: int

    @classmethod
    def of(cls, text: str) -> Span:
        """Raises ``SinkError``."""
        found = _SPAN.fullmatch(text.strip())
        if found is None:
            raise SinkError(f"quiet: {text!r} are no hours; write them like '22:00-07:00'")
        hour, minute, last, more = map(int, found.groups())
        if (hour, minute) == (last, more):
            raise SinkError(f"quiet: {text!r} begins when it ends; write hours like '22:00-07:00'")
        return cls(60 * hour + minute, 60 * last + more)

    def holds(self, minute: int) -> bool:
        """Whether this minute of the day is within."""
        if self.begins < self.ends:
            return self.begins <= minute < self.ends
        return minute >= self.begins or minute < self.ends


class SendingLimits:
    """Decides which messages one receiver is sent. Not thread-safe: its outbox worker alone asks.

    ``quiet_except``: labels that are sent in quiet hours too; they count for the limits as others do. 0 is no limit.
    """

    def __init__(
        self, *, in_all: int, per_camera: int, quiet: Iterable[str] = (), quiet_except: Iterable[str] = ()
    ) -> None:
        self._in_all, self._per_camera = in_all, per_camera
        self._quiet = tuple(map(Span.of, quiet))
        self._quiet_except = frozenset(quiet_except)
        self._sent: deque[tuple[float, str]] = deque()  # the last hour's: when, and of which camera
        self._known: OrderedDict[str, bool] = (
            OrderedDict()
        )  # id of an event: whether its first message was sent

    def resume(self, held: Iterable[dict[str, Any]]) -> None:
        """The events of these messages were held back before this process began."""
        for body in held:
            self._remember(body["data"]["id"], sent=False)

    def decide(self, body: dict[str, Any], now: float) -> Handling:
        """What becomes of a message, by its JSON; ``now``: seconds since 1970."""
        data = body["data"]
        first = self._known.get(data["id"])
        if first is not None:
            return Handling.send if first else Handling.drop
        while self._sent and not 0.0 <= now - self._sent[0][0] < _HOUR:
            self._sent.popleft()  # older, or from before the clock was set back
        of_camera = sum(camera == data["camera"] for _, camera in self._sent)
        if (
            self._is_quiet(data["label"], now)
            or (self._in_all and len(self._sent) >= self._in_all)
            or (self._per_camera and of_camera >= self._per_camera)
        ):
            return Handling.hold
        return Handling.send

    def sent(self, body: dict[str, Any], now: float) -> None:
        """A message has arrived."""
        if body["data"]["id"] not in self._known:
            self._sent.append((now, body["data"]["camera"]))
        self._remember(body["data"]["id"], sent=True)

    def held(self, body: dict[str, Any]) -> None:
        """A message was held back."""
        self._remember(body["data"]["id"], sent=False)

    def _is_quiet(self, label: str, now: float) -> bool:
        if not self._quiet or label in self._quiet_except:
            return False
        local = datetime.fromtimestamp(now)
        return any(span.holds(60 * local.hour + local.minute) for span in self._quiet)

    def _remember(self, id: str, *, sent: bool) -> None:
        self._known[id] = sent
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
