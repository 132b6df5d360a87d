"""An app of several processes: what can be pickled, what says why not, and what a forked child may do."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle

import numpy as np
import pytest

from streamrec import (
    Background,
    Callback,
    EventDetector,
    EventSettings,
    Explainer,
    Followed,
    Frame,
    History,
    Latest,
    Recognizer,
    RingBuffer,
    StreamRecognizer,
    Watcher,
    World,
    WorldSettings,
    open_source,
)
from streamrec.errors import ModelError, NotPicklable, SourceError
from streamrec.sources.cameras import WebcamSource
from streamrec.sources.wrappers import RealTime, Region
from streamrec.types import ActionStarted, Result
from tests.helpers.cameras import free_port

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def frames(count: int = 3) -> list[Frame]:
    return [Frame(IMAGE, n, n / 10) for n in range(count)]


def look(recognizer: Recognizer) -> bytes:
    """What it says after a few frames, some of them looked at before their turn and some together."""
    state = recognizer.initial_state()
    for frame in map(recognizer.ahead, frames()):
        prediction, state = recognizer.step(frame, state)
    recognizer.step_many(frames(), [recognizer.initial_state()] * 3)
    return prediction.probabilities.tobytes()


def go_on(recognize: StreamRecognizer) -> tuple[str, float]:
    before = float(recognize.state.clock[0])
    return recognize(IMAGE, before + 1.0).label, float(recognize.state.clock[0]) - before


def in_child(ask) -> str:
    """What a forked child says to it, or "hangs"."""
    reading, writing = os.pipe()

    def work():
        try:
            said = ask()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, str(said).encode())
        os._exit(0)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
        child.join()
        os.write(writing, b"hangs")
    os.close(writing)
    with os.fdopen(reading) as file:
        return file.read()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_says_the_same_or_says_why_not_and_never_hangs(tiny_file):
    for engine in ("onnx", "torch"):
        for threads in (None, 2):
            recognizer = Recognizer.load(tiny_file, engine=engine, threads=threads)
            wanted = str(look(recognizer))
            inherited = in_child(lambda r=recognizer: look(r))
            if engine == "onnx":
                assert inherited == wanted
            else:
                assert inherited.startswith("ModelError") and "load it in the worker" in inherited
            made_anew = in_child(
                lambda e=engine, t=threads: look(Recognizer.load(tiny_file, engine=e, threads=t))
            )
            assert made_anew == wanted, (engine, threads)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_threads_that_look_ahead_are_begun_anew_in_a_forked_child(tiny_file, monkeypatch):
    from streamrec.runtime import onnx_engine

    monkeypatch.setattr(onnx_engine, "LARGE", 0)
    import torch

    from streamrec import ActionModel
    from tests.helpers.models import SMALL_MOBILENET

    torch.manual_seed(0)
    recognizer = Recognizer(ActionModel(SMALL_MOBILENET).eval())
    ahead = [recognizer.prefetch(frame) for frame in frames()]  # begun, and not asked for yet
    wanted = look(recognizer)
    assert recognizer._engine.prefetches
    assert in_child(lambda: look(recognizer)) == str(wanted)
    assert in_child(lambda: recognizer.step(ahead[0], recognizer.initial_state())[0].label) in ("a", "b")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_who_explains_says_why_not_in_a_forked_child():
    explainer, recognizer = Explainer.load("synthetic"), Recognizer.load("synthetic")
    said = in_child(lambda: explainer.heat(frames(1)[0], recognizer.initial_state()))
    assert "load it in the worker" in said


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_recognizer_goes_to_the_processes_of_a_pool(tiny_file, engine):
    recognizer = Recognizer.load(tiny_file, engine=engine, threads=1)
    recognize = StreamRecognizer(recognizer)
    recognize(IMAGE, 5.0)
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.map(look, [recognizer]) == [look(recognizer)]
            label, passed = pool.map(go_on, [recognize])[0]
        assert label in recognizer.labels and passed == 1.0


def test_what_is_no_open_thing_is_pickled_and_copied(tiny_file):
    recognizer = Recognizer.load(tiny_file)
    recognize = StreamRecognizer(recognizer)
    prediction = recognize(IMAGE, 1.0)
    things = [
        recognizer,
        recognize,
        Followed(recognizer),
        recognize.state,
        prediction,
        Result(frames(1)[0], prediction, (ActionStarted("wave", 1.0, 0.9),)),
        frames(1)[0],
        recognizer.config,
        recognizer.config.transform,
        EventSettings(by_label={"wave": {"enter": 0.9}}),
        EventDetector(("wave",)),
        WorldSettings(),
        World(),
        open_source("rtsp://me:secret@10.0.0.7/live"),
        open_source("http://10.0.0.7/film.mp4"),
        open_source("http://10.0.0.7/video.mjpg"),
        open_source(0),
        open_source([IMAGE]),
    ]
    for thing in things:
        for copied in (pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing), copy.copy(thing)):
            assert type(copied) is type(thing)
    again = pickle.loads(pickle.dumps(recognize))
    assert again(IMAGE, 2.0).probabilities.tobytes() == recognize(IMAGE, 2.0).probabilities.tobytes()
    copied = copy.deepcopy(recognize)
    copied(IMAGE, 9.0)
    assert float(recognize.state.clock[0]) == 2.0  # each has its own memory


def test_sources_go_to_another_process_unread_also_after_they_were_read():
    gone = f"rtsp://me:secret@127.0.0.1:{free_port()}/live"
    for source in (
        open_source(gone, retries=0),
        WebcamSource("/dev/video99", retries=0),
        RealTime(Region(open_source(gone, retries=0), (0.0, 0.0, 0.5, 0.5))),
    ):
        for _ in range(2):
            for copied in (pickle.loads(pickle.dumps(source)), copy.deepcopy(source)):
                assert copied.name == source.name and copied.live == source.live
                copied.interrupt()
            with pytest.raises(SourceError):
                next(iter(source))


def test_what_is_open_says_why_it_is_not_pickled(tiny_file, tmp_path):
    recognizer = Recognizer.load(tiny_file)
    with History(tmp_path / "events.db") as history, Background(Callback(print)) as background:
        things = [history, background, Callback(print), Latest(), Watcher(recognizer),
                  RingBuffer(2, drop_oldest=True), Explainer.load("synthetic"),
                  open_source(picture for picture in [IMAGE])]  # fmt: skip
        for thing in things:
            for ask in (pickle.dumps, copy.deepcopy):
                with pytest.raises(
                    NotPicklable, match=f"a {type(thing).__name__} cannot be pickled or copied"
                ):
                    ask(thing)


def test_a_file_that_holds_another_model_by_now_is_told(tiny_file, tmp_path):
    from streamrec.runtime.checkpoint import save_with

    path = tmp_path / "model.safetensors"
    path.write_bytes(tiny_file.read_bytes())
    pickled = pickle.dumps(Recognizer.load(path))
    save_with(tiny_file, path, about="another")
    with pytest.raises(ModelError, match="holds another model"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(ModelError, match="no model"):
        pickle.loads(pickled)
