"""Arming over a real Mosquitto: what is armed is retained, commands are carried out, and bad ones refused in words."""

from __future__ import annotations

import contextlib
import json

import pytest

from streamrec.events.arming import ArmingRules, Profile
from streamrec.notify.arming import Arming
from streamrec.notify.discovery import Topics
from streamrec.notify.mqtt_arming import ArmingTopics
from streamrec.outputs.history.store import History
from tests.helpers.cameras import free_port
from tests.integration.notify.test_mqtt import House, Listener, broker, impatient, needs_broker  # noqa: F401
from tests.integration.outputs.history.test_store import wait_for

NIGHT = ArmingRules(own=(Profile(name="night"),))


class Armed(House):
    """A history that a broker can arm."""

    def __init__(self, folder, port: int, **settings) -> None:
        super().__init__(folder, port, least_pause=0.2, **settings)
        self.arming = Arming(self.history, NIGHT)
        self.mqtt.arming(self.arming)
        for name in ("door", "Hof, hinten"):
            self.arming.watched(name, {"": ["fight", "armed"]})
            self.mqtt.camera(name, ["fight", "armed"])


@pytest.fixture
def port(tmp_path):
    port = free_port()
    with broker(tmp_path, port):
        yield port


@pytest.fixture
def ear(port):
    with contextlib.closing(Listener(port)) as ear:
        wait_for(ear._client.is_connected)  # what is published earlier raises
        yield ear


@pytest.fixture
def house(tmp_path, port):
    with contextlib.closing(Armed(tmp_path, port)) as house:
        yield house


def say(ear: Listener, topic: str, payload: str | bytes, **more) -> None:
    ear._client.publish(f"streamrec/{topic}", payload, qos=1, **more).wait_for_publish(10.0)


@needs_broker
def test_what_is_armed_is_retained_and_chosen_by_commands(house, ear):
    yard = "streamrec/Hof_hinten_ab1a"
    ear.wait(lambda: ear.so.get("streamrec/profile") == "armed" and ear.so.get(f"{yard}/armed") == "ON")
    assert ear.so["streamrec/door/snoozed_until"] == "None"
    say(ear, "profile/set", "night")
    ear.wait(lambda: ear.so["streamrec/profile"] == "night")
    assert house.arming.status()["chosen_by"] == "MQTT"
    say(ear, "profile/set", "schedule")
    ear.wait(lambda: ear.so["streamrec/profile"] == "armed")
    say(ear, "Hof_hinten_ab1a/armed/set", "OFF")
    ear.wait(lambda: ear.so[f"{yard}/armed"] == "OFF")
    assert ear.so[f"{yard}/snoozed_until"] == "None" and ear.so["streamrec/door/armed"] == "ON"
    say(ear, "Hof_hinten_ab1a/armed/set", "ON")
    ear.wait(lambda: ear.so[f"{yard}/armed"] == "ON")
    say(ear, "door/snooze/set", "30")
    ear.wait(lambda: ear.so["streamrec/door/snoozed_until"].endswith("+00:00"))
    say(ear, "door/snooze/set", "0")
    ear.wait(lambda: ear.so["streamrec/door/armed"] == "ON")
    say(ear, "door/snooze/set", '{"minutes": 5, "label": "fight"}')
    wait_for(lambda: [one["label"] for one in house.arming.status()["snoozes"]] == ["fight"])
    assert house.told == []


@needs_broker
def test_bad_commands_are_refused_with_a_line_and_change_nothing(house, ear):
    ear.wait(lambda: "streamrec/profile" in ear.so)
    before = house.arming.status()
    for topic, payload, line in (
        ("profile/set", "nigt", "mqtt: streamrec/profile/set: nigt: there is no such profile; did you mean night"),
        ("profile/set", "", "there is no such profile"),
        ("profile/set", b"\xff\xfe", "a command that is no text"),
        ("profile/set", "x" * 501, "a command of 501 bytes; they have at most 500"),
        ("door/armed/set", "off", "write ON or OFF, not 'off'"),
        ("gate/armed/set", "OFF", "gate: there is no such camera"),
        ("door/snooze/set", "ten\n\x1b[2Jminutes", "write minutes, or"),
        ("door/snooze/set", "NaN", "minutes: give a number from 0, or 1 to 10,080, not nan"),
        ("door/snooze/set", '{"minutes": 5, "label": "fal"}', "fal: there is no such label"),
    ):  # fmt: skip
        house.told.clear()
        house.mqtt._arming._logged.clear()
        say(ear, topic, payload)
        house.wait_told(line)
        assert house.told[0].isprintable()
    assert house.arming.status() == before


@needs_broker
def test_a_retained_command_is_not_carried_out(tmp_path, port, ear):
    say(ear, "profile/set", "night", retain=True)
    with contextlib.closing(Armed(tmp_path, port)) as house:
        house.wait_told("a retained command is not carried out; publish it without retain")
        assert house.arming.profile == "armed"


@needs_broker
def test_home_assistant_finds_a_select_and_for_each_camera_a_switch_a_number_and_a_sensor(house, ear):
    config, hub = (
        "homeassistant/device/streamrec_door/config",
        "homeassistant/device/streamrec__arming/config",
    )
    ear.wait(lambda: config in ear.so and hub in ear.so)
    (select,) = json.loads(ear.so[hub])["components"].values()
    assert (select["platform"], select["options"]) == ("select", ["armed", "disarmed", "night", "schedule"])
    assert (select["command_topic"], select["state_topic"]) == ("streamrec/profile/set", "streamrec/profile")
    door = json.loads(ear.so[config])["components"]
    switch, number = door["streamrec_door_armed"], door["streamrec_door_snooze"]
    assert (switch["platform"], switch["command_topic"]) == ("switch", "streamrec/door/armed/set")
    assert (number["platform"], number["min"], number["max"]) == ("number", 0, 10080.0)
    assert door["streamrec_door_snoozed_until"]["device_class"] == "timestamp"
    # An action of that name keeps out of the way.
    assert door["streamrec_door_action_armed"]["state_topic"] == "streamrec/door/armed_action"
    house.arming.use(ArmingRules())
    ear.wait(lambda: "night" not in ear.so[hub])
    house.mqtt.remove("door")
    ear.wait(lambda: ear.so["streamrec/door/armed"] == ear.so[config] == "")


@needs_broker
def test_without_commands_the_state_is_published_and_nothing_is_taken(tmp_path, port, ear):
    with contextlib.closing(Armed(tmp_path, port, commands=False)) as house:
        ear.wait(lambda: ear.so.get("streamrec/door/armed") == "ON")
        say(ear, "profile/set", "night")
        say(ear, "door/armed/set", "OFF")
        house.arming.choose("night", by="page")
        ear.wait(lambda: ear.so["streamrec/profile"] == "night")
        assert house.arming.snoozed_until("door") is None
        hub = json.loads(ear.so["homeassistant/device/streamrec__arming/config"])["components"]
        assert [one["platform"] for one in hub.values()] == ["sensor"]
        assert "command_topic" not in ear.so["homeassistant/device/streamrec_door/config"]


def test_a_flood_of_commands_is_bounded_and_a_minute_has_ten_lines(tmp_path):
    logged: list[str] = []
    with History(tmp_path / "events.db") as history:
        arming, now = Arming(history, NIGHT), [0.0]
        topics = ArmingTopics(
            arming, Topics("s", "h"), lambda *_: None, log=logged.append, monotonic=lambda: now[0]
        )
        for _ in range(1000):
            topics.take("s/profile/set", b"nigt")
        wait_for(topics._waiting.empty)
        topics.take("s/profile/set", b"night")
        wait_for(lambda: arming.profile == "night")  # so that all before it were carried out
        assert len(logged) == 10 and logged[-1].endswith("further ones are not reported for a minute")
        now[0] = 61.0
        topics.take("s/profile/set", b"\xff")
        assert len(logged) == 11
        topics.close()
