"""What begins and ends before an RTSP camera: a JSON line an event, and a call to functions of your own."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict

from streamrec import ActionStarted, Event, Recognizer, StreamrecError, results

Subscriber = Callable[[Event], None]


def print_json(event: Event) -> None:
    what = "started" if isinstance(event, ActionStarted) else "ended"
    plain = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(event).items()}
    print(json.dumps({"event": what, **plain}), flush=True)


class Tally:
    """Counts what happened. Put your own in its place: a message, a siren, a row in a database."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        self.counts[event.label] += isinstance(event, ActionStarted)

    def __str__(self) -> str:
        return ", ".join(f"{label} {count}" for label, count in self.counts.most_common()) or "nothing"


def watch(address: str, recognizer: Recognizer, subscribers: Iterable[Subscriber], seconds: float) -> None:
    """Publish each event to all subscribers, until so much of the stream has passed."""
    for result in results(address, recognizer):
        for event in result.events:
            for publish in subscribers:
                publish(event)
        if result.frame.timestamp >= seconds:
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="rtsp://user:password@host/path, or any source that streamrec knows")
    parser.add_argument("--model", default="fight", help="a shipped model's name, or a file")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="stop after so much of the stream"
    )
    options = parser.parse_args()
    tally = Tally()
    try:
        watch(options.address, Recognizer.load(options.model), (tally, print_json), options.seconds)
    except StreamrecError as error:
        sys.exit(f"rtsp: {error}")
    except KeyboardInterrupt:  # the usual way to end it
        pass
    print(f"seen: {tally}", file=sys.stderr)
