"""A bad line between a camera and its viewer: RTSP over TCP whose RTP packets can be lost, torn or held back."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit


class Line:
    """Forwards connections to a camera; ``spoil`` looks at each of its RTP packets, header included.

    ``spoil(packet)`` returns the packet, another one instead, or None to lose it. ``address`` is what the viewer
    opens.
    """

    def __init__(self, camera: str) -> None:
        parts = urlsplit(camera)
        self._server = socket.create_server(("127.0.0.1", 0))
        netloc = parts.netloc.replace(f":{parts.port}", f":{self._server.getsockname()[1]}")
        self.address = urlunsplit(parts._replace(netloc=netloc))
        self.spoil: Callable[[bytes], bytes | None] = lambda packet: packet
        self.connections = 0
        self._camera = ("127.0.0.1", parts.port)
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Nothing passes any more, and no connection is closed: a cable that was pulled."""
        self._open.clear()

    def release(self) -> None:
        """What was held back passes."""
        self._open.set()

    def cut(self, *, reset: bool = False) -> None:
        """Close what is connected; with ``reset`` in the rude way. New connections are taken."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            with suppress(OSError):
                if reset:  # closed without a word once the threads that read have been woken
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RD)
                else:
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        self.release()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                viewer, _ = self._server.accept()
                self.connections += 1
                try:
                    camera = socket.create_connection(self._camera, 5)
                except OSError:
                    viewer.close()
                    continue
                camera.settimeout(None)
                self._sockets += [viewer, camera]
                threading.Thread(target=self._connect, args=(viewer, camera), daemon=True).start()

    def _connect(self, viewer: socket.socket, camera: socket.socket) -> None:
        with viewer, camera:
            to_camera = threading.Thread(target=self._run, args=(self._copy, viewer, camera), daemon=True)
            to_camera.start()
            self._run(self._spoiled, camera, viewer)
            to_camera.join()

    def _run(
        self, work: Callable[[socket.socket, socket.socket], None], one: socket.socket, other: socket.socket
    ) -> None:
        with suppress(OSError):
            work(one, other)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RD)  # the thread of the other direction ends too

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        while data := one.recv(65536):
            self._open.wait()
            other.sendall(data)

    def _spoiled(self, camera: socket.socket, viewer: socket.socket) -> None:
        with camera.makefile("rb") as stream:
            self._spoil_all(stream, viewer)

    def _spoil_all(self, stream: BinaryIO, viewer: socket.socket) -> None:
        while first := stream.read(1):
            if first == b"$":  # an RTP or RTCP packet: "$", channel, length
                head = stream.read(3)
                packet = stream.read(struct.unpack(">H", head[1:])[0])
                changed = self.spoil(packet) if head[0] == 0 else packet
                data = b"" if changed is None else b"$" + head[:1] + struct.pack(">H", len(changed)) + changed
            else:  # an answer: lines, an empty line, and a body as long as it says
                data = first + stream.readline()
                length = 0
                while (line := stream.readline()) not in (b"\r\n", b""):
                    data += line
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                data += line + stream.read(length)
            self._open.wait()
            viewer.sendall(data)


@contextmanager
def bad_line(camera: str) -> Iterator[Line]:
    """A line to the camera that is good until it is told otherwise."""
    line = Line(camera)
    try:
        yield line
    finally:
        line.close()
