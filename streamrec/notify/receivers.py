"""The interface of a receiver of events, and the table of those beside webhooks and MQTT."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamrec.outputs.history.records import Announcement
from streamrec.outputs.history.store import History
from streamrec.settings.cameras_file import TABLES

if TYPE_CHECKING:
    from streamrec.notify.arming import Arming


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

    def arming(self, arming: Arming) -> None:  # noqa: B027 (most receivers choose nothing)
        """What is armed can be asked and chosen here; called once, before any camera."""

    def remove(self, name: str) -> None:  # noqa: B027 (most receivers need none)
        """A camera is no longer watched."""

    def state(self, name: str, state: str) -> None:  # noqa: B027 (most receivers need none)
        """The state of a camera has changed."""


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
