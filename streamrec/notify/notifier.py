"""Receivers for people: a notification with a picture at once, and what follows under the same id.

A ``Channel`` is one service that takes notifications (ntfy, Apprise). ``Notifier`` is the receiver around it: the
outbox, the limits, the picture, and what was held back.
"""

from __future__ import annotations

import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamrec.errors import SinkError
from streamrec.notify.delivery import DeliverySettings, OutboxWorker, wanted
from streamrec.notify.http_client import check_url
from streamrec.notify.limits import Handling, SendingLimits
from streamrec.notify.notification import Notification, notification_of
from streamrec.notify.receivers import OutboxReceiver, check_events, is_ready, trial_body, trial_picture
from streamrec.outputs.history.records import Message
from streamrec.outputs.history.store import History

_MOST_HELD = 1000  # messages that one summary takes
_Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierSettings(ABC):
    """The keys that the tables of receivers for people share."""

    name: str = ""  # its name in messages
    events: tuple[str, ...] = ("started", "evidence")  # and "ended"
    cameras: tuple[str, ...] = ()  # empty: all
    labels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    picture: bool = True
    most_per_hour: int = 30  # notifications, in all; 0: without limit
    most_per_hour_camera: int = 10  # of each camera
    quiet: tuple[str, ...] = ()  # hours like "22:00-07:00", by the machine's clock
    quiet_except: tuple[str, ...] = ()  # labels that are sent all the same
    give_up_hours: float = 72.0
    public_url: str = ""  # of the page, for links; "": that of [notify]

    def __post_init__(self) -> None:
        check_events(self.events)
        self.limits()  # wrong hours raise now
        if self.public_url:
            check_url(self.public_url, "public_url")
        if self.most_per_hour < 0 or self.most_per_hour_camera < 0:
            raise SinkError("most_per_hour: give 0, for no limit, or more")

    @property
    @abstractmethod
    def receiver(self) -> str:
        """Its name in the outbox and in messages, without secrets."""

    def limits(self) -> SendingLimits:
        """New limits, which have seen nothing."""
        return SendingLimits(
            in_all=self.most_per_hour,
            per_camera=self.most_per_hour_camera,
            quiet=self.quiet,
            quiet_except=self.quiet_except,
        )


class Channel(ABC):
    """One service that takes notifications."""

    @abstractmethod
    def send(self, notification: Notification) -> str:
        """Send it; the answer as a clause, without secrets. Raises ``Undelivered``.

        It is called again with the same ``event`` and ``kind`` where it raised, or where this process was killed.
        """


class Notifier(OutboxReceiver):
    """Delivers the announcements of a history to people, over a channel."""

    def __init__(
        self,
        settings: NotifierSettings,
        history: History,
        channel: Channel,
        *,
        log: Callable[[str], object] = lambda sentence: None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._settings, self._history, self._channel, self._clock = settings, history, channel, clock
        self._limits = settings.limits()
        self._limits.resume(self._held())
        self._worker = OutboxWorker(
            history,
            settings.receiver,
            self._send,
            settings=DeliverySettings(
                wants=wanted(settings.events, settings.cameras, settings.labels, settings.models),
                ready=is_ready(history, clock) if settings.picture else lambda message: True,
                limit=self._limited,
                give_up_hours=settings.give_up_hours,
            ),
            log=log,
            rng=rng,
        )

    def test(self) -> str:
        """Send a test notification at once, beside the outbox."""
        picture = trial_picture() if self._settings.picture else None
        body = trial_body()
        return self._channel.send(
            notification_of(body, public_url=self._settings.public_url, picture=picture)
        )

    def _limited(self, message: Message) -> bool:
        """Hold a message back, or drop it, where it is not to be sent now; whether that was done."""
        body = json.loads(message.body)
        handling = self._limits.decide(body, self._clock())
        if handling is Handling.hold:
            self._history.hold_back(message)
            self._limits.held(body)
        elif handling is Handling.drop:
            self._history.arrived(message)
        return handling is not Handling.send

    def _held(self) -> list[_Json]:
        return [json.loads(one.body) for one in self._held_messages()]

    def _held_messages(self) -> list[Message]:
        return self._history.waiting(self._settings.receiver, _MOST_HELD, held=True)

    def _send(self, message: Message) -> None:
        body, held = json.loads(message.body), self._held_messages()
        settings = self._settings
        picture = self._history.pictures.get(message.event) if settings.picture else None
        bodies = [json.loads(one.body) for one in held]
        self._channel.send(
            notification_of(body, public_url=settings.public_url, picture=picture, held=bodies)
        )
        self._limits.sent(body, self._clock())
        for one in held:
            self._history.arrived(one)
