"""Users' own sinks by their names: ``module:Class`` or ``file.py:Class``. Nothing else is loaded."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from streamrec.errors import SinkError, StreamrecError
from streamrec.outputs.sink import Background, Sink, as_sink
from streamrec.types import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSettings:
    """One ``[[sink]]`` table of cameras.toml, or one ``--sink``."""

    use: str  # "package.module:Class", or "file.py:Class"; or a function of a result
    options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)  # given to the class by name
    folder: str = "."  # what a file is relative to


def load_sink(settings: SinkSettings, warn: Callable[[str], object] = lambda message: None) -> Sink:
    """The sink, in a thread of its own: where it is slow or raises, nothing else is disturbed, and ``warn`` reports it.

    Raises ``SinkError`` where there is no such module, class or option.
    """
    place, colon, name = settings.use.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise SinkError(f"{settings.use!r} names no sink; write module:Class, or file.py:Class")
    module = _file(Path(settings.folder) / place) if place.endswith(".py") else _module(place)
    made = getattr(module, name, None)
    if made is None:
        raise SinkError(f"{place} has no {name}")
    try:
        sink = as_sink(made(**dict(settings.options)) if isinstance(made, type) else made)
    except StreamrecError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise SinkError(f"{settings.use} cannot be made: {_message(error)}") from error
    return Background(_Tolerant(sink, settings.use, warn), capacity=16, patience=1.0)


class _Tolerant(Sink):
    """A sink whose errors are reported, and which is given the next result all the same."""

    def __init__(self, sink: Sink, name: str, warn: Callable[[str], object]) -> None:
        self._sink, self._name, self._warn = sink, name, warn

    def write(self, result: Result) -> None:
        """Pass the result on."""
        try:
            self._sink.write(result)
        except Exception as error:
            self._warn(f"{self._name}: {_message(error)}")

    def close(self) -> None:
        """Pass it on."""
        try:
            self._sink.close()
        except Exception as error:
            self._warn(f"{self._name}: {_message(error)}")


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, StreamrecError) else f"{type(error).__name__}: {error}"


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SinkError(
            f"there is no module {error.name}; install it, or name a file: ./{name}.py:Class"
        ) from error
    except Exception as error:
        raise SinkError(f"{name} cannot be imported: {_message(error)}") from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SinkError(f"there is no file {path}")
    name = f"streamrec_sink_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise SinkError(f"{path} cannot be imported: {_message(error)}") from error
    return module


def settings_of(table: Mapping[str, Any], folder: Path) -> SinkSettings:
    """The settings of a ``[[sink]]`` table: ``use``, and the sink's own options."""
    use = table.get("use")
    if not isinstance(use, str):
        raise SinkError('use: it is missing; write use = "file.py:Class"')
    return SinkSettings(
        use=use,
        options=tuple((key, value) for key, value in table.items() if key != "use"),
        folder=str(folder),
    )
