"""The stream bench: a camera, and a proxy before it that a fault can spoil.

::

    with stream_bench() as bench:
        source = open_source(bench.address)
        bench.proxy.frozen = True
        bench.restart(size=(640, 480))
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.helpers.cameras import Camera, rtsp_camera
from tests.system.faults.proxy import Proxy

SETTINGS: dict[str, Any] = {
    "fps": 15,
    "size": (320, 240),
    "pattern": "stripes",
    "kbit": 1000,
}  # little work for the machine


class Bench:
    """A camera that can be started anew on its port, seen through a proxy."""

    def __init__(self, settings: dict[str, Any], running: ExitStack) -> None:
        self.settings: dict[str, Any] = {**SETTINGS, **settings}
        self._running = running
        self.camera: Camera = running.enter_context(rtsp_camera(**self.settings))
        self.proxy = running.enter_context(Proxy(self.camera.port))

    @property
    def address(self) -> str:
        """Where a reader finds the camera: at the proxy, with user and password."""
        return self.proxy.in_place_of(str(self.camera))

    @property
    def fps(self) -> float:
        """Pictures that the camera makes in a second."""
        return float(self.settings["fps"])

    @property
    def mean_fps(self) -> float:
        """The same over a long time, where the rate varies."""
        return self.fps / math.sqrt(3.0) if self.settings.get("vary") else self.fps

    def stop_camera(self) -> None:
        """Pull the plug: its port is closed when this returns."""
        self.camera.kill()

    def start_camera(self, **changes: Any) -> None:
        """Start it on the port that it had, with other settings where they are given."""
        self.settings.update(changes)
        port = urlsplit(str(self.camera)).port
        self.camera = self._running.enter_context(rtsp_camera(**self.settings, port=port))


@contextmanager
def stream_bench(**settings: Any) -> Iterator[Bench]:
    """A bench, by default with H.264 of 320x240 at 15 a second; ``settings`` are those of ``rtsp_camera``."""
    with ExitStack() as running:
        yield Bench(settings, running)
