"""JPEG images for the viewers: encoded only on demand, and once for all viewers.

One thread encodes. It uses at most ``SHARE`` of one core: with more cameras or larger images the frame rate drops,
and recognition keeps the rest of the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from streamrec.outputs.overlay import draw_people
from streamrec.types import Person
from streamrec.web.live import LiveState

WIDTHS = (320, 640, 1280)  # pixels: a few sizes, so that viewers share them
SHARE = 0.2  # of one core
FASTEST = 0.1  # seconds between two images of a camera: models run ten times a second
_SLOWEST = 1.0  # seconds between two images, at most
_QUALITY = 72


@dataclass(frozen=True, slots=True)
class JpegImage:
    """An encoded frame."""

    camera: str
    width: int  # one of WIDTHS: the size that was asked for
    version: int  # of the camera's frame
    time: float  # seconds since 1970 when the frame was captured
    data: bytes


def shrink(image: np.ndarray, width: int) -> np.ndarray:
    """(H, W, 3) no wider than ``width``, and no taller than a 4:3 image of that width."""
    scale = width / max(image.shape[1], image.shape[0] * 4 / 3)
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def encode(
    image: np.ndarray,
    width: int,
    quality: int = _QUALITY,
    people: tuple[Person, ...] | None = None,
    doing: Mapping[int, str] = MappingProxyType({}),
) -> bytes:
    """A JPEG of (H, W, 3) BGR, no wider than ``width``, with skeletons and names of people over it.

    ``doing``: what each does, as of ``draw_people``.
    """
    image = shrink(image, width)
    if people:
        image = draw_people(image, people, doing)
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return data.tobytes()


class JpegEncoder:
    """The encoding thread. ``on_ready`` is called in it after each round."""

    def __init__(self, live: LiveState, on_ready: Callable[[], None]) -> None:
        self._live = live
        self._on_ready = on_ready
        self._wanted: dict[object, dict[str, int]] = {}  # viewer: camera: width
        self._made: dict[tuple[str, int], JpegImage] = {}
        self._news = threading.Event()
        self._closed = False
        self.made = 0  # images encoded so far
        self.interval = FASTEST  # seconds between two rounds, currently
        self._thread = threading.Thread(target=self._run, name="page images", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._live.on_change = self._news.set
        self._thread.start()

    def want(self, viewer: object, cameras: dict[str, int]) -> None:
        """The cameras that a viewer shows from now on: camera -> width, one of WIDTHS."""
        wanted = dict(self._wanted)
        wanted.pop(viewer, None)
        if cameras:
            wanted[viewer] = cameras
        self._wanted = wanted
        self._news.set()

    def get(self, camera: str, width: int) -> JpegImage | None:
        """The newest image of a camera in this width."""
        return self._made.get((camera, width))

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._live.on_change = lambda: None
        self._news.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        while not self._closed:
            self._news.wait()
            self._news.clear()
            pairs = {pair for wanted in tuple(self._wanted.values()) for pair in wanted.items()}
            if not pairs:
                self._made.clear()
                continue
            began, used = time.monotonic(), time.thread_time()
            if self._round(pairs):
                self._on_ready()
            used = time.thread_time() - used
            self.interval = min(_SLOWEST, max(FASTEST, used / SHARE))
            time.sleep(max(0.0, began + self.interval - time.monotonic()))

    def _round(self, pairs: Iterable[tuple[str, int]]) -> bool:
        done = False
        for camera, width in sorted(pairs):
            if self._closed:
                break
            newest = self._live.newest(camera)
            have = self._made.get((camera, width))
            if newest is None or (have is not None and have.version == newest[0]):
                continue
            version, result = newest
            captured: Any = result.frame.captured
            when = time.time() - (max(0.0, time.monotonic() - captured) if captured else 0.0)
            try:
                doing = self._live.doing(camera) if result.people else {}
                data = encode(result.frame.image, width, people=result.people, doing=doing)
            except Exception:  # a frame that no JPEG can hold: the other cameras go on
                continue
            self._made[camera, width] = JpegImage(camera, width, version, when, data)
            self.made += 1
            done = True
        return done
