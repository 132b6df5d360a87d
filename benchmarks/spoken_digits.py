"""Recordings of spoken digits as a data set: a folder of a label each, and their index with the speaker as group.

    python benchmarks/spoken_digits.py digits.zip digits/

The archive holds ``DIGIT_SPEAKER_N.wav``, as the Free Spoken Digit Dataset has them.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from zipfile import ZipFile

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def unpack(archive: Path, folder: Path) -> int:
    """Write the recordings and their index.csv; returns how many there are."""
    rows = []
    with ZipFile(archive) as packed:
        for name in sorted(packed.namelist()):
            digit, speaker, number = Path(name).stem.split("_")
            label = NAMES[int(digit)]
            path = folder / label / f"{speaker}_{int(number):02}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.read(name))
            rows.append((path.relative_to(folder).as_posix(), label, speaker))
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("clip", "label", "group"), *rows])
    return len(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    print(f"{unpack(arguments.archive, arguments.folder)} recordings in {arguments.folder}")
