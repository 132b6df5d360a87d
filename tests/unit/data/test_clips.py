"""Clips are found and split without leaks."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from streamrec.data.clips import (
    Clip,
    apart_from,
    find_clips,
    find_footage,
    grouped_with,
    labels_of,
)
from streamrec.data.splits import groups_of, held_out, split_by_group
from streamrec.errors import DataError, SettingsError
from streamrec.types import SOUND, VIDEO
from tests.helpers.recordings import write_video


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names")
def test_data_that_is_a_pipe_or_names_nobodys_home_is_refused_in_words(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is no file: give a folder with one folder a label, or a CSV"):
        find_clips(tmp_path / "pipe")
    for find in (find_clips, lambda place: find_footage([place])):
        with pytest.raises(SettingsError, match="there is no user 'nobodyhere' here"):
            find("~nobodyhere/clips")


def test_an_empty_folder_is_told_what_belongs_in_it(tmp_path):
    (tmp_path / "wave").mkdir()
    with pytest.raises(DataError, match="holds no clips: make one folder a label"):
        find_clips(tmp_path)


def test_one_label_is_too_few(tmp_path):
    path = table(tmp_path / "t.csv", "clip,label\na.mp4,wave\nb.mp4,wave\n")
    with pytest.raises(DataError, match="2 clips of 1 labels; at least 2"):
        find_clips(path)


@pytest.mark.parametrize("text", ["", "a.mp4,wave\nb.mp4,fall\n", "file,label\na,b\n"])
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
    with pytest.raises(DataError, match="is not a table of text, a CSV file"):
        find_clips(write_video(tmp_path / "v.mp4"))


# -- segments, repetitions, names


def untrimmed(text: str, tmp_path: Path, **changes) -> list[Clip]:
    return find_clips(table(tmp_path / "t.csv", text), **changes)


def test_a_column_of_segments_makes_untrimmed_clips(tmp_path):
    one, two = untrimmed("clip,group,segments\na.mp4,s1,Fall (BW):2.5-8; Walk: 0 - 2\nb.mp4,s2,\n", tmp_path)
    assert one == Clip(tmp_path / "a.mp4", None, "s1", ((0.0, 2.0, "Walk"), (2.5, 8.0, "Fall (BW)")))
    assert one.labels == ("Walk", "Fall (BW)", "background")
    assert (two.label, two.segments, two.labels) == (None, (), ("background",))
    assert [one.label_at(t) for t in (0.0, 1.99, 2.0, 2.5, 9.0)] == [
        "Walk",
        "Walk",
        "background",
        "Fall (BW)",
        "background",
    ]


def test_rows_with_start_and_end_make_the_same_clips(tmp_path):
    rows = (
        "clip,label,start,end,group\na.mp4,fall,2.5,8,s1\nb.mp4,,,,s2\na.mp4,walk,0,2,s1\nc.mp4,walk,,,s3\n"
    )
    a, b, c = untrimmed(rows, tmp_path)
    assert a == Clip(tmp_path / "a.mp4", None, "s1", ((0.0, 2.0, "walk"), (2.5, 8.0, "fall")))
    assert (b.label, b.segments, b.group) == (None, (), "s2")
    assert (c.label, c.labels) == ("walk", ("walk",))  # neither start nor end: all of it


def test_of_segments_that_overlap_the_one_that_starts_later_wins_then_the_shorter(tmp_path):
    text = "clip,segments\na.mp4,sit:0-9; eat:4-5; fall:8-12\nb.mp4,walk:0-3; read:0-2\n"
    a, b = untrimmed(text, tmp_path)
    assert a.segments == (
        (0.0, 4.0, "sit"),
        (4.0, 5.0, "eat"),
        (5.0, 8.0, "sit"),
        (8.0, 12.0, "fall"),
    )
    assert b.segments == ((0.0, 2.0, "read"), (2.0, 3.0, "walk"))


def test_labels_are_renamed_by_the_first_pattern_that_matches(tmp_path):
    text = "clip,segments\na.mp4,Falling (BW):2-6; Standing:0-1.8; Walking:1.8-2\nb.mp4,Fall (FW):0-3\n"
    relabel = {"Falling*": "fall", "Fall*": "fall", "*": "normal"}
    a, b = untrimmed(text, tmp_path, relabel=relabel)
    assert a.segments == ((0.0, 2.0, "normal"), (2.0, 6.0, "fall"))  # neighbours of one name are one
    assert b.segments == ((0.0, 3.0, "fall"),)
    assert b.label_at(5.0) == "normal"  # the background is renamed too
    assert labels_of([a, b]) == ("fall", "normal")
    assert untrimmed(text, tmp_path, relabel={"Fall*": "fall"})[0].labels[0] == "Standing"  # none matches
    trimmed = untrimmed("clip,label\na.mp4,Fall 1\nb.mp4,Walk\n", tmp_path, relabel=relabel)
    assert [c.label for c in trimmed] == ["fall", "normal"]


def test_the_background_is_named_as_wished(tmp_path):
    clips = untrimmed("clip,segments\na.mp4,wave:1-2\n", tmp_path, background="idle")
    assert labels_of(clips) == ("idle", "wave")


def test_data_sets_are_joined(tmp_path):
    for name, label in (("one", "wave"), ("two", "fall")):
        (tmp_path / name).mkdir()
        table(tmp_path / name / "index.csv", f"clip,label,group\na.mp4,{label},anna\n")
    clips = find_clips([tmp_path / "one", tmp_path / "two"])  # alone, each has too few labels
    assert [(c.path, c.label, c.group) for c in clips] == [
        (tmp_path / "one/a.mp4", "wave", "anna"),
        (tmp_path / "two/a.mp4", "fall", "anna"),
    ]


def test_repetitions_are_read_where_somebody_counted(tmp_path):
    text = "clip,label,repetitions\na.mp4,dips,1.7 0.73 2.57 1.7\nb.mp4,squats,\n"
    assert [c.repetitions for c in untrimmed(text, tmp_path)] == [(0.73, 1.7, 2.57), None]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.mp4,Fall,", "'Fall' is not a segment; write it as Fall:2.3-6"),
        ("a.mp4,Fall:3-2,", "Fall ends at 2 s, which is not after its start at 3 s"),
        ("a.mp4,Fall:1.2.3-4,", "'1.2.3' is no time; write seconds"),
        ("a.mp4,Fall:1-2,0.5 soon", "'soon' is no time"),
        ("a.mp4,Fall:1-2,nan", "'nan' is no time"),
        (",Fall:1-2,", "clip and label are both needed"),
    ],
)
def test_a_segment_that_makes_no_sense_is_named_by_its_line(tmp_path, row, said):
    with pytest.raises(DataError, match=re.escape(f"line 3: {said}")):
        untrimmed(f"clip,segments,repetitions\nb.mp4,wave:0-1,\n{row}\n", tmp_path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.mp4,fall,1,", "a segment needs both start and end"),
        ("a.mp4,,1,2", "clip and label are both needed"),
        ("a.mp4,fall,-1,2", "'-1' is no time"),
    ],
)
def test_a_row_that_makes_no_sense_is_named_by_its_line(tmp_path, row, said):
    with pytest.raises(DataError, match=re.escape(f"line 2: {said}")):
        untrimmed(f"clip,label,start,end\n{row}\n", tmp_path)


def test_a_start_without_an_end_is_refused(tmp_path):
    with pytest.raises(DataError, match="clip,label,start,end"):
        untrimmed("clip,label,start\na.mp4,wave,1\n", tmp_path)


def test_the_shared_falls_become_a_fall_detector(shared_data):
    clips = find_clips(shared_data / "falls", relabel={"Falling*": "fall", "Fall*": "fall", "*": "normal"})
    assert labels_of(clips) == ("fall", "normal")
    assert groups_of(clips) == ["s1", "s2", "s3"]
    for clip in clips:
        assert [label for *_, label in clip.segments].count("fall") == (clip.path.parent.name == "Fall")
    counted = find_clips(shared_data / "workout")
    assert sum(len(clip.repetitions or ()) for clip in counted) == 229


# -- splits


def random_clips(seed: int) -> list[Clip]:
    """Clips of three labels in groups of one to nine; a group may hold several labels."""
    rng = np.random.default_rng(seed)
    return [
        Clip(Path(f"{group}-{n}.mp4"), str(rng.choice(["wave", "fall", "idle"])), f"person {group}")
        for group in range(25)
        for n in range(rng.integers(1, 10))
    ]


def test_footage_is_every_video_of_a_folder_and_each_is_its_own_group(tmp_path):
    (tmp_path / "night").mkdir()
    for name in ("a.mp4", "night/b.MKV", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = find_footage([tmp_path, tmp_path / "a.mp4"], "normal")
    assert [(clip.path.name, clip.label) for clip in found] == [
        ("a.mp4", "normal"),
        ("b.MKV", "normal"),
        ("a.mp4", "normal"),
    ]
    assert len({clip.group for clip in found}) == 2


def test_sound_beside_the_footage_of_a_model_of_video_is_passed_over(tmp_path):
    for name in ("a.mp4", "a.wav"):
        (tmp_path / name).write_bytes(b"")
    assert [clip.path.name for clip in find_footage([tmp_path], sense=VIDEO)] == ["a.mp4"]
    assert [clip.path.name for clip in find_footage([tmp_path], sense=SOUND)] == ["a.mp4", "a.wav"]
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(DataError, match="holds no video: give a file, or a folder"):
        find_footage([tmp_path], sense=VIDEO)


@pytest.mark.parametrize("place", ["gone.mp4", "."])
def test_footage_that_is_none_is_said(tmp_path, place):
    with pytest.raises(DataError, match="holds no video and no sound: give a file, or a folder"):
        find_footage([tmp_path / place])


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


def test_every_group_is_left_out_once():
    clips = random_clips(1)
    for fold, group in enumerate(groups_of(clips)):
        learn, measure = split_by_group(clips, fold=fold, folds=None)
        assert {c.group for c in measure} == {group}
        assert len(learn) + len(measure) == len(clips)


def test_as_many_folds_as_groups_leave_one_group_out_each():
    clips = random_clips(2)
    names = groups_of(clips)
    left_out = [
        {c.group for c in split_by_group(clips, fold=fold, folds=len(names))[1]} for fold in range(len(names))
    ]
    assert sorted(left_out, key=min) == [{name} for name in names]


def test_untrimmed_clips_are_spread_by_the_labels_in_them():
    clips = [
        Clip(Path(f"{n}.mp4"), None, f"{n}", ((0.0, 1.0, "fall" if n % 4 == 0 else "walk"),))
        for n in range(24)
    ]
    for fold in range(3):
        measured = split_by_group(clips, fold=fold, folds=3)[1]
        assert sum("fall" in c.labels for c in measured) == 2
        assert len(measured) == 8


# -- the same recording under several names


def copies(folder: Path) -> dict[str, Path]:
    """Three recordings, and one of them again as a copy, a link and a hard link."""
    for number, name in enumerate(("a", "b", "c")):
        (folder / f"{name}.mp4").write_bytes(bytes([number]) * 1000)
    (folder / "copy.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "link.mp4").symlink_to(folder / "a.mp4")
    (folder / "hard.mp4").hardlink_to(folder / "a.mp4")
    return {path.stem: path for path in folder.glob("*.mp4")}


def test_the_same_recording_is_of_one_group_whatever_it_is_called_and_that_is_said_once(tmp_path):
    copies(tmp_path)
    told: list[str] = []
    rows = [f"{name}.mp4,wave,{name}" for name in ("a", "b", "copy", "link", "hard")]
    path = table(tmp_path / "t.csv", "\n".join(["clip,label,group", *rows, "c.mp4,clap,c", ""]))
    found = {clip.path.stem: clip.group for clip in find_clips(path, log=told.append)}
    assert found == {"a": "a", "copy": "a", "link": "a", "hard": "a", "b": "b", "c": "c"}
    (words,) = told
    assert words.startswith("3 clips are the same recording as another") and "copy.mp4" in words


def test_clips_beside_are_of_the_group_of_the_same_recording_and_say_the_same_of_it(tmp_path):
    paths = copies(tmp_path)
    clips = [Clip(paths[name], "wave", name) for name in ("a", "b")]
    told: list[str] = []
    for twin in ("a", "copy", "link", "hard"):
        beside = [Clip(paths[twin], "wave", "mine"), Clip(paths["c"], "clap", "other")]
        assert [clip.group for clip in grouped_with(clips, beside, log=told.append)] == ["a", "other"]
        assert [clip.path.stem for clip in apart_from(clips, beside)] == ["c"]
        with pytest.raises(DataError, match=r"is clap and wave: give it the label"):
            grouped_with(clips, [Clip(paths[twin], "clap", "mine")])
    assert len(told) == 4 and "the same recording as another" in told[0]


def test_copies_of_one_clip_alone_are_nothing_to_measure_on(tmp_path):
    for label, content in (("wave", b"w"), ("clap", b"c")):
        (tmp_path / label).mkdir()
        for number in range(6):
            (tmp_path / label / f"{number}.mp4").write_bytes(content * 100)
    with pytest.raises(DataError, match="would be held out"):
        held_out(find_clips(tmp_path), part=0.2)


@pytest.mark.parametrize("other", ["a", "copy", "link", "hard"])
def test_the_same_recording_under_two_labels_is_a_mistake_that_names_both(tmp_path, other):
    copies(tmp_path)
    path = table(tmp_path / "t.csv", f"clip,label\na.mp4,wave\nb.mp4,wave\n{other}.mp4,clap\n")
    with pytest.raises(DataError, match=r"a\.mp4.*is wave and clap.*label that is right") as caught:
        find_clips(path)
    assert other == "a" or f"{other}.mp4" in str(caught.value)
    assert len(find_clips(path, relabel={"*": "move"}, least=1)) == 3  # they agree under one name


def test_segments_of_a_copy_are_joined_and_contradict_only_at_the_same_time(tmp_path):
    copies(tmp_path)
    rows = "clip,label,start,end\na.mp4,wave,0,2\ncopy.mp4,clap,{},4\nb.mp4,wave,0,1\n"
    one, _ = find_clips(table(tmp_path / "t.csv", rows.format(3)))
    assert one.segments == ((0.0, 2.0, "wave"), (3.0, 4.0, "clap"))
    with pytest.raises(DataError, match=r"is wave and clap from 1 to 2 s"):
        find_clips(table(tmp_path / "t.csv", rows.format(1)))


def test_files_of_other_sizes_are_not_read(tmp_path, monkeypatch):
    from streamrec.data import clips as data

    for number in range(3):
        (tmp_path / f"{number}.mp4").write_bytes(b"x" * (10 + number))
    monkeypatch.setattr(data, "_hashed", lambda *facts: pytest.fail("a file was read"))
    assert data.same_recordings(tmp_path.glob("*.mp4")) == {}


@pytest.mark.parametrize(
    ("sense", "kept"),
    [("video", {"a.mp4", "b.mp4"}), (None, {"a.mp4", "b.mp4"}), ("sound", {"a.mp4", "b.mp4", "a.wav"})],
)
def test_files_of_another_sense_beside_the_clips_are_passed_over_with_one_line(tmp_path, sense, kept):
    for name in ("wave/a.mp4", "wave/a.wav", "fall/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    said = []
    assert {clip.path.name for clip in find_clips(tmp_path, sense=sense, log=said.append)} == kept
    assert len(said) == 3 - len(kept) and all(
        "a.wav, are no video, and are passed over" in one for one in said
    )


def test_footage_for_a_model_of_readings_is_tables(tmp_path):
    for name in ("a.csv", "b.mp4", "c.csv.gz"):
        (tmp_path / name).write_bytes(b"x")
    assert [clip.path.name for clip in find_footage([tmp_path], sense="signal")] == ["a.csv", "c.csv.gz"]
