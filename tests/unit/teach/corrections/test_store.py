"""Corrections on disk."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from streamrec.errors import SettingsError
from streamrec.teach.corrections.learned import Change
from streamrec.teach.corrections.moments import Moment
from streamrec.teach.corrections.records import Correction, Verdict, new_correction_id
from streamrec.teach.corrections.store import CorrectionStore


def said(number: int, event: str = "", verdict: Verdict = Verdict.wrong) -> Correction:
    return Correction(
        id=new_correction_id(100.0 + number), made=100.0 + number, verdict=verdict, camera="door", model="fall",
        label="fall", event=event, started=1.0, ended=2.0, confidence=0.9, moment=True,
    )  # fmt: skip


def moment() -> Moment:
    times = np.arange(5) / 10
    return Moment(times, np.full((5, 2), 0.5, np.float32), times[:2], np.ones((2, 3), np.float16))


def change(number: int) -> Change:
    return Change(
        "fall",
        ("fall", "normal"),
        np.full((2, 3), number, np.float32),
        np.zeros(2, np.float32),
        id=str(number),
    )


def test_what_was_said_is_there_after_a_restart(tmp_path):
    folder = tmp_path / "events.corrections"
    with CorrectionStore(folder) as store:
        one, other = said(1, "e1"), said(2, "e2")
        store.add(one, moment())
        store.add(other)
        store.undo(other.id)
        store.keep_learned(change(1))
        store.keep_learned(change(2))
        store.undo_learned("fall")
    with CorrectionStore(folder) as store:
        assert store.active == (one,)
        assert np.array_equal(store.moment(one.id).features, moment().features)
        assert store.learned("fall").id == "1"
        assert store.depth("fall") == 1
        assert store.undo_learned("fall")
        assert store.learned("fall") is None
        assert not store.undo_learned("fall")


def test_who_says_nothing_gets_no_folder(tmp_path):
    with CorrectionStore(tmp_path / "events.corrections") as store:
        assert store.active == ()
    assert list(tmp_path.iterdir()) == []


def test_an_event_has_one_verdict_the_last(tmp_path):
    with CorrectionStore(tmp_path / "c") as store:
        store.add(said(1, "e1"), moment())
        last = said(2, "e1", Verdict.right)
        store.add(last, moment())
        assert store.active == (last,)
    with CorrectionStore(tmp_path / "c") as store:
        assert store.active == (last,)
        assert store.of_event("e1") == last
        assert len(list((tmp_path / "c" / "moments").iterdir())) == 1


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_kill_in_the_middle_of_a_line_loses_only_that_line(tmp_path, cut):
    with CorrectionStore(tmp_path / "c") as store:
        store.add(one := said(1, "e1"))
        store.add(said(2, "e2"))
    path = tmp_path / "c" / "corrections.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with CorrectionStore(tmp_path / "c") as store:
        assert store.active == (one,)
        store.add(three := said(3, "e3"))
    complaints: list[str] = []
    with CorrectionStore(tmp_path / "c", log=complaints.append) as store:
        assert store.active == (one, three)
    assert complaints == []


def test_a_damaged_line_is_reported_and_the_others_count(tmp_path):
    with CorrectionStore(tmp_path / "c") as store:
        store.add(one := said(1, "e1"))
    path = tmp_path / "c" / "corrections.jsonl"
    lines = [
        b"no json",
        json.dumps({"correction": {"id": "../x"}}).encode(),
        b"[]",
        b'{"learned": "../../etc/passwd"}',
    ]
    path.write_bytes(b"\n".join(lines) + b"\n" + path.read_bytes())
    complaints: list[str] = []
    with CorrectionStore(tmp_path / "c", log=complaints.append) as store:
        assert store.active == (one,)
    assert complaints == [f"{path}: 4 lines are damaged, and passed over"]


def test_its_files_are_for_their_owner_alone(tmp_path):
    with CorrectionStore(tmp_path / "c") as store:
        store.add(said(1), moment())
        store.keep_learned(change(1))
    for path in (tmp_path / "c").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_two_processes_cannot_both_keep_them(tmp_path):
    with CorrectionStore(tmp_path / "c") as store:
        store.add(said(1))
        with pytest.raises(SettingsError, match="in use by another"):
            CorrectionStore(tmp_path / "c")


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_cannot_be_written_is_refused_and_not_there(tmp_path):
    store = CorrectionStore(tmp_path / "c")
    store.add(one := said(1))
    full = os.open("/dev/full", os.O_WRONLY)
    lines, store._lines = store._lines, full
    with pytest.raises(SettingsError, match="cannot keep corrections"):
        store.add(said(2))
    os.close(full)
    store._lines = lines
    assert store.active == (one,)
    store.close()


def test_in_memory_it_is_the_same():
    with CorrectionStore(None) as store:
        store.add(one := said(1, "e1"), moment())
        assert store.moment(one.id) is not None
        store.keep_learned(change(1))
        assert store.learned("fall").id == "1"
        assert store.undo(one.id) == one
        assert store.undo(one.id) is None
        assert store.active == ()
