"""Reads ``[[camera.zone]]``, ``only`` and ``[[camera.line]]``: the places of a camera."""

from __future__ import annotations

from typing import Any

from streamrec.core.arguments import Limits
from streamrec.core.messages import shortened
from streamrec.core.zones import REPORTS, Corner, Line, Zone
from streamrec.settings.toml import Reader, is_name, no_such_key

MOST_ZONES = 32
MOST_CORNERS = 64
MOST_LINES = 16
_PART = Limits(0, 1)  # of the image
_LEAST_AREA = 0.0005  # of the image
_LEAST_LENGTH = 0.02  # of the image
_LONGEST_NAME = 200  # letters


def zones_of(table: dict[str, Any], where: str, reader: Reader) -> tuple[Zone, ...]:
    """The zones of a camera that count; raises ``SettingsError``."""
    zones = [
        _zone(one, where, number, reader)
        for number, one in enumerate(_tables(table, "zone", MOST_ZONES, where, reader), 1)
    ]
    _check_names([zone.name for zone in zones], "zone", where, reader)
    only = table.get("only")
    if only is None:
        return tuple(zones)
    if not isinstance(only, list) or not only or not all(isinstance(name, str) for name in only):
        raise reader.wrong(where, "only", f'give a list of zones like ["till"], not {shortened(only)}')
    included = tuple(zone.name for zone in zones if zone.mask and not zone.exclude)
    for name in only:
        if name not in included:
            raise reader.wrong(
                where,
                f"only: {shortened(name)[1:-1]}",
                no_such_key(name, included, what="zone that is watched"),
            )
    return tuple(zone for zone in zones if zone.exclude or not zone.mask or zone.name in only)


def lines_of(table: dict[str, Any], where: str, reader: Reader) -> tuple[Line, ...]:
    """The lines of a camera; raises ``SettingsError``."""
    given = _tables(table, "line", MOST_LINES, where, reader)
    lines = [_line(one, where, number, reader) for number, one in enumerate(given, 1)]
    _check_names([line.name for line in lines], "line", where, reader)
    labels = [label for line in lines for label in line.labels]
    for label in labels:
        if labels.count(label) > 1:
            raise reader.wrong(
                where, "line", f"{label!r} would be two crossings; give the lines other names or words"
            )
    return tuple(lines)


def _tables(table: dict[str, Any], key: str, most: int, where: str, reader: Reader) -> list[dict[str, Any]]:
    given = table.get(key, [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise reader.wrong(where, key, f"it is no list of tables; write [[camera.{key}]]")
    if len(given) > most:
        raise reader.wrong(where, key, f"there are {len(given)}; give at most {most}")
    return given


def _check_names(names: list[str], kind: str, where: str, reader: Reader) -> None:
    for name in names:
        if names.count(name) > 1:
            raise reader.wrong(
                where, f"{kind} {shortened(name)}", "there are two of this name; give each its own"
            )


def _name(table: dict[str, Any], kind: str, example: str, where: str, number: int, reader: Reader) -> str:
    name = table.get("name")
    if not is_name(name, _LONGEST_NAME):
        raise reader.wrong(
            where, f"{kind} {number}: name", f'give a name like "{example}", not {shortened(name)}'
        )
    return name


def _zone(table: dict[str, Any], where: str, number: int, reader: Reader) -> Zone:
    """One polygon."""
    name = _name(table, "zone", "till", where, number, reader)
    own = f"{where}zone {name!r}: "
    reader.check_keys(table, ("name", "corners", "exclude", "mask", "report"), own)
    exclude = reader.switch(table, "exclude", own, False)
    mask = reader.switch(table, "mask", own, True)
    if exclude and not mask:
        raise reader.wrong(own, "mask", "a zone that is left out masks what is in it; leave out one of them")
    corners = table.get("corners")
    polygon = _corners(corners, 3, MOST_CORNERS)
    if polygon is None:
        raise reader.wrong(
            own,
            "corners",
            f"give x and y of 3 to {MOST_CORNERS} corners as parts of the picture, like "
            f"[[0.1, 0.2], [0.5, 0.2], [0.3, 0.9]], not {shortened(corners)}",
        )
    if _area(polygon) < _LEAST_AREA:
        raise reader.wrong(own, "corners", "there is hardly any picture between them; set them farther apart")
    report = table.get("report", [])
    if (
        not isinstance(report, list)
        or not all(isinstance(one, str) and one in REPORTS for one in report)
        or len(set(report)) < len(report)
    ):
        raise reader.wrong(
            own, "report", f'give what is an event, ["people"], ["motion"] or both, not {shortened(report)}'
        )
    if report and exclude:
        raise reader.wrong(own, "report", "what is left out is not seen; leave out one of them")
    return Zone(name, polygon, exclude, mask, tuple(report))


def _line(table: dict[str, Any], where: str, number: int, reader: Reader) -> Line:
    """One line."""
    name = _name(table, "line", "door", where, number, reader)
    own = f"{where}line {name!r}: "
    reader.check_keys(table, ("name", "ends", "forward", "back"), own)
    ends = table.get("ends")
    found = _corners(ends, 2, 2)
    if found is None:
        raise reader.wrong(
            own,
            "ends",
            "give x and y of its two ends as parts of the picture, like [[0.4, 0.9], [0.6, 0.9]], "
            f"not {shortened(ends)}",
        )
    one, other = found
    if abs(one[0] - other[0]) + abs(one[1] - other[1]) < _LEAST_LENGTH:
        raise reader.wrong(own, "ends", "they are hardly apart; set them farther apart")
    words = {}
    for key, usual in (("forward", "in"), ("back", "out")):
        word = words[key] = table.get(key, usual)
        if not isinstance(word, str) or len(word) > _LONGEST_NAME or not (word == "" or word.isprintable()):
            raise reader.wrong(
                own, key, f'give a word like "{usual}", or "" where it does not count, not {shortened(word)}'
            )
    if not any(words.values()):
        raise reader.wrong(own, "back", "neither direction counts; give one of them a word")
    if words["forward"] == words["back"]:
        raise reader.wrong(own, "back", "it is the same word as forward; give another one")
    return Line(name, (one, other), **words)


def _corners(given: Any, least: int, most: int) -> tuple[Corner, ...] | None:
    """Points of the image; None: they are none."""
    if (
        isinstance(given, list)
        and least <= len(given) <= most
        and all(isinstance(one, list) and len(one) == 2 and all(map(_PART.holds, one)) for one in given)
    ):
        return tuple((float(x), float(y)) for x, y in given)
    return None


def _area(polygon: tuple[Corner, ...]) -> float:
    """Of the image (the shoelace formula)."""
    following = (*polygon[1:], polygon[0])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(polygon, following, strict=True))) / 2
