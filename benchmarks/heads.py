"""What further models cost on one stream: `python benchmarks/heads.py [MODEL ...]`.

CPU time of a step of several models together against the first alone, and against each alone, added up; one thread,
640x480 frames from memory. They take turns, and the median of the rounds' ratios is shown: it does not depend on what
else the machine does. Without models: the encoder of `workout`, EfficientNet-Lite0 of 224x224, and the person backbone
of 256x192 (two models follow a person, the third sees maps), each under two and three heads; what is not `workout`'s
own has random weights.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime

from streamrec import (
    ActionModel,
    Frame,
    ModelConfig,
    Recognizer,
    Transform,
    open_models,
    save_model,
)
from streamrec.core import threads
from streamrec.evaluation.bench import commit, processor
from streamrec.runtime.checkpoint import load_model

FRAMES, ROUNDS = 30, 9


def main() -> None:
    """Measure what is named, or what is made here."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="shipped models or files")
    options = parser.parse_args()
    threads.limit_opencv_threads()
    print(
        f"{processor()}, Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}, commit {commit()}"
    )
    print(f"{'models':34}{'one, ms':>10}{'to one':>9}{'to all alone':>14}")
    if options.models:
        measure(options.models)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, made in (("workout", of_workout()), ("lite0", of_lite0()), ("person", of_person())):
            files = []
            for number, model in enumerate(made, 1):
                files.append(Path(folder) / f"{name}-{number}.safetensors")
                save_model(files[-1], model)
            measure(files[:2])
            measure(files)


def of_workout() -> list[ActionModel]:
    """The shipped model, and two others over its encoder."""
    first = load_model("workout")
    return [first, *(head_over(first, labels) for labels in (("normal", "fall"), ("idle", "wave", "clap")))]


def of_lite0() -> list[ActionModel]:
    """Three models over one EfficientNet-Lite0 of random weights."""
    size = Transform(height=224, width=224)
    first = ActionModel(
        ModelConfig(labels=("normal", "fight"), encoder="efficientnet_lite0", transform=size)
    ).eval()
    return [first, *(head_over(first, labels) for labels in (("normal", "fall"), ("idle", "wave", "clap")))]


def of_person() -> list[ActionModel]:
    """Three models over one person backbone of random weights: one follows a person, as another does, one sees maps."""
    size = Transform(height=192, width=256)
    made = []
    for encoder, labels in (
        ("person-joints", ("normal", "fall")),
        ("person-joints", ("idle", "wave", "clap")),
        ("person-both", ("normal", "fight")),
    ):
        made.append(ActionModel(ModelConfig(labels=labels, encoder=encoder, transform=size)).eval())
        made[-1].encoder.trunk.load_state_dict(made[0].encoder.trunk.state_dict())
    return made


def head_over(model: ActionModel, labels: tuple[str, ...]) -> ActionModel:
    """Another model with the same encoder, and a head of random weights for these labels."""
    made = ActionModel(replace(model.config, labels=labels, counted=(), known=None)).eval()
    made.encoder.load_state_dict(model.encoder.state_dict())
    return made


def measure(models: Sequence[str | Path]) -> None:
    """Print a line for these models."""
    alone = [Recognizer.load(model, engine="onnx", threads=1) for model in models]
    together = open_models(models, engine="onnx", threads=1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 480, 640, 3), np.uint8)
    frames = [Frame(images[n % 4], n, n / together.fps) for n in range(FRAMES)]
    to_one, to_all, one = [], [], []
    for number in range(ROUNDS + 1):
        took = [cpu_time(each, frames) for each in (*alone, together)]
        if number:  # the first round warms up
            one.append(took[0])
            to_one.append(took[-1] / took[0])
            to_all.append(took[-1] / sum(took[:-1]))
    name = " + ".join(each.name for each in alone)
    print(
        f"{name[:33]:34}{1000 * min(one) / FRAMES:10.2f}{statistics.median(to_one):9.2f}"
        f"{statistics.median(to_all):14.2f}",
        flush=True,
    )


def cpu_time(recognizer: Recognizer, frames: Sequence[Frame]) -> float:
    """Seconds of this thread, which does all of the work."""
    state = recognizer.initial_state()
    began = time.thread_time()
    for frame in frames:
        _, state = recognizer.step(frame, state)
    return time.thread_time() - began


if __name__ == "__main__":
    main()
