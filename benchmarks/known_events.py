"""Write the true events that a shipped model brings along: `python benchmarks/known_events.py fight DATA/fights`

Clips with an index.csv of clip and label, or segments (`Label:start-end; ...`), that the model learned from and that
may teach weights that ship. Each second group is taken: the others can judge. `--drawn KIND` adds scenes of a drawn
world, `--joints KIND` drawn keypoints (of a model that reads keypoints alone; without clips), which stand for other
places and other people. Of each event the scores are kept, and what the model's last layer reads, in the main
directions of all of them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from index_csv import halves, rows_of

from streamrec import Recognizer
from streamrec.evaluation.carry import actions_of_model
from streamrec.pipeline.loop import results
from streamrec.sources.files import FileSource
from streamrec.sources.synthetic import LABELS, clips
from streamrec.sources.wrappers import Limited
from streamrec.teach.corrections.known_events import FOLDER, KnownEvents, written
from streamrec.teach.corrections.moments import Moment, MomentBuffer
from streamrec.teach.corrections.watching import CorrectedRecognizer, Scores, fingerprint
from streamrec.types import Frame, Source

KNOWN_SEED = 77  # of the drawn scenes
LONGEST = 6.0  # seconds of an event


def main() -> None:
    """Play the clips and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("clips", type=Path, nargs="?", help="a folder with an index.csv")
    parser.add_argument("--most", type=int, default=40, help="events")
    parser.add_argument("--all", action="store_true", help="each group, not each second one")
    parser.add_argument("--drawn", action="append", default=[], help="a world, of `LABELS`; may be repeated")
    parser.add_argument("--joints", help="kind of drawn keypoints")
    parser.add_argument("--each", type=int, default=6, help="events of each label of drawn keypoints")
    parser.add_argument("--scenes", type=int, default=20, help="of each drawn world")
    options = parser.parse_args()
    recognizer = Recognizer.load(options.model, threads=1)
    own = fingerprint(recognizer)[recognizer.name]
    found: list[tuple[str, Moment]] = []
    moments = [
        *(moments_of(options, recognizer) if options.clips else ()),
        *drawn_moments(options, recognizer),
        *(joint_moments(options, recognizer) if options.joints else ()),
    ]
    for label, moment in moments:
        found.append((label, replace(moment, print=own)))
    print({label: sum(name == label for name, _ in found) for label in recognizer.labels})
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{recognizer.name}.safetensors"
    events = KnownEvents(*(tuple(each) for each in zip(*found, strict=True)))
    path.write_bytes(written(events, recognizer.labels))
    print(f"{path}: {len(events)} events, {path.stat().st_size / 1e3:.0f} kB")


def moments_of(options: argparse.Namespace, recognizer: Recognizer) -> Iterator[tuple[str, Moment]]:
    """The events of the clips, as the model saw them."""
    rows = rows_of(options.clips)
    actions = actions_of_model(recognizer.config)
    taken = rows if options.all else halves(rows)[0]
    events = [(row["clip"], *event) for row in taken for event in events_of(row, actions)]
    events = events[:: max(1, len(events) // options.most)][: options.most]
    for clip, label, begins, ends in events:
        moment = seen(recognizer, FileSource(options.clips / clip), begins, ends)
        if moment is not None:
            yield label, moment


def drawn_moments(options: argparse.Namespace, recognizer: Recognizer) -> Iterator[tuple[str, Moment]]:
    """Scenes of drawn worlds, each as long as it takes."""
    transform = recognizer.config.transform
    for kind in options.drawn:
        actions = tuple(label for label in LABELS[kind] if label in actions_of_model(recognizer.config))
        made = clips(
            kind,
            options.scenes,
            KNOWN_SEED,
            actions=actions,
            fps=(recognizer.fps, recognizer.fps),
            width=transform.width,
            height=transform.height,
        )
        for world in made:
            begins, ends, label = next(span for span in world.schedule() if span[2] in actions)
            if (moment := seen(recognizer, world, begins, ends)) is not None:
                yield label, moment


def joint_moments(options: argparse.Namespace, recognizer: Recognizer) -> Iterator[tuple[str, Moment]]:
    """Actions of drawn keypoints, as many of each label."""
    from drawn_joints import drawn_scenes

    missing = dict.fromkeys(actions_of_model(recognizer.config), options.each)
    for scene in drawn_scenes(options.model, options.joints, KNOWN_SEED, 40 * options.each):
        buffer = MomentBuffer()
        for time, scores, features in zip(scene.times, scene.scores, scene.features, strict=True):
            buffer.add(float(time), 0, scores, features[None], wall=float(time))
        for label, begins, ends in scene.spans:
            if missing.get(label, 0) and ends - begins >= 0.4:
                moment = buffer.cut(begins, min(ends, begins + LONGEST))
                if moment is not None:
                    missing[label] -= 1
                    yield label, moment
        if not any(missing.values()):
            return


def seen(recognizer: Recognizer, source: Source, begins: float, ends: float) -> Moment | None:
    """A part of a source, as the model saw it."""
    buffer, name = MomentBuffer(), recognizer.name
    ends = min(ends, begins + LONGEST)

    def keep(frame: Frame, scores: Scores, features: Scores) -> None:
        buffer.add(frame.timestamp, frame.segment, scores[name], features.get(name), wall=frame.timestamp)

    for _ in results(Limited(source, ends + 2.0), CorrectedRecognizer(recognizer, dict, keep)):
        pass
    moment = buffer.cut(begins, ends)
    return moment if moment is not None and len(moment.features) else None


def events_of(row: dict[str, str], actions: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Label, start and end in seconds of each true action of a clip."""
    if row.get("label") in actions:
        yield row["label"], 0.0, 1e6
    for word, begins, ends in re.findall(r"(\w+)[^:;]*:([\d.]+)-([\d.]+)", row.get("segments") or ""):
        label = next((one for one in actions if word.lower().startswith(one[:4])), None)
        if label is not None:
            yield label, float(begins), float(ends)


if __name__ == "__main__":
    main()
