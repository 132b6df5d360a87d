"""Scores in, started and ended actions and repetitions out; no I/O."""

from typing import Any

from streamrec.core.old_paths import find


def __getattr__(
    name: str,
) -> Any:  # `streamrec.events` was a module once, and its names stay importable from here
    if name.startswith("__"):
        raise AttributeError(name)
    return find(name, ("events.detector",))
