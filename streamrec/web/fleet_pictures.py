"""Pictures of cameras on other machines: encoded there, while a page shows them, and fetched by the head.

The way is page -> head (``RemotePictures``) -> group (``GroupPictures``) -> JPEG. Nothing is asked, encoded or sent
while no page shows a camera.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from streamrec.outputs.fleet.records import PICTURE_SECONDS, FleetService, Picture, PictureRequest
from streamrec.outputs.overlay import doing_of
from streamrec.types import ActionStarted, Result, SourceState
from streamrec.web.jpeg import FASTEST, SHARE, JpegImage, age, encode, encode_shown
from streamrec.web.live import LiveState

MOST_A_SECOND = 100  # pictures that the head asks for, of all cameras together
_AT_ONCE = 16  # machines that are asked at the same time
_LEFT_SECONDS = 1.0  # after the next round is due: no page shows a camera any more
_IDLE_SECONDS = 5.0  # a picture that is not asked for any more is forgotten after that
_SOONER = 0.8  # of ``FASTEST``: the head's rounds do not come at exactly that distance


class RemotePictures:
    """Asks the machines of a fleet for the pictures that viewers show: a ``PictureMaker``.

    Each machine is asked for one picture after the other, all machines at the same time, so that one that does not
    answer holds up no other; it is then left alone for a moment. Together they are asked for ``MOST_A_SECOND``.
    """

    def __init__(
        self, live: LiveState, fleet: FleetService, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._live, self._fleet, self._monotonic = live, fleet, monotonic
        self._on_change: Callable[[], None] = lambda: None
        self._came: deque[JpegImage] = deque()
        self._asked: dict[str, Future[None]] = {}  # by machine, until it has answered
        self._rests: dict[str, float] = {}  # by machine that did not answer: until when
        # time.monotonic() at which no page shows a camera any more, unless a round comes before
        self._ends = 0.0
        self._pool: ThreadPoolExecutor | None = None

    def begin(self, on_change: Callable[[], None]) -> None:
        """Other machines do not report new frames: each round asks for the next one."""
        self._on_change = on_change
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="page fetch")

    def end(self) -> None:
        """Ask no more."""
        self._on_change = lambda: None
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def round(
        self, pairs: Sequence[tuple[str, int]], made: Mapping[tuple[str, int], JpegImage]
    ) -> Iterator[JpegImage]:
        """Ask the machines that have answered, and wait a moment for what comes at once."""
        wanted: dict[str, list[tuple[str, PictureRequest]]] = defaultdict(list)
        for camera, width in pairs:
            watched, have = self._live.camera(camera), made.get((camera, width))
            if watched is None or (have is not None and watched.health.state is not SourceState.live):
                continue  # the last picture stays
            version = None if have is None else have.version
            request = PictureRequest(camera=watched.name, width=width, have=version)
            wanted[getattr(watched, "machine", "")].append((camera, request))
        now = self._monotonic()
        if now >= self._ends:
            self._came.clear()  # they came after the last page had left
        self._ends = now + self.pause(len(pairs), 0.0) + _LEFT_SECONDS
        for machine, requests in wanted.items():
            under_way = self._asked.get(machine)
            if (under_way is None or under_way.done()) and now >= self._rests.get(machine, 0.0):
                assert self._pool is not None
                self._asked[machine] = self._pool.submit(self._ask, machine, requests)
        wait(self._asked.values(), FASTEST / 2)
        shown = set(pairs)
        while self._came:
            image = self._came.popleft()
            if (image.camera, image.width) in shown:
                yield image
        self._on_change()

    def pause(self, pairs: int, used: float) -> float:
        """So long that no more than ``MOST_A_SECOND`` are asked for."""
        return max(FASTEST, pairs / MOST_A_SECOND)

    def one(self, camera: str, width: int) -> bytes | None:
        """Ask for the newest picture of a camera."""
        watched = self._live.camera(camera)
        if watched is None:
            return None
        request = PictureRequest(camera=watched.name, width=width, people=False)
        try:
            found = self._fleet.picture(request)
        except Exception:  # whatever a cluster raises where a machine is lost
            return None
        return None if found is None else found.data

    def _ask(self, machine: str, requests: Sequence[tuple[str, PictureRequest]]) -> None:
        for camera, request in requests:  # the camera as the page names it
            if self._monotonic() >= self._ends:
                return
            try:
                found = self._fleet.picture(request)
            except Exception:  # whatever a cluster raises where a machine is lost
                self._rests[machine] = self._monotonic() + PICTURE_SECONDS
                return
            if found is not None:
                self._came.append(JpegImage(camera, request.width, found.version, found.time, found.data))


@dataclass(slots=True)
class _Made:
    """The newest JPEG of a camera in one width."""

    picture: Picture
    at: float  # time.monotonic() when it was made
    took: float  # seconds of CPU time
    asked: float  # time.monotonic() when it was asked for last


class GroupPictures:
    """The pictures of a group's cameras: encoded when the head asks, and at no other time.

    ``write`` is called with each result, in the thread that recognizes; it keeps a reference. ``picture`` is called by
    any other thread. It uses at most ``SHARE`` of a core: with more cameras each has fewer pictures.

    ``clock``: the head's.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._monotonic, self._cpu = clock, monotonic, cpu
        self._version = time.time_ns()  # so that those of another process are other ones
        self._newest: dict[str, tuple[int, Result]] = {}
        self._running: dict[str, dict[tuple[int | None, str], None]] = defaultdict(dict)
        self._made: dict[tuple[str, int, bool], _Made] = {}
        self._encoding = threading.Lock()
        self.made = 0  # pictures that were encoded

    def write(self, result: Result) -> None:
        """Take a result."""
        camera = result.frame.source
        for event in result.events:
            key = event.person, event.label
            if isinstance(event, ActionStarted):
                self._running[camera][key] = None
            else:
                self._running[camera].pop(key, None)
        self._version += 1
        self._newest[camera] = self._version, result

    def keep(self, cameras: Sequence[str]) -> None:
        """Forget the pictures of all others; in the thread that recognizes."""
        for name in self._newest.keys() - set(cameras):
            self._newest.pop(name, None)
            self._running.pop(name, None)

    def newest(self, name: str) -> tuple[int, Result] | None:
        """The version of a camera's newest frame, and its result."""
        return self._newest.get(name)

    def doing(self, name: str) -> dict[int, str]:
        """What each person before a camera does, by number."""
        return doing_of(tuple(self._running.get(name, ())))

    def picture(self, request: PictureRequest) -> Picture | None:
        """The newest picture of a camera; None: there is none yet, or none that is newer and due."""
        newest = self._newest.get(request.camera)
        if newest is None:
            return None
        version, result = newest
        with self._encoding:
            now, key = self._monotonic(), (request.camera, request.width, request.people)
            self._made = {
                one: made
                for one, made in self._made.items()
                if now - made.asked < _IDLE_SECONDS or one == key
            }
            made = self._made.get(key)
            if made is not None:
                made.asked = now
            if made is None or (made.picture.version != version and now - made.at >= self._pause):
                made = self._made[key] = self._encode(request, result, version, now)
        return None if made.picture.version == request.have else made.picture

    @property
    def _pause(self) -> float:
        """Seconds between two pictures of a camera: so long that all that are asked for take ``SHARE`` of a core."""
        return max(_SOONER * FASTEST, sum(made.took for made in self._made.values()) / SHARE)

    def _encode(self, request: PictureRequest, result: Result, version: int, now: float) -> _Made:
        when, began = self._clock() - age(result), self._cpu()
        if request.people:
            data = encode_shown(self, request.camera, result, request.width)
        else:
            data = encode(result.frame.image, request.width)
        self.made += 1
        return _Made(Picture(data=data, version=version, time=when), now, self._cpu() - began, now)
