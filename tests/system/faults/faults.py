"""What can go wrong between a camera and its reader: one class each, to be switched on and off.

``FAULTS`` lists them all; the tests and the table (``benchmarks/faults.py``) go through this one list.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from typing import Any, ClassVar

from tests.system.faults.bench import Bench
from tests.system.faults.proxy import Change

KEPT = 28  # bytes at the start of a packet that damage leaves alone: RTP's header, the codec's, the slice's
WRONG = "wr0ng-s3cret"
RIGHT = "r1ght-s3cret"
H265_SMALL: dict[str, Any] = {
    "codec": "h265",
    "size": (240, 176),
}  # its encoder takes much of a small machine


class Fault:
    """Something that goes wrong with a bench from ``start`` to ``stop``."""

    name: ClassVar[str]
    camera: ClassVar[dict[str, Any]] = {}  # settings that the bench needs
    first: ClassVar[bool] = False  # it is there before the reader
    seconds: ClassVar[float] = 5.0  # how long it lasts
    silent: ClassVar[bool] = True  # while it lasts no new good picture can come
    breaks: ClassVar[bool | None] = None  # the connection is lost; None: that is the reader's decision
    ends: ClassVar[bool] = True  # False: it is how this camera is, and no reader can mend it
    torn: ClassVar[bool] = False  # pictures are damaged
    grace: ClassVar[float] = 3.0  # seconds that "live" may outlast the last new, whole picture
    work: ClassVar[float] = 0.0  # of the time between two pictures, how much whoever reads needs for one

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """Be over; returns when the camera can be read again."""

    def address(self) -> str:
        """What the reader is told to open."""
        return self.bench.address


class DeadBeforeOpen(Fault):
    """Nothing listens when the reader begins."""

    name, first, breaks = "dead before open", True, True

    def start(self) -> None:
        self.bench.proxy.refuse()

    def stop(self) -> None:
        self.bench.proxy.accept()


class HalfOpen(Fault):
    """Connections are accepted, and nothing is said; those of that time stay silent for ever."""

    name, first, breaks = "half-open", True, True

    def start(self) -> None:
        self.bench.proxy.mute = True

    def stop(self) -> None:
        self.bench.proxy.mute = False


class Freeze(Fault):
    """Everything stands still, and no connection is closed; then what was held back comes at once."""

    name = "freeze"

    def start(self) -> None:
        self.bench.proxy.frozen = True

    def stop(self) -> None:
        self.bench.proxy.frozen = False


class LongFreeze(Freeze):
    """The same, for longer than any reader should wait. ``benchmarks/faults.py --long`` makes it 5 minutes."""

    name, seconds, breaks = "long freeze", 30.0, True


class Off(Fault):
    """The network is away: the connection is reset, and nothing listens."""

    name, breaks = "off", True

    def start(self) -> None:
        self.bench.proxy.refuse()
        self.bench.proxy.reset()

    def stop(self) -> None:
        self.bench.proxy.accept()


class Close(Fault):
    """The connection is closed with a good-bye; the camera is there at once."""

    name, breaks, seconds = "close", True, 0.0

    def start(self) -> None:
        self.bench.proxy.close()


class Reset(Fault):
    """The connection is reset; the camera is there at once."""

    name, breaks, seconds = "reset", True, 0.0

    def start(self) -> None:
        self.bench.proxy.reset()


class HungCamera(Fault):
    """The camera's software hangs: its connections stay open, new ones are accepted and get no answer."""

    name = "hung camera"

    def start(self) -> None:
        self.bench.camera.freeze()

    def stop(self) -> None:
        self.bench.camera.thaw()


class Restart(Fault):
    """The camera is switched off and on again."""

    name, breaks, seconds = "server restart", True, 4.0

    def start(self) -> None:
        self.bench.stop_camera()

    def stop(self) -> None:
        self.bench.start_camera()


class Reboot(Restart):
    """It comes back with another size and another rate."""

    name = "reboot, other size and rate"

    def stop(self) -> None:
        self.bench.start_camera(size=(480, 352), fps=10)


class RebootOtherCodec(Restart):
    """It comes back with another codec."""

    name = "reboot, other codec"

    def stop(self) -> None:
        self.bench.start_camera(codec="mjpeg")


class Garbage(Fault):
    """Bytes that mean nothing come between the packets, thirty times."""

    name, silent, torn, seconds = "garbage bytes", False, True, 3.0

    def start(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        chance = random.Random(1)
        while not self._over.wait(0.1):
            self.bench.proxy.inject(chance.randbytes(chance.randint(20, 400)))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


class _Change(Fault):
    silent, torn = False, True

    def change(self) -> Change:
        raise NotImplementedError

    def start(self) -> None:
        self.bench.proxy.change = self.change()

    def stop(self) -> None:
        self.bench.proxy.change = None


class Corrupt(_Change):
    """In each third packet 20 bytes of the picture are overwritten."""

    name = "corrupted pictures"

    def change(self) -> Change:
        chance, count = random.Random(2), itertools.count()

        def damage(packet: bytes) -> list[bytes]:
            room = len(packet) - KEPT - 20
            if next(count) % 3 or room < 1:
                return [packet]
            at = KEPT + chance.randrange(room)
            return [packet[:at] + chance.randbytes(20) + packet[at + 20 :]]

        return damage


class CorruptH265(Corrupt):
    """The same with H.265."""

    name, camera = "corrupted pictures, H.265", H265_SMALL


class CorruptMJPEG(Corrupt):
    """The same with MJPEG."""

    name, camera = "corrupted pictures, MJPEG", {"codec": "mjpeg"}


class Loss(_Change):
    """From the next key frame on, of 100 packets of pictures 5 are lost.

    They are the same ones for every reader: that is settled by the number of the picture and the place in it.
    """

    name = "packet loss"

    def change(self) -> Change:
        stamp, picture, place = b"", -1, 0

        def lose(packet: bytes) -> list[bytes]:
            nonlocal stamp, picture, place
            is_picture, is_key = self.kind_of(packet)
            if not is_picture or (picture < 0 and not is_key):
                return [packet]  # what belongs to no picture is not everywhere sent as often
            place += 1
            if packet[4:8] != stamp:  # RTP's time of the picture
                stamp, picture, place = packet[4:8], picture + 1, 0
            return [] if random.Random(f"{picture} {place}").random() < 0.05 else [packet]

        return lose

    def kind_of(self, packet: bytes) -> tuple[bool, bool]:
        """Whether it belongs to a picture, and to a key frame."""
        kind = packet[12] & 31
        return kind in (1, 5, 28), kind == 5 or (kind == 28 and packet[13] & 31 == 5)  # 28: a part of a unit


class LossUDP(Loss):
    """The same over UDP."""

    name, camera = "packet loss, UDP", {"transport": "udp"}


class LossH265(Loss):
    """The same with H.265."""

    name, camera = "packet loss, H.265", H265_SMALL

    def kind_of(self, packet: bytes) -> tuple[bool, bool]:
        kind = packet[12] >> 1 & 63
        kind = packet[14] & 63 if kind == 49 else kind  # 49: a part of a unit
        return kind < 32, 16 <= kind < 24


class Reorder(_Change):
    """Of 100 packets 10 come after the one that follows them."""

    name = "reordering"

    def change(self) -> Change:
        chance = random.Random(4)
        self._held = held = list[bytes]()
        self._ending = False

        def swap(packet: bytes) -> list[bytes]:
            if held:
                return [packet, held.pop()]
            if not self._ending and chance.random() < 0.1:
                held.append(packet)
                return []
            return [packet]

        return swap

    def stop(self) -> None:
        self._ending = True  # what is held back is not lost
        until = time.monotonic() + 1.0
        while self._held and time.monotonic() < until:
            time.sleep(0.005)
        super().stop()


class ReorderUDP(Reorder):
    """The same over UDP, where a reader can put them in order."""

    name, camera = "reordering, UDP", {"transport": "udp"}


class SlowNetwork(Fault):
    """Half of the bytes a second that the camera needs."""

    name, silent, seconds = "slow network", False, 8.0

    def start(self) -> None:
        # Of one second: a key frame and what follows it. Whoever opens quickly was not there for longer.
        self.bench.proxy.rate = max(500.0, self.bench.proxy.bytes_a_second(1.0) / 2)

    def stop(self) -> None:
        self.bench.proxy.rate = None


class _Jump(_Change):
    torn = False
    by: ClassVar[float]  # seconds

    def change(self) -> Change:
        ticks = int(self.by * 90_000)

        def shift(packet: bytes) -> list[bytes]:
            stamp = (int.from_bytes(packet[4:8], "big") + ticks) % (1 << 32)
            return [packet[:4] + stamp.to_bytes(4, "big") + packet[8:]]

        return shift


class JumpAhead(_Jump):
    """The camera's timestamps jump an hour ahead, and back when it is over."""

    name, by = "timestamps jump ahead", 3600.0


class JumpBack(_Jump):
    """The camera's timestamps jump an hour back, and ahead when it is over."""

    name, by = "timestamps jump back", -3600.0


class StandStill(Fault):
    """The same picture comes again and again, stamp and all.

    A quiet scene may be so for a while, so half a minute is granted.
    """

    name, seconds, grace = "picture stands still", 45.0, 35.0

    def start(self) -> None:
        self.bench.camera.stand_still()

    def stop(self) -> None:
        self.bench.camera.stand_still(False)


class _Way(Fault):
    """Nothing is wrong: this is how the camera is."""

    silent, breaks = False, False


class H265(_Way):
    """H.265 over TCP."""

    name, camera = "H.265", H265_SMALL


class MJPEG(_Way):
    """MJPEG over RTP and TCP."""

    name, camera = "MJPEG", {"codec": "mjpeg"}


class UDP(_Way):
    """H.264 over UDP."""

    name, camera = "UDP", {"transport": "udp"}


class VariableRate(_Way):
    """The rate swings between 5 and 15 pictures a second."""

    name, camera = "variable rate", {"vary": True}


class OneAMoment(_Way):
    """One picture a second."""

    name, camera = "1 fps", {"fps": 1}


class SlowReader(_Way):
    """Whoever reads needs half as long again for a picture as the camera."""

    name, work, seconds = "slow reader", 1.5, 8.0


class WrongPassword(Fault):
    """The reader has another password than the camera; later the camera is given that one."""

    name, first, breaks = "wrong password", True, True
    camera: ClassVar[dict[str, Any]] = {"user": "anna", "password": RIGHT}

    def address(self) -> str:
        return self.bench.address.replace(RIGHT, WRONG)

    def stop(self) -> None:
        self.bench.stop_camera()
        self.bench.start_camera(password=WRONG)


class AudioOnly(Fault):
    """A stream with sound and no pictures."""

    name, first, ends = "audio only", True, False
    camera: ClassVar[dict[str, Any]] = {"codec": "none"}


FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        DeadBeforeOpen, HalfOpen, WrongPassword, AudioOnly,
        Freeze, LongFreeze, HungCamera, Off, Close, Reset, Restart, Reboot, RebootOtherCodec,
        Garbage, Corrupt, CorruptH265, CorruptMJPEG, Loss, LossUDP, LossH265, Reorder, ReorderUDP, SlowNetwork,
        JumpAhead, JumpBack, StandStill,
        H265, MJPEG, UDP, VariableRate, OneAMoment, SlowReader,
    )
}  # fmt: skip
