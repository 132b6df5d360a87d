"""Plots of readings: what spoke for a label shades the strip of its channel, where it was read."""

from __future__ import annotations

import numpy as np

from streamrec import Frame, Prediction, Relevance, Result
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.outputs.plot import SECONDS, SIZE, Plots, plot_of
from streamrec.settings.evidence import EvidenceSettings

TIMES = np.arange(60) / 10.0
ROWS = np.zeros((60, 3), np.float32)


def relevance(value: float) -> Relevance:
    """The second channel, from 4 s to 5 s."""
    values = np.zeros((60, 3), np.float32)
    values[40:50, 1] = value
    return Relevance("walk", ("x", "y", "z"), TIMES, values, 0.0)


def shaded(image: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """(height, width) bool, without the corner of each strip where its name is written."""
    found = np.abs(image.astype(int) - plain).max(2) > 25
    for top in (0, 120, 240):
        found[top : top + 20, 450:580] = False
    return found


def test_a_strip_is_shaded_where_its_channel_spoke():
    now = float(TIMES[-1])
    plain = plot_of(ROWS, TIMES, now)
    where = shaded(plot_of(ROWS, TIMES, now, relevance=relevance(1.0)), plain)
    rows, columns = np.nonzero(where)
    assert SIZE[1] / 3 - 1 <= rows.min() and rows.max() <= 2 * SIZE[1] / 3 + 1
    seconds = now - SECONDS * (1.0 - columns / (SIZE[0] - 1))
    assert 3.7 < seconds.min() < 4.1 and 4.8 < seconds.max() < 5.2


def test_for_and_against_have_another_color_and_nothing_has_none():
    now = float(TIMES[-1])
    plain = plot_of(ROWS, TIMES, now)
    pro, con = (plot_of(ROWS, TIMES, now, relevance=relevance(value)) for value in (2.0, -2.0))
    place = np.nonzero(shaded(pro, plain))
    middle = len(place[0]) // 2
    assert pro[place][middle][2] > pro[place][middle][0]  # amber
    assert con[place][middle][0] > con[place][middle][2]  # blue
    assert not shaded(plot_of(ROWS, TIMES, now, relevance=relevance(0.0)), plain).any()


def test_each_channel_is_named_with_what_it_spoke():
    now = float(TIMES[-1])
    plain = plot_of(ROWS, TIMES, now)
    changed = np.abs(plot_of(ROWS, TIMES, now, relevance=relevance(0.0)).astype(int) - plain).max(2) > 60
    for top in (0, 120, 240):
        assert changed[top : top + 20, 450:580].sum() > 20


def test_a_plot_is_not_drawn_again_within_a_pause_of_our_clock():
    plots, images = Plots(pause=3600.0), []
    for n, time in enumerate(TIMES):
        frame = Frame(np.full(3, n, np.float32), n, float(time), source="phone")
        images.append(plots.pictured(Result(frame, Prediction.of(np.ones(1, np.float32), time, ("walk",)))))
    assert all(one.frame.image is images[0].frame.image for one in images)


def test_an_explanation_is_shown_until_the_next_and_not_for_long():
    plots, images = Plots(), []
    for n, time in enumerate(TIMES):
        frame = Frame(np.zeros(3, np.float32), n, float(time), source="phone")
        one = Relevance("walk", ("x", "y", "z"), TIMES[: n + 1], np.ones((n + 1, 3), np.float32), 0.0)
        prediction = Prediction.of(np.ones(1, np.float32), float(time), ("walk",))
        given = Result(frame, prediction, relevance=one if n == 30 else None)
        images.append(plots.pictured(given).frame.image)
    bright = [image[20, 350:530].mean() for image in images]
    assert bright[30] > bright[29] + 5
    assert bright[34] > bright[29] + 5
    assert abs(bright[40] - bright[29]) < 2


def test_pictures_are_kept_only_where_something_takes_each_of_them():
    assert not DispatchSettings().keeps_pictures
    assert DispatchSettings(evidence=EvidenceSettings()).keeps_pictures
