"""How far a model carries: scores of invented playbacks, the table, and the log of looks."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from streamrec.data.clips import Clip
from streamrec.errors import DataError
from streamrec.evaluation.carry import (
    CarrySettings,
    ClipScore,
    chosen_clips,
    due_for,
    has_learned,
    row_of,
    score_of,
)
from streamrec.evaluation.carry_table import carry_text
from streamrec.evaluation.looks import add_looks, count_looks, look_of, read_looks
from streamrec.evaluation.reports import playback_of
from streamrec.evaluation.sets import SETS, WHOLE
from streamrec.events.detector import EventSettings
from streamrec.nn.config import ModelConfig
from streamrec.sources.iterable import IterableSource
from streamrec.sources.sampling import pace
from streamrec.types import Frame

EVENTS = EventSettings(enter=0.6, leave=0.4, smoothing=0.0, shortest=0.2, background=("normal",))
CONFIG = ModelConfig(labels=("fall", "wave", "normal"), events=EVENTS, learned=("falls",))


def scored(
    *loud: tuple[float, float, str], truth=(), shown=("fall",), judged=("fall", "wave"), seconds: float = 10.0
) -> ClipScore:
    """The score of a clip in which a label is certain from one time to another, and normal otherwise."""
    times = np.arange(0, seconds, 0.1)
    scores = np.full((len(times), 3), 0.05)
    scores[:, 2] = 0.9
    for start, end, label in loud:
        scores[(times >= start) & (times < end)] = [0.9 if one == label else 0.05 for one in CONFIG.labels]
    clip = Clip(Path("a.mp4"), None, "anna", tuple(truth))
    playback = playback_of(clip, times, scores, CONFIG.labels, CONFIG.events)
    return score_of(playback, CONFIG, shown, judged)


def test_a_found_fall_has_its_delay_and_the_clip_is_right():
    score = scored((2.5, 4.0, "fall"), truth=[(2.0, 5.0, "fall")])
    assert (score.actions, score.found, score.false, score.is_right) == (1, 1, 0, True)
    assert score.delays == pytest.approx((0.7,))  # 0.5 late, 0.2 until it is notified
    assert score.truth == (True,)
    assert score.peaks == pytest.approx((0.9,))
    assert score.hours == pytest.approx(7.0 / 3600)


def test_an_event_outside_every_action_is_false_and_the_clip_is_wrong():
    score = scored((2.5, 4.0, "fall"), (7.0, 8.0, "fall"), truth=[(2.0, 5.0, "fall")])
    assert (score.found, score.false, score.is_right) == (1, 1, False)


def test_a_wrong_action_in_place_of_the_right_one_is_no_false_alarm_but_the_clip_is_wrong():
    score = scored((2.5, 4.0, "wave"), truth=[(2.0, 5.0, "fall")])
    assert (score.found, score.reported, score.false, score.is_right) == (0, 1, 0, False)


def test_actions_that_a_set_does_not_judge_are_neither_right_nor_false():
    score = scored((2.5, 4.0, "wave"), judged=("fall",))
    assert (score.reported, score.false, score.is_right) == (0, 0, True)


def test_a_whole_clip_of_an_action_has_no_onset_and_no_time_without_one():
    score = scored((2.5, 4.0, "fall"), truth=[(0.0, WHOLE, "fall")])
    assert (score.found, score.is_timed, score.delays, score.hours) == (1, False, (), 0.0)


def row(scores, **changes):
    about = {"model": "m", "data": "urfall/0", "shown": ("fall",), "judged": ("fall",), "of": len(scores)}
    return row_of(scores, **(about | changes))


def test_of_clips_of_one_label_those_that_end_right_are_counted():
    fight = [(0.0, WHOLE, "fall")]
    scores = [
        scored((2.0, 10.0, "fall"), truth=fight),
        scored((2.0, 4.0, "fall"), truth=fight),
        scored((2.0, 4.0, "fall")),
        scored((9.5, 10.0, "fall")),
        scored((9.5, 10.0, "wave"), judged=("fall",)),
    ]
    assert [score.ends_right for score in scores] == [True, False, True, False, True]
    assert row(scores).at_end == (1, 2)
    assert row([scored(truth=[(2.0, 3.0, "fall")])]).at_end is None


def test_a_row_counts_clips_actions_and_hours():
    fall = [(2.0, 5.0, "fall")]
    scores = [
        scored((2.5, 4.0, "fall"), truth=fall),
        scored((4.4, 6.0, "fall"), truth=fall),
        scored(truth=fall),
        scored(),
        scored((2.0, 3.0, "fall")),
    ]
    scores = [replace(score, group=f"g{n}") for n, score in enumerate(scores)]
    found = row(scores)
    assert (found.clips, found.groups, found.actions, found.found, found.soon) == (5, 5, 3, 2, 1)
    assert (found.quiet, found.left_alone, found.false_events) == (2, 1, 1)
    assert found.recall == pytest.approx(2 / 3)
    assert found.right == pytest.approx(3 / 5)
    assert found.hours == pytest.approx(41 / 3600)
    assert found.per_hour == pytest.approx(3600 / 41)
    assert found.auc == pytest.approx((2 * 1.0 + 2 * 0.5 + 0.5 + 0.0) / 6)  # of equal scores one half
    assert found.delay == pytest.approx((0.7 + 2.6) / 2)
    for low, high in (found.recall_interval, found.right_interval, found.auc_interval):
        assert 0 <= low < high <= 1


def test_without_an_event_the_interval_is_that_of_the_hours_and_of_all_clips_that_of_their_number():
    found = row([replace(scored(), group=f"g{n}") for n in range(4)])
    assert found.false_events == 0
    assert found.per_hour_interval == pytest.approx((0.0, 3.689 * 3600 / 40), rel=1e-3)
    assert found.right_interval[1] == pytest.approx(1.0)
    assert found.right_interval[0] == pytest.approx(0.51, abs=0.01)
    assert found.auc is None


def test_where_nothing_of_its_kind_happens_only_false_events_are_counted():
    found = row([scored((2.0, 3.0, "fall"))], shown=(), data="yoga")
    assert (found.false_events, found.recall, found.right, found.auc) == (1, None, None, None)


def test_a_model_is_not_measured_on_what_it_learned_from():
    assert has_learned(CONFIG, SETS["falls"])
    assert not has_learned(CONFIG, SETS["urfall"])


def test_the_two_halves_share_no_group_and_a_sample_is_spread_evenly(tmp_path):
    folder = tmp_path / "fights"
    folder.mkdir()
    lines = [f"{n:02}.mp4,{'fight' if n < 12 else 'normal'},v{n % 12 // 2}" for n in range(24)]
    (folder / "index.csv").write_text("clip,label,group\n" + "\n".join(lines), encoding="utf-8")

    def chosen(**settings):
        return chosen_clips(tmp_path, SETS["fights"], CarrySettings(**settings))[""]

    choose, report = ({clip.group for clip in chosen(split=half)} for half in ("choose", "report"))
    assert choose
    assert report
    assert not choose & report
    assert len(choose | report) == 6
    assert sorted(clip.path.stem for clip in chosen(most=3)) == ["00", "12", "23"]
    assert len(chosen()) == 24


def frames(count: int, fps: float) -> list[Frame]:
    return [Frame(np.zeros((2, 2, 3), np.uint8), n, n / fps) for n in range(count)]


def test_frames_decoded_once_for_several_models_are_those_that_each_would_choose():
    source = IterableSource(frames(60, 29.97))
    kept = due_for(source, [15.0, 10.0])
    assert kept is not None
    assert len(kept) < 60
    for fps in (15.0, 10.0):
        assert [f.index for f in pace(kept, fps)] == [f.index for f in pace(source, fps)]


def test_frames_that_are_too_many_to_hold_are_decoded_for_each_model(monkeypatch):
    monkeypatch.setattr("streamrec.evaluation.carry.MOST_BYTES", 100)
    assert due_for(IterableSource(frames(60, 30.0)), [15.0]) is None


def test_the_table_says_what_it_is_based_on():
    found = row([scored((2.5, 4.0, "fall"), truth=[(2.0, 5.0, "fall")]), scored()], of=9)
    text = carry_text([found], [SETS["urfall"]], looks={("m", "urfall/0"): 3}, notes=["a note"])
    (line,) = [line for line in text.splitlines() if line.startswith("| m ")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["m", "urfall/0", "2 of 9", "1 of 1"]
    assert cells[5:7] == ["1", "1 of 1"]
    assert cells[-2:] == ["0.70", "3"]
    assert "- a note" in text
    assert "weights that learned from it do not ship" in text


def test_looks_are_counted_by_set_actions_and_half(tmp_path):
    log, model = tmp_path / "looks.jsonl", tmp_path / "m.safetensors"
    model.write_bytes(b"weights")
    found = row([scored()])
    now = datetime(2026, 11, 29, tzinfo=UTC)

    def look(split: str, data: str = "urfall/0", judged=("fall",)) -> dict:
        one = replace(found, data=data, judged=judged)
        return look_of(one, CONFIG, model, CarrySettings(split=split), now=now, note="seed 1")

    assert read_looks(log) == []
    add_looks(log, [look("report"), look("choose"), look("all")])
    add_looks(log, [look("all", "yoga"), look("all", judged=("fight",))])
    looks = read_looks(log)
    assert len(looks) == 5
    assert count_looks(looks, found, "report") == 2
    assert count_looks(looks, found, "all") == 3
    assert looks[0]["date"] == "2026-11-29T00:00:00+00:00"
    assert looks[0]["thresholds"]["enter"] == 0.6
    assert looks[0]["note"] == "seed 1"
    assert len(looks[0]["sha256"]) == 64
    log.write_text(log.read_text() + "{}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 6: it is no line of such a log"):
        read_looks(log)


def test_a_rate_is_never_not_a_number():
    assert not math.isnan(row([scored(truth=[(0.0, WHOLE, "fall")])]).to_dict()["recall"])
