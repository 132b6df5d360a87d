"""What is asked in the history's thread each second: a failure of it is reported once, until it works again."""

from __future__ import annotations

import threading

from streamrec.errors import HistoryError
from streamrec.outputs.history import store
from streamrec.outputs.history.store import History


def test_a_failure_is_reported_once_until_it_works_again(monkeypatch):
    monkeypatch.setattr(store, "_RETRY_SECONDS", 0.001)
    answers = iter(["the disk is full", "the disk is full", "", "the disk is full", "it is gone"])
    over, said = threading.Event(), []

    def poll() -> None:
        answer = next(answers, None)
        if answer:
            raise HistoryError(answer)
        if answer is None:
            over.set()

    with History(None, log=said.append) as history:
        history.start(lambda announcement: None, poll=poll)
        assert over.wait(30)
    full = "the disk is full; it is tried again every second"
    assert said == [full, full, "it is gone; it is tried again every second"]
