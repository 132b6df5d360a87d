"""Vectors of events, from a stream to the history."""

from __future__ import annotations

import pytest

from streamrec import Recognizer, results
from streamrec.notify.dispatcher import Dispatcher, DispatchSettings
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.runtime.feature_memory import weights_digest
from streamrec.sources.open import open_source


@pytest.mark.parametrize("stuck", [False, True])
def test_an_event_of_a_stream_gets_the_vector_of_its_seconds(tmp_path, stuck, monkeypatch):
    if stuck:  # where events wait to be written, no features are kept waiting with them
        monkeypatch.setattr("streamrec.notify.dispatcher._MOST_VECTORS", -1)
    file = tmp_path / "events.db"
    with Dispatcher(DispatchSettings(history=HistorySettings(file=str(file))), print) as dispatcher:
        recognizer = dispatcher.recorded(Recognizer.load("synthetic"))
        source = open_source("synthetic:3")
        dispatcher.camera(source.name, models={"synthetic": recognizer.labels}, live=False)
        for result in results(source, recognizer):
            dispatcher.write(result)
            dispatcher.tick()
            if result.frame.timestamp > 9:
                break
    with History(file, read_only=True) as history:
        ended = [entry for entry in history.query() if entry.ended is not None and not entry.interrupted]
        kept = history._read("SELECT event, kind, length(data) FROM vector ORDER BY event", ())
        assert ended
        if stuck:
            assert kept == []
            return
        own = weights_digest("synthetic")
        assert kept == [(entry.id, own, 256) for entry in sorted(ended, key=lambda entry: entry.id)]
        found = history.similar(ended[0])
        assert found.compared == len(ended) - 1 and not found.reason


def test_without_a_history_the_recognizer_stays_as_it_is():
    recognizer = Recognizer.load("synthetic")
    with Dispatcher(DispatchSettings(), print) as dispatcher:
        assert dispatcher.recorded(recognizer) is recognizer
