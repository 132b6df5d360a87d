"""Reads ``[arming]`` of cameras.toml: profiles, and when they are in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from streamrec.core.messages import shortened
from streamrec.events.arming import ARMED, BUILT_IN, DAYS, SCHEDULE, ArmingRules, Profile, Schedule
from streamrec.events.rules import Pattern
from streamrec.settings.rules_table import Camera, name_of, pattern_of, time_of_day, timezone_of
from streamrec.settings.toml import Reader, no_such_key

_MOST_PROFILES = 50
MOST_SCHEDULES = 30
MOST_PATTERNS = 50  # of one profile
_BUILT_IN = (*(profile.name for profile in BUILT_IN), SCHEDULE)  # names that mean something
_KEYS = ("timezone", "usual", "profile", "schedule")
_PROFILE_KEYS = ("name", "armed")
_SCHEDULE_KEYS = ("profile", "days", "from", "until")
_DAYS = {
    "weekdays": (0, 1, 2, 3, 4),
    "weekend": (5, 6),
    "all": tuple(range(7)),
    **{name: (number,) for number, name in enumerate(DAYS)},
}


def arming_of(
    data: Mapping[str, Any], cameras: Sequence[Camera] | None, reader: Reader
) -> ArmingRules | None:
    """The ``[arming]`` table of a file; None: it has none. Raises ``SettingsError``.

    ``cameras``: those that a profile may name; None: they are not known, and any may be named.
    """
    if "arming" not in data:
        return None
    table = data["arming"]
    if not isinstance(table, dict):
        raise reader.wrong("", "arming", "it is no table; write [arming]")
    where = "[arming]: "
    reader.check_keys(table, _KEYS, where)
    zone = timezone_of(table, where, reader)
    tables = _tables(table, "profile", _MOST_PROFILES, reader)
    profiles: list[Profile] = []
    for number, one in enumerate(tables, 1):
        profile = _profile(one, cameras, reader, number)
        if profile.name in _BUILT_IN or any(profile.name == known.name for known in profiles):
            twice = (
                "it has a meaning of its own; choose another name"
                if profile.name in _BUILT_IN
                else "it stands there twice"
            )
            raise reader.wrong(f"arming.profile {profile.name!r}: ", "name", twice)
        profiles.append(profile)
    names = [profile.name for profile in (*BUILT_IN, *profiles)]
    usual = table.get("usual", ARMED)
    _check_profile(usual, names, where, "usual", reader)
    schedules = tuple(
        _schedule(one, names, reader, number)
        for number, one in enumerate(_tables(table, "schedule", MOST_SCHEDULES, reader), 1)
    )
    return ArmingRules(
        zone=ZoneInfo(zone) if zone else None, usual=usual, own=tuple(profiles), schedules=schedules
    )


def _tables(table: Mapping[str, Any], key: str, most: int, reader: Reader) -> list[dict[str, Any]]:
    given = table.get(key, [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise reader.wrong("[arming]: ", key, f"it is no list of tables; write [[arming.{key}]] before each")
    if len(given) > most:
        raise reader.wrong("[arming]: ", key, f"there are {len(given)}; give at most {most}")
    return given


def _profile(table: dict[str, Any], cameras: Sequence[Camera] | None, reader: Reader, number: int) -> Profile:
    name = name_of(table, f"arming.profile {number}: ", "night", reader)
    where = f"arming.profile {name!r}: "
    reader.check_keys(table, _PROFILE_KEYS, where)
    example = 'true, false, "fall", or a list like [{camera = "door"}, {label = "fall"}]'
    if "armed" not in table:
        raise reader.wrong(where, "armed", f"it is missing; give {example}")
    given = table["armed"]
    if isinstance(given, bool):
        return Profile(name=name.strip(), armed=(Pattern(),) if given else ())
    listed = given if isinstance(given, list) else [given]
    if len(listed) > MOST_PATTERNS or not all(isinstance(one, str | dict) and one for one in listed):
        raise reader.wrong(where, "armed", f"give {example}, not {shortened(given)}")
    armed = tuple(pattern_of(one, f"{where}armed: ", cameras, reader) for one in listed)
    return Profile(name=name.strip(), armed=armed)


def _schedule(table: dict[str, Any], names: Sequence[str], reader: Reader, number: int) -> Schedule:
    where = f"arming.schedule {number}: "
    reader.check_keys(table, _SCHEDULE_KEYS, where)
    _check_profile(table.get("profile"), names, where, "profile", reader)
    given = table.get("days", "all")
    listed = [given] if isinstance(given, str) else given
    if (
        not isinstance(listed, list)
        or not listed
        or not all(isinstance(one, str) and one in _DAYS for one in listed)
    ):
        raise reader.wrong(
            where, "days", f'give "weekdays", "weekend" or a list like ["mon", "fri"], not {shortened(given)}'
        )
    days = tuple(sorted({day for one in listed for day in _DAYS[one]}))
    since = time_of_day(table.get("from"), "from", where, reader) or time(0)
    until = time_of_day(table.get("until"), "until", where, reader) or time(0)
    return Schedule(profile=table["profile"], days=days, since=since, until=until)


def _check_profile(name: Any, names: Sequence[str], where: str, key: str, reader: Reader) -> None:
    if name is None:
        raise reader.wrong(where, key, f"it is missing; there are {', '.join(names)}")
    if not isinstance(name, str) or name not in names:
        problem = no_such_key(str(name), names, what="profile")
        raise reader.wrong(where, f"{key}: {shortened(name)[1:-1]}", problem)
