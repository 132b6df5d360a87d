"""The head of a fleet as the other processes of its cluster call it, while the cluster's own store is away."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from streamrec.errors import SettingsError
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


def test_messages_to_a_head_that_is_away_hold_up_nothing_and_come_in_order_when_it_is_back(monkeypatch):
    monkeypatch.setattr(cluster, "_MESSAGES", 3)
    asked, back, all_of = threading.Event(), threading.Event(), threading.Event()
    got = []

    def call(method, text, seconds):
        asked.set()
        assert back.wait(30.0)
        got.append(text)
        if got == ["1", "3"]:
            raise RuntimeError("of any kind: it is sent again")
        if text == "5":
            all_of.set()

    messages = cluster.Messages(SimpleNamespace(call=call), pause=0.0)
    messages.put("1")
    assert asked.wait(30.0)
    for text in ("2", "3", "4", "5"):  # the first ones are pushed out
        messages.put(text)
    back.set()
    assert all_of.wait(30.0)
    assert got == ["1", "3", "3", "4", "5"]


def test_whether_ray_has_started_is_read_in_what_it_prints(tmp_path):
    process = cluster.RayProcess(cluster.Machine(folder=tmp_path, key_file=tmp_path / "fleet.key"), None)
    process._from = 0
    log = tmp_path / "ray.log"
    log.write_text("Local node IP: 192.0.2.2\n")
    assert not process.started()
    log.write_text("Ray runtime started.\n")
    assert process.started()
    for refusal in ("InvalidAuthToken", "Unauthenticated"):
        log.write_text(f"Failed to get cluster ID from GCS server: {refusal}\n")
        with pytest.raises(SettingsError, match="the head has another key"):
            process.started()  # and not when Ray gives up
