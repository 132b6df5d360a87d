"""What is freed goes back to the system."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from streamrec.core import memory

needs_glibc = pytest.mark.skipif(memory._libc() is None, reason="the C library is not glibc")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_glibc
def test_memory_between_blocks_that_are_in_use_goes_back():
    blocks = [
        np.ones(60_000, np.uint8) for _ in range(2000)
    ]  # smaller than any block with a mapping of its own
    kept = blocks[::20]
    del blocks
    before = _resident()
    memory.give_back()
    assert before - _resident() > 50_000_000
    assert all(one.all() for one in kept)


def test_without_glibc_nothing_is_done(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    memory._libc.cache_clear()
    try:
        assert memory._libc() is None
        memory.limit_heaps()
        memory.give_back()
    finally:
        memory._libc.cache_clear()
