"""``tuned.toml``: the best model, engine, threads and sampling rate for a machine; ``run`` and ``watch`` read it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from typing import Any

from streamrec.core.arguments import FPS, THREADS
from streamrec.core.messages import explain_errors, shortened
from streamrec.core.reading import path_of
from streamrec.errors import SettingsError
from streamrec.settings.toml import no_such_key, read_toml

DEFAULT_MODEL = "fight"  # where no option, camera or tuned file names one
ENGINES = ("auto", "onnx", "torch")


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The file's values; its keys have the names of the options of ``run``. None: as without the file."""

    model: str | None = (
        None  # a shipped model's name, or a file; its path is relative to the folder of this one
    )
    engine: str | None = None
    device: str | None = None
    threads: int | None = None  # of one step
    fps: float | None = None  # frames processed a second

    @property
    def default_model(self) -> str:
        """The model where none is named."""
        return self.model or DEFAULT_MODEL

    def given(self) -> dict[str, Any]:
        """The keys that the file has.

        >>> Tuned(model="fight", threads=1).given()
        {'model': 'fight', 'threads': 1}
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


KEYS = tuple(field.name for field in fields(Tuned))


def toml_of(tuned: Tuned, why: str = "") -> str:
    """The text of the file; ``why`` becomes a comment.

    >>> print(toml_of(Tuned(model="fight", fps=7.5), "one camera"), end="")
    # one camera
    model = "fight"
    fps = 7.5
    """
    lines = [f"# {line}" for line in why.splitlines()]
    # JSON's texts and numbers are TOML's.
    lines += [f"{name} = {json.dumps(value)}" for name, value in tuned.given().items()]
    return "\n".join(lines) + "\n"


def read_tuned(path: str | os.PathLike[str]) -> Tuned:
    """Read and check the file; raises ``SettingsError``."""
    path = path_of(os.fspath(path))
    values = read_toml(path)
    with explain_errors(path.name):
        for key, value in values.items():
            if key not in KEYS:
                raise SettingsError(f"{path.name}: {shortened(key)[1:-1]}: {no_such_key(key, KEYS)}")
            if (wrong := _wrong(key, value)) is not None:
                raise SettingsError(f"{path.name}: {key}: {wrong}")
        if os.sep in (model := values.get("model", "")) or model.endswith((".safetensors", ".onnx")):
            values["model"] = str(path.absolute().parent / path_of(model))
        if "fps" in values:
            values["fps"] = float(values["fps"])
        return Tuned(**values)


def _wrong(key: str, value: object) -> str | None:
    """What to give instead, where the value does not fit its key; else None."""
    if key == "threads":
        return THREADS.wrong(value)
    if key == "fps":
        return FPS.wrong(value)
    if key == "engine" and value not in ENGINES:
        return f"give {', '.join(ENGINES)}, not {shortened(value)}"
    return None if isinstance(value, str) and value else f"give a text, not {shortened(value)}"
