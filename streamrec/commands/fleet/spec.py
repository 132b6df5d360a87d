"""What the process of a group is given: its cameras, and how their models are loaded."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from streamrec.commands.watch_job import WatchJob
from streamrec.core.packed import Packer
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.tuned_file import Tuned


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How models are loaded; the fields are options of ``streamrec fleet``."""

    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None
    people: bool | None = None
    per_person: bool | None = None
    tuned: Tuned = field(default_factory=Tuned)

    def load(self, path: Path, models: tuple[str, ...], per_person: bool | None) -> Recognizer:
        """As one machine that watches ``path`` would load them."""
        options: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return WatchJob(path=path, **options).load(*models, per_person=per_person)


@dataclass(frozen=True, kw_only=True)
class GroupSpec:
    """All that a process needs to run a group."""

    name: str
    cameras: tuple[str, ...]
    settings: bytes  # sealed: ``part_of`` cameras.toml
    file: str = (
        "cameras.toml"  # its path on the head; on a machine paths are relative to the folder of the fleet
    )
    options: ModelOptions = field(default_factory=ModelOptions)


SPECS = Packer((GroupSpec, ModelOptions, Tuned))
