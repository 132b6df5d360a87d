"""streamrec watches a camera and reports what is happening, now.

>>> from streamrec import StreamRecognizer, Recognizer, open_source, results
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamrec.core.old_paths import keep_importable

if TYPE_CHECKING:
    from streamrec.core.state import State
    from streamrec.errors import StreamrecError
    from streamrec.events.detector import EventDetector, EventSettings
    from streamrec.events.recurrence import RecurrenceSettings
    from streamrec.nn.config import ModelConfig
    from streamrec.nn.model import CNNLSTM, ActionModel
    from streamrec.nn.signals import SignalTransform
    from streamrec.nn.sound import SoundTransform
    from streamrec.nn.transforms import Transform
    from streamrec.nn.translator import Translator
    from streamrec.outputs.history.store import History
    from streamrec.outputs.json_lines import JsonLines
    from streamrec.outputs.overlay import draw, draw_heat
    from streamrec.outputs.sink import Background, Callback, Latest, Sink
    from streamrec.outputs.video_file import VideoFile
    from streamrec.outputs.window import Window
    from streamrec.pipeline.loop import async_results, results
    from streamrec.pipeline.ring_buffer import RingBuffer
    from streamrec.pipeline.watcher import Watcher, results_of
    from streamrec.runtime.checkpoint import save_model
    from streamrec.runtime.explain import Explainer
    from streamrec.runtime.explain_signals import SignalExplainer
    from streamrec.runtime.joint import open_models
    from streamrec.runtime.recent import Recent
    from streamrec.runtime.recognizer import Followed, Recognizer, StreamRecognizer
    from streamrec.sources.open import open_source
    from streamrec.sources.rows import RowSource
    from streamrec.sources.sampling import pace
    from streamrec.sources.synthetic import World, WorldSettings
    from streamrec.teach.corrections.corrector import Corrections
    from streamrec.teach.teacher import Teacher
    from streamrec.types import (
        ActionEnded,
        ActionStarted,
        Event,
        Frame,
        Prediction,
        Relevance,
        Result,
        Source,
    )

# From 1.29 on ONNX Runtime sends data about machine and model to its maker, unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Name -> the module that holds it, imported when the name is first asked for: `import streamrec` is quick,
# and what does not need torch never imports it.
_HOMES = {
    "ActionEnded": "types",
    "ActionModel": "nn.model",
    "ActionStarted": "types",
    "Background": "outputs.sink",
    "CNNLSTM": "nn.model",
    "Callback": "outputs.sink",
    "Corrections": "teach.corrections.corrector",
    "Event": "types",
    "EventDetector": "events.detector",
    "EventSettings": "events.detector",
    "Explainer": "runtime.explain",
    "Followed": "runtime.recognizer",
    "Frame": "types",
    "History": "outputs.history.store",
    "JsonLines": "outputs.json_lines",
    "Latest": "outputs.sink",
    "ModelConfig": "nn.config",
    "Prediction": "types",
    "Recent": "runtime.recent",
    "Recognizer": "runtime.recognizer",
    "RecurrenceSettings": "events.recurrence",
    "Relevance": "types",
    "Result": "types",
    "RingBuffer": "pipeline.ring_buffer",
    "RowSource": "sources.rows",
    "SignalExplainer": "runtime.explain_signals",
    "SignalTransform": "nn.signals",
    "Sink": "outputs.sink",
    "SoundTransform": "nn.sound",
    "Source": "types",
    "State": "core.state",
    "StreamRecognizer": "runtime.recognizer",
    "StreamrecError": "errors",
    "Teacher": "teach.teacher",
    "Transform": "nn.transforms",
    "Translator": "nn.translator",
    "VideoFile": "outputs.video_file",
    "Watcher": "pipeline.watcher",
    "Window": "outputs.window",
    "World": "sources.synthetic",
    "WorldSettings": "sources.synthetic",
    "async_results": "pipeline.loop",
    "draw": "outputs.overlay",
    "draw_heat": "outputs.overlay",
    "open_models": "runtime.joint",
    "open_source": "sources.open",
    "pace": "sources.sampling",
    "results": "pipeline.loop",
    "results_of": "pipeline.watcher",
    "save_model": "runtime.checkpoint",
}

__all__ = [
    "CNNLSTM",
    "ActionEnded",
    "ActionModel",
    "ActionStarted",
    "Background",
    "Callback",
    "Corrections",
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
    "Recent",
    "Recognizer",
    "RecurrenceSettings",
    "Relevance",
    "Result",
    "RingBuffer",
    "RowSource",
    "SignalExplainer",
    "SignalTransform",
    "Sink",
    "SoundTransform",
    "Source",
    "State",
    "StreamRecognizer",
    "StreamrecError",
    "Teacher",
    "Transform",
    "Translator",
    "VideoFile",
    "Watcher",
    "Window",
    "World",
    "WorldSettings",
    "async_results",
    "draw",
    "draw_heat",
    "open_models",
    "open_source",
    "pace",
    "results",
    "results_of",
    "save_model",
]

keep_importable()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        try:
            value = globals()[name] = getattr(import_module(f"streamrec.{_HOMES[name]}"), name)
        except ModuleNotFoundError as error:
            from streamrec.errors import missing_extra

            raise (missing_extra(error) or error) from error
        return value
    raise AttributeError(f"module 'streamrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
