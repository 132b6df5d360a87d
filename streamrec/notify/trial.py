"""Tests of receivers: one notification that says that it is a test, and what the receiver answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamrec.core.redact import redact
from streamrec.core.text import printable
from streamrec.errors import SettingsError, StreamrecError
from streamrec.notify.configured import names_of_receivers, receivers_of
from streamrec.notify.delivery import Undelivered
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.notify.mqtt import RECEIVER, try_broker
from streamrec.outputs.history.store import History


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a test."""

    name: str  # of the receiver
    arrived: bool
    answer: str  # a clause without secrets


def _tried(name: str, test: Callable[[], str], secrets: tuple[str, ...]) -> Trial:
    try:
        arrived, answer = True, test()
    except Undelivered as failure:
        arrived, answer = False, failure.reason
    except StreamrecError as error:
        arrived, answer = False, str(error)
    except Exception as error:  # its text may hold a secret
        arrived, answer = False, f"it failed ({type(error).__name__})"
    return Trial(name, arrived, printable(redact(answer, secrets)))


def try_configured(settings: DispatchSettings, name: str) -> Trial:
    """Test a receiver of the settings, beside a process that uses it or without one.

    Raises ``SettingsError`` where there is none of this name.
    """
    names = names_of_receivers(settings)
    if name not in names:
        known = ", ".join(names) or "none: add one to the file, as docs/notifications.md has it"
        raise SettingsError(f"there is no receiver {name!r}; there are {known}")

    def test() -> str:
        if name == RECEIVER and settings.mqtt is not None:
            return try_broker(settings.mqtt)
        alone = DispatchSettings(
            webhooks=tuple(one for one in settings.webhooks if one.receiver == name),
            further=tuple(one for one in settings.further if one.receiver == name),
        )
        with History(None) as history:
            (receiver,) = receivers_of(alone, history, lambda message: None).values()
            try:
                return receiver.test()
            finally:
                receiver.close(0.0)

    return _tried(name, test, settings.secrets)


class ReceiverDesk:
    """The receivers of a running dispatcher, for the page."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def names(self) -> list[str]:
        """Of all receivers."""
        return list(self._dispatcher.receivers)

    def waiting(self, name: str) -> tuple[int, int]:
        """How many messages wait for a receiver, and how many are held back; at most 1,000 of each are counted."""
        history = self._dispatcher.history
        if history is None:
            return 0, 0
        return len(history.waiting(name, 1000)), len(history.waiting(name, 1000, held=True))

    def test(self, name: str) -> tuple[bool, str]:
        """Test one, and wait for its answer: whether it arrived, and the answer as a clause. Raises ``KeyError``."""
        trial = _tried(name, self._dispatcher.receivers[name].test, self._dispatcher.settings.secrets)
        return trial.arrived, trial.answer
