"""A motion trigger by HTTP: one request when an action starts, and one when it ends, as a program asks for it.

Method, address, headers and body are the user's, with placeholders; recipes for Blue Iris, Shinobi, Scrypted, Home
Assistant and UniFi Protect are in docs/nvr.md.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from streamrec.errors import SinkError
from streamrec.notify.delivery import DeliverySettings, OutboxWorker, Undelivered, wanted
from streamrec.notify.http_client import HttpClient, check_answer, check_fingerprint, check_url
from streamrec.notify.receivers import OutboxReceiver, register, trial_body
from streamrec.notify.templates import (
    PLACEHOLDERS,
    check_template,
    escape_for,
    fill,
    in_header,
    in_url,
    values_of,
)
from streamrec.outputs.history.records import Kind, Message
from streamrec.outputs.history.store import History

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110: the name of a header
_HAS_PLACEHOLDER = re.compile(r"\w+://[^/?#]*\{")  # an address, in host, port or user
_OWN_HEADERS = ("host", "content-length", "content-type", "transfer-encoding", "connection")
# Of a URL's path and query, what need not be quoted, and the braces of placeholders.
_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~{}"
_SAMPLE = dict.fromkeys(PLACEHOLDERS, "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTriggerSettings:
    """One ``[[http]]`` table of cameras.toml."""

    start_url: str = field(default="", repr=False, metadata={"needed": True, "secret": True})
    end_url: str = field(default="", repr=False, metadata={"secret": True})  # "": nothing is sent at the end
    name: str = ""  # its name in messages; "": the host's
    method: str = "POST"
    end_method: str = ""  # "": as ``method``
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False, metadata={"secret": True})
    content_type: str = "application/json"  # of the bodies: it also says how values are escaped in them
    body: str = field(default="", repr=False, metadata={"secret": True})
    end_body: str = field(default="", repr=False, metadata={"secret": True})  # "": as ``body``
    secret: str = field(default="", repr=False, metadata={"secret": True})  # for {secret}
    cameras: tuple[str, ...] = ()  # empty: all
    labels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    camera_names: tuple[tuple[str, str], ...] = ()  # a camera's name, and what it is called there
    # Seconds after which the start of an action that is over is not sent any more; 0: it always is.
    too_late: float = 0.0
    timeout: float = 10.0  # seconds to connect and to answer, in all
    give_up_hours: float = 72.0
    ca: str = field(default="", metadata={"path": True})  # a file with the certificate authority to trust
    fingerprint: str = ""  # SHA-256 of the only certificate to accept

    def __post_init__(self) -> None:
        for key, url in (("start_url", self.start_url), ("end_url", self.end_url)):
            if url:
                if _HAS_PLACEHOLDER.match(url):
                    raise SinkError(
                        f"{key}: host and port are fixed; placeholders stand in the path and the query"
                    )
                check_url(url, key)
                check_template(url, key)
        for key, method in (("method", self.method), ("end_method", self.end_method)):
            if method not in METHODS and (method or key == "method"):
                raise SinkError(f"{key}: it is {method!r}; there are {', '.join(METHODS)}")
        for name, value in self.headers:
            if not _TOKEN.fullmatch(name) or name.lower() in _OWN_HEADERS:
                hint = "; content_type has a key of its own" if name.lower() == "content-type" else ""
                raise SinkError(f"headers: {name!r} cannot be set{hint}")
            check_template(value, "headers")
        for key, body in (("body", self.body), ("end_body", self.end_body)):
            check_template(body, key)
            if body and self.content_type.partition(";")[0].strip().lower().endswith("json"):
                try:
                    json.loads(fill(body, _SAMPLE, escape_for(self.content_type)))
                except ValueError:
                    raise SinkError(
                        f"{key}: it is not JSON; give content_type where it is something else"
                    ) from None
        check_fingerprint(self.fingerprint)

    @property
    def receiver(self) -> str:
        """Its name in the outbox and in messages, without secrets."""
        return f"http {self.name or urlsplit(self.start_url).hostname}"


class HttpTrigger(OutboxReceiver):
    """Delivers starts and ends of a history as the user's requests; ``log`` gets messages without secrets."""

    def __init__(
        self,
        settings: HttpTriggerSettings,
        history: History,
        *,
        log: Callable[[str], object] = lambda message: None,
        rng: random.Random | None = None,
    ) -> None:
        self._settings, self._history = settings, history
        self._clients: dict[str, HttpClient] = {
            kind: HttpClient(url, timeout=settings.timeout, ca=settings.ca, fingerprint=settings.fingerprint)
            for kind, url in ((Kind.started, settings.start_url), (Kind.ended, settings.end_url))
            if url
        }
        self._worker = OutboxWorker(
            history,
            settings.receiver,
            self._send,
            settings=DeliverySettings(
                wants=wanted(self._clients, settings.cameras, settings.labels, settings.models),
                give_up_hours=settings.give_up_hours,
            ),
            log=log,
            rng=rng,
        )

    def test(self) -> str:
        """Send the start and the end of an event that did not happen, at once."""
        given = trial_body()
        for kind in self._clients:
            self._request(Kind(kind), {**given, "event": str(kind)})
        return f"it took {' and '.join(f'the {word}' for word in ('start', 'end')[: len(self._clients)])}"

    def _send(self, message: Message) -> None:
        settings, given = self._settings, json.loads(message.body)
        if message.kind is Kind.started and 0.0 < settings.too_late < time.time() - message.made:
            entry = self._history.get(given["data"]["id"])
            if entry is None or entry.ended is not None:
                raise Undelivered(
                    f"it is over, and its start is older than {settings.too_late:g} s", attempts=1
                )
        self._request(message.kind, given)

    def _request(self, kind: Kind, given: Mapping[str, Any]) -> None:
        settings, is_start = self._settings, kind is Kind.started
        camera = dict(settings.camera_names).get(given["data"]["camera"], "")
        values = values_of(given, camera=camera, secret=settings.secret)
        body = settings.body if is_start else settings.end_body or settings.body
        headers = {name: fill(value, values, in_header).strip() for name, value in settings.headers}
        data = None
        if body:
            headers["Content-Type"] = settings.content_type
            data = fill(body, values, escape_for(settings.content_type)).encode("utf-8", "replace")
        client = self._clients[kind]
        target = fill(quote(client.target, safe=_AS_IT_IS), values, in_url)
        method = settings.method if is_start else settings.end_method or settings.method
        check_answer(client.send(method, target, data, headers))


register("http", HttpTriggerSettings, lambda settings, history, log: HttpTrigger(settings, history, log=log))
