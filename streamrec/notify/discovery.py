"""Where a camera is found over MQTT: the names of its topics, and its device as Home Assistant discovers it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from streamrec.core.version import version_of

Action: TypeAlias = tuple[str, str]  # a model, "" where the camera has one; and a label
_LIVE = "{{ 'online' if value == 'live' else 'offline' }}"  # without frames, the actions are unavailable

_OWN = ("state", "picture", "armed", "snooze", "snoozed_until", "set")  # of the camera itself


def topic_of(name: str) -> str:
    """A name as one level of a topic and as an id: equal for equal names only.

    >>> topic_of("door"), topic_of("Hof, hinten")
    ('door', 'Hof_hinten_ab1a')
    """
    plain = re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")
    return plain if plain == name else f"{plain or 'x'}_{zlib.crc32(name.encode()) & 0xFFFF:04x}"


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of topics below a prefix.

    >>> Topics("home", "homeassistant").action("door", ("", "fight"))
    'home/door/fight'
    """

    prefix: str
    discovery_prefix: str  # Home Assistant's own

    @property
    def status(self) -> str:
        """Whether streamrec is there."""
        return f"{self.prefix}/status"

    @property
    def events(self) -> str:
        """Each event, not retained."""
        return f"{self.prefix}/events"

    def state(self, camera: str) -> str:
        """A camera's state."""
        return f"{self.prefix}/{topic_of(camera)}/state"

    def picture(self, camera: str) -> str:
        """The picture of a camera's last event."""
        return f"{self.prefix}/{topic_of(camera)}/picture"

    def action(self, camera: str, action: Action) -> str:
        """Whether an action runs."""
        model, label = action
        names = (model, label) if model else (label,)
        # An action or a model named like one of the camera's own topics gets another one.
        levels = [f"{name}_action" if name in _OWN else topic_of(name) for name in names]
        return "/".join((self.prefix, topic_of(camera), *levels))

    def discovery(self, camera: str) -> str:
        """The camera's device, for Home Assistant."""
        return f"{self.discovery_prefix}/device/{self.id(camera)}/config"

    def id(self, *names: str) -> str:
        """A unique id of what has these names."""
        return "_".join((topic_of(self.prefix), *map(topic_of, names)))

    def action_id(self, camera: str, action: Action) -> str:
        """A unique id of an action."""
        model, label = action
        return self.id(camera, "action", *([model] if model else []), label)


def device(
    topics: Topics,
    camera: str,
    actions: Iterable[Action],
    *,
    gone: Iterable[Action],
    model: str,
    pictures: bool,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """A camera as Home Assistant's device discovery has it.

    ``gone``: actions that are removed there. ``more``: further components.
    """
    online = {"topic": topics.status}
    has_frames = {"topic": topics.state(camera), "value_template": _LIVE}
    components: dict[str, dict[str, Any]] = {
        topics.id(camera, "state"): {
            "platform": "sensor",
            "unique_id": topics.id(camera, "state"),
            "name": "State",
            "icon": "mdi:cctv",
            "entity_category": "diagnostic",
            "state_topic": topics.state(camera),
            "availability": [online],
        }
    }
    for action in actions:
        topic = topics.action(camera, action)
        components[topics.action_id(camera, action)] = {
            "platform": "binary_sensor",
            "unique_id": topics.action_id(camera, action),
            "name": action[1] if action[0] in ("", action[1]) else f"{action[0]}: {action[1]}",
            "state_topic": topic,
            "json_attributes_topic": f"{topic}/event",
            "availability": [online, has_frames],
            "availability_mode": "all",
        }
    # The same picture as an image, for dashboards and notifications, and as a camera, for what takes only cameras.
    for platform, key in (("image", "image_topic"), ("camera", "topic")):
        id, topic = topics.id(camera, platform), topics.picture(camera)
        components[id] = {"platform": platform}
        if pictures:  # else it is removed
            components[id] |= {
                "unique_id": id,
                "name": "Last event",
                key: topic,
                "json_attributes_topic": f"{topic}/event",
                "availability": [online],
                **({"content_type": "image/jpeg"} if platform == "image" else {}),
            }
    for action in gone:  # a component with nothing but its platform is removed
        components[topics.action_id(camera, action)] = {"platform": "binary_sensor"}
    return described(topics.id(camera), camera, model, {**components, **more})


def described(id: str, name: str, model: str, components: Mapping[str, Any]) -> dict[str, Any]:
    """A device with these components."""
    return {
        "device": {
            "identifiers": [id],
            "name": name,
            "manufacturer": "streamrec",
            "model": model or "streamrec",
            "sw_version": version_of() or "0",
        },
        "origin": {"name": "streamrec", "sw_version": version_of() or "0"},
        "qos": 1,
        "components": dict(components),
    }
