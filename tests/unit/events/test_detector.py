from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict

import numpy as np
import pytest

from streamrec.errors import StateError, StreamrecError
from streamrec.events.detector import EventDetector, EventSettings
from streamrec.types import ActionEnded, ActionStarted, Event, Prediction

Told = list[tuple[float, Event]]  # when it was told, and what


def prediction(scores: Iterable[float], timestamp: float = 0.0) -> Prediction:
    probabilities = np.array(list(scores), np.float32)
    return Prediction("", float(probabilities.max()), probabilities, timestamp)


def play(
    score: Callable[[float], Iterable[float]],
    *,
    labels: tuple[str, ...] = ("idle", "wave", "clap"),
    seconds: float = 10.0,
    fps: float = 20.0,
    finish: bool = True,
    **settings: object,
) -> Told:
    """Every event of a stream whose scores are a function of time, and the time of the frame that told it."""
    detector = EventDetector(labels, EventSettings(**{"background": ("idle",), **settings}))  # type: ignore[arg-type]
    state, told = detector.initial_state(), []
    t = 0.0
    for n in range(round(seconds * fps)):
        t = n / fps
        events, state = detector.step(prediction(score(t), t), t, state, "cam")
        told += [(t, event) for event in events]
    if finish:
        events, _ = detector.finish(t, state, "cam")
        told += [(t, event) for event in events]
    return told


def outline(told: Told) -> list[tuple[str, str, float]]:
    return [(type(e).__name__.removeprefix("Action"), e.label, round(e.timestamp, 3)) for _, e in told]


def wave(p: float) -> tuple[float, float, float]:
    return (1 - p, p, 0.0)


def test_a_step_is_told_soon_and_dated_to_the_frame_where_it_rose() -> None:
    told = play(lambda t: wave(0.95 if 2 <= t < 4 else 0.02))
    assert outline(told) == [("Started", "wave", 2.0), ("Ended", "wave", 4.0)]
    # The average climbs from 0.02 towards 0.95 and is over 0.6 after 0.3 * ln(0.93 / 0.35) = 0.293 s less one
    # frame (the frame at 2.0 s already counts 0.05 s): within `shortest` = 0.3 s, so that decides.
    assert told[0][0] == pytest.approx(2.3)
    # It falls to 0.4 after 0.3 * ln(0.93 / 0.38) = 0.268 s: `merge_gap` = 0.5 s decides.
    assert told[1][0] == pytest.approx(4.5)


def test_confidence_is_the_smoothed_score_and_its_peak() -> None:
    (_, start), (_, end) = play(lambda t: wave(1.0 if 2 <= t < 4 else 0.0))
    assert isinstance(start, ActionStarted)
    assert isinstance(end, ActionEnded)
    # Told at 2.3 s, after 7 frames of 0.05 s: 1 - exp(-0.35 / 0.3) = 0.6886.
    assert start.confidence == pytest.approx(1 - math.exp(-0.35 / 0.3))
    # At its highest after 40 frames, 2 s: 1 - exp(-2 / 0.3) = 0.9987.
    assert end.confidence == pytest.approx(1 - math.exp(-2 / 0.3))
    assert end.started == start.timestamp
    assert start.source == end.source == "cam"


def test_the_peak_may_lie_before_the_telling() -> None:
    told = play(lambda t: wave(1.0 if 2 <= t < 2.9 else 0.65 if 2.9 <= t < 5 else 0.0), shortest=1.0)
    assert told[0][0] == pytest.approx(3.0)
    # The last frame at 1.0 is the 18th: 1 - exp(-0.9 / 0.3) = 0.9502.
    assert told[1][1].confidence == pytest.approx(1 - math.exp(-0.9 / 0.3))


def test_a_flickering_score_gives_one_event() -> None:
    # Two frames up, one frame down, for four seconds: mean (0.95 + 0.95 + 0.05) / 3 = 0.65.
    def flicker(t: float) -> tuple[float, ...]:
        n = round(t * 20)
        return wave(0.0 if not 40 <= n < 120 else 0.05 if n % 3 == 0 else 0.95)

    told = play(flicker, enter=0.55)
    assert [kind for kind, _, _ in outline(told)] == ["Started", "Ended"]
    assert told[0][1].timestamp == pytest.approx(2.0, abs=0.151)
    assert told[1][1].timestamp == pytest.approx(6.0, abs=0.151)


def test_a_score_that_hovers_between_the_thresholds_neither_starts_nor_ends() -> None:
    assert play(lambda t: wave(0.5)) == []
    told = play(lambda t: wave(0.95 if 2 <= t < 4 else 0.5 if t >= 4 else 0.0))
    assert outline(told) == [("Started", "wave", 2.0), ("Ended", "wave", 9.95)]


def test_a_long_hover_does_not_date_the_start_back() -> None:
    # One frame at 0.62 opens a candidate with evidence 0.02 * 0.05; the next, at 0.5, takes 0.1 * 0.05 away.
    told = play(lambda t: wave(0.62 if t == 1.0 else 0.9 if t >= 6 else 0.5))
    assert outline(told)[0] == ("Started", "wave", 6.0)


def test_a_short_dip_is_merged() -> None:
    # Down at 4.0 and up again at 4.5, just as merge_gap is over.
    told = play(lambda t: wave(0.95 if 2 <= t < 4 or 4.5 <= t < 6 else 0.02))
    assert outline(told) == [("Started", "wave", 2.0), ("Ended", "wave", 6.0)]


def test_two_short_dips_do_not_add_up_to_a_long_one() -> None:
    told = play(lambda t: wave(0.0 if t < 2 or 4 <= t < 4.4 or 4.65 <= t < 5 or t >= 7 else 1.0))
    assert outline(told) == [("Started", "wave", 2.0), ("Ended", "wave", 7.0)]


def test_a_slow_average_guards_against_blips_and_dips_alone() -> None:
    # Half a second brings the average from 0 to 1 - exp(-0.5 / 1) = 0.39, and back from 1 to 0.61.
    assert play(lambda t: wave(1.0 if 2 <= t < 2.5 else 0.0), smoothing=1.0, shortest=0.1) == []
    told = play(lambda t: wave(1.0 if 1 <= t < 6 or 6.5 <= t < 8 else 0.0), smoothing=1.0, merge_gap=0.1)
    assert outline(told) == [("Started", "wave", 1.0), ("Ended", "wave", 8.0)]


def test_a_long_past_does_not_outweigh_what_the_score_says_now() -> None:
    # With 5 s to last, an action of 4.5 s is none; 2 s of silence forget it, and the next one begins afresh.
    told = play(lambda t: wave(1.0 if 1 <= t < 5.5 or 7.5 <= t < 14 else 0.0), seconds=16, shortest=5.0)
    assert outline(told) == [("Started", "wave", 7.5), ("Ended", "wave", 14.0)]

    # With 5 s to merge, a dip of 4.5 s is none; 2.5 s at 0.55 forget it, so the next, of 2 s, is none either.
    def score(t: float) -> tuple[float, ...]:
        return wave(0.55 if 7.5 <= t < 10 else 1.0 if 1 <= t < 3 or 12 <= t < 14 else 0.0)

    assert outline(play(score, seconds=20, merge_gap=5.0)) == [
        ("Started", "wave", 1.0),
        ("Ended", "wave", 14.0),
    ]


def test_a_long_dip_splits() -> None:
    told = play(lambda t: wave(0.95 if 2 <= t < 4 or 5 <= t < 6 else 0.02))
    assert outline(told) == [
        ("Started", "wave", 2.0),
        ("Ended", "wave", 4.0),
        ("Started", "wave", 5.0),
        ("Ended", "wave", 6.0),
    ]


def test_a_short_blip_gives_nothing() -> None:
    assert play(lambda t: wave(1.0 if 2 <= t < 2.25 else 0.0)) == []
    # Without smoothing only `shortest` guards, and it guards alone.
    assert play(lambda t: wave(1.0 if 2 <= t < 2.25 else 0.0), smoothing=0.0) == []
    assert len(play(lambda t: wave(1.0 if 2 <= t < 2.4 else 0.0), smoothing=0.0)) == 2


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 2.0])
def test_one_confident_first_frame_is_no_start(smoothing: float) -> None:
    assert play(lambda t: wave(1.0 if t == 0 else 0.0), smoothing=smoothing) == []


def test_an_action_that_runs_when_the_stream_opens_begins_with_its_first_frame() -> None:
    assert outline(play(lambda t: wave(0.9), seconds=2))[0] == ("Started", "wave", 0.0)


def test_of_two_actions_in_turn_the_first_ends_before_the_second_starts() -> None:
    told = play(lambda t: (0.05, 0.9, 0.05) if 1 <= t < 3 else (0.05, 0.05, 0.9) if 3 <= t < 5 else (1, 0, 0))
    assert outline(told) == [
        ("Started", "wave", 1.0),
        ("Ended", "wave", 3.0),
        ("Started", "clap", 3.0),
        ("Ended", "clap", 5.0),
    ]
    assert told[1][0] == told[2][0] < 3.5  # in the same step, without waiting for merge_gap


def test_another_action_that_shows_for_a_moment_does_not_split_the_first() -> None:
    told = play(
        lambda t: (0.05, 0.05, 0.9) if 3 <= t < 3.25 else (0.05, 0.9, 0.05) if 1 <= t < 5 else (1, 0, 0)
    )
    assert outline(told) == [("Started", "wave", 1.0), ("Ended", "wave", 5.0)]


def test_background_never_gives_events() -> None:
    assert play(lambda t: (0.98, 0.01, 0.01)) == []
    assert outline(play(lambda t: (0.98, 0.01, 0.01), background=()))[0] == ("Started", "idle", 0.0)


def test_independent_scores_may_overlap() -> None:
    told = play(lambda t: (0.0, 0.9 if 1 <= t < 5 else 0.1, 0.9 if 3 <= t < 7 else 0.1))
    assert outline(told) == [
        ("Started", "wave", 1.0),
        ("Started", "clap", 3.0),
        ("Ended", "wave", 5.0),
        ("Ended", "clap", 7.0),
    ]


def test_the_frame_rate_does_not_matter() -> None:
    def score(t: float) -> tuple[float, ...]:
        return (0.05, 0.9, 0.05) if 1.5 <= t < 3 else (0.05, 0.1, 0.85) if 3 <= t < 5.2 else (0.9, 0.05, 0.05)

    runs = {fps: play(score, fps=fps) for fps in (30.0, 15.0, 10.0)}
    for fps, told in runs.items():
        assert [name[:2] for name in outline(told)] == [name[:2] for name in outline(runs[30.0])]
        for (when, event), (when_30, event_30) in zip(told, runs[30.0], strict=True):
            assert event.timestamp == pytest.approx(event_30.timestamp, abs=1 / fps)
            assert when == pytest.approx(when_30, abs=1 / fps + 1 / 30)


def test_uneven_frames_count_by_time_and_not_by_number() -> None:
    detector = EventDetector(["wave"])
    state = detector.initial_state()
    # 50 confident frames within 0.1 s are no action yet.
    for n in range(50):
        events, state = detector.step(prediction([1.0]), 5 + n * 0.002, state)
        assert events == ()
    events, state = detector.step(prediction([1.0]), 5.5, state)
    assert [event.timestamp for event in events] == [5.0]


def test_each_label_may_have_its_own_numbers() -> None:
    def both(t: float) -> tuple[float, float, float]:
        return (0.3, 0.7, 0.0) if t < 3 else (0.3, 0.0, 0.7)

    assert [event.label for _, event in play(both)] == ["wave", "wave", "clap", "clap"]
    strict = play(both, by_label={"wave": {"enter": 0.8}})  # type: ignore[arg-type]
    assert [event.label for _, event in strict] == ["clap", "clap"]
    slow = play(both, by_label={"clap": {"shortest": 2.0, "smoothing": 0.0}})  # type: ignore[arg-type]
    assert [(when, event.label) for when, event in slow if isinstance(event, ActionStarted)] == [
        (pytest.approx(0.6), "wave"),
        (pytest.approx(5.0), "clap"),
    ]


def test_after_an_end_the_same_label_rests_for_the_cool_down_and_others_do_not() -> None:
    def bursts(t: float) -> tuple[float, float, float]:
        return (0.0, 1.0, 0.0) if t % 2 < 1 else (0.0, 0.0, 1.0) if 7 <= t < 8 else (1.0, 0.0, 0.0)

    often = [event for _, event in play(bursts) if isinstance(event, ActionStarted)]
    assert [(event.label, event.timestamp) for event in often if event.label == "wave"] == [
        ("wave", float(t)) for t in range(0, 10, 2)
    ]
    rarely = [event for _, event in play(bursts, cool_down=4.0) if isinstance(event, ActionStarted)]
    # The first ends at 1: nothing is told before 5, and the next burst is that of 6.
    assert [(event.label, event.timestamp) for event in rarely] == [
        ("wave", 0.0),
        ("wave", 6.0),
        ("clap", 7.0),
    ]


def test_what_began_while_its_label_rested_and_still_runs_is_told_when_the_rest_is_over() -> None:
    told = play(lambda t: wave(1.0 if t < 1 or t >= 2 else 0.0), cool_down=4.0, finish=False)
    assert [
        (round(when, 2), event.timestamp) for when, event in told if isinstance(event, ActionStarted)
    ] == [
        (0.3, 0.0),
        (5.0, 2.0),
    ]


def test_finish_ends_what_runs_and_forgets_the_rest() -> None:
    detector = EventDetector(["wave", "clap"])
    state = detector.initial_state()
    for n in range(21):
        scores = [0.9, 0.9 if n == 20 else 0.0]  # "clap" has but one frame: a candidate
        events, state = detector.step(prediction(scores), n / 10, state)
    events, state = detector.finish(2.1, state, "cam")
    assert [(event.label, event.timestamp, event.source) for event in events] == [("wave", 2.1, "cam")]
    assert state.tracks == ()
    assert not state.smoothed.any()
    assert detector.finish(2.1, state)[0] == ()


@pytest.mark.parametrize("timestamp", [0.0, 60.0])
def test_finish_with_the_time_of_another_segment_ends_at_the_last_frame(timestamp: float) -> None:
    detector = EventDetector(["wave"])
    state = detector.initial_state()
    for n in range(10, 21):
        _, state = detector.step(prediction([0.9]), n / 10, state)
    events, _ = detector.finish(timestamp, state)
    assert [event.timestamp for event in events] == [2.0]


def test_finish_ends_where_the_score_had_begun_to_fall() -> None:
    told = play(lambda t: wave(0.9 if t < 1.8 else 0.0), seconds=2)
    assert outline(told) == [("Started", "wave", 0.0), ("Ended", "wave", 1.8)]


def test_a_jump_back_in_time_ends_what_runs_and_starts_anew() -> None:
    detector = EventDetector(["wave"])
    state = detector.initial_state()
    told: list[Event] = []
    for t in [*np.arange(100.0, 102.0, 0.1).tolist(), *np.arange(0.0, 1.0, 0.1).tolist()]:
        events, state = detector.step(prediction([0.9]), t, state)
        told += events
    assert [(type(e).__name__, round(e.timestamp, 3)) for e in told] == [
        ("ActionStarted", 100.0),
        ("ActionEnded", 101.9),
        ("ActionStarted", 0.0),
    ]


def test_a_clock_that_stumbles_back_a_little_stands_still() -> None:
    detector = EventDetector(["wave"])
    _, state = detector.step(prediction([0.9]), 5.0, detector.initial_state())
    _, state = detector.step(prediction([0.9]), 4.9, state)
    assert state.timestamp == 5.0


def test_known_scores_are_told_with_the_frame_and_end_where_a_segment_does() -> None:
    detector = EventDetector(("idle", "wave"), EventSettings(background=("idle",)))
    times = [n / 10 for n in range(10)] * 2
    scores = [np.array([0.1, 0.9], np.float32)] * 20
    told = list(detector.replay(times, scores, [0] * 10 + [1] * 10))
    assert [(frame, type(event).__name__, event.timestamp) for frame, event in told] == [
        (4, "ActionStarted", 0.0),
        (9, "ActionEnded", 0.9),
        (14, "ActionStarted", 0.0),
        (19, "ActionEnded", 0.9),
    ]
    with pytest.raises(ValueError, match="shorter"):
        list(detector.replay(times, scores[1:]))


def test_the_same_state_stepped_twice_gives_equal_results() -> None:
    detector = EventDetector(["wave", "clap"])
    random = np.random.default_rng(0)
    state = detector.initial_state()
    for n in range(200):
        now = prediction(random.random(2) ** 0.5)
        before = (state.smoothed.copy(), state.timestamp, state.tracks, state.notified)
        events, following = detector.step(now, n / 10, state)
        again, following_again = detector.step(now, n / 10, state)
        assert events == again
        assert (following.smoothed == following_again.smoothed).all()
        assert following.tracks == following_again.tracks
        assert (state.smoothed == before[0]).all()
        assert (state.timestamp, state.tracks, state.notified) == before[1:]
        state = following
    with pytest.raises(ValueError, match="read-only"):
        state.smoothed[0] = 1.0


@pytest.mark.parametrize("seed", range(20))
def test_on_random_scores_starts_and_ends_alternate_and_times_are_in_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = ("idle", "a", "b", "c")
    background, softmax = ("idle",), seed % 2 == 0
    leave = random.uniform(0.2, 0.5)
    settings = EventSettings(
        enter=random.uniform(1 - leave, 0.9) if softmax else random.uniform(leave, 0.9),
        leave=leave,
        smoothing=random.choice([0.0, 0.1, 0.5]),
        shortest=random.uniform(0, 0.5),
        merge_gap=random.uniform(0, 0.7),
        background=background,
    )
    detector = EventDetector(labels, settings)
    state = detector.initial_state()
    running: dict[str, float] = {}
    ended_at: dict[str, float] = {}
    t, count, walk = 0.0, 0, random.normal(size=4)

    def check(events: tuple[Event, ...], now: float) -> None:
        kinds = [isinstance(event, ActionStarted) for event in events]
        assert kinds == sorted(kinds)  # ended first
        for event in events:
            assert event.label not in background
            assert 0 <= event.confidence <= 1
            assert event.timestamp <= now
            if isinstance(event, ActionStarted):
                assert event.label not in running
                assert event.timestamp >= ended_at.get(event.label, 0.0)
                running[event.label] = event.timestamp
                assert not softmax or len(running) == 1
            else:
                assert event.started == running.pop(event.label)
                assert event.duration >= settings.shortest - 1e-6
                ended_at[event.label] = event.timestamp

    for _ in range(1500):
        t += random.choice([0.03, 0.03, 0.1, 0.5, 3.0], p=[0.5, 0.2, 0.28, 0.015, 0.005])
        walk += 0.7 * random.normal(size=4) - 0.1 * walk
        logits = 3 * walk + random.normal(size=4)
        scores = np.exp(logits - logits.max()) if softmax else 1 / (1 + np.exp(-logits))
        events, state = detector.step(prediction(scores / scores.sum() if softmax else scores), t, state)
        check(events, t)
        count += len(events)
    events, state = detector.finish(t, state)
    check(events, t)
    assert running == {}
    assert count > 0


def test_settings_survive_json() -> None:
    settings = EventSettings(enter=0.7, background=("idle", "normal"), by_label={"wave": {"enter": 0.9}})
    assert settings.of("wave").enter == 0.9
    assert EventSettings.from_dict(json.loads(json.dumps(asdict(settings)))) == settings
    with pytest.raises(StreamrecError, match="no such event setting: entre; there are enter, leave"):
        EventSettings.from_dict({"entre": 0.7})


@pytest.mark.parametrize(
    "wrong",
    [
        {"enter": 0.3},
        {"leave": 0.0},
        {"enter": 1.1},
        {"smoothing": -1.0},
        {"shortest": -0.1},
        {"merge_gap": math.nan},
        {"enter": "high"},
        {"background": "idle"},
        {"cool_down": -1.0},
        {"by_label": {"wave": 0.9}},
        {"by_label": {"wave": {"enter": 1.9}}},
        {"by_label": {"wave": {"entre": 0.9}}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(StreamrecError, match="wave" if "by_label" in wrong else next(iter(wrong))):
        EventSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("scores", [[math.nan, 0.5], [math.inf, 0.0], [4.0, -3.0]])
def test_scores_that_are_not_probabilities_are_refused(scores: list[float]) -> None:
    detector = EventDetector(["wave", "clap"])
    with pytest.raises(StreamrecError, match="not probabilities"):
        detector.step(prediction(scores), 0.0, detector.initial_state())


def test_labels_scores_states_and_times_must_fit() -> None:
    detector = EventDetector(["wave", "clap"])
    state = detector.initial_state()
    with pytest.raises(StreamrecError, match=r"shape \(3,\)"):
        detector.step(prediction([0.1, 0.2, 0.7]), 0.0, state)
    with pytest.raises(StreamrecError, match="labels of the model"):
        detector.step(Prediction("clap", 0.8, np.array([0.8, 0.2]), 0.0, ("clap", "wave")), 0.0, state)
    with pytest.raises(StateError, match="initial_state"):
        detector.step(prediction([0.5, 0.5]), 0.0, EventDetector(["wave"]).initial_state())
    with pytest.raises(StreamrecError, match="timestamp is nan"):
        detector.step(prediction([0.5, 0.5]), math.nan, state)
    with pytest.raises(StreamrecError, match="each only once"):
        EventDetector(["wave", "wave"])


# -- unknown pictures


def starts(strangeness: list[float | None], strangest: float = 1.0) -> list[float]:
    """When a wave that is certain all the time is told as started, at 10 frames a second."""
    detector = EventDetector(("idle", "wave"), EventSettings(strangest=strangest, background=("idle",)))
    times = [n / 10 for n in range(len(strangeness))]
    told = detector.replay(times, [np.array([0.1, 0.9])] * len(times), None, strangeness)
    return [event.timestamp for _, event in told if isinstance(event, ActionStarted)]


def test_nothing_starts_while_the_picture_is_unknown() -> None:
    assert starts([0.5] * 20) == [0.0]
    assert starts([1.5] * 20) == []


def test_an_action_starts_once_the_picture_is_known() -> None:
    assert starts([1.5] * 10 + [0.5] * 20) == [1.0]


def test_what_runs_goes_on_over_unknown_pictures() -> None:
    assert starts([0.5] * 10 + [1.5] * 10 + [0.5] * 10) == [0.0]


def test_unknown_pictures_start_actions_where_it_is_off_or_the_model_does_not_know() -> None:
    assert starts([1.5] * 20, strangest=0.0) == [0.0]
    assert starts([None] * 20) == [0.0]


def test_a_picture_is_unknown_beyond_the_border_also_where_nothing_is_held_back() -> None:
    said = [Prediction("", 0.0, np.ones(1), 0.0, strangeness=value) for value in (None, 0.9, 1.1, 2.1)]
    for strangest, wanted in ((0.0, [False, False, True, True]), (2.0, [False, False, False, True])):
        detector = EventDetector(("wave",), EventSettings(strangest=strangest))
        assert [detector.is_unknown(prediction) for prediction in said] == wanted


@pytest.mark.parametrize("value", [-1.0, float("inf"), True, "far"])
def test_a_border_that_is_none_is_refused_in_words(value: object) -> None:
    with pytest.raises(StreamrecError, match="strangest is"):
        EventSettings(strangest=value)  # type: ignore[arg-type]
