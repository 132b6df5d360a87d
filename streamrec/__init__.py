"""streamrec watches a camera and says what is happening, now.

>>> from streamrec import StreamRecognizer, Recognizer, open_source, results
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamrec.batching import Watcher, results_of
    from streamrec.buffer import RingBuffer
    from streamrec.checkpoint import save_model
    from streamrec.config import ModelConfig
    from streamrec.errors import StreamrecError
    from streamrec.events import EventDetector, EventSettings
    from streamrec.explain import Explainer
    from streamrec.history import History
    from streamrec.model import CNNLSTM, ActionModel
    from streamrec.overlay import draw, draw_heat
    from streamrec.pipeline import async_results, pace, results
    from streamrec.recognizer import Followed, Recognizer, StreamRecognizer
    from streamrec.sinks import Background, Callback, JsonLines, Latest, Sink, VideoFile, Window
    from streamrec.sources import open_source
    from streamrec.state import State
    from streamrec.synthetic import World, WorldSettings
    from streamrec.transforms import Transform
    from streamrec.types import ActionEnded, ActionStarted, Event, Frame, Prediction, Result, Source

# From 1.29 on ONNX Runtime tells its maker about the machine and the model, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Name -> the module that holds it, imported when the name is first asked for: `import streamrec` is quick,
# and what does not need torch never imports it.
_HOMES = {
    "ActionEnded": "types",
    "ActionModel": "model",
    "ActionStarted": "types",
    "Background": "sinks",
    "CNNLSTM": "model",
    "Callback": "sinks",
    "Event": "types",
    "EventDetector": "events",
    "EventSettings": "events",
    "Explainer": "explain",
    "Followed": "recognizer",
    "Frame": "types",
    "History": "history",
    "JsonLines": "sinks",
    "Latest": "sinks",
    "ModelConfig": "config",
    "Prediction": "types",
    "Recognizer": "recognizer",
    "Result": "types",
    "RingBuffer": "buffer",
    "Sink": "sinks",
    "Source": "types",
    "State": "state",
    "StreamRecognizer": "recognizer",
    "StreamrecError": "errors",
    "Transform": "transforms",
    "VideoFile": "sinks",
    "Watcher": "batching",
    "Window": "sinks",
    "World": "synthetic",
    "WorldSettings": "synthetic",
    "async_results": "pipeline",
    "draw": "overlay",
    "draw_heat": "overlay",
    "open_source": "sources",
    "pace": "pipeline",
    "results": "pipeline",
    "results_of": "batching",
    "save_model": "checkpoint",
}

__all__ = [
    "CNNLSTM",
    "ActionEnded",
    "ActionModel",
    "ActionStarted",
    "Background",
    "Callback",
    "Event",
    "EventDetector",
    "EventSettings",
    "Explainer",
    "Followed",
    "Frame",
    "History",
    "JsonLines",
    "Latest",
    "ModelConfig",
    "Prediction",
    "Recognizer",
    "Result",
    "RingBuffer",
    "Sink",
    "Source",
    "State",
    "StreamRecognizer",
    "StreamrecError",
    "Transform",
    "VideoFile",
    "Watcher",
    "Window",
    "World",
    "WorldSettings",
    "async_results",
    "draw",
    "draw_heat",
    "open_source",
    "pace",
    "results",
    "results_of",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f"streamrec.{_HOMES[name]}"), name)
        return value
    raise AttributeError(f"module 'streamrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
