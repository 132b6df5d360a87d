"""The flight recorder: records all inputs and outputs of the recognizer, so that its steps can be replayed bit for bit.

``FlightRecorder.recorded(recognizer)`` is the same recognizer, whose steps are recorded: which frames of which cameras
were one batch, their timestamps, the state where it does not follow from the step before, the image, and the
prediction. ``replay`` runs the steps again and reports the first difference. The folder can go with a bug report.

A recording is a folder of parts, each about a minute long and complete by itself: ``part-000001.jsonl``, a line a step,
beside ``part-000001.bin``, the images and states. The oldest parts are deleted when they take too much space.
"""

from __future__ import annotations

import base64
import itertools
import json
import platform
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from streamrec.core.context import Closing
from streamrec.core.files import PRIVATE_FOLDER, make_private_folder, open_private, replacing
from streamrec.core.image import as_bgr
from streamrec.core.messages import explain_errors, shortened, why
from streamrec.core.reading import read_data, read_json
from streamrec.core.state import State
from streamrec.core.version import version_of
from streamrec.errors import DataError, SettingsError, SinkError, StateError
from streamrec.nn.transforms import Transform
from streamrec.runtime.checkpoint import SHIPPED, shipped_models
from streamrec.runtime.joint import open_models
from streamrec.runtime.recognizer import Recognizer, RecognizerWrapper, configs_of
from streamrec.types import VIDEO, ActionEnded, Event, Frame, Health, Prediction, Result

LAYOUT = 1
_PART_SECONDS = 60.0
_RETRY_SECONDS = 60.0  # after the disk was full
_GB = 1e9
# Limits of what a replay reads: a recording may come from a stranger.
_LONGEST_LINE = 16_000_000  # bytes
_MOST_MODELS, _MOST_FRAMES = 100, 1_000  # frames of one step
_LONGEST_SIDE, _MOST_PIXELS = 32_768, 100_000_000
_LARGEST = 2**63
_SLACK = 16_000_000  # bytes by which a state may be larger than its model's
_PART = re.compile(r"part-(\d{6})\.jsonl")


class Pictures(StrEnum):
    """Which images a recording holds."""

    none = "none"  # timestamps, states and predictions: to inspect, not to replay
    input = "input"  # at the size of the model's input: about 10 kB each
    full = "full"  # as they came, without loss: about 1 MB each


class FlightRecorder(Closing):
    """Records the steps of recognizers into a new folder below ``folder``. Any threads may use it, one at a time.

    A full disk stops the recording for a minute, never the recognition; ``warn`` is called with a message. Raises
    ``SinkError`` where nothing can be written at the start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pictures: Pictures | str = Pictures.input,
        max_gb: float = 1.0,
        warn: Callable[[str], object] = lambda message: None,
    ) -> None:
        if pictures not in tuple(Pictures):
            raise SinkError(f"pictures of a recording are {', '.join(Pictures)}, not {pictures!r}")
        self.unseen: set[str] = set()  # cameras whose images are not to be kept
        self._pictures, self._max_gb, self._warn = Pictures(pictures), max_gb, warn
        self._lock = threading.Lock()
        self._models: list[Recognizer] = []
        self._lines: IO[bytes] | None = None
        self._data: IO[bytes] | None = None
        self._begun = self._failed = -1e9  # time.monotonic()
        self._number = 0
        self._last: dict[
            str, State
        ] = {}  # of each camera, as the last step left it; empty when a part begins
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.folder = folder / stamp
        try:
            for number in range(2, 100):
                if not self.folder.exists():
                    break
                self.folder = folder / f"{stamp}-{number}"
            make_private_folder(folder)
            self.folder.mkdir(mode=PRIVATE_FOLDER)
            self._write_header()
        except OSError as error:
            raise SinkError(f"cannot record to {folder}: {why(error)}; choose another folder") from error

    def recorded(self, recognizer: Recognizer) -> Recognizer:
        """The same recognizer, whose steps are recorded; raises ``SinkError`` for one that takes no pictures."""
        if recognizer.sense != VIDEO:
            raise SinkError(f"--record keeps pictures, and {recognizer.name} takes none: leave it out")
        self._models.append(recognizer)
        self._write_header()
        return _Recorded(recognizer, self, len(self._models) - 1)

    def write(self, result: Result) -> None:
        """Record the events of a result, and how many frames were dropped before it."""
        if result.events:
            self._note(
                {
                    "type": "events",
                    "camera": result.frame.source,
                    "index": result.frame.index,
                    "dropped": result.dropped,
                    "events": [
                        {"event": "ended" if isinstance(e, ActionEnded) else "started", **_event(e)}
                        for e in result.events
                    ],
                }
            )

    def health(self, camera: str, health: Health) -> None:
        """Record the health of a camera."""
        self._note(
            {
                "type": "state", "camera": camera, "state": str(health.state), "frames": health.frames,
                "refused": dict(health.refused), "reconnects": dict(health.reconnects),
            }
        )  # fmt: skip

    def close(self) -> None:
        """Finish the part; a second time does nothing."""
        with self._lock:
            self._close_part()
            self._failed = float("inf")

    # -- the steps

    def note_step(
        self,
        model: int,
        frames: Sequence[Frame],
        before: Sequence[State],
        steps: Sequence[tuple[Prediction, State]],
    ) -> None:
        """Record one step of a recognizer: what it was given and what it returned."""
        with self._lock, self._tolerating():
            if not self._ready():
                return
            assert self._data is not None
            entries = []
            for frame, state, (prediction, after) in zip(frames, before, steps, strict=True):
                entry: dict[str, Any] = {
                    "camera": frame.source,
                    "index": int(frame.index),
                    "timestamp": float(frame.timestamp),
                    "segment": int(frame.segment),
                    "picture": self._put_picture(frame, model),
                    "said": _text(_probabilities(prediction)),
                    "after": digest_of(after),
                }
                if (phase := _phase(prediction)) is not None:
                    entry["phase"] = phase
                if self._last.get(frame.source) is not state:
                    kept = state if entry["picture"] is not None else _without_pictures(state)
                    entry["before"] = self._put(kept.to_bytes())
                self._last[frame.source] = after
                entries.append(entry)
            self._data.flush()  # before the line that refers to it
            self._put_line({"type": "step", "model": model, "time": round(time.time(), 3), "frames": entries})

    def _note(self, line: dict[str, Any]) -> None:
        with self._lock, self._tolerating():
            if self._ready():
                self._put_line({**line, "time": round(time.time(), 3)})

    def _put_picture(self, frame: Frame, model: int) -> list[int] | None:
        if self._pictures is Pictures.none or frame.source in self.unseen:
            return None
        image = as_bgr(frame.image)
        if (
            self._pictures is Pictures.input
            and (transform := _only_transform(self._models[model])) is not None
        ):
            image = transform.resize(image)
        return [*self._put(image.tobytes()), *image.shape[:2]]

    def _put(self, data: bytes) -> list[int]:
        assert self._data is not None
        packed = zlib.compress(data, 1)
        place = [self._data.tell(), len(packed)]
        self._data.write(packed)
        return place

    def _put_line(self, line: dict[str, Any]) -> None:
        assert self._lines is not None
        self._lines.write(json.dumps(line).encode() + b"\n")
        self._lines.flush()

    # -- the parts

    def _ready(self) -> bool:
        """Whether there is a part to write to; begins a new one when the last is old enough."""
        now = time.monotonic()
        if now - self._failed < _RETRY_SECONDS:
            return False
        if self._lines is None or now - self._begun >= _PART_SECONDS:
            self._close_part()
            self._number += 1
            path = self.folder / f"part-{self._number:06d}.jsonl"
            self._data = open_private(path.with_suffix(".bin"), "wb")
            self._lines = open_private(path, "wb")
            self._begun = now
            self._last.clear()
            self._prune()
        return True

    def _close_part(self) -> None:
        for file in (self._data, self._lines):
            if file is not None:
                file.close()
        self._data = self._lines = None

    def _prune(self) -> None:
        """Delete the oldest parts of all recordings in the folder when it is too large."""
        total = 0.0
        # This recording is the newest, whatever the system's clock was when it or another one began.
        for path in sorted(
            self.folder.parent.glob("*/part-*.bin"),
            key=lambda path: (path.parent == self.folder, path),
            reverse=True,
        ):
            lines = path.with_suffix(".jsonl")
            total += path.stat().st_size + (lines.stat().st_size if lines.exists() else 0)
            if total > self._max_gb * _GB and (path.parent, path.stem) != (
                self.folder,
                f"part-{self._number:06d}",
            ):
                lines.unlink(missing_ok=True)
                path.unlink(missing_ok=True)

    def _write_header(self) -> None:
        header = {
            "layout": LAYOUT,
            "streamrec": version_of(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "packages": {
                name: version_of(name) for name in ("numpy", "onnxruntime", "opencv-python", "torch")
            },
            "pictures": str(self._pictures),
            "counts": True,  # checksums of states are with the counts of each person
            "models": [
                {
                    "name": m.name,
                    "engine": m.engine,
                    "device": m.device,
                    "labels": _labels(m),
                    **({"people": True} if m.finds_people else {}),
                    **({"per_person": True} if m.per_person else {}),
                }
                for m in self._models
            ],
        }
        with replacing(self.folder / "flight.json", "w", private=True, encoding="utf-8") as file:
            file.write(json.dumps(header, indent=2) + "\n")

    @contextmanager
    def _tolerating(self) -> Iterator[None]:
        """An error of the disk is reported; recognition goes on."""
        try:
            yield
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Stop for a minute."""
        self._failed = time.monotonic()
        try:
            self._close_part()
        except OSError:  # what its buffer held cannot be written either
            self._data = self._lines = None
        self._warn(f"the recording to {self.folder} stops for a minute: {why(error)}")


class _Recorded(RecognizerWrapper):
    """A recognizer whose steps are recorded."""

    def __init__(self, recognizer: Recognizer, recorder: FlightRecorder, model: int) -> None:
        super().__init__(recognizer)
        self._recorder, self._model = recorder, model

    def on_step(
        self,
        frames: Sequence[Frame],
        states: Sequence[State],
        steps: Sequence[tuple[Prediction, State]],
    ) -> None:
        """Record it."""
        self._recorder.note_step(self._model, frames, states, steps)


# -- replay


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of a replay."""

    steps: int  # that were run again
    frames: int
    unseen: int  # frames without an image, which cannot be replayed
    difference: str | None  # the first, as a message; None: all is as it was, bit for bit
    notes: tuple[str, ...] = ()  # packages whose versions differ from those of the recording


def load_recorded(name: str, engine: str, people: bool = False, per_person: bool = False) -> Recognizer:
    """The shipped model that a recording names, which found ``people`` and judged each, or not.

    Raises ``DataError`` for any other.

    A recording may come from a stranger, so a name in it is never taken as a path on this machine.
    """
    names = name.split("+")  # of several models on one stream
    if not set(names) <= set(shipped_models()):
        raise DataError(
            f"the recording was made with the model {shortened(name)}, which does not come with streamrec: "
            "say with --model which file it is"
        )
    files = [SHIPPED / f"{one}.safetensors" for one in names]
    return open_models(files, engine=engine, people=people, per_person=per_person)


def replay(folder: Path, load: Callable[..., Recognizer] = load_recorded) -> Replayed:
    """Run all steps of a recording again. ``load``: a model's name and engine -> the recognizer to run them with.

    Where the recording has people, ``load`` is called with ``people=True`` as well, and where each was judged with
    ``per_person=True``.

    Raises ``DataError`` where there is no recording, one without images, or one that is damaged.
    """
    with explain_errors(folder, DataError):
        return _replay(_recording(folder), load)


def _replay(folder: Path, load: Callable[..., Recognizer]) -> Replayed:
    header = _header(folder)
    if header["pictures"] == Pictures.none:
        raise DataError(f"{folder} holds no pictures (--record-pictures none): it cannot be replayed")
    recognizers = [
        load(
            model["name"],
            model["engine"],
            **{key: True for key in ("people", "per_person") if model.get(key) is True},
        )
        for model in header["models"]
    ]
    notes = [
        f"{name} was {then} then, and is {version_of(name)} now"
        for name, then in header["packages"].items()
        if then != version_of(name)
    ]
    states: dict[str, State] = {}
    steps = frames = unseen = 0
    for where, line, data in _steps(folder):
        if line["model"] not in range(len(recognizers)) or isinstance(line["model"], bool):
            raise DataError(f"{where}: the recording has no model {shortened(line['model'])}; it is damaged")
        recognizer = recognizers[line["model"]]
        known = [entry for entry in line["frames"] if entry["picture"] is not None]
        unseen += len(line["frames"]) - len(known)
        if not known:
            continue
        for entry in line["frames"]:
            if "before" in entry:
                states[entry["camera"]] = _state(entry["before"], data, recognizer, where)
        ready = [entry for entry in line["frames"] if entry["camera"] in states]
        # A batch of another size may round differently: all take part, also frames whose image was not kept.
        try:
            outputs = recognizer.step_many(
                [_frame(entry, data, recognizer, where) for entry in ready],
                [states[entry["camera"]] for entry in ready],
            )
        except StateError as error:
            raise DataError(f"{recognizer.name} is another model than the one that was recorded") from error
        steps += 1
        for entry, (prediction, state) in zip(ready, outputs, strict=True):
            if entry["picture"] is None:
                continue
            frames += 1
            states[entry["camera"]] = state
            digest = digest_of(state, counted=header.get("counts") is True)
            difference = _difference(entry, prediction, digest, _labels(recognizer))
            if difference is not None:
                return Replayed(steps, frames, unseen, f"{where}: {difference}", tuple(notes))
    if not frames and not unseen:
        raise DataError(f"the recording {folder} holds no frame")
    if not frames:
        raise DataError(f"{folder} holds no picture, for the cameras' privacy: it cannot be replayed")
    return Replayed(steps, frames, unseen, None, tuple(notes))


def _recording(folder: Path) -> Path:
    """The folder itself, or the newest recording in it."""
    if (folder / "flight.json").is_file():
        return folder
    inside = sorted(path.parent for path in folder.glob("*/flight.json"))
    if not inside:
        raise DataError(
            f"there is no recording in {folder}; `streamrec run` and `watch` make one with --record"
        )
    return inside[-1]


def _header(folder: Path) -> dict[str, Any]:
    """The header in flight.json, with all that a replay needs; raises ``DataError``."""
    path = folder / "flight.json"
    try:
        header = read_json(read_data(path))
    except SettingsError as error:
        raise DataError(str(error)) from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    whole = isinstance(header, dict) and header.keys() >= {"layout", "pictures", "models", "packages"}
    if whole and isinstance(header["layout"], int) and header["layout"] > LAYOUT:
        raise DataError(f"{folder} was recorded by a newer streamrec: upgrade streamrec")
    if not (
        whole
        and type(header["layout"]) is int
        and header["layout"] >= 1
        and header["pictures"] in tuple(Pictures)
        and isinstance(header["packages"], dict)
        and isinstance(header["models"], list)
        and len(header["models"]) <= _MOST_MODELS
        and all(
            isinstance(model, dict)
            and isinstance(model.get("name"), str)
            and model.get("engine") in ("onnx", "torch")
            for model in header["models"]
        )
    ):
        raise DataError(f"{path} is damaged: it is no header of a recording")
    return header


def _steps(folder: Path) -> Iterator[tuple[str, dict[str, Any], BinaryIO]]:
    """Place (file and line), step, and data of its part; a last line that was cut short by a kill is left out."""
    parts = sorted(p for p in folder.iterdir() if _PART.fullmatch(p.name) and p.with_suffix(".bin").exists())
    if not parts:
        raise DataError(f"the recording {folder} holds no step")
    for path in parts:
        for file in (path, path.with_suffix(".bin")):
            if not file.is_file():  # a pipe: opening it would wait for ever
                raise DataError(f"{file} is no file; the recording is damaged")
        with path.with_suffix(".bin").open("rb") as data, path.open("rb") as lines:
            for number in itertools.count(1):
                line = lines.readline(_LONGEST_LINE)
                where = f"{path.name}, line {number}"
                if not line.endswith(b"\n"):
                    if len(line) == _LONGEST_LINE:
                        raise DataError(f"{where}: it is longer than any; the recording is damaged")
                    break
                try:
                    values = read_json(line, strict=False)
                except ValueError as error:
                    raise DataError(f"{where}: this is no JSON; the recording is damaged") from error
                if not isinstance(values, dict) or "type" not in values:
                    raise DataError(f"{where}: this is no line of a recording; it is damaged")
                if values["type"] == "step":
                    _check_step(values, where)
                    yield where, values, data


def _check_step(line: dict[str, Any], where: str) -> None:
    """Check that a step holds all that a replay needs, in the right types; raises ``DataError``."""

    def place(numbers: object, count: int) -> bool:
        return (
            isinstance(numbers, list)
            and len(numbers) == count
            and all(type(number) is int and 0 <= number < _LARGEST for number in numbers)
        )

    def good(entry: object) -> bool:
        return (
            isinstance(entry, dict)
            and entry.keys() >= {"camera", "index", "timestamp", "segment", "picture", "said", "after"}
            and isinstance(entry["camera"], str)
            and isinstance(entry["said"], str)
            and all(type(entry[key]) is int and abs(entry[key]) < _LARGEST for key in ("index", "segment"))
            and isinstance(entry["timestamp"], int | float)
            and not abs(entry["timestamp"]) >= _LARGEST
            and (entry["picture"] is None or place(entry["picture"], 4))
            and ("before" not in entry or place(entry["before"], 2))
        )

    frames = line.get("frames")
    if "model" not in line or not isinstance(frames, list) or len(frames) > _MOST_FRAMES:
        raise DataError(f"{where}: this is no step; the recording is damaged")
    for entry in frames:
        if not good(entry):
            raise DataError(f"{where}: a frame lacks what belongs to it; the recording is damaged")


def _take(data: BinaryIO, offset: int, length: int, most: int, where: str) -> bytes:
    """Unpack what is stored there; neither the packed nor the unpacked bytes may exceed their limit."""
    damaged = DataError(f"{where}: a picture or a state of the recording is damaged")
    if length > most + 1_000:  # zlib grows data that it cannot shrink by a few bytes only
        raise damaged
    data.seek(offset)
    unpacker = zlib.decompressobj()
    try:
        whole = unpacker.decompress(data.read(length), most + 1)
    except zlib.error as error:
        raise damaged from error
    if len(whole) > most or not unpacker.eof:
        raise damaged
    return whole


def _state(place: list[int], data: BinaryIO, recognizer: Recognizer, where: str) -> State:
    """A stored state, of about the size of its model's; that of another model is found out by the step."""
    most = len(recognizer.initial_state().to_bytes()) + _SLACK
    try:
        return State.from_bytes(_take(data, place[0], place[1], most, where))
    except StateError as error:
        raise DataError(f"{where}: {error}") from error


def _frame(entry: dict[str, Any], data: BinaryIO, recognizer: Recognizer, where: str) -> Frame:
    if entry["picture"] is None:
        transform = recognizer.config.pictures
        image = np.zeros((transform.height, transform.width, 3), np.uint8)
    else:
        offset, length, height, width = entry["picture"]
        if not (
            0 < height <= _LONGEST_SIDE and 0 < width <= _LONGEST_SIDE and height * width <= _MOST_PIXELS
        ):
            raise DataError(f"{where}: a picture of {width}x{height} is none; the recording is damaged")
        packed = _take(data, offset, length, 3 * height * width, where)
        if len(packed) != 3 * height * width:
            raise DataError(f"{where}: a picture of the recording is damaged")
        image = np.frombuffer(packed, np.uint8).reshape(height, width, 3)
    return Frame(image, entry["index"], entry["timestamp"], entry["segment"], entry["camera"])


def _difference(
    entry: dict[str, Any], prediction: Prediction, digest: int, labels: Sequence[str]
) -> str | None:
    try:
        then = np.frombuffer(base64.b64decode(entry["said"]), np.float32)
    except ValueError as error:
        raise DataError("the prediction of a frame is damaged in the recording") from error
    now = np.asarray(_probabilities(prediction), np.float32)
    where = f"{entry['camera']}, frame {entry['index']} at {entry['timestamp']:.3f} s"
    if then.shape != now.shape:
        return f"{where}: {len(then)} labels then, {len(now)} now: it is another model"
    if then.tobytes() != now.tobytes():
        most = int(np.argmax(np.abs(then - now)))
        return f"{where}: {labels[most]} was {then[most]:.9g} then, and is {now[most]:.9g} now"
    if (phase := _phase(prediction)) is not None and phase != entry.get("phase"):
        return f"{where}: the phase was {entry.get('phase')} then, and is {phase} now"
    if digest != entry["after"]:
        return f"{where}: the prediction is the same, but the state after it differs"
    return None


def _without_pictures(state: State) -> State:
    """The state without its encoder's cache, which may hold an image."""
    return replace(state, cache=tuple(np.zeros_like(array) for array in state.cache))


def digest_of(state: State, *, counted: bool = True) -> int:
    """A checksum of the state's arrays; ``counted``: with the counts of each person."""
    digest = 0
    counts = (own[name] for own in state.counts if counted for name in sorted(own))
    for array in (
        *state.head,
        *state.cache,
        *state.tracks,
        *state.persons,
        *counts,
        state.clock,
        state.segment,
    ):
        digest = zlib.crc32(np.ascontiguousarray(array).tobytes(), digest)
    return digest


def _labels(recognizer: Recognizer) -> list[str]:
    """Of all its models, in the order of ``_probabilities``."""
    return [label for config in configs_of(recognizer).values() for label in config.labels]


def _probabilities(prediction: Prediction) -> np.ndarray:
    """(labels,) of all models."""
    each = [one.probabilities for one in prediction.each]
    return each[0] if len(each) == 1 else np.concatenate(each)


def _phase(prediction: Prediction) -> list[float] | None:
    """Cosine and sine of each model that counts; None: none does."""
    found = [number for one in prediction.each if one.phase is not None for number in one.phase]
    return found or None


def _only_transform(recognizer: Recognizer) -> Transform | None:
    """What its models make of a frame; None where they make different images of it."""
    transforms = [config.pictures for config in configs_of(recognizer).values()]
    sizes = {(one.height, one.width, one.fit) for one in transforms}
    return transforms[0] if len(sizes) == 1 else None


def _event(event: Event) -> dict[str, Any]:
    values = asdict(event)
    del values["keypoints"]  # what a replay compares is the state, which has them
    if not event.model:
        del values["model"]
    return values


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.asarray(array, np.float32).tobytes()).decode()
