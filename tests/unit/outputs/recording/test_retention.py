"""What is deleted of the recordings, and what never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamrec.outputs.recording.files import folder_of, name_of, segments
from streamrec.outputs.recording.retention import Retention
from streamrec.settings.recording import RecordingSettings
from tests.unit.outputs.recording.test_files import NOW, written

DAY = 86_400.0
KB = 1e-6  # of a gigabyte
PLENTY = {"keep_days": 0.0, "max_gb": 0.0, "camera_gb": 0.0, "leave_free_gb": 0.0}


def names(folder: Path) -> list[str]:
    return [f"{one.camera[:4]} {round((one.started - NOW) / DAY)}" for one in segments(folder)]


def pruned(
    folder: Path, *, clock: float = NOW, writing: tuple[Path, ...] = (), free: int = 10**12, **limits: float
):
    time = [clock]
    settings = RecordingSettings(folder=str(folder), **{**PLENTY, **limits})
    retention = Retention(
        folder, settings, clock=lambda: time[0], monotonic=lambda: 0.0, free=lambda path: free
    )
    return retention.prune(writing)


@pytest.fixture
def week(tmp_path) -> Path:
    """Two cameras with one file of 1000 bytes a day."""
    for day in range(-6, 1):
        for camera in ("door", "yard"):
            written(tmp_path, camera, NOW + day * DAY)
    return tmp_path


def test_what_is_too_old_is_deleted(week):
    pruned(week, clock=NOW + 70, keep_days=2.5)
    assert names(week) == ["door -2", "yard -2", "door -1", "yard -1", "door 0", "yard 0"]


def test_the_oldest_of_all_cameras_go_first_where_there_is_too_much(week):
    pruned(week, max_gb=5.5 * KB)
    assert names(week) == ["yard -2", "door -1", "yard -1", "door 0", "yard 0"]


def test_a_camera_has_a_limit_of_its_own(week):
    written(week, "yard", NOW + 0.2 * DAY, size=3000)
    pruned(week, camera_gb=4.5 * KB)
    assert names(week) == ["door -3", "door -2", "door -1", "door 0", "yard 0", "yard 0"]


def test_room_is_made_on_a_full_disk_and_no_more_than_is_needed(week):
    pruned(week, leave_free_gb=5 * KB, free=2500)
    assert names(week)[0] == "yard -5" and len(names(week)) == 11


def test_the_newest_of_each_camera_and_what_is_written_stay_whatever_the_limits_are(week):
    growing = week / folder_of("door") / name_of(NOW - 3 * DAY, "door")  # the clock was set back
    pruned(week, clock=NOW + 70, writing=(growing,), keep_days=0.001, max_gb=KB, leave_free_gb=1.0, free=0)
    assert names(week) == ["door -3", "door 0", "yard 0"]


def test_a_clock_that_jumps_ahead_deletes_nothing(week):
    assert pruned(week, clock=NOW + 400 * DAY, keep_days=7.0) == []


def test_a_file_of_the_future_is_the_first_to_go(week):
    future = written(week, "door", NOW + 300 * DAY, seconds=0.0)
    import os

    os.utime(future, (NOW, NOW))
    written(week, "door", NOW + 301 * DAY)  # the newest by its name
    os.utime(segments(week)[-1].path, (NOW, NOW))
    assert pruned(week, max_gb=15.5 * KB) == [future]


def test_files_of_others_are_left_alone(week):
    others = [week / "notes.txt", week / folder_of("door") / "holiday.mp4", week / "film.mp4"]
    for path in others:
        path.write_bytes(b"x" * 100_000)
    pruned(week, keep_days=0.001, clock=NOW + DAY, max_gb=KB)
    assert all(path.exists() for path in others)
