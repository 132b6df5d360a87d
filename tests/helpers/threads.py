"""One thread for the test that asks, or for all tests of a folder whose conftest imports it."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small are learned and seen fastest by one thread; other tests' threads are left as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
