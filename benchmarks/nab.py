"""The anomaly detector on the Numenta Anomaly Benchmark: each series is met as a stream, nothing is learned ahead.

    python benchmarks/nab.py shared/data/senses/anomaly --seeds 3

All series run side by side, each with weights of its own; a test shows that one alone gives the same.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from streamrec.evaluation.intervals import bootstrap_interval
from streamrec.evaluation.nab import (
    PROFILES,
    STANDARD,
    NabScore,
    Series,
    false_rate,
    gains_of,
    nab_score,
    read_corpus,
    score_of,
)
from streamrec.nn.forecaster import Forecaster
from streamrec.nn.surprise import SeriesDetector

# The folders on which the detector was chosen; the others were only scored.
CHOSEN_ON = ("artificialNoAnomaly", "artificialWithAnomaly", "realAWSCloudwatch", "realTraffic")
WEEKLY = 1.0 / 7.0  # false events a day, as the model is where no rate is given


def scores_of(series: list[Series], seed: int) -> list[np.ndarray]:
    """Of each series (R,): false events a day as a negative logarithm where an event begins, else far below."""
    order = sorted(range(len(series)), key=lambda n: -len(series[n].values))
    lengths = np.array([len(series[n].values) for n in order])
    found = [np.full(length, -99.0) for length in lengths]
    detector = SeriesDetector(Forecaster(seed=seed))
    state = detector.initial_state(len(order))
    running = len(order)
    for moment in range(lengths[0]):
        still = int((lengths > moment).sum())
        if still < running:
            state, running = {name: array[:still].copy() for name, array in state.items()}, still
        rows = [series[n] for n in order[:running]]
        values = np.array([[one.values[moment]] for one in rows])
        step = detector.advance(values, np.array([one.seconds[moment] for one in rows]), state)
        for place in np.flatnonzero(step.begins):
            found[place][moment] = -step.rate[place]
    return [found[order.index(n)] for n in range(len(series))]


def print_score(part: str, profile: str, one: NabScore) -> None:
    print(
        f"  {part:12} {profile:14} {one.score:5.1f}  ({one.found} of {one.windows} windows, {one.false} false, "
        f"at {10**-one.threshold:.3g} false events a day)"
    )


def check(series: list[Series]) -> None:
    """Detectors whose scores are published: null 0, random 11.0 (a mean of seeds), and a perfect one."""
    none = [np.zeros(len(one.values)) for one in series]
    perfect = [np.zeros(len(one.values)) for one in series]
    for one, scores in zip(series, perfect, strict=True):
        scores[[first for first, _ in one.windows]] = 1.0
    chance = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        chance.append(nab_score(series, [rng.random(len(one.values)) for one in series], STANDARD).score)
    print(
        f"null {nab_score(series, none, STANDARD).score:.1f}, perfect "
        f"{nab_score(series, perfect, STANDARD).score:.1f}, random {np.mean(chance):.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", help="the folder of the benchmark, with data/ and labels/")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    series = read_corpus(given.corpus)
    chosen = [one.name.split("/")[0] in CHOSEN_ON for one in series]
    check(series)
    for seed in range(given.seeds):
        began = time.process_time()
        scores = scores_of(series, seed)
        print(f"seed {seed}, {time.process_time() - began:.0f} CPU seconds")
        for part, wanted in (("all", None), ("chosen on", True), ("only scored", False)):
            places = [n for n in range(len(series)) if wanted is None or chosen[n] == wanted]
            own, given_scores = [series[n] for n in places], [scores[n] for n in places]
            for profile in PROFILES:
                print_score(part, profile.name, nab_score(own, given_scores, profile))
            as_shipped = nab_score(own, given_scores, STANDARD, threshold=-math.log10(WEEKLY))
            print_score(part, "at 1/week", as_shipped)
            gains = gains_of(own, given_scores, STANDARD, nab_score(own, given_scores, STANDARD).threshold)
            low, high = bootstrap_interval(gains, range(len(gains)), score_of)
            print(f"  {part:12} standard, 95 % by series: {low:.1f} to {high:.1f}")
        for words, rate in (("1/day", 1.0), ("1/week", WEEKLY), ("0.25/week", WEEKLY / 4)):
            found = false_rate(series, scores, -math.log10(rate))
            print(f"  {words} allowed ({rate:.3f} a day): {found:.3f} a day outside of the windows")


if __name__ == "__main__":
    main()
