"""The proxy is itself tested, with plain sockets: each switch does what it says."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.system.faults.proxy import Parts, Proxy, is_video


class Echo:
    """Answers each line with itself; on ``go`` it sends packets for ever."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True)]
        self.threads[0].start()

    def _run(self) -> None:
        while True:
            try:
                end, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(end,), daemon=True))
            self.threads[-1].start()

    def _serve(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            while data := end.recv(4096):
                if data.startswith(b"go"):
                    break
                end.sendall(data)
            for number in range(10**6):
                if self.over.wait(0.01):
                    return
                end.sendall(framed(number))

    def end(self) -> None:
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(60.0)


def framed(number: int, size: int = 100) -> bytes:
    """An RTP packet with pictures, as it comes over TCP."""
    packet = (
        bytes([0x80, 96])
        + number.to_bytes(2, "big")
        + bytes(8)
        + number.to_bytes(4, "big")
        + bytes(size - 16)
    )
    return b"$\x00" + size.to_bytes(2, "big") + packet


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.end()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as proxy:
        yield proxy
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("proxy")]


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def said(end: socket.socket, message: bytes = b"OPTIONS\r\n\r\n") -> bytes:
    end.sendall(message)
    return end.recv(4096)


class Packets:
    """What comes from a connection, cut into packets."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._parts = Parts()
        self.found: list[bytes] = []

    def read(self, count: int) -> list[bytes]:
        """So many at least, with those before."""
        while len(self.found) < count:
            data = self._end.recv(4096)
            assert data
            self.found += self._parts.feed(data)
        return self.found

    def read_until_silent(self) -> int:
        """How many there are when nothing has come for half a second."""
        self._end.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            self.read(10**4)
        self._end.settimeout(5)
        return len(self.found)


def test_parts_are_found_however_the_stream_is_cut() -> None:
    message = b"RTSP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    stream = [message, framed(1), framed(2, 2000), b"OPTIONS * RTSP/1.0\r\n\r\n", b"$\x01\x00\x00"]
    for seed in range(20):
        chance, whole, parts, found = random.Random(seed), b"".join(stream), Parts(), []
        while whole:
            size = chance.randint(1, 300)
            found += parts.feed(whole[:size])
            whole = whole[size:]
        assert found == stream


def test_reports_are_no_pictures() -> None:
    assert is_video(framed(0)[4:])
    assert not is_video(bytes([0x80, 200]) + bytes(30))


def test_what_is_said_is_passed_on(proxy: Proxy) -> None:
    with connected(proxy) as end:
        assert said(end) == b"OPTIONS\r\n\r\n"
    assert proxy.connections == 1


def test_a_proxy_that_refuses_is_as_if_nobody_listened_and_comes_back_on_its_port(proxy: Proxy) -> None:
    with connected(proxy) as end:
        assert said(end)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connected(proxy)
        assert said(end)  # what is there stays
    proxy.accept()
    with connected(proxy) as end:
        assert said(end)


def test_a_camera_that_is_away_is_a_reset(proxy: Proxy) -> None:
    proxy.upstream = _nobody()
    with pytest.raises(ConnectionResetError), connected(proxy) as end:  # at once, or when it is asked
        said(end)


def _nobody() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_mute_proxy_accepts_and_stays_silent_on_that_connection(proxy: Proxy) -> None:
    proxy.mute = True
    with connected(proxy) as end:
        end.settimeout(0.5)
        with pytest.raises(TimeoutError):
            said(end)
        proxy.mute = False
        with pytest.raises(TimeoutError):
            said(end)
        with connected(proxy) as other:
            assert said(other)


def test_a_frozen_proxy_holds_everything_back_and_loses_nothing(proxy: Proxy) -> None:
    with connected(proxy) as end:
        end.sendall(b"go\r\n\r\n")
        packets = Packets(end)
        packets.read(20)
        proxy.frozen = True
        count = packets.read_until_silent()
        proxy.frozen = False
        found = packets.read(count + 30)
    assert found == [framed(number) for number in range(len(found))]


def test_a_close_is_a_good_bye_and_a_reset_is_none(proxy: Proxy) -> None:
    with connected(proxy) as end:
        assert said(end)
        proxy.close()
        assert end.recv(10) == b""
    with connected(proxy) as end:
        assert said(end)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            end.recv(10)


def test_a_slow_network_passes_on_as_many_bytes_as_it_can(proxy: Proxy) -> None:
    proxy.rate = 2000.0
    with connected(proxy) as end:
        end.sendall(b"go\r\n\r\n")
        begun = time.monotonic()
        Packets(end).read(20)
        assert time.monotonic() - begun > 0.8 * 20 * 104 / 2000
    assert 0 < proxy.bytes_a_second() < 3000


def test_packets_can_be_lost_doubled_and_altered(proxy: Proxy) -> None:
    proxy.change = lambda packet: [] if packet[3] % 2 else [packet, packet[:-1]]
    with connected(proxy) as end:
        end.sendall(b"go\r\n\r\n")
        found = Packets(end).read(4)[:4]
    assert found == [framed(0), _shorter(0), framed(2), _shorter(2)]


def _shorter(number: int) -> bytes:
    return b"$\x00" + (99).to_bytes(2, "big") + framed(number)[4:-1]


def test_garbage_comes_between_the_parts(proxy: Proxy) -> None:
    with connected(proxy) as end:
        assert said(end)
        proxy.inject(b"garbage")
        assert end.recv(100) == b"garbage"
