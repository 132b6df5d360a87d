"""Sources of frames: files, network cameras, webcams, iterables, synthetic worlds."""

from streamrec.core.old_paths import former_names

__getattr__ = former_names(__name__, "sources.open", "sources.files", "sources.iterable", "sources.wrappers")
