"""A log of looks: how often a data set was used to judge models, one JSON line a model and set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from streamrec.core.files import open_private
from streamrec.core.messages import why
from streamrec.core.reading import read_json, read_text
from streamrec.core.text import printable
from streamrec.errors import DataError
from streamrec.evaluation.carry import CarryRow, CarrySettings
from streamrec.nn.config import ModelConfig


def look_of(
    row: CarryRow, config: ModelConfig, model: Path, settings: CarrySettings, *, now: datetime, note: str
) -> dict[str, Any]:
    """A line of the log."""
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "date": now.isoformat(timespec="seconds"),
        "model": row.model,
        "sha256": digest,
        "set": row.data,
        "split": settings.split,
        "clips": settings.most,
        "thresholds": asdict(config.events),
        "note": note,
        "result": row.to_dict(),
    }


def read_looks(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, none where it is not there; raises ``DataError`` for a line that is not one of its own."""
    if not path.exists():
        return []
    looks = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            look = read_json(line)
            set(look["result"]["judged"]) | {look["set"], look["split"]}
            looks.append(look)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{printable(str(path))}, line {number}: it is no line of such a log; mend it, or name another file"
            ) from error
    return looks


def add_looks(path: Path, looks: Sequence[Mapping[str, Any]]) -> None:
    """Append lines; raises ``DataError`` where the file cannot be written."""
    try:
        with open_private(path, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(look) + "\n" for look in looks))
    except OSError as error:
        raise DataError(f"{printable(str(path))} cannot be written: {why(error)}") from error


def count_looks(looks: Sequence[Mapping[str, Any]], row: CarryRow, split: str) -> int:
    """How often such a model was judged on this set: a look at other groups, or at other actions, is none.

    Each line counts, whatever model it is of: a recipe is chosen by looking at several.
    """
    return sum(
        look["set"] == row.data
        and (split == look["split"] or "all" in (split, look["split"]))
        and bool(set(look["result"]["judged"]) & set(row.judged))
        for look in looks
    )
