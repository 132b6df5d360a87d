"""What several rooms' tests need: numbered pictures, small models, the shared data where it is there."""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Models this small are quickest with one thread, and the tests share the machine with servers of their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from _pytest.assertion import rewrite

from tests.helpers.commands import main_here  # noqa: F401
from tests.helpers.graphs import in_children, kept_graphs, version
from tests.helpers.paths import DATA


def pytest_configure() -> None:
    """Images of containers forbid to keep compiled modules: each process of a test would compile the package anew."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_sessionstart(session: pytest.Session) -> None:
    """Of test files that were not compiled yet, each worker compiles its share, in place of each of them all."""
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    share = slice(int(worker["workerid"].removeprefix("gw")), None, worker["workercount"])
    for path in sorted(Path(__file__).parent.rglob("test_*.py"))[share]:
        compiled = rewrite.get_cache_dir(path) / (path.stem + rewrite.PYC_TAIL)
        if not compiled.exists() and rewrite.try_makedirs(compiled.parent):
            stamp, code = rewrite._rewrite_test(path, session.config)
            rewrite._write_pyc(session.config.stash[rewrite.assertstate_key], code, stamp, compiled)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported to find the tests stays: the garbage collector need not look at it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def nobody_ends_this_process(monkeypatch) -> None:
    """Commands that run in the tests' own process leave no thread behind that would end it at a later test's signal."""
    from streamrec.core import process_end as ending

    monkeypatch.setattr(ending, "watch_over", lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def the_command_line_is_built_once() -> Iterator[None]:
    """Typer makes all commands anew for each call, which costs more than most calls of tests."""
    import typer

    each, made = typer.main.get_command, {}

    def get_command(app: typer.Typer) -> Any:
        detects = os.environ.get("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION")  # which options are there
        known = (app, len(app.registered_commands), len(app.registered_groups), detects)  # a test may add one
        if known not in made:
            made[known] = each(app)
        return made[known]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.main.get_command", get_command)
        patch.setattr("typer.testing._get_command", get_command)
        yield


@pytest.fixture(scope="session")
def graphs_folder(request, tmp_path_factory) -> Path:
    """A folder that the workers share and later runs find again."""
    cache = getattr(request.config, "cache", None)  # -p no:cacheprovider
    if cache is None or find_spec("torch") is None:
        return tmp_path_factory.mktemp("graphs")
    folders = cache.mkdir("graphs")
    folder = folders / version()
    folder.mkdir(exist_ok=True)
    for other in set(folders.iterdir()) - {folder}:
        shutil.rmtree(other, ignore_errors=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def each_graph_is_exported_once(graphs_folder) -> Iterator[None]:
    """In this process and in those that tests start; of a process that never imports torch no graph is asked."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in in_children(graphs_folder).items():
            patch.setenv(name, value)
        if "torch" not in sys.modules:
            yield
            return
        from streamrec.runtime import export

        patch.setattr(export, "_traced", kept_graphs(export._traced, graphs_folder))
        yield


@pytest.fixture(scope="session")
def once_a_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[], Any]], Any]:
    """Makes what takes long once, though tests that need it run in several workers; it is pickled for the others."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[], Any]) -> Any:
        path = folder / f"{name}.pickle"
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go when it is closed
            if not path.exists():
                made = pickle.dumps(make())
                path.write_bytes(made)
            return pickle.loads(path.read_bytes())

    return once


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips of real people; they are not part of the project."""
    if not DATA.is_dir():
        pytest.skip(f"the clips of real people are not at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def tiny_config():
    from streamrec import ModelConfig, Transform

    return ModelConfig(
        labels=("idle", "wave", "fall"), transform=Transform(height=32, width=32), hidden_size=16, max_gap=1.0
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_config):
    import torch

    from streamrec import ActionModel

    torch.manual_seed(0)
    return ActionModel(tiny_config).eval()


@pytest.fixture(scope="session")
def tiny_file(tiny_model, tmp_path_factory) -> Path:
    from streamrec.runtime.checkpoint import save_model

    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(path, tiny_model)
    return path


@pytest.fixture(scope="session", params=["onnx", "torch"])
def tiny(request, tiny_file):
    """The same small recognizer in every engine."""
    from streamrec import Recognizer

    return Recognizer.load(tiny_file, engine=request.param, device="cpu")
