"""Short calls of ``fit`` and ``fit_soup``: options of the run are plain arguments."""

from __future__ import annotations

from typing import Any

from streamrec.nn.model import ActionModel
from streamrec.train import fit as training
from streamrec.train import soup
from streamrec.train.fit import RunOptions

DATA = ("background", "weights", "watched", "resumes")


def fit(*given: Any, **named: Any) -> ActionModel:
    data, options = _split(named)
    return training.fit(*given, **data, options=options)


def fit_soup(*given: Any, **named: Any) -> ActionModel:
    data, options = _split(named)
    return soup.fit_soup(*given, **data, options=options)


def _split(named: dict[str, Any]) -> tuple[dict[str, Any], RunOptions]:
    options = {name: value for name, value in named.items() if name not in DATA}
    return {name: value for name, value in named.items() if name in DATA}, RunOptions(**options)
