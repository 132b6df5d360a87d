"""Metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from streamrec.outputs.fleet.records import MACHINE_STATES, FleetStatus, MachineStatus
from streamrec.types import SourceState
from streamrec.web.live import LiveState
from streamrec.web.roles import ANYONE, Identity

_Row: TypeAlias = tuple[Mapping[str, str], float | None]  # labels and value


def escape_label(value: str) -> str:
    r"""A label's value, escaped for Prometheus.

    >>> print(escape_label('a "b"\\'))
    a \"b\"\\
    """
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class _Families:
    """Families of metrics, each with its help and type."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, kind: str, text: str, rows: Iterable[_Row]) -> None:
        lines = self.lines
        lines.append(f"# HELP streamrec_{name} {text}")
        lines.append(f"# TYPE streamrec_{name} {kind}")
        for labels, value in rows:
            if value is not None:
                pairs = ",".join(f'{key}="{escape_label(text)}"' for key, text in labels.items())
                lines.append(
                    f"streamrec_{name}{{{pairs}}} {value:.12g}" if pairs else f"streamrec_{name} {value:.12g}"
                )


def metrics(
    live: LiveState, more: Mapping[str, float], fleet: FleetStatus | None = None, who: Identity = ANYONE
) -> str:
    """All metrics, in Prometheus' text format. In a fleet those of cameras have their machine as a label.

    ``who``: only of the cameras that this client may see.
    """
    families = _Families()
    family = families.add
    cameras = [camera for camera in live.cameras() if who.sees(camera["name"])]

    def labels(camera: dict[str, Any]) -> dict[str, str]:
        machine = {} if fleet is None else {"machine": camera.get("machine", "")}
        return {"camera": camera["name"], **machine}

    def each(key: str) -> list[_Row]:
        return [(labels(camera), camera[key]) for camera in cameras]

    family("up", "gauge", "1 while the recognition loop runs.", [({}, float(live.alive))])
    family("uptime_seconds", "counter", "Seconds since the start.", [({}, live.uptime)])
    states = [
        ({**labels(camera), "state": state.value}, float(camera["state"] == state.value))
        for camera in cameras
        for state in SourceState
    ]
    family("camera_state", "gauge", "1 for the camera's current state.", states)
    family("camera_frames_total", "counter", "Processed frames.", each("frames"))
    family("camera_frames_per_second", "gauge", "Results per second, over five seconds.", each("fps"))
    family(
        "camera_latency_seconds",
        "gauge",
        "Median from capture to prediction, over five seconds.",
        each("latency"),
    )
    family(
        "camera_dropped_total", "counter", "Frames dropped because the machine was too slow.", each("dropped")
    )
    family("camera_refused_total", "counter", "Torn, frozen or late frames.", each("refused"))
    family("camera_reconnects_total", "counter", "Reconnects of the camera.", each("reconnects"))
    counts = [
        (dict(zip(("camera", "label", "model"), of, strict=False)), float(n))
        for of, n in sorted(live.counts.items())
        if who.sees(of[0])
    ]
    family("actions_total", "counter", "Actions that started.", counts)
    for name, value in more.items():
        family(name, "gauge", "Of the page.", [({}, value)])
    if fleet is not None:
        _add_fleet(families, fleet)
    return "\n".join(families.lines) + "\n"


def _add_fleet(families: _Families, fleet: FleetStatus) -> None:
    def each(value: Callable[[MachineStatus], float]) -> list[_Row]:
        return [({"machine": machine.name}, value(machine)) for machine in fleet.machines]

    add = families.add
    info: list[_Row] = [
        ({"machine": one.name, "address": one.address, "version": one.version}, 1.0) for one in fleet.machines
    ]
    add("machine_info", "gauge", "Its address, and the version of streamrec there.", info)
    states: list[_Row] = [
        ({"machine": machine.name, "state": state}, float(machine.state == state))
        for machine in fleet.machines
        for state in MACHINE_STATES
    ]
    add("machine_state", "gauge", "1 for the machine's current state.", states)
    add("machine_cores", "gauge", "Cores that it offers to groups.", each(lambda one: one.cores))
    add("machine_taken_cores", "gauge", "Of them, by the costs of its groups.", each(lambda one: one.taken))
    add("machine_load_cores", "gauge", "Cores that its groups used lately.", each(lambda one: one.load))
    add("machine_memory_bytes", "gauge", "Of the processes of its groups.", each(lambda one: one.memory))
    add("machine_cameras", "gauge", "Cameras that run there.", each(lambda one: one.cameras))
    shed = "Share of the due frames of the last minute that was dropped for want of time."
    add("machine_shed_ratio", "gauge", shed, each(lambda one: one.shed))
    waiting: list[_Row] = [({"group": one.name, "machine": one.machine}, one.waiting) for one in fleet.groups]
    add("group_outbox_batches", "gauge", "Batches that wait where they were made.", waiting)
    add("fleet_refused_total", "counter", "Batches of superseded processes.", [({}, fleet.refused)])
    add("fleet_replayed_total", "counter", "Events that came again, and were known.", [({}, fleet.replayed)])
