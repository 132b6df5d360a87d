"""Events with their evidence as one zip."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from streamrec.errors import HistoryError
from streamrec.outputs.history import archive as module
from streamrec.outputs.history.archive import Archive
from streamrec.outputs.history.records import Entry


def _entry(n, *, camera="door", label="fight", **more):
    return Entry(
        id=f"{1000 * n:012x}-{n:08x}", camera=camera, model="fight", label=label, started=1.7e9 + n,
        ended=1.7e9 + n + 1, confidence=0.9, **more,
    )  # fmt: skip


@pytest.fixture
def kept(tmp_path):
    """Makes an event with a video and an image of these bytes."""

    def make(n, clip=b"video", thumbnail=b"image", **more):
        paths = {}
        for what, ending, data in (("clip", "mp4", clip), ("thumbnail", "jpg", thumbnail)):
            if data is not None:
                path = tmp_path / f"{n}.{ending}"
                path.write_bytes(data)
                paths[what] = str(path)
        return _entry(n, **{**paths, **more})

    return make


def _opened(archive):
    file = zipfile.ZipFile(io.BytesIO(b"".join(archive)))
    assert file.testzip() is None
    events = [json.loads(line) for line in file.read("events.jsonl").splitlines()]
    return file, events, file.read("list.txt").decode()


def test_a_zip_has_the_evidence_the_events_and_a_list(kept):
    file, events, listed = _opened(Archive([kept(2), kept(1, clip=b"first")]))
    assert file.namelist() == sorted(file.namelist())
    assert [event["id"] for event in events] == [_entry(1).id, _entry(2).id]
    assert file.read(events[0]["clip"]) == b"first" and file.read(events[1]["thumbnail"]) == b"image"
    assert events[0]["clip"].startswith("clips/2023-11-14_221321-door-fight-")
    assert "missing: 0" in listed and events[1]["clip"] in listed


def test_no_path_of_the_machine_is_in_it(kept, tmp_path):
    gone = kept(2)
    (tmp_path / "2.mp4").unlink()
    data = b"".join(Archive([kept(1), gone]))
    assert str(tmp_path).encode() not in data


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/root/x", "C:\\x", "a\nb\x00", "..", "", "\udce9", "a" * 300]
)
def test_hostile_names_of_cameras_and_labels_stay_in_the_folder(kept, name):
    file, _, _ = _opened(Archive([kept(1, camera=name, label=name)]))
    for member in file.namelist():
        assert not member.startswith("/") and ".." not in member and "\\" not in member and len(member) < 200
        assert member.count("/") <= 1 and member.isprintable()


def test_events_that_share_a_video_have_it_once(kept):
    one = kept(1)
    other = kept(2, clip=None)
    file, events, _ = _opened(Archive([one, module.replace(other, clip=one.clip)]))
    assert events[0]["clip"] == events[1]["clip"]
    assert len([name for name in file.namelist() if name.endswith(".mp4")]) == 1


def test_names_that_would_be_the_same_are_told_apart(kept):
    first = kept(1)
    second = module.replace(kept(2), id=first.id, started=first.started)
    file, events, _ = _opened(Archive([first, second]))
    assert len(set(file.namelist())) == len(file.namelist()) == 6
    assert events[0]["clip"] != events[1]["clip"]


def test_a_clip_that_is_deleted_before_its_turn_is_a_line_in_the_list(kept, tmp_path):
    archive = Archive([kept(1, clip=b"a" * 600_000), kept(2)])
    parts = iter(archive)
    data = next(parts)
    (tmp_path / "2.mp4").unlink()
    file = zipfile.ZipFile(io.BytesIO(data + b"".join(parts)))
    events = [json.loads(line) for line in file.read("events.jsonl").splitlines()]
    assert events[1]["clip"] is None and events[1]["thumbnail"] is not None
    assert "missing: 1\nmissing: clips/2023-11-14_221322" in file.read("list.txt").decode()


def test_a_clip_that_shrinks_or_grows_does_not_break_the_zip(kept, tmp_path):
    archive = Archive([kept(1, clip=b"abcdef"), kept(2, clip=b"abcdef")])
    (tmp_path / "1.mp4").write_bytes(b"abc")
    (tmp_path / "2.mp4").write_bytes(b"abcdefgh")
    file, events, _ = _opened(archive)
    assert [file.read(event["clip"]) for event in events] == [b"abc", b"abcdef"]


def test_links_devices_and_files_of_other_kinds_are_left_out(kept, tmp_path):
    (tmp_path / "link.mp4").symlink_to("/etc/passwd")
    entries = [
        module.replace(kept(n, clip=None, thumbnail=None), clip=clip)
        for n, clip in enumerate((str(tmp_path / "link.mp4"), "/dev/zero", "/etc/passwd", "a\x00b.mp4"), 1)
    ]
    file, events, listed = _opened(Archive(entries, absent=["x\x1b[2J"]))
    assert file.namelist() == ["events.jsonl", "list.txt"]
    assert all(event["clip"] is None for event in events)
    assert "missing: 5" in listed and "\x1b" not in listed


def test_the_evidence_has_a_largest_size(kept):
    archive = Archive([kept(1)])
    assert archive.size == len(b"videoimage")
    archive.check(10)
    with pytest.raises(HistoryError, match="select fewer"):
        archive.check(9)


def test_no_more_than_a_piece_of_it_is_in_memory(kept):
    sizes = [len(part) for part in Archive([kept(1, clip=b"a" * 2_000_000)])]
    assert max(sizes) < 2 * module._CHUNK and sum(sizes) > 2_000_000
