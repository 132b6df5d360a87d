"""Recording labelled clips of a person before a camera: frames and keys in, clips and cues out."""

from __future__ import annotations

import csv
import os
import random
import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from streamrec.core.csv_tables import read_table
from streamrec.core.files import make_private_folder, replacing
from streamrec.core.messages import why
from streamrec.core.reading import path_of
from streamrec.errors import DataError, StreamrecError
from streamrec.outputs.video_file import VideoFile
from streamrec.sources.files import VIDEO_ENDINGS
from streamrec.types import Frame, Prediction, Result

INDEX = "index.csv"


COLUMNS = ("clip", "label", "group")


KEYS = "space pauses, 1-9 choose the label, r repeats the last clip, q ends"


_NOTHING = Prediction("", 0.0, np.zeros(0, np.float32), 0.0)


_NAME_LENGTH = 60  # characters: label and person become names of files


def parse_labels(text: str) -> tuple[str, ...]:
    """The labels of a list with commas between; raises ``DataError`` for one that cannot name a folder.

    >>> parse_labels("wave, clap,nothing")
    ('wave', 'clap', 'nothing')
    """
    labels = tuple(part.strip() for part in text.split(","))
    for label in labels:
        _check_name(label, "--labels")
    folded = Counter(label.casefold() for label in labels)
    twice = [label for label in labels if folded[label.casefold()] > 1]
    if twice:
        raise DataError(f"--labels {text}: {twice[-1]} stands there twice; name each label once")
    return labels


def _check_name(name: str, option: str) -> None:
    if not name:
        raise DataError(f"{option}: a name is empty; give names with commas between, like wave,clap,nothing")
    # What Windows forbids too: a folder of clips is carried from one machine to another.
    if re.search(r'[/\\<>:"|?*,]', name) or not name.isprintable() or name[0] in ".-" or name[-1] == ".":
        raise DataError(
            f"{option}: {name!r} cannot name a folder; use letters, digits, spaces, - and _, like hand_wash"
        )
    if len(name) > _NAME_LENGTH:
        raise DataError(f"{option}: {name[:20]}... has {len(name)} letters; {_NAME_LENGTH} are allowed")


@dataclass(frozen=True, slots=True)
class Session:
    """One person before one camera in one light, once: a fair split never divides it.

    With ``alone`` each number is another person, like the bodies of the synthetic world.

    >>> Session("me", 2).name(7), Session("me", 2).group(7), Session("body", 1, alone=True).group(7)
    ('me-2-07', 'me-2', 'body-1-07')
    """

    person: str
    number: int
    alone: bool = False

    def name(self, clip: int) -> str:
        """File name of the session's clip of this number, without its ending."""
        return f"{self.person}-{self.number}-{clip:02}"

    def group(self, clip: int) -> str:
        """The group of the clip, for splits."""
        return self.name(clip) if self.alone else f"{self.person}-{self.number}"


class ClipFolder:
    """A folder with one folder of clips a label, and an ``index.csv`` with the label and group of each.

    The index is replaced as a whole at each change: it is never half written. Other rows and columns in
    it stay. Where there are clips but no index yet, they are listed as ``find_clips`` finds them.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path_of(str(path))
        self._index = self.path / INDEX
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{self.path} is a file; name a folder for the clips")
        if self._index.exists():
            self._columns, self._rows = _read_index(self._index)
            return
        self._columns = list(COLUMNS)
        self._rows = [
            {"clip": self._listed(clip), "label": label.name, "group": f"{label.name}/{clip.name}"}
            for label in sorted(self.path.glob("[!.]*"))
            for clip in sorted(label.rglob("*"))
            if clip.suffix.lower() in VIDEO_ENDINGS
        ]

    def counts(self) -> Counter[str]:
        """How many clips each label has; rows without their file do not count."""
        return Counter(row["label"] for row in self._rows if self._is_there(row))

    def made(self, person: str) -> dict[int, Counter[str]]:
        """How many clips each label has in each session of a person."""
        found: dict[int, Counter[str]] = {}
        for row in filter(self._is_there, self._rows):
            name = re.fullmatch(rf"{re.escape(person)}-(\d+)-\d+", Path(row["clip"]).stem)
            if name:
                found.setdefault(int(name[1]), Counter())[row["label"]] += 1
        return found

    def free(self, label: str, session: Session) -> int:
        """The lowest number that no clip of this label and session has."""
        number = 1
        while self.path_of(label, session, number).exists():
            number += 1
        return number

    def path_of(self, label: str, session: Session, number: int) -> Path:
        """The path of a clip."""
        return self.path / label / f"{session.name(number)}.mp4"

    def add(self, clip: Path, label: str, group: str) -> None:
        """List a clip."""
        row = dict.fromkeys(self._columns, "") | {"clip": self._listed(clip), "label": label, "group": group}
        self._write([old for old in self._rows if old["clip"] != row["clip"]] + [row])

    def remove(self, clip: Path) -> None:
        """Delete a clip, and take it off the list."""
        self._write([row for row in self._rows if row["clip"] != self._listed(clip)])
        clip.unlink(missing_ok=True)

    def _listed(self, clip: Path) -> str:
        return clip.relative_to(self.path).as_posix()

    def _is_there(self, row: dict[str, str]) -> bool:
        return (self.path / row["clip"]).is_file()

    def _write(self, rows: list[dict[str, str]]) -> None:
        with replacing(self._index, "w", private=True, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        self._rows = rows


def _read_index(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        columns, rows = read_table(path, COLUMNS)
    except DataError as error:
        raise DataError(f"{error}; mend it or move it away") from error
    if not set(COLUMNS) <= set(columns):
        raise DataError(f"{path} has not the columns {','.join(COLUMNS)}; mend it or move it away")
    return columns, [row for _, row in rows]


def session_of(
    folder: ClipFolder,
    person: str,
    labels: tuple[str, ...],
    *,
    clips: int,
    new: bool = False,
    alone: bool = False,
) -> Session:
    """The person's last session where it still lacks clips, else the next one."""
    made = folder.made(person)
    last = max(made, default=0)
    unfinished = last > 0 and any(made[last][label] < clips for label in labels)
    return Session(person, last if unfinished and not new else last + 1, alone)


def order_of(missing: dict[str, int], *, mixed: bool, rng: random.Random) -> list[str]:
    """Which label comes when. Mixed: rounds of all labels, each in random order, so that neither getting tired
    nor the changing light belongs to one label.

    >>> order_of({"wave": 2, "clap": 1}, mixed=False, rng=random.Random(0))
    ['wave', 'wave', 'clap']
    """
    if not mixed:
        return [label for label, count in missing.items() for _ in range(count)]
    order = []
    for turn in range(max(missing.values(), default=0)):
        labels = [label for label, count in missing.items() if count > turn]
        rng.shuffle(labels)
        order += labels
    return order


class Phase(StrEnum):
    """The progress of a recording."""

    COUNTDOWN = "countdown"
    RECORDING = "recording"
    PAUSED = "paused"
    OVER = "over"  # all is recorded; the last clip can still be repeated
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown to the person at a frame."""

    phase: Phase
    label: str  # that is recorded, or comes next
    left: float  # seconds until the phase ends
    lasts: float  # seconds that the phase has in all; 0 where nothing ends it
    number: int  # of the clip that is recorded or comes next, from 1
    of: int  # clips that were asked for


class Recorder:
    """Frames in, clips and cues out. The frames' own clock is the only one: countdown and length follow it.

    ``press`` takes a key at any moment; ``end`` says that no frame will come; ``close`` removes an
    unfinished clip. A clip across which the stream broke (another segment, a clock that went back) is
    removed and recorded anew.
    """

    def __init__(
        self,
        folder: ClipFolder,
        session: Session,
        labels: list[str],
        *,
        seconds: float,
        countdown: float,
        names: Sequence[str] = (),
        log: Callable[[str], object] = lambda message: None,
    ) -> None:
        """``labels``: one for each clip, in order; ``names``: what the keys 1 to 9 choose."""
        self.session = session
        self.clips = 0  # recorded and kept
        self._folder = folder
        self._left = deque(labels)
        self._names = tuple(names)
        self._made: list[tuple[Path, str]] = []
        self._seconds, self._countdown = seconds, countdown
        self._phase = Phase.COUNTDOWN if labels else Phase.DONE
        self._since: float | None = None  # when the phase began; None: with the next frame
        self._last: tuple[int, float] | None = None  # segment and time of the last frame
        self._writing: _Writing | None = None
        self._log = log

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self._phase is Phase.DONE

    @property
    def next(self) -> tuple[str, int]:
        """The label that comes next, and the number that its clip will have in the session."""
        return self._left[0], self._folder.free(self._left[0], self.session)

    def step(self, frame: Frame) -> Cue:
        """Take the next frame: it is written where a clip is being recorded."""
        last, self._last = self._last, (frame.segment, frame.timestamp)
        if last is not None and (frame.segment != last[0] or frame.timestamp < last[1]):
            if self._phase is Phase.RECORDING:
                self._log(f"the stream broke off: {self._left[0]} once more")
            self._restart(self._phase is Phase.PAUSED)
        if self._since is None:
            self._since = frame.timestamp
        if self._phase is Phase.RECORDING and self._passed(frame, self._seconds):
            self._finish()
            self._enter(Phase.COUNTDOWN if self._left else Phase.OVER, frame.timestamp)
        if self._phase is Phase.COUNTDOWN and self._passed(frame, self._countdown):
            self._enter(Phase.RECORDING, frame.timestamp)
            label, number = self.next
            self._writing = _Writing(self._folder.path_of(label, self.session, number), number)
        if self._phase is Phase.OVER and self._passed(frame, self._countdown):
            self._enter(Phase.DONE)
        if self._writing is not None:
            self._writing.write(frame)
        return self._cue(frame.timestamp)

    def press(self, key: str) -> None:
        """Take a key: space or Enter, r, q, the number of a label; any other does nothing."""
        if self.done or not key:
            return
        paused = self._phase is Phase.PAUSED
        if key in " \r\n":
            self._restart(not paused)
        elif key in "rR":
            if self._phase is not Phase.RECORDING and self._made:
                clip, label = self._made.pop()
                self._folder.remove(clip)
                self.clips -= 1
                self._left.appendleft(label)
                self._log(f"removed {clip}: {label} once more")
            self._restart(paused)
        elif key in "123456789":
            self._choose(int(key) - 1)
        elif key in "qQ":
            self.close()
            self._enter(Phase.DONE)

    def _choose(self, place: int) -> None:
        """Let the next clip be of this label, the first being 0; of one that lacks none nothing changes."""
        if self._phase is Phase.RECORDING or place >= len(self._names):
            return
        label = self._names[place]
        if label not in self._left:
            self._log(f"{label} has all its clips")
            return
        if self._left[0] != label:
            self._left.remove(label)
            self._left.appendleft(label)
        self._enter(Phase.COUNTDOWN)

    def end(self) -> None:
        """The source has ended; a clip that is as long as asked for is kept."""
        if self._writing is not None and self._writing.length >= self._seconds:
            self._finish()
            self._enter(Phase.COUNTDOWN if self._left else Phase.DONE)
        self.close()

    def close(self) -> None:
        """Remove an unfinished clip."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.discard()

    def _cue(self, now: float) -> Cue:
        lasts = self._seconds if self._phase is Phase.RECORDING else self._countdown
        if self._phase in (Phase.PAUSED, Phase.DONE):
            lasts = 0.0
        left = lasts - (now - (now if self._since is None else self._since))
        return Cue(
            self._phase,
            label=self._left[0] if self._left else "",
            left=max(0.0, left),
            lasts=lasts,
            number=self.clips + (1 if self._left else 0),
            of=self.clips + len(self._left),
        )

    def _passed(self, frame: Frame, seconds: float) -> bool:
        return frame.timestamp - (self._since or 0.0) >= seconds - 1e-6

    def _enter(self, phase: Phase, since: float | None = None) -> None:
        self._phase, self._since = phase, since

    def _restart(self, paused: bool) -> None:
        """Drop what is being recorded; begin its countdown anew, or pause."""
        self.close()
        if not self.done:
            self._enter(Phase.PAUSED if paused else Phase.COUNTDOWN if self._left else Phase.OVER)

    def _finish(self) -> None:
        assert self._writing is not None
        writing, label = self._writing, self._left[0]
        writing.keep(self._folder, label, self.session.group(writing.number))
        self._writing = None
        self._left.popleft()
        self._made.append((writing.path, label))
        self.clips += 1
        self._log(f"{writing.path}  {writing.summary}")


class _Writing:
    """A clip that is being recorded. Until it is kept, it is a hidden file beside the labels' folders."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        try:
            make_private_folder(path.parent)
        except OSError as error:
            raise DataError(f"{path.parent} cannot be made: {why(error)}; choose another folder") from error
        self._hidden = path.parent.parent / f".{path.parent.name}-{path.name}"
        self._sink = VideoFile(self._hidden, overlay=False)
        self._first, self._last, self._count = 0.0, 0.0, 0

    def write(self, frame: Frame) -> None:
        if not self._count:
            self._first = frame.timestamp
        self._last = frame.timestamp
        self._count += 1
        self._sink.write(Result(frame, _NOTHING))

    @property
    def length(self) -> float:
        """Seconds, including the last frame's own; half a frame is tolerated."""
        span = self._last - self._first
        return span + 1.5 * span / max(1, self._count - 1)

    @property
    def summary(self) -> str:
        rate = (self._count - 1) / max(self._last - self._first, 1e-6)
        return f"{self._count} pictures, {rate:.1f} a second" if self._count > 1 else "1 picture"

    def keep(self, folder: ClipFolder, label: str, group: str) -> None:
        self._sink.close()
        if self.path.exists():  # another process recorded it meanwhile
            raise DataError(f"{self.path} is there already; it stays, and the new clip is not kept")
        self._hidden.rename(self.path)
        try:
            folder.add(self.path, label, group)
        except BaseException:  # a clip that is not listed is no clip
            self.path.unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        with suppress(StreamrecError):
            self._sink.close()
        for ending in (".mp4", ".part.mp4", ".whole.mp4"):  # where VideoFile may have been stopped
            self._hidden.with_suffix(ending).unlink(missing_ok=True)
        with suppress(OSError):  # it holds other clips
            self.path.parent.rmdir()
