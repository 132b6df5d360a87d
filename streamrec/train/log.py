"""What a run writes while it learns: config.json, metrics.csv, and the same numbers for TensorBoard."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from streamrec.errors import DataError, MissingExtra, need
from streamrec.train.fit import Progress

EVERY = 10  # steps from one line to the next; a measurement of what is watched has a line too


@dataclass(frozen=True, slots=True)
class Line:
    """One line of metrics.csv."""

    step: int
    loss: float
    accuracy: float  # per frame, on what it learns from
    learning_rate: float
    held_out: float | None  # accuracy per frame on what it does not learn from, where it was measured
    seconds: float  # of learning, over all sittings


class RunLog:
    """Writes the lines of a run; a run that goes on goes on with its lines."""

    def __init__(self, folder: Path, *, say: Callable[[str], None] = lambda text: None) -> None:
        self.path = folder / "metrics.csv"
        self._begun = time.monotonic()
        self._before = 0.0  # seconds of earlier sittings
        self._open = False
        self._board: Any = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            need("tensorboard", extra="train")
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder))
        except MissingExtra as error:
            say(f"no events for TensorBoard: {error}")
        except OSError as error:
            raise DataError(f"the run's folder {folder} cannot be written: {error.strerror}") from error

    def write(self, progress: Progress) -> None:
        """Write a line where one is due."""
        if not self._open:
            self._go_on(progress.step)
        regular = progress.step == 1 or progress.step % EVERY == 0 or progress.step == progress.steps
        if not regular and progress.watched is None:
            return
        line = Line(
            progress.step,
            progress.loss,
            progress.accuracy,
            progress.learning_rate,
            progress.watched,
            self._before + time.monotonic() - self._begun,
        )
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(_texts(line))
        if self._board is not None:
            for name, value in asdict(line).items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name, value, line.step)

    def close(self) -> None:
        """Finish the event file."""
        if self._board is not None:
            self._board.close()

    def _go_on(self, step: int) -> None:
        """Keep the lines of earlier sittings, but for those of steps that are learned again."""
        kept = [line for line in read_lines(self.path) if line.step < step]
        self._before = kept[-1].seconds if kept else 0.0
        self._open = True
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Line.__slots__)
            writer.writerows(map(_texts, kept))


def read_lines(path: Path) -> list[Line]:
    """The lines of a metrics.csv; none where there is no such file, or it is another one."""
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
    """Write config.json: what is given, and the versions of what it was made with."""
    made_with = {name: version(name) for name in ("streamrec", "torch", "torchvision", "timm", "numpy")}
    plain = parts | {
        "command": " ".join(sys.argv),
        "versions": made_with | {"python": sys.version.split()[0]},
        "commit": _commit(),
    }
    text = json.dumps(plain, indent=2, ensure_ascii=False, default=str)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def _commit() -> str | None:
    """Of the checkout that the code runs from; ends in -dirty where it was changed since."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()
    return None


def _texts(line: Line) -> list[str]:
    return [
        str(line.step),
        f"{line.loss:.5f}",
        f"{line.accuracy:.5f}",
        f"{line.learning_rate:.3e}",
        "" if line.held_out is None else f"{line.held_out:.5f}",
        f"{line.seconds:.1f}",
    ]
