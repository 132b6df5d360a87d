"""Many cameras, one model: what begins and ends before each, and what became of their frames."""

import argparse
import sys
import time
from dataclasses import replace

from streamrec import ActionStarted, Recognizer, StreamrecError, Watcher, World, WorldSettings

SIGHT = WorldSettings(width=320, height=240, fps=25.0, live=True)


def watch(sources: list[object], recognizer: Recognizer, seconds: float) -> None:
    """All sources for so long, or until all of them have ended; half way one more camera joins."""

    def print_health(camera, health) -> None:
        print(f"{camera.name:10} is {health.state}{health.reason and ': '}{health.reason}", flush=True)

    begun, joins = time.monotonic(), [World(replace(SIGHT, seed=99))]
    with Watcher(recognizer, on_health=print_health) as watcher:
        cameras = [watcher.add(f"camera {n}", source) for n, source in enumerate(sources, 1)]
        while any(camera.health.state not in ("ended", "failed") for camera in cameras):
            passed = time.monotonic() - begun
            if passed >= seconds:
                watcher.stop()
            elif passed >= seconds / 2 and joins:
                cameras.append(watcher.add("latecomer", joins.pop()))
            for result in watcher.step(timeout=0.2):
                for event in result.events:
                    what = "started" if isinstance(event, ActionStarted) else "ended"
                    print(f"{event.source:10} {event.timestamp:6.1f} s  {event.label} {what}", flush=True)
    for camera in cameras:
        counts = camera.counts
        dropped = "".join(f", {number} {cause}" for cause, number in counts.dropped.items())
        print(f"{camera.name:10} {counts.read} read: {counts.recognized} recognized{dropped}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "sources", nargs="*", help="addresses, webcam numbers, files; none: four drawn worlds"
    )
    parser.add_argument("--model", default="synthetic", help="a shipped model's name, or a file")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to watch")
    options = parser.parse_args()
    worlds = [World(replace(SIGHT, seed=seed)) for seed in range(4)]
    try:
        watch(options.sources or worlds, Recognizer.load(options.model), options.seconds)
    except StreamrecError as error:
        sys.exit(f"many_cameras: {error}")
    except KeyboardInterrupt:
        pass
