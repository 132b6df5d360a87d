"""ntfy (ntfy.sh, or a server of one's own): a push notification with the picture as its attachment.

https://docs.ntfy.sh/publish: with a picture the file is the body of a PUT, and all else stands in headers; without one
the message is published as JSON. ``X-Sequence-ID`` is the event's id: since ntfy 2.16 what follows replaces the first
notification, and so does a repetition; an older server ignores it, and shows a second notification.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamrec.errors import SinkError
from streamrec.notify.delivery import Undelivered
from streamrec.notify.http_client import Answer, HttpClient, check_answer, check_url
from streamrec.notify.notification import Notification
from streamrec.notify.notifier import Channel, Notifier, NotifierSettings
from streamrec.notify.receivers import register
from streamrec.outputs.history.records import Kind
from streamrec.outputs.history.store import History

_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")  # what ntfy's server takes
_NO_ATTACHMENTS = 40014  # ntfy's code for a server without them
_PLAIN_SECONDS = 3600.0  # without pictures, after the server refused one


@dataclass(frozen=True, slots=True, kw_only=True)
class NtfySettings(NotifierSettings):
    """One ``[[ntfy]]`` table of cameras.toml."""

    server: str = "https://ntfy.sh"
    # Where anybody may read a topic, as at ntfy.sh, it is the secret: it is never shown.
    topic: str = field(default="", repr=False, metadata={"needed": True, "secret": True})
    token: str = field(default="", repr=False, metadata={"secret": True})
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False, metadata={"secret": True})
    priority: tuple[tuple[str, int], ...] = ()  # by label, 1 to 5; others have ntfy's own, 3
    timeout: float = 10.0  # seconds to connect and to answer, in all
    ca: str = field(default="", metadata={"path": True})  # a file with the certificate authority to trust

    def __post_init__(self) -> None:
        NotifierSettings.__post_init__(self)
        parts = check_url(self.server, "server")
        if parts.path.strip("/") or parts.query:
            raise SinkError(
                "server: write it without a path, like https://ntfy.sh; the topic has a key of its own"
            )
        if not _TOPIC.fullmatch(self.topic):
            raise SinkError("topic: give up to 64 letters, digits, - and _")
        if self.token and (self.user or self.password):
            raise SinkError("token: there is a user too; give one of them")
        if self.password and not self.user:
            raise SinkError("user: it is missing; a password belongs to a user")
        for key in ("token", "user", "password"):
            if not getattr(self, key).isprintable():
                raise SinkError(f"{key}: it holds a control character, like the end of a line")
        for label, priority in self.priority:
            if not 1 <= priority <= 5:
                raise SinkError(f"priority: {label} has {priority}; give 1 (lowest) to 5 (highest)")

    @property
    def receiver(self) -> str:
        """Its name in the outbox and in messages, without secrets."""
        return f"ntfy {self.name or check_url(self.server).hostname}"


def header(text: str) -> str:
    r"""A text as the value of a header: plain where it is ASCII, else as RFC 2047 has it, which ntfy decodes.

    No text can add a header: whatever has an end of a line is encoded.

    >>> header("fight"), header("Tür\r\nX-Email: me@example.org")
    ('fight', '=?UTF-8?B?VMO8cg0KWC1FbWFpbDogbWVAZXhhbXBsZS5vcmc=?=')
    """
    if text.isascii() and text.isprintable() and "=?" not in text:
        return text
    return f"=?UTF-8?B?{base64.b64encode(text.encode('utf-8', 'backslashreplace')).decode()}?="


class Ntfy(Channel):
    """One topic of one server."""

    def __init__(self, settings: NtfySettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._monotonic = settings, monotonic
        self._client = HttpClient(settings.server, timeout=settings.timeout, ca=settings.ca)
        self._priority = dict(settings.priority)
        self._plain_until = 0.0  # monotonic(): the server refused a picture, others are not tried

    def send(self, notification: Notification) -> str:
        """Publish it, with its picture where the server takes one."""
        # What follows an event replaces the notification: it carries the picture too, or that would go.
        picture = notification.picture
        if picture is not None and self._monotonic() >= self._plain_until:
            answer = self._client.send(
                "PUT", f"/{self._settings.topic}", picture, self._headers(notification)
            )
            if not _refuses_picture(answer):
                return _checked(answer)
            self._plain_until = self._monotonic() + _PLAIN_SECONDS
            return f"{self._publish(notification)}, and takes no picture"
        return self._publish(notification)

    def _publish(self, notification: Notification) -> str:
        """As JSON, without a picture."""
        body: dict[str, Any] = {
            "topic": self._settings.topic,
            "title": notification.title,
            "message": notification.text,
            "sequence_id": notification.event,
        }
        if (priority := self._priority.get(notification.label)) is not None:
            body["priority"] = priority
        if notification.link:
            body["click"] = notification.link
            if notification.kind is Kind.evidence:
                body["actions"] = [{"action": "view", "label": "Video", "url": notification.link}]
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
        headers = {"Content-Type": "application/json", **self._login()}
        return _checked(self._client.send("POST", "/", data, headers))

    def _headers(self, notification: Notification) -> dict[str, str]:
        headers = {
            "Content-Type": "image/jpeg",
            "X-Filename": f"{notification.event}.jpg",
            "X-Title": header(notification.title),
            # ntfy reads \n as the end of a line.
            "X-Message": header(notification.text.replace("\n", "\\n")),
            "X-Sequence-ID": notification.event,
            **self._login(),
        }
        if (priority := self._priority.get(notification.label)) is not None:
            headers["X-Priority"] = str(priority)
        if notification.link:
            headers["X-Click"] = notification.link
            if notification.kind is Kind.evidence:
                headers["X-Actions"] = f"view, Video, {notification.link}"
        return headers

    def _login(self) -> dict[str, str]:
        settings = self._settings
        if settings.token:
            return {"Authorization": f"Bearer {settings.token}"}
        if settings.user:
            login = base64.b64encode(f"{settings.user}:{settings.password}".encode()).decode()
            return {"Authorization": f"Basic {login}"}
        return {}


def _refuses_picture(answer: Answer) -> bool:
    """Whether the server takes the message, but not its attachment."""
    if answer.status == 413:
        return True
    if answer.status != 400:
        return False
    try:
        found = json.loads(answer.body)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("code") == _NO_ATTACHMENTS


def _checked(answer: Answer) -> str:
    # A wrong token is mended in the settings, and the messages wait for that.
    if answer.status in (401, 403):
        raise Undelivered(
            f"it answered {answer.status}: check its token, or user and password, and the topic"
        )
    check_answer(answer)
    return f"it answered {answer.status}"


def _made(settings: NtfySettings, history: History, log: Callable[[str], object]) -> Notifier:
    return Notifier(settings, history, Ntfy(settings), log=log)


register("ntfy", NtfySettings, _made)
