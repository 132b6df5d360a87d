"""Teaching a running stream, with clips as the camera: pictures of drawn places, of which one is the action."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamrec import (
    Recognizer,
    StreamRecognizer,
    Teacher,
    World,
    WorldSettings,
    open_models,
    results,
    results_of,
)
from streamrec.errors import ModelError, TeachError
from streamrec.teach.live import FewShotHead
from streamrec.types import ActionEnded, ActionStarted, Frame, Source

FPS = 10.0


def picture(kind: int, n: int) -> np.ndarray:
    """(96, 128, 3): a place that shimmers a little, or one of two that could not be taken for it."""
    random = np.random.default_rng((kind, n))
    rows, columns = np.mgrid[:96, :128]
    waves = (np.zeros((96, 128)), np.sin(rows / 3.0), np.sin(columns / 2.0) * np.sin(rows / 5.0))[kind]
    image = 120 + 100 * waves[..., None] + random.normal(0, 4, (96, 128, 3))
    return image.clip(0, 255).astype(np.uint8)


class Clip(Source):
    """Kinds of pictures, and for how many seconds each."""

    live = False

    def __init__(self, *parts: tuple[int, float], name: str = "camera") -> None:
        self.name = name
        self._kinds = [kind for kind, seconds in parts for _ in range(round(FPS * seconds))]
        self.duration = len(self._kinds) / FPS

    def __iter__(self) -> Iterator[Frame]:
        for n, kind in enumerate(self._kinds):
            yield Frame(picture(kind, n), n, n / FPS, source=self.name)


def taught(teacher: Teacher) -> None:
    """Three examples of "stripes" and of "checks", and of nothing."""
    for part in range(3):
        for _ in teacher.results(Clip((0, 1.0 + part / 2), (1, 1.6), (0, 0.8), (2, 1.6))):
            pass
        end = teacher.seen()[1]
        teacher.example("stripes", seconds=1.5, at=end - 2.4)
        teacher.example("checks", seconds=1.5)
        teacher.nothing(60.0)


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Path:
    """A file of examples, to be copied."""
    path = tmp_path_factory.mktemp("teach") / "mine.teach"
    with Teacher(None, file=path) as teacher:
        taught(teacher)
    return path


@pytest.fixture(scope="module")
def lesson(examples) -> Iterator[Teacher]:
    with Teacher("webcam", file=examples) as teacher:
        yield teacher


@pytest.fixture
def mine(examples, tmp_path) -> Path:
    """A copy of the file."""
    return Path(shutil.copy(examples, tmp_path / "mine.teach"))


def own_events(found, name: str = "mine") -> list[tuple[str, str]]:
    return [
        (type(event).__name__, event.label)
        for result in found
        for event in result.events
        if event.model == name
    ]


TEST = Clip((0, 1.0), (1, 1.5), (0, 1.5), (2, 1.5), (0, 1.5))
TOLD = [
    ("ActionStarted", "stripes"),
    ("ActionEnded", "stripes"),
    ("ActionStarted", "checks"),
    ("ActionEnded", "checks"),
]


def test_what_was_shown_three_times_is_told_the_next_time_beside_the_shipped_labels(lesson):
    found = list(lesson.results(TEST))
    assert own_events(found) == TOLD
    assert [part.model for part in found[-1].models] == ["webcam", "mine"]
    assert found[-1].models[0].prediction.labels == Recognizer.load("webcam").labels
    assert found[-1].models[1].prediction.labels == ("nothing", "stripes", "checks")
    report = lesson.report
    assert report is not None
    assert (report.right, report.judged, report.false_events) == (6, 6, 0)


def test_the_shipped_model_says_what_it_says_alone(lesson):
    alone = [r.prediction.probabilities for r in results(TEST, Recognizer.load("webcam"))]
    beside = [r.models[0].prediction.probabilities for r in lesson.results(TEST)]
    np.testing.assert_allclose(beside, alone, atol=1e-6)


def test_the_saved_model_is_an_ordinary_one_that_says_what_the_teacher_says(lesson, tmp_path):
    path = tmp_path / "mine.safetensors"
    lesson.save(path)
    wanted = [r.models[-1].prediction.probabilities for r in lesson.results(TEST)]
    alone = list(results(TEST, Recognizer.load(path)))
    np.testing.assert_allclose([r.prediction.probabilities for r in alone], wanted, atol=1e-4)
    assert own_events(alone, "") == TOLD
    both = open_models(["webcam", path])
    assert (both.passes, both.notes) == (1, ())  # the backbone runs once
    beside = [r.models[-1].prediction.probabilities for r in results(TEST, both)]
    np.testing.assert_allclose(beside, wanted, atol=1e-4)
    lesson.recognizer.save(tmp_path / "again.safetensors")
    assert Recognizer.load(tmp_path / "again.safetensors").labels == ("nothing", "stripes", "checks")
    with pytest.raises(ModelError, match="onnx engine only"):
        Recognizer.load(path, engine="torch")


def test_the_recognizer_is_one_like_any_other_and_no_later_fit_changes_it(lesson):
    recognizer = lesson.recognizer
    stream = StreamRecognizer(recognizer)
    found = [stream.recognize(frame.image, frame.timestamp) for frame in TEST]
    assert own_events(found) == TOLD
    assert list(recognizer.configs) == ["webcam", "mine"]
    found = results_of({"a": TEST, "b": Clip((0, 1.0), name="b")}, recognizer)
    assert own_events(r for r in found if r.frame.source == "a") == TOLD


def test_teaching_goes_on_next_week(lesson, mine):
    with Teacher(None, file=mine) as teacher:
        assert teacher.labels == ("stripes", "checks")
        np.testing.assert_allclose(teacher.head.weight, lesson.head.weight, atol=1e-5)
        for _ in teacher.results(Clip((0, 0.5), (1, 1.0))):
            pass
        number = teacher.example("stripes", seconds=0.9).id
        teacher.relabel(2, "squares")
    with Teacher(None, file=mine) as teacher:
        assert teacher.examples[-1].id == number
        assert teacher.labels == ("stripes", "squares", "checks")


def test_a_head_is_swapped_into_the_running_stream_without_a_gap(mine):
    """Taught in the middle: what runs then starts with the swap, dated to its onset, and no frame is missing."""
    clip = Clip((0, 1.0), (1, 3.0), (0, 1.5))
    with Teacher(None, file=mine) as teacher:
        teacher.use(FewShotHead.untaught(teacher.head.weight.shape[1] // 4))
        found = []
        for result in teacher.results(clip):
            found.append(result)
            if len(found) == 30:
                assert own_events(found) == []
                teacher.fit()
        assert [result.frame.index for result in found] == list(range(55))
        events = [event for result in found for event in result.events]
        assert [type(event) for event in events] == [ActionStarted, ActionEnded]
        assert events[0] in found[30].events
        assert events[0].label == "stripes"
        assert 1.0 <= events[0].timestamp <= 2.0
        assert events[1].timestamp == pytest.approx(4.0, abs=1.0)
        # The first prediction of the new head is what it would have said, had it always been there.
        again = list(teacher.results(clip))
        np.testing.assert_allclose(
            found[30].prediction.probabilities, again[30].prediction.probabilities, atol=1e-6
        )


def test_what_runs_by_the_old_head_alone_ends_with_the_swap(mine):
    with Teacher(None, file=mine) as teacher:
        events = []
        for number, result in enumerate(teacher.results(Clip((0, 1.0), (1, 2.5)))):
            events += [(number, event) for event in result.events]
            if number == 25:
                for example in teacher.examples:
                    if example.label == "stripes":
                        teacher.relabel(example.id, "lines")
                teacher.fit()
        assert [(n, type(event), event.label) for n, event in events[1:3]] == [
            (26, ActionEnded, "stripes"),
            (26, ActionStarted, "lines"),
        ]


def test_a_fit_in_a_thread_of_its_own_reports_when_it_is_done(mine):
    with Teacher(None, file=mine) as teacher:
        report = teacher.fit_later().result(60)
        assert report is teacher.report
        assert report.seconds > 0
        for example in teacher.examples:
            teacher.remove(example.id)
        with pytest.raises(TeachError, match="no example of an action"):
            teacher.fit_later().result(60)
        assert teacher.report is report


def test_the_minute_of_nothing_is_without_the_examples_in_it():
    with Teacher(None) as teacher:
        for _ in teacher.results(Clip((0, 2.0), (1, 1.0), (0, 2.0))):
            pass
        teacher.example("stripes", seconds=1.0, at=2.9)
        longest = teacher.nothing(60.0)
        parts = [(e.start, e.end) for e in teacher.examples if e.label == "nothing"]
        assert np.array(parts) == pytest.approx(np.array([(0.0, 1.4), (3.4, 4.9)]), abs=0.11)
        assert longest.seconds == pytest.approx(1.5, abs=0.11)


def test_what_cannot_be_named_is_said_in_a_sentence(tmp_path):
    with Teacher(None, remember=1.0) as teacher:
        with pytest.raises(TeachError, match="no frame was seen yet"):
            teacher.example("wave")
        for _ in teacher.results(Clip((0, 0.1))):
            pass
        with pytest.raises(TeachError, match="only just begun"):
            teacher.example("wave")
        for _ in teacher.results(Clip((0, 2.5))):
            pass
        for wrong, words in (
            (lambda: teacher.example("wave", at=0.5), "forgotten"),
            (lambda: teacher.example("wave", at=60.0), "still to come"),
            (lambda: teacher.example("wave", seconds=0.05), "needs 3"),
            (lambda: teacher.example("wave", seconds=-1), "seconds is -1"),
            (lambda: teacher.example(" "), "label"),
            (lambda: teacher.example("wave", source="garden"), "no frame of garden"),
            (lambda: teacher.save(tmp_path / "x.safetensors"), "nothing was learned"),
            (lambda: teacher.remove(9), "no example 9"),
        ):
            with pytest.raises(TeachError, match=words):
                wrong()
    with pytest.raises(ModelError, match="there is no model"):
        Teacher("walk")


def test_pictures_are_kept_only_if_asked():
    for pictures in (False, True):
        with Teacher(None, pictures=pictures) as teacher:
            for _ in teacher.results(Clip((0, 0.2), (1, 1.0))):
                pass
            shown = teacher.example("stripes", seconds=0.9).pictures
            assert len(shown) == (5 if pictures else 0)
            assert all(data.startswith(b"\xff\xd8") for data in shown)


def test_the_light_install_is_enough(mine):
    """No torch, no package for ONNX: fitting, saving and running what was saved."""
    code = f"""
import sys
for name in ("torch", "onnx", "scipy", "onnxscript"):
    sys.modules[name] = None
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from tests.integration.teach.test_teacher import TEST
from streamrec import Recognizer, Teacher, results
with Teacher("webcam", file={str(mine)!r}) as teacher:
    teacher.fit()
    teacher.save({str(mine.with_suffix(".safetensors"))!r})
found = results(TEST, Recognizer.load({str(mine.with_suffix(".safetensors"))!r}))
print([event.label for result in found for event in result.events])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip().splitlines()[-1:] == [str([label for _, label in TOLD])], done.stderr


KILLED = """
import sys, numpy as np
from streamrec import Teacher
from streamrec.types import Frame
teacher = Teacher(None, file=sys.argv[1])
image, frame = np.zeros((8, 8, 3), np.uint8), 0
while True:
    for _ in range(20):
        teacher.observe(Frame(image, frame, frame / 10, source="drawn"), np.full(672, frame % 7, np.float32))
        frame += 1
    print(teacher.example("wave").id, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX")
@pytest.mark.parametrize("confirmed", [1, 7])
def test_no_confirmed_example_is_lost_by_a_kill(tmp_path, confirmed):
    path = tmp_path / "mine.teach"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(confirmed)]
        os.kill(process.pid, signal.SIGKILL)
        told += [int(line) for line in process.stdout if line.endswith("\n")]
    with Teacher(None, file=path) as teacher:
        assert set(told) <= {example.id for example in teacher.examples}
        assert all(example.label == "wave" for example in teacher.examples)


GESTURES = Path("/work/shared/data/gestures")


@pytest.mark.skipif(not GESTURES.is_dir(), reason="the clips of gestures are not here")
def test_three_examples_of_one_person_are_told_of_another():
    labels = ("arms_out_up", "raise_both_hands", "wave_right_hand")
    with Teacher(None, name="mine") as teacher:
        for label in labels:
            for trial in (1, 2, 3):
                for _ in teacher.results(str(GESTURES / label / f"p1_t{trial}.avi")):
                    pass
                end = teacher.seen()[1]
                teacher.example(label, seconds=min(2.0, end - 0.6), at=end - 0.3)
                teacher.example("nothing", seconds=0.3, at=0.3)
                teacher.example("nothing", seconds=0.3)
        teacher.fit()
        right = 0
        for label in labels:
            told = own_events(teacher.results(str(GESTURES / label / "p2_t1.avi")))
            right += {name for _, name in told} == {label}
        assert right == 3


def test_how_large_the_person_is_is_kept_with_an_example():
    """A drawn person, and the same pictures with as much again below: the person is half as large then."""
    world = World(WorldSettings(actions=("idle",), seconds=1.2, fps=FPS, width=256, height=192, seed=5))
    sizes = []
    for spare in (0, 192):
        with Teacher(None) as teacher:
            state = teacher.live.initial_state()
            for frame in world:
                image = np.pad(frame.image, ((0, spare), (0, 0), (0, 0)), mode="edge")
                _, state = teacher.live.step(replace(frame, image=image), state)
            sizes.append(teacher.example("idle", seconds=1.0).size)
    assert sizes[0] is not None
    assert 0.1 < sizes[0] < 0.5
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.2)
