"""Does a calibrated rate of false alarms hold on new hours of footage? `python benchmarks/alarms.py FOLDER`

Hours of the synthetic world in which figures do nothing are drawn, from seeds that no training uses. Some of them
choose the thresholds, as `streamrec calibrate` does; on the others false alarms are counted, hour by hour, with the
model's own thresholds and with the chosen ones. Missed actions are counted on minutes in which the figures act.

Frames are drawn at about the model's own size, which makes hours affordable. The predictions for each hour are
stored in FOLDER: the same command goes on where it was, and then only counts.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from streamrec import EventSettings, Recognizer, World, WorldSettings
from streamrec.evaluation.alarm_calibration import (
    ScoredRecording,
    alarm_times,
    calibrate,
    parse_rate,
    score_recording,
    text_of,
)
from streamrec.evaluation.intervals import poisson_interval, wilson_interval
from streamrec.evaluation.metrics import Segment
from streamrec.evaluation.reports import Playback
from streamrec.evaluation.text_tables import percent
from streamrec.sources.synthetic import LABELS, UNSEEN

CHOOSING, FRESH, ACTING = UNSEEN + 60_000, UNSEEN + 72_000, UNSEEN + 80_000  # first seeds


def main() -> None:
    """Draw and process missing hours, choose thresholds, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the predictions; some may be there already")
    parser.add_argument("--model", default="synthetic", help="a model that knows the labels of the world")
    parser.add_argument("--world", default="figures", choices=tuple(LABELS))
    parser.add_argument("--rate", default="1/hour", help="as for streamrec calibrate")
    parser.add_argument("--choosing", type=int, default=24, help="hours that choose the thresholds")
    parser.add_argument("--fresh", type=int, default=10, help="hours that judge them")
    parser.add_argument("--acting", type=int, default=30, help="minutes in which figures act")
    parser.add_argument("--fps", type=float, default=10.0, help="of the camera")
    parser.add_argument(
        "--again", type=int, default=0, help="so many times, other hours of all of these choose, by chance"
    )
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    if min(options.choosing, options.fresh, options.acting) < 1:
        parser.error("give at least one hour to choose, one fresh hour and one minute of acting")
    options.folder.mkdir(parents=True, exist_ok=True)
    recognizer = Recognizer.load(options.model, threads=1)
    quiet = tuple(x for x in LABELS[options.world] if x in recognizer.config.events.background)
    choosing = [
        predictions_of(options, recognizer, CHOOSING + n, seconds=3600.0, actions=quiet)
        for n in range(options.choosing)
    ]
    acting = [acted(options, recognizer, ACTING + n) for n in range(options.acting)]
    fresh = [
        predictions_of(options, recognizer, FRESH + n, seconds=3600.0, actions=quiet)
        for n in range(options.fresh)
    ]
    labels, own = recognizer.labels, recognizer.config.events
    contract = calibrate(choosing, labels, own, per_hour=parse_rate(options.rate), actions=acting)
    print(text_of(contract) + "\n")
    found = {
        "own": outcome(fresh, acting, labels, own, sum(one.missed_before for one in contract.labels)),
        "chosen": outcome(
            fresh, acting, labels, contract.settings, sum(one.missed for one in contract.labels)
        ),
    }
    for name, one in found.items():
        print(f"{name} thresholds: {sentence_of(one)}")
    everything, rng = [*choosing, *fresh], np.random.default_rng(0)
    for _ in range(options.again):
        order = rng.permutation(len(everything))
        chosen, others = (
            [everything[n] for n in part] for part in np.split(order, [options.choosing])
        )  # the others judge
        settings = calibrate(chosen, labels, own, per_hour=parse_rate(options.rate)).settings
        counts = [sum(map(len, alarm_times([hour], labels, settings).values())) for hour in others]
        print(
            f"hours {sorted(order[: options.choosing].tolist())} choose: "
            f"{sum(counts) / len(counts):.2f} an hour on the others"
        )
    if options.json is not None:
        numbers = {"contract": contract.to_dict(), **found}
        options.json.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


def outcome(
    fresh: list[ScoredRecording],
    acting: list[Playback],
    labels: tuple[str, ...],
    settings: EventSettings,
    missed: int,
) -> dict[str, Any]:
    """False alarms on each fresh hour, by label, and missed actions."""
    hours = [
        {label: len(at) for label, at in alarm_times([hour], labels, settings).items()} for hour in fresh
    ]
    events = alarm_times(
        [
            ScoredRecording(one.timestamps, one.probabilities, np.zeros(len(one.timestamps), np.int64))
            for one in acting
        ],
        labels,
        settings,
    )
    actions = sum(len(one.actions) for one in acting)
    return {
        "hours": [sum(hour.values()) for hour in hours],
        "by_label": {label: n for label in labels if (n := sum(hour.get(label, 0) for hour in hours))},
        "actions": actions,
        "missed": missed,
        "told_beside": sum(map(len, events.values())) - (actions - missed),
    }


def sentence_of(found: dict[str, Any]) -> str:
    """The numbers as a sentence."""
    hours = found["hours"]
    low, high = (bound / len(hours) for bound in poisson_interval(sum(hours)))
    missed, actions = found["missed"], found["actions"]
    by_label = ", ".join(f"{n} {label}" for label, n in found["by_label"].items()) or "none"
    return (
        f"false alarms by hour {' '.join(map(str, hours))}; {sum(hours)} in {len(hours)} hours ({by_label}): "
        f"{sum(hours) / len(hours):.2f} an hour (95 %: {low:.2f} to {high:.2f}). Missed {missed} of {actions} actions: "
        f"{percent(missed / actions, wilson_interval(missed, actions))} %; "
        f"{found['told_beside']} events beside them, or a second time"
    )


def world_of(
    options: argparse.Namespace,
    recognizer: Recognizer,
    seed: int,
    *,
    seconds: float,
    actions: tuple[str, ...],
) -> World:
    """A world of scenes of a minute, drawn at the model's own size."""
    transform = recognizer.config.transform
    return World(
        WorldSettings(
            kind=options.world,
            seed=seed,
            width=max(transform.width, 80),
            height=max(transform.height, 60),
            fps=options.fps,
            seconds=seconds,
            scene_seconds=60.0,
            actions=actions,
        )
    )


def predictions_of(
    options: argparse.Namespace,
    recognizer: Recognizer,
    seed: int,
    *,
    seconds: float,
    actions: tuple[str, ...],
) -> ScoredRecording:
    """The predictions for a world, from the folder where they are there already."""
    kept = options.folder / f"{recognizer.name}-{options.world}-{options.fps:g}-{seed}.npz"
    if not kept.exists():
        began, used = time.monotonic(), time.process_time()
        world = world_of(options, recognizer, seed, seconds=seconds, actions=actions)
        found = score_recording(recognizer, world)
        unfinished = kept.with_suffix(".part.npz")
        np.savez(
            unfinished,
            timestamps=found.timestamps,
            probabilities=found.probabilities,
            segments=found.segments,
        )
        unfinished.replace(kept)
        print(
            f"{kept.name}: {len(found.timestamps)} frames in {time.monotonic() - began:.0f} s, "
            f"{1e3 * (time.process_time() - used) / len(found.timestamps):.2f} ms of the processor each",
            flush=True,
        )
    with np.load(kept) as arrays:
        return ScoredRecording(arrays["timestamps"], arrays["probabilities"], arrays["segments"])


def acted(options: argparse.Namespace, recognizer: Recognizer, seed: int) -> Playback:
    """A minute in which figures act, with the truth."""
    labels = LABELS[options.world]
    world = world_of(options, recognizer, seed, seconds=60.0, actions=labels)
    found = predictions_of(options, recognizer, seed, seconds=60.0, actions=labels)
    return Playback(
        name=str(seed),
        group=str(seed),
        label=None,
        truth=(),
        timestamps=found.timestamps,
        probabilities=found.probabilities,
        actions=tuple(
            Segment(start, end, label)
            for start, end, label in world.schedule()
            if label not in recognizer.config.events.background
        ),
    )


if __name__ == "__main__":
    main()
