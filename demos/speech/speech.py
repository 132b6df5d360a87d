"""A telephone keypad without keys: digits are spoken, and a number grows; a pause ends it."""

import argparse
import sys
from collections.abc import Iterator

from streamrec import ActionStarted, Recognizer, StreamrecError, results

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PAUSE = 2.0  # seconds of silence behind a number


def numbers(source: str, model: str) -> Iterator[tuple[float, str]]:
    """(seconds, the digits so far) with each spoken digit; once more with a line break where a pause ends a number."""
    digits, last, now = "", 0.0, 0.0
    for result in results(source, Recognizer.load(model)):
        now = result.frame.timestamp
        for event in result.events:
            if isinstance(event, ActionStarted) and event.label in DIGITS:
                digits, last = digits + str(DIGITS.index(event.label)), event.timestamp
                yield now, digits
        if digits and now - last > PAUSE:
            yield now, digits + "\n"
            digits = ""
    if digits:
        yield now, digits + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="mic:", help="mic:, or a file of sound")
    parser.add_argument("--model", default="digits", help="a model of spoken words, by its name or its file")
    given = parser.parse_args()
    try:
        for now, digits in numbers(given.source, given.model):
            print(f"{now:6.2f} s  {digits}", end="" if digits.endswith("\n") else "\n", flush=True)
    except StreamrecError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
