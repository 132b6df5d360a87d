"""The rule of this tier: a unit test opens no socket, starts no process, does not sleep, exports or trains no model."""

from __future__ import annotations

import multiprocessing.process
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

# These start a process while they are imported (matplotlib on a machine whose fonts it does not know yet), which no
# test of this tier may.
import matplotlib.font_manager  # noqa: F401
import pytest
import torch  # noqa: F401

SHORT = 0.02  # seconds: a sleep up to here lets another thread run, and is no waiting


def refused(what: str) -> Callable[..., NoReturn]:
    """A function that fails the test, whatever the tested code catches."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.fail(
            f"a unit test {what}: step a clock or pass a fake, or move the test to tests/integration/"
        )

    return refuse


@contextmanager
def unit_rules() -> Iterator[None]:
    """What takes long or leaves the process raises."""
    sleep = time.sleep

    def sleeps(seconds: float) -> None:
        if seconds > SHORT:
            refused(f"sleeps for {seconds:g} s")()
        sleep(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", sleeps)
        for name in ("connect", "connect_ex", "bind"):
            patch.setattr(socket.socket, name, refused("opens a socket"))
        patch.setattr(subprocess.Popen, "__init__", refused("starts a process"))
        patch.setattr(multiprocessing.process.BaseProcess, "start", refused("starts a process"))
        patch.setattr(os, "fork", refused("starts a process"))
        torch = sys.modules.get("torch")
        if torch is not None:
            patch.setattr(torch.onnx, "export", refused("exports a model"))
            patch.setattr(torch.optim.Optimizer, "__init__", refused("trains a model"))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Fixtures of every scope are held to it too."""
    with unit_rules():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    with unit_rules():
        return (yield)


@pytest.fixture(scope="session")
def tiny_file(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model of all tests without a graph, which only the torch engine runs: nothing is exported."""
    from tests.helpers.models import save_without_graph

    return save_without_graph(tmp_path_factory.mktemp("models") / "tiny.safetensors", tiny_model)
