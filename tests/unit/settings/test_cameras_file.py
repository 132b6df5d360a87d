"""cameras.toml: what is meant, what is wrong, and that no password is ever shown."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest

from streamrec import EventSettings
from streamrec.core.redact import redact
from streamrec.errors import SettingsError, StreamrecError
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.settings.cameras_file import _CAMERA_KEYS, WatchFile, read_watchfile
from streamrec.settings.tuned_file import Tuned
from tests.helpers.paths import ROOT

SECRET = "p@ss/w:rd #1?"
QUOTED = "p%40ss%2Fw%3Ard%20%231%3F"
DOOR = '[[camera]]\nname = "door"\naddress = "rtsp://192.168.1.20/stream1"\n'


def read(folder: Path, text: str, **environment: str) -> WatchFile:
    path = folder / "cameras.toml"
    path.write_text(text, encoding="utf-8")
    return read_watchfile(path, environment)


def address(folder: Path, text: str, **environment: str) -> str:
    (camera,) = read(folder, f'[[camera]]\nname = "door"\n{text}\n', **environment).cameras
    return camera.address


def test_a_table_is_a_camera_and_the_defaults_are_for_all(tmp_path):
    file = read(
        tmp_path,
        """
        [defaults]
        model = "fall"
        fps = 5
        enter = 0.7
        background = ["normal"]

        [[camera]]
        name = "door"
        address = "rtsp://192.168.1.20/stream1"
        leave = 0.3

        [[camera]]
        name = "Hof, hinten"
        address = 0
        model = "models/own.safetensors"
        fps = 12.5
        enter = 0.9
        enabled = false
        """,
    )
    door, yard = file.cameras
    assert (door.name, door.model, door.fps, door.enabled) == ("door", "fall", 5.0, True)
    assert (yard.name, yard.address, yard.fps, yard.enabled) == ("Hof, hinten", "0", 12.5, False)
    assert yard.model == str(tmp_path / "models/own.safetensors")
    own = EventSettings(shortest=1.5)
    assert door.event_settings(own) == EventSettings(
        enter=0.7, leave=0.3, shortest=1.5, background=("normal",)
    )
    assert yard.event_settings(own).enter == 0.9
    assert read(tmp_path, DOOR).cameras[0].event_settings(own) == own


def test_single_labels_may_have_numbers_of_their_own(tmp_path: Path) -> None:
    file = read(tmp_path, DOOR + "cool_down = 30\n[camera.by_label.fight]\nenter = 0.9\nshortest = 2\n")
    settings = file.cameras[0].event_settings(EventSettings())
    assert (settings.enter, settings.cool_down) == (0.6, 30)
    assert (settings.of("fight").enter, settings.of("fight").shortest, settings.of("fight").cool_down) == (
        0.9,
        2,
        30,
    )
    assert read(tmp_path, DOOR) == read(tmp_path, DOOR)  # so that what changed can be seen


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ('"clips/a.mp4"', "{folder}/clips/a.mp4"),
        ('"/videos/a.mp4"', "/videos/a.mp4"),
        ('"/dev/video0"', "/dev/video0"),
        ('"2"', "2"),
        ('"synthetic:7"', "synthetic:7"),
        ('"file:///videos/a.mp4"', "file:///videos/a.mp4"),
    ],
)
def test_files_lie_beside_the_file_that_names_them(tmp_path, given, meant):
    assert address(tmp_path, f"address = {given}") == meant.format(folder=tmp_path)


class TestSecrets:
    def test_a_password_comes_from_the_environment_and_is_quoted(self, tmp_path):
        text = 'address = "rtsp://cam/live"\nuser = "me@home"\npassword = "${DOOR}"'
        assert address(tmp_path, text, DOOR=SECRET) == f"rtsp://me%40home:{QUOTED}@cam/live"

    def test_a_password_comes_from_a_file_without_its_last_line_break(self, tmp_path):
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets/door").write_text(f"{SECRET}\n", encoding="utf-8")
        text = 'address = "rtsp://cam/live"\nuser = "me"\npassword_file = "${WHERE}/door"'
        assert address(tmp_path, text, WHERE="secrets") == f"rtsp://me:{QUOTED}@cam/live"
        file = read(tmp_path, f'[[camera]]\nname = "door"\n{text}', WHERE="secrets")
        assert file.read == (tmp_path / "cameras.toml", tmp_path / "secrets/door")

    def test_within_an_address_it_is_quoted_where_its_letters_would_end_it(self, tmp_path):
        given = 'address = "http://${USER}:${DOOR}@${HOST}/video?token=${TOKEN}&channel=1"'
        found = address(tmp_path, given, USER="me", DOOR=SECRET, HOST="cam:8080", TOKEN="a&b=c/d")
        assert found == f"http://me:{QUOTED}@cam:8080/video?token=a%26b%3Dc%2Fd&channel=1"

    def test_an_address_may_come_whole(self, tmp_path):
        whole = "rtsp://me:s3cret@cam/live?a=1"
        assert address(tmp_path, 'address = "${DOOR}"', DOOR=whole) == whole

    def test_a_dollar_may_be_meant(self, tmp_path):
        text = 'address = "rtsp://cam/live"\nuser = "me"\npassword = "cheap$$${X}$"'
        assert address(tmp_path, text, X="y") == "rtsp://me:cheap%24y%24@cam/live"

    def test_the_defaults_are_for_those_that_can_have_a_user_and_have_none(self, tmp_path):
        (tmp_path / "d.txt").write_text("dpass")
        file = read(
            tmp_path,
            """
            [defaults]
            user = "all"
            password = "${ALL}"
            [[camera]]
            name = "a"
            address = "rtsp://a/live"
            [[camera]]
            name = "b"
            address = "rtsp://own:0wnpass@b/live"
            [[camera]]
            name = "c"
            address = "film.mp4"
            [[camera]]
            name = "d"
            address = "rtsp://d/live"
            password_file = "d.txt"
            """,
            ALL="allpass",
        )
        assert [camera.address for camera in file.cameras] == [
            "rtsp://all:allpass@a/live",
            "rtsp://own:0wnpass@b/live",
            str(tmp_path / "film.mp4"),
            "rtsp://all:dpass@d/live",
        ]
        assert {"allpass", "0wnpass", "dpass"} <= set(file.secrets)

    def test_no_secret_is_in_a_repr_or_in_an_error(self, tmp_path):
        text = '[[camera]]\nname = "door"\naddress = "rtsp://cam/live"\nuser = "me"\npassword = "${DOOR}"\n'
        file = read(tmp_path, text, DOOR=SECRET)
        assert SECRET not in repr(file) and QUOTED not in repr(file)
        error = file.error("door", "address", StreamrecError(f"rtsp://me:{QUOTED}@cam and {SECRET}"))
        assert str(error) == "cameras.toml: camera 'door': address: rtsp://***@cam and ***"
        assert redact(f"a {SECRET} b {QUOTED}", file.secrets) == "a *** b ***"
        with pytest.raises(SettingsError) as raised:
            read(tmp_path, text + "fps = 0\n", DOOR=SECRET)
        assert SECRET not in "".join(traceback.format_exception(raised.value))

    @pytest.mark.parametrize(
        "line",
        [
            'password = ["hunter2"]',
            "password = 12345678",
            'password = "hunter2"\npassword_file = "a"',
            'pasword = "hunter2"',
        ],
    )
    def test_a_password_that_is_wrong_is_not_quoted(self, tmp_path, line):
        with pytest.raises(SettingsError) as raised:
            read(tmp_path, f'{DOOR}user = "me"\n{line}')
        assert "hunter2" not in str(raised.value)
        assert "12345678" not in str(raised.value)

    @pytest.mark.parametrize("name", ["\\u001b[31m", "a\\nb", "x" * 5000])
    def test_a_file_that_cannot_be_is_named_in_a_short_line_that_a_terminal_can_show(self, tmp_path, name):
        for key, address in (
            ("password_file", 'address = "rtsp://h/x"\nuser = "me"\n'),
            ("address_file", ""),
        ):
            with pytest.raises(SettingsError, match="cannot be read") as raised:
                read(tmp_path, f'[[camera]]\nname = "door"\n{address}{key} = "{name}"\n')
            assert str(raised.value).isprintable() and len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[[camera]]\nname = "a"\naddress = "~nobodyhere/x.mp4"', "camera 'a': address: "),
        ('[[camera]]\nname = "a"\naddress = "0"\nmodel = "~nobodyhere/m.onnx"', "camera 'a': model: "),
        (
            '[[camera]]\nname = "a"\naddress = "rtsp://h/x"\nuser = "u"\npassword_file = "~nobodyhere/p"',
            "camera 'a': password_file: ",
        ),
        ('[[camera]]\nname = "a"\naddress_file = "~nobodyhere/p"', "camera 'a': address_file: "),
        ('[[camera]]\nname = "a"\naddress = "0"\n[history]\nfile = "~nobodyhere/e.db"', "[history]: file: "),
        ('[[camera]]\nname = "a"\naddress = "0"\n[evidence]\nfolder = "~nobodyhere"', "[evidence]: folder: "),
    ],
)
def test_a_path_that_cannot_be_is_told_with_its_key(tmp_path, text, where):
    with pytest.raises(SettingsError, match="there is no user 'nobodyhere' here") as caught:
        DispatchSettings.of(read(tmp_path, text))
    assert str(caught.value).startswith(f"cameras.toml: {where}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no camera; add a [[camera]] table with name and address"),
        ("cameras = 3", "cameras: there is no such key; did you mean camera?"),
        ("camera = 3", "camera is no list of tables; write [[camera]] before each camera"),
        ("[camera]\nname = 'a'", "camera is no list of tables"),
        ("defaults = 3\n" + DOOR, "defaults is no table; write [defaults]"),
        ("[defaults]\nname = 'x'\n" + DOOR, "[defaults]: name: there is no such key"),
        ("[[camera]]\naddress = 'a.mp4'", "camera 1: name: it is missing; write one, like name = \"door\""),
        (DOOR + "[[camera]]\nname = ''\naddress = 'a'", "camera 2: name: '' is no name"),
        ("[[camera]]\nname = 7\naddress = 'a'", "camera 1: name: 7 is no name"),
        (DOOR + DOOR, "camera 'door': name: it stands there twice"),
        ("[[camera]]\nname = 'door'", "camera 'door': address: it is missing"),
        ("[[camera]]\nname = 'door'\naddress = ''", "camera 'door': address: write rtsp://"),
        ("[[camera]]\nname = 'door'\naddress = -1", "not -1"),
        (DOOR + "adress = 'x'", "camera 'door': adress: there is no such key; did you mean address?"),
        (DOOR + "colour = 'x'", "camera 'door': colour: there is no such key; there are name, address, model"),
        (DOOR + "fps = 0", "camera 'door': fps: give a number from 0.1 to 240, not 0"),
        (DOOR + "fps = true", "camera 'door': fps: give a number from 0.1 to 240, not True"),
        (DOOR + "fps = 'fast'", "camera 'door': fps: give a number from 0.1 to 240, not 'fast'"),
        (DOOR + "fps = nan", "camera 'door': fps: give a number from 0.1 to 240, not nan"),
        (DOOR + "enabled = 'no'", "camera 'door': enabled: write true or false, not 'no'"),
        (DOOR + "model = 3", "camera 'door': model: give a text, not 3"),
        (DOOR + "enter = 'high'", "camera 'door': enter: give a number from 0.001 to 1, not 'high'"),
        (DOOR + "shortest = -1", "camera 'door': shortest: give seconds from 0.001 to 3,600, or 0, not -1"),
        (DOOR + "by_label = 3", "camera 'door': by_label: it is no table of tables; write [camera.by_label.fight]"),
        (DOOR + "by_label.fight.entre = 0.9", "camera 'door': by_label: fight: entre: there is no such key; did you"),
        (
            DOOR + "by_label.fight.enter = -1",
            "camera 'door': by_label: fight: enter: give a number from 0.001 to 1, not -1",
        ),
        (DOOR + "background = 'idle'", "camera 'door': background: give a list of labels"),
        (DOOR + "user = 'a'\npassword = '${NOT_SET}'", "camera 'door': password: the environment has no NOT_SET"),
        (DOOR + "password = 'a'", "camera 'door': user: it is missing; a password belongs to a user"),
        (DOOR + "user = 'a'\npassword_file = 'no'", "camera 'door': password_file: "),
        ("[[camera]]\nname = 'a'\naddress = 'rtsp://b:c@d/e'\nuser = 'b'", "user: the address names a user already"),
        ("[[camera]]\nname = 'a'\naddress = 'a.mp4'\nuser = 'b'", "camera 'a': user: only an address like rtsp"),
        ("[[camera\nname", "is not TOML: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_file_camera_and_key(tmp_path, text, says):
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, text)
    assert says in str(raised.value)
    assert str(raised.value).startswith("cameras.toml")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_not_text_is_said(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: no such file"):
        read_watchfile(tmp_path / "no.toml", {})
    (tmp_path / "cameras.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"cameras\.toml is not written in UTF-8"):
        read_watchfile(tmp_path / "cameras.toml", {})


def test_the_guide_names_every_key_and_its_example_is_right(tmp_path):
    guide = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
    table = guide.partition("| key |")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[1:] if row.startswith("| `")]
    assert {key for cell in cells for key in re.findall(r"`(\w+)`", cell)} == set(_CAMERA_KEYS)
    example, zones, lines, several = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "yard").write_text("of-the-yard")
    entrance, yard = read(tmp_path, example, CAMERA_PASSWORD="of-all").cameras
    assert entrance.address == "rtsp://viewer:of-all@192.168.1.20/stream1"
    assert yard.address == "rtsp://viewer:of-the-yard@192.168.1.21/stream1"
    assert yard.event_settings(EventSettings()) == EventSettings(enter=0.8, shortest=1.0)
    (shop,) = read(tmp_path, zones + lines).cameras
    assert [label for line in shop.lines for label in line.labels] == ["door in", "door out"]
    assert [(zone.name, zone.exclude) for zone in shop.zones] == [("till", False), ("screen", True)]
    (hall,) = read(tmp_path, several).cameras
    assert hall.models == ("fight", "fall")
    assert [hall.event_settings(EventSettings(), name).enter for name in hall.models] == [0.7, 0.9]


def test_what_was_tuned_stands_for_what_a_camera_does_not_say(tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(
        DOOR
        + '[[camera]]\nname = "yard"\naddress = 0\nfps = 3\n'
        + '[[camera]]\nname = "hall"\naddress = 1\nmodel = "workout"\n'
    )
    door, yard, hall = read_watchfile(path, {}, Tuned(model="fall", threads=2, fps=7.5)).cameras
    assert (door.model, door.fps) == ("fall", 7.5)
    assert (yard.model, yard.fps) == ("fall", 3.0)
    assert (hall.model, hall.fps) == ("workout", None)  # the rhythm was found for another model
    door, yard, hall = read_watchfile(path, {}, Tuned(fps=7.5)).cameras
    assert (door.model, door.fps, hall.fps) == ("fight", 7.5, None)


def test_a_gate_is_a_keys_worth(tmp_path):
    (door,) = read(tmp_path, "[defaults]\nstill = 0.5\n" + DOOR).cameras
    assert door.still == 0.5
    with pytest.raises(SettingsError, match=r"camera 'door': still: give seconds from 0.01 to 3,600, not 0"):
        read(tmp_path, DOOR + "still = 0\n")


def test_counting_is_switched_on_for_a_camera_or_for_all(tmp_path):
    (door,) = read(tmp_path, DOOR).cameras
    assert not door.count
    (door,) = read(tmp_path, "[defaults]\ncount = true\n" + DOOR).cameras
    assert door.count
    with pytest.raises(SettingsError, match=r"camera 'door': count: write true or false, not 3"):
        read(tmp_path, DOOR + "count = 3\n")


def test_persons_are_judged_on_a_camera_as_it_says_and_as_is_best_where_it_says_nothing(tmp_path):
    assert read(tmp_path, DOOR).cameras[0].per_person is None
    (door,) = read(tmp_path, "[defaults]\nper_person = true\n" + DOOR + "per_person = false\n").cameras
    assert door.per_person is False
    with pytest.raises(SettingsError, match=r"camera 'door': per_person: write true or false, not 'yes'"):
        read(tmp_path, DOOR + 'per_person = "yes"\n')
    for privacy in ("blur-people", "blur-others"):
        assert read(tmp_path, DOOR + f'privacy = "{privacy}"\n').cameras[0].privacy == privacy


TILL = '[[camera.zone]]\nname = "till"\ncorners = [[0.1, 0.2], [0.5, 0.2], [0.5, 0.9]]\n'
SCREEN = '[[camera.zone]]\nname = "screen"\ncorners = [[0, 0], [0.1, 0], [0.1, 0.1]]\nexclude = true\n'


def test_a_camera_has_zones_and_watches_those_it_names(tmp_path):
    (door,) = read(tmp_path, DOOR + TILL + SCREEN).cameras
    assert [(zone.name, zone.exclude) for zone in door.zones] == [("till", False), ("screen", True)]
    assert door.zones[0].corners == ((0.1, 0.2), (0.5, 0.2), (0.5, 0.9))
    other = TILL.replace("till", "door")
    (door,) = read(tmp_path, DOOR + 'only = ["till"]\n' + TILL + other + SCREEN).cameras
    assert [zone.name for zone in door.zones] == ["till", "screen"]
    assert read(tmp_path, DOOR).cameras[0].zones == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zone = 3\n", "zone: it is no list of tables"),
        (TILL + TILL, "zone 'till': there are two of this name"),
        ('only = ["shop"]\n' + TILL, "only: shop: there is no such zone that is watched"),
        ('only = ["screen"]\n' + SCREEN, "only: screen: "),
        ('only = "till"\n' + TILL, "only: give a list of zones like"),
        (TILL.replace("0.9]", "7]"), "zone 'till': corners: give x and y of 3 to 64 corners"),
        (TILL.replace(", [0.5, 0.9]", ""), "zone 'till': corners: give x and y of 3 to 64 corners"),
        (TILL.replace("0.9]", "0.2]"), "zone 'till': corners: there is hardly any picture between them"),
        (TILL.replace('"till"', "3"), 'zone 1: name: give a name like "till", not 3'),
        (TILL + "colour = 3\n", "zone 'till': colour: "),
        (TILL + "exclude = 1\n", "zone 'till': exclude: write true or false, not 1"),
    ],
)
def test_a_wrong_zone_is_one_sentence(tmp_path, text, says):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, DOOR + text)
    assert "camera 'door': " in str(caught.value) and says in str(caught.value)
