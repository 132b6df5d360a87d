"""A part of cameras.toml for another machine, and the file as the head reads it."""

from __future__ import annotations

import pytest

from streamrec.errors import SettingsError
from streamrec.settings.cameras_file import part_of, watchfile_of, without_addresses

TEXT = """
[history]
keep_days = 3
[defaults]
model = "fight"
user = "me"
[[camera]]
name = "door"
address = "rtsp://10.0.0.1/live"
password = "${DOOR}"
[[camera]]
name = "yard"
address = "rtsp://10.0.0.2/live"
password_file = "yard.secret"
[[camera]]
name = "hall"
address_file = "hall.address"
"""


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "cameras.toml"
    found.write_text(TEXT)
    return found


def test_a_part_has_its_cameras_and_the_defaults_with_nothing_filled_in(path):
    part = part_of(path, ["door"])
    assert [one["name"] for one in part["camera"]] == ["door"]
    assert part["camera"][0]["password"] == "${DOOR}" and part["defaults"]["user"] == "me"
    assert "history" not in part


def test_a_part_is_filled_in_with_the_variables_of_the_machine(path, tmp_path):
    file = watchfile_of(part_of(path, ["door"]), tmp_path / "elsewhere" / "cameras.toml", {"DOOR": "hunter2"})
    assert [camera.address for camera in file.cameras] == ["rtsp://me:hunter2@10.0.0.1/live"]


def test_a_part_needs_no_password_of_other_cameras(path):
    with pytest.raises(SettingsError, match="camera 'yard'"):
        watchfile_of(part_of(path, ["yard"]), path, {})
    assert watchfile_of(part_of(path, ["door"]), path, {"DOOR": "hunter2"}).cameras[0].name == "door"


def test_the_head_needs_no_secret_of_a_camera(path):
    file = without_addresses(path)
    assert [camera.name for camera in file.cameras] == ["door", "yard", "hall"]
    assert file.secrets == () and [name for name, _ in file.tables] == ["history"]
