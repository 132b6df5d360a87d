"""MQTT: states as retained topics, events as JSON, and discovery by Home Assistant.

A camera is a device, each of its actions a binary sensor, its state a sensor. Topics, below the prefix:

    status                        online or offline (the last will)
    <camera>/state                connecting, live, stalled, reconnecting, ended, failed
    <camera>/<action>             ON or OFF
    <camera>/<action>/event       the last event, as JSON
    profile                       the profile in force; profile/set chooses one (mqtt_arming.py, also for what follows)
    <camera>/armed                ON, or OFF while it is snoozed; <camera>/armed/set
    <camera>/snoozed_until        when that ends; <camera>/snooze/set takes minutes
    <camera>/picture              the picture of the last event, as JPEG, where ``pictures`` are sent
    <camera>/picture/event        that event, as JSON
    events                        all events, as JSON, at least once: they wait on the disk until the broker has them

Where several models watch a camera, the model stands between: <camera>/<model>/<action>.

All but ``events`` are retained, and published again at each connection, so that they are always current.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamrec.core.failures import FailureReporter
from streamrec.core.hosts import host_problem
from streamrec.errors import SinkError, need
from streamrec.notify.delivery import DeliverySettings, OutboxWorker, Undelivered
from streamrec.notify.discovery import Action, Topics, device
from streamrec.notify.http_client import check_url
from streamrec.notify.mqtt_arming import ArmingTopics
from streamrec.notify.notification import extended
from streamrec.notify.receivers import Receiver, trial_body
from streamrec.outputs.arming import ArmingService
from streamrec.outputs.history.records import Announcement, Entry, Kind, Message
from streamrec.outputs.history.store import History

RECEIVER = "mqtt"  # its name in the outbox
_KEEPALIVE = 20  # seconds: after 1.5 times as long the broker publishes the last will
_LONGEST_PAUSE = 30.0  # seconds between two attempts to connect
_CONFIRM_SECONDS = 10.0  # for the broker to confirm a message
_ANSWER_SECONDS = 10.0  # for the broker to answer at all
_STEADY_SECONDS = 5.0  # connected, before that is reported: an unsteady connection is reported once
_MOST_QUEUED = 1000  # messages that paho keeps for a broker that confirms none; all are in the outbox too


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """The ``[mqtt]`` table of cameras.toml."""

    host: str = field(default="", metadata={"needed": True})
    port: int = 0  # 0: 1883, with TLS 8883
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False, metadata={"secret": True})
    tls: bool = False
    ca: str = field(default="", metadata={"path": True})  # a file with the authority to trust; it means TLS
    prefix: str = "streamrec"  # of all topics; another one for a second streamrec at the same broker
    discovery: str = "homeassistant"  # Home Assistant's own prefix
    announce: bool = True  # to Home Assistant
    commands: bool = True  # what is armed can be chosen by publishing
    pictures: bool = False  # of events, retained at the broker
    public_url: str = ""  # of the page, for links; "": that of [notify]

    def __post_init__(self) -> None:
        for name in ("prefix", "discovery"):
            value = getattr(self, name)
            if not value or re.search(r"[+#\s\0]|^/|/$", value):
                raise SinkError(
                    f"{name}: {value!r} is no topic; write something like {name} = 'home/cameras'"
                )
        # It may hold a password, and is logged when the broker is away.
        if problem := host_problem(self.host):
            raise SinkError(f"host: {problem}; port, user and password have keys of their own")
        if self.public_url:
            check_url(self.public_url, "public_url")
        if self.password and not self.user:
            raise SinkError("user: it is missing; a password belongs to a user")
        if not 0 <= self.port < 65536:
            raise SinkError(f"port: {self.port} is none")


def _client(settings: MqttSettings) -> tuple[Any, int]:
    """A client that is not connected, and the port to connect to; raises ``MissingExtra`` and ``SinkError``."""
    paho = need("paho.mqtt.client", extra="mqtt")
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"streamrec-{secrets.token_hex(6)}")
    if settings.user:
        client.username_pw_set(settings.user, settings.password or None)
    tls = settings.tls or bool(settings.ca)
    if tls:
        try:
            client.tls_set(ca_certs=settings.ca or None)
        except (OSError, ValueError) as error:
            raise SinkError(f"ca: {settings.ca} cannot be read as certificates") from error
    return client, settings.port or (8883 if tls else 1883)


def try_broker(settings: MqttSettings) -> str:
    """Publish a test below the prefix, where nothing else is, and wait for the broker to confirm it.

    The connection is one of its own, without a last will: nothing that is retained changes. The answer is a clause;
    raises ``Undelivered``.
    """
    client, port = _client(settings)
    answered, refusals = threading.Event(), []

    def on_connect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            refusals.append(str(reason).lower())
        answered.set()

    client.on_connect = on_connect
    client.connect_timeout = 5.0
    try:
        try:
            client.connect(settings.host, port)
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise Undelivered(f"it cannot be reached ({why.lower()})") from None
        client.loop_start()
        if not answered.wait(_ANSWER_SECONDS):
            raise Undelivered(f"no answer within {_ANSWER_SECONDS:g} s")
        if refusals:
            raise Undelivered(f"it refused the connection ({refusals[0]})")
        topic = f"{settings.prefix}/test"
        sent = client.publish(topic, json.dumps(trial_body()), qos=1)
        with contextlib.suppress(RuntimeError, ValueError):
            sent.wait_for_publish(_CONFIRM_SECONDS)
        if not sent.is_published():
            raise Undelivered(f"the broker did not confirm it within {_CONFIRM_SECONDS:g} s")
        return f"the broker confirmed it, at {topic}"
    finally:
        client.disconnect()
        client.loop_stop()


class Mqtt(Receiver):
    """One connection to a broker, reconnected for ever. ``log`` gets messages.

    Raises ``MissingExtra`` without paho-mqtt, ``SinkError`` for certificates that cannot be read. A broker that cannot
    be reached is no error: it is logged, and gets everything when it is back.
    """

    def __init__(
        self,
        settings: MqttSettings,
        history: History,
        *,
        log: Callable[[str], object] = lambda sentence: None,
        least_pause: float = 1.0,
    ) -> None:
        self._settings, self._history, self._log = settings, history, log
        self._retained: dict[str, str | bytes] = {}  # topic: current payload
        self._actions: dict[str, tuple[Action, ...]] = {}  # camera: the actions it may report
        # Ids of the events that run, by topic: several people may do the same.
        self._running: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._arming: ArmingTopics | None = None  # where there is something to arm
        self._connected = False
        self._connections = 0  # so far
        self._closed = False
        self._away = time.monotonic()  # since when it is not connected
        self._refused = False  # by the broker's answer to this attempt, which is already reported
        self._unconfirmed: tuple[str, Any] | None = (
            None  # id of a message in flight, and paho's object for it
        )
        self._failures = FailureReporter(
            f"mqtt {settings.host}",
            log,
            more="it is tried again",
            over="it is connected",
            steady=_STEADY_SECONDS,
        )
        self._topics = Topics(settings.prefix, settings.discovery)
        self._retained[self._topics.status] = "online"
        client, self._port = _client(settings)
        client.will_set(self._topics.status, "offline", qos=1, retain=True)
        client.connect_timeout = 5.0
        client.reconnect_delay_set(least_pause, max(least_pause, _LONGEST_PAUSE))
        client.max_queued_messages_set(_MOST_QUEUED)
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda client, data: self._failures.failed("it cannot be reached")
        client.on_disconnect = self._on_disconnect
        self._client: Any = client
        client.connect_async(settings.host, self._port, keepalive=_KEEPALIVE)
        client.loop_start()
        self._worker = OutboxWorker(
            history,
            RECEIVER,
            self._send,
            settings=DeliverySettings(longest_pause=2.0, silent=True),
            log=log,
            on_poll=self._poll,
        )  # silent: the connection's failures are reported here

    # -- called by the dispatcher

    def arming(self, arming: ArmingService) -> None:
        """Publish what is armed, and take commands."""
        self._arming = ArmingTopics(
            arming,
            self._topics,
            self._set,
            log=self._log,
            commands=self._settings.commands,
            announce=self._settings.announce,
        )
        self._client.on_message = lambda client, data, message: self._take(message)
        with self._lock:
            if self._connected:  # before what is armed is shown: a command that follows it is not lost
                self._subscribe()
        self._arming.show()
        self._arming.announce()

    def _subscribe(self) -> None:
        if self._arming is not None and self._arming.subscriptions:
            self._client.subscribe(self._arming.subscriptions)

    def _take(self, message: Any) -> None:
        if self._arming is not None:
            self._arming.take(message.topic, message.payload, retained=message.retain)

    def camera(self, name: str, actions: Iterable[str], model: str = "") -> None:
        """A camera is watched, for these actions."""
        self._watched(name, tuple(("", action) for action in actions), model)

    def models(self, name: str, actions: Mapping[str, tuple[str, ...]]) -> None:
        """A camera is watched by several models, for these actions of each."""
        found = tuple((model, action) for model, own in actions.items() for action in own)
        self._watched(name, found, " + ".join(filter(None, actions)))

    def _watched(self, name: str, actions: tuple[Action, ...], model: str) -> None:
        gone = set(self._actions.get(name, ())) - set(actions)
        self._actions[name] = actions
        for action in actions:
            self._running.pop(self._topics.action(name, action), None)
            self._set(self._topics.action(name, action), "OFF")
        for action in gone:
            self._set(self._topics.action(name, action), "")
            self._set(f"{self._topics.action(name, action)}/event", "")
        pictures = self._settings.pictures
        if not pictures:  # what an earlier process left at the broker
            self._forget_picture(name)
        more = {} if self._arming is None else self._arming.watched(name)
        if self._settings.announce:
            found = device(self._topics, name, actions, gone=gone, model=model, pictures=pictures, more=more)
            self._set(self._topics.discovery(name), json.dumps(found))

    def remove(self, name: str) -> None:
        """A camera is no longer watched: it is removed from Home Assistant too."""
        for action in self._actions.pop(name, ()):
            self._running.pop(self._topics.action(name, action), None)
            self._set(self._topics.action(name, action), "")
            self._set(f"{self._topics.action(name, action)}/event", "")
        self._set(self._topics.state(name), "")
        if self._arming is not None:
            self._arming.removed(name)
        self._forget_picture(name)
        if self._settings.announce:
            self._set(self._topics.discovery(name), "")

    def _forget_picture(self, name: str) -> None:
        for topic in (self._topics.picture(name), f"{self._topics.picture(name)}/event"):
            self._set(topic, "")

    def picture(self, entry: Entry, jpeg: bytes) -> None:
        """Publish the picture of an event that is notified of."""
        if self._settings.pictures and entry.camera in self._actions:
            topic = self._topics.picture(entry.camera)
            if self._retained.get(topic) == jpeg:  # it was encoded before its event was on the disk
                return
            self._set(f"{topic}/event", json.dumps(entry.to_dict(), ensure_ascii=False))
            self._set(topic, jpeg)

    def test(self) -> str:
        """Publish a test over a connection of its own."""
        return try_broker(self._settings)

    def state(self, name: str, state: str) -> None:
        """Publish a camera's state."""
        if name in self._actions:
            self._set(self._topics.state(name), state)

    def notify(self, announcement: Announcement) -> None:
        """Publish a committed announcement."""
        entry = announcement.entry
        self._worker.wake()
        actions = self._actions.get(entry.camera, ())
        action = next(
            (one for one in ((entry.model, entry.label), ("", entry.label)) if one in actions), None
        )
        if action is None:  # the camera is no longer watched
            return
        topic = self._topics.action(entry.camera, action)
        latest = self._retained.get(f"{topic}/event")
        if announcement.kind in (Kind.started, Kind.ended) or latest is None or entry.id in str(latest):
            self._set(f"{topic}/event", json.dumps(entry.to_dict(), ensure_ascii=False))
        if announcement.kind is Kind.started and self._settings.pictures:
            # Where it is encoded already, or the event was held until now; else it follows.
            jpeg = self._history.pictures.get(entry.id)
            if jpeg is not None:
                self.picture(entry, jpeg)
        if announcement.kind in (Kind.started, Kind.ended):
            running = self._running.setdefault(topic, set())
            (running.add if announcement.kind is Kind.started else running.discard)(entry.id)
            self._set(topic, "ON" if running else "OFF")

    def close(self, patience: float = 1.0) -> None:
        """Send what is due and disconnect, within so many seconds; a second time does nothing."""
        ends = time.monotonic() + patience
        self._closed = True
        self._worker.close(patience if self._connected else 0.1)
        if self._connected:
            with contextlib.suppress(
                RuntimeError, ValueError
            ):  # the broker is gone: its last will replaces this
                sent = self._client.publish(self._topics.status, "offline", qos=1, retain=True)
                sent.wait_for_publish(max(0.1, ends - time.monotonic()))
        if self._arming is not None:
            self._arming.close()
        self._client.on_disconnect = None
        self._client.disconnect()
        # paho may be waiting for a broker that does not answer.
        stopping = threading.Thread(target=self._client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(max(0.1, ends - time.monotonic()))

    # -- topics and messages

    def _set(self, topic: str, payload: str | bytes) -> None:
        """Set a retained topic; "" removes it."""
        with self._lock:
            self._retained[topic] = payload
            if self._connected:
                self._client.publish(topic, payload, qos=1, retain=True)

    def _send(self, message: Message) -> None:
        if not self._connected:
            raise Undelivered("the broker is away")
        connection, sent = self._connections, None
        if self._unconfirmed is not None and self._unconfirmed[0] == message.id:
            sent = self._unconfirmed[1]  # paho sends it again after a reconnect
        sent = sent or self._client.publish(
            self._topics.events, extended(message.body, self._settings.public_url, None), qos=1
        )
        self._unconfirmed = None
        try:
            sent.wait_for_publish(_CONFIRM_SECONDS)
        except (RuntimeError, ValueError) as error:
            raise Undelivered("the broker went away") from error
        if not sent.is_published():
            self._unconfirmed = message.id, sent
            if self._connected and self._connections == connection:  # else the lost connection is reported
                self._failures.failed("it does not confirm what it is sent")
            raise Undelivered("the broker did not confirm it")
        self._failures.succeeded()

    def _poll(self) -> None:
        """Detect a silent broker, for which paho makes no callback."""
        self._failures.poll()
        if self._closed:
            return
        if (
            not self._connected
            and not self._failures.is_reported
            and time.monotonic() - self._away > _ANSWER_SECONDS
        ):
            self._failures.failed(f"no answer within {_ANSWER_SECONDS:g} s")
        # An answer that is not MQTT may end paho's thread with an error.
        thread = getattr(self._client, "_thread", None)
        if thread is not None and not thread.is_alive():
            self._failures.failed("what it answers is no MQTT")
            self._client.loop_stop()
            self._client.loop_start()

    def _on_pre_connect(self, client: Any, data: Any) -> None:
        self._refused = False

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refused = True
            self._failures.failed(f"it refused the connection ({str(reason).lower()})")
            return
        with self._lock:
            if self._connected:  # paho repeats it
                return
            self._connected = True
            self._connections += 1
            self._subscribe()
            for topic, payload in self._retained.items():
                client.publish(topic, payload, qos=1, retain=True)
            self._retained = {topic: payload for topic, payload in self._retained.items() if payload}
        if self._unconfirmed is None:  # else a confirmation is still awaited
            self._failures.succeeded()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        was, self._connected = self._connected, False
        if was:
            self._away = time.monotonic()
            self._failures.failed("the connection was lost")
        elif not (self._refused or self._closed or self._failures.is_reported):
            self._failures.failed("it ended the connection without an answer")
