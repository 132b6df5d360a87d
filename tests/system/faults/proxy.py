"""A proxy on the loopback address that stands between a camera and its reader, and does what bad networks do.

It speaks enough RTSP to alter single packets of pictures, over TCP (they come in the same connection, each
after a ``$``) and over UDP (it puts ports of its own into SETUP). All switches may be turned while it runs.
"""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK = 4096  # bytes read at once: small, so that a slow network is slow evenly
BUFFER = 16384  # bytes that the proxy's sockets hold: what waits, waits at the camera
UDP_BUFFER = 65536  # and by UDP, where what finds no room is lost: a key frame must find it
TICK = 0.1  # seconds between looks at a switch

Change = Callable[[bytes], list[bytes]]  # an RTP packet -> the packets that are sent in its place


class Parts:
    """Cuts a stream of RTSP into its parts: packets that begin with ``$``, and messages."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The parts that are complete now."""
        self._held += data
        while self._held and (end := self._end()):
            part, self._held = self._held[:end], self._held[end:]
            yield part

    def _end(self) -> int:
        held = self._held
        if held[:1] == b"$":
            end = 4 + int.from_bytes(held[2:4], "big")
            return end if len(held) >= max(4, end) else 0
        head = held.find(b"\r\n\r\n")
        if head < 0:
            return 0
        length = re.search(rb"(?i)content-length: *(\d+)", held[:head])
        end = head + 4 + (int(length[1]) if length else 0)
        return end if len(held) >= end else 0


def is_video(packet: bytes) -> bool:
    """Whether this is RTP with pictures, and not RTCP (types 200 to 204 of the second byte)."""
    return len(packet) > 12 and packet[0] >> 6 == 2 and not 200 <= packet[1] <= 204


class Proxy:
    """Listens on a port of its own and passes on to ``upstream``, the port of the camera.

    The switches: ``refuse`` and ``accept``; ``mute`` (new connections are accepted and nothing is said);
    ``frozen`` (nothing is passed on, no connection is closed); ``rate`` in bytes a second, None for no limit;
    ``change``, what is done to each RTP packet on its way to the reader; ``close`` and ``reset``; ``inject``.
    """

    def __init__(self, upstream: int, port: int = 0) -> None:
        self.upstream = upstream
        self.mute = False
        self.frozen = False
        self.rate: float | None = None
        self.change: Change | None = None
        self.connections = 0  # accepted so far
        self.packets = 0  # RTP packets with pictures that came from the camera so far
        self._sent: deque[tuple[float, int]] = deque(maxlen=2000)  # when, how many bytes
        self._pairs: list[Pair] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._listener: socket.socket | None = None
        self.port = port
        self.accept()
        self._acceptor = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._acceptor.start()

    def in_place_of(self, camera: str) -> str:
        """What a reader opens in place of this address of the camera."""
        return camera.replace(f":{self.upstream}/", f":{self.port}/")

    def accept(self) -> None:
        """Listen, again after ``refuse``."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port))
                self._listener.settimeout(TICK)
                self.port = self._listener.getsockname()[1]

    def refuse(self) -> None:
        """Stop listening: whoever connects is refused. Connections that are there stay."""
        with self._lock:
            if self._listener is not None:
                # A close alone would wait for the accept that is under way.
                with contextlib.suppress(OSError):
                    self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
                self._listener = None

    def close(self) -> None:
        """End all connections with a good-bye (FIN)."""
        for pair in self._now():
            pair.end()

    def reset(self) -> None:
        """End all connections without one (RST)."""
        for pair in self._now():
            pair.end(rudely=True)

    def inject(self, data: bytes) -> None:
        """Say this to every reader, between two parts of the stream."""
        for pair in self._now():
            pair.inject(data)

    def bytes_a_second(self, seconds: float = 2.0) -> float:
        """What has lately gone to the readers."""
        since = time.monotonic() - seconds
        return sum(count for when, count in list(self._sent) if when >= since) / seconds

    def stop(self) -> None:
        """End everything; its threads are gone when this returns."""
        self._ended.set()
        self.refuse()
        self.reset()
        self._acceptor.join(5)
        self.reset()  # whoever came meanwhile
        for pair in self._now():
            pair.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _now(self) -> list[Pair]:
        with self._lock:
            return list(self._pairs)

    def _run(self) -> None:
        while not self._ended.is_set():
            listener = self._listener
            if listener is None:
                self._ended.wait(TICK)
                continue
            try:
                reader, _ = listener.accept()
            except OSError:  # nobody came, or it was closed
                continue
            self.connections += 1
            pair = Pair(self, reader)
            with self._lock:
                self._pairs = [one for one in self._pairs if not one.gone] + [pair]
            pair.start()


class Line(Proxy):
    """A proxy before a camera; ``address`` is what a reader opens in place of the camera's, user and password kept."""

    def __init__(self, camera: str) -> None:
        port = urlsplit(camera).port
        assert port is not None
        super().__init__(port)
        self.address = self.in_place_of(camera)


class Pair:
    """One reader's connection and the one to the camera, with a thread for each direction."""

    def __init__(self, proxy: Proxy, reader: socket.socket) -> None:
        self.proxy = proxy
        self._reader = reader
        self._camera: socket.socket | None = None
        self._saying = threading.Lock()  # parts must not be mixed
        self._ended = threading.Event()
        self._relays: list[Relay] = []
        self._threads = [threading.Thread(target=self._begin, name="proxy pair", daemon=True)]

    def start(self) -> None:
        self._threads[0].start()

    def join(self) -> None:
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(5)

    def end(self, *, rudely: bool = False) -> None:
        self._ended.set()
        for end in (self._reader, self._camera):
            if end is None:
                continue
            with contextlib.suppress(OSError):
                if rudely:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    end.shutdown(socket.SHUT_RDWR)
            end.close()
        for relay in self._relays:
            relay.close()

    @property
    def gone(self) -> bool:
        """Whether it has ended, its threads too."""
        return self._ended.is_set() and not any(thread.is_alive() for thread in self._threads)

    def inject(self, data: bytes) -> None:
        self._say(data)

    @property
    def held(self) -> bool:
        return self.proxy.frozen and not self._ended.is_set()

    def _begin(self) -> None:
        # As a firewall that lost its memory: this connection stays silent even when the fault is over.
        while (self.proxy.mute or self.held) and not self._ended.is_set():
            if self.proxy.mute:
                self._swallow()
                break
            self._ended.wait(TICK)
        if self._ended.is_set():
            return
        camera = socket.socket()
        camera.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        camera.settimeout(5)
        try:
            camera.connect(("127.0.0.1", self.proxy.upstream))
        except OSError:
            camera.close()
            self.end(rudely=True)
            return
        self._camera = camera
        self._reader.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        down = threading.Thread(target=self._pump, args=(camera, self._down), name="proxy down", daemon=True)
        self._threads.append(down)
        down.start()
        self._pump(self._reader, self._up)

    def _swallow(self) -> None:
        """Read what is asked and say nothing, until one side has enough."""
        while self._bytes_of(self._reader):
            pass
        self.end()

    def _bytes_of(self, end: socket.socket) -> bytes:
        """What comes next; empty at the end."""
        try:
            while not self._ended.is_set():
                if select.select([end], [], [], TICK)[0]:
                    return end.recv(CHUNK)
        except (OSError, ValueError):  # closed in the meantime
            pass
        return b""

    def _pump(self, end: socket.socket, pass_on: Callable[[bytes], None]) -> None:
        parts = Parts()
        while not self._ended.is_set():
            while self.held:
                self._ended.wait(TICK)
            data = self._bytes_of(end)
            while self.held:  # a frozen network does not carry a good-bye either
                self._ended.wait(TICK)
            if not data:
                break
            for part in parts.feed(data):
                pass_on(part)
        self.end()

    def _up(self, part: bytes) -> None:
        if part.startswith(b"SETUP"):
            part = self._with_relay(part)
        with contextlib.suppress(OSError, AttributeError):
            self._camera.sendall(part)  # type: ignore[union-attr]

    def _down(self, part: bytes) -> None:
        if part[:1] != b"$":
            for relay in self._relays:
                part = relay.answer(part)
            self._say(part)
            return
        for packet in self.altered(part[4:]):
            self._say(part[:2] + len(packet).to_bytes(2, "big") + packet)

    def altered(self, packet: bytes) -> list[bytes]:
        """What the faults make of a packet."""
        if not is_video(packet):
            return [packet]
        self.proxy.packets += 1
        change = self.proxy.change
        return [packet] if change is None else change(packet)

    def _say(self, data: bytes) -> None:
        if self.proxy.rate:
            self._ended.wait(len(data) / self.proxy.rate)
        with self._saying, contextlib.suppress(OSError):
            self._reader.sendall(data)
        self.proxy._sent.append((time.monotonic(), len(data)))

    def _with_relay(self, request: bytes) -> bytes:
        """Over UDP, packets go past the connection: a relay takes them."""
        ports = re.search(rb"client_port=(\d+)-(\d+)", request)
        if not ports:
            return request
        relay = Relay(self, int(ports[1]))
        self._relays.append(relay)
        return request.replace(ports[0], b"client_port=%d-%d" % (relay.port, relay.port + 1))


class Relay:
    """Takes one stream's UDP packets from the camera and sends them to the reader, and its reports back."""

    def __init__(self, pair: Pair, reader_port: int) -> None:
        self._pair = pair
        self._reader_port = reader_port
        self._camera_port: int | None = None
        self._ended = threading.Event()
        self.port, self._sockets = _two_ports()
        self._thread = threading.Thread(target=self._run, name="proxy relay", daemon=True)
        self._thread.start()
        pair._threads.append(self._thread)

    def answer(self, message: bytes) -> bytes:
        """The camera's answer to SETUP, as the reader is to see it."""
        ours = b"client_port=%d-%d" % (self.port, self.port + 1)
        if ours not in message:
            return message
        camera = re.search(rb"server_port=(\d+)-(\d+)", message)
        if camera:
            self._camera_port = int(camera[1])
            message = message.replace(camera[0], b"server_port=%d-%d" % (self.port, self.port + 1))
        theirs = b"client_port=%d-%d" % (self._reader_port, self._reader_port + 1)
        return message.replace(ours, theirs)

    def close(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        proxy = self._pair.proxy
        while not self._ended.is_set():
            for ready in select.select(self._sockets, [], [], TICK)[0]:
                packet, (_, port) = ready.recvfrom(65536)
                offset = self._sockets.index(ready)
                if port != (self._camera_port or 0) + offset:  # from the reader
                    if self._camera_port and not proxy.frozen:
                        ready.sendto(packet, ("127.0.0.1", self._camera_port + offset))
                    continue
                if proxy.frozen:
                    continue
                for one in self._pair.altered(packet):
                    ready.sendto(one, ("127.0.0.1", self._reader_port + offset))
                    proxy._sent.append((time.monotonic(), len(one)))
                    if proxy.rate:  # what comes too fast is lost, once the sockets are full
                        self._ended.wait(len(one) / proxy.rate)
        for one_socket in self._sockets:
            one_socket.close()


def _two_ports() -> tuple[int, list[socket.socket]]:
    """Two UDP ports that follow each other, the first even, as RTP wants them."""
    while True:
        port = 2 * random.randint(10_000, 30_000)
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        try:
            for offset, one in enumerate(sockets):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER)
                one.bind(("127.0.0.1", port + offset))
        except OSError:
            for one in sockets:
                one.close()
            continue
        return port, sockets
