"""Corrections in `run` and `watch`: where they are kept, and which cameras they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamrec.events.detector import EventSettings
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.runtime.recognizer import Recognizer, configs_of
from streamrec.teach.corrections.corrector import Corrections
from streamrec.teach.corrections.store import CorrectionStore


def open_corrections(
    after: DispatchSettings, log: Callable[[str], object], *, page: bool
) -> Corrections | None:
    """Those of the history, or in memory where there is none; None: there are none, and none can be made.

    Corrections that were made on the page count without it too.
    """
    folder = after.corrections
    if not page and (folder is None or not folder.exists()):
        return None
    return Corrections(CorrectionStore(folder, log=log))


def watched(
    corrections: Corrections, name: str, recognizer: Recognizer, events: Mapping[str, EventSettings]
) -> dict[str, EventSettings]:
    """The event settings of a camera, by model, as corrections have moved them."""
    configs = configs_of(recognizer)
    own = {model: events.get(model, config.events) for model, config in configs.items()}
    return corrections.camera(name, own, {model: config.labels for model, config in configs.items()})
