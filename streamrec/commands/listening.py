"""Opens what listens beside the pictures of a camera, for ``run`` and ``watch``."""

from __future__ import annotations

from streamrec.errors import SourceError
from streamrec.events.detector import EventSettings
from streamrec.pipeline.listening import Listener
from streamrec.runtime.recognizer import Recognizer
from streamrec.sources.open import open_source, sound_address
from streamrec.types import SOUND, VIDEO, Source

MARK = "#sound"  # behind a camera's name: its sound, in states and messages


def listens(camera: str, model: str) -> str:
    """What is to know of a camera that begins to listen.

    >>> listens("yard", "glass")
    'yard: it listens with glass; no sound is kept'
    """
    return f"{camera}: it listens with {model}; no sound is kept"


def load_sound(model: str, engine: str = "auto", device: str = "auto") -> Recognizer:
    """A model of sound, for one camera alone: a thread of its own steps it."""
    return Recognizer.load(model, engine=engine, device=device, threads=1)


def listener_for(
    recognizer: Recognizer,
    name: str,
    pictures: Source,
    address: str,
    *,
    own: str = "",
    retries: int | None = None,
    events: EventSettings | None = None,
) -> Listener:
    """What recognizes the sound of a camera; nothing is opened yet. Raises ``SourceError``.

    ``name``: of the model; ``address``: of the pictures; ``own``: that of the sound, where it is another one.
    """
    if pictures.sense != VIDEO:
        raise SourceError(
            f"{pictures.name} has no pictures: to listen is for cameras; give it to the model of sound"
        )
    sound = open_source(own or sound_address(address), retries=retries, sense=SOUND)
    if sound.live and not pictures.live:
        raise SourceError(
            f"{pictures.name} is a file, and {sound.name} is live: they have no clock in common; listen to a camera"
        )
    return Listener(sound, recognizer, name=name, events=events)
