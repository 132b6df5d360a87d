"""Readings from an MQTT broker: a JSON object or numbers a message, or a topic for each channel."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import streamrec.sources.health as report
from streamrec.core.address import split_address
from streamrec.core.redact import redact_address, secrets_of
from streamrec.errors import SourceError, need
from streamrec.sources.live_rows import NOT_READ, RETRIES, LiveRowSource, channels_in, options_of
from streamrec.sources.rows import NO_READING, Row, row_of

_MOST_WAITING = 10_000  # messages
_LONGEST = 262_144  # bytes of a message
_CONNECT_SECONDS = 10.0
_PATIENCE = 0.2  # seconds of one wait for a message
_KEEPALIVE = 20
_PORTS = {"mqtt://": 1883, "mqtts://": 8883}


class MqttSource(LiveRowSource):
    """``mqtt://user:password@host/phone/sensors?channels=x,y,z``; ``mqtts://`` is TLS.

    The path is the topic, ``+`` and ``#`` stand for any. A message is a JSON object of channels, a list of such rows,
    or numbers in the order of ``channels``. A single number is a channel's, which is called as the last level of its
    topic: a row is complete once each of ``channels`` has come.
    """

    def __init__(self, text: str, *, retries: int | None = RETRIES) -> None:
        address = split_address(text)
        if (
            address is None
            or not address.is_place
            or not address.host
            or address.scheme.lower() not in _PORTS
        ):
            raise SourceError(f"{redact_address(text)}: give mqtt://host/topic, or mqtts:// for TLS")
        path, _, query = address.rest.partition("?")
        options = options_of(query, ("channels",), "mqtt:")
        self._topic = unquote(path.lstrip("/"))
        if not self._topic:
            raise SourceError(
                f"{redact_address(text)} names no topic: give one like mqtt://host/phone/sensors"
            )
        self._scheme = address.scheme.lower()
        self._host, self._port = address.host, address.port or _PORTS[self._scheme]
        user, _, password = (address.login or "").partition(":")
        self._login = (unquote(user), unquote(password)) if address.login is not None else None
        self.secrets = secrets_of(text)
        self._round: dict[str, float] = {}
        super().__init__(redact_address(text), channels_in(options.get("channels", "")), retries=retries)

    def _received(self) -> Iterator[Row]:
        paho: Any = need("paho.mqtt.client", extra="mqtt")
        # Without a limit of its own: what ends the connection never waits for room in the client's thread.
        came: queue.Queue[tuple[str, bytes] | str] = queue.Queue()

        def on_connect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            if reason.is_failure:
                came.put(f"the broker refuses: {reason}")
            else:
                client.subscribe(self._topic)

        def on_message(client: Any, data: Any, message: Any) -> None:
            if came.qsize() >= _MOST_WAITING:
                report.count_refused(self, "too many messages wait")
            else:
                came.put((message.topic, message.payload))

        def on_disconnect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            came.put(f"the connection was lost: {reason}")

        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"streamrec-{secrets.token_hex(6)}")
        client.on_connect, client.on_message, client.on_disconnect = on_connect, on_message, on_disconnect
        client.connect_timeout = _CONNECT_SECONDS
        if self._login is not None:
            client.username_pw_set(*self._login)
        if self._scheme == "mqtts://":
            client.tls_set()
        try:
            client.connect(self._host, self._port, _KEEPALIVE)
        except (OSError, ValueError) as error:
            raise SourceError(f"{self.name} cannot be reached: {type(error).__name__}") from error
        client.loop_start()
        self._round.clear()
        try:
            yield from self._messages(came)
        finally:
            client.disconnect()
            client.loop_stop()

    def _messages(self, came: queue.Queue[tuple[str, bytes] | str]) -> Iterator[Row]:
        while not self._left.is_set():
            try:
                message = came.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            if isinstance(message, str):
                raise SourceError(f"{self.name}: {message}")
            topic, payload = message
            if len(payload) > _LONGEST:
                report.count_refused(self, NOT_READ)
                continue
            text = payload.decode("utf-8", "replace")
            name = topic.rpartition("/")[2]
            if name in self._named:
                yield from self._single(name, text)
            else:
                yield from self._read(text)

    def _single(self, name: str, text: str) -> Iterator[Row]:
        """A number of one channel: a row once each has come. What came twice before that is of a row that is lost."""
        try:
            value = float(text)
        except ValueError:
            report.count_refused(self, NOT_READ)
            return
        if name in self._round:
            report.count_refused(self, NO_READING)
            self._round.clear()
        self._round[name] = value
        if len(self._round) == len(self._named):
            row = dict(self._round)
            self._round.clear()
            yield row_of(row, "a row", self)
