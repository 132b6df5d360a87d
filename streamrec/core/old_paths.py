"""Former module paths: ``streamrec.sinks`` and others stay importable, with the names of their new modules."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# The former path, and the modules that hold its names now.
OLD_PATHS: dict[str, tuple[str, ...]] = {
    "batching": ("pipeline.watcher",),
    "bench": ("evaluation.bench",),
    "buffer": ("pipeline.ring_buffer",),
    "capture": ("pipeline.capture",),
    "checkpoint": ("runtime.checkpoint",),
    "cli": ("commands.app", "commands.process", "commands.exit_codes"),
    "config": ("nn.config",),
    "counting": ("events.repetitions", "data.phase"),
    "encoders": ("nn.encoders",),
    "engines": ("runtime.load", "runtime.engine"),
    "evidence": ("outputs.history.evidence", "settings.evidence"),
    "explain": ("runtime.explain",),
    "export": ("runtime.export",),
    "flight": ("pipeline.flight_recorder",),
    "gate": ("pipeline.motion_gate",),
    "heads": ("nn.heads",),
    "health": ("sources.health",),
    "history": ("outputs.history.store", "outputs.history.records"),
    "metrics": ("evaluation.metrics", "evaluation.intervals"),
    "model": ("nn.model",),
    "overlay": ("outputs.overlay",),
    "pictures": ("core.image",),
    "plugins": ("outputs.plugins",),
    "quantize": ("runtime.quantize",),
    "recognizer": ("runtime.recognizer",),
    "record": ("data.clip_recorder", "commands.record_session"),
    "rhythm": ("sources.sampling",),
    "sinks": ("outputs.sink", "outputs.window", "outputs.video_file", "outputs.json_lines"),
    "strangeness": ("nn.ood",),
    "state": ("core.state",),
    "synthetic": ("sources.synthetic",),
    "teller": ("pipeline.result_builder",),
    "threads": ("core.threads",),
    "train.baselines": ("evaluation.baselines",),
    "train.cache": ("data.decode_cache",),
    "train.calibrate": ("evaluation.alarm_calibration",),
    "train.conditions": ("evaluation.perturbations",),
    "train.crossval": ("evaluation.crossval", "evaluation.crossval_report"),
    "train.data": ("data.clips", "data.splits"),
    "train.evaluate": ("evaluation.evaluate",),
    "train.known": ("train.ood_fit",),
    "train.looks": ("train.frozen_features",),
    "train.measure": ("evaluation.reports",),
    "train.ranks": ("train.distributed",),
    "train.streams": ("train.stream_windows",),
    "train.tables": ("evaluation.text_tables",),
    "transforms": ("nn.transforms",),
    "tune": ("evaluation.tune",),
    "videos": ("sources.webcam", "sources.open_errors", "sources.decoding"),
    "watch": ("commands.watch_job",),
    "watchfile": ("settings.cameras_file",),
}


def find(name: str, modules: Iterable[str]) -> Any:
    """The value of ``name`` in the first of these modules that has it; raises ``AttributeError``."""
    for module in modules:
        try:
            return getattr(importlib.import_module(f"streamrec.{module}"), name)
        except AttributeError:
            continue
    raise AttributeError(f"there is no {name!r} in streamrec.{', streamrec.'.join(modules)}")


def former_names(package: str, *modules: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package that was a module once: its names are in these modules of streamrec now."""

    def getter(name: str) -> Any:
        # ``from package import module`` asks for an attribute first.
        if name.startswith("__") or importlib.util.find_spec(f"{package}.{name}") is not None:
            raise AttributeError(name)
        return find(name, modules)

    return getter


class _OldModule(ModuleType):
    """A module without names of its own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return find(name, OLD_PATHS[self.__name__.removeprefix("streamrec.")])


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: object = None
    ) -> ModuleSpec | None:
        old = fullname.startswith("streamrec.") and fullname.removeprefix("streamrec.") in OLD_PATHS
        return ModuleSpec(fullname, self) if old else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _OldModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def keep_importable() -> None:
    """Make the former paths importable; it is the last finder, so that it costs nothing for modules that exist."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
