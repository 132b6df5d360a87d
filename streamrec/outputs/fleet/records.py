"""What groups of cameras and the ledger pass to each other, and the status of a fleet.

A *machine* runs *groups*; a group is a handful of cameras in one process, around one ``Watcher``. The *head* is the
machine with the *ledger*: it owns the history, and nothing else speaks to the outside.

A group begins with ``Ledger.claim``, which gives it an *epoch*, a number that grows, and the last snapshots of its
cameras. It then saves a ``Batch`` each second, and at each event. The ledger takes a batch whole, in one transaction,
or not at all; where another process has claimed the group since, it raises ``Superseded``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from streamrec.errors import StreamrecError
from streamrec.outputs.history.records import RemoteResult, iso

SAVE_SECONDS = 1.0  # between two saves of a group without an event
SILENT_SECONDS = 5 * SAVE_SECONDS  # without a save, after which a group, and its machine, count as silent
PICTURE_SECONDS = 2.0  # that the head waits for a picture of another machine
FENCE_SECONDS = 2 * SAVE_SECONDS  # without a save, after which a group asks whether it was cut off


class Superseded(StreamrecError):
    """Another process has claimed the group: this one stops reading, and ends.

    ``at``: when it was claimed, seconds since 1970 by the head's clock. What began before may still be reported
    (``LedgerService.late``).
    """

    def __init__(self, group: str, at: float) -> None:
        super().__init__(f"{group} runs elsewhere now: this process has stopped")
        self.group, self.at = group, at

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.group, self.at)


class LedgerAway(StreamrecError):
    """The ledger did not answer, or cannot write: what happens waits on the machine where it happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundStatus:
    """How the sound of a camera is, as its machine has it."""

    model: str  # the name of the one that listens
    state: str = "connecting"  # as of ``CameraStatus``, and the next two
    reason: str = ""
    since: float = 0.0
    dropped: int = 0  # hops, for want of time


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStatus:
    """How a camera of a group is, as its machine sees it."""

    name: str
    state: str = "connecting"  # a ``types.SourceState``
    reason: str = ""  # why it is not live; holds no password
    since: float = 0.0  # when this state began, seconds since 1970 by the head's clock
    fps: float = 0.0  # results a second, over the last five seconds
    read: int = 0  # frames since the group began on its machine, as ``pipeline.watcher.Counts``
    recognized: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)  # by cause, as ``pipeline.watcher.Counts``
    refused: int = 0  # damaged frames and the like, as ``types.Health``
    reconnects: int = 0
    sound: SoundStatus | None = None  # where it listens
    group: str = ""  # filled in by the ledger, as is the next
    machine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a group saves at once: all of it or nothing is on the head's disk afterwards."""

    group: str
    epoch: int
    number: int  # of the batches of this epoch, from 1; what was not saved comes again in a later batch
    # Those with events, in order, and the newest of each camera.
    results: tuple[RemoteResult, ...] = ()
    # By camera: a packed ``pipeline.snapshot.CameraSnapshot``, of those that have gone on since the last batch.
    snapshots: Mapping[str, bytes] = field(default_factory=dict)
    cameras: tuple[CameraStatus, ...] = ()
    load: float = 0.0  # cores that the group's process used since the last batch
    memory: int = 0  # bytes of the group's process
    waiting: int = 0  # batches in its outbox
    interrupted: tuple[str, ...] = ()  # ids of events of which nothing is remembered any more: they are ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to a group, and where to go on."""

    epoch: int
    previous: int  # the epoch that saved last; 0: none did
    at: float  # now, seconds since 1970 by the head's clock
    snapshots: Mapping[str, bytes] = field(default_factory=dict)  # by camera, as in ``Batch``
    # By camera: ids of events that run by the history. Where its snapshot is lost, nothing else ends them.
    running: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class LedgerService(Protocol):
    """The ledger as groups call it, from any thread; each call raises ``LedgerAway`` where it is not answered."""

    def claim(self, group: str, machine: str, cameras: tuple[str, ...]) -> Claim:
        """A process on this machine runs this group of cameras from now on; every other one is superseded."""

    def save(self, batch: Batch) -> float:
        """Take a batch; returns the head's time when it is on the disk. Raises ``Superseded``."""

    def late(self, batch: Batch) -> int:
        """Take the events of a superseded group that began before it was, and that are not known; returns how many."""

    def superseded(self, group: str, epoch: int) -> bool:
        """Whether the group was claimed again after this epoch."""


class GroupService(Protocol):
    """A group as the head calls it."""

    def apply(self, cameras: tuple[str, ...], settings: bytes) -> str:
        """Watch these cameras from now on; ``settings`` is a sealed cameras.toml. Returns what was done, in words."""

    def park(self) -> None:
        """Stop reading and save, without an end for what runs: another process goes on from there."""

    def stop(self) -> None:
        """End what runs, and save."""

    def picture(self, request: PictureRequest) -> Picture | None:
        """The newest picture of a camera; None: there is none yet, or none that is newer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRequest:
    """Which picture of a camera is wanted, of the machine where it runs."""

    camera: str
    width: int  # pixels, at most
    have: int | None = None  # the version that is known already: nothing is made where there is no newer one
    people: bool = True  # drawn over it, where they are followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a camera, encoded on the machine where it runs."""

    data: bytes  # a JPEG
    version: int  # of its frame: another one with each, also where the camera has moved
    time: float  # when the frame was captured, seconds since 1970 by the head's clock


class FleetService(Protocol):
    """The head as the page calls it, from any thread. Each call may raise ``StreamrecError`` with a sentence."""

    def status(self) -> FleetStatus:
        """The fleet now; waits for no other machine."""

    def drain(self, machine: str) -> str:
        """Begin to move what runs on a machine elsewhere; it gets nothing new. Returns what is done, in words."""

    def rebalance(self) -> str:
        """Begin to spread the groups evenly; returns what is done, in words."""

    def picture(self, request: PictureRequest) -> Picture | None:
        """As of ``GroupService``, of whichever group has the camera; waits ``PICTURE_SECONDS`` at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """A group of cameras, wherever it runs."""

    name: str
    machine: str = ""  # "": it waits for one with room
    state: str = (
        "waiting"  # "running", "waiting" (for a machine), "moving", "silent" (it has not saved for a while)
    )
    since: float | None = None  # when it began there, seconds since 1970 by the head's clock
    epoch: int = 0
    cameras: tuple[str, ...] = ()
    cost: float = 0.0  # cores, as measured before it was placed
    load: float = 0.0  # cores that it used lately
    memory: int = 0  # bytes
    saved: float | None = None  # seconds since its last save; None: there was none
    waiting: int = 0  # batches in its outbox
    shed: float = 0.0  # of the due frames of the last minute, the share that was dropped for want of time


# Of a machine. "draining": its groups leave; "silent": none of its groups has saved for a while.
MACHINE_STATES = ("alive", "draining", "silent", "dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineStatus:
    """A machine of the fleet."""

    name: str  # its address within the cluster, or the name that it was given
    id: str = ""  # Ray's node id
    address: str = ""
    version: str = ""  # of streamrec
    is_head: bool = False
    state: str = "alive"  # one of MACHINE_STATES
    since: float | None = None  # when this state began, seconds since 1970 by the head's clock
    cores: float = 0.0  # that it offers to groups
    taken: float = 0.0  # of them, by the costs of its groups
    load: float = 0.0  # cores that its groups used lately
    memory: int = 0  # bytes of its groups' processes
    groups: tuple[str, ...] = ()
    cameras: int = 0
    shed: float = 0.0  # as ``GroupStatus.shed``


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """A whole fleet: what ``streamrec fleet status``, the page and /metrics show."""

    name: str
    version: str
    machines: tuple[MachineStatus, ...] = ()
    groups: tuple[GroupStatus, ...] = ()
    cameras: tuple[CameraStatus, ...] = ()
    refused: int = 0  # batches of an earlier epoch
    replayed: int = 0  # events that came again, and were known

    def to_dict(self) -> dict[str, Any]:
        """As JSON: the same in `streamrec fleet status --json` and in /api/v1/fleet.

        Times are in ISO 8601 (UTC), numbers rounded.

        >>> machine = MachineStatus(name="north", since=1.0, load=2.04, groups=("site-1",))
        >>> [shown] = FleetStatus(name="site", version="0.1.0", machines=(machine,)).to_dict()["machines"]
        >>> shown["since"], shown["load"], shown["groups"]
        ('1970-01-01T00:00:01.000+00:00', 2.04, ['site-1'])
        """
        found: dict[str, Any] = asdict(self)
        for name in ("machines", "groups", "cameras"):
            found[name] = [_shown(one) for one in found[name]]
        return found


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    """A status as JSON."""
    shown: dict[str, Any] = {}
    for key, value in record.items():
        if key == "since":
            shown[key] = iso(value) if value else None
        elif key == "sound":
            shown[key] = None if value is None else _shown(value)
        elif isinstance(value, float):
            shown[key] = round(value, 4)
        else:
            shown[key] = list(value) if isinstance(value, tuple) else value
    return shown
