"""Reads ``listen`` of a camera in cameras.toml: a model of sound beside its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamrec.core.messages import shortened
from streamrec.core.model_names import check_names, names_of
from streamrec.errors import ModelError
from streamrec.settings.toml import Reader

KEYS = ("model", "address")


@dataclass(frozen=True, kw_only=True)
class ListenSettings:
    """The model that listens beside the pictures of a camera."""

    model: str
    address: str = field(default="", repr=False)  # of the sound, with its login; "": the camera's own

    @property
    def name(self) -> str:
        """The name under which it reports."""
        return names_of([self.model])[0]


class CameraReader(Reader, Protocol):
    """The reader of cameras.toml, as far as ``listen`` needs it."""

    def text(self, values: dict[str, Any], key: str, where: str, default: str) -> str:
        """A text."""

    def one_model(self, model: str, where: str, key: str) -> str:
        """A shipped model's name, or the path of a file."""

    def address(self, table: dict[str, Any], defaults: dict[str, Any], where: str) -> str:
        """An address with user and password in it."""


def listen_of(
    table: dict[str, Any], models: Sequence[str], where: str, reader: CameraReader
) -> ListenSettings | None:
    """``listen`` of a camera's table; raises ``SettingsError``. ``models``: those of its pictures."""
    if "listen" not in table:
        return None
    given = table["listen"]
    if isinstance(given, str):
        given = {"model": given}
    if not isinstance(given, dict) or "model" not in given:
        example = 'listen = "glass.safetensors" or {model = "glass.safetensors", address = "mic:"}'
        raise reader.wrong(where, "listen", f"name a model of sound, like {example}, not {shortened(given)}")
    own = f"{where}listen: "
    reader.check_keys(given, KEYS, own)
    model = reader.one_model(reader.text(given, "model", own, ""), own, "model")
    address = reader.address(given, {}, own) if "address" in given else ""
    try:
        check_names([*models, model])
    except ModelError as error:
        raise reader.wrong(where, "listen", str(error)) from error
    return ListenSettings(model=model, address=address)
