"""Profiles and their schedule, as the page writes them into cameras.toml."""

from __future__ import annotations

import tomllib

import pytest

from streamrec.errors import SettingsError
from streamrec.web.arming_tables import put_profile, put_schedule, remove_profile
from streamrec.web.cameras_editor import CamerasEditor, Change, ChangedMeanwhile

CAMERAS = """# the house
[[camera]]
name = "door"
address = "rtsp://192.168.1.20/stream1"
[[camera]]
name = "garden"
address = "rtsp://192.168.1.21/stream1"
[[camera.zone]]
name = "gate"
corners = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]
"""
ARMING = """
[arming]
timezone = "Europe/Berlin"
usual = "home"      # we are mostly there

# the kitchen is ours
[[arming.profile]]
name = "home"
armed = [{camera = "garden"}, "fall"]

[[arming.profile]]
name = "night"      # sleep
armed = true

[[arming.schedule]]
profile = "night"
from = "22:30"      # not earlier
until = "06:30"

[[arming.schedule]]
profile = "armed"
days = ["fri", "mon"]
from = "08:00"
until = "17:00"
"""
NIGHT = {
    "profile": "night",
    "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "from": "22:30",
    "until": "06:30",
}


@pytest.fixture
def edit(tmp_path):
    """An editor of a file with these lines after its cameras."""

    def make(more: str = ARMING) -> CamerasEditor:
        path = tmp_path / "cameras.toml"
        path.write_text(CAMERAS + more, encoding="utf-8")
        return CamerasEditor(path, {})

    return make


def profile(editor, name, change):
    editor.change(editor.read()["revision"], lambda document, arming: put_profile(document, name, change))


def remove(editor, name):
    editor.change(editor.read()["revision"], lambda document, arming: remove_profile(document, name))


def schedule(editor, *schedules, timezone="Europe/Berlin", usual="home"):
    given = {"timezone": timezone, "usual": usual, "schedules": list(schedules)}
    editor.change(editor.read()["revision"], lambda document, arming: put_schedule(document, arming, given))


def arming_in(editor):
    return tomllib.loads(editor.path.read_text(encoding="utf-8"))["arming"]


def test_the_page_shows_profiles_and_schedules_in_one_form(edit):
    shown = edit().read()["arming"]
    assert (shown["timezone"], shown["usual"], shown["built_in"]) == (
        "Europe/Berlin",
        "home",
        ["armed", "disarmed"],
    )
    home, night = shown["profiles"]
    assert home == {
        "name": "home", "text": "action on garden; fall",
        "armed": [
            {"label": [], "camera": ["garden"], "zone": [], "model": []},
            {"label": ["fall"], "camera": [], "zone": [], "model": []},
        ],
    }  # fmt: skip
    assert (night["armed"], night["text"]) == (True, "everything")
    assert shown["schedules"] == [
        NIGHT,
        {"profile": "armed", "days": ["mon", "fri"], "from": "08:00", "until": "17:00"},
    ]


@pytest.mark.parametrize("before", ["", "[arming]\n", 'arming = {usual = "armed"}\n'])
def test_the_first_profile_and_schedule_are_added(edit, before):
    editor = edit("")
    text = editor.path.read_text()
    editor.path.write_text(before + text if "{" in before else text + before)
    profile(
        editor,
        None,
        {"name": " away ", "armed": [{"label": ["fall"]}, {"camera": ["garden"], "zone": ["gate"]}]},
    )
    schedule(
        editor,
        {"profile": "away", "days": ["sat", "sun"], "from": "", "until": ""},
        timezone="",
        usual="armed",
    )
    found = arming_in(editor)
    assert found["profile"] == [{"name": "away", "armed": ["fall", {"camera": "garden", "zone": "gate"}]}]
    assert found["schedule"] == [{"profile": "away", "days": "weekend"}] and "timezone" not in found
    assert editor.path.read_text().count("# the house") == 1


def test_a_changed_profile_keeps_the_rest_of_the_file_and_is_followed_by_what_names_it(edit):
    editor = edit()
    profile(editor, "home", {"name": "at home", "armed": False})
    profile(
        editor,
        "night",
        {"name": "asleep", "armed": [{"label": ["fall", "fight"]}, {"label": [], "camera": []}]},
    )
    found = arming_in(editor)
    assert found["usual"] == "at home" and found["profile"] == [
        {"name": "at home", "armed": False}, {"name": "asleep", "armed": True},
    ]  # fmt: skip
    assert [one["profile"] for one in found["schedule"]] == ["asleep", "armed"]
    text = editor.path.read_text()
    for comment in (
        "# the house",
        "# we are mostly there",
        "# the kitchen is ours",
        "# sleep",
        "# not earlier",
    ):
        assert comment in text


def test_a_profile_in_use_is_not_removed_and_another_is(edit):
    editor = edit()
    before = editor.path.read_text()
    for name, why in (
        ("night", "the schedule names it"),
        ("home", "in force where"),
        ("x", "there is no profile 'x'"),
    ):
        with pytest.raises(SettingsError, match=why):
            remove(editor, name)
    assert editor.path.read_text() == before
    schedule(editor)
    remove(editor, "night")
    assert [one["name"] for one in arming_in(editor)["profile"]] == ["home"] and "schedule" not in arming_in(
        editor
    )


def test_schedules_keep_their_comments_and_get_the_order_that_was_given(edit):
    editor = edit()
    late = {
        "profile": "disarmed",
        "days": ["mon", "tue", "wed", "thu", "fri"],
        "from": "23:00",
        "until": "01:00",
    }
    schedule(editor, late, *reversed(editor.read()["arming"]["schedules"]), usual="armed", timezone="")
    found = arming_in(editor)
    assert found["schedule"] == [
        {"profile": "disarmed", "days": "weekdays", "from": "23:00", "until": "01:00"},
        {"profile": "armed", "days": ["fri", "mon"], "from": "08:00", "until": "17:00"},
        {"profile": "night", "from": "22:30", "until": "06:30"},
    ]
    assert (
        "# not earlier" in editor.path.read_text() and found["usual"] == "armed" and "timezone" not in found
    )


def test_profiles_in_one_line_are_changed_too(edit):
    editor = edit('[arming]\nusual = "home"\nprofile = [{name = "home", armed = true}]\n')
    profile(editor, None, {"name": "away", "armed": True})
    profile(editor, "home", {"name": "home", "armed": [{"camera": ["door"]}]})
    assert arming_in(editor)["profile"] == [
        {"name": "home", "armed": [{"camera": "door"}]},
        {"name": "away", "armed": True},
    ]


HOME = '[[arming.profile]]\nname = "home"\narmed = true\n'
USUAL = '[arming]\nusual = "home"\n'


@pytest.mark.parametrize("parts", [(USUAL, HOME), (HOME, USUAL)])
def test_tables_with_others_between_them_are_changed_too(edit, parts):
    editor = edit('[history]\nfile = "x.db"\n'.join(parts))
    profile(editor, None, {"name": "away", "armed": True})
    schedule(editor, NIGHT | {"profile": "away"}, usual="away", timezone="Europe/Berlin")
    found = arming_in(editor)
    assert [one["name"] for one in found["profile"]] == ["home", "away"]
    assert (found["usual"], found["schedule"][0]["profile"], found["timezone"]) == (
        "away",
        "away",
        "Europe/Berlin",
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "armed", "armed": True}, "it has a meaning of its own"),
        ({"name": "home", "armed": True}, "it stands there twice"),
        ({"name": "", "armed": True}, "name: '' is no name; write one"),
        ({"name": "x" * 61, "armed": True}, "is no name"),
        ({"name": "a\nb", "armed": True}, "is no name"),
        ({"name": "away", "armed": [{"camera": ["gardn"]}]}, "there is no such camera; did you mean garden"),
        ({"name": "away", "armed": [{"zone": ["gat"]}]}, "zone of the cameras; did you mean gate"),
        ({"name": "away", "armed": [{"label": [""]}]}, "armed: give"),
    ],
)
def test_what_the_reader_of_the_file_refuses_is_refused_with_its_sentence(edit, change, why):
    editor = edit()
    before = editor.path.read_text()
    with pytest.raises(SettingsError, match=why):
        profile(editor, None, change)
    assert editor.path.read_text() == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schedules": [NIGHT | {"profile": "nigth"}]}, "there is no such profile; did you mean night"),
        ({"schedules": [NIGHT | {"days": []}]}, "days: give"),
        ({"schedules": [NIGHT | {"days": ["moon"]}]}, "days: give"),
        ({"schedules": [NIGHT | {"from": "25:00"}]}, "from: give a time of day"),
        ({"schedules": [], "timezone": "Europe/Berln"}, "timezone: give a name like"),
        ({"schedules": [], "timezone": "../../etc/passwd"}, "timezone: give a name like"),
        ({"schedules": [], "usual": "nobody"}, "usual: nobody: there is no such profile"),
        ({"schedules": [NIGHT] * 31}, "there are 31; give at most 30"),
    ],
)
def test_so_is_a_schedule(edit, change, why):
    editor = edit()
    before = editor.path.read_text()
    given = {"timezone": "", "usual": "home", **change}
    with pytest.raises(SettingsError, match=why):
        schedule(editor, *given["schedules"], timezone=given["timezone"], usual=given["usual"])
    assert editor.path.read_text() == before


def test_a_file_that_changed_meanwhile_is_left_alone(edit):
    editor = edit()
    with pytest.raises(ChangedMeanwhile):
        editor.change("0" * 32, lambda document, arming: remove_profile(document, "night"))


def test_profiles_follow_the_new_name_of_a_camera(edit):
    editor = edit()
    address = editor.read()["cameras"][1]["address"]
    editor.put(editor.read()["revision"], "garden", Change(name="yard", address=address, model=""))
    assert arming_in(editor)["profile"][0]["armed"] == [{"camera": "yard"}, "fall"]
