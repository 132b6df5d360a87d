"""The interface of a receiver of events, what receivers share, and the table of those beside webhooks and MQTT."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from streamrec.errors import SinkError
from streamrec.notify.delivery import OutboxWorker, Undelivered
from streamrec.outputs.arming import ArmingService
from streamrec.outputs.history.records import Announcement, Entry, Kind, Message, new_id
from streamrec.outputs.history.store import History
from streamrec.settings.cameras_file import TABLES

_PICTURE_SECONDS = 1.0  # for which a message waits for its picture, at most


class Receiver(ABC):
    """Delivers the committed events of a history to one place; none of its methods but ``close`` waits."""

    @abstractmethod
    def notify(self, announcement: Announcement) -> None:
        """An event was committed and waits in the queue."""

    @abstractmethod
    def close(self, patience: float = 1.0) -> None:
        """Deliver what is due, for at most so many seconds; a second time does nothing."""

    def stop(self) -> None:  # noqa: B027 (most receivers need none)
        """Begin to end: ``close`` follows."""

    def camera(self, name: str, actions: Iterable[str], model: str = "") -> None:  # noqa: B027 (most receivers need none)
        """A camera is watched, and these are the actions that its model knows."""

    def models(self, name: str, actions: Mapping[str, tuple[str, ...]]) -> None:
        """A camera is watched by several models at once; ``actions``: of each, by its name."""
        labels = dict.fromkeys(label for own in actions.values() for label in own)
        self.camera(name, tuple(labels), " + ".join(filter(None, actions)))

    def arming(self, arming: ArmingService) -> None:  # noqa: B027 (most receivers choose nothing)
        """What is armed can be asked and chosen here; called once, before any camera."""

    def remove(self, name: str) -> None:  # noqa: B027 (most receivers need none)
        """A camera is no longer watched."""

    def state(self, name: str, state: str) -> None:  # noqa: B027 (most receivers need none)
        """The state of a camera has changed."""

    def picture(self, entry: Entry, jpeg: bytes) -> None:  # noqa: B027 (most receivers need none)
        """The picture of an event that receivers are notified of is in the history."""

    def hurry(self) -> None:  # noqa: B027 (most receivers wait for nothing)
        """What a message in the queue waited for may be there; returns at once."""

    def test(self) -> str:
        """Send a test, and wait for its answer: a clause without secrets. Raises ``Undelivered``; any thread."""
        raise Undelivered("this kind of receiver has no test")


class OutboxReceiver(Receiver):
    """A receiver whose outbox worker does all its work; the constructor makes the worker."""

    _worker: OutboxWorker

    def notify(self, announcement: Announcement) -> None:
        """An announcement waits in the outbox."""
        self._worker.wake()

    def hurry(self) -> None:
        """The message that waits for its picture can go."""
        self._worker.wake()

    def stop(self) -> None:
        """Begin to end."""
        self._worker.close(0.0)

    def close(self, patience: float = 1.0) -> None:
        """Send what is due; other messages wait for the next start."""
        self._worker.close(patience)


def check_events(events: Iterable[str]) -> None:
    """Raise ``SinkError`` where one is no kind of announcement."""
    for kind in events:
        if kind not in tuple(Kind):
            raise SinkError(f"events: there is no {kind!r}; there are {', '.join(Kind)}")


def is_ready(history: History, clock: Callable[[], float] = time.time) -> Callable[[Message], bool]:
    """Whether a message need not wait for its picture: it is there, none comes, or it waited long enough."""

    def ready(message: Message) -> bool:
        if message.kind is not Kind.started:
            return True
        waited = clock() - message.made
        return not 0.0 <= waited < _PICTURE_SECONDS or not history.pictures.is_awaited(message.event)

    return ready


def trial_body() -> dict[str, Any]:
    """The JSON of an event that did not happen, for tests of receivers."""
    now = time.time()
    entry = Entry(
        id=new_id(now), camera="streamrec", model="", label="test", started=now, confidence=1.0, zone="a test"
    )
    return Announcement(Kind.started, entry).to_dict()


@cache
def trial_picture() -> bytes:
    """A picture for tests of receivers, as JPEG."""
    image = np.full((180, 320, 3), 60, np.uint8)
    cv2.putText(image, "streamrec: a test", (20, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2)
    return bytes(cv2.imencode(".jpg", image)[1].tobytes())


@dataclass(frozen=True, slots=True)
class ReceiverKind:
    """What a table of cameras.toml becomes."""

    settings: type[Any]  # a frozen dataclass of the table's keys, with ``receiver``: its name in the queue
    make: Callable[[Any, History, Callable[[str], object]], Receiver]  # from settings, history and ``log``


# Table of cameras.toml -> what it becomes. A new receiver is a file in this folder and a call of ``register``.
KINDS: dict[str, ReceiverKind] = {}


def register(
    table: str, settings: type[Any], make: Callable[[Any, History, Callable[[str], object]], Receiver]
) -> None:
    """Let ``[[table]]`` of cameras.toml name receivers of this kind."""
    KINDS[table] = ReceiverKind(settings, make)
    if table not in TABLES:
        TABLES.append(table)
