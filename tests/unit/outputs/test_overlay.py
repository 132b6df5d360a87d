from dataclasses import replace

import cv2
import numpy as np
import pytest

from streamrec.outputs.overlay import (
    PALETTE,
    QUIET,
    Action,
    Trail,
    color_of,
    doing_of,
    draw,
    draw_heat,
    draw_people,
    person_color,
    plain,
)
from streamrec.types import ActionEnded, ActionStarted, Frame, Person, Prediction, Result

LABELS = ("idle", "drinking water", "waving", "clapping hands", "falling down on the stairs")
SIZES = [
    (320, 240),
    (640, 480),
    (1280, 720),
    (3840, 2160),
    (480, 854),
    (64, 48),
    (1280, 100),
    (130, 900),
    (1, 1),
]


def result_of(
    image,
    index=0,
    timestamp=0.0,
    *,
    label=2,
    labels=LABELS,
    segment=0,
    truth=None,
    events=(),
    source="",
    share=0.8,
):
    shares = np.full(len(labels), (1 - share) / max(1, len(labels) - 1), np.float32)
    shares[label] = share
    prediction = Prediction(labels[label], share, shares, timestamp, labels)
    frame = Frame(image, index, timestamp, segment, source, truth=truth)
    return Result(frame, prediction, events, latency=0.0123, dropped=3)


def a_trail(image, count=60, **more):
    trail = Trail(clock=iter(np.arange(count + 10) / 30).__next__)
    for i in range(count):
        last = result_of(image, i, i / 10, label=i // 12 % 5 % len(more.get("labels", LABELS)), **more)
        trail.push(last)
    return last, trail


def person(number: int, box: tuple[float, float, float, float], score: float = 0.9) -> Person:
    ymin, xmin, ymax, xmax = box
    rng = np.random.default_rng(number)
    places = rng.random((17, 2)) * (ymax - ymin, xmax - xmin) + (ymin, xmin)
    keypoints = np.concatenate([places, np.full((17, 1), score)], axis=1).astype(np.float32)
    return Person(number, box, keypoints, 0.6)


def test_people_are_drawn_in_colours_that_last_and_the_rest_stays():
    image = np.full((480, 640, 3), 90, np.uint8)
    result = result_of(image)
    plain_one = draw(image, result)
    where = (0.3, 0.6, 0.7, 0.75)
    drawn = draw(image, replace(result, people=(person(3, where),)))
    changed = (drawn != plain_one).any(2)
    assert changed[150:330, 390:480].sum() > 500 and not changed[:100].any() and not changed[:, :300].any()
    assert (drawn == person_color(3)).all(2).sum() > 200  # the tag and the limbs
    moved = draw(image, replace(result, people=(person(1, (0.5, 0.5, 0.6, 0.6)), person(3, where))))
    assert (moved == person_color(3)).all(2).sum() > 200
    assert len({person_color(number) for number in range(1, 8)}) == 7


def test_what_a_person_does_stands_in_their_tag_while_it_runs():
    image = np.full((480, 640, 3), 90, np.uint8)
    trail, one = Trail(), person(3, (0.4, 0.5, 0.9, 0.75))
    start = ActionStarted("wave", 0.0, 0.9, person=3)
    result = replace(result_of(image), people=(one,), events=(start,))
    trail.push(result)
    assert trail.actions == (Action("wave", 0.0, person=3),)
    assert doing_of([(3, "wave")]) == {3: "wave"}
    tag = slice(165, 192)  # above the box
    plain = (draw_people(image, (one,))[tag] == person_color(3)).all(2).sum()
    doing = (draw_people(image, (one,), {3: "wave"})[tag] == person_color(3)).all(2).sum()
    assert doing > 1.3 * plain
    drawn = draw(image, replace(result, events=()), trail)
    assert (drawn[tag] == person_color(3)).all(2).sum() == doing
    ended = (ActionEnded("wave", 0.1, 0.0, 0.9, person=2), ActionEnded("wave", 0.1, 0.0, 0.9, person=3))
    trail.push(replace(result, events=ended[:1], repeated=True))
    assert trail.actions[0].ended is None  # the end was that of another person
    trail.push(replace(result, events=ended[1:], repeated=True))
    assert trail.actions[0].ended == 0.1
    assert (draw(image, replace(result, events=()), trail)[tag] == person_color(3)).all(2).sum() == plain


def test_how_often_they_did_it_stands_in_their_tag():
    image = np.full((480, 640, 3), 90, np.uint8)
    one = person(3, (0.4, 0.5, 0.9, 0.75))

    def filled(**counts) -> int:
        drawn = draw_people(image, (replace(one, **counts),), {3: "squats"})
        return int((drawn[165:192] == person_color(3)).all(2).sum())

    plain = filled()
    assert filled(repetitions=12) > 1.1 * plain
    assert filled(repetitions=12) == filled(repetitions=12, count=9)  # the model's own counts first
    assert filled(count=12) == filled(repetitions=0, count=12) == filled(repetitions=12)
    assert filled(repetitions=0) == filled(count=0) == plain


def test_people_alone_are_drawn_over_a_picture_of_any_size():
    image = np.full((240, 320, 3), 90, np.uint8)
    drawn = draw_people(image, (person(2, (0.2, 0.3, 0.9, 0.6)),))
    assert (drawn == person_color(2)).all(2).sum() > 100 and (image == 90).all()
    assert (draw_people(image[:4, :4], (person(2, (0.2, 0.3, 0.9, 0.6)),)) == 90).all()


def test_an_unsure_keypoint_is_not_drawn():
    image = np.full((480, 640, 3), 90, np.uint8)
    result, where = result_of(image), (0.4, 0.6, 0.7, 0.75)
    drawn, unsure = (draw(image, replace(result, people=(person(1, where, score),))) for score in (0.9, 0.1))
    below = slice(220, 330), slice(390, 480)
    assert (drawn[below] == person_color(1)).all(2).any() and (unsure[below] == 90).all()


@pytest.mark.parametrize("size", SIZES)
def test_people_fit_every_size_wherever_they_are(size):
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    people = tuple(
        person(n + 1, box)
        for n, box in enumerate([(0, 0, 1, 1), (0, 0.9, 0.1, 1), (0.9, 0, 1, 0.1), (-3.0, -9.0, 12.0, 30.0)])
    )
    drawn = draw(image, replace(result_of(image), people=people))
    assert drawn.shape == image.shape and (image == 200).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("truth", [None, "waving"])
def test_every_size_is_drawn_and_the_picture_itself_stays(size, truth):
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    result, trail = a_trail(image, truth=truth)
    drawn = draw(image, result, trail)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (image == 200).all() and not np.shares_memory(drawn, image)
    if min(size) > 8:
        assert (drawn != image).any()


def test_the_same_result_is_drawn_the_same_twice():
    image = np.full((240, 320, 3), 90, np.uint8)
    result, trail = a_trail(image, truth="idle")
    assert np.array_equal(draw(image, result, trail), draw(image, result, trail))


def test_a_picture_that_may_not_be_written_to_and_is_not_contiguous_is_drawn():
    image = np.full((480, 960, 3), 90, np.uint8)[:, ::2][:, ::-1]
    image.flags.writeable = False
    result, trail = a_trail(image)
    assert draw(image, result, trail).flags.writeable


def test_only_the_panels_are_touched():
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    result, trail = a_trail(image)
    drawn = draw(image, result, trail)
    assert np.array_equal(drawn[180:410], image[180:410])
    assert np.array_equal(drawn[:10], image[:10]) and np.array_equal(drawn[-8:], image[-8:])


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (480, 854), (1920, 1080)])
@pytest.mark.parametrize(
    "name", ["w" * 200, "Wäsche aufhängen und danach noch bügeln " * 3, "飲む" * 60, "\n\t x"]
)
def test_long_names_stay_within_their_panel(size, name):
    width, height = size
    image = np.full((height, width, 3), 120, np.uint8)
    labels = (name, name + "2", name + "3")
    result = result_of(image, label=0, labels=labels, events=(ActionStarted(name, 0.0, 0.9),), truth=name)
    short = result_of(image, label=0, labels=("a", "b", "c"))
    drawn, plain_drawn = draw(image, result), draw(image, short)
    # Wherever bright letters are, a panel is below them: the untouched part has no bright pixel.
    touched = cv2.dilate((plain_drawn != image).any(axis=2).astype(np.uint8), np.ones((3, 3))).astype(bool)
    beside = draw(image, result_of(image, label=0, labels=labels, truth=name))
    bright = (beside > 130).all(axis=2) & ~touched
    assert not bright.any()
    assert np.array_equal(drawn[:, :4], image[:, :4]) and np.array_equal(drawn[:, -4:], image[:, -4:])


def test_letters_show_on_light_and_on_dark_pictures():
    for shade in (0, 255):
        image = np.full((480, 640, 3), shade, np.uint8)
        panel = draw(image, result_of(image))[14:40, 20:120].astype(int)
        assert panel.max() > 230
        assert np.median(panel) < 110  # the ground of the panel


def test_text_on_older_opencv_is_made_of_ascii_letters():
    assert plain("Café – Ångström 飲", unicode=False) == "Cafe - Angstrom (U+98F2)"
    assert plain("two\nlines\tand\x00more", unicode=False) == r"two lines and\x00more"
    assert plain("e\u0301te\u0301", unicode=False) == "ete"


def test_colors_are_stable_and_nothing_happening_is_grey():
    assert [color_of(i, "x") for i in range(7)] == list(PALETTE)
    assert color_of(3, "Idle") == color_of(0, "background") == color_of(-1, "x") == QUIET


def strip_of(drawn):
    """The timeline's colours in a 640 x 480 picture, left to right."""
    return drawn[435, 19:621]


def test_the_timeline_shows_the_labels_in_order_with_the_newest_at_the_right():
    image = np.zeros((480, 640, 3), np.uint8)
    trail = Trail()
    for i in range(101):
        result = result_of(image, i, i / 10, label=1 if i < 50 else 2, share=1.0)
        trail.push(result)
    strip = strip_of(draw(image, result, trail))
    assert tuple(strip[20]) == color_of(1, "x") and tuple(strip[-20]) == color_of(2, "x")


def test_the_timeline_is_empty_before_the_start_and_during_a_stall():
    image = np.zeros((480, 640, 3), np.uint8)
    trail = Trail()
    times = [6.0 + i / 10 for i in range(10)] + [9.0 + i / 10 for i in range(11)]
    for i, t in enumerate(times):
        result = result_of(image, i, t, share=1.0)
        trail.push(result)
    strip = strip_of(draw(image, result, trail))
    color = color_of(2, "x")
    at = [tuple(strip[int(len(strip) * share)]) == color for share in (0.3, 0.65, 0.8, 0.95)]
    assert at == [False, True, False, True]


def test_the_truth_is_a_second_strip_below():
    image = np.zeros((480, 640, 3), np.uint8)
    result, trail = a_trail(image, truth="drinking water")
    drawn = draw(image, result, trail)
    orange = (drawn == color_of(1, "drinking water")).all(axis=2)
    rows = np.nonzero(orange[:, 300:600].all(axis=1))[0]
    assert 2 <= len(rows) <= 6 and rows[0] > 430


def test_an_action_that_has_just_started_wears_its_color():
    image = np.zeros((480, 640, 3), np.uint8)
    color = color_of(2, "waving")

    def filled(now):
        trail = Trail()
        trail.push(result_of(image, 0, 0.0, events=(ActionStarted("waving", 0.0, 0.9),)))
        result = result_of(image, 1, now)
        trail.push(result)
        return int((draw(image, result, trail)[:60, 300:] == color).all(axis=2).sum())

    assert filled(0.5) > 1000 > 200 > filled(4.0) > 10


def test_trail_forgets_across_a_segment_a_source_and_a_clock_that_goes_back():
    image = np.zeros((2, 2, 3), np.uint8)
    for later in (
        result_of(image, 5, 9.0, segment=1),
        result_of(image, 5, 9.0, source="other"),
        result_of(image, 5, 1.0),
    ):
        trail = Trail()
        trail.push(result_of(image, 3, 4.0, events=(ActionStarted("waving", 4.0, 0.9),)))
        trail.push(later)
        assert [m.timestamp for m in trail] == [later.frame.timestamp] and trail.actions == ()


def test_trail_remembers_its_seconds_and_no_more():
    image = np.zeros((2, 2, 3), np.uint8)
    trail = Trail(seconds=2.0)
    for i in range(1000):
        trail.push(result_of(image, i, i / 10))
    assert 20 <= len(trail) <= 22
    for i in range(10_000):  # a clock that stands still must not fill the memory
        trail.push(result_of(image, 1000 + i, 99.9))
    assert len(trail) <= 4096


def test_a_repeated_result_only_brings_its_events():
    image = np.zeros((2, 2, 3), np.uint8)
    trail = Trail()
    trail.push(result_of(image, 0, 0.0, events=(ActionStarted("waving", 0.0, 0.9),)))
    ended = result_of(image, 0, 0.0, events=(ActionEnded("waving", 0.0, 0.0, 0.9),))
    trail.push(replace(ended, repeated=True))
    assert len(trail) == 1
    assert [(a.label, a.ended) for a in trail.actions] == [("waving", 0.0)]


def test_running_actions_stay_and_ended_ones_leave():
    image = np.zeros((2, 2, 3), np.uint8)
    trail = Trail(seconds=1.0)
    trail.push(result_of(image, 0, 0.0, events=(ActionStarted("waving", 0.0, 0.9),)))
    for i in range(1, 50):
        trail.push(result_of(image, i, float(i)))
    assert [a.label for a in trail.actions] == ["waving"]
    trail.push(result_of(image, 50, 50.0, events=(ActionEnded("waving", 50.0, 0.0, 0.9),)))
    assert trail.actions[0].ended == 50.0
    trail.push(result_of(image, 51, 53.0))
    assert trail.actions == ()


def test_trail_tells_results_a_second_of_the_wall_clock():
    image = np.zeros((2, 2, 3), np.uint8)
    trail = Trail(clock=iter(np.arange(100) / 25).__next__)
    assert trail.fps is None
    for i in range(100):
        trail.push(result_of(image, i, i / 10))
    assert trail.fps == pytest.approx(25)


def test_numbers_that_are_none_and_missing_names_do_not_stop_the_drawing():
    image = np.zeros((480, 640, 3), np.uint8)
    odd = Prediction("?", float("nan"), np.array([np.nan, 2.0], np.float32), 0.0, ("a", "b"))
    nameless = Prediction("x", 0.5, np.array([0.5, 0.5], np.float32), float("nan"))
    for prediction in (odd, nameless):
        for timestamp in (0.0, float("nan"), float("inf")):
            trail = Trail()
            result = Result(Frame(image, 0, timestamp, truth="?"), prediction, latency=float("nan"))
            trail.push(result)
            assert draw(image, result, trail).shape == image.shape


def test_bars_are_as_long_as_their_probability():
    image = np.zeros((480, 640, 3), np.uint8)
    color = color_of(2, "waving")
    lengths = []
    for share in (0.25, 0.5, 1.0):
        drawn = draw(image, result_of(image, share=share))
        lengths.append(int((drawn[40:60, 10:270] == color).all(axis=2).sum(axis=1).max()))
    assert lengths[0] * 2 == pytest.approx(lengths[1], abs=2) and lengths[1] * 2 == pytest.approx(
        lengths[2], abs=2
    )


def test_a_drawn_picture_can_be_encoded():
    image = np.zeros((240, 320, 3), np.uint8)
    result, trail = a_trail(image)
    done, data = cv2.imencode(".jpg", draw(image, result, trail))
    assert done and len(data) > 1000


@pytest.mark.parametrize("size", SIZES)
def test_a_count_is_big_and_drawn_where_there_is_room(size):
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    result = result_of(image)
    drawn = draw(image, replace(result, repetitions=12))
    added = (drawn != draw(image, result)).any(-1)
    if min(size) >= 200:
        rows = np.flatnonzero((drawn[:, : size[0] // 2] > 240).all(-1)[added.any(1)].any(1))
        assert len(rows) > 0.08 * min(size)  # the digits are nearly a tenth of the shorter side
    elif min(size) < 90:
        assert not added.any()


def test_a_count_of_nothing_yet_is_a_zero_and_a_model_that_does_not_count_shows_none():
    image = np.full((480, 640, 3), 200, np.uint8)
    result = result_of(image)
    assert (draw(image, replace(result, repetitions=0)) != draw(image, result)).any()
    assert (draw(image, replace(result, repetitions=None)) == draw(image, result)).all()


def test_the_count_of_any_motion_and_its_period_are_drawn():
    image = np.full((480, 640, 3), 200, np.uint8)
    result = result_of(image)
    counted = draw(image, replace(result, count=4))
    assert (counted == draw(image, replace(result, repetitions=4))).all()
    assert (draw(image, replace(result, count=4, period=1.5)) != counted).any()
    assert (
        draw(image, replace(result, count=4, repetitions=7)) == draw(image, replace(result, repetitions=7))
    ).all()


def test_heat_covers_where_it_is_warm_and_leaves_the_rest_and_the_picture_itself():
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)[:, ::-1]
    image.setflags(write=False)
    heat = np.zeros((90, 120), np.float32)
    heat[20:40, 30:60] = 1.0
    out = draw_heat(image, heat)
    changed = (out != image).any(2)
    assert changed[20:40, 30:60].mean() > 0.95
    assert not changed[heat == 0].any()


def test_an_unknown_picture_is_called_unknown_and_wears_no_label():
    picture = np.full((480, 640, 3), 60, np.uint8)
    known = result_of(picture)
    unknown = replace(known, unknown=True)
    assert (known.label, unknown.label) == (LABELS[2], "unknown")
    assert not np.array_equal(draw(picture, known), draw(picture, unknown))
    trail = Trail()
    trail.push(unknown)
    (moment,) = trail
    assert (moment.label, moment.index, moment.confidence) == ("unknown", -1, 0.0)


def test_labels_of_any_script_are_drawn_or_written_out_and_never_question_marks():
    from streamrec.outputs.overlay import plain

    for label in ("日本語", "مرحبا", "नमस्ते", "🎉 fest 👋🏽", "สวัสดี", "Привет", "Händewaschen ß", "x\x1b[2J"):
        for unicode in (True, False):
            shown = plain(label, unicode=unicode)
            assert shown.strip() and "?" not in shown and "\x1b" not in shown, (label, shown)
    assert plain("🎉 fest 👋🏽") == "(party popper) fest (waving hand sign)"
    assert plain("why?") == "why?"
    assert plain("नमस्ते") == "namasatae"
