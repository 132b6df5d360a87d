"""The WebSocket hub: sends camera states, events and images to every viewer of the page.

**A slow viewer never builds up a queue.** Images are sent only to a viewer that has acknowledged the last but one,
and then the newest; states are replaced by newer ones. Only events are queued; a viewer with too many of them is
disconnected, and loads them again when it reconnects.

Messages to a viewer are JSON texts ``{"type": "hello" | "cameras" | "fleet" | "arming" | "event", "version": 1,
...}``, and binary messages of images, each as::

    1 byte   length of the name      the camera's name in UTF-8
    2 bytes  requested width         8 bytes  time, seconds since 1970 (float)
    4 bytes  length of the JPEG      the JPEG                                     (big-endian)

A length of 0 is followed by 2 bytes with the length of a name of more than 255 bytes.

A socket ends with the session or token that opened it: it is closed with 4401, within a second.

Each kind of message, sent or received, declares in ``SENT`` or ``RECEIVED`` what it needs (``web/roles.py``): a viewer
gets nothing of cameras that its user may not see, and a kind that declares nothing is never sent.

A viewer sends ``{"want": {"door": 640}}`` (the cameras that it shows, and their width) and ``{"got": 1}`` for each
binary message that it has drawn.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from streamrec.outputs.arming import ArmingService
from streamrec.outputs.fleet.records import FleetService
from streamrec.web.arming_view import arming_for
from streamrec.web.fleet_pictures import RemotePictures
from streamrec.web.jpeg import WIDTHS, JpegEncoder, JpegImage, LocalPictures
from streamrec.web.live import EVENTS_PER_PAGE, Entry, LiveState, json_bytes
from streamrec.web.roles import ANYONE, Cameras, Identity, Needs, Role

VERSION = 1
TICK = 0.2  # seconds between two messages of camera states, at least
# Of camera states that a viewer is sent in a second: with hundreds of cameras they come later.
_STATE_BYTES = 250_000
MOST_VIEWERS = 200
NOT_LOGGED_IN = 4401  # close code of a socket whose session is over
_CHANGES_SECONDS = 1.0
_UNACKNOWLEDGED = 2  # binary messages that a viewer may not have drawn yet
_QUEUED = 100  # texts
_MOST_WANTED = 256  # cameras
_LONGEST_NAME = 16_000  # characters: at most 4 bytes each, and 2 bytes hold the length

_FILTERED = Needs(Role.viewer, Cameras.filtered)  # what is built for each viewer alone
SENT: Mapping[str, Needs] = MappingProxyType(
    {
        "hello": _FILTERED,
        "cameras": _FILTERED,
        "pictures": Needs(Role.viewer, Cameras.named),  # the binary messages
        "event": Needs(Role.viewer, Cameras.named),
        "fleet": Needs(Role.viewer, Cameras.all),
        "arming": _FILTERED,
    }
)
RECEIVED: Mapping[str, Needs] = MappingProxyType(
    {"got": Needs(Role.viewer), "want": Needs(Role.viewer, Cameras.filtered)}
)


class Socket(Protocol):
    """The methods of a WebSocket that a viewer uses; Starlette's has them."""

    async def send_text(self, text: str) -> None:
        """Send a text."""

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes; waits while the other side reads nothing."""

    async def receive(self) -> Any:
        """The next ASGI message."""

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close it."""


class BadMessage(Exception):
    """A viewer sent an invalid message."""


class WebSocketHub:
    """All viewers, in the server's event loop; other threads reach it by ``call_soon_threadsafe``."""

    def __init__(
        self,
        live: LiveState,
        *,
        fleet: FleetService | None = None,
        log_error: Callable[[BaseException], None] = lambda error: None,
        most: int = MOST_VIEWERS,
    ) -> None:
        self.live = live
        self._fleet = fleet
        self._log_error = log_error
        self._most = most
        self._viewers: set[Viewer] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._built = -1.0
        self._cameras: dict[str, Any] = {}  # the state of all cameras
        self._arming: dict[str, Any] = {}  # what of all cameras is armed
        # The same of some cameras, for users who may see no others: the state as JSON and as a message, and the message
        # of what is armed.
        self._of_some: dict[frozenset[str], tuple[bytes, str]] = {}
        self._arming_of_some: dict[frozenset[str], str] = {}
        self._events: asyncio.Queue[Entry] = asyncio.Queue()  # to be sent
        self.cameras_json = b"{}"
        self._states: dict[str, str] = {}  # the newest message of each type that replaces the one before
        maker = LocalPictures(live) if fleet is None else RemotePictures(live, fleet)
        self.encoder = JpegEncoder(maker, self._images_ready)

    def begin(self) -> None:
        """Called in the loop when it starts."""
        self._loop = asyncio.get_running_loop()
        self.live.on_event = self._event_from_thread
        self.encoder.begin()
        self._tasks = [self._loop.create_task(one) for one in (self._tick(), self._follow_events())]
        if self.live.arming is not None:
            self._tasks.append(self._loop.create_task(self._follow_arming(self.live.arming)))
        if not self.live.history.in_memory:  # evidence is attached only to a file's events
            self._tasks.append(self._loop.create_task(self._follow_history()))
        if self._fleet is not None:
            self._tasks.append(self._loop.create_task(self._follow_fleet(self._fleet)))

    async def end(self) -> None:
        """Called in the loop when it ends."""
        self.live.on_event = lambda entry: None
        for task in self._tasks:
            task.cancel()
        self.encoder.close()
        await asyncio.gather(*(viewer.leave(1001, "streamrec ends") for viewer in self._viewers))

    @property
    def count(self) -> int:
        """The number of viewers."""
        return len(self._viewers)

    def cameras_now(self, who: Identity = ANYONE) -> bytes:
        """The cameras that a client may see, as JSON, at most 0.1 s old, however often it is called."""
        loop = self._loop
        assert loop is not None
        if loop.time() - self._built > 0.1:
            self._cameras = {"version": VERSION, "alive": self.live.alive, "cameras": self.live.cameras()}
            self.cameras_json = json_bytes(self._cameras)
            self._of_some = {}
            self._built = loop.time()
        return self.cameras_json if who.cameras is None else self._of(who.cameras)[0]

    def _of(self, cameras: frozenset[str]) -> tuple[bytes, str]:
        """The states of these cameras as they were built last: as JSON, and as a message."""
        found = self._of_some.get(cameras)
        if found is None:
            shown = [camera for camera in self._cameras.get("cameras", ()) if camera["name"] in cameras]
            state = json_bytes({**self._cameras, "cameras": shown})
            found = self._of_some[cameras] = state, _cameras_text(state)
        return found

    def _arming_of(self, who: Identity, cameras: frozenset[str]) -> str:
        """The message of what of these cameras, a user's, is armed."""
        if cameras not in self._arming_of_some:
            self._arming_of_some[cameras] = _arming_text(arming_for(who, self._arming))
        return self._arming_of_some[cameras]

    def states_of(self, who: Identity) -> list[tuple[str, str]]:
        """Type and text of the newest states that a client may have."""
        found = []
        for type, text in self._states.items():
            if type == "cameras" and who.cameras is not None:
                found.append((type, self._of(who.cameras)[1]))
            elif type == "arming" and who.cameras is not None:
                found.append((type, self._arming_of(who, who.cameras)))
            elif type in SENT and SENT[type].allows(who):
                found.append((type, text))
        return found

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(max(TICK, len(self.cameras_json) / _STATE_BYTES))
            try:
                self._send_states()
            except Exception as error:  # one camera's error must not end the task for all
                self._log_error(error)

    def _send_states(self) -> None:
        for viewer in tuple(self._viewers):
            if not viewer.may_view():
                self._viewers.discard(viewer)  # nothing more is sent to it
                viewer.end(NOT_LOGGED_IN, "not_logged_in")
        if not self._viewers:
            return
        self._replace("cameras", _cameras_text(self.cameras_now()))

    def _replace(self, type: str, text: str) -> None:
        """The newest state of a type; it is sent to every viewer that has another one."""
        if text != self._states.get(type):
            self._states[type] = text
            self._wake()

    async def _follow_history(self) -> None:
        """Send what changes in the history, such as new evidence. A task of its own: a locked file must not delay the
        states."""
        number: int | None = None
        while True:
            await asyncio.sleep(_CHANGES_SECONDS)
            try:
                entries, number = await asyncio.to_thread(self.live.history.changes, number)
                for entry in entries:
                    self._events.put_nowait(entry)
            except Exception as error:
                self._log_error(error)

    async def _follow_fleet(self, fleet: FleetService) -> None:
        """Send how the machines are. A task of its own: a head that is busy must not delay the states of cameras."""
        while True:
            if self._viewers:
                try:
                    self._replace("fleet", await asyncio.to_thread(self._fleet_text, fleet))
                except Exception as error:
                    self._log_error(error)
            await asyncio.sleep(_CHANGES_SECONDS)

    @staticmethod
    def _fleet_text(fleet: FleetService) -> str:
        status = replace(fleet.status(), cameras=())  # their machines are in the states of cameras
        shown = status.to_dict()
        del shown["cameras"]
        return json_bytes({"type": "fleet", "version": VERSION, "fleet": shown}).decode()

    def _wake(self) -> None:
        for viewer in self._viewers:
            viewer.news.set()

    def _event_from_thread(self, entry: Entry) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, entry)

    async def _follow_events(self) -> None:
        """Send events, in their order. A task of its own: the history is read for each of them."""
        while True:
            entry = await self._events.get()
            if not self._viewers:
                continue
            try:
                shown = await asyncio.to_thread(self.live.event, entry)
                # The cameras of the events that it is based on are not read: there may be many of both.
                of_some = {"event": {**shown, "based_on": []}}
                self.broadcast("event", {"event": shown}, camera=entry.camera, of_some=of_some)
            except Exception as error:
                self._log_error(error)

    async def _follow_arming(self, arming: ArmingService) -> None:
        """Send what is armed, whenever that has changed. One at a time, so that the newest state is sent last."""
        changed, loop = asyncio.Event(), self._loop
        assert loop is not None

        def notice() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)

        arming.on_change(notice)
        changed.set()
        while True:
            await changed.wait()
            changed.clear()
            try:
                self._arming = await asyncio.to_thread(arming.status)
                self._arming_of_some = {}
                self._replace("arming", _arming_text(self._arming))
            except Exception as error:
                self._log_error(error)

    def _images_ready(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def broadcast(
        self,
        type: str,
        what: dict[str, Any],
        *,
        camera: str | None = None,
        of_some: dict[str, Any] | None = None,
    ) -> None:
        """Send a message to every viewer that may have it.

        ``camera``: the one that it is about. ``of_some``: what users get instead who see some cameras alone.
        """
        needs = SENT[type]
        texts: dict[bool, str] = {}  # made once, and only where a viewer gets it
        for viewer in self._viewers:
            if not needs.allows(viewer.who, camera):
                continue
            is_some = of_some is not None and viewer.who.cameras is not None
            if is_some not in texts:
                shown = of_some if is_some and of_some is not None else what
                texts[is_some] = json_bytes({"type": type, "version": VERSION, **shown}).decode()
            viewer.send(texts[is_some])

    async def serve(
        self,
        socket: Socket,
        may_view: Callable[[], bool] = lambda: True,
        used: Callable[[], None] = lambda: None,
        who: Identity = ANYONE,
    ) -> None:
        """Serve one viewer on an accepted socket, until it leaves.

        ``may_view`` is checked all the time, and ends it; ``used`` is called with each message from it. ``who``: its
        user, who decides which cameras it gets.
        """
        if len(self._viewers) >= self._most:
            await socket.close(1013, "too many viewers already")
            return
        viewer = Viewer(socket, self, may_view, used, who)
        self._viewers.add(viewer)  # before the hello: events from now on are sent
        try:
            events = await asyncio.to_thread(self._newest_events, who)
            cameras = json.loads(self.cameras_now(who))
            hello = {"type": "hello", "version": VERSION, "events": events, **cameras}
            if viewer.may_view():
                await socket.send_text(json_bytes(hello).decode())
            await viewer.run()
        finally:
            self._viewers.discard(viewer)
            self.encoder.want(viewer, {})

    def _newest_events(self, who: Identity) -> list[dict[str, Any]]:
        return [self.live.event(entry) for entry in self.live.events_for(who, limit=EVENTS_PER_PAGE)]


def _arming_text(status: dict[str, Any]) -> str:
    """The message of what is armed."""
    return json_bytes({"type": "arming", "version": VERSION, "arming": status}).decode()


def _cameras_text(state: bytes) -> str:
    """The message of the cameras' states."""
    return '{"type":"cameras",' + state.decode()[1:]


class Viewer:
    """One browser with the page open."""

    def __init__(
        self,
        socket: Socket,
        hub: WebSocketHub,
        may_view: Callable[[], bool],
        used: Callable[[], None],
        who: Identity = ANYONE,
    ) -> None:
        self.may_view, self._used, self.who = may_view, used, who
        self._ends: tuple[int, str] | None = None
        self._work: list[asyncio.Task[None]] = []
        self.news = asyncio.Event()
        self._socket = socket
        self._hub = hub
        self._texts: deque[str] = deque()
        self._states: dict[str, str] = {}  # as sent
        self._wanted: dict[str, int] = {}
        self._sent: dict[str, tuple[int, int]] = {}  # camera: width and version
        self._unacknowledged = 0

    def send(self, text: str) -> None:
        """Queue a text that must not be lost; a viewer with too many of them is disconnected."""
        self._texts.append(text)
        if len(self._texts) > _QUEUED:
            self.end(1013, "too slow")
        self.news.set()

    async def leave(self, code: int, reason: str) -> None:
        """Close its socket."""
        try:
            async with asyncio.timeout(0.5):
                await self._socket.close(code, reason)
        except Exception:  # it is gone already
            return

    def end(self, code: int, reason: str) -> None:
        """Stop sending, and close the socket."""
        self._ends = code, reason
        for task in self._work:
            task.cancel()

    async def run(self) -> None:
        """Read and write until it leaves, sends an invalid message, or is ended."""
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
            self._receive(message.get("text"))

    def _receive(self, text: str | None) -> None:
        if text is None:
            raise BadMessage("JSON texts only")
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadMessage("this is no JSON") from error
        if not isinstance(given, dict):
            raise BadMessage("an object was expected")
        if not all(RECEIVED[kind].allows(self.who) for kind in given.keys() & RECEIVED.keys()):
            raise BadMessage("this is not allowed")
        if isinstance(given.get("got"), int):
            self._unacknowledged = max(0, self._unacknowledged - 1)
            self.news.set()
        if "want" in given:
            want = given["want"]
            if not isinstance(want, dict) or len(want) > _MOST_WANTED:
                raise BadMessage("want is an object of cameras and widths")
            if not all(isinstance(width, int) and 0 < width <= 10_000 for width in want.values()):
                raise BadMessage("a width is a number of pixels")
            # Unknown cameras are ignored, and so are those that its user may not see: both get the same answer.
            known = set(self.who.seen(self._hub.live.names))
            self._wanted = {name: _size_for(width) for name, width in want.items() if name in known}
            self._sent = {name: sent for name, sent in self._sent.items() if name in self._wanted}
            self._hub.encoder.want(self, self._wanted)
            self.news.set()

    async def _write(self) -> None:
        while True:
            await self.news.wait()
            self.news.clear()
            while self._texts:
                await self._socket.send_text(self._texts.popleft())
            for type, text in self._hub.states_of(self.who):
                if self._states.get(type) != text:
                    self._states[type] = text
                    await self._socket.send_text(text)
            if self._unacknowledged < _UNACKNOWLEDGED and (data := self._new_images()):
                self._unacknowledged += 1
                await self._socket.send_bytes(data)

    def _new_images(self) -> bytes:
        parts: list[bytes] = []
        for name, width in self._wanted.items():
            jpeg = self._hub.encoder.get(name, width)
            if jpeg is None or len(name) > _LONGEST_NAME or not SENT["pictures"].allows(self.who, name):
                continue
            if self._sent.get(name) != (width, jpeg.version):
                self._sent[name] = width, jpeg.version
                parts.append(pack(jpeg))
        return b"".join(parts)


def pack(jpeg: JpegImage) -> bytes:
    """An image, as a binary message holds it."""
    name = jpeg.camera.encode("utf-8", "replace")
    length = struct.pack(">B", len(name)) if len(name) < 256 else struct.pack(">BH", 0, len(name))
    return length + name + struct.pack(">HdI", jpeg.width, jpeg.time, len(jpeg.data)) + jpeg.data


def _size_for(width: int) -> int:
    """The smallest of the sizes that is at least 80 % of the wanted width."""
    return next((size for size in WIDTHS if size >= 0.8 * width), WIDTHS[-1])
