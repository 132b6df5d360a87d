"""Vectors of events in the history, and the search for similar ones."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from streamrec.outputs.history.records import Entry
from streamrec.outputs.history.store import History
from streamrec.outputs.history.vectors import MOST_NUMBERS, PROJECTED, EventVector, vector_of


def _entry(n, *, camera="door", label="fight", ended=True, rule=None):
    return Entry(
        id=f"{1000 * n:012x}-{n:08x}", camera=camera, model="" if rule else "fight", label=label,
        started=float(n), ended=n + 0.5 if ended else None, confidence=0.9, rule=rule,
    )  # fmt: skip


def _direction(degrees):
    return vector_of("a", np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0, 0]))


def _kept(history, n, vector=None, **more):
    entry = _entry(n, **more)
    history.add(entry)
    if vector is not None:
        history.describe(entry.id, lambda: vector)
    return entry


@pytest.fixture
def history():
    with History(None) as made:
        yield made


def _ids(found):
    return [int(entry.id.split("-")[1], 16) for entry, _ in found.found]


def test_the_most_similar_event_comes_first(history):
    asked = _kept(history, 1, _direction(0))
    for n, degrees in ((2, 80), (3, 10), (4, 40)):
        _kept(history, n, _direction(degrees))
    found = history.similar(asked)
    assert _ids(found) == [3, 4, 2]
    assert found.found[0][1] == pytest.approx(np.cos(np.radians(10)), abs=2e-3)
    assert (found.compared, found.others, found.reason) == (3, 0, "")
    assert _ids(history.similar(asked, limit=1)) == [3]


def test_with_enough_events_what_all_have_in_common_does_not_count(history):
    common = np.array([9.0, 0, 0, 0])
    moves = np.array([0, 1.0, 0, 0])
    asked = _kept(history, 1, vector_of("a", common + moves))
    _kept(history, 2, vector_of("a", common + 0.9 * moves))
    for n in range(3, 30):
        other = np.random.default_rng(n).normal(0, 0.1, 4)
        _kept(history, n, vector_of("a", common - moves + other))
    (first, near), *others = history.similar(asked, limit=50).found
    assert first.id == _entry(2).id and near > 0.9
    assert min(score for _, score in others) < 0  # of the vectors as they are all are above 0.9


def test_a_search_is_restricted_as_a_query_is(history):
    asked = _kept(history, 1, _direction(0))
    _kept(history, 2, _direction(1), camera="yard")
    _kept(history, 3, _direction(2), label="fall")
    _kept(history, 50, _direction(3))
    assert _ids(history.similar(asked, camera="yard")) == [2]
    assert _ids(history.similar(asked, camera=("door", "yard"), label="fight")) == [2, 50]
    assert _ids(history.similar(asked, since=40.0)) == [50]
    assert _ids(history.similar(asked, until=40.0)) == [2, 3]


def test_events_of_another_model_and_of_before_are_named_and_not_compared(history):
    asked = _kept(history, 1, _direction(0))
    _kept(history, 2, EventVector("b", _direction(0).values))
    _kept(history, 3, vector_of("a", np.ones(5)))
    _kept(history, 4)
    assert (history.similar(asked).found, history.similar(asked).others) == ((), 3)


@pytest.mark.parametrize(
    ("more", "word"),
    [({}, "nothing is kept"), ({"ended": False}, "still runs"), ({"rule": "late"}, "a rule")],
)
def test_an_event_without_a_vector_has_a_reason(history, more, word):
    assert word in history.similar(_kept(history, 1, **more)).reason


def test_a_vector_goes_with_its_event(tmp_path):
    with History(tmp_path / "h.db", keep_days=1, clock=lambda: 1e6) as history:
        asked = _kept(history, 1, _direction(0))
        history._prune()
        assert history.get(asked.id) is None
        assert history._read("SELECT count(*) FROM vector", ()) == [(0,)]


def test_an_event_that_is_not_there_gets_no_vector(history):
    history.describe("gone", lambda: _direction(0))
    assert history._read("SELECT count(*) FROM vector", ()) == [(0,)]


def test_damaged_vectors_stop_nothing(history):
    asked = _kept(history, 1, _direction(0))
    for n, data in ((2, b"\xff" * 8), (3, "text"), (4, b""), (5, None), (6, b"\x00" * 8)):
        _kept(history, n, _direction(1))
        with history._transaction() as connection, pytest.MonkeyPatch.context():
            if data is None:
                connection.execute("DELETE FROM vector WHERE event = ?", (_entry(n).id,))
            else:
                connection.execute("UPDATE vector SET data = ? WHERE event = ?", (data, _entry(n).id))
    _kept(history, 7, _direction(5))
    assert _ids(history.similar(asked))[0] == 7


def test_a_history_of_before_has_no_vectors_and_gets_the_table_when_it_is_written(tmp_path):
    path = tmp_path / "h.db"
    with History(path) as history:
        old = _kept(history, 1)
    connection = sqlite3.connect(path)
    connection.executescript("DROP TRIGGER vector_with_event; DROP TABLE vector;")
    connection.close()
    with History(path, read_only=True) as history:
        assert "nothing is kept" in history.similar(old).reason
    logged = []
    with History(path, log=logged.append) as history:
        _kept(history, 2, _direction(0))
        assert history.similar(_entry(2)).others == 1
    assert logged == []


def test_wide_features_are_projected_and_keep_their_angles():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 4416)) + 1.0
    made = np.stack([vector_of("a", row).values for row in rows])
    exact = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert made.shape == (6, PROJECTED) and PROJECTED <= MOST_NUMBERS
    assert np.abs(made @ made.T - exact @ exact.T).max() < 0.2
    assert vector_of("a", np.zeros(4)) is None
