"""The head of a fleet: the ledger with history, notifiers and page, and what keeps each group running somewhere."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from streamrec.commands.fleet.sizing import (
    PlannedGroup,
    Wanted,
    evened,
    measured_cost,
    planned,
    to_move,
    without_room,
)
from streamrec.commands.fleet.spec import GroupSpec, ModelOptions
from streamrec.commands.fleet.states import StateReports
from streamrec.commands.listening import listens
from streamrec.commands.outputs import LinesView, Outputs, PageView, TerminalView, View
from streamrec.commands.reload import Changes
from streamrec.core.context import Closing
from streamrec.core.packed import Packer
from streamrec.core.redact import redact
from streamrec.core.version import version_of
from streamrec.errors import SettingsError, StateError, StreamrecError
from streamrec.events.places import PlaceSettings
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.outputs.fleet.cameras import remote_cameras
from streamrec.outputs.fleet.ledger import Ledger
from streamrec.outputs.fleet.machines import Machines
from streamrec.outputs.fleet.records import (
    PICTURE_SECONDS,
    Batch,
    Claim,
    FleetStatus,
    GroupStatus,
    MachineStatus,
    Picture,
    PictureRequest,
)
from streamrec.outputs.fleet.wire import PACKER
from streamrec.runtime.recognizer import configs_of
from streamrec.settings.cameras_file import CameraSettings, WatchFile, part_of, without_addresses
from streamrec.settings.listening import ListenSettings
from streamrec.settings.resolve import actions_of, events_by_model, sound_config, sound_events
from streamrec.settings.resolve import configs_of as configs_in

_TICK = 0.5  # seconds
_ASK = 1.0  # seconds between two questions to the cluster about its machines
_SUPERVISE = 2.0  # seconds between two checks of the groups
_ROOM_SECONDS = 10.0  # for which a group waits for room
_LITTLE = 0.01  # cores that are asked for where there is no room
_PATIENCE = 15.0  # seconds for a group to stop
_SOUND_CORES = 0.02  # that listening takes (docs/senses.md)
_MESSAGES = 1000  # the newest, kept for who asks
_PLAN = Packer((PlannedGroup,))


class GroupAway(StreamrecError):
    """A group does not answer: its machine is away, or it waits for one."""


class Cluster(Protocol):
    """What places processes, as far as the head uses it."""

    def machines(self) -> list[MachineStatus]:
        """Those that are there: names, ids, versions and cores are filled in."""

    def place(self, spec: GroupSpec, cost: float, avoid: Collection[str]) -> None:
        """Run a group somewhere, for good; ``avoid``: not on the machines with these ids."""

    def remove(self, group: str) -> None:
        """End a group's process for good, wherever it is; nothing where there is none."""

    def placed(self, group: str) -> bool:
        """Whether there is a group of this name, running or waiting for a machine."""

    def call(self, group: str, method: str, *values: Any, seconds: float = 10.0) -> Any:
        """Call a method of a group. Raises ``GroupAway``."""


@dataclass(frozen=True, kw_only=True)
class FleetJob:
    """One fleet; the fields are options of ``streamrec fleet``."""

    path: Path
    name: str = "fleet"
    history: Path | None = None
    jsonl: str | None = None
    web: str | None = None
    web_access: Path | None = None
    web_names: tuple[str, ...] = ()
    web_certificate: Path | None = None
    options: ModelOptions = field(default_factory=ModelOptions)
    cores_per_camera: float | None = None  # None: it is measured


class _NoTerminal(TerminalView):
    """Nothing is shown here: the command that started the fleet prints the messages."""

    gone = False


class Head(Closing):
    """Owns the ledger and all that speaks to the outside, and sees to it that each group runs.

    It is a ``LedgerService``: groups call it, from any thread. ``seal`` encrypts what is sent to groups.
    """

    def __init__(
        self,
        job: FleetJob,
        cluster: Cluster,
        seal: Callable[[bytes], bytes],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job, self._cluster, self._seal = job, cluster, seal
        self._clock, self._monotonic = clock, monotonic
        self._messages: deque[tuple[int, str]] = deque(maxlen=_MESSAGES)
        # Of the newest message: larger than those of a head before this one.
        self._numbered = int(clock() * 1000)
        self._guard = threading.RLock()  # of the plan and of moves
        self._places: dict[str, PlaceSettings | None] = {}  # of the cameras, in the order of the file
        self._listening: dict[str, ListenSettings | None] = {}
        self._machines = Machines(clock=clock)
        self._nodes: list[MachineStatus] | None = None  # as the cluster knew them last
        self._plan: tuple[PlannedGroup, ...] = ()
        self._parts: dict[str, dict[str, Any]] = {}  # what was sent to each group
        self._moved: dict[str, float] = {}
        self._homeless: dict[str, float] = {}  # groups without room: time.monotonic() since when
        self._moving: set[str] = set()
        self._moving_next: set[str] = set()  # those that are about to be moved
        self._avoid: dict[str, str] = {}  # ids of machines that are drained, and their names
        self._costs: dict[tuple[tuple[str, ...], bool | None], float] = {}
        self._stopping = self._stopped = self._closed = False
        self._over = threading.Event()
        self._changes = Changes((job.path,))
        file = self._read()
        after = self._after(file)
        self._secrets = file.secrets
        self._dispatcher = Dispatcher(after, self.log)
        assert self._dispatcher.history is not None
        self._views: list[View] = []
        self._open_views()
        self._outputs = Outputs(
            self._dispatcher, [*self._views, _NoTerminal()], terminal=_NoTerminal(), log=self.log
        )
        self._states = StateReports(self._dispatcher, self._outputs)
        self._ledger = Ledger(self._dispatcher.history, self._outputs.write, clock=clock, monotonic=monotonic)
        self._plan = self._known_plan()
        self._file = file
        self._register(file)
        for view in self._views:
            if isinstance(view, PageView):
                view.__enter__()
        # Threads, because the cluster does not answer while its store is away, and the page goes on.
        self._threads = tuple(
            threading.Thread(target=self._repeat, args=(work, seconds), name=f"head {name}", daemon=True)
            for name, work, seconds in (
                ("machines", self._ask_cluster, _ASK),
                ("groups", self._see_to, _SUPERVISE),
                ("page", self._show, _TICK),
            )
        )

    def start(self) -> None:
        """Place the groups, and see to them in threads from now on."""
        for thread in self._threads:
            thread.start()

    # -- reading and registering

    def _read(self) -> WatchFile:
        file = without_addresses(self._job.path, self._job.options.tuned)
        return replace(file, cameras=tuple(camera for camera in file.cameras if camera.enabled))

    def _after(self, file: WatchFile) -> DispatchSettings:
        after = DispatchSettings.of(file).with_options(history=self._job.history)
        after = after.with_history_beside(file.path)
        of_pictures = {
            "[evidence]": after.evidence,
            "[opinion]": after.opinion,
            "[stream]": after.stream,
            "[recording]": after.recording,
            "[[sink]]": after.sinks,
            "the pictures of notifications": after.sends_pictures,
        }
        left = [name for name, on in of_pictures.items() if on]
        if left:
            self.log(
                f"{file.path.name}: a fleet sends no pictures between machines: "
                f"{' and '.join(left)} {'is' if len(left) == 1 else 'are'} left out"
            )
        return replace(
            after,
            evidence=None,
            opinion=None,
            stream=None,
            recording=None,
            sinks=(),
            record=None,
            keep_open=True,
        )

    def _open_views(self) -> None:
        job = self._job
        if job.web is not None:
            from streamrec.commands.option_groups import page_settings

            settings = page_settings(
                job.web, job.web_access, list(job.web_names) or None, job.web_certificate
            )
            assert settings is not None
            page = PageView(settings, self._dispatcher, self.log, secrets=self._secrets, fleet=self)
            self._views.append(page)
        if job.jsonl is not None:
            lines = LinesView(
                job.jsonl, warn=self.log, log=self.log, append=True, predictions=False, dated=True
            )
            self._views.append(lines)

    def _register(self, file: WatchFile) -> None:
        """Announce the cameras to the page, the receivers and the rules."""
        names = [camera.name for camera in file.cameras]
        for gone in set(self._places) - set(names):
            self._dispatcher.remove(gone)
            self._states.forget(gone)
        for camera in file.cameras:
            configs = configs_in(camera, file)
            events = events_by_model(camera, configs, file)
            if camera.listen is not None:
                config = sound_config(camera, file)
                configs[camera.listen.name] = config
                events[camera.listen.name] = sound_events(camera, config, file)
                if camera.listen != self._listening.get(camera.name):
                    self.log(listens(camera.name, camera.listen.name))
            self._dispatcher.camera(
                camera.name,
                models=actions_of(configs, events, count=camera.count, more=camera.place_labels),
                privacy=camera.privacy,
            )
        self._listening = {camera.name: camera.listen for camera in file.cameras}
        self._places = {
            camera.name: PlaceSettings(zones=camera.zones, lines=camera.lines, region=camera.region)
            for camera in file.cameras
        }
        self._dispatcher.use_rules(self._dispatcher.prepare_rules(file.rules, names))

    def _known_plan(self) -> tuple[PlannedGroup, ...]:
        body = self._ledger.plan
        try:
            return () if body is None else tuple(_PLAN.unpack(body))
        except StateError as error:
            self.log(f"the plan of the groups is lost ({error}): they are divided anew")
            return ()

    # -- its threads

    def _repeat(self, work: Callable[[], object], seconds: float) -> None:
        while not self._over.is_set():
            try:
                work()
            except StreamrecError as error:
                self.log(str(error))
            except Exception as error:  # the head goes on
                self.log(redact(f"the head: {type(error).__name__}: {error}", self._secrets))
            self._over.wait(seconds)

    def _see_to(self) -> None:
        if not self._stopping:
            self.supervise()

    def _show(self) -> None:
        self._outputs.tick()
        self._beat()

    def _beat(self) -> None:
        cameras = remote_cameras(self.status(), self._places, clock=self._clock)
        for camera in cameras:
            self._states.report(camera)
        for view in self._views:
            if isinstance(view, PageView):
                view.live.secrets = self._secrets
                view.live.beat(cameras)

    def _squeeze(self, status: FleetStatus) -> None:
        """Run groups for which no machine has room all the same: dropped frames are better than none."""
        homeless = without_room(status.machines, status.groups)
        now = self._monotonic()
        self._homeless = {name: self._homeless.get(name, now) for name in homeless}
        for group in self._plan:
            if now - self._homeless.get(group.name, now) >= _ROOM_SECONDS and group.name not in self._moving:
                del self._homeless[group.name]
                self.log(f"{group.name}: no machine has room for it; it runs all the same, and drops frames")
                self._cluster.remove(group.name)
                self._cluster.place(self._spec(group), _LITTLE, self._avoid)

    def supervise(self) -> None:
        """Check the file, the machines and the groups once; places what is to be placed, and moves what must move."""
        with self._guard:
            if not self._parts or self._changes.seen():
                self._follow_file()
            for group in self._plan:
                if group.name not in self._moving and not self._cluster.placed(group.name):
                    self._place(group)
            there = {machine.id for machine in self._ask_cluster()}
            self._avoid = {id: name for id, name in self._avoid.items() if id in there}
            status = self.status()
            self._squeeze(status)
            name = to_move(status.machines, status.groups, self._moved, self._monotonic())
        if name is not None:
            machine = next(group.machine for group in status.groups if group.name == name)
            self.log(f"{machine} drops frames for want of time: {name} moves to another machine")
            self._move(name, {one.id for one in status.machines if one.name == machine})

    def _follow_file(self) -> None:
        try:
            file = self._read()
            after = self._after(file)
        except SettingsError as error:
            if not self._parts:
                raise
            self.log(f"{error}; the cameras go on as they were")
            return
        if replace(after, secrets=()) != replace(self._dispatcher.settings, secrets=()):
            self.log("what happens after an event is other now: that counts from the next start")
        self._secrets = tuple({*self._secrets, *file.secrets})
        self._register(file)
        self._dispatcher.use_arming(file.arming)
        self._file = file
        cores = [machine.cores for machine in self._cluster.machines() if machine.cores > 0]
        wanted = [
            Wanted(
                name=camera.name,
                models=camera.models,
                per_person=camera.per_person,
                cost=self._cost(camera),
            )
            for camera in file.cameras
        ]
        before = {group.name: group for group in self._plan}
        self._plan = planned(wanted, self._plan, cores=min(cores, default=float(os.cpu_count() or 1)))
        self._ledger.plan = _PLAN.pack(self._plan)
        for name in before.keys() - {group.name for group in self._plan}:
            self._end_group(name)
        self._apply(before)
        gone = [name for name in self._ledger.cameras() if name not in self._places]
        if gone:
            self._ledger.forget(gone)

    def _apply(self, before: Mapping[str, PlannedGroup]) -> None:
        """Send each group what has changed for it."""
        for group in self._plan:
            part = part_of(self._job.path, group.cameras)
            if self._parts.get(group.name) == part:
                continue
            known = group.name in self._parts
            self._parts[group.name] = part
            if not known and self._cluster.placed(group.name) and before.get(group.name) == group:
                continue  # the head has begun anew, and the group has gone on
            if not self._cluster.placed(group.name):
                continue  # it is about to be placed
            try:
                done = self._cluster.call(group.name, "apply", self._spec(group), seconds=60.0)
                if done:
                    self.log(f"{group.name}: {done}")
            except StreamrecError as error:
                self.log(f"{group.name}: {error}; its cameras go on as they were")

    def _cost(self, camera: CameraSettings) -> float:
        if self._job.cores_per_camera is not None:
            return self._job.cores_per_camera
        key = camera.models, camera.per_person
        if key not in self._costs:
            recognizer = self._job.options.load(self._job.path, camera.models, camera.per_person)
            self._costs[key] = measured_cost(recognizer, camera.fps or recognizer.fps)
            names = " + ".join(configs_of(recognizer)) or camera.model
            self.log(f"{names}: {self._costs[key]:.2f} cores a camera, measured here")
        return self._costs[key] + (0.0 if camera.listen is None else _SOUND_CORES)

    def _spec(self, group: PlannedGroup) -> GroupSpec:
        job = self._job
        return GroupSpec(
            name=group.name,
            cameras=group.cameras,
            settings=self._seal(PACKER.pack(self._parts[group.name])),
            file=str(job.path),
            options=job.options,
        )

    def _place(self, group: PlannedGroup, avoid: Collection[str] = ()) -> None:
        self._cluster.place(self._spec(group), group.cost, {*avoid, *self._avoid})
        self.log(f"{group.name}: {len(group.cameras)} cameras, {group.cost:.2f} cores: placed")

    def _end_group(self, name: str) -> None:
        try:
            self._cluster.call(name, "stop", seconds=_PATIENCE)
        except GroupAway as error:
            self.log(str(error))
        self._cluster.remove(name)
        self._ledger.drop(name)
        self._parts.pop(name, None)

    def _move(self, name: str, avoid: Collection[str]) -> None:
        """Stop, save, and go on elsewhere; nothing that runs ends."""
        with self._guard:
            group = next((one for one in self._plan if one.name == name), None)
            self._moving_next.discard(name)
            if group is None or name in self._moving:
                return
            self._moving.add(name)
        try:
            try:
                if not self._cluster.call(name, "park", seconds=_PATIENCE):
                    self.log(f"{name} did not stop in time: it goes on from its last snapshot")
            except GroupAway as error:
                self.log(f"{error}; {name} goes on elsewhere from its last snapshot")
            self._cluster.remove(name)
            self._place(group, avoid)
            self._moved[name] = self._monotonic()
        finally:
            with self._guard:
                self._moving.discard(name)

    # -- LedgerService

    def claim(self, group: str, machine: str, cameras: tuple[str, ...]) -> Claim:
        """As of the ledger."""
        claim = self._ledger.claim(group, machine, cameras)
        self.log(f"{group} runs on {machine}")
        return claim

    def save(self, batch: Batch) -> float:
        """As of the ledger."""
        return self._ledger.save(batch)

    def late(self, batch: Batch) -> int:
        """As of the ledger."""
        return self._ledger.late(batch)

    def superseded(self, group: str, epoch: int) -> bool:
        """As of the ledger."""
        return self._ledger.superseded(group, epoch)

    # -- commands

    def status(self) -> FleetStatus:
        """All machines, groups and cameras; waits for nothing."""
        groups = self._groups()
        return FleetStatus(
            name=self._job.name,
            version=version_of() or "",
            machines=self._machines.update(self._present(), groups),
            groups=groups,
            cameras=self._ledger.status_of_cameras(),
            refused=self._ledger.refused,
            replayed=self._ledger.replayed,
        )

    def _groups(self) -> tuple[GroupStatus, ...]:
        known = {group.name: group for group in self._ledger.groups()}
        found = []
        for group in self._plan:
            status = known.get(group.name, GroupStatus(name=group.name))
            if group.name in self._moving or group.name in self._moving_next:
                status = replace(status, state="moving")
            found.append(replace(status, cameras=group.cameras, cost=group.cost))
        return tuple(found)

    def _ask_cluster(self) -> list[MachineStatus]:
        """The machines as the cluster knows them; this waits for its store."""
        self._nodes = self._cluster.machines()
        return self._nodes

    def _present(self) -> list[MachineStatus]:
        """The machines as the cluster knew them last, and which of them are drained."""
        return [
            replace(one, state="draining") if one.id in self._avoid and one.state == "alive" else one
            for one in (self._ask_cluster() if self._nodes is None else self._nodes)
        ]

    def drain(self, machine: str) -> str:
        """Begin to move all groups of a machine elsewhere, and place no more there; what is done, in words."""
        self._ask_cluster()
        status = self.status()
        found = next((one for one in status.machines if machine in (one.name, one.address)), None)
        if found is None or found.state == "dead":
            known = ", ".join(one.name for one in status.machines if one.state != "dead")
            raise SettingsError(f"there is no machine {machine}; there are: {known}")
        with self._guard:
            self._avoid[found.id] = found.name
        self._in_background([(group, set()) for group in found.groups])
        count = len(found.groups)
        return f"{found.name}: {count} group{'' if count == 1 else 's'} to be moved elsewhere"

    def rebalance(self) -> str:
        """Begin to even out how much of each machine is taken; what is done, in words."""
        self._ask_cluster()
        status = self.status()
        moves = evened(status.machines, status.groups)
        ids = {one.name: one.id for one in status.machines}
        self._in_background([(group, {ids[machine]}) for group, machine in moves])
        if not moves:
            return "the groups are spread as evenly as they can be"
        return "to be moved: " + ", ".join(f"{group} from {machine}" for group, machine in moves)

    def _in_background(self, moves: Sequence[tuple[str, Collection[str]]]) -> None:
        """Move groups one after the other, in a thread."""

        def move() -> None:
            for group, avoid in moves:
                try:
                    self._move(group, avoid)
                except StreamrecError as error:
                    self.log(f"{group}: {error}")

        with self._guard:
            self._moving_next |= {group for group, _ in moves}
        threading.Thread(target=move, name="moves", daemon=True).start()

    @property
    def moving(self) -> bool:
        """Whether a group is being moved, or is about to be."""
        return bool(self._moving or self._moving_next)

    def stop(self) -> str:
        """End all groups: what runs ends, and is saved. The machines that joined end by themselves."""
        self._stopping = True
        names = [group.name for group in self._plan]
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            list(pool.map(self._end_group, names))
        self.log("the fleet was stopped")
        self._stopped = True  # not before: the head's process ends it, and who asked would get no answer
        return f"{len(names)} group{'' if len(names) == 1 else 's'} ended"

    @property
    def stopping(self) -> bool:
        """Whether the fleet is being stopped, or was: that is why its cameras end."""
        return self._stopping

    @property
    def stopped(self) -> bool:
        """Whether the fleet was stopped, and all groups have ended."""
        return self._stopped

    def picture(self, request: PictureRequest) -> Picture | None:
        """The newest picture of a camera, from the machine that watches it; None: there is none that is newer."""
        group = next((one.name for one in self._plan if request.camera in one.cameras), None)
        if group is None or group in self._moving:
            return None
        found: Picture | None = self._cluster.call(group, "picture", request, seconds=PICTURE_SECONDS)
        return found

    def peers(self, machine: str) -> list[str]:
        """Groups on other machines that have saved lately."""
        return [
            group.name
            for group in self._ledger.groups()
            if group.machine != machine and self._ledger.can_save(group.name)
        ]

    def log(self, text: str) -> None:
        """Keep a message for who asks; no secret is in it."""
        text = redact(text, getattr(self, "_secrets", ()))
        self._numbered += 1
        self._messages.append((self._numbered, text))

    def messages(self, after: int) -> list[tuple[int, str]]:
        """The messages since one, by its number; 0: all that are kept."""
        return [one for one in tuple(self._messages) if one[0] > after]

    def close(self) -> None:
        """Write what waits, and close the history; groups go on, and keep what happens. A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5.0)
        for view in self._views:
            if isinstance(view, PageView):
                view.__exit__()
            elif isinstance(view, LinesView):
                view.close()
        self._dispatcher.settle()
        self._dispatcher.close()
