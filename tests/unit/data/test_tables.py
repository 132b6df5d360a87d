"""Tables of readings as labelled data."""

from __future__ import annotations

import gzip

import pytest

from streamrec.data.clips import find_clips, labels_of
from streamrec.data.decode_cache import Recording, decode_clips
from streamrec.data.tables import group_of, is_readings, on_ticks
from streamrec.errors import DataError
from streamrec.nn.signals import SignalTransform
from streamrec.nn.transforms import Transform
from streamrec.train.recipes import choose_recipe
from streamrec.train.signal_windows import transform_of

HEAD = "seconds,x,y,label\n"


def rows(label_at, more: str = "") -> str:
    return "".join(f"{n / 10},{n},{-n},{label_at(n)}\n" for n in range(30)) + more


@pytest.fixture
def folder(tmp_path):
    for person in ("anna", "ben"):
        # The same recording under two names would be of one group: blank lines make them differ.
        text = HEAD + rows(lambda n: "sit" if n < 10 or n >= 20 else "walk", "\n" * len(person))
        (tmp_path / f"{person}_1.csv").write_text(text)
        (tmp_path / f"{person}_2.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=len(person)))
    return tmp_path


def test_a_folder_of_tables_is_a_data_set_whose_groups_are_in_the_names(folder):
    clips = find_clips(folder)
    assert [clip.group for clip in clips] == ["anna", "anna", "ben", "ben"]
    assert labels_of(clips) == ("sit", "walk")
    assert clips[0].segments == ((0.0, 1.0, "sit"), (1.0, 2.0, "walk"), (2.0, pytest.approx(3.0), "sit"))
    assert choose_recipe(clips)[0] == "signal"
    assert group_of(folder / "anna_1.csv") == "anna"


def test_recordings_are_the_rows_at_their_own_times(folder):
    clips = find_clips(folder)
    transform = transform_of(clips)
    assert transform.channels == ("x", "y")
    assert transform.mean == (14.5, -14.5)
    found = [one for _, one in decode_clips(clips, transform, ("sit", "walk"))]
    assert all(isinstance(one, Recording) and one.is_signal for one in found)
    assert found[0].pictures.shape == (30, 2)
    assert found[0].targets.tolist() == [0] * 10 + [1] * 10 + [0] * 10
    rows, seconds, nearest = on_ticks(found[0].pictures, found[0].timestamps, 20.0, 1.0)
    assert rows[3].tolist() == [1.5, -1.5]
    assert seconds[3] == pytest.approx(0.15)
    assert nearest[3] == 2


def test_rows_without_a_label_are_background_and_a_table_without_labels_is_refused(folder):
    (folder / "carl_1.csv").write_text(HEAD + rows(lambda n: "walk" if n < 10 else ""))
    assert labels_of(find_clips(folder)) == ("background", "sit", "walk")
    (folder / "carl_1.csv").write_text("seconds,x\n0,1\n")
    with pytest.raises(DataError, match=r"carl_1\.csv has no column label"):
        find_clips(folder)


def test_a_table_of_readings_is_told_from_one_of_clips(folder):
    assert is_readings(folder / "anna_1.csv")
    (folder / "clips.csv").write_text("clip,label\na.mp4,walk\n")
    assert not is_readings(folder / "clips.csv")
    assert len(find_clips(folder / "anna_1.csv")) == 1


def test_a_recording_of_another_sense_is_named(folder):
    clips = find_clips(folder)[:1]
    ((_, error),) = decode_clips(clips, Transform(), ("sit",))
    assert "anna_1.csv is a table of readings, and the model takes video" in str(error)
    ((_, error),) = decode_clips(clips, SignalTransform(channels=("x", "z")), ("sit",))
    assert "z is missing" in str(error)
