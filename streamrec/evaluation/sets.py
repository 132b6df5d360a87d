"""The data sets that models are judged on: what each shows, what never happens in it, and its licence.

A set is a folder with an ``index.csv``. A set that is not in ``SETS`` works too: it shows the labels of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from streamrec.core.csv_tables import read_table
from streamrec.core.text import printable
from streamrec.data.clips import COLUMNS, Clip, clip_of_row
from streamrec.errors import DataError

INDEX = "index.csv"
WHOLE = 1e9  # seconds: the end of an action that fills its clip
EXERCISES = ("dips", "pull_ups", "push_ups", "squats")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """What a data set holds, in terms of actions that models recognize."""

    name: str  # of its folder
    about: str
    licence: str  # in short
    may_ship: bool  # whether weights that learned from it may be given away
    # Pattern of a label or a segment -> names of that action, of which a model knows one. A label that is a model's
    # own needs no entry.
    shows: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    nothing_of: tuple[str, ...] = ()  # actions that never happen in it
    is_complete: bool = False  # it shows all that happens in it: any other event is false
    groups: str = "group"  # the column of its groups
    parts: str | None = None  # a column, of which each value is judged by itself

    def action_of(self, label: str, actions: Sequence[str]) -> str | None:
        """The action of a model that a label or a segment of this set is; None: none of them.

        >>> SETS["interaction"].action_of("kick", ["fight"]), SETS["interaction"].action_of("hug", ["fight"])
        ('fight', None)
        """
        for pattern, names in self.shows.items():
            if fnmatchcase(label, pattern):
                return next((name for name in (label, *names) if name in actions), None)
        return label if label in actions else None

    def is_quiet(self, clip: Clip) -> bool:
        """Whether a clip shows none of the actions of ``shows``."""
        return not any(fnmatchcase(label, pattern) for label in clip.labels for pattern in self.shows)

    def judges(
        self, clips: Iterable[Clip], actions: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Of a model's actions those that these clips show, and those of which each event is right or false."""
        labels = {label for clip in clips for label in clip.labels}
        found = {self.action_of(label, actions) for label in labels}
        shown = tuple(action for action in actions if action in found)
        judged = tuple(a for a in actions if a in shown or a in self.nothing_of or self.is_complete)
        return shown, judged

    def seen_by(self, clip: Clip, actions: Sequence[str]) -> Clip:
        """The clip with the actions of a model as its segments, and nothing else."""
        rows = clip.segments if clip.label is None else ((0.0, WHOLE, clip.label),)
        named = [(start, end, self.action_of(label, actions)) for start, end, label in rows]
        joined: list[tuple[float, float, str]] = []
        for start, end, action in named:
            if action is None:
                continue
            if joined and joined[-1][1:] == (start, action):  # a fall, and the lying that follows it
                start = joined.pop()[0]
            joined.append((start, end, action))
        return replace(clip, label=None, segments=tuple(joined), background="background")


def _sets(*sets: DataSet) -> Mapping[str, DataSet]:
    return MappingProxyType({one.name: one for one in sets})


SETS = _sets(
    DataSet(
        name="fights",
        about="CCTV, 2 s each",
        licence="MIT",
        may_ship=True,
        shows={"fight": ()},
    ),
    DataSet(
        name="interaction",
        about="UT-Interaction: two people, who hit, kick, push, shake hands, hug or point",
        licence="research use, cite Ryoo and Aggarwal 2010",
        may_ship=False,
        shows=dict.fromkeys(("punch", "kick", "push"), ("fight",)),
    ),
    DataSet(
        name="falls",
        about="GMDCSA24: three people at home",
        licence="MIT",
        may_ship=True,
        shows={"[Ff]all*": ("fall",)},
    ),
    DataSet(
        name="urfall",
        about="UR Fall Detection: falls and daily life; camera 0 is level, 1 on the ceiling",
        licence="CC BY-NC-SA as far as known",
        may_ship=False,
        # Both in one: an event while the person lies there reports the fall, only later.
        shows=dict.fromkeys(("falling", "lying"), ("fall",)),
        parts="camera",
    ),
    DataSet(
        name="workout",
        about="exercises, from the web",
        licence="MIT",
        may_ship=True,
        shows=dict.fromkeys(EXERCISES, ()),
        nothing_of=("fight", "fall"),
    ),
    DataSet(
        name="yoga",
        about="yoga poses with the ways in and out",
        licence="none stated",
        may_ship=False,
        nothing_of=("fight", "fall", *EXERCISES),
    ),
    DataSet(
        name="gestures",
        about="one person before a camera: three gestures",
        licence="course material",
        may_ship=False,
        shows={
            "arms_out_up": ("arms_out",),
            "wave_right_hand": ("wave",),
            "raise_both_hands": ("both_hands", "hands_up"),
        },
        is_complete=True,
    ),
    DataSet(
        name="signing",
        about="people who sign before a camera; a sign is no gesture",
        licence="none stated",
        may_ship=False,
        is_complete=True,
        groups="source",
    ),
    DataSet(
        name="pointing",
        about="a finger that draws, seen from the head",
        licence="none stated",
        may_ship=False,
        nothing_of=("fight", "fall", *EXERCISES),
    ),
)


def find_sets(folder: Path, names: Sequence[str] = ()) -> tuple[list[DataSet], list[str]]:
    """The sets below a folder, and the names of known ones that are missing; raises ``DataError``.

    ``names``: only these, and each must be there. Without names the sets of ``SETS`` that judge something come
    first, then others.
    """
    if not folder.is_dir():
        raise DataError(f"{printable(str(folder))} is no folder: give the one that holds the data sets")
    there = sorted(path.parent.name for path in folder.glob(f"*/{INDEX}"))
    missing = [name for name in names or SETS if name not in there]
    if names and missing:
        raise DataError(
            f"{printable(str(folder))} has no set {', '.join(map(printable, missing))} (a folder with an {INDEX}); "
            f"it has {', '.join(map(printable, there)) or 'none'}"
        )
    if not there:
        raise DataError(
            f"{printable(str(folder))} holds no data set: a set is a folder in it with an {INDEX}"
        )
    wanted = list(names) or [*(name for name in SETS if name in there), *(n for n in there if n not in SETS)]
    own = (DataSet(name=name, about="", licence="not known", may_ship=False) for name in wanted)
    return [SETS.get(one.name, one) for one in own], missing


def clips_of(folder: Path, one: DataSet) -> dict[str, list[Clip]]:
    """The clips of a set below ``folder``, by part; a set without parts has one, named ''. Raises ``DataError``.

    A part in which every clip shows an action gets the clips of the others that show none: without them no event
    could be false.
    """
    path = folder / one.name / INDEX
    more = [one.groups, *([one.parts] if one.parts else [])]
    columns, rows = read_table(path, (*COLUMNS, *more))
    lacking = [name for name in ("clip", *more) if name not in columns and name != "group"]
    if lacking:
        raise DataError(f"{printable(str(path))} needs a column {' and '.join(lacking)} in its first line")
    found: dict[str, list[Clip]] = {}
    for line, row in rows:
        try:
            clip = clip_of_row({**row, "group": row.get(one.groups, "")}, path.parent, timed=True)
        except ValueError as error:
            raise DataError(f"{printable(str(path))}, line {line}: {error}") from error
        found.setdefault(row[one.parts] if one.parts else "", []).append(clip)
    quiet = [clip for part in found.values() for clip in part if one.is_quiet(clip)]
    for part in found.values():
        if not any(map(one.is_quiet, part)):
            part += quiet
    return dict(sorted(found.items()))


def names_of(places: Iterable[str | Path], clips: Iterable[Clip] = ()) -> tuple[str, ...]:
    """The names of the sets at these places: of a folder its own, of a CSV file its name, or its folder's.

    A clip that lies below a folder with an ``index.csv`` is of that set too, whatever table names it.

    >>> names_of(["data/falls", "data/fights/index.csv", "mine.csv"])
    ('falls', 'fights', 'mine')
    """
    found = []
    for path in (Path(place) for place in places):
        whole = path.resolve()
        found.append(whole.parent.name if path.name == INDEX else whole.stem if path.suffix else whole.name)
    folders = {folder for clip in clips for folder in clip.path.resolve().parents}
    found += sorted(folder.name for folder in folders if (folder / INDEX).is_file())
    return tuple(dict.fromkeys(name for name in found if name))
