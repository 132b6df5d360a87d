"""JPEG images for the viewers: made only on demand, and once for all viewers.

One thread makes them, in rounds over what the viewers show. Of cameras of this process it encodes the newest frames
(``LocalPictures``), and uses at most ``SHARE`` of one core: with more cameras or larger images the frame rate drops,
and recognition keeps the rest of the machine. In a fleet the machines where the cameras run encode them
(``web/fleet_pictures.py``), within the same share, and the head only asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from streamrec.outputs.overlay import draw_people
from streamrec.types import Person, Result

if TYPE_CHECKING:
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
    version: int  # of the camera's frame: another one is another picture
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


class Frames(Protocol):
    """The newest results of cameras: ``LiveState`` has them."""

    def newest(self, name: str) -> tuple[int, Result] | None:
        """The version of a camera's newest frame, and its result; None before the first."""

    def doing(self, name: str) -> Mapping[int, str]:
        """What each person before a camera does, by number."""


def encode_shown(frames: Frames, camera: str, result: Result, width: int) -> bytes:
    """A JPEG of a camera's result as the page shows it: people over it, and what they do."""
    doing = frames.doing(camera) if result.people else {}
    return encode(result.frame.image, width, people=result.people, doing=doing)


def age(result: Result) -> float:
    """Seconds since the frame of a result was captured, in this process."""
    captured: Any = result.frame.captured
    return max(0.0, time.monotonic() - captured) if captured else 0.0


class PictureMaker(Protocol):
    """Where the pictures come from."""

    def begin(self, on_change: Callable[[], None]) -> None:
        """Call ``on_change`` whenever there may be new pictures; it does not wait."""

    def end(self) -> None:
        """Do not call it any more."""

    def round(
        self, pairs: Sequence[tuple[str, int]], made: Mapping[tuple[str, int], JpegImage]
    ) -> Iterator[JpegImage]:
        """New images of these cameras in these widths; ``made``: those that there are."""

    def pause(self, pairs: int, used: float) -> float:
        """Seconds from the start of one round to the next, after one of so many pairs that used so much CPU time."""

    def one(self, camera: str, width: int) -> bytes | None:
        """The newest picture of a camera, without people drawn over it, now, in any thread; None: there is none."""


class LocalPictures:
    """Encodes the newest frames of cameras of this process."""

    def __init__(self, live: LiveState) -> None:
        self._live = live

    def begin(self, on_change: Callable[[], None]) -> None:
        """Each new frame of a camera is a change."""
        self._live.on_change = on_change

    def end(self) -> None:
        """New frames are no longer reported."""
        self._live.on_change = lambda: None

    def round(
        self, pairs: Sequence[tuple[str, int]], made: Mapping[tuple[str, int], JpegImage]
    ) -> Iterator[JpegImage]:
        """Encode what is new."""
        for camera, width in pairs:
            newest = self._live.newest(camera)
            have = made.get((camera, width))
            if newest is None or (have is not None and have.version == newest[0]):
                continue
            version, result = newest
            when = time.time() - age(result)
            try:
                data = encode_shown(self._live, camera, result, width)
            except Exception:  # a frame that no JPEG can hold: the other cameras go on
                continue
            yield JpegImage(camera, width, version, when, data)

    def pause(self, pairs: int, used: float) -> float:
        """So long that at most ``SHARE`` of a core is used."""
        return min(_SLOWEST, max(FASTEST, used / SHARE))

    def one(self, camera: str, width: int) -> bytes | None:
        """Encode the newest frame."""
        newest = self._live.newest(camera)
        return None if newest is None else encode(newest[1].frame.image, width)


class JpegEncoder:
    """The thread that makes the pictures. ``on_ready`` is called in it after each round that brought some."""

    def __init__(self, maker: PictureMaker, on_ready: Callable[[], None]) -> None:
        self.maker = maker
        self._on_ready = on_ready
        self._wanted: dict[object, dict[str, int]] = {}  # viewer: camera: width
        self._made: dict[tuple[str, int], JpegImage] = {}
        self._news = threading.Event()
        self._closed = False
        self.made = 0  # images so far
        self.interval = FASTEST  # seconds between two rounds, currently
        self._thread = threading.Thread(target=self._run, name="page images", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self.maker.begin(self._news.set)
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
        self.maker.end()
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
            self.interval = self.maker.pause(len(pairs), time.thread_time() - used)
            time.sleep(max(0.0, began + self.interval - time.monotonic()))

    def _round(self, pairs: Iterable[tuple[str, int]]) -> bool:
        before = self.made
        for image in self.maker.round(sorted(pairs), self._made):
            self._made[image.camera, image.width] = image
            self.made += 1
            if self._closed:
                break
        return self.made > before
