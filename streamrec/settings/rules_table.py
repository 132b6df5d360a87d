"""Reads ``[[rule]]`` of cameras.toml: rules over events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import time
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streamrec.core.messages import shortened
from streamrec.errors import SettingsError
from streamrec.events.rules import DAY, Pattern, Rule
from streamrec.settings.toml import Reader, is_name, no_such_key

MOST_RULES = 100
LONGEST_NAME = 60  # letters
LONGEST = 7 * DAY  # of a rule, in seconds
_LEAST = 0.1  # second
_MOST_COUNT = 1_000
_MOST_NAMES = 100  # in one pattern
_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3_600.0, "d": DAY, "": 1.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*")
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
PATTERN_KEYS = ("label", "camera", "zone", "model")
RULE_KEYS = (
    "name", "when", "lasts", "absent", "since", "by", "then", "also", "count", "within", "timezone", "enabled",
)  # fmt: skip


class Camera(Protocol):
    """A camera, as far as rules name it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def zones(self) -> Sequence[Any]:
        """Its zones."""


def rules_of(
    data: Mapping[str, Any], cameras: Iterable[Camera], reader: Reader
) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The rules of a file, and those of them that are enabled; raises ``SettingsError``."""
    given = data.get("rule", [])
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        raise reader.wrong("", "rule", "it is no list of tables; write [[rule]] before each rule")
    if len(given) > MOST_RULES:
        raise reader.wrong("", "rule", f"there are {len(given)}; give at most {MOST_RULES}")
    cameras, found, enabled, names = tuple(cameras), [], [], set()
    for number, table in enumerate(given, 1):
        rule = rule_of(table, cameras, reader, number)
        if rule.name in names:
            raise reader.wrong(f"rule {rule.name!r}: ", "name", "it stands there twice; name each rule once")
        names.add(rule.name)
        found.append(rule)
        if reader.switch(table, "enabled", f"rule {rule.name!r}: ", True):
            enabled.append(rule)
    return tuple(found), tuple(enabled)


def rule_of(table: dict[str, Any], cameras: Sequence[Camera], reader: Reader, number: int = 1) -> Rule:
    """One rule; raises ``SettingsError``."""
    name = name_of(table, f"rule {number}: ", "lies too long", reader)
    where = f"rule {name!r}: "
    reader.check_keys(table, RULE_KEYS, where)
    if "when" not in table:
        raise reader.wrong(where, "when", 'it is missing; write which events, like when = "fall"')
    timezone = timezone_of(table, where, reader)
    count = table.get("count")
    if count is not None and not (type(count) is int and 2 <= count <= _MOST_COUNT):
        raise reader.wrong(
            where, "count", f"give a whole number from 2 to {_MOST_COUNT:,}, not {shortened(count)}"
        )
    values: dict[str, Any] = {"timezone": timezone, "count": count}
    for key in ("lasts", "absent", "within"):
        values[key] = _seconds(table.get(key), key, where, reader)
    for key in ("since", "by"):
        values[key] = time_of_day(table.get(key), key, where, reader)
    for key in ("when", "then", "also"):
        values[key] = None if key not in table else pattern_of(table[key], f"{where}{key}: ", cameras, reader)
    try:
        return Rule(name=name.strip(), **values)
    except SettingsError as error:
        raise reader.wrong(where.removesuffix(": "), "", str(error)) from error


def name_of(table: Mapping[str, Any], where: str, example: str, reader: Reader) -> str:
    """The name of a table; raises ``SettingsError``."""
    name = table.get("name")
    if not is_name(name, LONGEST_NAME):
        problem = "it is missing" if name is None else f"{shortened(name)} is no name"
        raise reader.wrong(
            where, "name", f'{problem}; write one of at most {LONGEST_NAME} letters, like name = "{example}"'
        )
    return name


def timezone_of(table: Mapping[str, Any], where: str, reader: Reader) -> str:
    """The name of a table's time zone, "" for this machine's; raises ``SettingsError``."""
    name = table.get("timezone", "")
    if not isinstance(name, str) or not _is_zone(name):
        raise reader.wrong(where, "timezone", f'give a name like "Europe/Berlin", not {shortened(name)}')
    return name


def _seconds(given: Any, key: str, where: str, reader: Reader) -> float | None:
    """A number of seconds, or a text with a unit."""
    if given is None:
        return None
    seconds = None
    if isinstance(given, int | float) and not isinstance(given, bool):
        seconds = float(given)
    elif isinstance(given, str) and (match := _DURATION.fullmatch(given)) and match[2] in _UNITS:
        seconds = float(match[1]) * _UNITS[match[2]]
    if seconds is None or not _LEAST <= seconds <= LONGEST:
        raise reader.wrong(
            where, key, f'give a time like "30 s", "5 min", "2 h", up to 7 days, not {shortened(given)}'
        )
    return seconds


def time_of_day(given: Any, key: str, where: str, reader: Reader) -> time | None:
    """A time of day; None where none is given. Raises ``SettingsError``."""
    if given is None or isinstance(given, time):
        return given
    if isinstance(given, str) and (match := _TIME.fullmatch(given.strip())):
        hour, minute, second = (int(part or 0) for part in match.groups())
        if hour < 24 and minute < 60 and second < 60:
            return time(hour, minute, second)
    raise reader.wrong(where, key, f'give a time of day like "08:00", not {shortened(given)}')


def _is_zone(name: str) -> bool:
    try:
        return not name or bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def pattern_of(given: Any, where: str, cameras: Sequence[Camera] | None, reader: Reader) -> Pattern:
    """Which events: a label, labels, or a table. ``cameras`` None: they are not known, and none is checked."""
    table = given if isinstance(given, dict) else {"label": given}
    reader.check_keys(table, PATTERN_KEYS, where)
    found = {}
    for key in PATTERN_KEYS:
        names = table.get(key, [])
        names = [names] if isinstance(names, str) else names
        if (
            not isinstance(names, list)
            or len(names) > _MOST_NAMES
            or not all(isinstance(name, str) and name for name in names)
        ):
            example = '"fall", ["fall", "fight"] or {label = "fall", camera = "bath", zone = "floor"}'
            raise reader.wrong(
                where.removesuffix(": "), "", f"give something like {example}, not {shortened(given)}"
            )
        found[f"{key}s"] = tuple(names)
    if cameras is None:
        return Pattern(**found)
    known = tuple(camera.name for camera in cameras)
    for name in found["cameras"]:
        if name not in known:
            raise reader.wrong(
                where, f"camera: {shortened(name)[1:-1]}", no_such_key(name, known, what="camera")
            )
    zones = tuple(
        dict.fromkeys(
            zone.name
            for camera in cameras
            if not found["cameras"] or camera.name in found["cameras"]
            for zone in camera.zones
            if not zone.exclude
        )
    )
    for name in found["zones"]:
        if name not in zones:
            raise reader.wrong(
                where, f"zone: {shortened(name)[1:-1]}", no_such_key(name, zones, what="zone of the cameras")
            )
    return Pattern(**found)


def table_of(rule: Rule) -> dict[str, Any]:
    """The table of this rule, as short as possible.

    >>> table_of(Rule(name="lies", when=Pattern(labels=("fall",), zones=("floor",)), lasts=90.0))
    {'name': 'lies', 'when': {'label': 'fall', 'zone': 'floor'}, 'lasts': '90 s'}
    """
    table: dict[str, Any] = {"name": rule.name, "when": _pattern_table(rule.when)}
    for key in ("lasts", "absent"):
        if (seconds := getattr(rule, key)) is not None:
            table[key] = duration(seconds)
    for key in ("since", "by"):
        if (at := getattr(rule, key)) is not None:
            table[key] = clock(at)
    for key, pattern in (("then", rule.then), ("also", rule.also)):
        if pattern is not None:
            table[key] = _pattern_table(pattern)
    if rule.count is not None:
        table["count"] = rule.count
    if rule.within is not None:
        table["within"] = duration(rule.within)
    if rule.timezone:
        table["timezone"] = rule.timezone
    return table


def _pattern_table(pattern: Pattern) -> Any:
    table = {
        key: own[0] if len(own) == 1 else list(own)
        for key in PATTERN_KEYS
        if (own := getattr(pattern, f"{key}s"))
    }
    return table["label"] if set(table) == {"label"} else table


def duration(seconds: float) -> str:
    """Seconds as a text with the largest unit in which it is a whole number.

    >>> duration(7200.0), duration(90.0), duration(0.5)
    ('2 h', '90 s', '0.5 s')
    """
    for unit in ("d", "h", "min"):
        if seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g} {unit}"
    return f"{seconds:g} s"


def clock(at: time) -> str:
    """A time of day, without seconds where there are none."""
    return at.strftime("%H:%M:%S" if at.second else "%H:%M")


def sentence(rule: Rule) -> str:
    """What a rule is about, in words.

    >>> sentence(Rule(name="lies", when=Pattern(labels=("fall",), cameras=("bath",)), lasts=30.0))
    'fall on bath lasts longer than 30 s'
    """
    events = words_of(rule.when)
    if rule.lasts is not None:
        return f"{events} lasts longer than {duration(rule.lasts)}"
    if rule.absent is not None:
        return f"no {events} for {duration(rule.absent)}"
    if rule.since is not None and rule.by is not None:
        zone = f" ({rule.timezone})" if rule.timezone else ""
        return f"no {events} from {clock(rule.since)} to {clock(rule.by)}{zone}"
    assert rule.within is not None
    if rule.then is not None:
        return f"{events}, then {words_of(rule.then)} within {duration(rule.within)}"
    if rule.also is not None:
        return f"{events} and {words_of(rule.also)} within {duration(rule.within)}"
    return f"{rule.count} times {events} within {duration(rule.within)}"


def words_of(pattern: Pattern) -> str:
    """Which events are meant, in words."""
    parts = [" or ".join(pattern.labels) or "action"]
    for word, names in (("of", pattern.models), ("in", pattern.zones), ("on", pattern.cameras)):
        if names:
            parts.append(f"{word} {' or '.join(names)}")
    return " ".join(parts)
