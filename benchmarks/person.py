"""What the person backbone costs: `python benchmarks/person.py person.safetensors [--reference FILE.onnx]`.

CPU time of a frame with ONNX Runtime on one thread: the maps alone, the maps and people, and the published graph as a
whole (an .onnx of MoveNet MultiPose, which takes (1, H, W, 3) int32). They take turns; the least of all runs counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from streamrec.nn.encoders import load_weights
from streamrec.nn.encoders.movenet import MEAN, STD, MoveNet
from streamrec.runtime.graph_passes import tidy


class Exported(nn.Module):
    """From uint8 images to what is measured."""

    def __init__(self, net: MoveNet, with_people: bool) -> None:
        super().__init__()
        self.net, self.with_people = net, with_people

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pyramid, deepest = self.net.maps((images / 255 - MEAN[0]) / STD[0])
        return (pyramid, deepest, self.net.people(pyramid)) if self.with_people else (pyramid, deepest)


def main() -> None:
    """Export, run in turns, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="what `streamrec backbone person` wrote")
    parser.add_argument("--reference", type=Path, help="the published graph as .onnx")
    parser.add_argument("--sizes", nargs="+", default=["256x192", "352x256"], help="width x height")
    parser.add_argument("--runs", type=int, default=60)
    options = parser.parse_args()
    net = MoveNet().eval()
    load_weights(net, options.weights)
    for size in options.sizes:
        width, height = map(int, size.split("x"))
        image = np.random.default_rng(0).integers(0, 256, (1, 3, height, width), np.uint8)
        runs = {
            "maps": session(Exported(net, False), image),
            "maps and people": session(Exported(net, True), image),
        }
        if options.reference is not None:
            graph = onnxruntime.InferenceSession(options.reference, one_thread())
            feed = {graph.get_inputs()[0].name: image.transpose(0, 2, 3, 1).astype(np.int32)}
            runs["published graph"] = lambda graph=graph, feed=feed: graph.run(["Identity:0"], feed)
        took = dict.fromkeys(runs, np.inf)
        for _ in range(options.runs):
            for name, run in runs.items():
                began = time.process_time()
                run()
                took[name] = min(took[name], time.process_time() - began)
        for name, seconds in took.items():
            print(f"{size}  {name:16}{1000 * seconds:6.1f} ms  {seconds / took['maps']:.2f}")


def session(model: nn.Module, image: np.ndarray) -> Callable[[], object]:
    """Export a module as streamrec exports a step, with any number of streams; what runs it on the image."""
    program = torch.onnx.export(
        model.eval(),
        (torch.zeros(2, *image.shape[1:], dtype=torch.uint8),),
        dynamo=True,
        optimize=False,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("streams")},),
    )
    tidy(program.model, {name for name, _ in model.named_parameters()})
    with tempfile.TemporaryDirectory() as folder:
        program.save(Path(folder) / "model.onnx")
        made = onnxruntime.InferenceSession(Path(folder) / "model.onnx", one_thread())
    return lambda: made.run(None, {made.get_inputs()[0].name: image})


def one_thread() -> onnxruntime.SessionOptions:
    """The options of a session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
