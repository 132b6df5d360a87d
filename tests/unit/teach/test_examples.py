"""The store of examples: nothing confirmed is lost, and nothing is believed that is damaged."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamrec.errors import TeachError
from streamrec.teach.examples import Example, ExampleStore, FeatureKind

KIND = FeatureKind("drawn", 4, "abc")


def an_example(label: str = "wave", *, frames: int = 20, start: float = 5.0, value: float = 1.0) -> Example:
    times = start - 1.0 + np.arange(frames + 10) / 10
    features = np.full((frames + 10, 4), value, np.float32)
    return Example(label, start, float(times[-1]), times, features, source="door", made=7.0, run="r")


def reopened(path: Path) -> ExampleStore:
    with ExampleStore(path, KIND) as store:
        return store


def test_examples_are_there_next_week(tmp_path):
    path = tmp_path / "folder" / "mine.teach"
    with ExampleStore(path, KIND) as store:
        first = store.add(an_example(value=0.1))
        store.add(an_example("clap"))
    found = reopened(path)
    assert [(e.id, e.label) for e in found.examples] == [(1, "wave"), (2, "clap")]
    again = found[1]
    np.testing.assert_array_equal(again.features, first.features)
    np.testing.assert_array_equal(again.times, first.times)
    assert (again.start, again.end, again.source, again.made, again.run) == (5.0, first.end, "door", 7.0, "r")
    assert found.notes == ()


def test_the_persons_size_is_kept_and_files_of_before_have_none(tmp_path):
    path = tmp_path / "mine.teach"
    plain = an_example()  # as an earlier version wrote it
    with ExampleStore(path, KIND) as store:
        store.add(replace(plain, sizes=np.full(len(plain.times), 0.25, np.float32)))
        store.add(plain)
    sized, before = reopened(path).examples
    assert (sized.size, before.size, before.sizes) == (0.25, None, None)


def test_removed_restored_and_relabelled_examples_stay_so(tmp_path):
    path = tmp_path / "mine.teach"
    with ExampleStore(path, KIND) as store:
        for _ in range(3):
            store.add(an_example())
        store.remove(1)
        store.remove(2)
        store.restore(2)
        store.relabel(3, "clap")
    found = reopened(path)
    assert [(e.id, e.label) for e in found.examples] == [(2, "wave"), (3, "clap")]
    assert found.labels == ("wave", "clap")
    with ExampleStore(path, KIND) as store:
        assert store.add(an_example()).id == 4  # no number is given twice
        assert store.restore(1).label == "wave"


def test_pictures_are_kept_where_they_are_given(tmp_path):
    example = an_example()
    with ExampleStore(tmp_path / "mine.teach", KIND) as store:
        store.add(Example(**{n: getattr(example, n) for n in ("label", "start", "end", "times", "features")}))
        store.add(
            Example(
                "wave", example.start, example.end, example.times, example.features, pictures=(b"one", b"two")
            )
        )
    assert [e.pictures for e in reopened(tmp_path / "mine.teach").examples] == [(), (b"one", b"two")]


def test_whatever_is_cut_off_at_the_end_the_rest_is_there_and_it_is_told(tmp_path):
    path = tmp_path / "mine.teach"
    with ExampleStore(path, KIND) as store:
        store.add(an_example())
        whole = path.stat().st_size
        store.add(an_example("clap"))
    data = path.read_bytes()
    for length in range(whole + 1, len(data), 37):
        path.write_bytes(data[:length])
        found = reopened(path)
        assert [e.label for e in found.examples] == ["wave"], length
        assert "cut off" in found.notes[0]
        assert path.stat().st_size == whole
        assert reopened(path).notes == ()


def test_a_damaged_record_is_passed_over_and_told(tmp_path):
    path = tmp_path / "mine.teach"
    ends = []
    with ExampleStore(path, KIND) as store:
        for label in ("one", "two", "three"):
            store.add(an_example(label))
            ends.append(path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[(ends[0] + ends[1]) // 2] ^= 1
    path.write_bytes(data)
    found = reopened(path)
    assert [e.label for e in found.examples] == ["one", "three"]
    assert "1 damaged record was passed over" in found.notes[0]


def test_after_a_failed_write_the_file_is_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "mine.teach"
    with ExampleStore(path, KIND) as store:
        store.add(an_example())
        size = path.stat().st_size

        def half(file: int, data: bytes) -> int:
            real(file, data[:50])
            raise OSError(28, "No space left on device")

        real = os.write
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(TeachError, match="disk is full"):
            store.add(an_example("clap"))
        monkeypatch.undo()
        assert path.stat().st_size == size
        assert [e.label for e in store.examples] == ["wave"]
        store.add(an_example("hop"))
    assert [e.label for e in reopened(path).examples] == ["wave", "hop"]


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_only_the_owner_may_read_it(tmp_path):
    path = tmp_path / "mine.teach"
    reopened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_file_of_examples_stays_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")
    with pytest.raises(TeachError, match="no file of examples"):
        ExampleStore(path, KIND)
    assert path.read_text() == "dear diary"
    with pytest.raises(TeachError, match="is a folder"):
        ExampleStore(tmp_path, KIND)


def test_examples_of_another_encoder_are_refused(tmp_path):
    path = tmp_path / "mine.teach"
    reopened(path)
    with pytest.raises(TeachError, match="another encoder"):
        ExampleStore(path, FeatureKind("drawn", 4, "other"))


def test_one_program_at_a_time_has_the_file(tmp_path):
    path = tmp_path / "mine.teach"
    with ExampleStore(path, KIND), pytest.raises(TeachError, match="in use"):
        ExampleStore(path, KIND)
    reopened(path)


def test_a_store_without_a_file_keeps_all_in_memory():
    store = ExampleStore(None, KIND)
    store.add(an_example())
    assert store.relabel(1, "clap").label == "clap"
    assert len(store) == 1


@pytest.mark.parametrize("label", ["", "   ", "x" * 300, "bell\a", None, 3])
def test_a_label_that_no_model_may_have_is_refused(label):
    with pytest.raises(TeachError, match="label"):
        ExampleStore(None, KIND).add(an_example(label))


def test_what_is_not_there_is_said_in_a_sentence():
    store = ExampleStore(None, KIND)
    store.add(an_example())
    with pytest.raises(TeachError, match="no example 7; there are 1"):
        store.remove(7)
    with pytest.raises(TeachError, match="was not removed"):
        store.restore(1)
