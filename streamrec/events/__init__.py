"""Scores in, started and ended actions and repetitions out; no I/O."""

from typing import Any

from streamrec.core.old_paths import find, is_module


def __getattr__(
    name: str,
) -> Any:  # `streamrec.events` was a module once, and its names stay importable from here
    if name.startswith("__") or is_module(__name__, name):
        raise AttributeError(name)
    return find(name, ("events.detector",))
