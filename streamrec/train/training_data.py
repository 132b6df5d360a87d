"""Recordings for one training: decoded clips, background footage and drawn scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np

from streamrec.core.console import LineConsole
from streamrec.core.text import printable
from streamrec.data.clips import NO_LABEL, Clip, renamed
from streamrec.data.decode_cache import ClipCache, Recording, decode, decode_clips
from streamrec.data.phase import phase_targets
from streamrec.nn.config import ModelConfig
from streamrec.nn.ood import FOLDS, KnownPictures
from streamrec.nn.transforms import Transform
from streamrec.sources.synthetic import ACTIONS, World, WorldSettings, clips
from streamrec.train.joints import LABELS as JOINT_LABELS
from streamrec.train.joints import JointSequence, sequences
from streamrec.train.joints.daily import FALL, LYING
from streamrec.train.ood_fit import known_of
from streamrec.train.progress import Bar, progress_bar

SCENE_SECONDS = 20.0  # length of a recording of the synthetic world, with one body, camera and room
SEEDS = 100_000  # worlds that one seed may use; those from UNSEEN on belong to evaluation


@dataclass(frozen=True, slots=True, eq=False)
class TrainData:
    """Decoded recordings to learn from, and to measure on."""

    config: ModelConfig  # with the labels of the data
    learned: list[Recording]
    measured: list[Recording]  # held out
    names: list[str]  # of the measured recordings
    background: list[Recording] = field(default_factory=list)  # in which nothing happens
    grouped: bool = True  # whether groups are known: recordings that share a person or a place

    @property
    def known(self) -> KnownPictures | None:
        """The out-of-distribution score for these recordings; None where it cannot be judged (``unjudged``)."""
        return None if self.unjudged else known_of([*self.learned, *self.background], self.config.fps)

    @property
    def unjudged(self) -> str | None:
        """Why the model gets no out-of-distribution score: fitted to one place it calls every other place unknown."""
        if any(recording.backbone is not None for recording in self.learned):
            return "it learned from keypoints, without pictures"
        if any(recording.is_signal for recording in self.learned):
            return "it learned without pictures"
        groups = len({recording.group for recording in (*self.learned, *self.background)})
        if not self.grouped:
            return "no clips share a group, so that it is unknown how much people and places differ"
        if groups < FOLDS:
            return f"it learned from {groups} group{'s' if groups > 1 else ''}, and {FOLDS} are needed"
        return None


def decoded(
    what: str, clips: Sequence[Clip], config: ModelConfig, cache: ClipCache, console: LineConsole
) -> tuple[list[Recording], list[str]]:
    """``decoded_with`` a bar of its own; without clips nothing is shown."""
    if not clips:
        return [], []
    with progress_bar(what, len(clips), console) as bar:
        return decoded_with(bar, clips, config, cache, console)


def decoded_with(
    bar: Bar, clips: Sequence[Clip], config: ModelConfig, cache: ClipCache, console: LineConsole
) -> tuple[list[Recording], list[str]]:
    """The recordings of readable clips and their file names; what is unreadable is printed."""
    recordings, names = [], []
    for clip, recording in map(bar.count, decode_clips(clips, config.transform, config.labels, cache=cache)):
        if not isinstance(recording, Recording):
            console.print_line(f"passed over: {recording}", style="yellow")
            continue
        if recording.amiss is not None:
            console.print_line(f"{printable(clip.path.name)}: {recording.amiss}", style="yellow")
        recordings.append(recording)
        names.append(clip.path.name)
    return recordings, names


def drawn_figures(count: int, config: ModelConfig, seed: int, console: LineConsole) -> list[Recording]:
    """``count`` recordings of the synthetic world of figures, each with a seed of its own."""

    def draw(number: int) -> Recording:
        # 30 frames a second, and many changes: training plays recordings at other speeds and rates.
        own = seed * SEEDS + number
        settings = WorldSettings(
            seed=own, fps=30.0, seconds=SCENE_SECONDS, width=160, height=120, action_seconds=(2.0, 6.0)
        )
        return decode(World(settings), config.pictures, ACTIONS, None, f"world {own}")

    with progress_bar("rendering", count, console) as bar, ThreadPoolExecutor(2) as pool:
        return [bar.count(recording) for recording in pool.map(draw, range(count))]


@lru_cache(maxsize=1)  # the folds of a cross-validation share the scenes
def scenes_of(kind: str, count: int, transform: Transform, labels: tuple[str, ...]) -> list[Recording]:
    """Scenes of a synthetic world, each with its own people, camera and place."""
    found = []
    width, height = 2 * transform.width, 2 * transform.height
    for number, world in enumerate(clips(kind, count, seed=0, fps=(10.0, 16.0), width=width, height=height)):
        scene = decode(world, transform, labels, None, f"{kind} {number}")
        starts = tuple(world.repetitions())
        found.append(replace(scene, phases=phase_targets(scene.timestamps, starts)) if starts else scene)
    return found


JOINT_FPS = (10.0, 15.0)  # frame rates of the drawn keypoints


def joint_scenes(
    kind: str,
    count: int,
    config: ModelConfig,
    seed: int,
    mocap: Path | None = None,
    relabel: Mapping[str, str] = MappingProxyType({}),
) -> list[Recording]:
    """``count`` drawn scenes of keypoints, without pictures: what MoveNet would find is their backbone features.

    ``mocap``: a folder with cuts of motion capture, of which some of the scenes are made (``joints.sequences``).
    ``relabel``: pattern of a label's name -> its name in the config. Who lies there after a fall has no label.
    """
    found = []
    names = [renamed(label, relabel) for label in JOINT_LABELS[kind]]
    index = np.array([config.labels.index(name) for name in names])
    fit = config.pictures.fit
    drawn = sequences(kind, seed, fps=JOINT_FPS, fit="stretch" if fit == "stretch" else "pad", mocap=mocap)
    for number, scene in enumerate(islice(drawn, count)):
        frames = len(scene.timestamps)
        found.append(
            Recording(
                np.zeros((frames, 0, 0, 3), np.uint8),
                scene.timestamps,
                np.where(_lies_after_fall(scene), NO_LABEL, index[scene.labels]),
                f"{kind} {seed} {number}",
                phases=scene.phases,
                backbone=scene.people.reshape(frames, -1),
            )
        )
    return found


def _lies_after_fall(scene: JointSequence) -> np.ndarray:
    """(T,) whether a person lies where they fell."""
    words = np.array(scene.label_names())
    lies = words == LYING
    begins = np.flatnonzero(lies & ~np.concatenate(([False], lies[:-1])))
    found = np.zeros(len(words), bool)
    for start in begins:
        if start and words[start - 1] == FALL:
            end = start + int(np.argmin(np.append(lies[start:], False)))
            found[start:end] = True
    return found
