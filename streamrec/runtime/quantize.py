"""Quantization: a model whose convolutions calculate in 8 bits, in a file that is a model like any other.

Weights are quantized by channel, activations between convolutions by their range on real frames (static, MinMax).
Flow, the head and all that is not a convolution, or between two, stay in float32.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from streamrec.core.files import replacing
from streamrec.core.messages import why
from streamrec.errors import ModelError, need
from streamrec.runtime.checkpoint import export_checkpoint, read_checkpoint
from streamrec.runtime.export import ELAPSED
from streamrec.runtime.onnx_engine import OnnxEngine
from streamrec.sources.files import FileSource
from streamrec.sources.sampling import pace

need("onnx", extra="train")

import onnx  # noqa: E402
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: E402

CALIBRATION_FRAMES = 96  # that the ranges are taken from,
EACH = 8  # so many of a video, in a row
CHECKED = 2000  # frames on which both models are compared

Feed = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Quantized:
    """The quantized model against the original, on videos that it was not calibrated on."""

    frames: int
    same: float  # share of the frames with the same label
    difference: float  # of the probabilities: the mean over frames of the greatest
    before: float  # seconds a step, here
    after: float


def quantize(model: str | Path, out: Path, videos: Sequence[Path]) -> Quantized:
    """Write a model as .onnx with convolutions in 8 bits; every second video calibrates, the others are compared."""
    if len(videos) < 2:
        raise ModelError(f"{len(videos)} videos: one calibrates, another measures the loss; give 2 or more")
    with tempfile.TemporaryDirectory() as folder:
        plain, folded, made_at = (Path(folder) / f"{name}.onnx" for name in ("plain", "folded", "made"))
        export_checkpoint(read_checkpoint(model), plain)
        engine = OnnxEngine.from_file(plain, 1)
        graph = _fold(plain, folded)
        quantize_static(
            str(folded),
            str(made_at),
            _Feeds(_calibration_feeds(engine, videos[::2])),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "Clip", "Relu"],
            nodes_to_quantize=_between_convolutions(graph),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        made = onnx.load(made_at)
        del made.metadata_props[:]
        made.metadata_props.extend(onnx.load(plain).metadata_props)
        try:
            with replacing(out) as file:
                file.write(made.SerializeToString())
        except OSError as error:
            raise ModelError(f"the model could not be written to {out}: {why(error)}") from error
        return _compared(engine, OnnxEngine.from_file(out, 1), videos[1::2])


def _fold(path: Path, out: Path) -> onnx.GraphProto:
    """Fold batch norms into convolutions, as the runtime does on every processor. Returns the graph that it wrote."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    model = onnx.load(out)
    model.metadata_props.add(
        key="onnx.quant.pre_process", value="onnxruntime.quant"
    )  # it has nothing to advise
    onnx.save(model, out)
    return model.graph


def _between_convolutions(graph: onnx.GraphProto) -> list[str]:
    """Convolutions, their activations, and sums of these: a chain of them needs no float in between."""
    makers: dict[str, str] = {}
    chosen: list[str] = []
    for node in graph.node:
        before = [makers.get(name) for name in node.input]
        follows = node.op_type in ("Clip", "Relu") and before[:1] == ["Conv"]
        sums = node.op_type == "Add" and all(maker in ("Conv", "Add", "Clip", "Relu") for maker in before)
        if node.op_type == "Conv" or follows or sums:
            chosen.append(node.name)
        makers |= dict.fromkeys(node.output, node.op_type)
    return chosen


# -- real frames, with the memory that they come with


def _feeds(engine: OnnxEngine, video: Path, most: int) -> Iterator[Feed]:
    """The inputs of a step for the first frames of a video."""
    config = engine.config
    names = (config.pictures.input_name, ELAPSED, *engine.memory_names)
    head = tuple(np.zeros((1, *shape), np.float32) for shape in engine.head_shapes)
    cache = tuple(np.zeros((1, *shape), np.float32) for shape in engine.cache_shapes)
    last = -np.inf
    for number, frame in enumerate(pace(FileSource(video, size=config.transform.straight), config.fps)):
        if number == most:
            return
        images, elapsed = (
            config.transform(frame.image)[None],
            np.array([frame.timestamp - last], np.float32),
        )
        last = frame.timestamp
        yield dict(zip(names, (images, elapsed, *head, *cache), strict=True))
        _, _, head, cache = engine.step(images, elapsed, head, cache)


def _calibration_feeds(engine: OnnxEngine, videos: Sequence[Path]) -> list[Feed]:
    """The inputs for a few frames of many videos."""
    each = max(1, len(videos) * EACH // CALIBRATION_FRAMES)
    return [feed for video in videos[::each] for feed in _feeds(engine, video, EACH)][:CALIBRATION_FRAMES]


class _Feeds(CalibrationDataReader):
    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Any:
        return next(self._feeds, None)


def _compared(before: OnnxEngine, after: OnnxEngine, videos: Sequence[Path]) -> Quantized:
    """Run both on the same videos, each with its own memory; they take turns, so that their times compare."""
    same: list[bool] = []
    off: list[float] = []
    took: tuple[list[float], list[float]] = ([], [])
    for video in videos:
        memories: list[Any] = [None, None]
        for feed in _feeds(before, video, CHECKED - len(same)):
            scores = []
            for number, engine in enumerate((before, after)):
                head, cache = memories[number] or _split(engine, feed)
                asked = time.perf_counter()
                probabilities, _, head, cache = engine.step(feed["pictures"], feed["elapsed"], head, cache)
                took[number].append(time.perf_counter() - asked)
                scores.append(probabilities[0])
                memories[number] = head, cache
            same.append(bool(scores[0].argmax() == scores[1].argmax()))
            off.append(float(np.abs(scores[0] - scores[1]).max()))
        if len(same) >= CHECKED:
            break
    medians = [statistics.median(times) for times in took]
    return Quantized(len(same), sum(same) / len(same), statistics.mean(off), *medians)


def _split(engine: OnnxEngine, feed: Feed) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    memory = [feed[name] for name in engine.memory_names]
    heads = len(engine.head_shapes)
    return tuple(memory[:heads]), tuple(memory[heads:])
