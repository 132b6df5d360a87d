"""What rules cost: a frame with rules of each kind and without, and a day of history on which a rule is tried.

python benchmarks/rules.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import time as time_of_day

import numpy as np

from streamrec.core.zones import Line, Zone
from streamrec.events.places import Places, PlaceSettings
from streamrec.events.rules import DAY, Happening, Moment, Pattern, Rule, RulesState, Watched, replay, step
from streamrec.types import Frame, Person

FALL = Pattern(labels=("fall",))
RULES = (
    Rule(name="lasts", when=FALL, lasts=30.0),
    Rule(name="absent", when=Pattern(), absent=7200.0),
    Rule(name="daily", when=Pattern(), since=time_of_day(8), by=time_of_day(10)),
    Rule(name="follows", when=FALL, then=Pattern(cameras=("camera 1",)), within=60.0),
    Rule(name="often", when=FALL, count=3, within=3600.0),
)
CAMERAS = tuple(f"camera {n}" for n in range(4))
ROUNDS = 5


def best(work: Callable[[], object]) -> float:
    """Seconds of CPU time, the least of some rounds."""
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def frames(rules: tuple[Rule, ...], count: int = 4000) -> None:
    """Steps of a stream: ten frames a second of each camera."""
    state = RulesState()
    for n in range(count):
        moment = Moment(camera=CAMERAS[n % len(CAMERAS)], time=1e9 + n / 40)
        _, state = step(rules, CAMERAS, moment, state)


def day(events: int = 500) -> tuple[list[Happening], list[Watched]]:
    """A day of falls, and of cameras that are away for a minute each hour."""
    rng = np.random.default_rng(0)
    starts = np.sort(rng.uniform(0, DAY, events))
    falls = [
        Happening(id=str(n), camera=CAMERAS[n % 4], label="fall", started=at, ended=at + rng.uniform(1, 60))
        for n, at in enumerate(starts.tolist())
    ]
    hours = [(camera, 3600.0 * hour) for camera in CAMERAS for hour in range(24)]
    return falls, [Watched(camera=camera, began=at, ended=at + 3540.0) for camera, at in hours]


def placed(people: bool, count: int = 500) -> float:
    """Seconds a frame of naming zones: two zones that report people and motion, and a line."""
    corners = [((x, 0.2), (x + 0.4, 0.2), (x + 0.4, 0.9)) for x in (0.0, 0.5)]
    both = ("people", "motion")
    zones = tuple(Zone(f"zone {n}", one, mask=False, report=both) for n, one in enumerate(corners))
    places = Places(PlaceSettings(zones=zones, lines=(Line("door", ((0.5, 0.9), (0.5, 0.1))),)))
    image = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    found = tuple(
        Person(n, (0.2, 0.1 * n, 0.8, 0.1 * n + 0.1), np.full((17, 3), 0.5, np.float32), 0.9)
        for n in range(3)
    )

    def run() -> None:
        for n in range(count):
            places.step(Frame(image, n, n / 10), found if people else None, ())

    return best(run) / count


def main() -> None:
    """Print the table."""
    for rules in ((), RULES):
        print(f"a frame with {len(rules)} rules: {1e6 * best(lambda: frames(rules)) / 4000:.1f} us")  # noqa: B023
    falls, watched = day()
    for rule in RULES:
        seconds = best(lambda: replay([rule], CAMERAS, falls, watched))  # noqa: B023
        fired = len(replay([rule], CAMERAS, falls, watched)[0])
        print(
            f"a day of four cameras and 500 events, rule {rule.name!r}: {1e3 * seconds:.0f} ms, {fired} reports"
        )
    print(f"zones and a line, three people, 1280x720: {1e6 * placed(True):.0f} us a frame")
    print(f"the same without people: {1e6 * placed(False):.0f} us a frame")


if __name__ == "__main__":
    main()
