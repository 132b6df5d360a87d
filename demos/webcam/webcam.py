"""What your webcam sees and what is happening in it, in a window; without a camera, the synthetic world."""

import argparse
import contextlib
import sys
from dataclasses import replace

from streamrec import Recognizer, Source, StreamrecError, Window, World, open_source, results


def watch(source: Source, model: str, window: Window | None, seconds: float) -> None:
    """Show the overlay in the window, or without one, print each new label."""
    label = ""
    for result in results(source, Recognizer.load(model)):
        timestamp, prediction = result.frame.timestamp, result.prediction
        if window is not None:
            window.write(result)
        elif prediction.label != label:
            label = prediction.label
            print(f"{timestamp:6.1f} s  {label} {prediction.confidence:.0%}", flush=True)
        if timestamp >= seconds or (window is not None and window.closed):
            return


def open_window() -> Window | None:
    try:
        return Window("streamrec: q ends it")
    except StreamrecError:
        print("No window opens here (`streamrec doctor` says why), so the labels are printed instead.")
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="0", help="a webcam's number, an address, a file")
    parser.add_argument("--model", help="a name or a file; by default webcam, and synthetic for that world")
    parser.add_argument("--no-window", action="store_true", help="print the labels instead")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop at this second")
    options = parser.parse_args()
    source, window = open_source(options.source), None if options.no_window else open_window()
    with window or contextlib.nullcontext():
        if not isinstance(source, World):
            try:
                watch(source, options.model or "webcam", window, options.seconds)
                return
            except StreamrecError as error:
                print(f"{error}\nHere is the synthetic world instead.", flush=True)
                source = World()
        source = World(replace(source.settings, live=True))  # in real time, as a camera
        watch(source, options.model or "synthetic", window, options.seconds)


if __name__ == "__main__":
    try:
        main()
    except StreamrecError as error:
        sys.exit(f"webcam: {error}")
    except KeyboardInterrupt:
        pass
