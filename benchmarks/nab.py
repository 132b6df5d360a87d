"""The anomaly detector on the Numenta Anomaly Benchmark: each series is met as a stream, nothing is learned ahead.

    python benchmarks/nab.py shared/data/senses/anomaly --seeds 3

All series run side by side, each with weights of its own; a test shows that one alone gives the same.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from streamrec.evaluation.nab import PROFILES, Series, nab_score, read_corpus
from streamrec.nn.forecaster import Forecaster
from streamrec.nn.surprise import SeriesDetector

# The folders on which the detector was chosen; the others were only scored.
CHOSEN_ON = ("artificialNoAnomaly", "artificialWithAnomaly", "realAWSCloudwatch", "realTraffic")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", help="the folder of the benchmark, with data/ and labels/")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    series = read_corpus(given.corpus)
    chosen = [one.name.split("/")[0] in CHOSEN_ON for one in series]
    for seed in range(given.seeds):
        began = time.process_time()
        scores = scores_of(series, seed)
        print(f"seed {seed}, {time.process_time() - began:.0f} CPU seconds")
        for part, wanted in (("all", None), ("chosen on", True), ("only scored", False)):
            places = [n for n in range(len(series)) if wanted is None or chosen[n] == wanted]
            for profile in PROFILES:
                one = nab_score([series[n] for n in places], [scores[n] for n in places], profile)
                print(
                    f"  {part:12} {profile.name:14} {one.score:5.1f}  ({one.found} of {one.windows} windows, "
                    f"{one.false} false, at {10**-one.threshold:.3g} false events a day)"
                )


if __name__ == "__main__":
    main()
