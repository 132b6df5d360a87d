"""What ``streamrec recordings at`` does: finds the segment that holds a moment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from streamrec.commands.event_list import moment_of
from streamrec.core.reading import path_of
from streamrec.core.text import printable
from streamrec.errors import HistoryError
from streamrec.outputs.recording.files import Found, Segment, around
from streamrec.settings.cameras_file import read_settings
from streamrec.settings.recording import RecordingSettings


@dataclass(frozen=True, kw_only=True)
class RecordingAt:
    """One run of ``streamrec recordings at``; the fields are its arguments."""

    time: str
    camera: str
    file: Path
    as_json: bool = False

    def run(self, print_line: Callable[[str], object]) -> None:
        """Print the segment that holds the moment, and those around it; raises ``HistoryError`` where none does."""
        moment = moment_of(self.time, time.time())
        found = around(_folder_of(self.file), self.camera, moment)
        if self.as_json:
            print_line(json.dumps(_to_dict(found), ensure_ascii=False))
        if found.segment is None:
            near = (("before", found.before), ("after", found.after))
            others = "; ".join(f"{which} it: {_line(one)}" for which, one in near if one is not None)
            raise HistoryError(
                printable(
                    f"nothing of {self.camera} was recorded at {_local(moment)}"
                    + (f"; {others}" if others else "; no recording of it is there")
                )
            )
        if not self.as_json:
            print_line(printable(f"{found.segment.path}  at {_clock(found.at)}"))
            for which, one in (("before", found.before), ("after", found.after)):
                if one is not None:
                    print_line(printable(f"  {which}: {_line(one)}"))


def _folder_of(file: Path) -> Path:
    path = path_of(str(file))
    if path.is_dir():
        return path
    if not path.exists():
        raise HistoryError(f"there is no {path}; give the folder of the recordings, or cameras.toml")
    tables = read_settings(path, "recording", RecordingSettings, os.environ)
    if not tables:
        raise HistoryError(f"{path.name} has no [recording]; give the folder of the recordings")
    return Path(tables[0].folder)


def _to_dict(found: Found) -> dict[str, object]:
    def shown(one: Segment | None) -> dict[str, object] | None:
        return None if one is None else {"file": str(one.path), "started": one.started, "bytes": one.size}

    return {
        "recording": shown(found.segment),
        "at": None if found.segment is None else round(found.at, 3),
        "before": shown(found.before),
        "after": shown(found.after),
    }


def _line(one: Segment) -> str:
    return f"{one.path} (from {_local(one.started)})"


def _local(moment: float) -> str:
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S")


def _clock(seconds: float) -> str:
    """
    >>> _clock(62.5)
    '1:02'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
