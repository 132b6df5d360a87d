"""Group-disjoint cross-validation of the training recipe: `python benchmarks/folds.py CLIPS [--weights FILE]`.

Prints, for each fold, how many of the held-out clips are right at their end, the state from zero. With the
defaults it is the protocol behind the numbers of the `fight` model card.
"""

from __future__ import annotations

import argparse

from streamrec import ModelConfig, Transform
from streamrec.train.data import Recording, decode_clips, find_clips, split_by_group
from streamrec.train.fit import TrainSettings, fit, quick_score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", help="a data set, as for streamrec train")
    parser.add_argument("--weights", help="what the encoder starts from, a .safetensors file")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()

    clips = find_clips(wanted.clips)
    labels = tuple(sorted({clip.label for clip in clips}))
    transform = Transform(width=96, height=72)
    decoded = {clip.path: recording for clip, recording in decode_clips(clips, transform, labels)}
    config = ModelConfig(labels=labels, transform=transform, fps=10.0, hidden_size=96, dropout=0.3)
    settings = TrainSettings(steps=wanted.steps, window=20, seed=wanted.seed)
    right = count = 0.0
    for fold in range(wanted.folds):
        learned, measured = (
            [r for clip in part if isinstance(r := decoded[clip.path], Recording)]
            for part in split_by_group(clips, fold=fold, folds=wanted.folds)
        )
        model = fit(learned, config, settings, weights=wanted.weights)
        per_frame, at_end = quick_score(model, measured)
        right, count = right + at_end * len(measured), count + len(measured)
        print(
            f"fold {fold}: {len(learned)} clips learned, {len(measured)} held out, "
            f"{100 * at_end:.1f} % right at the end, {100 * per_frame:.1f} % of the frames",
            flush=True,
        )
    print(f"all {count:.0f} clips: {100 * right / count:.1f} % right at the end")


if __name__ == "__main__":
    main()
