"""Shell completion: names of models, of their labels, of cameras; nothing that takes long.

Each function takes the text that was typed and returns its completions. A file that cannot be read gives none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from streamrec.core.reading import path_of
from streamrec.errors import StreamrecError
from streamrec.runtime.checkpoint import read_checkpoint, shipped_models
from streamrec.settings.toml import read_toml


def models(incomplete: str) -> list[str]:
    """Shipped models, and model files of the folder in the text.

    >>> models("fi")
    ['fight']
    """
    folder, slash, _ = incomplete.rpartition("/")
    files: list[str] = []
    with contextlib.suppress(StreamrecError, OSError):  # no such user, no such folder
        place = path_of(f"{folder}/" if slash else ".")
        files = sorted(folder + slash + path.name for path in place.glob("*.safetensors"))
    return _matching(incomplete, [*shipped_models(), *files])


def weights(incomplete: str) -> list[str]:
    """What training may start from."""
    return [*_matching(incomplete, ["imagenet"]), *models(incomplete)]


def labels(incomplete: str) -> list[str]:
    """Labels of shipped models; of several with commas between, the last is completed.

    >>> labels("wave,sq")
    ['wave,squat', 'wave,squats']
    """
    before, comma, last = incomplete.rpartition(",")
    known = {label: None for name in shipped_models() for label in read_checkpoint(name).config.labels}
    return [before + comma + label for label in _matching(last, known)]


def cameras(incomplete: str) -> list[str]:
    """Names of the cameras in ``cameras.toml`` of this folder."""
    with contextlib.suppress(StreamrecError, TypeError, AttributeError):  # no file, or another kind of file
        tables = read_toml(Path("cameras.toml")).get("camera", [])
        return _matching(incomplete, [str(table.get("name", "")) for table in tables])
    return []


def worlds(incomplete: str) -> list[str]:
    """Kinds of the synthetic world, and of drawn keypoints."""
    from streamrec.sources.synthetic import LABELS
    from streamrec.train.joints import KINDS

    return _matching(incomplete, (*LABELS, *KINDS))


def _matching(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name and name.startswith(incomplete)]
