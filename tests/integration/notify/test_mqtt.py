"""MQTT against a real Mosquitto: what is so is retained, what happens arrives, Home Assistant finds it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamrec.core import failures
from streamrec.errors import SettingsError, SinkError
from streamrec.notify import delivery
from streamrec.notify import mqtt as rooms
from streamrec.notify.discovery import topic_of
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.notify.mqtt import RECEIVER, Mqtt, MqttSettings
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.settings.cameras_file import read_watchfile
from streamrec.types import ActionEnded, ActionStarted, Frame, Prediction, Result
from tests.helpers.cameras import free_port
from tests.helpers.certificates import make_certificate
from tests.integration.notify.test_webhook import speaking

paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: streamrec[mqtt]")
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
PASSWORD = "p@ss word/of:mine"

needs_broker = pytest.mark.skipif(
    MOSQUITTO is None, reason="there is no mosquitto: apt-get install mosquitto"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(rooms, "_STEADY_SECONDS", 0.3)
    monkeypatch.setattr(rooms, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(delivery, "_POLL_SECONDS", 0.05)


@contextlib.contextmanager
def broker(folder: Path, port: int, *, login: bool = False, tls: bool = False) -> Iterator[None]:
    """A Mosquitto that forgets everything when it ends, unless it was told to keep it."""
    lines = [f"listener {port} 127.0.0.1", f"allow_anonymous {'false' if login else 'true'}", "user root"]
    if login:
        passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        subprocess.run(["mosquitto_passwd", "-b", passwords, "me", PASSWORD], check=True, capture_output=True)
        lines.append(f"password_file {passwords}")
    if tls:
        certificate, key = make_certificate(folder, also="DNS:localhost,IP:127.0.0.1")
        key.chmod(0o644)
        lines += [f"certfile {certificate}", f"keyfile {key}"]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [MOSQUITTO, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 20.0
        while not listens(port):  # who is sooner is told that it cannot be reached
            assert process.poll() is None and time.monotonic() < until, "mosquitto did not start"
            time.sleep(0.01)
        yield
    finally:
        process.kill()
        process.wait(60.0)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


class Listener:
    """Somebody who subscribed to everything: what is so, and all that came."""

    def __init__(self, port: int) -> None:
        self.so: dict[str, str] = {}
        self.pictures: dict[str, bytes] = {}  # the payloads as they came
        self.came: list[tuple[str, str]] = []
        self.subscriptions = 0  # one at each connection
        self._changed = threading.Condition()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="listener")
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = self._count
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(0.1, 0.1)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        self.wait(lambda: self.subscriptions)

    def _count(self, *_: object) -> None:
        with self._changed:
            self.subscriptions += 1
            self._changed.notify_all()

    def _hear(self, client, data, message) -> None:
        with self._changed:
            # A picture is no text.
            payload = message.payload.decode("utf-8", "backslashreplace")
            self.so[message.topic] = payload
            self.pictures[message.topic] = message.payload
            self.came.append((message.topic, payload))
            self._changed.notify_all()

    def wait(self, found: Callable[[], object], seconds: float = 60.0) -> None:
        with self._changed:
            assert self._changed.wait_for(found, seconds), self.so

    def events(self) -> list[dict]:
        return [json.loads(payload) for topic, payload in self.came if topic == "streamrec/events"]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Gate:
    """Holds the attempts of a client to connect, until what must catch its first message has subscribed."""

    def __init__(self, client: paho.Client) -> None:
        self._open, self._held = threading.Event(), threading.Event()
        self._open.set()
        self._before = client.on_pre_connect
        client.on_pre_connect = self._pass

    def _pass(self, *given: object) -> None:
        if not self._open.is_set():
            self._held.set()
            self._open.wait()
        self._before(*given)

    def shut(self) -> None:
        self._held.clear()
        self._open.clear()

    def wait_held(self) -> None:
        """Until an attempt waits here: none that began before is still on its way."""
        assert self._held.wait(30.0)

    def open(self) -> None:
        self._open.set()


class House:
    """A history that tells a broker."""

    def __init__(self, folder: Path, port: int, least_pause: float = 1.0, **settings) -> None:
        self.told: list[str] = []
        self.history = History(folder / "events.db", receivers=(RECEIVER,))
        self.settings = MqttSettings(**({"host": "127.0.0.1", "port": port} | settings))
        self.mqtt = Mqtt(self.settings, self.history, log=self.told.append, least_pause=least_pause)
        self.gate = Gate(self.mqtt._client)

    def happen(self, event, camera="door") -> None:
        said = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
        frame = Frame(np.zeros((2, 2, 3), np.uint8), 0, event.timestamp, 0, camera)
        for announcement in self.history.record(Result(frame, said, (event,)), "fight"):
            self.mqtt.notify(announcement)

    def wait_told(self, text: str, seconds: float = 60.0) -> None:
        ends = time.monotonic() + seconds
        while not any(text in told for told in self.told) and time.monotonic() < ends:
            time.sleep(0.02)
        assert any(text in told for told in self.told), self.told

    def wait_empty(self, seconds: float = 60.0) -> None:
        ends = time.monotonic() + seconds
        while self.history.waiting(RECEIVER) and time.monotonic() < ends:
            time.sleep(0.02)
        assert self.history.waiting(RECEIVER) == []

    def close(self) -> None:
        self.gate.open()
        self.mqtt.close()
        self.history.close()


@pytest.fixture
def house(tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda port, **settings: stack.enter_context(
            contextlib.closing(House(tmp_path, port, **settings))
        )


@pytest.fixture
def listen():
    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(contextlib.closing(Listener(port)))


STARTED, ENDED = ActionStarted("fight", 1.0, 0.8), ActionEnded("fight", 3.0, 1.0, 0.9)


@needs_broker
def test_what_happens_is_told_and_what_is_so_is_retained(tmp_path, house, listen):
    port = free_port()
    with broker(tmp_path, port):
        one = house(port)
        one.mqtt.camera("door", ["fight", "fall"], "fight")
        one.mqtt.state("door", "live")
        ear = listen(port)
        ear.wait(lambda: ear.so.get("streamrec/door/fall") == "OFF")
        one.happen(STARTED)
        ear.wait(lambda: ear.so.get("streamrec/door/fight") == "ON")
        one.happen(ENDED)
        ear.wait(lambda: ear.so.get("streamrec/door/fight") == "OFF" and len(ear.events()) == 2)
        assert [event["event"] for event in ear.events()] == ["started", "ended"]
        assert ear.events()[1]["data"] == one.history.query()[0].to_dict()
        late = listen(port)
        late.wait(lambda: late.so.get("streamrec/door/fight/event"))
        late.wait(lambda: len(late.so) >= 6)
        assert late.so["streamrec/status"] == "online"
        assert late.so["streamrec/door/state"] == "live"
        assert json.loads(late.so["streamrec/door/fight/event"])["duration"] == 2.0
        assert "streamrec/events" not in late.so  # what happened is over
        one.close()
        late.wait(lambda: late.so["streamrec/status"] == "offline")


@needs_broker
def test_an_action_is_on_as_long_as_anyone_does_it(tmp_path, house, listen):
    port = free_port()
    with broker(tmp_path, port):
        one = house(port)
        one.mqtt.camera("door", ["wave"], "webcam")
        ear = listen(port)
        of_person = {"box": (0.1, 0.2, 0.9, 0.4), "keypoints": np.full((17, 3), 0.5, np.float32)}
        for number in (1, 2):
            one.happen(ActionStarted("wave", float(number), 0.8, person=number, **of_person))
        one.happen(ActionEnded("wave", 3.0, 1.0, 0.9, person=1))
        ear.wait(lambda: len(ear.events()) == 3)
        assert ear.so["streamrec/door/wave"] == "ON"
        data = [event["data"] for event in ear.events()]
        assert [(one["person"], one["ended"] is None) for one in data] == [(1, True), (2, True), (1, False)]
        assert data[0]["box"] == [0.1, 0.2, 0.9, 0.4] and data[0]["keypoints"] == [[0.5] * 3] * 17
        one.happen(ActionEnded("wave", 4.0, 2.0, 0.9, person=2))
        ear.wait(lambda: ear.so.get("streamrec/door/wave") == "OFF")


@needs_broker
def test_home_assistant_finds_a_device_with_its_sensors(tmp_path, house, listen):
    port = free_port()
    with broker(tmp_path, port):
        one = house(port)
        one.mqtt.camera("Hof, hinten", ["fight", "state"], "fight")
        ear = listen(port)
        topic = f"homeassistant/device/streamrec_{topic_of('Hof, hinten')}/config"
        ear.wait(lambda: topic in ear.so)
        found = json.loads(ear.so[topic])
        assert found["device"]["name"] == "Hof, hinten"
        assert found["device"]["identifiers"] == [f"streamrec_{topic_of('Hof, hinten')}"]
        assert found["origin"]["name"] == "streamrec"
        # Without pictures, the entities of an earlier process are removed: nothing but their platform is left.
        assert [c["platform"] for c in found["components"].values() if len(c) == 1] == ["image", "camera"]
        components = [c for c in found["components"].values() if len(c) > 1]
        kinds = sorted((c["platform"], c["name"]) for c in components)
        assert kinds == [("binary_sensor", "fight"), ("binary_sensor", "state"), ("sensor", "State")]
        assert len({c["unique_id"] for c in components}) == len({c["state_topic"] for c in components}) == 3
        ear.wait(lambda: all(c["state_topic"] in ear.so for c in components if c["platform"] != "sensor"))
        for component in components:
            assert {"topic": "streamrec/status"} in component["availability"]
        one.mqtt.camera("Hof, hinten", ["fight"], "other")  # its model knows fewer actions now
        ear.wait(lambda: "other" in ear.so[topic])
        left = json.loads(ear.so[topic])["components"]
        assert {"platform": "binary_sensor"} in left.values()
        one.mqtt.remove("Hof, hinten")
        ear.wait(lambda: ear.so[topic] == "")
        one.happen(STARTED, camera="Hof, hinten")  # what its end still tells
        one.mqtt.state("Hof, hinten", "ended")
        late = listen(port)
        late.wait(lambda: "streamrec/status" in late.so)
        time.sleep(0.3)
        assert set(late.so) <= {"streamrec/status", "streamrec/events"}


@needs_broker
def test_home_assistant_shows_the_picture_of_the_last_event(tmp_path, listen):
    port = free_port()
    settings = DispatchSettings(
        history=HistorySettings(file=str(tmp_path / "events.db")),
        mqtt=MqttSettings(
            host="127.0.0.1", port=port, pictures=True, public_url="https://cameras.example.org"
        ),
    )
    topic, config = "streamrec/door/picture", "homeassistant/device/streamrec_door/config"
    said = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)
    with broker(tmp_path, port):
        ear = listen(port)  # before the event, whose message is not retained
        with Dispatcher(settings, lambda message: None) as watching:
            watching.camera("door", model="fight", actions=["fight", "picture"])
            watching.write(
                Result(Frame(np.zeros((48, 64, 3), np.uint8), 0, 1.0, 0, "door"), said, (STARTED,))
            )
            ear.wait(lambda: topic in ear.so and ear.events() and config in ear.so)
            assert watching.receivers["mqtt"].test() == "the broker confirmed it, at streamrec/test"
        assert ear.pictures[topic].startswith(b"\xff\xd8")
        (event,) = ear.events()[:1]
        assert json.loads(ear.so[f"{topic}/event"])["id"] == event["data"]["id"]
        assert event["link"] == f"https://cameras.example.org/#/events/{event['data']['id']}"
        found = {c["platform"]: c for c in json.loads(ear.so[config])["components"].values()}
        assert (found["image"]["image_topic"], found["image"]["content_type"]) == (topic, "image/jpeg")
        assert found["camera"]["topic"] == topic
        assert "streamrec/door/picture_action" in ear.so
        with Dispatcher(
            replace(settings, mqtt=replace(settings.mqtt, pictures=False)), lambda message: None
        ) as one:
            one.camera("door", model="fight", actions=["fight"])
            ear.wait(lambda: ear.so[topic] == "")  # nothing of it stays at the broker


@needs_broker
def test_each_of_several_models_has_topics_of_its_own(tmp_path, house, listen):
    port = free_port()
    with broker(tmp_path, port):
        one = house(port)
        one.mqtt.camera("door", ["fight"], "night")
        ear = listen(port)
        ear.wait(lambda: ear.so.get("streamrec/door/fight") == "OFF")
        one.mqtt.models("door", {"day": ("fight",), "night": ("fight", "fall")})
        ear.wait(lambda: ear.so.get("streamrec/door/night/fall") == "OFF")
        ear.wait(lambda: ear.so["streamrec/door/fight"] == "")  # of one model alone
        one.happen(replace(STARTED, model="night"))
        ear.wait(lambda: ear.so.get("streamrec/door/night/fight") == "ON")
        ear.wait(lambda: "streamrec/door/night/fight/event" in ear.so and ear.events())
        assert json.loads(ear.so["streamrec/door/night/fight/event"])["model"] == "night"
        assert ear.events()[0]["data"]["model"] == "night"
        assert ear.so["streamrec/door/day/fight"] == "OFF"
        ear.wait(lambda: "day + night" in ear.so["homeassistant/device/streamrec_door/config"])
        found = json.loads(ear.so["homeassistant/device/streamrec_door/config"])["components"].values()
        sensors = [one for one in found if one["platform"] == "binary_sensor" and "name" in one]
        assert [one["name"] for one in sensors] == ["day: fight", "night: fight", "night: fall"]
        assert len({one["unique_id"] for one in sensors}) == 3
        one.mqtt.remove("door")
        ear.wait(lambda: not any(ear.so[topic] for topic in ear.so if topic.startswith("streamrec/door/")))


@needs_broker
def test_a_broker_that_goes_away_and_comes_back_is_told_all_that_is_so(tmp_path, house, listen):
    port = free_port()
    one = house(port, least_pause=0.1)
    one.mqtt.camera("door", ["fight"])
    one.happen(STARTED)
    one.wait_told("mqtt 127.0.0.1: it cannot be reached; it is tried again")
    one.gate.shut()  # events are not retained
    one.gate.wait_held()
    with broker(tmp_path, port):
        ear = listen(port)
        one.gate.open()
        ear.wait(lambda: ear.so.get("streamrec/door/fight") == "ON")
        one.wait_told("mqtt 127.0.0.1: it is connected")
        ear.wait(lambda: [event["event"] for event in ear.events()] == ["started"])
        one.gate.shut()
    one.wait_told("mqtt 127.0.0.1: the connection was lost")
    one.happen(ENDED)
    with broker(tmp_path, port):  # another one, that knows nothing
        ear.wait(lambda: ear.subscriptions == 2)
        one.gate.open()
        ear.wait(lambda: ear.so.get("streamrec/door/fight") == "OFF")
        ear.wait(lambda: len({event["id"] for event in ear.events()}) == 2)
        one.wait_empty()


@needs_broker
def test_the_last_will_says_that_streamrec_died(tmp_path, house, listen):
    port = free_port()
    with broker(tmp_path, port):
        ear = listen(port)
        one = house(port)
        ear.wait(lambda: ear.so.get("streamrec/status") == "online")
        one.mqtt._client.on_disconnect = None
        one.mqtt._client.loop_stop()
        one.mqtt._client._sock_close()  # as a kill does
        ear.wait(lambda: ear.so.get("streamrec/status") == "offline")
        one.mqtt._connected = False


@needs_broker
def test_user_password_and_tls(tmp_path, house):
    port = free_port()
    with broker(tmp_path, port, login=True, tls=True):
        one = house(port, user="me", password=PASSWORD, ca=str(tmp_path / "cert.pem"))
        one.mqtt.camera("door", ["fight"])
        one.happen(STARTED)
        one.wait_empty()  # the broker has it
        one.close()
        two = house(port, user="me", password="a wrong one", ca=str(tmp_path / "cert.pem"))
        two.wait_told("it refused the connection (not authorized)")
        assert "a wrong one" not in "".join(two.told) + repr(two.settings)
    assert PASSWORD not in "".join(one.told) + repr(one.settings)


CONNACK = b"\x20\x02\x00\x00"


def confirms_nothing(connection: socket.socket) -> None:
    connection.sendall(CONNACK)
    while connection.recv(4096):
        pass


def says_again_and_again_that_it_connected(connection: socket.socket) -> None:
    while True:
        connection.sendall(CONNACK)
        time.sleep(0.02)


def drops(connection: socket.socket) -> None:
    connection.sendall(CONNACK)
    time.sleep(0.1)
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("behave", "says"),
    [
        (lambda connection: None, "no answer within 0.5 s"),
        (confirms_nothing, "it does not confirm what it is sent"),
        (says_again_and_again_that_it_connected, "it does not confirm what it is sent"),
        (drops, "the connection was lost"),
        (
            lambda connection: connection.sendall(bytes(range(256)) * 8),
            "it ended the connection without an answer",
        ),
        (
            lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "no answer within 0.5 s",
        ),
        (lambda connection: connection.shutdown(socket.SHUT_RDWR), "without an answer"),
    ],
    ids=["silent", "confirms nothing", "connects again and again", "drops", "garbage", "http", "closes"],
)
def test_a_broker_that_misbehaves_is_told_once_and_when_it_works_again(
    tmp_path, house, monkeypatch, behave, says
):
    if "no answer" not in says:  # a busy machine may take long to answer at all
        monkeypatch.setattr(rooms, "_ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(rooms, "_CONFIRM_SECONDS", 0.5)
    monkeypatch.setattr(failures, "_LONGEST_STEADY", 1.0)

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        behave(connection)

    with speaking(answer) as (port, came):
        one = house(port, least_pause=0.05)
        one.mqtt.camera("door", ["fight"])
        one.happen(STARTED)
        one.wait_told(says)
        ends = time.monotonic() + 1.0
        while len(came) < 6 and time.monotonic() < ends:
            time.sleep(0.02)
        assert len(one.told) == 1
        assert [message.kind for message in one.history.waiting(RECEIVER)] == ["started"]
    if MOSQUITTO is not None:
        with broker(tmp_path, port):
            one.wait_told("it is connected", 30.0)
            one.wait_empty()
        assert len([told for told in one.told if "it is connected" in told]) == 1


def test_a_broker_that_is_nowhere_delays_nobody(house, monkeypatch):
    asked, given_up = threading.Event(), threading.Event()

    def connect(*_: object, **__: object) -> None:
        asked.set()
        given_up.wait()
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", connect)
    try:
        one = house(9)
        one.mqtt.camera("door", ["fight"])
        one.happen(STARTED)
        assert asked.wait(60.0)
        one.close()
        assert not given_up.is_set()  # it still tries to connect: nothing waited for that
    finally:
        given_up.set()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "host: it is missing"),
        ('host = "h"\nprefix = "a/#"', "prefix: 'a/#' is no topic"),
        ('host = "h"\npassword = "hidden-secret"', "user: it is missing; a password belongs to a user"),
        ('host = "h"\nport = 70000', "port: give a whole number from 0 to 65,535, not 70000"),
        ('host = "h"\npassword = 5', "password: give a text$"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, table, says):
    path = tmp_path / "cameras.toml"
    path.write_text(f'[[camera]]\nname = "door"\naddress = "0"\n[mqtt]\n{table}\n')
    with pytest.raises(SettingsError, match=says) as caught:
        read_watchfile(path, {}).settings("mqtt", MqttSettings)
    assert "hidden-secret" not in str(caught.value)


def test_certificates_that_cannot_be_read_are_told(tmp_path):
    with History(tmp_path / "events.db") as history, pytest.raises(SinkError, match="cannot be read as cert"):
        Mqtt(MqttSettings(host="127.0.0.1", ca=str(tmp_path / "nothing.pem")), history)


def test_names_stay_apart_as_topics():
    names = ["door", "Door", "door 1", "door_1", "door/1", "Tür", "Tor", "+", "#", "..."]
    topics = [topic_of(name) for name in names]
    assert len(set(topics)) == len(names)
    assert all(topic.isascii() and not set(topic) & set("+#/ ") for topic in topics)
