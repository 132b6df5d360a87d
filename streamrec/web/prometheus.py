"""Metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamrec.types import SourceState
from streamrec.web.live import LiveState


def escape_label(value: str) -> str:
    r"""A label's value, escaped for Prometheus.

    >>> print(escape_label('a "b"\\'))
    a \"b\"\\
    """
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def metrics(live: LiveState, more: Mapping[str, float]) -> str:
    """All metrics, in Prometheus' text format."""
    lines: list[str] = []

    def family(
        name: str, kind: str, text: str, rows: Iterable[tuple[Mapping[str, str], float | None]]
    ) -> None:
        lines.append(f"# HELP streamrec_{name} {text}")
        lines.append(f"# TYPE streamrec_{name} {kind}")
        for labels, value in rows:
            if value is not None:
                pairs = ",".join(f'{key}="{escape_label(text)}"' for key, text in labels.items())
                lines.append(
                    f"streamrec_{name}{{{pairs}}} {value:g}" if pairs else f"streamrec_{name} {value:g}"
                )

    cameras = live.cameras()

    def each(key: str) -> list[tuple[Mapping[str, str], float | None]]:
        return [({"camera": camera["name"]}, camera[key]) for camera in cameras]

    family("up", "gauge", "1 while the recognition loop runs.", [({}, float(live.alive))])
    family("uptime_seconds", "counter", "Seconds since the start.", [({}, live.uptime)])
    states = [
        ({"camera": camera["name"], "state": state.value}, float(camera["state"] == state.value))
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
    ]
    family("actions_total", "counter", "Actions that started.", counts)
    for name, value in more.items():
        family(name, "gauge", "Of the page.", [({}, value)])
    return "\n".join(lines) + "\n"
