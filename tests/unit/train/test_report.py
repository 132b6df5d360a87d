"""The pictures of a run: what is drawn, of which mistakes, and that it is a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import MissingExtra
from streamrec.train import report as room
from streamrec.train.quick_eval import Played
from streamrec.train.report import draw_curves, draw_report, worst_mistakes
from streamrec.train.run_log import Line

LABELS = ("idle", "wave", "fall")


def played(truth: list[int], said: list[int], sure: float = 0.8) -> Played:
    frames = len(truth)
    pictures = np.random.default_rng(frames).integers(0, 256, (frames, 24, 32, 3), np.uint8)
    probabilities = np.full((frames, 3), (1 - sure) / 2, np.float32)
    probabilities[np.arange(frames), said] = sure
    recording = Recording(pictures, np.arange(frames) / 10, np.array(truth), "")
    return Played(recording, np.arange(frames), probabilities)


LINES = [
    Line(step, 2.0 / step, step / 50, 1e-3, step / 60 if step % 20 == 0 else None, step)
    for step in (1, 10, 20, 30, 40)
]


def test_the_worst_mistakes_are_long_and_sure():
    right = played([0] * 9, [0] * 9)
    brief = played([1] * 9, [1] * 7 + [2] * 2)
    long = played([2] * 9, [0] * 9)
    unsure = played([2] * 9, [1] * 9, sure=0.4)
    found = worst_mistakes([right, brief, long, unsure], ["right", "brief", "long", "unsure"])
    assert [mistake.name for mistake in found] == ["long", "unsure", "brief"]
    assert [(m.truth, m.predicted, m.start, m.end) for m in found] == [
        (2, 0, 0, 8),
        (2, 1, 0, 8),
        (1, 2, 7, 8),
    ]
    assert found[0].confidence == pytest.approx(0.8)
    assert found[2].seconds == pytest.approx((0.7, 0.8))


def test_a_recording_shows_two_mistakes_at_most_and_none_where_the_truth_is_unknown():
    flickers = played([0] * 9 + [NO_LABEL] * 9, [1, 1, 1, 0, 2, 2, 0, 1, 0] + [1] * 9)
    assert [(m.start, m.end) for m in worst_mistakes([flickers], ["a"])] == [(0, 2), (4, 5)]


class TestDrawn:
    @pytest.fixture(autouse=True)
    def with_matplotlib(self):
        pytest.importorskip("matplotlib")

    def draw(self, folder, parts, names, lines=LINES):
        return draw_report(
            folder,
            title="waves & falls",
            summary="all < well",
            labels=LABELS,
            lines=lines,
            played=parts,
            names=names,
        )

    def test_a_run_has_four_pictures_and_a_page(self, tmp_path):
        parts = [
            played([0, 0, 1, 1], [0, 1, 1, 1]),
            played([2, NO_LABEL, 2, 0], [2, 0, 0, 0]),
            played([1], [1]),
        ]
        written = self.draw(tmp_path, parts, ["a.mp4", "b.mp4", "c.mp4"])
        assert [p.name for p in written] == [
            "curves.png", "confusion.png", "timelines.png", "mistakes.png", "report.html",
        ]  # fmt: skip
        for path in written[:-1]:
            picture = cv2.imread(str(path))
            assert picture.std() > 5  # something is drawn
        page = written[-1].read_text()
        assert "waves &amp; falls" in page
        assert "all &lt; well" in page
        assert all(path.name in page for path in written[:-1])

    def test_without_held_out_recordings_there_are_curves(self, tmp_path):
        assert [p.name for p in self.draw(tmp_path, [], [])] == ["curves.png", "report.html"]

    def test_a_model_without_mistakes_gets_a_sheet_that_says_so(self, tmp_path):
        figure = room.draw_mistakes(LABELS, [], 3)
        assert figure.texts[0].get_text() == "No mistake on 3 held-out recordings"

    def test_a_run_without_lines_has_curves_too(self):
        assert len(draw_curves([]).axes) == 3

    def test_the_best_measurement_is_named(self):
        accuracy = draw_curves(LINES).axes[1]
        assert [text.get_text() for text in accuracy.texts] == ["best 66.7 % at step 40"]


def test_without_matplotlib_it_is_said_what_to_install(tmp_path, monkeypatch):
    def nothing(module: str, *, extra: str):
        raise MissingExtra(f"{module} is not installed; run: pip install 'streamrec[{extra}]'")

    monkeypatch.setattr(room, "need", nothing)
    with pytest.raises(MissingExtra, match=r"streamrec\[train\]"):
        draw_report(tmp_path, title="", summary="", labels=LABELS, lines=LINES, played=[], names=[])


@pytest.mark.filterwarnings("error")
def test_labels_of_any_script_are_in_the_pictures_without_a_word_on_stderr(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    labels = ("日本語", "नमस्ते 🎉", "_a$b$c")
    parts = [played([0] * 9, [0] * 9), played([1] * 9, [2] * 9), played([2] * 9, [1] * 9)]
    written = draw_report(
        tmp_path, title="t", summary="told", labels=labels, lines=LINES, played=parts, names=[*labels]
    )
    assert all(path.stat().st_size > 0 for path in written)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    with room._letters_for(labels) as shown:
        assert "party popper" in shown(labels[1])
        assert shown("_a$b$c") == " _a$b$c"
