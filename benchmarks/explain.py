"""What --explain costs, and whether the heat is where it belongs: `python benchmarks/explain.py`.

Cost: a heat beside a step of each shipped model, one thread, taking turns. Place: how much of the heat lies in the
box of the figure of the synthetic world, to the box's part of the picture, in frames that are given their true label;
for the trained model and for the same with random weights, whose heat map should be uninformative and different
(Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018). The same for two ways that were refused: Grad-CAM,
and evidence beyond that of the same picture standing still.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamrec import ActionModel, Explainer, Frame, Recognizer, State, World, WorldSettings, draw_heat
from streamrec.evaluation.bench import commit, processor
from streamrec.runtime.checkpoint import load_model, shipped_models
from streamrec.sources.synthetic import UNSEEN
from tests.helpers.boxes import with_boxes

Way = Callable[[Explainer, Frame, State, str], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{processor()}, Python {platform.python_version()}, torch {torch.__version__}, commit {commit()}\n"
    )
    print(f"{'model':12}{'step':>8}{'in torch':>10}{'heat':>8}{'drawn':>8}  ms a frame{'load, s':>10}")
    for name in shipped_models():
        print_cost(name)
    print(
        f"\n{'weights':18}{'heat in the box':>17}{'box':>7}{'ratio':>7}{'warmest in it':>15}{'likeness':>10}"
    )
    trained = load_model("synthetic")
    ours = Explainer.heat
    ways = {"trained": (trained, ours), "random head": (random_head(trained), ours)}
    ways |= {f"random, seed {seed}": (random(trained, seed), ours) for seed in range(3)}
    ways |= {"Grad-CAM": (trained, grad_cam), "- random, seed 0": (random(trained, 0), grad_cam)}
    ways |= {"beyond still": (trained, beyond_still), "- random, seed 0 ": (random(trained, 0), beyond_still)}
    print_places(ways, options.worlds)


def print_cost(name: str) -> None:
    recognizer = Recognizer.load(name, engine="onnx", threads=1)
    begun = time.perf_counter()
    explainer = Explainer.load(name)
    load = time.perf_counter() - begun
    in_torch = Recognizer.load(name, engine="torch", device="cpu", threads=1)
    state = recognizer.initial_state()
    took: list[tuple[float, ...]] = []
    for frame in World(WorldSettings(width=640, height=480, fps=recognizer.fps, seconds=8.0)):
        moments = [time.perf_counter()]
        prediction, after = recognizer.step(frame, state)
        moments.append(time.perf_counter())
        in_torch.step(frame, state)
        moments.append(time.perf_counter())
        heat = explainer.heat(frame, state, prediction.label)
        moments.append(time.perf_counter())
        draw_heat(frame.image, heat)
        moments.append(time.perf_counter())
        took.append(tuple(1000 * (b - a) for a, b in itertools.pairwise(moments)))
        state = after
    step, torch_step, heat_ms, drawn = (statistics.median(column) for column in zip(*took, strict=True))
    print(f"{name:12}{step:8.2f}{torch_step:10.2f}{heat_ms:8.2f}{drawn:8.2f}{load:22.2f}")


def print_places(ways: dict[str, tuple[ActionModel, Way]], worlds: int) -> None:
    recognizer = Recognizer.load("synthetic", engine="onnx", threads=1)
    explainers = {name: (way, Explainer(model)) for name, (model, way) in ways.items()}
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
    for number in range(worlds):
        state = recognizer.initial_state()
        settings = WorldSettings(
            seed=UNSEEN + 500 + number, fps=recognizer.fps, seconds=6.0, action_seconds=(2.0, 3.0)
        )
        for frame, box in with_boxes(settings):
            prediction, after = recognizer.step(frame, state)
            if frame.timestamp > 1.5 and frame.index % 10 == 0 and prediction.label == frame.truth:
                heats = {
                    name: way(explainer, frame, state, prediction.label)
                    for name, (way, explainer) in explainers.items()
                }
                for name, heat in heats.items():
                    share = heat[box].sum() / max(float(heat.sum()), 1e-9)
                    with np.errstate(invalid="ignore"):  # a heat of nothing is like nothing
                        like = np.corrcoef(heat.ravel(), heats["trained"].ravel())[0, 1]
                    found[name].append((share, box.mean(), box.flat[heat.argmax()], like))
            state = after
    for name, rows in found.items():
        share, area, warmest, like = np.nanmean(rows, axis=0)
        print(f"{name:18}{share:17.3f}{area:7.3f}{share / area:7.2f}{warmest:15.2f}{like:10.2f}")
    print(f"{len(rows)} frames of {worlds} worlds")


def grad_cam(explainer: Explainer, frame: Frame, state: State, label: str) -> np.ndarray:
    asked = explainer._asked(frame, state, label)
    return heat_of(explainer, frame, [maps * slopes.mean((2, 3), keepdim=True) for maps, slopes in asked])


def beyond_still(explainer: Explainer, frame: Frame, state: State, label: str) -> np.ndarray:
    begun = replace(frame, segment=frame.segment + 1)  # the stream begins anew: nothing moves
    asked, still = (explainer._asked(one, state, label) for one in (frame, begun))
    return heat_of(
        explainer,
        frame,
        [(maps - rest) * slopes for (maps, slopes), (rest, _) in zip(asked, still, strict=True)],
    )


def heat_of(explainer: Explainer, frame: Frame, evidence: list[torch.Tensor]) -> np.ndarray:
    heat = np.maximum(sum(explainer._placed(one) for one in evidence), 0.0)
    return explainer.config.transform.project_back(heat, *frame.image.shape[:2])


def random(like: ActionModel, seed: int) -> ActionModel:
    torch.manual_seed(seed)
    return ActionModel(like.config).eval()


def random_head(like: ActionModel) -> ActionModel:
    made = random(like, 0)
    made.encoder.load_state_dict(like.encoder.state_dict())
    return made


if __name__ == "__main__":
    main()
