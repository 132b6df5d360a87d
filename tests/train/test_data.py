"""Clips are found and split without leaks; windows of endless streams are exactly repeatable."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamrec import Transform, World, WorldSettings
from streamrec.errors import DataError, SourceError
from streamrec.sources import FileSource, IterableSource
from streamrec.train.data import (
    NO_LABEL,
    Augmentation,
    Batch,
    Clip,
    Recording,
    StreamWindows,
    decode,
    decode_clips,
    find_clips,
    held_out,
    split_by_group,
)

SMALL = Transform(height=16, width=24)
STILL = Augmentation(
    flip=False, zoom=0, shift=0, rotation=0, light=0, colour=0, noise=0, tempo=0, rhythm=(1.0, 1.0), drop=0
)


def write_video(path: Path, *, frames: int = 12, fps: float = 10.0) -> Path:
    """Pictures whose brightness is their number, ten apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (48, 32))
    for number in range(frames):
        writer.write(np.full((32, 48, 3), 10 * number, np.uint8))
    writer.release()
    return path


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def clips_of(sizes: dict[str, int], label: str = "wave") -> list[Clip]:
    return [Clip(Path(f"{g}-{n}.mp4"), label, g) for g, count in sizes.items() for n in range(count)]


# -- finding clips


def test_a_folder_of_folders_names_the_labels(tmp_path):
    for name in ("wave/b.mp4", "wave/a.MP4", "fall/deep/down/c.avi", "fall/notes.txt", "stray.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    clips = find_clips(tmp_path)
    assert [(c.label, c.path.name) for c in clips] == [
        ("fall", "c.avi"),
        ("wave", "a.MP4"),
        ("wave", "b.mp4"),
    ]
    assert len({c.group for c in clips}) == 3  # nobody told which belong together


def test_a_table_names_clips_labels_and_groups(tmp_path):
    path = table(tmp_path / "t.csv", "label,clip,group,fps\nwave,a.mp4,anna,30\nfall,deep/b.mp4,ben,30\n")
    assert find_clips(path) == [
        Clip(tmp_path / "a.mp4", "wave", "anna"),
        Clip(tmp_path / "deep/b.mp4", "fall", "ben"),
    ]


def test_without_a_group_each_clip_is_its_own(tmp_path):
    path = table(tmp_path / "t.csv", "clip,label\na.mp4,wave\nb.mp4,fall\n")
    assert [c.group for c in find_clips(path)] == ["a.mp4", "b.mp4"]
    path = table(tmp_path / "t.csv", "clip,label,group\na.mp4,wave,\nb.mp4,fall,ben\n")
    assert [c.group for c in find_clips(path)] == ["a.mp4", "ben"]


def test_a_table_from_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("clip,label\r\nä.mp4,winken\r\nb.mp4,fallen\r\n".encode("utf-8-sig"))
    assert [c.path.name for c in find_clips(path)] == ["ä.mp4", "b.mp4"]


def test_the_index_of_a_folder_counts_more_than_its_folders(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "z.mp4").write_bytes(b"")
    table(tmp_path / "index.csv", "clip,label\na.mp4,wave\nb.mp4,fall\n")
    assert [c.path.name for c in find_clips(tmp_path)] == ["a.mp4", "b.mp4"]


def test_data_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match="there is no data at"):
        find_clips(tmp_path / "nowhere")


def test_an_empty_folder_is_told_what_belongs_in_it(tmp_path):
    (tmp_path / "wave").mkdir()
    with pytest.raises(DataError, match="holds no clips: make one folder a label"):
        find_clips(tmp_path)


def test_one_label_is_too_few(tmp_path):
    path = table(tmp_path / "t.csv", "clip,label\na.mp4,wave\nb.mp4,wave\n")
    with pytest.raises(DataError, match="2 clips of 1 labels; at least 2"):
        find_clips(path)


@pytest.mark.parametrize(
    "text", ["", "a.mp4,wave\nb.mp4,fall\n", "clip;label\na.mp4;wave\n", "file,label\na,b\n"]
)
def test_a_table_without_its_columns_is_told_which(tmp_path, text):
    with pytest.raises(DataError, match="needs a first line that names the columns: clip,label"):
        find_clips(table(tmp_path / "t.csv", text))


def test_a_table_of_columns_alone_holds_no_clips(tmp_path):
    with pytest.raises(DataError, match="0 clips"):
        find_clips(table(tmp_path / "t.csv", "clip,label,group\n"))


@pytest.mark.parametrize("row", ["b.mp4,", ",fall", "b.mp4"])
def test_a_missing_cell_is_named_by_its_line(tmp_path, row):
    with pytest.raises(DataError, match="line 3: clip and label are both needed"):
        find_clips(table(tmp_path / "t.csv", f"clip,label\na.mp4,wave\n{row}\n"))


def test_a_video_in_place_of_a_table_is_refused_in_words(tmp_path):
    with pytest.raises(DataError, match="is not a CSV file with columns clip,label,group"):
        find_clips(write_video(tmp_path / "v.mp4"))


# -- splits


def random_clips(seed: int) -> list[Clip]:
    """Clips of three labels in groups of one to nine; a group may hold several labels."""
    rng = np.random.default_rng(seed)
    return [
        Clip(Path(f"{group}-{n}.mp4"), str(rng.choice(["wave", "fall", "idle"])), f"person {group}")
        for group in range(25)
        for n in range(rng.integers(1, 10))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_on_both_sides_and_each_clip_is_held_out_once(seed):
    clips, seen = random_clips(seed), []
    for fold in range(4):
        learn, measure = split_by_group(clips, fold=fold, folds=4, seed=seed)
        assert not {c.group for c in learn} & {c.group for c in measure}
        assert len(learn) + len(measure) == len(clips)
        seen += measure
    assert sorted(c.path.name for c in seen) == sorted(c.path.name for c in clips)


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_alike_in_size_and_labels(seed):
    clips = random_clips(seed)
    folds = [split_by_group(clips, fold=fold, folds=4, seed=seed)[1] for fold in range(4)]
    largest = max(Counter(c.group for c in clips).values())
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= largest
    for label in ("wave", "fall", "idle"):
        counts = [sum(c.label == label for c in fold) for fold in folds]
        assert max(counts) - min(counts) <= largest


def test_labels_with_fewer_groups_than_folds_do_not_all_go_to_the_first_ones():
    clips = [
        Clip(Path(f"{label}{n}"), f"label {label}", f"{label}-{n}") for label in range(10) for n in range(3)
    ]
    sizes = [len(split_by_group(clips, fold=fold, folds=5)[1]) for fold in range(5)]
    assert sizes == [6] * 5


def test_a_split_is_the_same_each_time_and_another_for_another_seed():
    clips = random_clips(0)
    assert split_by_group(clips, fold=0, folds=4) == split_by_group(clips, fold=0, folds=4)
    assert split_by_group(clips, fold=0, folds=4) != split_by_group(clips, fold=0, folds=4, seed=1)


def test_a_split_does_not_depend_on_the_order_of_the_clips():
    clips = random_clips(0)
    forward = split_by_group(clips, fold=0, folds=4)[1]
    backward = split_by_group(clips[::-1], fold=0, folds=4)[1]
    assert {c.path for c in forward} == {c.path for c in backward}


def test_about_a_fifth_is_held_out():
    learn, measure = held_out(random_clips(3), part=0.2)
    assert 0.15 <= len(measure) / (len(learn) + len(measure)) <= 0.25


def test_nothing_is_held_out_when_nothing_is_wanted():
    clips = random_clips(0)
    assert held_out(clips, part=0.0) == (clips, [])


def test_one_group_cannot_be_split():
    with pytest.raises(
        DataError, match="all clips are of one group, so none can be held out; give --hold-out 0"
    ):
        held_out(clips_of({"anna": 8}), part=0.2)


def test_no_label_is_held_out_whole():
    clips = [*clips_of({"a": 9}, "fall"), *clips_of({"b": 1, "c": 1, "d": 1}, "wave")]
    with pytest.raises(DataError, match="all clips of fall would be held out"):
        held_out(clips, part=0.2)


# -- decoding


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


def test_a_corrupt_clip_is_passed_over_and_named(tmp_path):
    good = write_video(tmp_path / "good.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[:300])
    (tmp_path / "empty.mp4").write_bytes(b"")
    names = ["text.mp4", "cut.mp4", "empty.mp4", "missing.mp4", "good.mp4"]
    clips = [Clip(tmp_path / name, "wave", name) for name in names]
    decoded = list(decode_clips(clips, SMALL, ("wave", "fall")))
    assert [clip for clip, _ in decoded] == clips
    for clip, error in decoded[:-1]:
        assert isinstance(error, SourceError)
        assert clip.path.name in str(error)
    assert isinstance(decoded[-1][1], Recording)


# -- windows


def recorded(target: int, *, frames: int = 40, fps: float = 20.0, value: int | None = None) -> Recording:
    """A recording whose pictures are all of one brightness, or of their number where none is given."""
    shades = [value if value is not None else n for n in range(frames)]
    pictures = np.stack([np.full((8, 12, 3), shade, np.uint8) for shade in shades])
    return Recording(pictures, np.arange(frames) / fps, np.full(frames, target, np.int64), f"{target}")


def windows_of(recordings: list[Recording], **changes) -> StreamWindows:
    settings = {"streams": 3, "window": 16, "fps": 10.0, "augmentation": None, "seed": 4}
    return StreamWindows(recordings, **(settings | changes))


def joined(windows: StreamWindows, batches: int) -> Batch:
    """Several windows as one long one."""
    parts = list(islice(windows, batches))
    names = ("pictures", "elapsed", "targets", "weights")
    return Batch(*(np.concatenate([getattr(p, n) for p in parts], axis=1) for n in names), parts[-1].position)


def same(one: Batch, other: Batch) -> bool:
    names = ("pictures", "elapsed", "targets", "weights", "position")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def passes_of(batch: Batch, stream: int = 0) -> list[slice]:
    """The stretches between two beginnings."""
    begins = np.flatnonzero(np.isinf(batch.elapsed[stream]))
    return [slice(a, b) for a, b in pairwise([*begins, batch.elapsed.shape[1]])]


def test_windows_have_the_shapes_and_types_that_training_reads():
    batch = next(windows_of([recorded(0), recorded(1)], augmentation=Augmentation()))
    assert (batch.pictures.shape, batch.pictures.dtype) == ((3, 16, 3, 8, 12), np.uint8)
    assert (batch.elapsed.shape, batch.elapsed.dtype) == ((3, 16), np.float32)
    assert (batch.targets.shape, batch.targets.dtype) == ((3, 16), np.int64)
    assert (batch.weights.shape, batch.weights.dtype) == ((3, 16), np.float32)
    assert (batch.position.shape, batch.position.dtype) == ((3, 2), np.int64)


def test_windows_are_rgb():
    blue = Recording(
        np.full((30, 8, 12, 3), (255, 0, 0), np.uint8), np.arange(30) / 10, np.zeros(30, int), ""
    )
    batch = next(windows_of([blue]))
    assert (batch.pictures[:, :, 2] == 255).all()
    assert (batch.pictures[:, :, :2] == 0).all()


def test_a_seed_gives_the_same_windows_and_another_seed_others():
    recordings = [recorded(0), recorded(1)]
    one, two = (joined(windows_of(recordings, augmentation=Augmentation()), 4) for _ in range(2))
    other = joined(windows_of(recordings, augmentation=Augmentation(), seed=5), 4)
    assert same(one, two)
    assert not np.array_equal(one.pictures, other.pictures)


def test_streams_of_one_batch_differ():
    batch = joined(windows_of([recorded(0), recorded(1)], augmentation=Augmentation()), 3)
    assert not np.array_equal(batch.pictures[0], batch.pictures[1])


def test_the_position_is_all_that_is_needed_to_go_on():
    recordings = [recorded(0), recorded(1, frames=7), recorded(2, frames=90)]
    whole = windows_of(recordings, augmentation=Augmentation())
    batches = list(islice(whole, 12))
    for cut in (1, 5, 8):
        again = windows_of(recordings, augmentation=Augmentation())
        again.position[:] = batches[cut - 1].position
        for expected in batches[cut:]:
            assert same(next(again), expected)


def test_a_batchs_position_does_not_change_when_the_windows_go_on():
    windows = windows_of([recorded(0), recorded(1)])
    first = next(windows)
    before = first.position.copy()
    next(windows)
    assert np.array_equal(first.position, before)


def test_the_size_of_the_window_changes_nothing_in_the_stream():
    recordings = [recorded(0), recorded(1, frames=7)]
    short = joined(windows_of(recordings, window=6, augmentation=Augmentation()), 10)
    long = joined(windows_of(recordings, window=20, augmentation=Augmentation()), 3)
    assert same(short, long)


def test_elapsed_is_infinite_where_a_stream_begins_and_nowhere_else():
    batch = joined(windows_of([recorded(0), recorded(1)], carry=0.0), 10)
    assert np.isinf(batch.elapsed[:, 0]).all()
    backwards = np.diff(batch.pictures[:, :, 0, 0, 0].astype(int), axis=1) < 0  # brightness is the number
    assert backwards.any()
    assert np.array_equal(np.isinf(batch.elapsed[:, 1:]), backwards)


def test_a_carried_cut_is_hard_and_not_a_beginning():
    batch = joined(windows_of([recorded(0), recorded(1)], carry=1.0), 10)
    assert np.isinf(batch.elapsed[:, 0]).all()
    assert np.isfinite(batch.elapsed[:, 1:]).all()
    numbers = batch.pictures[:, :, 0, 0, 0].astype(int)
    cuts = np.diff(numbers, axis=1) < 0
    assert cuts.sum() >= 9
    assert batch.elapsed[:, 1:][cuts] == pytest.approx(0.1)  # as if the camera had been turned


def test_about_so_many_cuts_are_carried_as_wished():
    batch = joined(windows_of([recorded(0, frames=6), recorded(1, frames=6)], carry=0.25, streams=8), 40)
    cuts = np.diff(batch.pictures[:, :, 0, 0, 0].astype(int), axis=1) < 0
    carried = np.isfinite(batch.elapsed[:, 1:][cuts])
    assert carried.mean() == pytest.approx(0.25, abs=0.05)


def test_labels_come_equally_often_however_rare_they_are():
    recordings = [recorded(0) for _ in range(9)] + [recorded(1)]
    batch = joined(windows_of(recordings, streams=8), 40)
    assert (batch.targets == 1).mean() == pytest.approx(0.5, abs=0.1)


def test_early_frames_of_a_pass_weigh_less():
    batch = joined(windows_of([recorded(0, frames=60), recorded(1, frames=60)], carry=0.5), 6)
    for part in passes_of(batch):
        length = min(15, part.stop - part.start)
        expected = np.clip((np.arange(length) + 1) / 10, 0.1, 1.0)
        assert batch.weights[0, part][:length] == pytest.approx(expected, abs=0.02)


def test_weights_are_even_where_no_ramp_is_wanted():
    assert (joined(windows_of([recorded(0), recorded(1)], ramp_seconds=0.0), 3).weights == 1.0).all()


@pytest.mark.parametrize(("fps", "expected"), [(10.0, 0.1), (20.0, 0.1), (30.0, 0.1), (5.0, 0.2)])
def test_frames_come_in_the_models_rhythm_or_as_fast_as_the_recording_has_them(fps, expected):
    batch = joined(windows_of([recorded(0, fps=fps), recorded(1, fps=fps)], carry=0.0), 6)
    within = batch.elapsed[np.isfinite(batch.elapsed)]
    assert within == pytest.approx(expected, abs=1e-4)


def test_half_of_the_passes_are_as_steady_as_a_paced_camera():
    # Every 2.5th frame of a 25 fps camera would be the model's rhythm; a pacer takes every second.
    batch = joined(windows_of([recorded(0, fps=25.0), recorded(1, fps=25.0)], carry=0.0, streams=1), 40)
    steady = []
    for part in passes_of(batch)[:-1]:
        gaps = batch.elapsed[0, part][1:]
        steady.append(bool(np.ptp(gaps) < 1e-3))
        assert (
            gaps == pytest.approx(0.08, abs=1e-3)
            if steady[-1]
            else gaps.mean() == pytest.approx(0.1, abs=0.01)
        )
    assert 0.25 <= np.mean(steady) <= 0.75


def test_the_phase_of_a_pass_is_random():
    batch = joined(windows_of([recorded(0, fps=30.0), recorded(1, fps=30.0)], carry=0.0), 20)
    first = {int(batch.pictures[s, p.start, 0, 0, 0]) for s in range(3) for p in passes_of(batch, s)}
    assert first == {0, 1, 2}


def test_a_long_recording_is_played_in_parts():
    long = recorded(0, frames=200)
    batch = joined(windows_of([long, recorded(1, frames=200)], longest_seconds=2.0, carry=0.0), 20)
    lengths = [p.stop - p.start for p in passes_of(batch)[:-1]]
    assert max(lengths) <= 21
    starts = batch.pictures[0, [p.start for p in passes_of(batch)], 0, 0, 0]
    assert np.ptp(starts) > 50  # not always its beginning


def test_dropped_frames_show_in_the_elapsed_time():
    augmentation = Augmentation(**(vars(STILL) | {"drop": 0.3}))
    batch = joined(windows_of([recorded(0), recorded(1)], carry=0.0, augmentation=augmentation), 20)
    within = np.isfinite(batch.elapsed[:, 1:])
    steps = np.diff(batch.pictures[:, :, 0, 0, 0].astype(int), axis=1)[within]
    assert batch.elapsed[:, 1:][within] == pytest.approx(steps / 20.0, abs=1e-4)
    dropped = 1 - 1 / (steps / 2).mean()
    assert dropped == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 6])
def test_the_shortest_clips_are_played_however_much_is_dropped(frames):
    augmentation = Augmentation(drop=0.5)
    recordings = [recorded(0, frames=frames, fps=10.0), recorded(1, frames=frames, fps=10.0)]
    batch = joined(windows_of(recordings, augmentation=augmentation), 40)
    assert np.isfinite(batch.weights).all()
    assert not np.isnan(batch.elapsed).any()


# -- augmentation


def one_pass_each(recording: Recording, augmentation: Augmentation, count: int = 24) -> list[np.ndarray]:
    """The pictures (T, 3, H, W) of passes of one recording, each with the look that was drawn for it."""
    batch = joined(windows_of([recording], augmentation=augmentation, carry=0.0, streams=1), count)
    return [batch.pictures[0, part].astype(int) for part in passes_of(batch)[:-1]]


def scene(height: int = 24, width: int = 32) -> Recording:
    """Nothing moves: bright on the left, coloured blocks."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 3] = 220
    picture[height // 2 :, width // 2 :] = (40, 90, 160)
    return Recording(np.stack([picture] * 20), np.arange(20) / 10, np.zeros(20, np.int64), "scene")


def test_what_does_not_move_does_not_move_in_any_pass():
    looks = one_pass_each(scene(), Augmentation(noise=0.0))
    for pictures in looks:
        assert (pictures == pictures[0]).all()
    assert len({pictures[0].tobytes() for pictures in looks}) == len(looks)  # and no two passes look alike


def test_noise_changes_from_frame_to_frame_and_is_no_stronger_than_wished():
    augmentation = Augmentation(**(vars(STILL) | {"noise": 6.0}))
    clean = scene().pictures[0][..., ::-1].transpose(2, 0, 1).astype(int)
    inside = (clean > 30) & (clean < 225)  # not clipped
    strengths = []
    for pictures in one_pass_each(scene(), augmentation):
        noise = (pictures - clean)[:, inside]
        strengths.append(noise.std())
        assert abs(noise.mean()) < 1.0
        if strengths[-1] > 1.0:
            assert (pictures[1] != pictures[0]).any()
    assert 2.0 < max(strengths) < 6.6


def is_mirrored(picture: np.ndarray) -> bool:
    """(3, H, W): bright on the right."""
    third = picture.shape[-1] // 3
    return bool(picture[..., -third:].mean() > picture[..., :third].mean())


def test_pictures_are_mirrored_only_where_that_is_allowed():
    never = [is_mirrored(p[0]) for p in one_pass_each(scene(), Augmentation(flip=False))]
    often = [is_mirrored(p[0]) for p in one_pass_each(scene(), Augmentation(flip=True))]
    assert not any(never)
    assert 0.2 < np.mean(often) < 0.8


def test_a_mirrored_picture_is_exactly_the_other_way_round():
    augmentation = Augmentation(**(vars(STILL) | {"flip": True}))
    clean = scene().pictures[0][..., ::-1].transpose(2, 0, 1)
    for pictures in one_pass_each(scene(), augmentation):
        expected = clean[..., ::-1] if is_mirrored(pictures[0]) else clean
        assert np.abs(pictures[0] - expected.astype(int)).max() <= 1


def test_an_augmentation_of_nothing_changes_nothing():
    plain = joined(windows_of([recorded(0), recorded(1)]), 6)
    still = joined(windows_of([recorded(0), recorded(1)], augmentation=STILL), 6)
    assert plain.targets.shape == still.targets.shape
    for pictures in one_pass_each(scene(), STILL):
        assert (pictures[0] == scene().pictures[0][..., ::-1].transpose(2, 0, 1)).all()


def test_another_tempo_moves_the_clock_and_not_the_pictures():
    augmentation = Augmentation(**(vars(STILL) | {"tempo": 0.5}))
    batch = joined(windows_of([recorded(0), recorded(1)], carry=0.0, augmentation=augmentation), 20)
    within = np.isfinite(batch.elapsed[:, 1:])
    steps = np.diff(batch.pictures[:, :, 0, 0, 0].astype(int), axis=1)[within]
    tempo = steps / 20.0 / batch.elapsed[:, 1:][within]
    assert tempo.min() >= 1 / 1.5 - 1e-3
    assert tempo.max() <= 1.5 + 1e-3
    assert tempo.max() > 1.15
    assert tempo.min() < 0.85


def test_the_recordings_themselves_are_left_as_they_were():
    recording = scene()
    before = recording.pictures.copy()
    one_pass_each(recording, Augmentation())
    assert np.array_equal(recording.pictures, before)
