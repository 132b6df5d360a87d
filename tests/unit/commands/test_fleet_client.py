"""The head of a fleet as the other processes of its cluster call it, while the cluster's own store is away."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from streamrec.outputs.fleet.records import LedgerAway

pytest.importorskip("ray")
from streamrec.commands.fleet import cluster


def test_a_search_for_the_head_that_takes_long_holds_up_no_call(monkeypatch):
    asked, answers = [], threading.Event()
    head = SimpleNamespace(call=SimpleNamespace(remote=lambda method: ("", f"{method} of the head")))

    def search(name, namespace):
        asked.append((name, namespace))
        assert answers.wait(30.0)
        return head

    monkeypatch.setattr(cluster.ray, "get_actor", search)
    monkeypatch.setattr(cluster.ray, "get", lambda answer, timeout: answer)
    monkeypatch.setattr(cluster, "_CALL_SECONDS", 0.01)
    client = cluster.HeadClient()
    for _ in range(2):
        with pytest.raises(LedgerAway, match="the head does not answer"):
            client.call("status")
    assert asked == [
        (cluster.HEAD, cluster.NAMESPACE)
    ]  # the second call asks for what the first search finds
    answers.set()
    monkeypatch.setattr(cluster, "_CALL_SECONDS", 30.0)
    assert client.call("status") == client.call("status") == "status of the head"
    assert len(asked) == 1


def test_a_head_that_is_not_there_is_looked_for_at_each_call(monkeypatch):
    asked = []

    def search(name, namespace):
        asked.append(name)
        raise ValueError("Failed to look up actor with name 'head'")

    monkeypatch.setattr(cluster.ray, "get_actor", search)
    client = cluster.HeadClient()
    for count in (1, 2):
        with pytest.raises(LedgerAway, match="the head does not answer"):
            client.call("status")
        assert len(asked) == count
