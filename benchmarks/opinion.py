"""What a second opinion costs the thread that recognizes: `python benchmarks/opinion.py`.

Three dispatchers with a history take turns on the same frames, in one run: without a second opinion, with one and no
event, and with one and an event every two seconds of which a stand-in for a model is asked. Shown is the processor time
of the recognizing thread a frame, and its ratio to that without.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from streamrec import ActionEnded, ActionStarted, Recognizer
from streamrec.core import threads
from streamrec.evaluation.bench import CAMERA, commit, make_video, processor, read_some
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.notify.opinion_settings import OpinionSettings
from streamrec.outputs.history.store import HistorySettings
from streamrec.types import Frame, Result
from tests.helpers.model_server import ModelServer

FPS, BLOCK = 15, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument(
        "--live", action="store_true", help="at the speed of a camera, not as fast as possible"
    )
    options = parser.parse_args()
    threads.limit_opencv_threads()
    width, height = map(int, options.size.split("x"))
    recognizer = Recognizer.load("fight", threads=1)
    with tempfile.TemporaryDirectory(dir=".") as place, closing(ModelServer()) as server:
        folder = Path(place)
        frames = read_some(make_video(folder / "v.mp4", (width, height), BLOCK, CAMERA), BLOCK)
        arms: dict[str, tuple[Dispatcher, bool]] = {}
        own = OpinionSettings(
            url=f"http://{server.place}/v1", model="eye", most_per_hour=0, most_per_day=0, role="delay"
        )
        for name, settings, happens in (
            ("off", None, False),
            ("on, no event", own, False),
            ("on, events", own, True),
        ):
            history = HistorySettings(file=str(folder / f"{name}.db"))
            dispatcher = Dispatcher(DispatchSettings(history=history, opinion=settings), lambda message: None)
            dispatcher.camera("door", model="fight", actions=["fight"])
            arms[name] = dispatcher, happens
        took: dict[str, list[float]] = {name: [] for name in arms}
        for block in range(options.rounds):
            for name in sorted(arms, key=lambda name: (block + list(arms).index(name)) % len(arms)):
                dispatcher, happens = arms[name]
                took[name].append(
                    run_block(recognizer, dispatcher, [f.image for f in frames], block, happens, options.live)
                )
        for dispatcher, _ in arms.values():
            dispatcher.close()
        print(f"{processor()}, {platform.python_version()}, commit {commit()}, {options.size}")
        print(f"{len(server.questions)} questions, {len(server.wrong)} of them wrong\n")
        print("| second opinion | ms a frame | ratio to off, median of rounds |\n| --- | --- | --- |")
        for name, values in took.items():
            ratios = [one / off for one, off in zip(values, took["off"], strict=True)]
            low, high = np.percentile(ratios, (25, 75))
            print(
                f"| {name} | {statistics.median(values):.3f} | {statistics.median(ratios):.4f} "
                f"({low:.4f} to {high:.4f}) |"
            )


def run_block(
    recognizer: Recognizer,
    dispatcher: Dispatcher,
    images: list[np.ndarray],
    block: int,
    happens: bool,
    live: bool,
) -> float:
    """Processor time of this thread, in ms a frame."""
    state, spent = recognizer.initial_state(), 0.0
    for n, image in enumerate(images):
        number = block * len(images) + n
        frame = Frame(image, number, number / FPS, 0, "door", captured=time.monotonic())
        begun, cpu = time.perf_counter(), time.thread_time()
        prediction, state = recognizer.step(frame, state)
        events: tuple[ActionStarted | ActionEnded, ...] = ()
        if happens and n == 10:
            events = (ActionStarted("fight", (number - 5) / FPS, 0.9),)
        elif happens and n == 25:
            events = (ActionEnded("fight", number / FPS, (number - 20) / FPS, 0.9),)
        dispatcher.write(Result(frame, prediction, events))
        dispatcher.tick()
        spent += time.thread_time() - cpu
        if live:
            time.sleep(max(0.0, 1 / FPS - (time.perf_counter() - begun)))
    return 1000 * spent / len(images)


if __name__ == "__main__":
    main()
