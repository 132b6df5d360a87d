"""Those who look at the page: each has a WebSocket on which states, events and pictures come.

**A slow viewer never makes a queue.** Pictures are sent only to who has drawn the last but one (it says so), and
then the newest; states are replaced by newer ones. Events alone wait in line, and who lets too many wait is
closed, and loads them anew when it comes back.

Messages to the viewer are JSON texts ``{"type": "hello" | "cameras" | "event" | "changed", "version": 1, ...}``, and
binary ones that hold pictures, each as::

    1 byte   length of the name      the camera's name in UTF-8
    2 bytes  width that was asked    8 bytes  time, seconds since 1970 (float)
    4 bytes  length of the JPEG      the JPEG                                     (big-endian)

A length of 0 is followed by 2 bytes with the length of a name that has more than 255.

A socket ends with the session or token that opened it: closed with 4401, within a second.

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

from streamrec.web.jpeg import WIDTHS, Jpeg, Pictures
from streamrec.web.live import Entry, LiveState, as_json, entry_as_json

VERSION = 1
TICK = 0.2  # seconds between two looks at the cameras' states
MOST_VIEWERS = 200
NOT_LOGGED_IN = 4401  # a socket is closed with it when its session is over
_CHANGES_SECONDS = 1.0
_UNDERWAY = 2  # binary messages that may be on their way to a viewer
_WAITING = 100  # texts
_MOST_WANTED = 256  # cameras
_LONGEST_NAME = 16_000  # letters: at most 4 bytes each, and 2 bytes say how many


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


class WebSocketHub:
    """All viewers, in the server's loop; what it is told from other threads comes by ``call_soon_threadsafe``."""

    def __init__(
        self,
        live: LiveState,
        events: Callable[[], list[dict[str, Any]]],
        changes: Callable[[], list[dict[str, Any]]] | None = None,
        log: Callable[[str], None] = lambda sentence: None,
        most: int = MOST_VIEWERS,
    ) -> None:
        self.live = live
        self._log = log  # what goes wrong, in a sentence
        self._most = most
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
        self._tasks = [self._loop.create_task(self._tick())]
        if self._changes is not None:
            self._tasks.append(self._loop.create_task(self._follow(self._changes)))

    async def end(self) -> None:
        """Called in the loop when it ends."""
        self.live.on_event = lambda entry: None
        for task in self._tasks:
            task.cancel()
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
            said = {"version": VERSION, "alive": self.live.alive, "cameras": self.live.cameras()}
            self.cameras_json = as_json(said)
            self._built = loop.time()
        return self.cameras_json

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self._look_around()
            except Exception as error:  # one odd camera must not end it for all
                self._log(f"the page: {type(error).__name__}: {error}")

    def _look_around(self) -> None:
        for viewer in tuple(self._viewers):
            if not viewer.may_view():
                self._viewers.discard(viewer)  # it is told nothing more
                viewer.end(NOT_LOGGED_IN, "not_logged_in")
        if not self._viewers:
            return
        text = '{"type":"cameras",' + self.look().decode()[1:]
        if text != self.cameras_text:
            self.cameras_text = text
            self._wake()

    async def _follow(self, changes: Callable[[], list[dict[str, Any]]]) -> None:
        """The history's changes. A task of its own: a history that is locked must not hold up the rest."""
        while True:
            await asyncio.sleep(_CHANGES_SECONDS)
            try:
                for event in await asyncio.to_thread(changes):
                    self.broadcast("event", {"event": event})
            except Exception as error:
                self._log(f"the page: {type(error).__name__}: {error}")

    def _wake(self) -> None:
        for viewer in self._viewers:
            viewer.news.set()

    def _event_from_thread(self, entry: Entry) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.broadcast, "event", {"event": entry_as_json(entry)})

    def _pictures_ready(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def broadcast(self, type: str, what: dict[str, Any]) -> None:
        """Tell every viewer, now."""
        text = as_json({"type": type, "version": VERSION, **what}).decode()
        for viewer in self._viewers:
            viewer.send(text)

    async def serve(
        self,
        socket: Socket,
        may_view: Callable[[], bool] = lambda: True,
        used: Callable[[], None] = lambda: None,
    ) -> None:
        """One viewer, from hello to good-bye. The socket is accepted already.

        ``may_view`` is asked again and again, and ends it; ``used`` is called when it says something.
        """
        if len(self._viewers) >= self._most:
            await socket.close(1013, "too many look already")
            return
        viewer = Viewer(socket, self, may_view, used)
        self._viewers.add(viewer)  # before it is greeted: what happens from now on is told
        try:
            events = await asyncio.to_thread(self._events)
            hello = {"type": "hello", "version": VERSION, "events": events, **json.loads(self.look())}
            if viewer.may_view():
                await socket.send_text(as_json(hello).decode())
            await viewer.run()
        finally:
            self._viewers.discard(viewer)
            self.pictures.want(viewer, {})


class Viewer:
    """One who looks."""

    def __init__(
        self, socket: Socket, hub: WebSocketHub, may_view: Callable[[], bool], used: Callable[[], None]
    ) -> None:
        self.may_view, self._used = may_view, used
        self._ends: tuple[int, str] | None = None
        self._work: list[asyncio.Task[None]] = []
        self.news = asyncio.Event()
        self._socket = socket
        self._hub = hub
        self._texts: deque[str] = deque()
        self._cameras = ""
        self._wanted: dict[str, int] = {}
        self._sent: dict[str, tuple[int, int]] = {}  # camera: width and version
        self._underway = 0

    def send(self, text: str) -> None:
        """A text that must not be lost: who lets too many wait is closed."""
        self._texts.append(text)
        if len(self._texts) > _WAITING:
            self.end(1013, "too slow")
        self.news.set()

    async def leave(self, code: int, reason: str) -> None:
        """Close its socket."""
        try:
            async with asyncio.timeout(0.5):
                await self._socket.close(code, reason)
        except Exception:  # it is gone already, whatever way it went
            return

    def end(self, code: int, reason: str) -> None:
        """End it from outside: nothing more is sent, and the socket is closed."""
        self._ends = code, reason
        for task in self._work:
            task.cancel()

    async def run(self) -> None:
        """Until it goes, says something wrong, or is ended."""
        if self._ends is None:
            self._work = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
            try:
                await asyncio.wait(self._work, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in self._work:
                    task.cancel()
                done = await asyncio.gather(*self._work, return_exceptions=True)
            for error in done:
                if isinstance(error, BadMessage):
                    self._ends = self._ends or (1008, str(error))
                elif isinstance(error, Exception):
                    raise error
        if self._ends is not None:
            await self.leave(*self._ends)

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._used()
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
            known = set(self._hub.live.names)
            self._wanted = {name: _fitting(width) for name, width in want.items() if name in known}
            self._sent = {name: sent for name, sent in self._sent.items() if name in self._wanted}
            self._hub.pictures.want(self, self._wanted)
            self.news.set()

    async def _write(self) -> None:
        while True:
            await self.news.wait()
            self.news.clear()
            while self._texts:
                await self._socket.send_text(self._texts.popleft())
            if self._cameras is not self._hub.cameras_text:
                self._cameras = self._hub.cameras_text
                await self._socket.send_text(self._cameras)
            if self._underway < _UNDERWAY and (data := self._new_pictures()):
                self._underway += 1
                await self._socket.send_bytes(data)

    def _new_pictures(self) -> bytes:
        parts: list[bytes] = []
        for name, width in self._wanted.items():
            jpeg = self._hub.pictures.get(name, width)
            if jpeg is None or len(name) > _LONGEST_NAME:
                continue
            if self._sent.get(name) != (width, jpeg.version):
                self._sent[name] = width, jpeg.version
                parts.append(pack(jpeg))
        return b"".join(parts)


def pack(jpeg: Jpeg) -> bytes:
    """A picture as it is sent."""
    name = jpeg.camera.encode("utf-8", "replace")
    length = struct.pack(">B", len(name)) if len(name) < 256 else struct.pack(">BH", 0, len(name))
    return length + name + struct.pack(">HdI", jpeg.width, jpeg.time, len(jpeg.data)) + jpeg.data


def _fitting(width: int) -> int:
    """The smallest size that is not much smaller than what is wanted."""
    return next((size for size in WIDTHS if size >= 0.8 * width), WIDTHS[-1])
