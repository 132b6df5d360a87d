"""Sources of frames: files, network cameras, webcams, iterables, synthetic worlds."""

from typing import Any

from streamrec.core.old_paths import find, is_module


def __getattr__(
    name: str,
) -> Any:  # `streamrec.sources` was a module once, and its names stay importable from here
    if name.startswith("__") or is_module(__name__, name):
        raise AttributeError(name)
    return find(name, ("sources.open", "sources.files", "sources.iterable", "sources.wrappers"))
