"""Frigate: an action becomes an event of Frigate's, which it shows, and keeps its own recording of.

By Frigate's HTTP API: ``POST /api/events/{camera}/{label}/create`` when an action starts, ``PUT /api/events/{id}/end``
when it ends (docs.frigate.video/integrations/api). Port 8971 asks for a log-in, whose JWT is kept until it is refused;
port 5000 does not.
"""

from __future__ import annotations

import http.cookies
import json
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from streamrec.errors import SinkError
from streamrec.notify.delivery import DeliverySettings, OutboxWorker, Undelivered, wanted
from streamrec.notify.http_client import (
    MOST_ANSWER,
    REFUSED_ATTEMPTS,
    Answer,
    HttpClient,
    check_answer,
    check_fingerprint,
    check_url,
)
from streamrec.notify.receivers import OutboxReceiver, register
from streamrec.notify.templates import as_text, check_template, fill, values_of
from streamrec.outputs.history.records import Kind, Message
from streamrec.outputs.history.store import History

_COOKIE = "frigate_token"  # the default of Frigate's auth.cookie_name
_LONGEST_SUB_LABEL = 100  # Frigate's own limit
_LONGEST_LABEL = 100
_MOST_CONFIG = 8 << 20  # bytes of the config that are read
_LATE = 10.0  # seconds: a start or end that is sent later is sent as one of the past


@dataclass(frozen=True, slots=True, kw_only=True)
class FrigateSettings:
    """One ``[[frigate]]`` table of cameras.toml."""

    url: str = field(default="", repr=False, metadata={"needed": True, "secret": True})
    name: str = ""  # its name in messages; "": the host's
    user: str = ""  # an admin of Frigate's; "": no log-in
    password: str = field(default="", repr=False, metadata={"secret": True})
    token: str = field(default="", repr=False, metadata={"secret": True})  # a JWT, in place of a log-in
    cameras: tuple[str, ...] = ()  # empty: all
    labels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    camera_names: tuple[tuple[str, str], ...] = ()  # a camera's name, and Frigate's name for it
    label_names: tuple[tuple[str, str], ...] = ()  # a label, and Frigate's name for it
    sub_label: str = "{model}"  # with placeholders
    source_type: str = "api"
    recording: bool = True  # Frigate keeps its recording of the event
    timeout: float = 10.0  # seconds to connect and to answer, in all
    give_up_hours: float = 72.0
    ca: str = field(default="", metadata={"path": True})  # a file with the certificate authority to trust
    fingerprint: str = ""  # SHA-256 of the only certificate to accept

    def __post_init__(self) -> None:
        parts = check_url(self.url)
        if parts.query or parts.fragment:
            raise SinkError("url: give where Frigate's page is, like https://192.168.1.5:8971")
        if self.token and (self.user or self.password):
            raise SinkError("token: there are user and password too; give one of them")
        if bool(self.user) != bool(self.password):
            raise SinkError("user: a log-in has a user and a password")
        if not self.token.isascii() or not self.token.isprintable():
            raise SinkError("token: it holds letters that no token has")
        check_template(self.sub_label, "sub_label")
        check_fingerprint(self.fingerprint)

    @property
    def receiver(self) -> str:
        """Its name in the outbox and in messages, without secrets."""
        return f"frigate {self.name or urlsplit(self.url).hostname}"


class Frigate(OutboxReceiver):
    """Delivers starts and ends of a history as events of Frigate's; ``log`` gets messages without secrets."""

    def __init__(
        self,
        settings: FrigateSettings,
        history: History,
        *,
        log: Callable[[str], object] = lambda message: None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._history, self._clock = settings, history, clock
        self._client = HttpClient(
            settings.url, timeout=settings.timeout, ca=settings.ca, fingerprint=settings.fingerprint
        )
        self._base = self._client.target.rstrip("/").removesuffix("/api") + "/api"
        self._cameras: set[str] = set()  # that are watched, and sent
        self._token = settings.token  # "": there is no log-in, or it is to be done
        self._worker = OutboxWorker(
            history,
            settings.receiver,
            self._send,
            settings=DeliverySettings(
                wants=wanted((Kind.started, Kind.ended), settings.cameras, settings.labels, settings.models),
                give_up_hours=settings.give_up_hours,
            ),
            log=log,
            rng=rng,
        )

    def camera(self, name: str, actions: Iterable[str], model: str = "") -> None:
        """A camera is watched."""
        if not self._settings.cameras or name in self._settings.cameras:
            self._cameras.add(name)

    def remove(self, name: str) -> None:
        """A camera is no longer watched."""
        self._cameras.discard(name)

    def test(self) -> str:
        """Log in, and compare the names of cameras; no event is created."""
        answer = self._request("GET", "/config", None, most=_MOST_CONFIG)
        check_answer(answer)
        there = _json_of(answer).get("cameras")
        if not isinstance(there, dict):
            raise Undelivered("what it answers is not Frigate's: check the address")
        names = dict(self._settings.camera_names)
        used = {names.get(camera, camera) for camera in list(self._cameras)} | set(names.values())
        missing = sorted(used - set(there))
        if missing:
            wrong = as_text(", ".join(missing), "")
            raise Undelivered(f"Frigate has no camera {wrong}: camera_names may map it")
        return f"it answers, and has {len(there)} camera{'' if len(there) == 1 else 's'}"

    def _send(self, message: Message) -> None:
        given = json.loads(message.body)
        if message.kind is Kind.started:
            self._create(given)
        else:
            self._end(message, given["data"])

    # -- the start

    def _create(self, given: Mapping[str, Any]) -> None:
        data = given["data"]
        camera = dict(self._settings.camera_names).get(data["camera"], data["camera"])
        label = dict(self._settings.label_names).get(data["label"], data["label"])
        entry = self._history.get(data["id"])
        duration = None if entry is None else entry.duration
        path = f"/events/{_part(camera)}/{_part(label[:_LONGEST_LABEL])}/create"
        answer = self._request(
            "POST",
            path,
            {
                "source_type": self._settings.source_type,
                "sub_label": self._sub_label(given, camera),
                "score": data["confidence"],
                # None: it is ended by a request. An action that is over already is sent as a whole.
                "duration": None if duration is None else max(1, math.ceil(duration)),
                "include_recording": self._settings.recording,
            },
        )
        if answer.status == 404:
            raise Undelivered(
                f"Frigate has no camera {as_text(camera, '')!r}: camera_names may map it",
                attempts=REFUSED_ATTEMPTS,
            )
        check_answer(answer)
        id = _json_of(answer).get("event_id")
        if not isinstance(id, str) or not id:
            raise Undelivered(
                "what it answers is not Frigate's: check the address", attempts=REFUSED_ATTEMPTS
            )
        if duration is None:
            note = json.dumps({"id": id, "created": self._clock()})
            self._history.keep_answer(self._settings.receiver, data["id"], note)

    def _sub_label(self, given: Mapping[str, Any], camera: str) -> str | None:
        """What is shown behind the label; of a start that comes late also when it was, for Frigate dates it now."""
        text = fill(self._settings.sub_label, values_of(given, camera=camera), as_text).strip()
        began = datetime.fromisoformat(given["data"]["started"])
        if self._clock() - began.timestamp() > _LATE:
            when = f"at {began.astimezone():%Y-%m-%d %H:%M:%S}"
            text = f"{text[: _LONGEST_SUB_LABEL - len(when) - 1]} {when}".strip()
        return text[:_LONGEST_SUB_LABEL] or None

    # -- the end

    def _end(self, message: Message, data: Mapping[str, Any]) -> None:
        note = _note_of(self._history.answer(self._settings.receiver, data["id"]))
        if note is None:  # its start was sent with its duration, or was given up
            return
        id, created = note
        body: dict[str, Any] = {}
        if self._clock() - message.made > _LATE and data["ended"]:
            # Frigate dates the start by when it was created, and refuses an end before it.
            ended = datetime.fromisoformat(data["ended"]).timestamp()
            body = {"end_time": max(ended, created + 1.0)}
        path = f"/events/{_part(id)}/end"
        answer = self._request("PUT", path, body)
        if answer.status == 400 and body:  # its clock is another one: it ends now
            answer = self._request("PUT", path, {})
        if answer.status == 404:  # created a moment ago and not in its database yet, or deleted there
            raise Undelivered(
                "Frigate does not know the event that is to be ended", attempts=REFUSED_ATTEMPTS
            )
        check_answer(answer)
        self._history.drop_answer(self._settings.receiver, data["id"])

    # -- requests

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, most: int = MOST_ANSWER
    ) -> Answer:
        """The answer, after another log-in where the token is not valid any more."""
        fresh = not self._token
        answer = self._ask(method, path, body, most)
        if answer.status == 401 and self._settings.user and not fresh:
            self._token = ""
            answer = self._ask(method, path, body, most)
        if answer.status in (401, 302, 303, 307):
            self._token = self._settings.token
            what = (
                "the log-in" if self._settings.user or self._settings.token else "a request without a log-in"
            )
            raise Undelivered(f"it refuses {what}: check user, password and port")
        if answer.status == 403:
            raise Undelivered("it answered 403: creating events needs a user who is an admin")
        return answer

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, most: int) -> Answer:
        if not self._token and self._settings.user:
            self._token = self._log_in()
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        return self._client.send(method, self._base + path, data, headers, most=most)

    def _log_in(self) -> str:
        """The JWT of a new log-in."""
        login = json.dumps({"user": self._settings.user, "password": self._settings.password}).encode()
        answer = self._client.send("POST", f"{self._base}/login", login, {"Content-Type": "application/json"})
        if answer.status in (400, 401, 403):
            raise Undelivered("it refuses user and password")
        if answer.status == 429:
            raise Undelivered("it answered 429: too many log-ins failed", again_in=answer.retry_after or 60.0)
        check_answer(answer)
        cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        for header in answer.headers.get_all("Set-Cookie") or ():
            try:
                cookies.load(header)
            except http.cookies.CookieError:
                continue
        found = [cookie.value for name, cookie in cookies.items() if name == _COOKIE] or [
            cookie.value for cookie in cookies.values() if cookie.value.count(".") == 2
        ]
        token = found[0] if found else ""
        if not token or not token.isascii() or not token.isprintable():
            raise Undelivered(
                "its log-in gives no token: two factors cannot be answered here, a token can be given"
            )
        return token


def _part(name: str) -> str:
    """A name as one part of a path.

    >>> _part("Hof, hinten/1")
    'Hof%2C%20hinten_1'
    """
    text = as_text(name, "").replace("/", "_").replace("\\", "_")
    return quote("_" * len(text) if text in (".", "..") else text, safe="")


def _note_of(kept: str | None) -> tuple[str, float] | None:
    """Frigate's id of an event, and when it was created; None where nothing is kept, or it is damaged."""
    try:
        note = json.loads(kept or "null")
        return str(note["id"]), float(note["created"])
    except (ValueError, KeyError, TypeError):
        return None


def _json_of(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


register("frigate", FrigateSettings, lambda settings, history, log: Frigate(settings, history, log=log))
