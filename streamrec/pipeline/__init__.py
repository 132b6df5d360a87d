"""Frames to results: capture threads, ring buffers, the motion gate, the recognition loop."""

from typing import Any

from streamrec.core.old_paths import find, is_module


def __getattr__(
    name: str,
) -> Any:  # `streamrec.pipeline` was a module once, and its names stay importable from here
    if name.startswith("__") or is_module(__name__, name):
        raise AttributeError(name)
    return find(name, ("pipeline.loop", "sources.sampling"))
