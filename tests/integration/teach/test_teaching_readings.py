"""Teaching movements by readings: beside `motion`, on its encoder, by Python and by lines of a program."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec import ActionEnded, ActionStarted, Corrections, Recognizer, Teacher, open_models, results
from streamrec.errors import ModelError, SourceError, TeachError
from streamrec.teach.encoder import encoder_beside, sense_taught
from tests.helpers.checks import moving

FPS = 25
SECONDS = 3.0  # of a part
PARTS = ("still", "shake", "still", "nod") * 3 + ("still", "still", "shake", "still", "nod", "still")
SHOWN = 13  # parts that are shown as examples; the rest is recognized
CHANNELS = ("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro")


def rows() -> list[tuple[float, np.ndarray]]:
    """Seconds and readings of a phone that lies still, is shaken, or nods."""
    noise = np.random.default_rng(0)
    found = []
    for part in PARTS:
        steps = np.arange(round(FPS * SECONDS))
        data = np.zeros((len(steps), 6))
        data[:, 1] = 9.8
        if part == "shake":
            data[:, [0, 3]] += np.sin(0.9 * steps)[:, None] * (3.0, 4.0)
        elif part == "nod":
            data[:, 5] += 4.0 * np.sin(0.4 * steps)
        found.append(data + noise.normal(scale=0.2, size=data.shape))
    whole = np.concatenate(found).astype(np.float32)
    return [(n / FPS, row) for n, row in enumerate(whole)]


def ends() -> list[tuple[str, float]]:
    """Each part that is shown, and when it ends."""
    return [(part, SECONDS * (n + 1)) for n, part in enumerate(PARTS[:SHOWN])]


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """What the stream's results were, the saved model, and the file of examples."""
    folder = tmp_path_factory.mktemp("lesson")
    waiting, seen = ends(), []
    with Teacher("motion", file=folder / "mine.teach") as teacher:
        for result in teacher.results(rows()):
            while waiting and result.frame.timestamp >= waiting[0][1]:
                part, at = waiting.pop(0)
                if part != "still":
                    teacher.example(part, 2.5, at=at - 0.05)
                if not waiting:
                    teacher.nothing(40.0)
                    teacher.fit()
            seen.append(result)
        report = teacher.report
        teacher.save(folder / "mine.safetensors")
    return folder, seen, report


def started(found, model: str = "mine") -> list[str]:
    events = [event for result in found for event in result.events]
    return [e.label for e in events if isinstance(e, ActionStarted) and e.model == model]


def test_three_examples_of_each_are_recognized_in_the_stream_that_runs(lesson):
    _, seen, report = lesson
    assert started(seen) == ["shake", "nod"]  # of what came after the examples
    assert (report.right, report.judged, report.false_events) == (6, 6, 0)
    assert not any("distance" in sentence for sentence in report.advice)
    assert {one.model for one in seen[-1].models} == {"motion", "mine"}
    assert len(seen) == len(rows())  # a row a tick: none is lost at the fit


def test_the_saved_model_is_one_like_any_other(lesson):
    folder, _, _ = lesson
    alone = Recognizer.load(folder / "mine.safetensors")
    assert alone.labels == ("nothing", "shake", "nod") and alone.sense == "signal"
    assert alone.config.transform.channels == CHANNELS
    found = list(results(rows(), alone))
    assert started(found, "")[-2:] == ["shake", "nod"]
    both = open_models(["motion", folder / "mine.safetensors"])
    together = list(results(rows(), both))
    for one, two in zip(found, together, strict=True):
        own = two.models[1].prediction.probabilities
        assert np.allclose(own, one.prediction.probabilities, atol=1e-5)


def test_teaching_goes_on_with_the_file_and_not_beside_another_encoder(lesson):
    folder, _, _ = lesson
    with Teacher("motion", file=folder / "mine.teach") as teacher:
        assert teacher.labels == ("shake", "nod")
        assert teacher.report.right == 6
        assert {one.size for one in teacher.examples} == {None}
    with pytest.raises(TeachError, match="were seen by another encoder than person-taught"):
        Teacher("webcam", file=folder / "mine.teach")


def test_what_cannot_be_taught_is_a_sentence(lesson, tmp_path):
    folder, _, _ = lesson
    with pytest.raises(TeachError, match="readings have no pictures that could be kept"):
        Teacher("motion", pictures=True)
    with pytest.raises(ModelError, match="mine was taught itself: first name the model"):
        Teacher(folder / "mine.safetensors")
    with pytest.raises(ModelError, match=r"motion takes 6 channels.*, and fight video: run each on its own"):
        Teacher(["motion", "fight"])
    with Teacher("motion") as teacher, pytest.raises(SourceError, match="is no row of readings"):
        list(teacher.results([frame.image for frame in moving(3)]))
    assert sense_taught(["motion"]) == "signal" and sense_taught(["webcam", "motion"]) == "video"


def test_the_features_are_those_of_the_encoder_and_hold_nothing_of_the_head():
    from streamrec.runtime.checkpoint import find_model

    encoder = encoder_beside([find_model("motion")])
    assert (encoder.size, encoder.kind.name) == (96, "signal-taught")
    assert not [name for name in encoder.graph.weights if name.startswith("head.")]
    assert encoder.background is None


def test_lines_teach_a_table(tmp_path, main_here, monkeypatch):
    import io

    head = ",".join(("seconds", *CHANNELS))
    lines = [",".join(f"{value:.4f}" for value in (seconds, *row)) for seconds, row in rows()]
    (tmp_path / "phone.csv").write_text("\n".join([head, *lines]))
    said = [f"{part} 2.5 at {at - 0.05}" for part, at in ends() if part != "still"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*said, "nothing 30 at 39.5", "fit", "quit"])))
    done = main_here("teach", "phone.csv", "-m", "motion", "--no-window", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "shake: example 3, 2.5 s" in done.stdout
    assert "watch with it: streamrec run phone.csv -m motion -m mine.safetensors" in done.stdout
    assert Recognizer.load(tmp_path / "mine.safetensors").labels == ("nothing", "shake", "nod")


def test_corrections_move_the_threshold_of_a_label_of_readings():
    with Corrections.open() as corrections:
        recognizer = corrections.watching(Recognizer.load("motion"))
        own = {"motion": recognizer.config.events}
        corrections.camera("rows", own, {"motion": recognizer.labels})
        events = [e for result in results(rows(), recognizer) for e in result.events]
        ended = [event for event in events if isinstance(event, ActionEnded)]
        assert ended
        label = ended[0].label
        before = own["motion"].of(label).enter
        for event in [event for event in ended if event.label == label][:3]:
            kept = corrections.correct(corrections.about(event, "rows"), "wrong")
            assert kept.moment  # its seconds are kept, to learn from
        (moved,) = (one for one in corrections.thresholds if one.label == label)
        assert moved.own == before < moved.now
