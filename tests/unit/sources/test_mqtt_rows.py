"""Readings of a broker, with a client of the test's own in place of paho's."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from streamrec.sources import mqtt_rows
from streamrec.sources.mqtt_rows import MqttSource


class FloodedClient:
    """Sends more messages than may wait, and says in its own thread that the connection ended, as paho does."""

    def __init__(self, version: object, client_id: str) -> None:
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def connect(self, host: str, port: int, keepalive: int) -> None:
        self._send(5)

    def _send(self, count: int) -> None:
        for n in range(count):
            self.on_message(self, None, SimpleNamespace(topic="a/x", payload=str(n).encode()))

    def loop_start(self) -> None:
        self.thread.start()

    def _run(self) -> None:
        self._ended.wait()
        self.on_disconnect(self, None, None, "closed", None)

    def disconnect(self) -> None:
        self._send(1)
        self._ended.set()

    def loop_stop(self) -> None:
        self.thread.join(60.0)
        assert not self.thread.is_alive()


def test_a_source_that_is_left_with_a_full_queue_ends(monkeypatch):
    monkeypatch.setattr(mqtt_rows, "_MOST_WAITING", 3)
    paho = SimpleNamespace(Client=FloodedClient, CallbackAPIVersion=SimpleNamespace(VERSION2=2))
    monkeypatch.setattr(mqtt_rows, "need", lambda name, extra: paho)
    source = MqttSource("mqtt://broker.invalid/a/x?channels=x")
    received = source._received()
    first = next(received)
    received.close()
    assert first.values.tolist() == [0.0]
    assert dict(source.health.refused) == {"too many messages wait": 2}
