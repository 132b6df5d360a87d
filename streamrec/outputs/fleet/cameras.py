"""The cameras of a fleet as the head shows them: like cameras of this process, and with the machine where they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from streamrec.events.places import PlaceSettings
from streamrec.outputs.fleet.records import (
    FENCE_SECONDS,
    CameraStatus,
    FleetStatus,
    GroupStatus,
    MachineStatus,
)
from streamrec.pipeline.watcher import Counts
from streamrec.types import Health, SourceState


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSound:
    """The sound of a camera, as the page and the terminal show it."""

    name: str  # of the model that listens
    health: Health = field(default_factory=Health)
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCamera:
    """A camera as the page and the terminal show it."""

    name: str
    health: Health = field(default_factory=Health)
    rate: float = 0.0  # results a second
    counts: Counts = field(default_factory=Counts)  # since its group began on its machine
    places: PlaceSettings | None = None  # its zones and lines
    sound: RemoteSound | None = None  # where it listens
    machine: str = ""  # "": on none, it waits for one with room
    machine_since: float | None = None  # seconds since 1970 by the head's clock


def remote_cameras(
    status: FleetStatus,
    places: Mapping[str, PlaceSettings | None] = MappingProxyType({}),
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[RemoteCamera, ...]:
    """The cameras of a fleet. What a machine saved last counts only while it goes on saving.

    ``places``: the cameras of the file in their order, with their zones and lines; others follow by name.

    >>> group = GroupStatus(name="site-1", machine="north", state="silent", cameras=("door",), saved=6.0)
    >>> north = MachineStatus(name="north", state="dead")
    >>> door = CameraStatus(name="door", state="live", group="site-1", machine="north")
    >>> fleet = FleetStatus(name="site", version="", machines=(north,), groups=(group,), cameras=(door,))
    >>> [camera] = remote_cameras(fleet)
    >>> str(camera.health.state), camera.health.reason
    ('reconnecting', 'north is lost: another machine goes on with this camera')
    """
    now, here = clock(), monotonic()
    machines = {machine.name: machine for machine in status.machines}
    known = {camera.name: camera for camera in status.cameras}
    group_of = {name: group for group in status.groups for name in group.cameras}
    found = []
    for name in (*places, *sorted((known.keys() | group_of.keys()) - places.keys())):
        group = group_of.get(name)
        camera = known.get(name) or CameraStatus(name=name)
        state, reason, since = _state_of(camera, group, machines, now)
        health = Health(
            state=SourceState(state),
            reason=reason,
            since=0.0 if not since else here - max(0.0, now - since),
            frames=camera.read,
            refused={"": camera.refused} if camera.refused else {},
            reconnects={"": camera.reconnects} if camera.reconnects else {},
        )
        lost = sum(camera.dropped.values())
        waiting = max(0, camera.read - camera.recognized - lost)
        found.append(
            RemoteCamera(
                name=name,
                health=health,
                rate=camera.fps if health.state is SourceState.live else 0.0,
                counts=Counts(camera.read, camera.recognized, dict(camera.dropped), waiting),
                places=places.get(name),
                sound=_sound_of(camera, health, now - here),
                machine="" if group is None else group.machine,
                machine_since=None if group is None else group.since,
            )
        )
    return tuple(found)


def _sound_of(camera: CameraStatus, health: Health, ahead: float) -> RemoteSound | None:
    """The sound of a camera; while nothing comes from its machine it is as the camera is."""
    sound = camera.sound
    if sound is None:
        return None
    if (str(health.state), health.reason) == (camera.state, camera.reason):
        since = sound.since - ahead if sound.since else 0.0
        health = Health(state=SourceState(sound.state), reason=sound.reason, since=since)
    return RemoteSound(name=sound.model, health=health, dropped=sound.dropped)


def _state_of(
    camera: CameraStatus, group: GroupStatus | None, machines: dict[str, MachineStatus], now: float
) -> tuple[str, str, float | None]:
    """State, reason and since when: the camera's own while its group saves, otherwise why nothing comes."""
    if group is None:
        return SourceState.connecting, "it waits for a machine with room", None
    machine = machines.get(group.machine)
    is_lost = machine is not None and machine.state == "dead"
    # The cluster may take a machine for dead that goes on: then its groups go on saving.
    if group.state == "running" and not (is_lost and (group.saved is None or group.saved >= FENCE_SECONDS)):
        return camera.state, camera.reason, camera.since
    since = None if group.saved is None else now - group.saved
    if group.state == "moving":
        return SourceState.reconnecting, f"it moves away from {group.machine}", since
    if not group.machine or group.state == "waiting":
        return SourceState.connecting, "it waits for a machine with room", since
    if is_lost:
        reason = f"{group.machine} is lost: another machine goes on with this camera"
        return SourceState.reconnecting, reason, since
    return SourceState.stalled, f"nothing comes from {group.machine}", since
