"""Which files are recordings of ours, and which one holds a moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamrec.outputs.recording.files import around, create, folder_of, name_of, segments, started_of

NOW = 1_790_000_000.0


def written(folder: Path, camera: str, started: float, seconds: float = 60.0, size: int = 1000) -> Path:
    path, descriptor = create(folder, camera, started)
    os.write(descriptor, b"x" * size)
    os.close(descriptor)
    os.utime(path, (started + seconds, started + seconds))
    return path


@pytest.mark.parametrize(
    "camera", ["../../up", "/etc", "..", "", "a\0b", "x" * 300, "Tür 1", "a/b", "\udce9"]
)
def test_a_cameras_name_leads_nowhere_else(tmp_path, camera):
    path = written(tmp_path, camera, NOW)
    assert path.parent.parent == tmp_path and len(path.name.encode()) < 255
    assert [one.path for one in segments(tmp_path, camera)] == [path]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_cameras_that_are_spelled_alike_share_no_folder():
    names = ["door", "door ", "Door", "door/", "door.", "dóor"]
    assert len({folder_of(name) for name in names}) == len(names)


def test_names_sort_by_time_and_say_it_in_utc(tmp_path):
    times = [NOW, NOW + 0.001, NOW + 1, NOW + 3600, NOW + 86_400 * 40]
    names = [name_of(time, "door") for time in times]
    assert names == sorted(names)
    assert [started_of(name) for name in names] == pytest.approx(times, abs=0.0006)


def test_where_the_clock_was_set_back_no_file_is_written_over(tmp_path):
    first, second = written(tmp_path, "door", NOW), written(tmp_path, "door", NOW)
    assert first != second and first.read_bytes() == second.read_bytes()


def test_other_files_and_links_are_none_of_ours(tmp_path):
    mine = written(tmp_path, "door", NOW)
    (mine.parent / "holiday.mp4").write_bytes(b"x")
    (mine.parent / "20261399T000000.000Z-door.mp4").write_bytes(b"x")  # no such day
    (tmp_path / mine.name).write_bytes(b"x")  # in no camera's folder
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    other = written(outside, "door", NOW)
    (mine.parent / name_of(NOW + 9, "door")).symlink_to(other)
    (tmp_path / folder_of("yard")).symlink_to(other.parent)
    (mine.parent / name_of(NOW + 10, "door")).mkdir()
    assert [one.path for one in segments(tmp_path)] == [mine]
    with pytest.raises(OSError, match="link"):
        create(tmp_path, "yard", NOW)


def test_a_link_in_the_place_of_a_new_file_is_not_followed(tmp_path):
    inner = tmp_path / folder_of("door")
    inner.mkdir()
    target = tmp_path / "target"
    (inner / name_of(NOW, "door")).symlink_to(target)
    written(tmp_path, "door", NOW)
    assert not target.exists()


def test_a_moment_is_found_with_what_is_before_and_after_it(tmp_path):
    paths = [written(tmp_path, "door", NOW + start) for start in (0, 60, 300)]
    written(tmp_path, "yard", NOW + 100)
    found = around(tmp_path, "door", NOW + 70)
    assert found.segment is not None and found.segment.path == paths[1] and found.at == pytest.approx(10)
    assert (found.before.path, found.after.path) == (paths[0], paths[2])
    gap = around(tmp_path, "door", NOW + 200)  # the camera was away
    assert gap.segment is None and (gap.before.path, gap.after.path) == (paths[1], paths[2])
    assert around(tmp_path, "door", NOW - 5).after.path == paths[0]
    assert around(tmp_path, "door", NOW + 1e6).before.path == paths[2]
    nothing = around(tmp_path / "none", "door", NOW)
    assert (nothing.segment, nothing.before, nothing.after) == (None, None, None)
