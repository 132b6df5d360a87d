"""A phone's sensors instead of a camera: rows of numbers in, what the person does out, as it happens."""

import argparse
import math
import sys
from collections.abc import Iterator

from streamrec import Recognizer, StreamrecError, StreamRecognizer, open_source

GRAVITY = 9.8  # m/s²


def drawn_phone(seconds: float = 8.0) -> Iterator[tuple[float, dict[str, float]]]:
    """A phone in a pocket, 50 rows a second: it lies still, then swings with steps. Your own sensor stands here."""
    for n in range(round(50 * seconds)):
        now = n / 50
        stride = 0.0 if now < seconds / 2 else math.sin(2 * math.pi * 1.9 * now)
        upright = 0.0 if now < seconds / 2 else 1.0
        yield (
            now,
            {
                "x_acc": -3.0 + 2.5 * stride,
                "y_acc": GRAVITY * upright + 4.0 * stride,
                "z_acc": -GRAVITY * (1.0 - upright) + 2.0 * stride,
                "x_gyro": 1.2 * stride,
                "y_gyro": 0.6 * stride,
                "z_gyro": 0.8 * stride,
            },
        )


def rows_of(table: str) -> Iterator[tuple[float, dict[str, float]]]:
    """Those of a CSV: a column seconds, and the channels."""
    source = open_source(table)
    for frame in source:
        yield frame.timestamp, dict(zip(source.channels, frame.data.tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", nargs="?", help="a CSV of readings; without one a phone is drawn")
    parser.add_argument("--model", default="motion", help="a model of a signal, by its name or its file")
    given = parser.parse_args()
    try:
        play(given.table, StreamRecognizer(Recognizer.load(given.model)))
    except StreamrecError as error:
        sys.exit(str(error))


def play(table: str | None, stream: StreamRecognizer) -> None:
    for now, row in drawn_phone() if table is None else rows_of(table):
        for event in stream.recognize(row, timestamp=now).events:
            print(f"{now:6.2f} s  {type(event).__name__} {event.label}")
    for event in stream.finish():
        print(f"   end    {type(event).__name__} {event.label}")


if __name__ == "__main__":
    main()
