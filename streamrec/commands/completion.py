"""What a shell may complete: names of models, of their labels, of cameras; nothing that takes long.

Each function takes what was typed so far and returns what it may become. A file that cannot be read completes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from streamrec.errors import StreamrecError
from streamrec.runtime.checkpoint import shipped_models
from streamrec.settings.toml import read_toml


def models(incomplete: str) -> list[str]:
    """Shipped models, and model files of the folder that is being typed.

    >>> models("fi")
    ['fight']
    """
    folder, slash, _ = incomplete.rpartition("/")
    place = Path(f"{folder}/" if slash else ".").expanduser()
    files = sorted(folder + slash + path.name for path in place.glob("*.safetensors"))
    return _begun(incomplete, [*shipped_models(), *files])


def weights(incomplete: str) -> list[str]:
    """What a model may start from."""
    return [*_begun(incomplete, ["imagenet"]), *models(incomplete)]


def labels(incomplete: str) -> list[str]:
    """Labels of the models that ship; of several with commas between, the last is completed.

    >>> labels("wave,sq")
    ['wave,squat', 'wave,squats']
    """
    from streamrec.runtime.checkpoint import read_checkpoint

    before, comma, last = incomplete.rpartition(",")
    known = {label: None for name in shipped_models() for label in read_checkpoint(name).config.labels}
    return [before + comma + label for label in _begun(last, known)]


def cameras(incomplete: str) -> list[str]:
    """Names of the cameras in ``cameras.toml`` of this folder."""
    with contextlib.suppress(StreamrecError, TypeError, AttributeError):  # no file, or not such a one
        tables = read_toml(Path("cameras.toml")).get("camera", [])
        return _begun(incomplete, [str(table.get("name", "")) for table in tables])
    return []


def worlds(incomplete: str) -> list[str]:
    """Kinds of the synthetic world."""
    from streamrec.sources.synthetic import LABELS

    return _begun(incomplete, LABELS)


def _begun(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name and name.startswith(incomplete)]
