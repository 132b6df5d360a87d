"""A group of cameras in one process: an ordinary ``Watcher`` that goes on from the ledger's snapshots, and saves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from streamrec.commands.fleet.spec import GroupSpec
from streamrec.commands.listening import load_sound
from streamrec.commands.roster import Roster
from streamrec.core.memory import give_back
from streamrec.core.messages import why
from streamrec.core.redact import redact
from streamrec.errors import StateError, StreamrecError
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.outputs.fleet.outbox import Outbox
from streamrec.outputs.fleet.records import (
    SAVE_SECONDS,
    CameraStatus,
    LedgerAway,
    LedgerService,
    Picture,
    PictureRequest,
    SoundStatus,
)
from streamrec.outputs.fleet.saver import HeadClock, Offer, Saver, bring_abandoned
from streamrec.outputs.fleet.wire import PACKER
from streamrec.outputs.history.entry_builder import EntryBuilder
from streamrec.outputs.history.records import Entry, RemoteResult
from streamrec.outputs.plot import Plots
from streamrec.pipeline.snapshot import CameraSnapshot, bare
from streamrec.pipeline.watcher import Camera, Watcher
from streamrec.settings.cameras_file import watchfile_of
from streamrec.types import Health, Result
from streamrec.web.fleet_pictures import GroupPictures

_PLOT_SECONDS = 0.2  # between two plots of readings
_TICK = 0.1  # seconds: between two checks whether the group is to stop, when no frame comes
_PATIENCE = 2.0  # seconds that the cameras' threads have to end
_LAST_SECONDS = 10.0  # for the last save
_ABANDONED_SECONDS = 30.0  # between two searches for what other groups have left on this machine
_OFFERED = 200  # results without a save, after which the newest are offered


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a group runs."""

    machine: str
    folder: Path  # of the outboxes; relative paths of cameras.toml begin here
    unseal: Callable[[bytes], bytes]
    witness: Callable[[], bool] = lambda: False


class Group:
    """Runs a group until it is parked, stopped or superseded; ``run`` in a thread, all else from any thread.

    ``log`` gets messages; no secret of the settings is in them.
    """

    def __init__(
        self, spec: GroupSpec, ledger: LedgerService, place: Place, log: Callable[[str], object]
    ) -> None:
        self.spec, self._ledger, self._place = spec, ledger, place
        self._log = lambda text: log(redact(text, self._secrets))
        self._secrets: tuple[str, ...] = ()
        self._clock = HeadClock()
        self._outbox = Outbox(place.folder / "outbox" / f"{spec.name}.db", log=self._log)
        self._saver = Saver(
            ledger, self._outbox, spec.name, clock=self._clock, witness=place.witness, log=self._log
        )
        self._builder = EntryBuilder(self._clock, repeatable=True)
        self._watcher: Watcher | None = None
        self._roster: Roster | None = None
        self._snapshots: dict[str, CameraSnapshot] = {}  # from which cameras go on
        self._interrupted: list[str] = []
        self._results: list[RemoteResult] = []  # to be offered
        self._newest: dict[str, RemoteResult] = {}  # the same, of cameras without an event
        self._pictures = GroupPictures(clock=self._clock)
        self._unsaved: set[str] = set()  # cameras that have gone on since the last offer
        self._offered: set[str] = set()  # cameras whose snapshots this process has offered
        self._times = time.monotonic(), time.process_time()
        self._load = 0.0
        self._ending: str | None = None  # "park" or "stop"
        self._work: list[Callable[[], None]] = []  # for the thread that runs the watcher
        self._over = threading.Event()
        self._changed = threading.Lock()
        self._saving = threading.Thread(target=self._save_on, name=f"saver {spec.name}", daemon=True)
        self._done_saving = threading.Event()

    # -- in a thread of its own

    def run(self) -> None:
        """Watch until it is over."""
        try:
            if not self._begin():
                return
            self._saving.start()
            offered = time.monotonic()
            while self._ending is None and self._saver.superseded is None:
                self._do_work()
                if self._saver.cut_off and self._watcher is not None:
                    self._close_watcher()
                elif not self._saver.cut_off and self._watcher is None:
                    self._open_watcher()
                events = self._step()
                due = time.monotonic() - offered >= SAVE_SECONDS or self._unsaved - self._offered
                if events or due or len(self._results) > _OFFERED:
                    self._offer()
                    offered = time.monotonic()
            self._end()
        except Exception as error:  # whatever it is: it is reported, and Ray begins the group anew
            self._log(f"{self.spec.name}: {why(error)}")
            raise
        finally:
            self._done_saving.set()
            self._close_watcher()
            self._over.set()

    def _begin(self) -> bool:
        """Claim the group, for as long as it takes; whether it is to run."""
        while self._ending is None:
            try:
                claim, packed = self._saver.begin(self._place.machine, self.spec.cameras)
                break
            except LedgerAway as error:
                self._log(f"{self.spec.name}: {error}; it waits to begin")
                time.sleep(SAVE_SECONDS)
        else:
            return False
        for camera, body in packed.items():
            try:
                snapshot: CameraSnapshot = PACKER.unpack(body)
            except StateError as error:
                self._log(f"{camera}: {error}; it begins anew")
                continue
            self._snapshots[camera] = snapshot
        lost = [ids for camera, ids in claim.running.items() if camera not in self._snapshots]
        self._interrupted += [id for ids in lost for id in ids]
        self._open_watcher()
        return True

    def _open_watcher(self) -> None:
        self._watcher = Watcher()
        self._plots = Plots(self._watcher.sense_of, pause=_PLOT_SECONDS)  # of what has no picture
        options = self.spec.options
        self._roster = Roster(
            self._watcher,
            partial(options.load, Path(self.spec.file)),
            resume=self._resume,
            load_sound=partial(load_sound, engine=options.engine, device=options.device),
        )
        self._watch(self.spec)

    def _watch(self, spec: GroupSpec) -> str:
        assert self._roster is not None and self._watcher is not None
        path = self._place.folder / Path(spec.file).name
        data = PACKER.unpack(self._place.unseal(spec.settings))
        file = watchfile_of(data, path, os.environ, spec.options.tuned)
        self._secrets = tuple({*self._secrets, *file.secrets})
        done = self._roster.apply(self._roster.prepare(file, DispatchSettings()))
        self.spec = spec
        for camera in self._watcher.cameras:
            self._resumed(camera)
        self._pictures.keep(spec.cameras)
        return redact(done, self._secrets)

    def _resume(self, name: str) -> CameraSnapshot | None:
        """The snapshot of a camera, dated by the clock of this machine."""
        snapshot = self._snapshots.get(name)
        return None if snapshot is None else snapshot.shifted(-self._clock.offset)

    def _resumed(self, camera: Camera) -> None:
        """Go on with the events of a camera, or end them where nothing is remembered of them."""
        snapshot = self._snapshots.pop(camera.name, None)
        if snapshot is None or snapshot.open is None:
            return
        if camera.resumed is not None:
            self._builder.resume(camera.name, snapshot.open)
        else:
            running: dict[Any, Entry] = snapshot.open[0]
            self._interrupted += [entry.id for entry in running.values()]

    def _do_work(self) -> None:
        while self._work:
            self._work.pop(0)()

    def _step(self) -> bool:
        """One step of the watcher; whether something began or ended."""
        if self._watcher is None:
            time.sleep(_TICK)
            return False
        began = time.monotonic()
        results = self._watcher.step(_TICK)
        if not results and not self._watcher.cameras:
            time.sleep(max(0.0, began + _TICK - time.monotonic()))
        found = [self._note(result) for result in results]
        return any(found)

    def _note(self, result: Result) -> bool:
        camera = next((one for one in self._cameras() if one.name == result.frame.source), None)
        live = True if camera is None else camera.source.live
        models = [] if camera is None else list(camera.recognizer.configs)
        entries = self._builder.build(result, models[0] if len(models) == 1 else "", live=live)
        seen = self._builder.last_seen[result.frame.source]
        pictured = self._plots.pictured(result)
        values = {one.name: getattr(result, one.name) for one in fields(Result)}
        values["frame"] = bare(pictured.frame)  # of what has no picture it has the size of its plot
        remote = RemoteResult(**values, entries=tuple(entries), seen=seen)
        self._pictures.write(pictured)
        self._unsaved.add(result.frame.source)
        with self._changed:
            self._newest.pop(result.frame.source, None)
            if result.events:
                self._results.append(remote)
            else:
                self._newest[result.frame.source] = remote
        return bool(result.events)

    def _cameras(self) -> tuple[Camera, ...]:
        return () if self._watcher is None else self._watcher.cameras

    def _offer(self) -> None:
        """Hand what is new to the saver, with the snapshots that know it: between two steps."""
        snapshots: dict[str, CameraSnapshot] = {}
        for camera in self._cameras():
            if camera.name in self._unsaved and (snapshot := self._snapshot(camera)) is not None:
                snapshots[camera.name] = snapshot
        self._offered |= self._unsaved
        self._unsaved.clear()
        with self._changed:
            results = (*self._results, *self._newest.values())
            self._results, self._newest = [], {}
        interrupted, self._interrupted = tuple(self._interrupted), []
        self._measure()
        self._saver.offer(
            Offer(
                results=results,
                snapshots=snapshots,
                cameras=tuple(map(self._status, self._cameras())),
                load=self._load,
                memory=_memory(),
                interrupted=interrupted,
            )
        )

    def _measure(self) -> None:
        now = time.monotonic(), time.process_time()
        wall, used = now[0] - self._times[0], now[1] - self._times[1]
        if wall >= SAVE_SECONDS / 2:
            self._load, self._times = round(used / wall, 3), now

    def _status(self, camera: Camera) -> CameraStatus:
        health, counts, sound = camera.health, camera.counts, camera.sound
        return CameraStatus(
            name=camera.name,
            **self._state_of(health),
            fps=round(camera.rate, 2),
            read=counts.read,
            recognized=counts.recognized,
            dropped=dict(counts.dropped),
            refused=sum(health.refused.values()),
            reconnects=sum(health.reconnects.values()),
            sound=None
            if sound is None
            else SoundStatus(model=sound.name, dropped=sound.dropped, **self._state_of(sound.health)),
        )

    def _state_of(self, health: Health) -> dict[str, Any]:
        """State, reason and since when, by the head's clock."""
        ago = time.monotonic() - health.since if health.since else 0.0
        return {
            "state": str(health.state),
            "reason": redact(health.reason, self._secrets),
            "since": round(self._clock() - ago, 3),
        }

    def _close_watcher(self) -> None:
        """Stop reading, without an end for what runs; the snapshots stay."""
        if self._watcher is None:
            return
        watcher, self._watcher, self._roster = self._watcher, None, None
        snapshots = {camera.name: self._snapshot(camera) for camera in watcher.cameras}
        self._snapshots |= {name: one for name, one in snapshots.items() if one is not None}
        watcher.close(_PATIENCE)
        del watcher  # and with it the models
        give_back()

    def _snapshot(self, camera: Camera) -> CameraSnapshot | None:
        """What is remembered of a camera, dated by the head's clock."""
        snapshot = camera.snapshot(self._clock)
        if snapshot is None:
            return None
        if snapshot is camera.resumed:  # no frame came since
            snapshot = snapshot.shifted(self._clock.offset)
        return replace(snapshot, open=self._builder.memory(camera.name))

    def _end(self) -> None:
        """The last save: all that was watched is on the head's disk, or in the outbox."""
        if self._saver.superseded is not None:
            return
        if self._ending == "stop" and self._watcher is not None:
            self._watcher.stop()
            for result in self._watcher.step(0.0):
                self._note(result)
        self._offer()
        self._close_watcher()
        self._done_saving.set()
        self._saving.join(_LAST_SECONDS)
        self._outbox.close()

    def _save_on(self) -> None:
        last = False
        due = 0.0  # the next search for what other groups have left
        while not last:
            last = self._done_saving.is_set()  # what was offered before that is saved once more
            if not last:
                self._saver.wait(SAVE_SECONDS / 2)
            try:
                if self._saver.step() and time.monotonic() >= due:
                    due = time.monotonic() + _ABANDONED_SECONDS
                    self._bring_abandoned()
            except Exception as error:  # no error may end the thread
                self._log(f"{self.spec.name}: it could not save: {why(error)}")
                time.sleep(SAVE_SECONDS)
            if self._saver.superseded is not None:
                return

    def _bring_abandoned(self) -> None:
        try:
            count = bring_abandoned(self._ledger, self._outbox.path)
        except LedgerAway:
            return  # next time
        if count:
            self._log(f"{self._place.machine}: {count} events that waited here since a group moved away")

    # -- GroupService, from any thread

    @property
    def can_save(self) -> bool:
        """Whether it saved within the last two periods."""
        return self._saver.ago < 2 * SAVE_SECONDS

    @property
    def superseded(self) -> bool:
        """Whether another process has claimed the group."""
        return self._saver.superseded is not None

    def apply(self, spec: GroupSpec) -> str:
        """Watch other cameras from now on, or the same with other settings; what was done, in words.

        Raises ``StreamrecError``; then the cameras go on as they were.
        """
        answer: list[str | StreamrecError] = []
        done = threading.Event()

        def work() -> None:
            try:
                if self._watcher is None:  # it is cut off: the settings count when it goes on
                    self.spec = spec
                    answer.append("")
                else:
                    answer.append(self._watch(spec))
            except StreamrecError as error:
                answer.append(error)
            finally:
                done.set()

        self._work.append(work)
        if not done.wait(60.0):
            raise StreamrecError(f"{self.spec.name} does not answer")
        if isinstance(answer[0], StreamrecError):
            raise StreamrecError(redact(str(answer[0]), self._secrets))
        return answer[0]

    def park(self, patience: float = _LAST_SECONDS) -> bool:
        """Stop reading and save, without an end for what runs: another process goes on from there."""
        self._ending = self._ending or "park"
        return self._over.wait(patience)

    def stop(self, patience: float = _LAST_SECONDS) -> bool:
        """End what runs, and save."""
        self._ending = self._ending or "stop"
        return self._over.wait(patience)

    def picture(self, request: PictureRequest) -> Picture | None:
        """The newest picture of a camera; None: there is none yet, or none that is newer."""
        return self._pictures.picture(request)


def _memory() -> int:
    """Bytes of this process that are in memory; 0 where the system does not give it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
