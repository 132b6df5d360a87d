"""One torch thread for each test that asks, or for all tests of a module or of a folder whose conftest imports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Small images are fastest with one thread: threads that spin while they wait for each other starve few cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def one_thread():
    with one_torch_thread():
        yield


@pytest.fixture(scope="module", autouse=True)
def one_thread_a_module():
    with one_torch_thread():
        yield
