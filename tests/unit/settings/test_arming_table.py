"""The table [arming] of cameras.toml, and the sentence about a mistake in it."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

import pytest

from streamrec.errors import SettingsError
from streamrec.events.arming import ArmingRules, Profile, Schedule
from streamrec.events.rules import Pattern
from streamrec.settings.cameras_file import read_after, read_watchfile

CAMERA = '[[camera]]\nname = "door"\naddress = "0"\n'
GOOD = """
[arming]
timezone = "Europe/Berlin"
usual = "home"
[[arming.profile]]
name = "home"
armed = [{ camera = "door" }, "fall"]
[[arming.profile]]
name = "away"
armed = true
[[arming.profile]]
name = "guests"
armed = false
[[arming.schedule]]
profile = "away"
days = "weekdays"
from = "08:00"
until = "17:30"
[[arming.schedule]]
profile = "away"
days = ["sat", "weekend"]
"""


def read(path, text: str, reader=read_watchfile):
    (path / "cameras.toml").write_text(text + CAMERA)
    return reader(path / "cameras.toml", {}).arming


def test_profiles_and_schedules_are_read(tmp_path):
    expected = ArmingRules(
        zone=ZoneInfo("Europe/Berlin"),
        usual="home",
        own=(
            Profile(name="home", armed=(Pattern(cameras=("door",)), Pattern(labels=("fall",)))),
            Profile(name="away", armed=(Pattern(),)),
            Profile(name="guests"),
        ),
        schedules=(
            Schedule(profile="away", days=(0, 1, 2, 3, 4), since=time(8), until=time(17, 30)),
            Schedule(profile="away", days=(5, 6)),
        ),
    )
    assert read(tmp_path, GOOD) == read(tmp_path, GOOD, read_after) == expected
    assert read(tmp_path, "") is None and read(tmp_path, "[arming]\n") == ArmingRules()


PROFILE = '[[arming.profile]]\nname = "home"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arming = 5", "arming: it is no table"),
        ("[arming]\nzone = 'x'", r"\[arming\]: zone: there is no such key"),
        (
            "[arming]\ntimezone = 'Mars/Base'",
            r'timezone: give a name like "Europe/Berlin", not \'Mars/Base\'',
        ),
        ("[arming]\ntimezone = '../../etc/passwd'", "timezone: give a name like"),
        ("[arming]\nusual = 'hom'\n" + PROFILE + "armed = true", "usual: hom: .* did you mean home"),
        ("[arming]\nprofile = 3", r"profile: it is no list of tables; write \[\[arming.profile\]\]"),
        (PROFILE, "arming.profile 'home': armed: it is missing"),
        (PROFILE + "armed = 3", "armed: give true, false"),
        (PROFILE + "armed = [{camera = 'dor'}]", "armed: camera: dor: .*did you mean door"),
        (PROFILE + "armed = [{cam = 'door'}]", "armed: cam: there is no such key"),
        ("[[arming.profile]]\narmed = true", "arming.profile 1: name: it is missing"),
        (
            "[[arming.profile]]\nname = 'armed'\narmed = true",
            "it has a meaning of its own; choose another name",
        ),
        (PROFILE + "armed = true\n" + PROFILE + "armed = false", "it stands there twice"),
        ("[[arming.schedule]]\ndays = 'all'", "arming.schedule 1: profile: it is missing; there are armed"),
        ("[[arming.schedule]]\nprofile = 'armed'\ndays = 'monday'", 'days: give "weekdays", "weekend"'),
        ("[[arming.schedule]]\nprofile = 'armed'\nfrom = '25:00'", 'from: give a time of day like "08:00"'),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message):
        read(tmp_path, text + "\n")
