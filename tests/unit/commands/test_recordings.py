"""Options of continuous recording, and finding the recording of a moment."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from streamrec.commands.option_groups import recording_options
from streamrec.commands.recording_list import RecordingAt
from streamrec.errors import HistoryError, SettingsError
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.outputs.recording.files import create
from streamrec.settings.cameras_file import read_watchfile
from streamrec.settings.recording import RecordingSettings

NOON = datetime(2026, 11, 26, 12, 0).timestamp()  # local time


def test_a_video_is_no_recording_and_lengths_are_read(tmp_path):
    assert recording_options(tmp_path / "out.mp4", None, None, None) == {}
    given = recording_options(tmp_path, "10m", "7d", 5.0)
    assert given == {"folder": str(tmp_path), "segment": 600.0, "keep_days": 7.0, "max_gb": 5.0}
    assert recording_options(tmp_path, None, "12h", None)["keep_days"] == 0.5


@pytest.mark.parametrize(
    ("segment", "keep", "said"),
    [
        ("ten", None, "--segment ten: write a length"),
        ("1s", None, "--segment 1s"),
        ("9999999d", None, "--segment"),
        ("10m", "-7d", "--keep -7d"),
        ("10m", "0d", "--keep 0d"),
    ],
)
def test_a_length_that_is_none_is_a_sentence(tmp_path, segment, keep, said):
    with pytest.raises(SettingsError, match=said):
        recording_options(tmp_path, segment, keep, None)


def test_a_recording_needs_a_folder(tmp_path):
    with pytest.raises(SettingsError, match="give its folder, --save FOLDER"):
        recording_options(None, "10m", None, None)
    (tmp_path / "out.mp4").write_bytes(b"")
    with pytest.raises(SettingsError, match="needs a folder"):
        recording_options(tmp_path / "out.mp4", "10m", None, None)


def test_options_go_over_the_table_whose_folder_is_beside_the_file(tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(
        '[[camera]]\nname = "door"\naddress = "synthetic"\n[recording]\nsegment = 60\nside = 320\n'
    )
    settings = DispatchSettings.of(read_watchfile(path, {}))
    assert settings.recording == RecordingSettings(folder=str(tmp_path / "recordings"), segment=60, side=320)
    over = settings.with_options(recording={"segment": 30.0}).recording
    assert over is not None and (over.segment, over.side) == (30.0, 320)
    path.write_text(path.read_text() + "keep_days = -1\n")
    with pytest.raises(SettingsError, match=r"\[recording\]: keep_days: give a number"):
        DispatchSettings.of(read_watchfile(path, {}))


@pytest.fixture
def recorded(tmp_path) -> Path:
    for start in (-600, 0, 600):
        path, descriptor = create(tmp_path / "recordings", "door", NOON + start)
        os.close(descriptor)
        os.utime(path, (NOON + start + 600, NOON + start + 600))
    return tmp_path / "recordings"


def said_at(time: str, file: Path, *, as_json: bool = False) -> list[str]:
    lines: list[str] = []
    RecordingAt(time=time, camera="door", file=file, as_json=as_json).run(lines.append)
    return lines


def test_a_moment_is_found_in_a_folder_or_by_the_file_that_names_it(recorded):
    lines = said_at("2026-11-26T12:01:05", recorded)
    assert lines[0].endswith("-door.mp4  at 1:05") and [line.split(":")[0] for line in lines[1:]] == [
        "  before",
        "  after",
    ]
    file = recorded.parent / "cameras.toml"
    file.write_text("[recording]\n")
    assert said_at("2026-11-26T12:01:05", file) == lines
    found = json.loads(said_at("2026-11-26T12:01:05", recorded, as_json=True)[0])
    assert found["at"] == 65.0 and found["recording"]["started"] == NOON


def test_where_nothing_was_recorded_it_says_what_is_near(recorded):
    with pytest.raises(
        HistoryError, match=r"nothing of door was recorded at .*; before it: .*-door\.mp4 \(from "
    ):
        said_at("2026-11-27T12:00", recorded)
    with pytest.raises(HistoryError, match="is no time"):
        said_at("soon", recorded)
    with pytest.raises(HistoryError, match=r"give the folder of the recordings"):
        said_at("5m", recorded / "none")
