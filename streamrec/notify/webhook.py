"""Webhooks: each event as a signed POST of JSON, retried until it arrives.

The signature is that of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over id, time and body, so that
ready-made libraries verify it, or five lines (docs/events.md).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from streamrec.errors import SinkError
from streamrec.notify.delivery import DeliverySettings, OutboxWorker, wanted
from streamrec.notify.http_client import HttpClient, check_answer, check_url
from streamrec.notify.notification import extended
from streamrec.notify.receivers import OutboxReceiver, check_events, is_ready, trial_body, trial_picture
from streamrec.outputs.history.records import Kind, Message
from streamrec.outputs.history.store import History

_SHORTEST_SECRET = 16  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """One ``[[webhook]]`` table of cameras.toml."""

    url: str = field(default="", repr=False, metadata={"needed": True, "secret": True})
    name: str = ""  # its name in messages; "": the host's
    secret: str = field(default="", repr=False, metadata={"secret": True})  # signs; "": it is not signed
    token: str = field(
        default="", repr=False, metadata={"secret": True}
    )  # sent as "Authorization: Bearer ..."
    events: tuple[str, ...] = ("started", "ended")  # and "evidence": a video is there
    cameras: tuple[str, ...] = ()  # empty: all
    labels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    picture: bool = False  # with the picture of the event, in the message that it starts
    public_url: str = ""  # of the page, for links; "": that of [notify]
    timeout: float = 10.0  # seconds to connect and to answer, in all
    give_up_hours: float = 72.0
    ca: str = field(default="", metadata={"path": True})  # a file with the certificate authority to trust

    def __post_init__(self) -> None:
        check_url(self.url)
        if self.secret and len(self.secret) < _SHORTEST_SECRET:
            raise SinkError(
                f"secret: {len(self.secret)} letters are guessed; give at least {_SHORTEST_SECRET}"
            )
        check_events(self.events)
        if self.public_url:
            check_url(self.public_url, "public_url")
        if not self.timeout > 0:
            raise SinkError(f"timeout: {self.timeout:g} s is no time to answer in")

    @property
    def receiver(self) -> str:
        """Its name in the outbox and in messages, without secrets."""
        return f"webhook {self.name or urlsplit(self.url).hostname}"


def key_of(secret: str) -> bytes:
    """The signing key: a secret is ``whsec_`` and base64, or any text as it is.

    >>> key_of("whsec_c2VjcmV0"), key_of("plain")
    (b'secret', b'plain')
    """
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            raise SinkError("secret: what follows whsec_ is not base64") from None
    return secret.encode()


def sign(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """The signature of a message, as ``webhook-signature`` has it.

    >>> sign("plain", "1-started", 0, b"{}")
    'v1,9kzihm8QvBR+K5ZDDwrxJvu3xZGG2hQecA0Ib9RA5/w='
    """
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


class Webhook(OutboxReceiver):
    """Delivers the announcements of a history to one URL; ``settings.receiver`` is its name in the outbox.

    ``log`` gets messages, which hold no secret and nothing of the URL but its host.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        history: History,
        *,
        log: Callable[[str], object] = lambda sentence: None,
        rng: random.Random | None = None,
    ) -> None:
        self._settings, self._history = settings, history
        if settings.secret:
            key_of(settings.secret)  # a wrong one raises now
        self._client = HttpClient(settings.url, timeout=settings.timeout, ca=settings.ca)
        self._worker = OutboxWorker(
            history,
            settings.receiver,
            self._send,
            settings=DeliverySettings(
                wants=wanted(settings.events, settings.cameras, settings.labels, settings.models),
                ready=is_ready(history) if settings.picture else lambda message: True,
                give_up_hours=settings.give_up_hours,
            ),
            log=log,
            rng=rng,
        )

    def test(self) -> str:
        """Post the start of an event that did not happen, at once."""
        body = trial_body()
        picture = trial_picture() if self._settings.picture else None
        return self._post(body["id"], extended(json.dumps(body), self._settings.public_url, picture))

    def wake(self) -> None:
        """A new message waits."""
        self._worker.wake()

    def _send(self, message: Message) -> None:
        picture = None
        if self._settings.picture and message.kind is Kind.started:
            picture = self._history.pictures.get(message.event)
        self._post(message.id, extended(message.body, self._settings.public_url, picture))

    def _post(self, id: str, text: str) -> str:
        """The answer as a clause; raises ``Undelivered``."""
        settings = self._settings
        body, now = text.encode("utf-8", "backslashreplace"), int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(now),
        }
        if settings.secret:
            headers["webhook-signature"] = sign(settings.secret, id, now, body)
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        answer = self._client.send("POST", self._client.target, body, headers)
        check_answer(answer)
        return f"it answered {answer.status}"
