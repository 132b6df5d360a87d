"""Clips are decoded at the model's size, once; what cannot be read is named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from streamrec import Transform, World, WorldSettings
from streamrec.data import decode_cache as room
from streamrec.data.clips import NO_LABEL, Clip
from streamrec.data.decode_cache import ClipCache, Recording, decode, decode_clips
from streamrec.errors import SourceError
from streamrec.sources.files import FileSource
from streamrec.sources.iterable import IterableSource
from tests.helpers.recordings import write_video

SMALL = Transform(height=16, width=24)


def test_a_clip_is_decoded_at_the_models_size_with_its_own_times(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=12, fps=8.0)
    recording = decode(FileSource(path), SMALL, ("fall", "wave"), "wave", "anna")
    assert recording.pictures.shape == (12, 16, 24, 3)
    assert recording.pictures.dtype == np.uint8
    brightness = recording.pictures.mean(axis=(1, 2, 3))
    assert np.allclose(brightness, 10 * np.arange(12), atol=4)
    assert recording.timestamps == pytest.approx(np.arange(12) / 8.0)
    assert recording.targets.tolist() == [1] * 12
    assert (recording.target, recording.group) == (1, "anna")


def test_a_stream_brings_the_truth_of_each_frame():
    settings = WorldSettings(seconds=6.0, fps=5.0, width=48, height=32, action_seconds=(1.0, 2.0), seed=2)
    truths = [frame.truth for frame in World(settings)]
    labels = tuple(sorted(set(truths)))
    recording = decode(World(settings), SMALL, labels, None, "world 2")
    assert [labels[t] for t in recording.targets] == truths


def test_a_truth_that_the_model_does_not_know_counts_for_nothing():
    settings = WorldSettings(seconds=6.0, fps=5.0, width=48, height=32, action_seconds=(1.0, 2.0), seed=2)
    truths = [frame.truth for frame in World(settings)]
    recording = decode(World(settings), SMALL, (truths[0],), None, "world 2")
    assert [t != NO_LABEL for t in recording.targets] == [t == truths[0] for t in truths]
    assert recording.target == 0  # the label of most frames that have one
    unknown = decode(IterableSource([np.zeros((16, 24, 3), np.uint8)]), SMALL, ("wave",), None, "")
    assert unknown.target == NO_LABEL


@pytest.mark.parametrize("cached", [False, True])
def test_a_corrupt_clip_is_passed_over_and_named(tmp_path, cached):
    good = write_video(tmp_path / "good.mp4", frames=40)
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    names = ["text.mp4", "cut.mp4", "empty.mp4", "missing.mp4", "good.mp4"]
    clips = [Clip(tmp_path / name, "wave", name) for name in names]
    cache = ClipCache(tmp_path / "cache") if cached else None
    decoded = list(decode_clips(clips, SMALL, ("wave", "fall"), cache=cache))
    assert [clip for clip, _ in decoded] == clips
    for clip, error in decoded[:-1]:
        assert isinstance(error, SourceError)
        assert clip.path.name in str(error)
    assert isinstance(decoded[-1][1], Recording)
    if cached:
        assert len(entries(tmp_path / "cache")) == 1  # nothing is left of those that failed


def decoded(clip: Clip, labels: tuple[str, ...], cache: ClipCache | None = None, **changes) -> Recording:
    [(_, recording)] = decode_clips([clip], SMALL, labels, cache=cache, **changes)
    assert isinstance(recording, Recording), recording
    return recording


def test_segments_tell_the_truth_of_each_frame(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=12, fps=10.0)
    clip = Clip(path, None, "anna", ((0.2, 0.5, "fall"), (0.5, 0.8, "rest")))
    recording = decoded(clip, ("background", "fall"))
    unknown = NO_LABEL  # the model does not know how to rest
    assert recording.targets.tolist() == [0, 0, 1, 1, 1, unknown, unknown, unknown, 0, 0, 0, 0]


def test_repetitions_become_phases(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=12, fps=10.0)
    recording = decoded(Clip(path, "dips", "anna", repetitions=(0.2, 0.6, 1.0)), ("dips",))
    expected = np.exp(2j * np.pi * (np.arange(12) - 2) / 4)
    assert (recording.phases.shape, recording.phases.dtype) == ((12, 2), np.float32)
    assert recording.phases[2:10] == pytest.approx(
        np.stack([expected.real, expected.imag], -1)[2:10], abs=1e-5
    )
    assert np.isnan(recording.phases[[0, 1, 11]]).all()
    assert decoded(Clip(path, "dips", "anna"), ("dips",)).phases is None


@pytest.mark.parametrize(("fps", "kept"), [(60.0, 30), (30.0, 60), (25.0, 60)])
def test_at_most_thirty_frames_a_second_are_kept(tmp_path, fps, kept):
    path = write_video(tmp_path / "v.mp4", frames=60, fps=fps)
    assert len(decoded(Clip(path, "wave", ""), ("wave",)).pictures) == kept
    assert len(decoded(Clip(path, "wave", ""), ("wave",), max_fps=1000.0).pictures) == 60


# -- the cache


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def equal(one: Recording, other: Recording) -> bool:
    names = ("pictures", "timestamps", "targets")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


@pytest.fixture
def undecodable(monkeypatch):
    """From now on, to decode is to fail."""

    def read(self):
        raise AssertionError("it was decoded")
        yield

    return lambda: monkeypatch.setattr(FileSource, "__iter__", read)


@pytest.mark.parametrize("mapped", [0, 1 << 40])
def test_a_clip_is_decoded_once(tmp_path, monkeypatch, undecodable, mapped):
    monkeypatch.setattr(room, "MAPPED_BYTES", mapped)
    clip = Clip(write_video(tmp_path / "v.mp4"), "wave", "anna")
    plain = decoded(clip, ("wave",))
    first = decoded(clip, ("wave",), ClipCache(tmp_path / "cache"))
    undecodable()
    again = decoded(clip, ("wave",), ClipCache(tmp_path / "cache"))
    assert equal(plain, first)
    assert equal(plain, again)


def test_labels_are_no_part_of_what_is_kept(tmp_path, undecodable):
    path, cache = write_video(tmp_path / "v.mp4"), ClipCache(tmp_path / "cache")
    decoded(Clip(path, "wave", ""), ("wave",), cache)
    undecodable()
    assert decoded(Clip(path, "fall", ""), ("wave", "fall"), cache).target == 1


def test_another_size_rate_or_file_is_another_entry(tmp_path):
    path, cache = write_video(tmp_path / "v.mp4"), ClipCache(tmp_path / "cache")
    cache.pictures_of(path, SMALL)
    assert cache.pictures_of(path, Transform(height=8, width=8))[0].shape == (12, 8, 8, 3)
    assert len(cache.pictures_of(path, SMALL, max_fps=5.0)[0]) == 6
    assert len(entries(tmp_path / "cache")) == 3
    write_video(path, frames=20)
    assert len(cache.pictures_of(path, SMALL)[0]) == 20


@pytest.mark.parametrize("name", ["pictures.npy", "timestamps.npy"])
@pytest.mark.parametrize("mapped", [0, 1 << 40])
@pytest.mark.parametrize("damage", ["cut", "gone", "text", "pickle"])
def test_a_damaged_entry_is_decoded_again(tmp_path, monkeypatch, name, mapped, damage):
    monkeypatch.setattr(room, "MAPPED_BYTES", mapped)
    path, cache = write_video(tmp_path / "v.mp4"), ClipCache(tmp_path / "cache")
    whole = [part.copy() for part in cache.pictures_of(path, SMALL)]
    [entry] = entries(tmp_path / "cache")
    file = entry / name
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-7])
    elif damage == "gone":
        file.unlink()
    elif damage == "text":
        file.write_text("no numbers")
    else:
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    for found in (cache.pictures_of(path, SMALL), cache.pictures_of(path, SMALL)):
        assert all(np.array_equal(a, b) for a, b in zip(whole, found, strict=True))
    assert entries(tmp_path / "cache") == [entry]


def test_what_was_not_used_for_longest_goes_when_room_is_needed(tmp_path):
    paths = [write_video(tmp_path / f"{n}.mp4", frames=30) for n in range(4)]
    cache = ClipCache(tmp_path / "cache", max_bytes=3 * 36_000)  # one entry is 30 * 16 * 24 * 3 and a little
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "mine.txt").write_text("not yours")
    for n, path in enumerate(paths[:3]):
        cache.pictures_of(path, SMALL)
        [entry] = [e for e in entries(tmp_path / "cache") if e.is_dir() and e.stat().st_mtime > 1e6]
        os.utime(entry, (n, n))
    cache.pictures_of(paths[0], SMALL)  # used again
    cache.pictures_of(paths[3], SMALL)
    kept = {path.name for path in paths if room._read(tmp_path / "cache" / room._key(path, SMALL, 30.0))}
    assert kept == {"0.mp4", "2.mp4", "3.mp4"}
    assert (tmp_path / "cache" / "mine.txt").exists()


def test_a_clip_larger_than_the_cache_is_read_and_not_kept(tmp_path):
    cache = ClipCache(tmp_path / "cache", max_bytes=1000)
    pictures, timestamps = cache.pictures_of(write_video(tmp_path / "v.mp4"), SMALL)
    assert len(pictures) == len(timestamps) == 12
    assert entries(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = ClipCache(tmp_path / "file" / "cache")
    assert len(cache.pictures_of(write_video(tmp_path / "v.mp4"), SMALL)[0]) == 12


def test_an_entry_that_another_process_wrote_meanwhile_is_as_good(tmp_path, monkeypatch):
    path, cache = write_video(tmp_path / "v.mp4"), ClipCache(tmp_path / "cache")
    write = room._write

    def overtaken(folder, frames):
        write(folder, frames)
        monkeypatch.setattr(room, "_write", write)
        cache._add(folder.parent / room._key(path, SMALL, 30.0), room._small(FileSource(path), SMALL, 30.0))

    monkeypatch.setattr(room, "_write", overtaken)
    assert len(cache.pictures_of(path, SMALL)[0]) == 12
    assert len(entries(tmp_path / "cache")) == 1


def test_the_cache_lies_where_the_user_keeps_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ClipCache().folder == tmp_path / "streamrec" / "clips"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ClipCache().folder == tmp_path / ".cache" / "streamrec" / "clips"
