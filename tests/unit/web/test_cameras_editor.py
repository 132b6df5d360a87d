"""streamrec/web/cameras_editor.py and addresses.py: what the page may do to cameras.toml, and what it may not."""

from __future__ import annotations

import stat
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from streamrec.core.address import quoted
from streamrec.errors import SettingsError
from streamrec.runtime.checkpoint import find_model
from streamrec.settings.cameras_file import read_watchfile
from streamrec.web.address_policy import check_address, login_of, place_of, shown
from streamrec.web.cameras_editor import CamerasEditor, Change, ChangedMeanwhile

FILE = """# the cameras of the shop
[defaults]          # for all
model = "fight"
user = "viewer"
password = "${CAMERA_PASSWORD}"

[[camera]]
name = "door"       # by the street
address = "rtsp://192.168.1.20/stream1"

# the yard is dark
[[camera]]
name = "yard"
address = "rtsp://me:s3cret-pw@192.168.1.21/h264?token=abcd1234"
enter = 0.8
"""
ENVIRONMENT = {"CAMERA_PASSWORD": "env-s3cret", "AWS_SECRET": "cloud-s3cret"}


@pytest.fixture
def editor(tmp_path) -> CamerasEditor:
    path = tmp_path / "cameras.toml"
    path.write_text(FILE, encoding="utf-8")
    path.chmod(0o640)
    return CamerasEditor(path, ENVIRONMENT)


def camera_of(editor: CamerasEditor, name: str) -> dict:
    return next(camera for camera in editor.read()["cameras"] if camera["name"] == name)


def as_it_is(editor: CamerasEditor, name: str) -> Change:
    shown_as = camera_of(editor, name)
    own = {k: v for k, v in shown_as["thresholds"].items() if v != shown_as["model_thresholds"][k]}
    return Change(name=name, address=shown_as["address"], model=shown_as["model"], thresholds=own)


def table(editor: CamerasEditor, name: str) -> dict:
    tables = tomllib.loads(editor.path.read_text(encoding="utf-8"))["camera"]
    return next(one for one in tables if one["name"] == name)


def address_of(editor: CamerasEditor, name: str) -> str:
    cameras = read_watchfile(editor.path, ENVIRONMENT).cameras
    return next(camera.address for camera in cameras if camera.name == name)


def kept(editor: CamerasEditor) -> list[Path]:
    """The files of secrets."""
    return sorted(path for path in editor.path.parent.glob("cameras.secrets/*"))


class TestReading:
    def test_no_password_and_no_token_is_told(self, editor):
        said = str(editor.read())
        assert "s3cret" not in said and "abcd1234" not in said
        assert camera_of(editor, "yard")["address"] == "rtsp://192.168.1.21/h264?token=***"
        assert camera_of(editor, "door")["login"] is True

    def test_thresholds_are_told_with_the_models_own(self, editor):
        yard = camera_of(editor, "yard")
        assert yard["thresholds"]["enter"] == 0.8
        assert yard["model_thresholds"]["enter"] == pytest.approx(0.6, abs=0.35)
        assert "fight" in editor.read()["models"]


class TestChanging:
    def test_saving_what_was_shown_changes_not_a_letter(self, editor):
        for name in ("door", "yard"):
            editor.put(editor.read()["revision"], name, as_it_is(editor, name))
        assert editor.path.read_text(encoding="utf-8") == FILE

    def test_comments_rights_and_the_others_stay(self, editor):
        editor.put(editor.read()["revision"], "door", replace(as_it_is(editor, "door"), enabled=False))
        text = editor.path.read_text(encoding="utf-8")
        for kept in ("# the cameras of the shop", "# for all", "# by the street", "# the yard is dark"):
            assert kept in text
        assert table(editor, "door")["enabled"] is False
        assert stat.S_IMODE(editor.path.stat().st_mode) == 0o640
        assert [path.name for path in editor.path.parent.iterdir()] == ["cameras.toml"]

    def test_a_change_by_hand_is_not_overwritten(self, editor):
        revision = editor.read()["revision"]
        by_hand = FILE + "# a word more\n"
        editor.path.write_text(by_hand, encoding="utf-8")
        for change in (
            lambda: editor.put(revision, "door", replace(as_it_is(editor, "door"), enabled=False)),
            lambda: editor.remove(revision, "door"),
        ):
            with pytest.raises(ChangedMeanwhile, match="was changed meanwhile"):
                change()
        assert editor.path.read_text(encoding="utf-8") == by_hand

    def test_a_camera_is_added_and_removed(self, editor):
        new = Change(
            name="hall",
            address="rtsp://10.0.0.9/live",
            region=(0.25, 0.5, 0.5, 0.5),
            thresholds={"enter": 0.9},
        )
        editor.put(editor.read()["revision"], None, new)
        hall = read_watchfile(editor.path, ENVIRONMENT).cameras[-1]
        assert (hall.name, hall.region) == ("hall", (0.25, 0.5, 0.5, 0.5))
        assert dict(hall.events)["enter"] == 0.9
        editor.remove(editor.read()["revision"], "door")
        assert [camera["name"] for camera in editor.read()["cameras"]] == ["yard", "hall"]
        assert "# the cameras of the shop" in editor.path.read_text(encoding="utf-8")

    def test_the_last_camera_stays(self, editor):
        editor.remove(editor.read()["revision"], "door")
        with pytest.raises(SettingsError, match="the last camera stays"):
            editor.remove(editor.read()["revision"], "yard")

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"name": "yard"}, "it stands there twice"),
            ({"name": " "}, "name: write one"),
            ({"name": "a\nb"}, "name: write one"),
            ({"thresholds": {"enter": 7.0}}, None),  # the file may say so; whoever loads the model refuses
            ({"region": (0.5, 0.5, 0.9, 0.9)}, "region: give left, top"),
            ({"model": "/etc/passwd"}, "there is no '/etc/passwd' to choose"),
            ({"model": "${AWS_SECRET}"}, "to choose"),
            ({"login": "new"}, "user: it is missing"),
            ({"login": "new", "user": "me"}, "the defaults' belongs to another user"),
        ],
    )
    def test_what_is_wrong_is_told_and_not_written(self, editor, change, says):
        wanted = replace(as_it_is(editor, "door"), **change)
        if says is None:
            return
        with pytest.raises(SettingsError, match=says):
            editor.put(editor.read()["revision"], "door", wanted)
        assert editor.path.read_text(encoding="utf-8") == FILE
        assert [path.name for path in editor.path.parent.iterdir()] == ["cameras.toml"]

    def test_a_folder_that_is_read_only_is_told(self, editor, monkeypatch):
        def refuse(self, target):
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(SettingsError, match="cannot be written here: read-only file system"):
            editor.put(editor.read()["revision"], "door", replace(as_it_is(editor, "door"), enabled=False))
        assert editor.path.read_text(encoding="utf-8") == FILE

    @pytest.mark.parametrize(
        ("table", "says"),
        [
            ('address = "rtsp://10.0.0.9/live"\nmodel = "broken.safetensors"', "model: .* is damaged"),
            ('address = "gone.mp4"', "address: there is no "),
            ('address = "synthetic:x"', "address: "),
            ('address = "gopher://10.0.0.9/live"', "address: .* cannot be watched"),
        ],
    )
    def test_what_a_start_would_refuse_of_a_camera_is_not_switched_on(self, editor, table, says):
        data = find_model("fight").read_bytes()
        (editor.path.parent / "broken.safetensors").write_bytes(data.replace(b'"encoder.', b'"encodes.', 1))
        given = f'{FILE}[[camera]]\nname = "trial"\nenabled = false\n{table}\n'
        editor.path.write_text(given, encoding="utf-8")
        with pytest.raises(SettingsError, match=f"camera 'trial': {says}"):
            editor.put(editor.read()["revision"], "trial", as_it_is(editor, "trial"))
        assert editor.path.read_text(encoding="utf-8") == given

    def test_a_camera_that_a_start_would_refuse_by_now_does_not_keep_others_from_being_changed(self, editor):
        with editor.path.open("a", encoding="utf-8") as file:
            file.write('[[camera]]\nname = "film"\naddress = "gone.mp4"\n')
        editor.put(editor.read()["revision"], "door", replace(as_it_is(editor, "door"), enabled=False))
        assert table(editor, "door")["enabled"] is False

    def test_a_link_stays_a_link(self, editor, tmp_path):
        link = tmp_path / "link.toml"
        link.symlink_to(editor.path)
        other = CamerasEditor(link, ENVIRONMENT)
        other.put(other.read()["revision"], "door", replace(as_it_is(other, "door"), enabled=False))
        assert link.is_symlink() and table(editor, "door")["enabled"] is False


class TestPasswords:
    def test_another_host_does_not_get_the_password_of_the_one_before(self, editor):
        for name in ("door", "yard"):
            wanted = replace(as_it_is(editor, name), address="rtsp://evil.example/live")
            with pytest.raises(SettingsError, match="another host gets no password"):
                editor.put(editor.read()["revision"], name, wanted)
            with pytest.raises(SettingsError, match="another host gets no password"):
                editor.address_to_try(name, wanted)
        port = replace(as_it_is(editor, "yard"), address="rtsp://192.168.1.21:9999/h264")
        with pytest.raises(SettingsError, match="another host gets no password"):
            editor.put(editor.read()["revision"], "yard", port)

    def test_a_host_behind_the_path_gets_no_password_either(self, editor):
        wanted = replace(as_it_is(editor, "yard"), address="rtsp://192.168.1.21/x@evil.example/live")
        with pytest.raises(SettingsError, match="the path holds an @: write %40"):
            editor.put(editor.read()["revision"], "yard", wanted)
        by_hand = FILE.replace("rtsp://192.168.1.20/stream1", "rtsp://nas/x@evil.example/live")
        editor.path.write_text(by_hand, encoding="utf-8")
        address = address_of(editor, "door")
        assert address == "rtsp://viewer:env-s3cret@nas/x%40evil.example/live"
        assert place_of(quoted(address)) == ("rtsp", "nas")

    def test_a_new_camera_does_not_get_the_defaults_password(self, editor):
        new = Change(name="hall", address="rtsp://evil.example/live")
        assert editor.address_to_try(None, new) == "rtsp://evil.example/live"
        editor.put(editor.read()["revision"], None, new)
        assert read_watchfile(editor.path, ENVIRONMENT).cameras[-1].address == "rtsp://evil.example/live"

    def test_another_path_of_the_same_host_keeps_it(self, editor):
        wanted = replace(as_it_is(editor, "yard"), address="rtsp://192.168.1.21/other")
        editor.put(editor.read()["revision"], "yard", wanted)
        assert address_of(editor, "yard") == "rtsp://me:s3cret-pw@192.168.1.21/other"
        assert "s3cret" not in editor.path.read_text(encoding="utf-8")

    def test_a_new_one_replaces_it_and_none_removes_it(self, editor):
        new = replace(as_it_is(editor, "yard"), login="new", user="you", password="p$${x}")
        editor.put(editor.read()["revision"], "yard", new)
        address = read_watchfile(editor.path, ENVIRONMENT).cameras[1].address
        assert address == "rtsp://you:p%24%24%7Bx%7D@192.168.1.21/h264?token=abcd1234"
        editor.put(editor.read()["revision"], "yard", replace(as_it_is(editor, "yard"), login="none"))
        address = read_watchfile(editor.path, ENVIRONMENT).cameras[1].address
        assert address == "rtsp://192.168.1.21/h264?token=abcd1234"

    @pytest.mark.parametrize(
        ("address", "user", "password", "opened"),
        [
            ("rtsp://10.0.0.9/live", "me", "p@ss w/?#%$${x}", "rtsp://me:p%40ss%20w%2F%3F%23%25%24%24%7Bx%7D@10.0.0.9/live"),
            ("rtsp://me:hun/ter2@10.0.0.9/live", "", "", "rtsp://me:hun%2Fter2@10.0.0.9/live"),
            ("rtsp://me:my pass@10.0.0.9/live", "", "", "rtsp://me:my%20pass@10.0.0.9/live"),
            ("rtsps://10.0.0.9:7441/aB3dE5gH7jK9mN1p", "", "", "rtsps://10.0.0.9:7441/aB3dE5gH7jK9mN1p"),
            ("http://10.0.0.9/v?token=${x}&channel=1", "", "", "http://10.0.0.9/v?token=${x}&channel=1"),
            ("http://me:hunter2@10.0.0.9/v?sid=abc$", "", "", "http://me:hunter2@10.0.0.9/v?sid=abc$"),
        ],
    )  # fmt: skip
    def test_what_is_secret_stands_in_a_file_for_its_owner_alone(
        self, editor, address, user, password, opened
    ):
        change = Change(
            name="hall", address=address, login="new" if user else "keep", user=user, password=password
        )
        editor.put(editor.read()["revision"], None, change)
        assert address_of(editor, "hall") == opened
        added = editor.path.read_text(encoding="utf-8").removeprefix(FILE)
        for secret in (password, "hun", "my pass", "aB3d", "${x}", "abc$"):
            assert not secret or secret not in added
        assert kept(editor) and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept(editor))
        assert stat.S_IMODE(kept(editor)[0].parent.stat().st_mode) == 0o700
        said = camera_of(editor, "hall")
        assert not any(secret and secret in str(said) for secret in (password, "hun", "aB3d", "abc$"))
        # Saved as it is shown, nothing of it changes; removed, nothing is left.
        before = editor.path.read_bytes(), kept(editor)
        editor.put(editor.read()["revision"], "hall", as_it_is(editor, "hall"))
        assert (editor.path.read_bytes(), kept(editor)) == before
        editor.remove(editor.read()["revision"], "hall")
        assert not (editor.path.parent / "cameras.secrets").exists()

    def test_files_of_secrets_follow_what_is_changed(self, editor):
        for password in ("first-pw", "second-pw"):
            new = replace(as_it_is(editor, "door"), login="new", user="me", password=password)
            editor.put(editor.read()["revision"], "door", new)
            assert [path.read_text() for path in kept(editor)] == [password]
            assert address_of(editor, "door") == f"rtsp://me:{password}@192.168.1.20/stream1"
        elsewhere = replace(as_it_is(editor, "door"), address="rtsp://192.168.1.20/stream2")
        editor.put(editor.read()["revision"], "door", elsewhere)
        assert address_of(editor, "door") == "rtsp://me:second-pw@192.168.1.20/stream2"
        editor.put(editor.read()["revision"], "door", replace(as_it_is(editor, "door"), login="none"))
        assert kept(editor) == [] and address_of(editor, "door") == "rtsp://192.168.1.20/stream2"

    def test_a_key_in_a_path_may_be_replaced_and_given_up(self, editor):
        for address in ("rtsps://10.0.0.9:7441/aB3dE5gH7jK9mN1p", "rtsps://10.0.0.9:7441/bC4eF6hI8kL0nO2q"):
            new = camera_of(editor, "hall") if kept(editor) else None
            change = (
                replace(as_it_is(editor, "hall"), address=address)
                if new
                else Change(name="hall", address=address)
            )
            editor.put(editor.read()["revision"], "hall" if new else None, change)
            assert address_of(editor, "hall") == address and len(kept(editor)) == 1
        change = replace(as_it_is(editor, "hall"), address="rtsps://10.0.0.9:7441/live")
        editor.put(editor.read()["revision"], "hall", change)
        assert table(editor, "hall")["address"] == "rtsps://10.0.0.9:7441/live" and kept(editor) == []

    def test_a_try_leaves_no_file(self, editor):
        change = Change(
            name="hall", address="rtsp://10.0.0.9/live?sid=abcd", login="new", user="me", password="hunter2"
        )
        assert editor.address_to_try(None, change) == "rtsp://me:hunter2@10.0.0.9/live?sid=abcd"
        assert [path.name for path in editor.path.parent.iterdir()] == ["cameras.toml"]

    def test_a_file_of_secrets_that_is_still_named_stays(self, editor):
        new = replace(as_it_is(editor, "door"), login="new", user="me", password="first-pw")
        editor.put(editor.read()["revision"], "door", new)
        (path,) = kept(editor)
        text = editor.path.read_text(encoding="utf-8")
        name = f"{path.parent.name}/{path.name}"
        more = f'\n[[camera]]\nname = "twin"\naddress = "rtsp://10.0.0.8/live"\nuser = "me"\npassword_file = "{name}"\n'
        editor.path.write_text(text + more, encoding="utf-8")
        editor.remove(editor.read()["revision"], "door")
        assert kept(editor) == [path] and address_of(editor, "twin") == "rtsp://me:first-pw@10.0.0.8/live"

    def test_a_change_has_no_secret_in_its_repr(self):
        change = Change(name="a", address="rtsp://h/x?token=abc", login="new", user="me", password="hunter2")
        assert "hunter2" not in repr(change) and "abc" not in repr(change)

    @pytest.mark.parametrize("field", ["address", "user", "password"])
    def test_the_environment_cannot_be_read_through_the_page(self, editor, field):
        words = {"address": "rtsp://evil.example/${AWS_SECRET}", "user": "me", "password": "a-password"}
        if field != "address":
            words[field] = "${AWS_SECRET}"
        new = Change(name="hall", login="new", **words)
        assert "cloud-s3cret" not in editor.address_to_try(None, new)
        editor.put(editor.read()["revision"], None, new)
        camera = read_watchfile(editor.path, ENVIRONMENT).cameras[-1]
        assert "cloud-s3cret" not in camera.address
        assert "AWS_SECRET" in camera.address  # as the letters that it is

    def test_a_part_that_is_hidden_cannot_be_kept_in_another_address(self, editor):
        wanted = replace(as_it_is(editor, "yard"), address="rtsp://192.168.1.21/other?token=***")
        with pytest.raises(SettingsError, match="a part of it is hidden"):
            editor.put(editor.read()["revision"], "yard", wanted)


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "/etc/passwd", "file:///etc/passwd", "FILE:///etc/passwd", "concat:/etc/passwd|/etc/hosts",
            "pipe:0", "subfile,,start,0,end,0,,:/etc/passwd", "crypto:/etc/passwd", "data:text/plain,x",
            "async:file:///etc/passwd", "cache:http://10.0.0.1/", "tee:x", "udp://10.0.0.1:1", "tcp://10.0.0.1:22",
            "gopher://10.0.0.1/", "ftp://10.0.0.1/x", "srt://10.0.0.1", "unix:///var/run/docker.sock",
            "0", "/dev/video0", "synthetic:1", "cameras.toml", "", "rtsp://", "rtsp:///live", "rtsp://host:99999/",
            "rtsp://10.0.0.1/a b", "rtsp://10.0.0.1/\nx", "rtsp://10.0.0.1/|x", "http+unix://x",
        ],
    )  # fmt: skip
    def test_what_is_no_camera_on_the_network_is_refused(self, address):
        with pytest.raises(SettingsError):
            check_address(address)

    @pytest.mark.parametrize(
        "address",
        [
            "http://169.254.169.254/latest/meta-data/", "rtsp://169.254.169.254/", "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/", "http://2852039166/",  # 169.254.169.254 as one number
            "http://127.0.0.1:8765/api/v1/cameras", "http://localhost:6379/", "http://127.1/", "http://[::1]/",
            "http://0x7f000001/", "http://2130706433/", "http://0.0.0.0/", "http://[::]/", "rtmp://127.0.0.1/",
            "http://[::ffff:127.0.0.1]/", "http://user@127.0.0.1/", "http://239.1.1.1/",
        ],
    )  # fmt: skip
    def test_what_no_camera_is_is_refused(self, address):
        with pytest.raises(SettingsError):
            check_address(address)

    @pytest.mark.parametrize(
        "address",
        ["rtsp://192.168.1.20/stream1", "rtsps://10.0.0.7:322/a?b=c", "http://192.168.1.9/video.mjpg",
         "https://[2001:db8::7]/x.m3u8", "rtmp://10.0.0.7/live", "rtsp://127.0.0.1:8554/door", "rtsp://me:pw@10.0.0.7/"],
    )  # fmt: skip
    def test_cameras_may_be_named(self, address):
        check_address(address)

    def test_whose_password_it_is(self):
        assert place_of("rtsp://a:b@host/x") == ("rtsp", "host")
        assert place_of("rtsp://host@evil/x") == ("rtsp", "evil")
        assert place_of("rtsp://host/x@evil") == ("rtsp", "host")
        assert login_of("rtsp://a:b@host/x") == "a:b@"
        assert shown("rtsp://a:b@host/x?pwd=1") == "rtsp://host/x?pwd=***"


SEVERAL = """
# both watch the hall
[[camera]]
name = "hall"
address = "rtsp://192.168.1.22/stream1"
models = ["fight", "fall"]   # in one pass
enter = 0.7
user = ""

[camera.by_model.fall]       # of one alone
enter = 0.9                  # often
background = ["normal"]
"""


class TestSeveralModels:
    @pytest.fixture
    def hall(self, editor) -> CamerasEditor:
        editor.path.write_text(FILE + SEVERAL, encoding="utf-8")
        return editor

    def put(self, editor: CamerasEditor, **changes) -> dict:
        shown_as = camera_of(editor, "hall")
        change = Change(
            name="hall",
            address=shown_as["address"],
            model=shown_as["model"],
            thresholds=shown_as["thresholds"],
        )
        editor.put(editor.read()["revision"], "hall", replace(change, **changes))
        return table(editor, "hall")

    def test_they_are_told_with_the_thresholds_of_each(self, hall):
        found = camera_of(hall, "hall")
        assert (found["model"], found["models"], found["watched_by"]) == (
            "",
            ["fight", "fall"],
            "fight + fall",
        )
        fight, fall = found["by_model"]
        assert (fight["model"], fight["thresholds"]["enter"], fight["model_thresholds"]["enter"]) == (
            "fight",
            0.7,
            0.7,
        )
        assert (fall["model"], fall["thresholds"]["enter"], fall["model_thresholds"]["enter"]) == (
            "fall",
            0.9,
            0.7,
        )
        assert "models" not in camera_of(hall, "door") and "by_model" not in camera_of(hall, "door")

    def test_who_does_not_know_of_them_keeps_them_and_their_settings(self, hall):
        before = table(hall, "hall")
        assert self.put(hall, fps=5.0) == before | {"fps": 5.0}
        text = hall.path.read_text(encoding="utf-8")
        assert "# in one pass" in text and "# of one alone" in text and "# often" in text

    def test_their_thresholds_are_written_apart(self, hall):
        given = {"fight": {"shortest": 1.5}, "fall": {"enter": 0.95, "leave": 0.3}}
        after = self.put(hall, models=["fight", "fall"], by_model=given)
        assert after["enter"] == 0.7
        assert after["by_model"] == {
            "fight": {"shortest": 1.5},
            "fall": {"enter": 0.95, "leave": 0.3, "background": ["normal"]},
        }
        after = self.put(hall, by_model={"fight": {}, "fall": {}})
        assert after["by_model"] == {"fall": {"background": ["normal"]}}

    def test_another_one_comes_one_goes_and_one_is_left(self, hall):
        after = self.put(hall, models=["fall", "workout", ""])
        assert after["models"] == ["fall", "workout", "fight"]  # the defaults' model is fight
        assert after["by_model"]["fall"]["enter"] == 0.9
        after = self.put(hall, models=["fight", "workout"])
        assert after["models"] == ["fight", "workout"] and "by_model" not in after
        after = self.put(hall, models=["workout"])
        assert after["model"] == "workout" and "models" not in after
        after = self.put(hall, models=[])
        assert "model" not in after and "models" not in after
        after = self.put(hall, models=["fall", "fight"], by_model={"fall": {"enter": 0.9}})
        assert (after["models"], after["by_model"]) == (["fall", "fight"], {"fall": {"enter": 0.9}})
        after = self.put(hall, model="fight")
        assert after["model"] == "fight" and "models" not in after and "by_model" not in after

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"models": ["fight", "/etc/passwd"]}, "there is no '/etc/passwd' to choose"),
            ({"models": ["fight", "fight"]}, "models: two of the models are called fight"),
            ({"models": ["fight", ""]}, "models: two of the models are called fight"),
            ({"by_model": {"fall": {"enter": 7.0}}}, "enter: give a number"),
            ({"by_model": {"fall": {"leave": 0.95}}}, "by_model: fall: leave is 0.95 and enter is 0.7"),
            ({"by_model": {"fal": {"enter": 0.9}}}, "by_model: fal: there is no such model of this camera"),
            ({"by_model": {"fall": {"entre": 0.9}}}, "entre: there is no such key"),
        ],
    )
    def test_what_could_not_start_is_not_written(self, hall, changes, message):
        before = hall.path.read_text(encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            self.put(hall, **changes)
        assert message in str(caught.value)
        assert hall.path.read_text(encoding="utf-8") == before

    def test_thresholds_of_one_are_tried_alone(self, hall):
        assert hall.tried("hall", {"enter": 0.8}, "fall").enter == 0.8
        assert hall.tried("hall", {"shortest": 2.0}, "fight").enter == 0.7
        assert hall.tried("hall", {}, "fall").enter == 0.7


USUAL = {"exclude": False, "mask": True, "report": []}
TILL = {"name": "till", "corners": [[0.1, 0.3], [0.5, 0.3], [0.5, 0.9]], **USUAL}
SCREEN = {"name": "screen", "corners": [[0.7, 0.1], [0.9, 0.1], [0.9, 0.4]], **USUAL, "exclude": True}
CORNER = {"name": "corner", "corners": [[0.0, 0.8], [0.2, 0.8], [0.2, 1.0]], **USUAL, "mask": False}
CORNER["report"] = ["people"]
LINE = {"name": "door", "ends": [[0.4, 0.9], [0.6, 0.9]], "forward": "in", "back": "out"}
LIES = {"name": "lies too long", "when": {"label": ["fall"], "camera": ["door"], "zone": []}, "lasts": "30 s"}


class TestPlaces:
    def put(self, editor: CamerasEditor, name: str, **more) -> None:
        editor.put(editor.read()["revision"], name, replace(as_it_is(editor, name), **more))

    def test_zones_and_lines_are_written_and_shown_again(self, editor):
        self.put(editor, "door", zones=[TILL, SCREEN, CORNER], lines=[LINE])
        shown_as = camera_of(editor, "door")
        assert shown_as["zones"] == [TILL, SCREEN, CORNER] and shown_as["lines"] == [LINE]
        assert shown_as["only"] is None
        written = table(editor, "door")["zone"]
        assert [set(zone) for zone in written] == [
            {"name", "corners"},
            {"name", "corners", "exclude"},
            {"name", "corners", "mask", "report"},
        ]
        text = editor.path.read_text(encoding="utf-8")
        assert "# by the street" in text and "# the yard is dark" in text
        assert table(editor, "yard")["enter"] == 0.8

    def test_other_settings_may_change_after_there_are_zones(self, editor):
        self.put(editor, "door", zones=[TILL], lines=[LINE])
        self.put(editor, "door", region=(0.1, 0.1, 0.5, 0.5), thresholds={"enter": 0.9}, fps=5.0)
        door = table(editor, "door")
        assert (door["region"], door["enter"], door["fps"]) == ([0.1, 0.1, 0.5, 0.5], 0.9, 5.0)
        assert set(door["zone"][0]) == {"name", "corners"} and camera_of(editor, "door")["zones"] == [TILL]

    def test_unchanged_ones_stay_as_they_stand_in_the_file(self, editor):
        self.put(editor, "door", zones=[TILL, CORNER])
        path = editor.path
        path.write_text(path.read_text().replace('name = "till"', 'name = "till"  # where they pay'))
        before = path.read_text()
        self.put(editor, "door", zones=[TILL, CORNER])
        self.put(editor, "door")  # without a word of zones
        assert path.read_text() == before
        moved = {**TILL, "corners": [[0.2, 0.3], [0.5, 0.3], [0.5, 0.9], [0.2, 0.9]]}
        self.put(editor, "door", zones=[moved, CORNER])
        assert "# where they pay" in path.read_text()
        assert camera_of(editor, "door")["zones"] == [moved, CORNER]

    def test_which_are_watched(self, editor):
        other = {**TILL, "name": "other"}
        self.put(editor, "door", zones=[TILL, other, SCREEN], only=["till"])
        assert table(editor, "door")["only"] == ["till"]
        assert [zone["name"] for zone in camera_of(editor, "door")["zones"]] == ["till", "other", "screen"]
        self.put(editor, "door", zones=[TILL, other], only=["till", "other"])
        assert "only" not in table(editor, "door")
        self.put(editor, "door", zones=[TILL, other], only=["other"])
        self.put(editor, "door", zones=[], lines=[])
        assert not {"zone", "line", "only"} & set(table(editor, "door"))

    @pytest.mark.parametrize(
        ("zone", "why"),
        [
            ({**TILL, "corners": [[0.1, 0.3], [0.5, 0.3]]}, "corners: give x and y of 3 to 64"),
            ({**TILL, "name": ""}, "zone 1: name"),
            ({**SCREEN, "mask": False}, "mask"),
        ],
        ids=str,
    )
    def test_what_the_file_refuses_is_refused(self, editor, zone, why):
        before = editor.path.read_text()
        with pytest.raises(SettingsError, match=why):
            self.put(editor, "door", zones=[zone])
        assert editor.path.read_text() == before


class TestRules:
    def put(self, editor: CamerasEditor, name: str | None, rule: dict) -> None:
        editor.put_rule(editor.read()["revision"], name, rule)

    def test_a_rule_is_added_changed_and_removed(self, editor):
        self.put(editor, None, LIES)
        (rule,) = editor.read()["rules"]
        assert rule == {
            "name": "lies too long",
            "when": {"label": "fall", "camera": "door"},
            "lasts": "30 s",
            "enabled": True,
            "text": "fall on door lasts longer than 30 s",
        }
        assert 'when = {label = "fall", camera = "door"}' in editor.path.read_text()
        changed = {"name": "silence", "when": {"label": ["fall"]}, "absent": 7200, "enabled": False}
        self.put(editor, "lies too long", changed)
        (rule,) = tomllib.loads(editor.path.read_text())["rule"]
        assert rule == {"name": "silence", "when": "fall", "absent": 7200, "enabled": False}
        assert editor.read()["rules"][0]["absent"] == "2 h"
        editor.remove_rule(editor.read()["revision"], "silence")
        assert editor.read()["rules"] == [] and "[[rule]]" not in editor.path.read_text()

    def test_each_kind_comes_back_as_it_was_given(self, editor):
        when = {"label": "fall"}
        kinds = [
            {"since": "08:00", "by": "10:00", "timezone": "Europe/Berlin"},
            {"then": {"label": ["wave", "fight"], "camera": "yard"}, "within": "1 min"},
            {"count": 3, "within": "1 h"},
        ]
        for number, kind in enumerate(kinds):
            self.put(editor, None, {"name": f"rule {number}", "when": when, **kind})
        for number, (kind, rule) in enumerate(zip(kinds, editor.read()["rules"], strict=True)):
            text = rule.pop("text")
            assert rule == {"name": f"rule {number}", "when": "fall", **kind, "enabled": True} and text

    def test_what_the_file_refuses_is_refused(self, editor):
        before = editor.path.read_text()
        for rule, why in (
            ({**LIES, "lasts": "for ever"}, "lasts: give a time"),
            ({**LIES, "absent": 5}, "lasts and absent do not go together"),
            ({**LIES, "when": {"camera": ["attic"]}}, "there is no such camera"),
            ({**LIES, "colour": "red"}, "colour: there is no such key"),
        ):
            for refused in (
                lambda rule=rule: self.put(editor, None, rule),
                lambda rule=rule: editor.rule_to_try(rule),
            ):
                with pytest.raises(SettingsError, match=why):
                    refused()
        with pytest.raises(ChangedMeanwhile):
            editor.put_rule("0" * 32, None, LIES)
        with pytest.raises(SettingsError, match="there is no rule 'x'"):
            editor.remove_rule(editor.read()["revision"], "x")
        assert editor.path.read_text() == before

    def test_a_rule_is_tried_without_being_written_whatever_is_in_the_file(self, editor):
        self.put(editor, None, LIES)
        before = editor.path.read_text()
        rule, cameras = editor.rule_to_try({**LIES, "lasts": 5, "enabled": False})
        assert (rule.name, rule.lasts, cameras) == ("lies too long", 5.0, ("door", "yard"))
        assert editor.path.read_text() == before

    def test_rules_follow_the_new_name_of_a_camera(self, editor):
        self.put(editor, None, LIES)
        self.put(editor, None, {"name": "both", "when": {"camera": ["door", "yard"]}, "absent": "2 h"})
        editor.put(editor.read()["revision"], "door", replace(as_it_is(editor, "door"), name="gate"))
        assert [rule["when"]["camera"] for rule in editor.read()["rules"]] == ["gate", ["gate", "yard"]]

    def test_a_camera_that_a_rule_names_cannot_be_removed(self, editor):
        self.put(editor, None, LIES)
        with pytest.raises(SettingsError, match="rule 'lies too long': when: camera: door"):
            editor.remove(editor.read()["revision"], "door")


class TestPeople:
    def test_what_is_chosen_is_written_and_shown_again(self, editor):
        change = replace(
            as_it_is(editor, "door"),
            models=["fight", "webcam"],
            count=True,
            per_person="yes",
            privacy="blur-people",
        )
        editor.put(editor.read()["revision"], "door", change)
        assert table(editor, "door") | {"count": True, "per_person": True, "privacy": "blur-people"} == table(
            editor, "door"
        )
        found = camera_of(editor, "door")
        assert (found["count"], found["per_person"], found["privacy"]) == (True, "yes", "blur-people")
        (camera, _) = read_watchfile(editor.path, ENVIRONMENT).cameras
        assert camera.count and camera.per_person and camera.privacy == "blur-people"
        back = replace(change, count=False, per_person="default", privacy="")
        editor.put(editor.read()["revision"], "door", back)
        assert not {"count", "per_person", "privacy"} & table(editor, "door").keys()

    def test_a_change_without_them_leaves_them_as_they_are(self, editor):
        text = editor.path.read_text(encoding="utf-8")
        own = 'name = "yard"\ncount = true # the press\nper_person = false\nprivacy = "none"\n'
        editor.path.write_text(text.replace('name = "yard"\n', own), encoding="utf-8")
        before = editor.path.read_text(encoding="utf-8")
        editor.put(editor.read()["revision"], "yard", as_it_is(editor, "yard"))
        assert editor.path.read_text(encoding="utf-8") == before
        shown_as = replace(as_it_is(editor, "yard"), count=True, per_person="no", privacy="none")
        editor.put(editor.read()["revision"], "yard", shown_as)
        assert editor.path.read_text(encoding="utf-8") == before

    def test_a_count_of_all_cameras_may_be_switched_off_for_one(self, editor):
        text = editor.path.read_text(encoding="utf-8")
        editor.path.write_text(text.replace("[defaults]", "[defaults]\ncount = true"), encoding="utf-8")
        assert camera_of(editor, "door")["count"]
        editor.put(editor.read()["revision"], "door", replace(as_it_is(editor, "door"), count=False))
        assert table(editor, "door")["count"] is False and not camera_of(editor, "door")["count"]
        editor.put(editor.read()["revision"], "door", replace(as_it_is(editor, "door"), count=True))
        assert "count" not in table(editor, "door") and camera_of(editor, "door")["count"]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"per_person": "yes"}, "fight judges whole pictures: models on keypoints judge each person"),
            ({"per_person": "maybe"}, "per_person: there is no such choice"),
            ({"privacy": "secret"}, "privacy: it is 'secret': write full, blur or none"),
        ],
    )
    def test_what_could_not_start_is_not_written(self, editor, changes, message):
        before = editor.path.read_text(encoding="utf-8")
        with pytest.raises(SettingsError, match=message):
            editor.put(editor.read()["revision"], "door", replace(as_it_is(editor, "door"), **changes))
        assert editor.path.read_text(encoding="utf-8") == before
