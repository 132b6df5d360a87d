"""What the tests of commands share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_memory_is_given_back(monkeypatch) -> None:
    """To collect all that the tests have imported takes half a second; ``test_memory.py`` has what it is good for."""
    for place in ("roster", "fleet.group"):
        monkeypatch.setattr(f"streamrec.commands.{place}.give_back", lambda: None)
