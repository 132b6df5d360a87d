"""Apprise (github.com/caronc/apprise): one library for a hundred services, from e-mail to Telegram and Signal.

Its addresses hold the secrets of the services. Nothing of them is ever shown, and nothing that the library logs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamrec.core.files import too_open
from streamrec.errors import SinkError, need
from streamrec.notify.delivery import Undelivered
from streamrec.notify.notification import Notification
from streamrec.notify.notifier import Channel, Notifier, NotifierSettings
from streamrec.notify.receivers import register
from streamrec.outputs.history.records import Kind
from streamrec.outputs.history.store import History

_STATUS = re.compile(r"error\s*=\s*(\d{3})\b")  # in what the library logs of an HTTP service
_SECONDS = 30.0  # for one service


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseSettings(NotifierSettings):
    """One ``[[apprise]]`` table of cameras.toml."""

    urls: tuple[str, ...] = field(default=(), repr=False, metadata={"secret": True})
    config: str = field(default="", metadata={"path": True})  # a configuration file of Apprise's own
    tags: tuple[str, ...] = ()  # which services of ``config``, any of these; empty: all

    def __post_init__(self) -> None:
        NotifierSettings.__post_init__(self)
        if not self.urls and not self.config:
            raise SinkError(
                "urls: it is missing; give the addresses of services, or config, a file with them"
            )
        if self.tags and not self.config:
            raise SinkError("tags: they choose services of a config; there is none")

    @property
    def receiver(self) -> str:
        """Its name in the outbox and in messages, without secrets."""
        return f"apprise {self.name}".rstrip()


class AppriseChannel(Channel):
    """The services of one table. Raises ``MissingExtra`` without apprise, ``SinkError`` for addresses of no service."""

    def __init__(self, settings: AppriseSettings) -> None:
        self._apprise: Any = need("apprise", extra="apprise")
        logger = logging.getLogger("apprise")  # its messages quote addresses
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        # Redirects could lead a message, and what authorizes it, elsewhere. Templates would fill ${NAME} of a label in.
        self._asset = self._apprise.AppriseAsset(
            app_id="streamrec", app_desc="streamrec", http_redirects=False, allow_templates=False
        )
        # The video follows with a link: the picture came before.
        self._once = Kind.started in settings.events
        self._services = self._found(settings)
        self._took: tuple[str, set[int]] = "", set()  # the last notification, and which services have it

    def _found(self, settings: AppriseSettings) -> list[Any]:
        found: list[Any] = []
        for number, url in enumerate(settings.urls, 1):
            service = self._apprise.Apprise.instantiate(url, asset=self._asset)
            if service is None:
                raise SinkError(
                    f"{settings.receiver}: urls: number {number} is no address of a service that Apprise knows"
                )
            found.append(service)
        if settings.config:
            if not Path(settings.config).is_file():
                raise SinkError(f"{settings.receiver}: config: there is no file {settings.config}")
            config = self._apprise.AppriseConfig(asset=self._asset)  # what it includes is not read
            config.add(settings.config)
            every = self._apprise.Apprise(asset=self._asset)
            every.add(config)
            found += every.find(list(settings.tags)) if settings.tags else list(every)
        if not found:
            raise SinkError(f"{settings.receiver}: config: none of its services has one of these tags")
        return found

    def send(self, notification: Notification) -> str:
        """Send it to each service; where one fails, only that is tried again."""
        key = f"{notification.event}-{notification.kind}"
        if self._took[0] != key:
            self._took = key, set()
        failures: list[str] = []
        for number, service in enumerate(self._services):
            if number in self._took[1]:
                continue
            reason = self._sent(service, notification)
            if reason:
                failures.append(f"{getattr(service, 'service_name', None) or 'a service'}: {reason}")
            else:
                self._took[1].add(number)
        if failures:
            raise Undelivered("; ".join(dict.fromkeys(failures)))
        count = len(self._services)
        return f"{count} service{'' if count == 1 else 's'} took it"

    def _sent(self, service: Any, notification: Notification) -> str:
        """Send it to one service; why it failed, as a clause without secrets, or ""."""
        one = self._apprise.Apprise(asset=self._asset)
        one.add(service)
        text = "\n".join(filter(None, (notification.text, notification.link)))
        attachment = None
        is_wanted = notification.picture is not None and not (
            self._once and notification.kind is not Kind.started
        )
        if is_wanted and getattr(service, "attachment_support", False):
            attachment = self._apprise.AppriseAttachment()
            attachment.add(self._attached(notification))
        logged: list[str] = []
        try:
            done = one.notify(
                text,
                title=notification.title,
                body_format=self._apprise.NotifyFormat.TEXT,
                attach=attachment,
                timeout=_SECONDS,
                log_callback=lambda entry, service: logged.append(entry.message),
            )
        except Exception as error:  # a plug-in's own; its text may hold a secret
            return f"it failed ({type(error).__name__})"
        if done:
            return ""
        status = next((found[1] for line in logged if (found := _STATUS.search(line))), None)
        return "it could not be reached, or refused it" if status is None else f"it answered {status}"

    def _attached(self, notification: Notification) -> Any:
        memory = need("apprise.attachment.memory", extra="apprise")
        return memory.AttachMemory(
            content=notification.picture,
            name=f"{notification.event}.jpg",
            mimetype="image/jpeg",
            asset=self._asset,
        )


def _made(settings: AppriseSettings, history: History, log: Callable[[str], object]) -> Notifier:
    if settings.config and (warning := too_open(Path(settings.config))) is not None:
        log(warning)
    return Notifier(settings, history, AppriseChannel(settings), log=log)


register("apprise", AppriseSettings, _made)
