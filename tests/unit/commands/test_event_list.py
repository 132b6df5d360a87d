"""`streamrec events --like` and `--export`."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from streamrec.commands.event_list import EventList
from streamrec.errors import HistoryError
from streamrec.outputs.history.records import Entry, new_id
from streamrec.outputs.history.store import History
from streamrec.outputs.history.vectors import vector_of


@pytest.fixture
def past(tmp_path):
    """A history of four events, the last without a vector; their ids."""
    (tmp_path / "a.mp4").write_bytes(b"video")
    ids = []
    with History(tmp_path / "events.db") as history:
        for n in range(4):
            ids.append(new_id(float(n)))
            history.add(
                Entry(
                    id=ids[-1],
                    camera="door",
                    model="m",
                    label="wave",
                    started=float(n),
                    ended=n + 0.5,
                    confidence=0.9,
                )
            )
            if n < 3:
                vector = vector_of("m", np.array([np.cos(n), np.sin(n)]))
                history.describe(ids[-1], lambda vector=vector: vector)
        history.attach(ids[0], clip=tmp_path / "a.mp4")
    return tmp_path / "events.db", ids


def test_events_like_one_are_printed_with_their_similarity(past, capsys):
    file, ids = past
    lines = []
    EventList(file=file, like=ids[0], form="json").run(lines.append)
    found = [json.loads(line) for line in lines]
    assert [one["id"] for one in found] == ids[1:3] and found[0]["similarity"] == pytest.approx(
        0.54, abs=0.01
    )
    assert "1 have nothing to compare" in capsys.readouterr().err
    with pytest.raises(HistoryError, match="nothing is kept"):
        EventList(file=file, like=ids[3]).run(lines.append)
    with pytest.raises(HistoryError, match="there is no event"):
        EventList(file=file, like="no").run(lines.append)


def test_an_export_is_a_zip_for_its_owner_alone(past, tmp_path):
    file, _ = past
    lines, out = [], tmp_path / "out.zip"
    EventList(file=file, export=out).run(lines.append)
    assert out.stat().st_mode & 0o777 == 0o600 and "4 events" in lines[0]
    with zipfile.ZipFile(out) as archive:
        assert len(archive.read("events.jsonl").splitlines()) == 4 and len(archive.namelist()) == 3
    with pytest.raises(HistoryError, match="nothing is written"):
        EventList(file=file, export=tmp_path / "none.zip", labels=("fall",)).run(lines.append)
    assert not (tmp_path / "none.zip").exists()
    with pytest.raises(HistoryError, match="choose another place"):
        EventList(file=file, export=tmp_path / "no" / "out.zip").run(lines.append)
