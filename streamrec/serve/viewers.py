"""Those who look at the page: each has a WebSocket on which states, events and pictures come.

**A slow viewer never makes a queue.** Pictures are sent only to who has drawn the last but one (it says so), and
then the newest; states are replaced by newer ones. Events alone wait in line, and who lets too many wait is
closed, and loads them anew when it comes back.

Messages to the viewer are JSON texts ``{"type": "hello" | "cameras" | "event" | "changed", "version": 1, ...}``, and
binary ones that hold pictures, each as::

    1 byte   length of the name      the camera's name in UTF-8
    2 bytes  width that was asked    8 bytes  time, seconds since 1970 (float)
    4 bytes  length of the JPEG      the JPEG                                     (big-endian)

A viewer says ``{"want": {"door": 640}}`` (the cameras that it shows, and how wide) and ``{"got": 1}`` for each
binary message that it has drawn.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from streamrec.serve.jpeg import WIDTHS, Jpeg, Pictures
from streamrec.serve.live import Entry, Live, entry_as_json

VERSION = 1
TICK = 0.2  # seconds between two looks at the cameras' states
MOST_VIEWERS = 200
_CHANGES_EVERY = 5  # ticks
_UNDERWAY = 2  # binary messages that may be on their way to a viewer
_WAITING = 100  # texts
_MOST_WANTED = 256  # cameras
_FIRST_EVENTS = 100


class Socket(Protocol):
    """What a viewer needs of a WebSocket; Starlette's is one."""

    async def send_text(self, text: str) -> None:
        """Send a text."""

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes; waits while the other side takes none."""

    async def receive(self) -> Any:
        """The next ASGI message."""

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Say good-bye."""


class BadMessage(Exception):
    """A viewer said something that nobody understands."""


class Desk:
    """All viewers, in the server's loop; what it is told from other threads comes by ``call_soon_threadsafe``."""

    def __init__(
        self,
        live: Live,
        events: Callable[[], list[dict[str, Any]]],
        changes: Callable[[], list[dict[str, Any]]] | None = None,
    ) -> None:
        self.live = live
        self._events = events  # the newest, for who comes
        self._changes = (
            changes  # those that another thread has changed since the last call: evidence was written
        )
        self._viewers: set[Viewer] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._texts: dict[str, Any] = {}
        self._built = -1.0
        self.cameras_json = b"{}"
        self.cameras_text = ""
        self.pictures = Pictures(live, self._pictures_ready)

    def begin(self) -> None:
        """Called in the loop when it starts."""
        self._loop = asyncio.get_running_loop()
        self.live.on_event = self._event_from_thread
        self.pictures.begin()
        self._ticking = self._loop.create_task(self._tick())

    async def end(self) -> None:
        """Called in the loop when it ends."""
        self.live.on_event = lambda entry: None
        self._ticking.cancel()
        self.pictures.close()
        await asyncio.gather(*(viewer.leave(1001, "streamrec ends") for viewer in self._viewers))

    @property
    def count(self) -> int:
        """How many look."""
        return len(self._viewers)

    def look(self) -> bytes:
        """The cameras as JSON, at most a tenth of a second old, whoever asks how often."""
        loop = self._loop
        assert loop is not None
        if loop.time() - self._built > 0.1:
            self._built = loop.time()
            said = {"version": VERSION, "alive": self.live.alive, "cameras": self.live.cameras()}
            self.cameras_json = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        return self.cameras_json

    async def _tick(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(TICK)
            count += 1
            if self._changes is not None and count % _CHANGES_EVERY == 0:
                for event in await asyncio.to_thread(self._changes):
                    self.tell("event", {"event": event})
            if not self._viewers:
                continue
            text = '{"type":"cameras",' + self.look().decode()[1:]
            if text != self.cameras_text:
                self.cameras_text = text
                self._wake()

    def _wake(self) -> None:
        for viewer in self._viewers:
            viewer.news.set()

    def _event_from_thread(self, entry: Entry) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.tell, "event", {"event": entry_as_json(entry)})

    def _pictures_ready(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def tell(self, type: str, what: dict[str, Any]) -> None:
        """Tell every viewer, now."""
        text = json.dumps({"type": type, "version": VERSION, **what}, ensure_ascii=False)
        for viewer in self._viewers:
            viewer.tell(text)

    async def serve(self, socket: Socket) -> None:
        """One viewer, from hello to good-bye. The socket is accepted already."""
        if len(self._viewers) >= MOST_VIEWERS:
            await socket.close(1013, "too many look already")
            return
        viewer = Viewer(socket, self)
        self._viewers.add(viewer)  # before it is greeted: what happens from now on is told
        try:
            events = await asyncio.to_thread(self._events)
            hello = {"type": "hello", "version": VERSION, "events": events, **json.loads(self.look())}
            await socket.send_text(json.dumps(hello, ensure_ascii=False))
            await viewer.run()
        finally:
            self._viewers.discard(viewer)
            self.pictures.want(viewer, {})


class Viewer:
    """One who looks."""

    def __init__(self, socket: Socket, desk: Desk) -> None:
        self.news = asyncio.Event()
        self._socket = socket
        self._desk = desk
        self._texts: deque[str] = deque()
        self._cameras = ""
        self._wanted: dict[str, int] = {}
        self._sent: dict[str, tuple[int, int]] = {}  # camera: width and version
        self._underway = 0
        self._overrun = False

    def tell(self, text: str) -> None:
        """A text that must not be lost."""
        self._texts.append(text)
        self._overrun = len(self._texts) > _WAITING
        self.news.set()

    async def leave(self, code: int, reason: str) -> None:
        """Close its socket."""
        try:
            async with asyncio.timeout(0.5):
                await self._socket.close(code, reason)
        except Exception:  # it is gone already, whatever way it went
            return

    async def run(self) -> None:
        """Until it goes, or says something wrong."""
        writing = asyncio.create_task(self._write())
        try:
            await self._read()
        except BadMessage as bad:
            await self.leave(1008, str(bad))
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._hear(message.get("text"))

    def _hear(self, text: str | None) -> None:
        if text is None:
            raise BadMessage("JSON texts only")
        try:
            said = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadMessage("this is no JSON") from error
        if not isinstance(said, dict):
            raise BadMessage("an object was expected")
        if isinstance(said.get("got"), int):
            self._underway = max(0, self._underway - 1)
            self.news.set()
        if "want" in said:
            want = said["want"]
            if not isinstance(want, dict) or len(want) > _MOST_WANTED:
                raise BadMessage("want is an object of cameras and widths")
            if not all(isinstance(width, int) and 0 < width <= 10_000 for width in want.values()):
                raise BadMessage("a width is a number of pixels")
            # Names of cameras that there are not want nothing.
            known = set(self._desk.live.names)
            self._wanted = {name: _fitting(width) for name, width in want.items() if name in known}
            self._sent = {name: sent for name, sent in self._sent.items() if name in self._wanted}
            self._desk.pictures.want(self, self._wanted)
            self.news.set()

    async def _write(self) -> None:
        while True:
            await self.news.wait()
            self.news.clear()
            if self._overrun:
                await self.leave(1013, "too slow")
                return
            while self._texts:
                await self._socket.send_text(self._texts.popleft())
            if self._cameras is not self._desk.cameras_text:
                self._cameras = self._desk.cameras_text
                await self._socket.send_text(self._cameras)
            if self._underway < _UNDERWAY and (data := self._new_pictures()):
                self._underway += 1
                await self._socket.send_bytes(data)

    def _new_pictures(self) -> bytes:
        parts: list[bytes] = []
        for name, width in self._wanted.items():
            jpeg = self._desk.pictures.get(name, width)
            if jpeg is not None and self._sent.get(name) != (width, jpeg.version):
                self._sent[name] = width, jpeg.version
                parts.append(pack(jpeg))
        return b"".join(parts)


def pack(jpeg: Jpeg) -> bytes:
    """A picture as it is sent."""
    name = jpeg.camera.encode()
    head = struct.pack(f">B{len(name)}sHdI", len(name), name, jpeg.width, jpeg.time, len(jpeg.data))
    return head + jpeg.data


def _fitting(width: int) -> int:
    """The smallest size that is not much smaller than what is wanted."""
    return next((size for size in WIDTHS if size >= 0.8 * width), WIDTHS[-1])
