"""Arming over MQTT: what is armed as retained topics, and commands, which Home Assistant finds as its controls.

Topics, below the prefix; payloads of commands are text:

    profile                  the profile in force
    profile/set              a profile's name; "schedule": as the schedule says
    <camera>/armed           ON; OFF while the whole camera is snoozed
    <camera>/armed/set       ON, or OFF: snoozed until it is ON again
    <camera>/snoozed_until   a time in ISO 8601; None
    <camera>/snooze/set      minutes, 0 ends it; or {"minutes": 10, "label": "fall"}

A command that is not understood, or that is retained, is refused with a line in the log. Who may publish to these
topics may disarm: the broker's access list decides that.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from streamrec.core.messages import shortened
from streamrec.core.text import printable
from streamrec.errors import StreamrecError
from streamrec.events.arming import SCHEDULE
from streamrec.notify.discovery import Topics, described, topic_of
from streamrec.outputs.arming import MOST_MINUTES, ArmingService
from streamrec.outputs.history.records import iso

_MOST_WAITING = 20  # commands
_LONGEST = 500  # bytes of a command
_LINES = 10  # about refused commands that are logged in a minute
_MINUTE = 60.0


class ArmingTopics:
    """The topics of what is armed. ``publish`` sets a retained topic; it and ``take`` wait for nothing.

    Commands are carried out in a thread, one after the other: each waits for the disk.
    """

    def __init__(
        self,
        arming: ArmingService,
        topics: Topics,
        publish: Callable[[str, str], object],
        *,
        log: Callable[[str], object],
        commands: bool = True,
        announce: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._arming, self._topics, self._publish, self._log = arming, topics, publish, log
        self._commands, self._announced, self._monotonic = commands, announce, monotonic
        self._showing = threading.Lock()  # held while it is published
        self._shown: dict[str, str] = {}  # topic: payload
        self._profiles = arming.profiles  # as Home Assistant knows them
        self._refusing = threading.Lock()  # held while a line is counted and logged: two threads refuse
        self._logged: list[float] = []  # monotonic() of the last lines
        self._waiting: queue.Queue[tuple[str, str] | None] = queue.Queue(_MOST_WAITING)
        if commands:
            threading.Thread(target=self._work, name="mqtt commands", daemon=True).start()
        arming.on_change(self.show)

    # -- what is so

    @property
    def _profile(self) -> str:
        return f"{self._topics.prefix}/profile"

    def _of(self, camera: str, what: str) -> str:
        return f"{self._topics.prefix}/{topic_of(camera)}/{what}"

    def show(self) -> None:
        """Publish what has changed; one at a time, so that the newest state is published last."""
        with self._showing:
            self._set(self._profile, self._arming.profile)
            if self._profiles != self._arming.profiles:
                self._profiles = self._arming.profiles
                self.announce()
            for camera in self._arming.cameras:
                self._show_camera(camera)

    def _show_camera(self, camera: str) -> None:
        until = self._arming.snoozed_until(camera)
        self._set(self._of(camera, "armed"), "ON" if until is None else "OFF")
        self._set(
            self._of(camera, "snoozed_until"), "None" if until is None or math.isinf(until) else iso(until)
        )

    def _set(self, topic: str, payload: str) -> None:
        if self._shown.get(topic) != payload:
            self._shown[topic] = payload
            self._publish(topic, payload)

    def watched(self, camera: str) -> dict[str, Any]:
        """A camera is watched: publish what of it is so; its components for Home Assistant."""
        with self._showing:
            self._show_camera(camera)
        return self._components(camera)

    def removed(self, camera: str) -> None:
        """A camera is not watched any more."""
        with self._showing:
            for what in ("armed", "snoozed_until"):
                self._shown.pop(self._of(camera, what), None)
                self._publish(self._of(camera, what), "")

    # -- Home Assistant

    def announce(self) -> None:
        """Let Home Assistant find the choice of a profile, where it is to find anything."""
        if not self._announced:
            return
        id = f"{topic_of(self._topics.prefix)}__arming"  # no camera has such an id
        component: dict[str, Any] = {
            "unique_id": f"{id}_profile",
            "name": "Profile",
            "icon": "mdi:shield-home",
            "state_topic": self._profile,
            "availability": [{"topic": self._topics.status}],
        }
        if self._commands:
            component |= {
                "platform": "select",
                "command_topic": f"{self._profile}/set",
                "options": [*self._arming.profiles, SCHEDULE],
            }
        else:
            component |= {"platform": "sensor"}
        payload = described(id, f"Arming ({self._topics.prefix})", "", {f"{id}_profile": component})
        self._publish(f"{self._topics.discovery_prefix}/device/{id}/config", json.dumps(payload))

    def _components(self, camera: str) -> dict[str, Any]:
        """A camera's switch, the number that snoozes it, and when that ends."""

        def component(what: str, platform: str, name: str, icon: str, **more: Any) -> dict[str, Any]:
            return {
                "platform": platform,
                "unique_id": self._topics.id(camera, what),
                "name": name,
                "icon": icon,
                "availability": [{"topic": self._topics.status}],
                **more,
            }

        until = self._of(camera, "snoozed_until")
        found = {
            "snoozed_until": component(
                "snoozed_until", "sensor", "Snoozed until", "mdi:bell-sleep", state_topic=until,
                device_class="timestamp",
            )
        }  # fmt: skip
        if self._commands:
            armed = self._of(camera, "armed")
            found["armed"] = component(
                "armed",
                "switch",
                "Notifications",
                "mdi:bell",
                state_topic=armed,
                command_topic=f"{armed}/set",
            )
            found["snooze"] = component(
                "snooze", "number", "Snooze", "mdi:timer-sand",
                command_topic=f"{self._of(camera, 'snooze')}/set", min=0, max=MOST_MINUTES, step=1, mode="box",
                unit_of_measurement="min",
            )  # fmt: skip
        return {self._topics.id(camera, what): one for what, one in found.items()}

    # -- commands

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """The topics of commands, and their quality of service; empty: none are taken."""
        if not self._commands:
            return []
        below = self._topics.prefix
        return [(f"{self._profile}/set", 1), (f"{below}/+/armed/set", 1), (f"{below}/+/snooze/set", 1)]

    def take(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """A message came; it is carried out soon, or refused with a line in the log. Returns at once."""
        if not self._commands:
            return
        if retained:  # it would be carried out again at each connection
            self._refuse(topic, "a retained command is not carried out; publish it without retain")
        elif len(payload) > _LONGEST:
            self._refuse(topic, f"a command of {len(payload):,} bytes; they have at most {_LONGEST}")
        else:
            try:
                self._waiting.put_nowait((topic, payload.decode()))
            except UnicodeDecodeError:
                self._refuse(topic, "a command that is no text")
            except queue.Full:
                self._refuse(topic, f"more than {_MOST_WAITING} commands wait")

    def _work(self) -> None:
        while (command := self._waiting.get()) is not None:
            topic, payload = command
            try:
                self._carry_out(topic, payload)
            except StreamrecError as error:
                self._refuse(topic, str(error))
            except Exception as error:  # no command may end the thread
                self._refuse(topic, f"{type(error).__name__}: {error}")
            self.show()

    def _carry_out(self, topic: str, payload: str) -> None:
        if topic == f"{self._profile}/set":
            self._arming.choose(None if payload == SCHEDULE else payload, by="MQTT")
            return
        level, what = topic.removeprefix(f"{self._topics.prefix}/").split("/")[:2]
        camera = next((name for name in self._arming.cameras if topic_of(name) == level), level)
        if what == "armed":
            if payload not in ("ON", "OFF"):
                raise StreamrecError(f"write ON or OFF, not {shortened(payload)}")
            self._arming.snooze(camera, minutes=0 if payload == "ON" else None)
            return
        minutes, label = _snooze_of(payload)
        self._arming.snooze(camera, label, minutes)

    def _refuse(self, topic: str, reason: str) -> None:
        with self._refusing:
            now = self._monotonic()
            self._logged = [at for at in self._logged if now - at < _MINUTE]
            if len(self._logged) < _LINES:
                self._logged.append(now)
                more = "; further ones are not reported for a minute" if len(self._logged) == _LINES else ""
                self._log(printable(f"mqtt: {shortened(topic)[1:-1]}: {reason}{more}"))

    def close(self) -> None:
        """Take no more commands."""
        self._commands = False
        try:
            self._waiting.put_nowait(None)
        except queue.Full:  # the thread ends with the process
            return


def _snooze_of(payload: str) -> tuple[float, str]:
    """The minutes and the label of a command; raises ``StreamrecError``."""
    try:
        given = json.loads(payload)
    except (ValueError, RecursionError):
        given = None
    label: Any = ""
    if isinstance(given, dict):
        known = set(given) <= {"minutes", "label"}
        label, given = given.get("label") or "", given.get("minutes") if known else None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise StreamrecError(
            f'write minutes, or {{"minutes": 10, "label": "fall"}}, not {shortened(payload)}'
        )
    return given, label
