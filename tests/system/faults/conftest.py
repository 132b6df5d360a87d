"""What the bench started is gone when its tests are over."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

OURS = ("proxy", "trial", "capture", "read ")  # how the bench's and the readers' threads are called


def children() -> set[int]:
    """The processes that this one has started and that are still there, the dead ones not collected too."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):  # it has just ended
            continue
        if parent == os.getpid():
            found.add(int(path.parent.name))
    return found


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith(OURS)}


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = children(), threads()
    yield
    until = time.monotonic() + 60.0
    while time.monotonic() < until and (children() - before[0] or threads() - before[1]):
        time.sleep(0.05)
    assert threads() <= before[1]
    assert children() <= before[0]
