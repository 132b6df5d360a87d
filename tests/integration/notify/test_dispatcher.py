"""After an event: everybody is told the same, nobody is told what is not on the disk, and no trouble stops anything."""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import av
import numpy as np
import pytest

from streamrec.errors import SettingsError, SinkError
from streamrec.notify import delivery
from streamrec.notify import dispatcher as announce
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import CommittedEvent, Dispatcher
from streamrec.notify.mqtt import MqttSettings
from streamrec.notify.ntfy import NtfySettings
from streamrec.notify.webhook import WebhookSettings
from streamrec.outputs.history import store as rooms
from streamrec.outputs.history.store import History, HistorySettings
from streamrec.outputs.sink import Callback
from streamrec.settings.cameras_file import read_watchfile
from streamrec.settings.evidence import EvidenceSettings
from streamrec.types import ActionEnded, ActionStarted, Frame, Health, Prediction, Result, SourceState
from tests.helpers import forked
from tests.helpers.cameras import free_port
from tests.helpers.paths import ROOT
from tests.integration.notify.test_mqtt import MOSQUITTO, Listener, broker
from tests.integration.notify.test_webhook import SECRET, receiving
from tests.integration.outputs.history.test_store import locked, wait_for

FPS = 10
CAMERA = '[[camera]]\nname = "door"\naddress = "0"\n'


def result_of(n: int, *events) -> Result:
    """A result whose picture is as bright as its number says."""
    said = Prediction("fight", 0.9, np.array([0.1, 0.9], np.float32), n / FPS, ("idle", "fight"))
    frame = Frame(np.full((48, 64, 3), n, np.uint8), n, n / FPS, 0, "door", captured=time.monotonic())
    return Result(frame, said, events)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto: apt-get install mosquitto")
def test_history_mqtt_webhook_and_video_of_an_event_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "_POLL_SECONDS", 0.05)
    port, told = free_port(), []
    with broker(tmp_path, port), receiving() as receiver, contextlib.closing(Listener(port)) as ear:
        settings = DispatchSettings(
            history=HistorySettings(file=str(tmp_path / "events.db")),
            evidence=EvidenceSettings(
                folder=str(tmp_path / "evidence"), before=1.0, after=0.5, leave_free_gb=0.0
            ),
            webhooks=(
                WebhookSettings(
                    url=f"http://127.0.0.1:{receiver.port}/",
                    secret=SECRET,
                    events=("started", "ended", "evidence"),
                ),
            ),
            mqtt=MqttSettings(host="127.0.0.1", port=port),
        )
        with Dispatcher(settings, told.append) as after:
            after.camera("door", model="fight", live=True, actions=["fight"])
            after.health("door", Health(SourceState.live))
            for n in range(60):
                events = {
                    22: (ActionStarted("fight", 2.0, 0.8),),
                    45: (ActionEnded("fight", 4.0, 2.0, 0.9),),
                }.get(n, ())
                after.write(result_of(n, *events))
                time.sleep(1 / FPS)  # a camera
            receiver.wait(2)
        receiver.wait(3)
        ear.wait(lambda: len({event["id"] for event in ear.events()}) == 3)
    with History(tmp_path / "events.db", read_only=True) as history:
        (entry,) = history.query()
    hooks = {body["event"]: body for body in (json.loads(body) for _, body, _ in receiver.got)}
    sent = {body["event"]: body for body in ear.events()}
    attributes = json.loads(ear.so["streamrec/door/fight/event"])
    assert hooks == sent
    assert set(hooks) == {"started", "ended", "evidence"}
    for body in hooks.values():
        assert (body["data"]["id"], body["data"]["camera"], body["data"]["label"]) == (
            entry.id,
            "door",
            "fight",
        )
        assert moment(body["data"]["started"]) == pytest.approx(entry.started, abs=0.001)
        assert body["data"]["timestamp"] == entry.timestamp == 2.0
    assert moment(hooks["ended"]["data"]["ended"]) == pytest.approx(entry.ended, abs=0.001)
    assert attributes == hooks["evidence"]["data"] == entry.to_dict()
    assert entry.duration == pytest.approx(2.0)
    with av.open(entry.clip) as container:
        pictures = [
            (float(f.pts * f.time_base), f.to_ndarray(format="bgr24").mean()) for f in container.decode()
        ]
    for instant, number in ((entry.started, 20), (entry.ended, 40)):
        at = instant - entry.clip_started  # what the video shows at that moment
        shown = min(pictures, key=lambda picture: abs(picture[0] - at))[1]
        assert shown == pytest.approx(number, abs=3)
    assert f"-fight-{entry.id}.mp4" in entry.clip
    assert told == []


class TestSettings:
    def test_the_examples_of_the_docs_are_what_is_understood(self, tmp_path):
        guide = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
        blocks = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "webhook").write_text("a secret of sixteen letters and more\n")
        path = tmp_path / "cameras.toml"
        path.write_text(CAMERA + "\n".join(blocks))
        settings = DispatchSettings.of(read_watchfile(path, {"MQTT_PASSWORD": "x" * 8}))
        assert settings.history == HistorySettings(file=str(tmp_path / "events.db"))
        assert settings.evidence == EvidenceSettings(folder=str(tmp_path / "evidence"))
        assert settings.webhooks[0].labels == ("fight",)
        assert settings.mqtt.host == "192.168.1.5"
        assert settings.sinks[0].options == (("path", "/var/log/rings.txt"),)
        evidence = guide.partition("## Evidence")[2].partition("```\n")[0]
        assert set(re.findall(r"^(\w+) =", evidence, re.M)) == set(EvidenceSettings.__dataclass_fields__)

    def test_the_examples_of_notifications_are_what_is_understood(self, tmp_path):
        guide = (ROOT / "docs" / "notifications.md").read_text(encoding="utf-8")
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "ntfy").write_text("tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2\n")
        path = tmp_path / "cameras.toml"
        path.write_text(CAMERA + "\n".join(re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)))
        environment = {"TELEGRAM": "tgram://token/chat", "MAIL": "mailto://me:password@example.org"}
        settings = DispatchSettings.of(read_watchfile(path, environment))
        apprise, ntfy = sorted(settings.further, key=lambda one: one.receiver)
        assert ntfy == NtfySettings(
            topic="streamrec-k3Xw9rTq", token="tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2",
            priority=(("fight", 5), ("fall", 4)), quiet=("22:00-07:00",), quiet_except=("fight",),
            public_url="https://cameras.example.org",
        )  # fmt: skip
        assert apprise.urls == tuple(environment.values())
        for key in re.findall(r"^\| `([^|]+)` \|", guide, re.M):
            for name in key.replace("`", "").split(", "):
                assert hasattr(ntfy, name) and hasattr(apprise, name), name

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[history]\nfile = 5", r"\[history\]: file: give a text, not 5"),
            (
                "[history]\nkeep_days = -1",
                r"\[history\]: keep_days: give a number from 0.001 to 36,500, or 0, not -1",
            ),
            ("history = 5", "history is no table"),
            ("[evidence]\nprivacy = 'some'", r"\[evidence\]: privacy is 'some': write full, blur or none"),
            ("[evidence]\nfoldr = 'x'", r"\[evidence\]: foldr: there is no such key; did you mean folder"),
            ("[evidence]\noverlay = 1", r"\[evidence\]: overlay: give true or false, not 1"),
            ("[[sink]]\npath = 'x'", r"\[sink\]: use: it is missing"),
            ("[historie]\nfile = 'x'", "historie: there is no such key; did you mean history"),
        ],
    )
    def test_a_mistake_is_one_sentence(self, tmp_path, text, says):
        path = tmp_path / "cameras.toml"
        path.write_text(f"{text}\n{CAMERA}")
        with pytest.raises(SettingsError, match=says):
            DispatchSettings.of(read_watchfile(path, {}))

    def test_options_go_before_the_file_and_all_but_sinks_bring_a_history(self, tmp_path):
        path = tmp_path / "cameras.toml"
        path.write_text(f"[evidence]\nbefore = 2\n{CAMERA}")
        of_file = DispatchSettings.of(read_watchfile(path, {}))
        assert of_file.evidence.folder == str(
            tmp_path / "evidence"
        )  # beside the file, wherever it is run from
        assert of_file.history == HistorySettings(file=str(tmp_path / "events.db"))
        changed = of_file.with_options(history=Path("h.db"), evidence=Path("ev"), privacy="blur")
        assert (changed.history.file, changed.evidence.folder) == ("h.db", "ev")
        assert (changed.evidence.before, changed.evidence.privacy) == (2, "blur")
        assert DispatchSettings().with_options() == DispatchSettings()
        assert DispatchSettings().with_options(sinks=["a.py:B"]).history is None
        assert DispatchSettings().with_options(evidence=Path("ev")).history == HistorySettings()
        with pytest.raises(SettingsError, match="--privacy is about the evidence"):
            DispatchSettings().with_options(privacy="blur")

    def test_two_webhooks_have_two_names(self, tmp_path):
        hook = WebhookSettings(url="https://example.org/a")
        settings = DispatchSettings(
            history=HistorySettings(file=str(tmp_path / "events.db")),
            webhooks=(hook, replace(hook, url="https://example.org/b")),
        )
        with pytest.raises(SettingsError, match=r"there are two of webhook example\.org: give each"):
            Dispatcher(settings, print)
        History(tmp_path / "events.db").close()  # it was let go


class TestOrder:
    """Events are told when they are on the disk, in order; nothing else waits for that."""

    @pytest.fixture
    def after(self, tmp_path, monkeypatch):
        monkeypatch.setattr(rooms, "_RETRY_SECONDS", 0.05)
        settings = DispatchSettings(history=HistorySettings(file=str(tmp_path / "events.db")))
        self.told: list[str] = []
        self.heard: list[CommittedEvent] = []
        with Dispatcher(settings, self.told.append) as after:
            after.on_event(self.heard.append)
            after.history._database.writer.execute("PRAGMA busy_timeout = 20")
            yield after

    def test_an_event_is_told_after_its_commit_and_the_result_goes_on_at_once(self, after):
        with locked(after.history.path):
            event = ActionStarted("fight", 1.0, 0.8)
            result = result_of(12, event)
            shown = after.write(result)
            assert (shown.frame, shown.prediction, shown.events) == (result.frame, result.prediction, ())
            quiet = result_of(13)
            assert after.write(quiet) is quiet
            after.tick()
            wait_for(lambda: self.told)
            assert self.heard == []
        wait_for(lambda: self.heard)
        assert (self.heard[0].source, self.heard[0].event) == ("door", event)
        assert after.history.get(self.heard[0].entry.id).label == "fight"

    def test_an_event_never_comes_before_the_result_that_it_came_with(self, after):
        after.write(result_of(12, ActionStarted("fight", 1.0, 0.8)))
        wait_for(lambda: after.history.count() == 1)
        time.sleep(0.1)
        assert self.heard == []  # whoever wrote it is still passing it on
        after.tick()
        wait_for(lambda: self.heard)

    def test_without_a_history_the_result_is_told_as_it_is(self):
        with Dispatcher(DispatchSettings(), print) as after:
            result = result_of(12, ActionStarted("fight", 1.0, 0.8))
            assert after.write(result) is result

    def test_the_last_word_of_a_camera_comes_after_its_events_and_overtakes_nobody(self, after):
        order = []
        after.on_event(lambda told: order.append(told.event.label))
        with locked(after.history.path):
            after.write(result_of(12, ActionStarted("fight", 1.0, 0.8)))
            after.in_order("door", lambda: order.append("door stalled"), last=False)
            after.in_order("yard", lambda: order.append("yard ended"), last=True)
            after.in_order("door", lambda: order.append("door ended"), last=True)
            after.in_order("door", lambda: order.append("door connecting"), last=False)
            assert order == ["door stalled", "yard ended"]
        after.settle(10.0)
        assert order == ["door stalled", "yard ended", "fight", "door ended", "door connecting"]

    def test_a_history_that_cannot_be_written_for_long_holds_no_alarm_back(self, after, monkeypatch):
        monkeypatch.setattr(announce, "_HOLD_SECONDS", 0.3)
        with locked(after.history.path):
            after.write(result_of(12, ActionStarted("fight", 1.0, 0.8)))
            wait_for(lambda: self.heard)
            after.write(result_of(13, ActionStarted("fall", 1.2, 0.8)))
            after.tick()
            wait_for(lambda: len(self.heard) == 2)
            assert after.history.count() == 0
            assert sum("events are sent before they are kept" in told for told in self.told) == 1
        wait_for(lambda: after.history.count() == 2)
        assert len(self.heard) == 2  # and not told again

    def test_who_hears_and_fails_is_raised_where_results_are_written_and_others_hear(self, after):
        def fails(told):
            raise SinkError("nobody reads it any more")

        after._listeners.insert(0, fails)
        after.write(result_of(12, ActionStarted("fight", 1.0, 0.8)))
        after.settle(10.0)
        with pytest.raises(SinkError, match="nobody reads it"):
            after.tick()
        after.tick()

    def test_somebodys_own_sink_gets_results_in_order_each_when_its_events_are_kept(self, after):
        given = []
        after._sinks.append(Callback(lambda result: given.append((result.frame.index, len(result.events)))))
        after.write(result_of(1))
        assert given == [(1, 0)]
        with locked(after.history.path):
            after.write(result_of(2, ActionStarted("fight", 0.2, 0.8)))
            for n in range(3, 60):
                after.write(result_of(n, *([ActionEnded("fight", 0.5, 0.2, 0.9)] if n == 5 else ())))
            assert given == [(1, 0)]
            pictures = [line for line in after._queue if line.result is not None]
            assert len(pictures) == announce._HELD_RESULTS
        after.settle(10.0)
        assert sum(events for _, events in given) == 2  # events are never left out
        assert given[-1] == (59, 0) and given == sorted(given)

    def test_what_is_told_at_the_end_is_all_that_happened(self, tmp_path):
        settings = DispatchSettings(history=HistorySettings(file=str(tmp_path / "end.db")))
        heard = []
        with Dispatcher(settings, print) as after:
            after.on_event(heard.append)
            for n in range(40):
                after.write(result_of(n, ActionStarted(f"{n}", n / FPS, 0.8)))
        assert [told.event.label for told in heard] == [f"{n}" for n in range(40)]


class TestTrouble:
    def test_a_history_that_cannot_be_written_is_told_once_and_the_rest_goes_on(self, tmp_path):
        told: list[str] = []
        settings = DispatchSettings(history=HistorySettings(file=str(tmp_path / "events.db")))
        with Dispatcher(settings, told.append) as after:
            after.history._database.writer.execute(
                "PRAGMA max_page_count = 1"
            )  # what a full disk looks like to SQLite
            for n in range(10):
                after.write(result_of(n, ActionStarted(f"{n}" * 50_000, n / FPS, 0.8)))
                after.tick()
            wait_for(lambda: told)
            assert "the disk is full; what happens waits in memory" in told[0]
            after.history._database.writer.execute("PRAGMA max_page_count = 1000000")
            wait_for(lambda: after.history.count() == 10)
            wait_for(lambda: len(told) == 2)
            assert "is written again, with what happened meanwhile" in told[1]

    def test_what_a_kill_left_open_is_told_at_the_start(self, tmp_path):
        settings = DispatchSettings(history=HistorySettings(file=str(tmp_path / "events.db")))
        history = History(tmp_path / "events.db")
        history.record(result_of(1, ActionStarted("fight", 0.0, 0.8)))
        history._database.close()
        told: list[str] = []
        Dispatcher(settings, told.append).close()
        assert told == ["door: fight ended when streamrec was killed, after 0.1 s or a little more"]

    def test_what_cannot_be_had_is_told_and_nothing_stays_open(self, tmp_path):
        (tmp_path / "file").write_text("")
        settings = DispatchSettings(
            history=HistorySettings(file=str(tmp_path / "events.db")),
            evidence=EvidenceSettings(folder=str(tmp_path / "file")),
        )
        with pytest.raises(SinkError, match="choose another folder"):
            Dispatcher(settings, print)
        History(tmp_path / "events.db").close()


@pytest.mark.slow
@pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto: apt-get install mosquitto")
def test_kills_at_random_moments_take_back_nothing_that_was_told(tmp_path):
    """A real ``streamrec watch`` tells by lines, webhook and MQTT; a kill comes whenever it comes."""
    port, chance = free_port(), random.Random(11)
    lines = tmp_path / "out.jsonl"
    with broker(tmp_path, port), receiving() as receiver, contextlib.closing(Listener(port)) as ear:
        (tmp_path / "cameras.toml").write_text(
            f"""
            [defaults]
            model = "synthetic"
            [[camera]]
            name = "one"
            address = "synthetic:4"
            [[camera]]
            name = "two"
            address = "synthetic:5"
            [history]
            [evidence]
            before = 1
            after = 1
            leave_free_gb = 0
            [[webhook]]
            url = "http://127.0.0.1:{receiver.port}/"
            [mqtt]
            host = "127.0.0.1"
            port = {port}
            """
        )
        for last in (False, False, False, True):
            seen = len(events_in(lines))
            process = forked.Popen(
                [sys.executable, "-m", "streamrec", "watch", "cameras.toml", "--jsonl", str(lines)],
                cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
            )  # fmt: skip
            try:
                ends = time.monotonic() + 90
                while len(events_in(lines)) < seen + 2 and time.monotonic() < ends:
                    assert process.poll() is None, process.stderr.read()
                    time.sleep(0.02)
                time.sleep(chance.uniform(0.0, 1.0))
                process.send_signal(signal.SIGTERM if last else signal.SIGKILL)
                process.wait(30)
            finally:
                process.kill()
                process.wait(60.0)
                assert "Traceback" not in process.stderr.read()
                process.stderr.close()
        receiver_name = WebhookSettings(url="http://127.0.0.1/").receiver
        with History(tmp_path / "events.db", read_only=True) as history:
            kept = {entry.id: entry for entry in history.pages()}
            # What the webhook does not want, such as evidence, is dropped in its turn: at the next start perhaps.
            wanted = WebhookSettings(url="http://127.0.0.1/").events
            waiting = {one.id for one in history.waiting(receiver_name) if one.kind in wanted}
    hooks = [json.loads(body) for _, body, _ in receiver.got]
    by_line = {(entry.camera, entry.label, round(entry.timestamp, 6)) for entry in kept.values()}
    told = events_in(lines)
    assert len(told) >= 8
    for line in told:  # nothing was told that is not kept
        began = line["timestamp"] if line["event"] == "started" else line["started"]
        assert (line["source"], line["label"], began) in by_line
    for body in (*hooks, *ear.events()):
        entry = kept[body["data"]["id"]]
        assert (entry.camera, entry.label) == (body["data"]["camera"], body["data"]["label"])
        assert moment(body["data"]["started"]) == pytest.approx(entry.started, abs=0.001)
        assert body["event"] == "started" or entry.ended is not None
    everything = {f"{id}-{kind}" for id in kept for kind in ("started", "ended")}
    assert {body["id"] for body in hooks} | waiting == everything  # all that is kept was told, or will be
    assert all(entry.ended is not None for entry in kept.values())
    assert not list((tmp_path / "evidence").rglob("*.part.mp4"))
    clips = {entry.clip for entry in kept.values() if entry.clip is not None}
    assert clips and all(av.open(clip).close() is None for clip in clips)
    with contextlib.closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def events_in(path: Path) -> list[dict]:
    """The events of JSON Lines; a line that a kill cut short is none."""
    if not path.exists():
        return []
    whole = [
        line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]
    found = []
    for line in whole:
        with contextlib.suppress(ValueError):  # what was written after a line that was cut short
            found.append(json.loads(line))
    return [line for line in found if line["type"] == "event"]


@pytest.mark.parametrize("kept", ["history", "evidence", "record"])
def test_a_place_in_nobodys_home_is_refused_in_words(kept):
    place = Path("~nobodyhere/kept")
    made = {
        "history": DispatchSettings(history=HistorySettings(file=place)),
        "evidence": DispatchSettings(evidence=EvidenceSettings(folder=place)),
        "record": DispatchSettings(record=place),
    }[kept]
    with pytest.raises(SettingsError, match="there is no user 'nobodyhere' here"):
        _ = made.outputs
