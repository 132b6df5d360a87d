"""Webhooks: each event as a signed POST of JSON, retried until it arrives.

The signature is that of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over id, time and body, so that
ready-made libraries verify it, or five lines (docs/events.md).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from streamrec.core.connecting import Deadline, connected
from streamrec.errors import SinkError
from streamrec.notify.delivery import DeliverySettings, OutboxWorker, Undelivered, wanted
from streamrec.notify.receivers import Receiver
from streamrec.outputs.history.records import Announcement, Kind, Message
from streamrec.outputs.history.store import History

_MOST_ANSWER = 65_536  # bytes of an answer that are read
_REFUSED_ATTEMPTS = 5  # for a message that the receiver rejects
_LATER = (408, 409, 425, 429)  # 4xx that mean "not now"
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
    timeout: float = 10.0  # seconds to connect and to answer, in all
    give_up_hours: float = 72.0
    ca: str = field(default="", metadata={"path": True})  # a file with the certificate authority to trust

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
        except ValueError:  # its text quotes the address
            raise SinkError("url: its host and port cannot be read") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SinkError("url: write http://... or https://...")
        try:
            _ = parts.port
        except ValueError:
            raise SinkError("url: its port is none; write https://host:443/...") from None
        if parts.username or parts.password:
            raise SinkError("url: no user and password in it; give a token, or sign with a secret")
        if self.secret and len(self.secret) < _SHORTEST_SECRET:
            raise SinkError(
                f"secret: {len(self.secret)} letters are guessed; give at least {_SHORTEST_SECRET}"
            )
        for kind in self.events:
            if kind not in tuple(Kind):
                raise SinkError(f"events: there is no {kind!r}; there are {', '.join(Kind)}")
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


class Webhook(Receiver):
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
        self._settings = settings
        if settings.secret:
            key_of(settings.secret)  # a wrong one raises now
        self._context: ssl.SSLContext | None = None
        if urlsplit(settings.url).scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=settings.ca or None)
            except OSError as error:  # ssl.SSLError is one
                raise SinkError(f"ca: {settings.ca} cannot be read as certificates") from error
        self._worker = OutboxWorker(
            history,
            settings.receiver,
            self._send,
            settings=DeliverySettings(
                wants=wanted(settings.events, settings.cameras, settings.labels, settings.models),
                give_up_hours=settings.give_up_hours,
            ),
            log=log,
            rng=rng,
        )

    def notify(self, announcement: Announcement) -> None:
        """An announcement waits in the outbox."""
        self._worker.wake()

    def stop(self) -> None:
        """Begin to end."""
        self._worker.close(0.0)

    def wake(self) -> None:
        """A new message waits."""
        self._worker.wake()

    def close(self, patience: float = 1.0) -> None:
        """Send what is due; other messages wait for the next start."""
        self._worker.close(patience)

    def _send(self, message: Message) -> None:
        settings = self._settings
        parts = urlsplit(settings.url)
        body, now = message.body.encode("utf-8", "backslashreplace"), int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "streamrec",
            "webhook-id": message.id,
            "webhook-timestamp": str(now),
        }
        if settings.secret:
            headers["webhook-signature"] = sign(settings.secret, message.id, now, body)
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = self._connection(parts.hostname or "", parts.port)
        deadline = Deadline(settings.timeout)
        try:
            connection.sock = deadline.watch(connected(connection.host, connection.port, deadline.left))
            if self._context is not None:
                secure = self._context.wrap_socket(
                    connection.sock, server_hostname=connection.host, do_handshake_on_connect=False
                )
                connection.sock = deadline.watch(secure)
                secure.do_handshake()
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                answer.read(_MOST_ANSWER)  # an error here does not matter: the status has arrived
        except ssl.SSLCertVerificationError as error:
            raise Undelivered(f"its certificate is not trusted ({error.verify_message})") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, TimeoutError) or deadline.expired:
                raise Undelivered(f"no answer within {settings.timeout:g} s") from None
            raise Undelivered(_reason(error)) from None
        finally:
            deadline.close()
            connection.close()
        _check(answer.status, answer.getheader("Retry-After"))

    def _connection(self, host: str, port: int | None) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(host, port)
        return http.client.HTTPSConnection(host, port, context=self._context)


def _reason(error: Exception) -> str:
    """The failure as a clause; the error's own text may hold the URL."""
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(error, http.client.HTTPException):
        return "what it answers is no HTTP: check the address and the port"
    why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return f"it cannot be reached ({why.lower()})"


def _check(status: int, retry_after: str | None) -> None:
    if 200 <= status < 300:
        return
    again = float(retry_after) if retry_after and retry_after.isdecimal() else None
    if 300 <= status < 400:
        raise Undelivered(f"it answered {status}, elsewhere: give the address that it moved to")
    if status == 410:
        raise Undelivered("it answered 410, gone for good", attempts=1)
    if 400 <= status < 500 and status not in _LATER:
        raise Undelivered(f"it answered {status}, and so refuses it", attempts=_REFUSED_ATTEMPTS)
    raise Undelivered(f"it answered {status}", again_in=again)
