"""The sound of a camera of a fleet, as the head shows it: its own state, while its machine is there."""

from __future__ import annotations

from dataclasses import replace

from streamrec.outputs.fleet.cameras import RemoteSound, remote_cameras
from streamrec.outputs.fleet.records import (
    CameraStatus,
    FleetStatus,
    GroupStatus,
    MachineStatus,
    SoundStatus,
)
from streamrec.types import SourceState

SOUND = SoundStatus(model="glass", state="stalled", reason="no sound for 3 s", since=90.0, dropped=2)
YARD = CameraStatus(name="yard", state="live", since=50.0, sound=SOUND, group="site-1", machine="north")
GROUP = GroupStatus(name="site-1", machine="north", state="running", cameras=("yard",), saved=0.5)


def sound_of(group: GroupStatus = GROUP, camera: CameraStatus = YARD) -> RemoteSound | None:
    fleet = FleetStatus(
        name="site", version="", machines=(MachineStatus(name="north"),), groups=(group,), cameras=(camera,)
    )
    (shown,) = remote_cameras(fleet, clock=lambda: 100.0, monotonic=lambda: 20.0)
    return shown.sound


def test_it_is_as_its_machine_saved_it_last():
    sound = sound_of()
    assert sound is not None and (sound.name, sound.dropped) == ("glass", 2)
    health = sound.health
    assert (health.state, health.reason, health.since) == (SourceState.stalled, "no sound for 3 s", 10.0)


def test_while_nothing_comes_from_the_machine_it_is_as_the_camera():
    sound = sound_of(replace(GROUP, state="silent", saved=9.0))
    assert sound is not None
    assert (sound.health.state, sound.health.reason) == (SourceState.stalled, "nothing comes from north")


def test_a_camera_that_does_not_listen_has_none():
    assert sound_of(camera=replace(YARD, sound=None)) is None
