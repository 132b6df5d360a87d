"""The seconds before and after an event, as a small video that browsers play, and a thumbnail.

The last seconds of every camera are kept in memory as JPEG pictures, bounded in seconds and in bytes. When an event
begins, a thread of its own writes them into an H.264 ``.mp4``, goes on with what comes, and ends some seconds after
the event does. Events of a camera that overlap share a video. Nothing here slows the recognition or stops it: where
the thread cannot keep up pictures are left out and counted, and a disk that is full or not to be written to is told.
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
from streamrec.errors import SinkError, StreamrecError
from streamrec.outputs.history.records import Announcement, Entry, Kind
from streamrec.outputs.history.store import History
from streamrec.outputs.video_file import VideoFile
from streamrec.settings.outputs import EvidenceSettings, Privacy
from streamrec.sources.decoding import seconds_in
from streamrec.types import Frame, Result

_QUALITY = 80  # of the JPEG pictures
_RING_BYTES = 16 << 20  # of one camera
_WAITING_BYTES = 96 << 20  # of pictures that the thread has not looked at yet
_BLURRED = 4, 8  # pixels that are left of the short, of the long side at most; docs/events.md: what is seen
_THUMBNAIL_SIDE = 320
_TICK = 0.5  # seconds between two looks at whether a camera has gone silent
_SILENT_SECONDS = 3.0  # without a picture: nothing comes after the event
_PRUNE_SECONDS = 600.0
_GB = 1e9
_DAY = 86_400.0
_OWN = re.compile(r".+-([0-9a-f]{12}-[0-9a-f]{8})\.(mp4|jpg|part\.mp4|whole\.mp4|events\.json)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_OF_AN_EVENT = re.compile(
    r"[^/\\]*-[0-9a-f]{12}-[0-9a-f]{8}[\w.]*|\d{4}-\d\d-\d\d"
)  # what differs from file to file


@dataclass(frozen=True, slots=True)
class _Kept:
    """A picture as it is kept: JPEG, and the result that it belongs to, without its own picture."""

    result: Result
    jpeg: bytes


@dataclass(slots=True)
class _Recording:
    """A video that is being written."""

    path: Path
    video: VideoFile
    first: Frame
    entries: dict[str, float]  # event id: when it began, in seconds of the video
    entry: dict[str, Entry]
    open: set[str]  # ids of those that run
    rest: float  # seconds that are still to come when nothing runs
    seconds: float = 0.0
    last: Frame | None = None


@dataclass(slots=True)
class _Camera:
    ring: deque[_Kept] = field(default_factory=deque)
    bytes: int = 0
    recording: _Recording | None = None
    heard: float = 0.0  # time.monotonic() of the last picture


class Evidence:
    """Keeps the last seconds of every camera and writes videos of events; give it each result, and what was told.

    ``on_evidence`` is called with each announcement that evidence is there, ``warn`` with sentences; both in the
    thread of this object. Raises ``SinkError`` where the folder cannot be written to.
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
        self._privacy: dict[str, Privacy] = {}  # of cameras that say their own
        self._forget: set[str] = set()  # cameras whose privacy is another now
        self.left_out = 0  # pictures, because the thread was slower
        self._history = history
        self._on_evidence, self._warn = on_evidence, warn
        self._troubles: set[str] = set()  # told, and not over
        self._cameras: dict[str, _Camera] = {}
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Result, tuple[Announcement, ...]]] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._pruned = -math.inf  # time.monotonic()
        self._lock: Lock | None = None
        self._hold()
        if (sentence := too_open(self.folder)) is not None:
            self._warn(sentence)
        newest = max((moment_of_id(id) for id, _, _ in self._files()), default=None)
        if newest is not None:
            history.suppose(newest)  # a history that was begun anew does not know how old the evidence is
        self._recover()
        self._thread = threading.Thread(target=self._work, name="evidence", daemon=True)
        self._thread.start()

    def _hold(self) -> None:
        """Make the folder where it is not there, and be alone with it: the half-written videos are ours."""
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
        """What is kept of a camera's pictures."""
        return self._privacy.get(camera, Privacy(self.settings.privacy))

    def set_privacy(self, camera: str, privacy: Privacy | None) -> None:
        """From now on, so much is kept of a camera; what memory holds of it goes. None: as the settings say."""
        with self._changed:
            before = self.privacy_of(camera)
            if privacy is None:
                self._privacy.pop(camera, None)
            else:
                self._privacy[camera] = privacy
            if self.privacy_of(camera) is not before:
                self._forget.add(camera)
                self._changed.notify_all()

    def write(self, result: Result, told: tuple[Announcement, ...] = ()) -> None:
        """Take a result and what was announced with it; returns at once."""
        if self.privacy_of(result.frame.source) is Privacy.none:
            return
        size = result.frame.image.nbytes
        with self._changed:
            if self._closed:
                return
            if self._waiting_bytes + size > _WAITING_BYTES:
                self.left_out += 1
                if not told:
                    return
            self._waiting.append((result, told))
            self._waiting_bytes += size
            self._changed.notify_all()

    def close(self, patience: float = 20.0) -> None:
        """Write what was begun to its end, as far as pictures are there; a second time does nothing."""
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
                self._warn("the machine is too busy for all pictures: the videos of events have gaps")
            for name in forget & set(self._cameras):
                with self._warning():
                    self._finish(self._cameras[name])
                self._cameras[name] = _Camera()
            if item is not None:
                self._take(*item)
            now = time.monotonic()
            for camera in self._cameras.values():
                if over or now - camera.heard > _SILENT_SECONDS + self.settings.after:
                    with self._warning():
                        self._finish(camera)
            if now - self._pruned > _PRUNE_SECONDS and not over:
                with self._warning():
                    self._prune()

    @contextlib.contextmanager
    def _warning(self) -> Iterator[None]:
        """What goes wrong is told, and the next picture is another chance."""
        try:
            yield
        except StreamrecError as error:
            self._trouble(str(error))
        except OSError as error:
            self._trouble(_cannot_write(self.folder, error))
        except Exception as error:  # the thread outlives whatever it is: OpenCV, a picture of zero size
            self._trouble(f"the evidence cannot be kept: {type(error).__name__}: {error}")

    def _trouble(self, sentence: str) -> None:
        """Tell it, unless the same was told of another file since a video was written to its end."""
        kind = _OF_AN_EVENT.sub("", sentence)
        if kind not in self._troubles:
            self._troubles.add(kind)
            self._warn(sentence)

    def _take(self, result: Result, told: tuple[Announcement, ...]) -> None:
        frame = result.frame
        camera = self._cameras.setdefault(frame.source, _Camera())
        camera.heard = time.monotonic()
        if not result.repeated and self.privacy_of(frame.source) is not Privacy.none:
            with self._warning():
                self._keep(camera, result)
                if camera.recording is not None:
                    self._go_on(camera, camera.ring[-1])
        for announcement in told:
            entry = announcement.entry
            of = self._cameras.get(entry.camera)
            if of is None or not of.ring:
                continue
            if announcement.kind is Kind.ended and of.recording is not None:
                of.recording.open.discard(entry.id)
            elif announcement.kind is Kind.started:
                with self._warning():
                    self._begin(of, entry)

    def _keep(self, camera: _Camera, result: Result) -> None:
        frame, ring, privacy = result.frame, camera.ring, self.privacy_of(result.frame.source)
        fine, data = cv2.imencode(
            ".jpg", _small(frame.image, self.settings.side, privacy), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        )
        if not fine:
            raise SinkError(f"{frame.source}: a picture could not be kept as JPEG")
        if ring and ring[-1].result.frame.segment != frame.segment:
            ring.clear()
            camera.bytes = 0
        bare = replace(result, frame=replace(frame, image=np.empty((0, 0, 3), np.uint8)))
        ring.append(_Kept(bare, data.tobytes()))
        camera.bytes += len(ring[-1].jpeg)
        # An event is told some time after it began: what came before it is still to be there.
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
            recording.rest = self.settings.after
            self._note_events(recording)
            return
        self._hold()
        self._make_room()
        began = frame.timestamp if entry.timestamp is None else entry.timestamp
        pictures = [k for k in camera.ring if k.result.frame.timestamp >= began - self.settings.before]
        pictures = pictures or [camera.ring[-1]]
        first = pictures[0].result.frame
        path = self._path(entry, "mp4")
        make_private_folder(path.parent)
        camera.recording = _Recording(
            path=path,
            video=VideoFile(path, overlay=self.settings.overlay),
            first=first,
            entries={entry.id: max(0.0, began - first.timestamp)},
            entry={entry.id: entry},
            open={entry.id},
            rest=self.settings.after,
        )
        with contextlib.suppress(OSError):
            path.with_name(f"{path.stem}.part.mp4").chmod(PRIVATE_FILE)
        with self._warning():
            self._note_events(camera.recording)
        for kept in pictures:
            self._go_on(camera, kept)

    def _note_events(self, recording: _Recording) -> None:
        """Write down beside the video whose it is: after a kill all of them get it, and know where they are in it."""
        path = _events_of(recording.path)
        starts = {id: recording.entry[id].started - at for id, at in recording.entries.items()}
        try:
            with replacing(path, "w", private=True, fresh=True, sync=False) as file:
                json.dump(starts, file)
        except OSError as error:
            raise SinkError(_cannot_write(path, error)) from error

    def _go_on(self, camera: _Camera, kept: _Kept) -> None:
        recording = camera.recording
        if recording is None:
            return
        frame = kept.result.frame
        if recording.last is not None:
            gone = frame.timestamp - recording.last.timestamp
            same = frame.segment == recording.last.segment and gone > 0
            recording.seconds += gone if same else 0.0
            if not recording.open:
                recording.rest -= gone if same else 0.0
        if recording.rest < 0 or recording.seconds > self.settings.longest:
            self._finish(camera)
            return
        try:
            recording.video.write(replace(kept.result, frame=replace(frame, image=_decoded(kept.jpeg))))
        except StreamrecError:
            with contextlib.suppress(StreamrecError):  # the same trouble again, or what was written is whole
                self._finish(camera)
            raise
        recording.last = frame

    def _finish(self, camera: _Camera) -> None:
        """Give the video its name, and say where it is."""
        recording, camera.recording = camera.recording, None
        if recording is None:
            return
        recording.video.close()
        if self._troubles:
            self._troubles.clear()
            self._warn(f"evidence is written again: {recording.path}")
        with contextlib.suppress(OSError):
            recording.path.chmod(PRIVATE_FILE)
        self._attach(
            recording.path, {id: recording.entry[id].started - at for id, at in recording.entries.items()}
        )
        self._prune()

    def _attach(self, clip: Path, starts: dict[str, float | None]) -> None:
        """Tell the history whose clip it is; what is noted beside it goes when all of that is on the disk."""
        left = set(starts)

        def written(id: str) -> None:
            left.discard(id)
            if not left:
                with contextlib.suppress(OSError):
                    _events_of(clip).unlink(missing_ok=True)

        for id, began in starts.items():
            told = self._history.attach(id, clip=clip, clip_started=began, then=partial(written, id))
            if told is not None:
                self._on_evidence(told)

    def _write_thumbnail(self, entry: Entry, kept: _Kept) -> None:
        self._hold()
        path = self._path(entry, "jpg")
        make_private_folder(path.parent)
        _, data = cv2.imencode(".jpg", _small(_decoded(kept.jpeg), _THUMBNAIL_SIDE, Privacy.full))
        try:
            with replacing(path, private=True, fresh=True, sync=False) as file:
                file.write(data.tobytes())
        except OSError as error:
            raise SinkError(_cannot_write(path, error)) from error
        self._history.attach(entry.id, thumbnail=path)

    def _path(self, entry: Entry, ending: str) -> Path:
        day = datetime.fromtimestamp(entry.started, UTC).strftime("%Y-%m-%d")
        return self.folder / day / f"{_slug(entry.camera)}-{_slug(entry.label)}-{entry.id}.{ending}"

    # -- what is kept how long

    def _files(self) -> list[tuple[str, int, Path]]:
        """Our own files, the oldest first: (event id, bytes, path); others are not touched, and no link is followed.

        What is of a time that has not come yet was written when the clock was wrong: it counts as the oldest.
        """
        found: list[tuple[str, int, Path]] = []
        try:
            days = [*self.folder.iterdir()]
        except OSError:  # somebody deleted the folder: what is written next makes it again
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
        """Delete what is too old or too much, the oldest first; ``needed``: so many bytes more than that."""
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
        """A killed process left videos without their name: they play, up to the last two seconds.

        What it noted beside a video says whose it is; a video that has its name, and such a note, was finished just
        before the kill.
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
                if first is not None and ends is not None:  # what began after the last picture is not in it
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
        """Whether an event began while the video runs."""
        entry = self._history.get(id)
        return entry is None or clip_started is None or entry.started - clip_started <= seconds


def _small(image: np.ndarray, side: int, privacy: Privacy) -> np.ndarray:
    """(H, W, 3) with at most so many pixels on the long side, blurred where that is wanted."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    if privacy is Privacy.blur:
        # By the short side: that is what a face which fills the picture is limited by, of a part of it too.
        least = min(_BLURRED[0] / min(height, width), _BLURRED[1] / max(height, width))
        coarse = max(1, round(width * least)), max(1, round(height * least))
        return cv2.resize(_shrunk(image, coarse), size, interpolation=cv2.INTER_CUBIC)
    return image if scale == 1.0 else _shrunk(image, size)


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3): by halves as far as it goes, which is far quicker than one step."""
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        columns, rows = image.shape[1] // 2, image.shape[0] // 2
        image = cv2.resize(image[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    if (image.shape[1], image.shape[0]) == size:
        return image
    return cv2.resize(
        image, size, interpolation=cv2.INTER_LINEAR
    )  # less than twice: every pixel still counts


def _decoded(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None  # it was encoded here
    return image


def _events_of(clip: Path) -> Path:
    """What is noted beside a video while it is written: whose it is."""
    return clip.with_name(f"{clip.stem}.events.json")


def _noted(path: Path) -> dict[str, float | None]:
    """Event id: when the video begins, seconds since 1970; nothing where the note is not there or damaged."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(said, dict):
        return {}
    return {
        id: float(at) if isinstance(at, int | float) and math.isfinite(at) else None
        for id, at in said.items()
    }


def moment_of_id(id: str) -> float:
    """When the event of this id began, seconds since 1970 (``history.new_id``)."""
    return int(id[:12], 16) / 1000


def _slug(name: str) -> str:
    """A name as a part of a file's name.

    >>> _slug("Hof, hinten/../x")
    'Hof_hinten_x'
    """
    return re.sub(r"[^\w]+", "_", name).strip("_")[:40] or "_"


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write {path}: {why(error)}; choose another folder for the evidence"
