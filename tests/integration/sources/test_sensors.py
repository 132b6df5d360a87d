"""Readings that arrive: over a serial line (a pseudo-terminal) and from a real Mosquitto."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time

import pytest

from streamrec import open_source
from streamrec.errors import SourceError
from streamrec.sources import live_rows, reconnect
from tests.helpers.cameras import free_port
from tests.integration.notify.test_mqtt import PASSWORD, broker, needs_broker

pytest.importorskip("serial", reason="pyserial is not installed: streamrec[serial]")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(reconnect, "BACKOFF_SECONDS", (0.05, 0.1))


def first(source, count: int) -> list:
    found = []
    for frame in source:
        found.append(frame)
        if len(found) == count:
            source.interrupt()
            return found
    return found


def test_lines_from_a_serial_port_are_rows():
    here, there = os.openpty()
    source = open_source(f"serial:{os.ttyname(there)}?baud=9600&channels=x,y,z")

    def send() -> None:
        for n in range(400):  # the port may be opened late, in the middle of a line
            os.write(here, f"{n},{n + 0.5},{-n}\r\n".encode() + (b"\xff?#\n" if n == 3 else b""))
            time.sleep(0.005)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    frames = first(source, 10)
    sender.join()
    os.close(here)
    os.close(there)
    assert source.channels == ("x", "y", "z")
    assert all(frame.data[1] == frame.data[0] + 0.5 for frame in frames)
    assert [b.data[0] - a.data[0] for a, b in itertools.pairwise(frames)] == [1.0] * 9
    assert frames[0].timestamp == 0.0
    assert all(b.timestamp >= a.timestamp for a, b in itertools.pairwise(frames))


def test_a_port_that_is_not_there_is_tried_again_and_named():
    source = open_source("serial:/dev/no-such-port?channels=x")
    source._retries = 2
    with pytest.raises(SourceError, match="/dev/no-such-port cannot be read"):
        list(source)
    assert source.health.reconnects == {"lost": 2}


def published(port: int, messages: list[tuple[str, str]], *, login: bool = False):
    """Publish these again and again until the returned function is called."""
    from paho.mqtt import client as paho

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if login:
        client.username_pw_set("me", PASSWORD)
    client.connect("127.0.0.1", port)
    client.loop_start()
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            for topic, payload in messages:
                client.publish(topic, payload)
            over.wait(0.02)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()

    def end() -> None:
        over.set()
        sender.join()
        client.disconnect()
        client.loop_stop()

    return end


@needs_broker
def test_objects_from_a_broker_are_rows_and_the_password_is_in_no_name(tmp_path):
    from urllib.parse import quote

    port = free_port()
    with broker(tmp_path, port, login=True):
        source = open_source(f"mqtt://me:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/phone/%2B?channels=x,y")
        assert PASSWORD not in source.name
        rows = [("phone/a", json.dumps({"y": 2, "x": 1, "battery": 80})), ("phone/b", "not a row")]
        end = published(port, rows, login=True)
        frames = first(source, 5)
        end()
    assert [frame.data.tolist() for frame in frames] == [[1.0, 2.0]] * 5
    assert source.health.refused.get(live_rows.NOT_READ, 0) >= 1


@needs_broker
def test_a_topic_for_each_channel_is_a_row_once_all_have_come(tmp_path):
    port = free_port()
    with broker(tmp_path, port):
        source = open_source(f"mqtt://127.0.0.1:{port}/room/#?channels=light,sound")
        end = published(port, [("room/light", "0.5"), ("room/sound", "7")])
        frames = first(source, 4)
        end()
    assert [frame.data.tolist() for frame in frames] == [[0.5, 7.0]] * 4


@needs_broker
def test_a_broker_that_refuses_the_login_is_named_without_the_password(tmp_path):
    port = free_port()
    with broker(tmp_path, port, login=True):
        source = open_source(f"mqtt://me:wrong-secret@127.0.0.1:{port}/phone")
        source._retries = 0
        with pytest.raises(SourceError) as refused:
            list(source)
    assert "wrong-secret" not in str(refused.value)
    assert "refuses" in str(refused.value) or "lost" in str(refused.value)
