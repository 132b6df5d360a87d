"""Scores in, started and ended actions and repetitions out; no I/O."""

from streamrec.core.old_paths import former_names

__getattr__ = former_names(__name__, "events.detector")
