"""Labelled clips: found in folders of videos and in CSV files."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import TypeAlias

from streamrec.core.csv_tables import decimal, read_table
from streamrec.core.reading import path_of
from streamrec.core.text import printable
from streamrec.data.file_senses import of_sense, takes
from streamrec.data.tables import group_of, is_readings, labels_in
from streamrec.errors import DataError
from streamrec.events.detector import BACKGROUND as BACKGROUND
from streamrec.sources.files import VIDEO_ENDINGS
from streamrec.sources.sound_files import SOUND_ENDINGS
from streamrec.sources.tables import is_table
from streamrec.types import SIGNAL, SOUND, VIDEO

_MEDIA = (*VIDEO_ENDINGS, *SOUND_ENDINGS)
COLUMNS = ("clip", "label", "group", "segments", "start", "end", "repetitions", "background")  # of a table
NO_LABEL = -100  # target of a frame without a true label: cross-entropy ignores it

Segment: TypeAlias = tuple[float, float, str]  # start and end in seconds, label
_SEGMENT = re.compile(r"(?P<label>.+):\s*(?P<start>[\d.,]+)\s*-\s*(?P<end>[\d.,]+)")


@dataclass(frozen=True, slots=True)
class Clip:
    """A video or a sound file and its truth: one label for it, or segments. A split never divides a ``group``."""

    path: Path
    label: str | None  # None: untrimmed, with segments
    group: str
    segments: tuple[Segment, ...] = ()  # in order of time; they do not overlap
    repetitions: tuple[float, ...] | None = None  # start of each in seconds; None: unknown
    background: str = "background"  # label of the time that no segment covers

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the clip; the background comes last.

        >>> Clip(Path("a.mp4"), None, "anna", ((1.0, 2.5, "fall"),)).labels
        ('fall', 'background')
        """
        if self.label is not None:
            return (self.label,)
        return tuple(dict.fromkeys((*(label for _, _, label in self.segments), self.background)))

    def relabeled(self, names: Mapping[str, str]) -> Clip:
        """The same clip with other names for its labels."""
        segments = tuple((start, end, names.get(label, label)) for start, end, label in self.segments)
        label = None if self.label is None else names.get(self.label, self.label)
        return replace(self, label=label, segments=segments)

    def label_at(self, timestamp: float) -> str:
        """The true label at a time in seconds; a segment includes its start and excludes its end."""
        if self.label is not None:
            return self.label
        for start, end, label in self.segments:
            if start <= timestamp < end:
                return label
        return self.background


def labels_of(clips: Iterable[Clip]) -> tuple[str, ...]:
    """All labels of these clips, sorted."""
    return tuple(sorted({label for clip in clips for label in clip.labels}))


def find_footage(
    places: Iterable[str | Path], label: str = "background", *, sense: str = SOUND
) -> list[Clip]:
    """Footage in which nothing happens, as clips of ``label``: files, and all that are in folders.

    ``sense``: of the model; what it cannot take is passed over in folders. Raises ``DataError``
    for a folder without any and a file that is not there.
    """
    clips: list[Clip] = []
    for path in (path_of(str(place)) for place in places):
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if takes(sense, file))
        if not found or not path.exists():
            what = {VIDEO: "no video", SIGNAL: "no table of readings"}.get(sense, "no video and no sound")
            raise DataError(f"{path} holds {what}: give a file, or a folder with some")
        clips += [Clip(file, label, str(file)) for file in found]
    return clips


def find_clips(
    data: str | Path | Sequence[str | Path],
    *,
    relabel: Mapping[str, str] | None = None,
    background: str = "background",
    least: int = 2,
    sense: str | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> list[Clip]:
    """The clips of a data set, or of several together: groups of the same name are one group.

    A data set is a folder with one folder of videos or sound files a label, a CSV file, or a folder that holds such an
    ``index.csv``. The columns are ``clip``, and ``group`` where it is known, with

    - ``label``: clips that show one action from start to end;
    - ``segments``: untrimmed videos, ``Fall:2.3-6; Walking:0-2.2`` in seconds; they count more than a label;
    - ``label,start,end``: the same, one row a segment; a row with neither start nor end is a whole clip;
    - ``repetitions``: start of each repetition in seconds, separated by blanks;
    - ``background``: label of the time that no segment covers, where it is not the argument's.

    A folder of tables of readings (.csv, .csv.gz), or one such table, is a data set too: the column ``label`` has the
    truth of each row, and the name of a file up to its first underscore is its group (``data/tables.py``).

    Where segments overlap, the one that starts later wins, then the shorter one. Time that none covers is
    ``background``. ``relabel`` gives labels new names by patterns, the first that matches:
    ``{"Fall*": "fall", "*": "normal"}``. The same recording under several names (a copy, a link) is of one group, the
    first's, which is reported to ``log``. Raises ``DataError``, also for fewer labels than ``least`` and for the same
    recording under two labels at the same time.

    ``sense``: of the model; files that it cannot take, such as the sound beside a video, are passed over, which is
    reported to ``log``. None: that of most files. A model of sound takes the sound track of videos.
    """
    paths = [path_of(str(p)) for p in ([data] if isinstance(data, str | Path) else data)]
    clips = [clip for path in paths for clip in _clips_at(path, dict(relabel or {}), background)]
    clips = each_once(of_sense(clips, sense, log), log)
    labels = labels_of(clips)
    if len(labels) < least:
        raise DataError(
            f"{' and '.join(map(str, paths))} holds {len(clips)} clips of {len(labels)} labels; "
            f"at least {least} labels are needed"
        )
    return clips


def same_recordings(paths: Iterable[Path]) -> dict[Path, Path]:
    """Path -> an earlier path of the same recording (a copy or a link), for each path that has one.

    Only files of equal size are read: in most data sets sizes alone tell recordings apart.
    """
    by_size: dict[int, list[Path]] = {}
    for path in dict.fromkeys(paths):
        with suppress(OSError):  # a missing file is reported when it is decoded
            if path.is_file():
                by_size.setdefault(path.stat().st_size, []).append(path)
    first: dict[Path, Path] = {}
    for size, alike in by_size.items():
        seen: dict[bytes, Path] = {}
        for path in alike if size and len(alike) > 1 else ():
            with suppress(OSError):
                earlier = seen.setdefault(_content(path), path)
                if earlier != path:
                    first[path] = earlier
    return first


def grouped_with(
    clips: Sequence[Clip], others: Sequence[Clip], *, log: Callable[[str], None] = lambda text: None
) -> list[Clip]:
    """``others``, with the group of the clip in ``clips`` that is the same recording, so that no split divides them.

    Changed groups are reported to ``log``. Raises ``DataError`` where two clips give other labels to the same time.
    """
    first = same_recordings(clip.path for clip in (*clips, *others))
    known: dict[Path, list[Clip]] = {}
    for clip in clips:
        known.setdefault(first.get(clip.path, clip.path), []).append(clip)
    found, moved = [], []
    for other in others:
        twins = known.get(first.get(other.path, other.path), [])
        for twin in twins:
            _check_agree(other, twin)
        if twins and twins[0].group != other.group:
            moved.append((other, twins[0]))
            other = replace(other, group=twins[0].group)
        found.append(other)
    if moved:
        _log_moved(len(moved), moved[0][0].path, moved[0][1].path, log)
    return found


def apart_from(clips: Sequence[Clip], others: Sequence[Clip]) -> list[Clip]:
    """``others`` without those that are the same recording as one of ``clips``."""
    first = same_recordings(clip.path for clip in (*clips, *others))
    known = {first.get(clip.path, clip.path) for clip in clips}
    return [other for other in others if first.get(other.path, other.path) not in known]


@lru_cache(maxsize=4096)
def _hashed(path: str, size: int, changed: int) -> bytes:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _content(path: Path) -> bytes:
    facts = path.stat()
    return _hashed(str(path.resolve()), facts.st_size, facts.st_mtime_ns)


def each_once(clips: list[Clip], log: Callable[[str], None] = lambda text: None) -> list[Clip]:
    """The same clips, with one group for each recording, and its untrimmed clips joined into one."""
    first = same_recordings(clip.path for clip in clips)
    of_one: dict[Path, list[int]] = {}
    for number, clip in enumerate(clips):
        of_one.setdefault(first.get(clip.path, clip.path), []).append(number)
    found: list[Clip | None] = [*clips]
    moved = 0
    for numbers in (numbers for numbers in of_one.values() if len(numbers) > 1):
        here = [clips[number] for number in numbers]
        for one, other in combinations(here, 2):
            _check_agree(one, other)
        moved += sum(clip.group != here[0].group for clip in here)
        untrimmed = [n for n in numbers if clips[n].label is None]
        for number in numbers:
            found[number] = replace(clips[number], group=here[0].group)
        for number in untrimmed[1:]:  # the time between its segments is not background by the other's
            whole = found[untrimmed[0]]
            assert whole is not None
            segments = _in_order([*whole.segments, *clips[number].segments])
            repetitions = tuple(sorted({*(whole.repetitions or ()), *(clips[number].repetitions or ())}))
            found[untrimmed[0]] = replace(whole, segments=segments, repetitions=repetitions or None)
            found[number] = None
    if moved:
        known, *others = next([clips[n].path for n in numbers] for numbers in of_one.values()
                            if len({clips[n].group for n in numbers}) > 1)  # fmt: skip
        _log_moved(moved, others[0], known, log)
    return [clip for clip in found if clip is not None]


def _log_moved(moved: int, other: Path, known: Path, log: Callable[[str], None]) -> None:
    log(
        f"{moved} clip{'s are' if moved > 1 else ' is'} the same recording as another, like "
        f"{printable(str(other))} and {printable(str(known))}: such are of one group, so that none is both "
        "learned from and measured on"
    )


def _check_agree(one: Clip, other: Clip) -> None:
    """Raise ``DataError`` where two entries of one recording give different labels to the same time."""
    for start, end, label in _segments_of(one):
        for begin, stop, name in _segments_of(other):
            if label != name and max(start, begin) < min(end, stop):
                until = min(end, stop)
                when = "" if until == math.inf else f" from {max(start, begin):g} to {until:g} s"
                twin = printable(str(other.path))
                same = "" if one.path == other.path else f", which is the same recording as {twin},"
                raise DataError(
                    f"{printable(str(one.path))}{same} is {label} and {name}{when}: give it the label that is "
                    "right, and take away the other"
                )


def _segments_of(clip: Clip) -> tuple[Segment, ...]:
    return clip.segments if clip.label is None else ((0.0, math.inf, clip.label),)


def _clips_at(path: Path, names: dict[str, str], background: str) -> list[Clip]:
    if not path.exists():
        raise DataError(f"there is no data at {path}: give a folder with one folder a label, or a CSV file")
    if path.is_dir() and (path / "index.csv").is_file():
        path = path / "index.csv"
    if not path.is_file() and not path.is_dir():  # reading a pipe would block
        raise DataError(f"{path} is no file: give a folder with one folder a label, or a CSV file")
    clips = _clips_of_folder(path) if path.is_dir() else _clips_of_file(path)
    return [
        Clip(
            clip.path,
            None if clip.label is None else renamed(clip.label, names),
            clip.group,
            _in_order([(start, end, renamed(label, names)) for start, end, label in clip.segments]),
            clip.repetitions,
            renamed(clip.background or background, names),
        )
        for clip in clips
    ]


def renamed(label: str, names: Mapping[str, str]) -> str:
    """The new name of a label: that of the first pattern that matches."""
    return next((new for pattern, new in names.items() if fnmatchcase(label, pattern)), label)


def _in_order(segments: list[Segment]) -> tuple[Segment, ...]:
    """Segments without overlaps, in order of time; neighbours of one label are joined."""
    bounds = sorted({time for segment in segments for time in segment[:2]})
    ordered: list[Segment] = []
    for start, end in pairwise(bounds):
        here = [segment for segment in segments if segment[0] <= start and end <= segment[1]]
        if not here:
            continue
        *_, label = min(here, key=lambda segment: (-segment[0], segment[1]))
        if ordered and ordered[-1][1:] == (start, label):
            start = ordered.pop()[0]
        ordered.append((start, end, label))
    return tuple(ordered)


def _clips_of_file(path: Path) -> list[Clip]:
    """A table of clips, or one of readings, which is a recording itself."""
    return [_clip_of_table(path)] if is_readings(path) else _clips_of_csv(path)


def _clip_of_table(path: Path) -> Clip:
    labels = labels_in(path)
    return Clip(path, None, group_of(path), labels.segments, background=labels.background)


def _clips_of_folder(folder: Path) -> list[Clip]:
    if tables := sorted(path for path in folder.iterdir() if path.is_file() and is_table(path)):
        return [_clip_of_table(path) for path in tables]
    clips = [
        Clip(path, label.name, f"{label.name}/{path.name}", background="")
        for label in sorted(folder.iterdir())
        if label.is_dir()
        for path in sorted(label.rglob("*"))
        if path.suffix.lower() in _MEDIA or is_table(path)
    ]
    if not clips:
        raise DataError(
            f"{folder} holds no clips: make one folder a label in it, with videos ({' '.join(VIDEO_ENDINGS)}) "
            f"or sound files ({' '.join(SOUND_ENDINGS)}), "
            "or put tables of readings (.csv) with a column label into it"
        )
    return clips


def _clips_of_csv(path: Path) -> list[Clip]:
    names, rows = read_table(path, COLUMNS)
    columns = set(names)
    if "clip" not in columns or not columns & {"label", "segments"} or len(columns & {"start", "end"}) == 1:
        raise DataError(
            f"{path} needs a first line that names the columns: clip,label and, if known, group; "
            "for untrimmed videos clip,segments or clip,label,start,end"
        )
    clips: list[Clip] = []
    known: dict[str, int] = {}  # the untrimmed ones, to which later rows add segments
    for line, row in rows:
        try:
            clip = clip_of_row(row, path.parent, timed=bool(columns & {"start", "segments"}))
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from error
        if clip.label is None and row["clip"] in known:
            at = known[row["clip"]]
            clips[at] = _joined(clips[at], clip, named=bool(row.get("group")))
        else:
            if clip.label is None:
                known[row["clip"]] = len(clips)
            clips.append(clip)
    return clips


def _joined(clip: Clip, row: Clip, *, named: bool) -> Clip:
    return Clip(
        clip.path,
        None,
        row.group if named else clip.group,
        (*clip.segments, *row.segments),
        clip.repetitions or row.repetitions,
        clip.background,
    )


def clip_of_row(row: dict[str, str], folder: Path, *, timed: bool) -> Clip:
    """The clip of a table's row; ``timed``: a row without label and segments is a clip in which nothing happens.

    Raises ``ValueError`` for what cannot be.
    """
    name, label = row["clip"], row.get("label", "")
    start, end, segments = row.get("start", ""), row.get("end", ""), row.get("segments", "")
    if not name or not (label or (timed and not start and not end)):
        raise ValueError("clip and label are both needed")
    found = [_segment(text) for text in segments.split(";") if text.strip()]
    if start or end:
        found.append(_checked(label, start, end))
    repetitions = tuple(sorted({_seconds(word) for word in row.get("repetitions", "").split()})) or None
    return Clip(
        _placed(folder, name),
        None if found else label or None,
        row.get("group") or name,
        tuple(found),
        repetitions,
        row.get("background", ""),
    )


def _placed(folder: Path, name: str) -> Path:
    """The path of a clip; a table that was written on Windows may have backslashes in it."""
    path = folder / name
    return path if "\\" not in name or path.exists() else folder / name.replace("\\", "/")


def _segment(text: str) -> Segment:
    parts = _SEGMENT.fullmatch(text.strip())
    if parts is None:
        raise ValueError(f"{text.strip()!r} is not a segment; write it as Fall:2.3-6, in seconds")
    return _checked(parts["label"].strip(), parts["start"], parts["end"])


def _checked(label: str, start: str, end: str) -> Segment:
    if not start or not end:
        raise ValueError("a segment needs both start and end, in seconds")
    if _seconds(start) >= _seconds(end):
        raise ValueError(f"{label} ends at {end} s, which is not after its start at {start} s")
    return _seconds(start), _seconds(end), label


def _seconds(text: str) -> float:
    try:
        seconds = decimal(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < math.inf:
        raise ValueError(f"{text!r} is no time; write seconds from the beginning of the clip, such as 2.3")
    return seconds
