"""Where frames come from: files, addresses, webcams, iterables, drawn worlds."""

from importlib.util import find_spec
from typing import Any

from streamrec.core.old_paths import find


def __getattr__(
    name: str,
) -> Any:  # `streamrec.sources` was a module once, and its names stay importable from here
    # A module of this package is no such name: Python imports it after this error.
    if name.startswith("__") or find_spec(f"{__name__}.{name}") is not None:
        raise AttributeError(name)
    return find(name, ("sources.open", "sources.files", "sources.iterable", "sources.wrappers"))
