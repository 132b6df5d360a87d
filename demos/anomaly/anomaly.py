"""Readings of any kind in, what does not fit out: it learns from the stream alone, and has learned nothing before."""

import argparse
import math
import random
import sys
from collections.abc import Iterator

from streamrec import StreamrecError, StreamRecognizer, open_models, open_source


def drawn_boiler(days: float = 5.0) -> Iterator[tuple[float, float]]:
    """The temperature of a boiler, a reading each quarter of an hour; on the fourth day its pump stops for two hours.

    Your own sensor stands here.
    """
    noise = random.Random(0)
    for n in range(round(days * 96)):
        now = 900.0 * n
        day = 60.0 + 8.0 * math.sin(2 * math.pi * now / 86_400)
        stopped = 3.4 <= now / 86_400 < 3.5
        yield now, 31.0 if stopped else day + noise.gauss(0.0, 0.5)


def rows_of(table: str) -> Iterator[tuple[float, list[float]]]:
    """Those of a CSV: a column seconds or timestamp, and columns of numbers."""
    for frame in open_source(table):
        yield frame.timestamp, frame.data.tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", nargs="?", help="a CSV of readings; without one a boiler is drawn")
    parser.add_argument("--model", default="anomaly:1/week", help="with the false events that are allowed")
    given = parser.parse_args()
    try:
        play(given.table, StreamRecognizer(open_models(given.model)))
    except StreamrecError as error:
        sys.exit(str(error))


def play(table: str | None, stream: StreamRecognizer) -> None:
    for now, reading in drawn_boiler() if table is None else rows_of(table):
        result = stream.recognize(reading, timestamp=now)
        for event in result.events:
            against = getattr(event, "forecast", None)
            found = "" if against is None else f": {against.reading:.1f}, forecast {against.expected:.1f}"
            print(f"day {now / 86_400:.2f}  {type(event).__name__} {event.label}{found}")


if __name__ == "__main__":
    main()
