"""A source of one sense with a model of another, and a signal through the whole loop."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec import ModelConfig, Recognizer, StreamRecognizer, Transform, Watcher, open_source, results
from streamrec.errors import SourceError, StreamrecError
from streamrec.events.detector import EventSettings
from streamrec.events.recurrence import RecurrenceSettings
from streamrec.nn.signals import SignalTransform
from streamrec.outputs.plot import Plots
from streamrec.pipeline.senses import waiting_frames
from streamrec.runtime.engine import Engine
from streamrec.sources.rows import RowSource
from streamrec.types import ActionStarted


class Leaning(Engine):
    """Is sure of "walk" while the first channel is above 0, and remembers the sum of the seconds."""

    name, device = "scripted", "cpu"
    config = ModelConfig(
        labels=("sit", "walk"),
        encoder="signal-cnn",
        transform=SignalTransform(channels=("x", "y")),
        fps=10.0,
        events=EventSettings(smoothing=0.0, shortest=0.0),
    )
    head_shapes = ((1,),)
    cache_shapes = ()

    def step(self, images, elapsed, head, cache, encoded=None):
        assert images.shape[1:] == (2,)
        seconds = np.where(np.isfinite(elapsed), head[0][:, 0] + elapsed, 0.0).astype(np.float32)
        walks = np.where(images[:, 0] > 0, 0.9, 0.1).astype(np.float32)
        return np.stack([1 - walks, walks], axis=1), None, (seconds[:, None],), ()


class Seeing(Leaning):
    config = ModelConfig(labels=("idle", "wave"), transform=Transform(height=8, width=8))


MOTION = Recognizer(Leaning(), "leaning")
ROWS = [{"seconds": n / 25, "y": 1.0, "x": 1.0 if 20 <= n < 40 else -1.0} for n in range(60)]


def test_rows_become_results_with_events_on_the_clock_of_the_model():
    found = list(results(ROWS, MOTION))
    times = [result.frame.timestamp for result in found]
    assert np.allclose(np.diff(times), 0.1)
    assert found[0].frame.data.shape == (2,)
    started = [event for result in found for event in result.events if isinstance(event, ActionStarted)]
    assert [event.label for event in started] == ["sit", "walk", "sit"]
    assert started[1].timestamp == pytest.approx(0.8, abs=0.11)


def test_a_watcher_takes_rows_and_tables(tmp_path):
    lines = ["seconds,x,y", *(f"{row['seconds']},{row['x']},{row['y']}" for row in ROWS)]
    path = tmp_path / "readings.csv"
    path.write_text("\n".join(lines))
    with Watcher(MOTION) as watcher:
        watcher.add("rows", ROWS)
        watcher.add("file", str(path))
        counts: dict[str, int] = {}
        for result in watcher:
            counts[result.frame.source] = counts.get(result.frame.source, 0) + 1
    assert counts["rows"] == counts["file"] == 24


@pytest.mark.parametrize(
    ("source", "recognizer", "said"),
    [
        (
            open_source([np.zeros((8, 8, 3), np.uint8)]),
            MOTION,
            "leaning takes 2 channels (x, y), and pictures is video",
        ),
        (
            RowSource(ROWS),
            Recognizer(Seeing(), "seeing"),
            "seeing takes video, and rows is readings of sensors",
        ),
    ],
)
def test_a_source_of_another_sense_is_refused_in_words(source, recognizer, said):
    with pytest.raises(SourceError) as refused:
        list(results(source, recognizer))
    assert str(refused.value) == said
    with Watcher(recognizer) as watcher, pytest.raises(SourceError):
        watcher.add("one", source)


@pytest.mark.parametrize("options", [{"still": 1.0}, {"count": RecurrenceSettings()}])
def test_what_needs_pictures_is_refused_for_rows(options):
    with pytest.raises(SourceError, match="has no pictures"):
        list(results(ROWS, MOTION, **options))
    with Watcher(MOTION) as watcher, pytest.raises(SourceError, match="has no pictures"):
        watcher.add("one", ROWS, **options)
    if "count" in options:
        with pytest.raises(StreamrecError, match="count is of the motion in pictures"):
            StreamRecognizer(MOTION, **options)


def test_an_app_gives_one_row_after_the_other():
    stream = StreamRecognizer(MOTION)
    assert stream.recognize([1.0, 0.0], timestamp=0.0).label == "walk"
    assert stream.recognize({"y": 0.0, "x": -1.0}, timestamp=0.1).label == "sit"


def test_each_row_of_a_live_signal_may_wait_and_of_a_camera_the_newest_alone():
    live = RowSource(ROWS, live=True)
    assert waiting_frames(live, 25.0) == 25
    assert waiting_frames(open_source("0"), 25.0) == 1


def test_a_signal_has_a_plot_where_video_has_its_picture():
    plots = Plots()
    images = [plots.pictured(result).frame.image for result in results(ROWS, MOTION)]
    assert {image.shape for image in images} == {(360, 640, 3)}
    assert not np.array_equal(images[5], images[-1])
    assert images[-1].std() > 1.0
