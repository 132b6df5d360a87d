"""Corrections in the commands: thresholds of a running camera move without a gap, and count after a restart."""

from __future__ import annotations

import time
from dataclasses import replace

from streamrec import Recognizer, Watcher, World, WorldSettings, results
from streamrec.commands.correcting import open_corrections, watched
from streamrec.commands.roster import Roster
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.outputs.history.store import HistorySettings
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.settings.resolve import InForce
from streamrec.sources.synthetic import UNSEEN
from streamrec.types import ActionEnded

CAMERAS = """
[[camera]]
name = "door"
address = "synthetic:1"
model = "synthetic"
"""


def settings(folder) -> DispatchSettings:
    return DispatchSettings(history=HistorySettings(file=str(folder / "events.db")))


def test_a_camera_that_runs_gets_the_moved_thresholds_and_so_does_its_next_start(tmp_path):
    (path := tmp_path / "cameras.toml").write_text(CAMERAS)
    file, after = InForce(path=path).read(), settings(tmp_path)
    with open_corrections(after, print, page=True) as corrections, Watcher() as watcher:
        roster = Roster(
            watcher,
            lambda models, per_person: corrections.watching(Recognizer.load(*models)),
            corrections=corrections,
        )
        roster.apply(roster.prepare(file, after))
        ends = time.monotonic() + 60
        while not (ended := [e for r in watcher.step(1.0) for e in r.events if isinstance(e, ActionEnded)]):
            assert time.monotonic() < ends
        (camera,) = watcher.cameras
        segment = camera._segment
        entry = corrections.about(replace(ended[0], model="synthetic"), "door")
        assert corrections.correct(entry, "wrong").moment
        (moved,) = corrections.thresholds
        assert camera._builder._events._detector.settings.of(moved.label).enter == moved.now > moved.own
        assert [one.segment for one in (result.frame for result in watcher.step(5.0))][:1] in ([segment], [])
    with (
        open_corrections(after, print, page=False) as corrections,
        Watcher() as watcher,
    ):  # without a page too
        roster = Roster(
            watcher,
            lambda models, per_person: corrections.watching(Recognizer.load(*models)),
            corrections=corrections,
        )
        roster.apply(roster.prepare(file, after))
        (camera,) = watcher.cameras
        assert camera._builder._events._detector.settings.of(moved.label).enter == moved.now


def test_who_said_nothing_and_has_no_page_has_no_corrections(tmp_path):
    assert open_corrections(settings(tmp_path), print, page=False) is None
    assert open_corrections(DispatchSettings(), print, page=False) is None
    with open_corrections(settings(tmp_path), print, page=True) as corrections:
        assert corrections.store.folder == tmp_path / "events.corrections"
    assert list(tmp_path.iterdir()) == []


def test_a_recognizer_under_correction_says_the_same_until_it_has_learned(tmp_path):
    world = World(WorldSettings(seed=UNSEEN, seconds=6.0, fps=15.0, width=96, height=72))
    plain = Recognizer.load("synthetic", threads=1)
    with open_corrections(DispatchSettings(), print, page=True) as corrections:
        recognizer = corrections.watching(plain)
        builder = ResultBuilder(recognizer, world.name)
        builder.retune(watched(corrections, world.name, recognizer, {}))
        one = list(results(world, recognizer, builder=builder))
        other = list(results(world, plain))
    assert [r.events for r in one] == [r.events for r in other]
    for a, b in zip(one, other, strict=True):
        assert (a.prediction.probabilities == b.prediction.probabilities).all()
