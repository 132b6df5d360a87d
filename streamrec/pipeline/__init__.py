"""Frames to results: capture threads, ring buffers, the motion gate, the recognition loop."""

from streamrec.core.old_paths import former_names

__getattr__ = former_names(__name__, "pipeline.loop", "sources.sampling")
