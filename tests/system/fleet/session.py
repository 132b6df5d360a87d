"""A camera that allows one session, in a fleet: a relay that refuses a second connection."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from urllib.parse import urlsplit

from tests.system.fleet.bench import MeasuredFleet, measured_fleet
from tests.system.fleet.trials import Report, Size


class OneSession:
    """Passes one connection at a time on to a camera, and closes every other one at once."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._taken = threading.Lock()
        self.accepted: list[float] = []
        self.refused: list[float] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if not self._taken.acquire(blocking=False):
                self.refused.append(time.time())
                client.close()
                continue
            self.accepted.append(time.time())
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(("127.0.0.1", self._upstream)) as camera:
                back = threading.Thread(target=_copy, args=(camera, client), daemon=True)
                back.start()
                _copy(client, camera)
                back.join(2.0)
        except OSError:
            pass
        finally:
            self._taken.release()

    def close(self) -> None:
        self._server.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def session(size: Size, report: Report) -> None:
    """One camera that allows one session: a planned move, a machine that dies, and one that stands still for 30 s."""
    with measured_fleet(live=1, seed=size.seed) as fleet:
        (camera,) = fleet.servers
        relay = OneSession(urlsplit(camera).port or 0)
        file = fleet.folder / "cameras.toml"
        file.write_text(file.read_text().replace(f":{urlsplit(camera).port}/", f":{relay.port}/"))
        # One machine for each move: one that was drained, killed or cut off gets no camera again.
        fleet.begin(["north", "south", "west", "east"])
        time.sleep(3.0)
        for name, fault in (("planned move", _drain), ("machine killed", _kill), ("machine frozen", _freeze)):
            victim = fleet.where()["live 0"]
            refused, at = len(relay.refused), time.time()
            fault(fleet, victim)
            fleet.until(lambda at=at, victim=victim: _elsewhere(fleet, victim, at), "goes on elsewhere")
            seconds = round(
                next(one.captured for one in fleet.eyes.of("live 0") if _new(fleet, one.at, at)) - at, 1
            )
            report.put(f"{name}: refused connections, seconds to a new frame",
                       (len(relay.refused) - refused, seconds))  # fmt: skip
            if fault is _drain:
                report.check("a planned move never needs two sessions", len(relay.refused) == refused)
            time.sleep(3.0)
        relay.close()


def _drain(fleet: MeasuredFleet, victim: str) -> None:
    fleet.fleet.command("drain", victim)


def _kill(fleet: MeasuredFleet, victim: str) -> None:
    fleet.kill(victim)


def _freeze(fleet: MeasuredFleet, victim: str) -> None:
    fleet.signal(victim, signal.SIGSTOP)
    threading.Timer(30.0, fleet.signal, (victim, signal.SIGCONT)).start()


def _new(fleet: MeasuredFleet, seen: float, at: float) -> bool:
    claims = [claim[2] for claim in fleet.eyes.claims if claim[2] > at]
    return bool(claims) and seen > claims[0]


def _elsewhere(fleet: MeasuredFleet, victim: str, at: float) -> bool:
    newest = fleet.eyes.newest("live 0")
    return newest is not None and _new(fleet, newest.at, at) and newest.captured > at
