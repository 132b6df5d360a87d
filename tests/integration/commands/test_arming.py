"""`streamrec arming`: beside a running process, and in its place while none runs."""

from __future__ import annotations

import json
import sqlite3

import pytest

from streamrec.commands import arming_request
from streamrec.outputs.history.store import History
from tests.helpers.commands import main_here  # noqa: F401
from tests.integration.notify.test_gate import ByLabel, Watching

CAMERAS = """
[history]
[arming]
usual = "home"
[[arming.profile]]
name = "home"
armed = "fall"
[[camera]]
name = "door"
address = "0"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cameras.toml").write_text(CAMERAS)
    return tmp_path


@pytest.fixture
def said(main_here, folder):  # noqa: F811
    """Runs the command, and gives its exit code and what it printed."""

    def run(*words: str) -> tuple[int, str]:
        done = main_here("arming", *words, cwd=folder)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_running_process_is_asked_and_answers(folder, said):
    watching = Watching(folder / "events.db", ByLabel())
    assert said("set", "disarmed", "--for", "30")[1].startswith(
        "disarmed: chosen by hand (command line), until "
    )
    assert watching.dispatcher.arming.profile == "disarmed"
    code, text = said("snooze", "door", "--label", "fight", "--json")
    assert code == 0 and json.loads(text)["snoozes"] == [{"camera": "door", "label": "fight", "until": None}]
    assert said("snooze", "dor", "5") == (2, "streamrec: dor: there is no such camera; did you mean door?\n")
    assert said("snooze", "door", "0", "--label", "fight")[0] == 0
    assert said("set", "schedule") == (0, "armed: the usual one\n  door: armed\n")
    assert said("status", "--settings", "events.db") == said("status")
    watching.dispatcher.close()


def test_while_nothing_runs_the_choice_counts_from_the_next_start(folder, said):
    History(folder / "events.db").close()
    code, text = said("set", "armed")
    assert (code, text.splitlines()[0]) == (0, "armed: chosen by hand (command line)")
    assert said("set", "hom")[1] == "streamrec: hom: there is no such profile; did you mean home?\n"
    assert said("snooze", "door")[0] == 0
    watching = Watching(folder / "events.db", ByLabel())
    assert watching.dispatcher.arming.profile == "armed"
    watching.happens("fight")
    assert watching.bell.rung == [] and watching.history.query()[0].reason == "door is snoozed"
    watching.dispatcher.close()


def test_while_nothing_runs_a_snooze_of_what_is_not_there_is_refused_with_what_was_meant(folder, said):
    History(folder / "events.db").close()
    assert said("snooze", "dor") == (2, "streamrec: dor: there is no such camera; did you mean door?\n")
    missing = said("snooze", "door", "--label", "figth")
    assert missing == (2, "streamrec: figth: there is no such label; did you mean fight?\n")
    text = said("snooze", "door", "5", "--label", "fight")[1]
    assert text == said("status")[1] and text.count("fight of door is snoozed until") == 1


def test_a_history_alone_knows_its_own_cameras_and_labels(folder, said):
    watching = Watching(folder / "events.db", ByLabel())
    watching.happens("fight")
    watching.dispatcher.close()
    assert said("snooze", "door", "5", "--label", "fight", "--settings", "events.db")[0] == 0
    for words in (("dor",), ("door", "5", "--label", "figth")):
        code, text = said("snooze", *words, "--settings", "events.db")
        assert code == 2 and text.endswith("; --settings cameras.toml names all there are\n")


def test_events_that_run_elsewhere_are_left_alone(folder, said):
    watching = Watching(folder / "events.db", ByLabel())
    watching.happens("fight", over=False)
    watching.history._database._lock.release()  # as if its process had been killed
    assert said("set", "armed")[0] == 0
    assert watching.history.query()[0].ended is None
    watching.dispatcher.close()


def test_mistakes_are_one_sentence(folder, said, monkeypatch):
    assert "keeps one where cameras.toml has [arming] or [history]" in said("status")[1]
    (folder / "notes.db").write_text("no database")
    assert said("status", "--settings", "notes.db")[0] == 2
    History(folder / "events.db").close()
    assert "give --settings cameras.toml" in said("set", "home", "--settings", "events.db")[1]
    assert "give one of them" in said("set", "home", "--for", "5", "--until-schedule")[1]
    for words in (("set", "home", "--for", "nan"), ("set", "home", "--for", "-1"), ("snooze", "door", "x")):
        assert said(*words)[0] == 2
    monkeypatch.setattr(arming_request, "_ANSWER_SECONDS", 0.2)
    with History(folder / "events.db") as history:
        assert "did not answer within 0.2 s" in said("status")[1]
        assert history.select("SELECT count(*) FROM arming_request") == [(0,)]
        history.transact(lambda connection: connection.execute("DROP TABLE arming_request"))
        assert "restart it after the upgrade" in said("status")[1]


def test_another_programs_file_is_refused(folder, said):
    connection = sqlite3.connect(folder / "other.db")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    assert "is no history of streamrec's" in said("status", "--settings", "other.db")[1]
