"""The names under which models report, where several watch one stream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamrec.core.text import printable
from streamrec.errors import ModelError

MOST_MODELS = 16  # on one stream
ANOMALY = "anomaly"  # no file: a forecaster that learns from the stream alone (``runtime.anomaly``)


def is_anomaly(model: str | Path) -> bool:
    """Whether a model's name means the anomaly detector, alone or with a rate of false events behind it.

    >>> is_anomaly("anomaly"), is_anomaly("anomaly:1/week"), is_anomaly("anomaly.safetensors")
    (True, True, False)
    """
    return str(model).partition(":")[0] == ANOMALY


def names_of(models: Sequence[str | Path]) -> list[str]:
    """Those of shipped models as they are, of files without folder and ending, of a detector without its rate.

    >>> names_of(["fight", "models/yard.safetensors"])
    ['fight', 'yard']
    """
    return [_name_of(text) for text in map(str, models)]


def check_names(models: Sequence[str | Path]) -> None:
    """Raise ``ModelError`` for too many models, or for two of one name, which could not be distinguished."""
    if len(models) > MOST_MODELS:
        raise ModelError(f"{len(models)} models on one stream; give at most {MOST_MODELS}")
    names = names_of(models)
    for name in names:
        if names.count(name) > 1:
            raise ModelError(
                f"two of the models are called {printable(name)}: name each once, or rename a file"
            )


def _name_of(text: str) -> str:
    if is_anomaly(text):
        return ANOMALY
    return Path(text).stem if text.endswith((".safetensors", ".onnx")) else text
