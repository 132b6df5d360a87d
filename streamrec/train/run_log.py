"""Files of a training run: config.json, metrics.csv, and the same numbers for TensorBoard."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamrec.core.files import make_private_folder, open_private, replacing, too_full, try_room
from streamrec.core.messages import why
from streamrec.core.redact import redact
from streamrec.core.version import commit, version_of
from streamrec.errors import DataError, MissingExtra, need
from streamrec.train.fit import Progress

EVERY = 10  # steps from one line to the next; each evaluation has a line too


@dataclass(frozen=True, slots=True)
class Line:
    """One line of metrics.csv."""

    step: int
    loss: float
    accuracy: float  # per frame, on training recordings
    learning_rate: float
    held_out: float | None  # accuracy per frame on watched recordings; None: not evaluated at this step
    seconds: float  # of learning, with those before a resume


class RunLog:
    """Writes the lines of a run; a resumed run keeps the lines before it.

    A full disk is reported once, to ``log``: the run goes on without its files. Raises ``DataError`` where the folder
    cannot be written to for another reason. The folder shows training data, so only its owner can read it.
    """

    def __init__(self, folder: Path, *, log: Callable[[str], None] = lambda text: None) -> None:
        self.path = folder / "metrics.csv"
        self._begun = time.monotonic()
        self._before = 0.0  # seconds before a resume
        self._open = False
        self._board: Any = None
        self._log = log
        self._reported = False
        try:
            make_private_folder(folder)
            try_room(self.path, 1)
            need("tensorboard", extra="train")
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder))
        except MissingExtra as error:
            log(f"no events for TensorBoard: {error}")
        except OSError as error:
            if not too_full(error):
                raise DataError(f"the run's folder {folder} cannot be written: {why(error)}") from error
            self._fail(error)

    def write(self, progress: Progress) -> None:
        """Write a line where one is due."""
        regular = progress.step == 1 or progress.step % EVERY == 0 or progress.step == progress.steps
        if not regular and progress.watched is None:
            return
        try:
            if not self._open:
                self._go_on(progress.step)
            line = Line(
                progress.step,
                progress.loss,
                progress.accuracy,
                progress.learning_rate,
                progress.watched,
                self._before + time.monotonic() - self._begun,
            )
            with open_private(self.path, "a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(_texts(line))
            if self._board is not None:
                for name, value in asdict(line).items():
                    if name != "step" and value is not None:
                        self._board.add_scalar(name, value, line.step)
        except OSError as error:
            self._fail(error)

    def write_config(self, **parts: Any) -> None:
        """Write config.json, as ``write_config`` does."""
        try:
            write_config(self.path.parent, **parts)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self._board is not None and too_full(error):  # its thread is dead, and close() would wait for it
            self._board = None
        if not self._reported:
            self._log(f"{self.path.parent} cannot be written: {why(error)}; it goes on learning without")
        self._reported = True

    def close(self) -> None:
        """Finish the event file."""
        if self._board is not None:
            try:
                self._board.close()
            except OSError as error:
                self._fail(error)

    def _go_on(self, step: int) -> None:
        """Keep the lines before a resume, without those of steps that are learned again."""
        kept = [line for line in read_lines(self.path) if line.step < step]
        self._before = kept[-1].seconds if kept else 0.0
        with replacing(self.path, "w", private=True, newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Line.__slots__)
            writer.writerows(map(_texts, kept))
        self._open = True


def read_lines(path: Path) -> list[Line]:
    """The lines of a metrics.csv; none where the file is missing or has other columns."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = []
    with suppress(KeyError, TypeError, ValueError):  # cut off in the middle of a line
        for row in rows:
            held_out = float(row["held_out"]) if row["held_out"] else None
            lines.append(
                Line(
                    int(row["step"]),
                    float(row["loss"]),
                    float(row["accuracy"]),
                    float(row["learning_rate"]),
                    held_out,
                    float(row["seconds"]),
                )
            )
    return lines


def write_config(folder: Path, **parts: Any) -> None:
    """Write config.json: what is given, and the versions of the packages that were used."""
    made_with = {name: version_of(name) for name in ("streamrec", "torch", "torchvision", "timm", "numpy")}
    plain = parts | {
        "command": redact(" ".join(sys.argv)),
        "versions": made_with | {"python": sys.version.split()[0]},
        "commit": commit(),
    }
    text = json.dumps(plain, indent=2, ensure_ascii=False, default=str)
    with replacing(folder / "config.json", "w", private=True, encoding="utf-8") as file:
        file.write(text + "\n")


def _texts(line: Line) -> list[str]:
    return [
        str(line.step),
        f"{line.loss:.5f}",
        f"{line.accuracy:.5f}",
        f"{line.learning_rate:.3e}",
        "" if line.held_out is None else f"{line.held_out:.5f}",
        f"{line.seconds:.1f}",
    ]
