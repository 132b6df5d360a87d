"""The receivers that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from streamrec.errors import SettingsError
from streamrec.notify import receivers
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.mqtt import RECEIVER, Mqtt
from streamrec.notify.receivers import Receiver
from streamrec.notify.webhook import Webhook
from streamrec.outputs.history.store import History


def names_of_receivers(settings: DispatchSettings) -> list[str]:
    """Their names in the outbox; raises ``SettingsError`` where two have the same."""
    names = [one.receiver for one in (*settings.webhooks, *settings.further)]
    for name in names:
        if names.count(name) > 1:
            kind = name.split()[0]
            raise SettingsError(f"there are two of {name}: give each [[{kind}]] a name of its own")
    return names + ([RECEIVER] if settings.mqtt is not None else [])


def receivers_of(
    settings: DispatchSettings, history: History, log: Callable[[str], object]
) -> dict[str, Receiver]:
    """Each by its name, running; where one cannot be made, those before it are closed. Raises ``StreamrecError``."""
    found: dict[str, Receiver] = {}
    kinds = {kind.settings: kind for kind in receivers.KINDS.values()}
    try:
        for webhook in settings.webhooks:
            found[webhook.receiver] = Webhook(webhook, history, log=log)
        for one in settings.further:
            found[one.receiver] = kinds[type(one)].make(one, history, log)
        if settings.mqtt is not None:
            found[RECEIVER] = Mqtt(settings.mqtt, history, log=log)
    except BaseException:
        for receiver in found.values():
            receiver.close(0.0)
        raise
    return found
