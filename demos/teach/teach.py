"""Teaches an action while the camera runs: three times it says when, then it tells you each time that you do it."""

import argparse
import sys
from collections.abc import Iterator

from streamrec import Result, StreamrecError, Teacher, open_source

GET_READY, DO_IT = 3.0, 2.0  # seconds


def lesson(results: Iterator[Result], teacher: Teacher, label: str) -> None:
    """Three examples, each when it is asked for; what is in between is nothing."""
    began, printed = 0.0, ""
    for result in results:
        passed = result.frame.timestamp - began
        if passed >= GET_READY + DO_IT:
            teacher.example(label, seconds=DO_IT)
            began, passed = result.frame.timestamp, 0.0
        if len(teacher.examples) == 3:
            break
        asked = f"{label}: now!" if passed >= GET_READY else f"{label}: get ready"
        if asked != printed:
            print(asked, flush=True)
            printed = asked
    teacher.nothing(seconds=3 * (GET_READY + DO_IT))  # but for the examples
    report = teacher.fit()
    print(f"learned in {report.seconds:.1f} s", *report.advice, sep="\n  ", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="0", help="a webcam's number, an address, a file")
    parser.add_argument("--label", default="wings", help="what you teach")
    parser.add_argument("--model", default="webcam", help="the shipped model whose labels stay beside yours")
    parser.add_argument("--out", help="a .safetensors file for what was learned")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop at this second")
    options = parser.parse_args()
    with Teacher(options.model, name="mine") as teacher:
        results = teacher.results(open_source(options.source))
        lesson(results, teacher, options.label)
        for result in results:  # the same stream goes on, and knows it now
            for event in result.events:
                print(
                    f"{event.timestamp:6.1f} s  {event.model}: {event.label} {type(event).__name__}",
                    flush=True,
                )
            if result.frame.timestamp >= options.seconds:
                break
        if options.out:
            teacher.save(options.out)


if __name__ == "__main__":
    try:
        main()
    except (StreamrecError, KeyboardInterrupt) as error:
        sys.exit(f"teach: {str(error) or 'stopped'}")
