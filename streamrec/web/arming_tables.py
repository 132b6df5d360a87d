"""Profiles and their schedule in a document of cameras.toml, as the page shows and changes them.

Nothing is checked here that the reader of the file checks: what it refuses is never written.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from datetime import time
from typing import Any

from streamrec.errors import SettingsError
from streamrec.events.arming import ARMED, BUILT_IN, DAYS, ArmingRules, Profile, Schedule
from streamrec.events.rules import Pattern
from streamrec.settings.rules_table import PATTERN_KEYS, clock, words_of
from streamrec.web import toml_document as toml

_WEEKDAYS, _WEEKEND = list(DAYS[:5]), list(DAYS[5:])


def arming_shown(rules: ArmingRules | None) -> dict[str, Any]:
    """The ``[arming]`` table as JSON; without one, what counts then."""
    rules = rules or ArmingRules()
    return {
        "timezone": "" if rules.zone is None else rules.zone.key,
        "usual": rules.usual,
        "built_in": [profile.name for profile in BUILT_IN],
        "profiles": [
            {"name": one.name, "armed": _armed_shown(one), "text": text_of(one)} for one in rules.own
        ],
        "schedules": [_schedule_shown(one) for one in rules.schedules],
    }


def text_of(profile: Profile) -> str:
    """What is armed in a profile, in words.

    >>> text_of(Profile(name="home", armed=(Pattern(labels=("fall",)), Pattern(cameras=("garden",)))))
    'fall; action on garden'
    """
    if profile.armed == (Pattern(),):
        return "everything"
    return "; ".join(map(words_of, profile.armed)) or "nothing"


def _armed_shown(profile: Profile) -> bool | list[dict[str, list[str]]]:
    if profile.armed in ((), (Pattern(),)):
        return bool(profile.armed)
    return [{key: list(getattr(one, f"{key}s")) for key in PATTERN_KEYS} for one in profile.armed]


def _schedule_shown(schedule: Schedule) -> dict[str, Any]:
    whole = schedule.since == schedule.until == time(0)
    return {
        "profile": schedule.profile,
        "days": [DAYS[day] for day in schedule.days],
        "from": "" if whole else clock(schedule.since),
        "until": "" if whole else clock(schedule.until),
    }


def put_profile(document: Any, name: str | None, profile: Mapping[str, Any]) -> None:
    """Change a profile, or add one (None). What names it follows a new name; raises ``SettingsError``."""
    arming = _arming(document)
    one = toml.table() if name is None else toml.find(arming, name, "profile")
    new = str(profile["name"]).strip()
    toml.set_value(one, "name", new)
    toml.set_value(one, "armed", _armed_value(profile["armed"]))
    if name is None:
        _append(arming, "profile", one)
    elif new != name:
        if arming.get("usual") == name:
            arming["usual"] = new
        for schedule in arming.get("schedule", []):
            if schedule.get("profile") == name:
                schedule["profile"] = new


def remove_profile(document: Any, name: str) -> None:
    """Remove a profile that neither the schedule nor ``usual`` names; raises ``SettingsError``."""
    arming = _arming(document)
    one = toml.find(arming, name, "profile")
    numbers = [
        number
        for number, schedule in enumerate(arming.get("schedule", []), 1)
        if schedule.get("profile") == name
    ]
    if numbers:
        raise SettingsError(
            f"profile {name!r}: the schedule names it (number {', '.join(map(str, numbers))}): "
            "change the schedule first"
        )
    if arming.get("usual") == name:
        raise SettingsError(
            f"profile {name!r}: it is in force where the schedule names none: choose another for that first"
        )
    arming["profile"].remove(one)
    if not arming["profile"]:
        del arming["profile"]


def put_schedule(document: Any, before: ArmingRules | None, given: Mapping[str, Any]) -> None:
    """Write time zone, usual profile and all schedules; those that stay as they are keep their lines and comments."""
    arming = _arming(document)
    toml.set_value(arming, "timezone", given["timezone"] or None)
    usual = given["usual"]
    toml.set_value(arming, "usual", usual if usual != ARMED or "usual" in arming else None)
    shown = [] if before is None else [_schedule_shown(one) for one in before.schedules]
    wanted = [dict(one) for one in given["schedules"]]
    if wanted == shown:
        return
    old = list(zip(shown, arming.get("schedule", []), strict=False))
    tables = []
    for one in wanted:
        kept = next((pair for pair in old if pair[0] == one), None)
        if kept is not None:
            old.remove(kept)
        tables.append(_schedule_table(one) if kept is None else kept[1])
    if "schedule" in arming:
        del arming["schedule"]
    for made in tables:
        _append(arming, "schedule", made)


def rename_camera(document: Any, before: str, now: str) -> None:
    """Let the profiles about a camera follow its new name."""
    for profile in document.get("arming", {}).get("profile", ()):
        armed = profile.get("armed")
        for pattern in armed if isinstance(armed, list) else [armed]:
            rename_in_pattern(pattern, before, now)


def rename_in_pattern(pattern: Any, before: str, now: str) -> None:
    """Let one pattern of events follow a camera's new name."""
    if isinstance(pattern, MutableMapping) and "camera" in pattern:
        names = pattern["camera"]
        if names == before:
            pattern["camera"] = now
        elif isinstance(names, list):
            pattern["camera"] = [now if name == before else name for name in names]


def pattern_value(pattern: Mapping[str, Any]) -> Any:
    """A pattern of events as short as possible: a label, or a table in one line.

    >>> pattern_value({"label": ["fall"], "camera": []}), dict(pattern_value({"camera": ["bath", "hall"]}))
    ('fall', {'camera': ['bath', 'hall']})
    """
    given = {key: value for key, value in pattern.items() if value not in (None, [])}
    short = {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in given.items()
    }
    return short["label"] if set(short) == {"label"} else toml.inline(short)


def _armed_value(armed: bool | Sequence[Mapping[str, Any]]) -> Any:
    if isinstance(armed, bool):
        return armed
    if any(not any(pattern.values()) for pattern in armed):
        return True  # one of them is of any event
    values: list[Any] = []
    for pattern in armed:
        value = pattern_value(pattern)
        values += value if isinstance(value, list) else [value]
    return values if len(values) != 1 or not isinstance(values[0], str) else values[0]


def _schedule_table(schedule: Mapping[str, Any]) -> Any:
    made = toml.table()
    made["profile"] = schedule["profile"]
    days = list(schedule["days"])
    if sorted(days) != sorted(DAYS):
        named = {str(_WEEKDAYS): "weekdays", str(_WEEKEND): "weekend"}
        made["days"] = named.get(str(days), days)
    for key in ("from", "until"):
        if schedule[key]:
            made[key] = schedule[key]
    return made


def _arming(document: Any) -> Any:
    """The ``[arming]`` table, made where there is none."""
    if "arming" not in document:
        document.append("arming", toml.table())
    arming = document["arming"]
    if not isinstance(arming, MutableMapping):
        raise SettingsError("arming is no table in the file: mend it by hand first")
    return arming


def _append(arming: Any, kind: str, one: Any) -> None:
    """Add a table to a list of them, which may be written in one line."""
    if arming.get(kind) is None:
        arming[kind] = [] if toml.is_in_line(arming) else toml.tables()
    listed = arming[kind]
    listed.append(toml.inline(one) if toml.is_in_line(listed) else one)
