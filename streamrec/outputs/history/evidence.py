"""Evidence: a small video of the seconds around an event, playable in browsers, and a thumbnail.

The last seconds of every camera are kept in memory as JPEG, limited in seconds and in bytes. When an event begins, a
thread writes them into an H.264 ``.mp4``, continues with new frames, and ends some seconds after the event. Overlapping
events of a camera share a video. Recognition is neither slowed nor stopped: where the thread cannot keep up, frames are
dropped and counted, and a full or read-only disk is reported.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from streamrec.core.files import PRIVATE_FILE, make_private_folder, open_private, replacing, too_open
from streamrec.core.locks import Held, Lock
from streamrec.core.messages import why
from streamrec.core.text import slug
from streamrec.errors import SinkError, StreamrecError
from streamrec.outputs.history.records import Announcement, Entry, Kind
from streamrec.outputs.history.store import History
from streamrec.outputs.privacy import shown_image, small_image
from streamrec.outputs.video_file import VideoFile
from streamrec.settings.evidence import EvidenceSettings, Privacy
from streamrec.sources.decoding import seconds_in
from streamrec.types import Frame, Result

_QUALITY = 80  # of the JPEG frames
_RING_BYTES = 16 << 20  # of one camera
_WAITING_BYTES = 96 << 20  # of frames that the thread has not processed yet
_THUMBNAIL_SIDE = 320
_TICK = 0.5  # seconds between two checks for silent cameras
_SILENT_SECONDS = 3.0  # without a frame: nothing more comes after the event
_PRUNE_SECONDS = 600.0
_GB = 1e9
_DAY = 86_400.0
_OWN = re.compile(r".+-([0-9a-f]{12}-[0-9a-f]{8})\.(mp4|jpg|part\.mp4|whole\.mp4|events\.json)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_OF_AN_EVENT = re.compile(
    r"[^/\\]*-[0-9a-f]{12}-[0-9a-f]{8}[\w.]*|\d{4}-\d\d-\d\d"
)  # the parts of a path that differ from file to file


@dataclass(frozen=True, slots=True)
class _Kept:
    """A kept frame: JPEG, and its result without the image."""

    result: Result
    jpeg: bytes


@dataclass(slots=True)
class _Recording:
    """A video that is being written."""

    path: Path
    video: VideoFile
    first: Frame
    entries: dict[str, float]  # event id: its start, in seconds of the video
    entry: dict[str, Entry]
    open: set[str]  # ids of running events
    left: float  # seconds still to record when no event runs
    seconds: float = 0.0
    last: Frame | None = None


@dataclass(slots=True)
class _Camera:
    ring: deque[_Kept] = field(default_factory=deque)
    bytes: int = 0
    recording: _Recording | None = None
    last_frame_at: float = 0.0  # time.monotonic()


class Evidence:
    """Keeps the last seconds of every camera and writes videos of events; give it each result and its announcements.

    ``on_evidence`` is called with each announcement of new evidence, ``warn`` with messages; both in the thread of
    this object. Raises ``SinkError`` where the folder cannot be written to.
    """

    def __init__(
        self,
        settings: EvidenceSettings,
        history: History,
        *,
        on_evidence: Callable[[Announcement], object] = lambda announcement: None,
        warn: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        self.settings = settings
        self.folder = Path(settings.folder).absolute()
        self._privacy: dict[str, Privacy] = {}  # of cameras with a setting of their own
        self._forget: set[str] = set()  # cameras whose privacy has changed
        self.left_out = 0  # frames dropped because the thread was too slow
        self._history = history
        self._on_evidence, self._warn = on_evidence, warn
        self._failures: set[str] = set()  # reported, and not over
        self._cameras: dict[str, _Camera] = {}
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Result, tuple[Announcement, ...]]] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._pruned = -math.inf  # time.monotonic()
        self._lock: Lock | None = None
        self._lock_folder()
        if (warning := too_open(self.folder)) is not None:
            self._warn(warning)
        newest = max((moment_of_id(id) for id, _, _ in self._files()), default=None)
        if newest is not None:
            history.suppose(newest)  # a new history does not know how old the evidence is
        self._recover()
        self._thread = threading.Thread(target=self._work, name="evidence", daemon=True)
        self._thread.start()

    def _lock_folder(self) -> None:
        """Create the folder where it is missing, and lock it: half-written videos in it are ours."""
        if self._lock is not None and self._lock.is_of(self.folder):
            return
        try:
            make_private_folder(self.folder)
            probe = self.folder / ".writable"
            open_private(probe).close()
            probe.unlink()
            if self._lock is not None:
                self._lock.release()
            self._lock = Lock(self.folder)
        except Held:
            raise SinkError(
                f"another streamrec keeps its evidence in {self.folder}; end it, or give this one a folder of its own"
            ) from None
        except OSError as error:
            raise SinkError(_cannot_write(self.folder, error)) from error

    def privacy_of(self, camera: str) -> Privacy:
        """What is kept of a camera's frames."""
        return self._privacy.get(camera, Privacy(self.settings.privacy))

    def set_privacy(self, camera: str, privacy: Privacy | None) -> None:
        """Change a camera's privacy, and forget its frames in memory. None: as the settings say."""
        with self._changed:
            before = self.privacy_of(camera)
            if privacy is None:
                self._privacy.pop(camera, None)
            else:
                self._privacy[camera] = privacy
            if self.privacy_of(camera) is not before:
                self._forget.add(camera)
                self._changed.notify_all()

    def write(self, result: Result, announced: tuple[Announcement, ...] = ()) -> None:
        """Take a result and its announcements; returns at once."""
        if self.privacy_of(result.frame.source) is Privacy.none:
            return
        size = result.frame.image.nbytes
        with self._changed:
            if self._closed:
                return
            if self._waiting_bytes + size > _WAITING_BYTES:
                self.left_out += 1
                if not announced:
                    return
            self._waiting.append((result, announced))
            self._waiting_bytes += size
            self._changed.notify_all()

    def close(self, patience: float = 20.0) -> None:
        """Finish the videos with the frames that have arrived; a second time does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(patience)
        if not self._thread.is_alive():
            if self._lock is not None:
                self._lock.release()
        else:
            raise SinkError(
                f"the evidence was not written within {patience:g} s; what there is plays: *.part.mp4 in {self.folder}"
            )

    # -- the thread

    def _work(self) -> None:
        over, left_out = False, 0
        while not over:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed or self._forget, _TICK)
                item = self._waiting.popleft() if self._waiting else None
                if item is not None:
                    self._waiting_bytes -= item[0].frame.image.nbytes
                over = self._closed and item is None
                forget, self._forget = self._forget, set()
            if self.left_out > left_out:
                left_out = self.left_out
                self._warn("the machine is too busy for all frames: the videos of events have gaps")
            for name in forget & set(self._cameras):
                with self._reporting():
                    self._finish(self._cameras[name])
                self._cameras[name] = _Camera()
            if item is not None:
                self._take(*item)
            now = time.monotonic()
            for camera in self._cameras.values():
                if over or now - camera.last_frame_at > _SILENT_SECONDS + self.settings.after:
                    with self._reporting():
                        self._finish(camera)
            if now - self._pruned > _PRUNE_SECONDS and not over:
                with self._reporting():
                    self._prune()

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Report an error, and go on with the next frame."""
        try:
            yield
        except StreamrecError as error:
            self._report(str(error))
        except OSError as error:
            self._report(_cannot_write(self.folder, error))
        except Exception as error:  # no error may end the thread: OpenCV, a frame of zero size
            self._report(f"the evidence cannot be kept: {type(error).__name__}: {error}")

    def _report(self, message: str) -> None:
        """Log a failure, unless the same of another file was logged since a video was last finished."""
        kind = _OF_AN_EVENT.sub("", message)
        if kind not in self._failures:
            self._failures.add(kind)
            self._warn(message)

    def _take(self, result: Result, announced: tuple[Announcement, ...]) -> None:
        frame = result.frame
        camera = self._cameras.setdefault(frame.source, _Camera())
        camera.last_frame_at = time.monotonic()
        if not result.repeated and self.privacy_of(frame.source) is not Privacy.none:
            with self._reporting():
                self._keep(camera, result)
                if camera.recording is not None:
                    self._extend(camera, camera.ring[-1])
        for announcement in announced:
            entry = announcement.entry
            of = self._cameras.get(entry.camera)
            if of is None or not of.ring:
                continue
            if announcement.kind is Kind.ended and of.recording is not None:
                of.recording.open.discard(entry.id)
            elif announcement.kind is Kind.started:
                with self._reporting():
                    self._begin(of, entry)

    def _keep(self, camera: _Camera, result: Result) -> None:
        frame, ring, privacy = result.frame, camera.ring, self.privacy_of(result.frame.source)
        fine, data = cv2.imencode(
            ".jpg", shown_image(result, self.settings.side, privacy), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        )
        if not fine:
            raise SinkError(f"{frame.source}: a frame could not be kept as JPEG")
        if ring and ring[-1].result.frame.segment != frame.segment:
            ring.clear()
            camera.bytes = 0
        bare = replace(result, frame=replace(frame, image=np.empty((0, 0, 3), np.uint8)))
        ring.append(_Kept(bare, data.tobytes()))
        camera.bytes += len(ring[-1].jpeg)
        # An event is reported some time after its start: the seconds before the start must still be here.
        oldest = frame.timestamp - self.settings.before - 3.0
        while len(ring) > 1 and (
            ring[0].result.frame.timestamp < oldest
            or ring[0].result.frame.timestamp > frame.timestamp
            or camera.bytes > _RING_BYTES
        ):
            camera.bytes -= len(ring.popleft().jpeg)

    def _begin(self, camera: _Camera, entry: Entry) -> None:
        frame = camera.ring[-1].result.frame
        self._write_thumbnail(entry, camera.ring[-1])
        recording = camera.recording
        if recording is not None:  # it shares the video
            at = recording.seconds
            if entry.timestamp is not None and recording.last is not None:
                at -= max(0.0, recording.last.timestamp - entry.timestamp)
            recording.entries[entry.id] = max(0.0, at)
            recording.entry[entry.id] = entry
            recording.open.add(entry.id)
            recording.left = self.settings.after
            self._note_events(recording)
            return
        self._lock_folder()
        self._make_room()
        began = frame.timestamp if entry.timestamp is None else entry.timestamp
        frames = [k for k in camera.ring if k.result.frame.timestamp >= began - self.settings.before]
        frames = frames or [camera.ring[-1]]
        first = frames[0].result.frame
        path = self._path(entry, "mp4")
        make_private_folder(path.parent)
        camera.recording = _Recording(
            path=path,
            video=VideoFile(path, overlay=self.settings.overlay),
            first=first,
            entries={entry.id: max(0.0, began - first.timestamp)},
            entry={entry.id: entry},
            open={entry.id},
            left=self.settings.after,
        )
        with contextlib.suppress(OSError):
            path.with_name(f"{path.stem}.part.mp4").chmod(PRIVATE_FILE)
        with self._reporting():
            self._note_events(camera.recording)
        for kept in frames:
            self._extend(camera, kept)

    def _note_events(self, recording: _Recording) -> None:
        """Note the events of a video beside it: after a kill each of them still gets the video and its place in it."""
        path = _events_of(recording.path)
        starts = {id: recording.entry[id].started - at for id, at in recording.entries.items()}
        try:
            with replacing(path, "w", private=True, fresh=True, sync=False) as file:
                json.dump(starts, file)
        except OSError as error:
            raise SinkError(_cannot_write(path, error)) from error

    def _extend(self, camera: _Camera, kept: _Kept) -> None:
        recording = camera.recording
        if recording is None:
            return
        frame = kept.result.frame
        if recording.last is not None:
            gone = frame.timestamp - recording.last.timestamp
            same = frame.segment == recording.last.segment and gone > 0
            recording.seconds += gone if same else 0.0
            if not recording.open:
                recording.left -= gone if same else 0.0
        if recording.left < 0 or recording.seconds > self.settings.longest:
            self._finish(camera)
            return
        try:
            recording.video.write(replace(kept.result, frame=replace(frame, image=_decoded(kept.jpeg))))
        except StreamrecError:
            with contextlib.suppress(StreamrecError):  # the same failure again; what was written is complete
                self._finish(camera)
            raise
        recording.last = frame

    def _finish(self, camera: _Camera) -> None:
        """Give the video its final name, and store it with its events."""
        recording, camera.recording = camera.recording, None
        if recording is None:
            return
        recording.video.close()
        if self._failures:
            self._failures.clear()
            self._warn(f"evidence is written again: {recording.path}")
        with contextlib.suppress(OSError):
            recording.path.chmod(PRIVATE_FILE)
        self._attach(
            recording.path, {id: recording.entry[id].started - at for id, at in recording.entries.items()}
        )
        self._prune()

    def _attach(self, clip: Path, starts: dict[str, float | None]) -> None:
        """Store the clip with its events; the note beside it is deleted when that is on the disk."""
        left = set(starts)

        def written(id: str) -> None:
            left.discard(id)
            if not left:
                with contextlib.suppress(OSError):
                    _events_of(clip).unlink(missing_ok=True)

        for id, began in starts.items():
            announcement = self._history.attach(id, clip=clip, clip_started=began, then=partial(written, id))
            if announcement is not None:
                self._on_evidence(announcement)

    def _write_thumbnail(self, entry: Entry, kept: _Kept) -> None:
        self._lock_folder()
        path = self._path(entry, "jpg")
        make_private_folder(path.parent)
        _, data = cv2.imencode(".jpg", small_image(_decoded(kept.jpeg), _THUMBNAIL_SIDE, Privacy.full))
        try:
            with replacing(path, private=True, fresh=True, sync=False) as file:
                file.write(data.tobytes())
        except OSError as error:
            raise SinkError(_cannot_write(path, error)) from error
        self._history.attach(entry.id, thumbnail=path)

    def _path(self, entry: Entry, ending: str) -> Path:
        day = datetime.fromtimestamp(entry.started, UTC).strftime("%Y-%m-%d")
        return self.folder / day / f"{slug(entry.camera)}-{slug(entry.label)}-{entry.id}.{ending}"

    # -- pruning

    def _files(self) -> list[tuple[str, int, Path]]:
        """Our own files, the oldest first: (event id, bytes, path). Other files and links are left alone.

        A file from the future was written when the clock was wrong: it counts as the oldest.
        """
        found: list[tuple[str, int, Path]] = []
        try:
            days = [*self.folder.iterdir()]
        except OSError:  # the folder was deleted: the next video creates it again
            return found
        for day in days:
            if not _DATE.fullmatch(day.name) or not day.is_dir() or day.is_symlink():
                continue
            for path in day.iterdir():
                name = _OWN.fullmatch(path.name)
                if name is not None and not path.is_symlink():
                    with contextlib.suppress(FileNotFoundError):
                        found.append((name[1], path.stat().st_size, path))
        now = time.time() + _DAY
        return sorted(found, key=lambda file: (moment_of_id(file[0]) <= now, file))

    def _prune(self, needed: float = 0.0) -> None:
        """Delete what is too old or exceeds the limit, the oldest first, and ``needed`` bytes more."""
        self._pruned = time.monotonic()
        files = self._files()
        now = {recording.path.stem for c in self._cameras.values() if (recording := c.recording) is not None}
        total = sum(size for _, size, _ in files)
        most = self.settings.max_gb * _GB if self.settings.max_gb > 0 else float("inf")
        oldest = self._history.oldest(self.settings.keep_days) if self.settings.keep_days > 0 else 0.0
        gone: list[Path] = []
        for id, size, path in files:
            if path.name.split(".")[0] in now:
                continue
            if moment_of_id(id) >= oldest and total <= most and needed <= 0:
                continue
            path.unlink(missing_ok=True)
            total, needed = total - size, needed - size
            gone.append(path)
        for folder in {path.parent for path in gone}:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        if gone:
            self._history.forget_files(gone)

    def _make_room(self) -> None:
        least = self.settings.leave_free_gb * _GB
        free = shutil.disk_usage(self.folder).free
        if free >= least:
            return
        self._prune(needed=least - free)
        if shutil.disk_usage(self.folder).free < least:
            raise SinkError(
                f"no evidence is written: the disk of {self.folder} has less than "
                f"{self.settings.leave_free_gb:g} GB free (leave_free_gb)"
            )

    def _recover(self) -> None:
        """Finish the videos of a killed process: they play, up to the last two seconds.

        The note beside a video names its events; a video with its final name and a note was finished just before the
        kill.
        """
        for id, size, path in self._files():
            if path.name.endswith(".whole.mp4") or (path.name.endswith(".part.mp4") and not size):
                path.unlink(missing_ok=True)
            elif path.name.endswith(".part.mp4"):
                whole = path.with_name(path.name.replace(".part.mp4", ".mp4"))
                path.replace(whole)
                with contextlib.suppress(OSError):
                    whole.chmod(PRIVATE_FILE)
                starts = _noted(_events_of(whole)) or {id: None}
                ends = seconds_in(whole)
                first = starts.get(id)
                if first is not None and ends is not None:  # events after the last frame are not in it
                    starts = {one: at for one, at in starts.items() if self._is_within(one, at, ends)} or {
                        id: first
                    }
                self._attach(whole, starts)
        for _, _, path in self._files():
            if path.name.endswith(".events.json"):
                clip = path.with_name(path.name.replace(".events.json", ".mp4"))
                starts = _noted(path)
                if clip.is_file() and starts:
                    self._attach(clip, starts)
                else:
                    path.unlink(missing_ok=True)

    def _is_within(self, id: str, clip_started: float | None, seconds: float) -> bool:
        """Whether an event began within the video."""
        entry = self._history.get(id)
        return entry is None or clip_started is None or entry.started - clip_started <= seconds


def _decoded(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None  # it was encoded here
    return image


def _events_of(clip: Path) -> Path:
    """The note beside a video while it is written: its events."""
    return clip.with_name(f"{clip.stem}.events.json")


def _noted(path: Path) -> dict[str, float | None]:
    """Event id: start of the video, seconds since 1970; empty where the note is missing or damaged."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(noted, dict):
        return {}
    return {
        id: float(at) if isinstance(at, int | float) and math.isfinite(at) else None
        for id, at in noted.items()
    }


def moment_of_id(id: str) -> float:
    """The start of the event with this id, seconds since 1970 (``records.new_id``)."""
    return int(id[:12], 16) / 1000


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write {path}: {why(error)}; choose another folder for the evidence"
