"""Who is in the picture, from the pass that the model makes anyway: the person backbone finds people as well.

``people.onnx`` is the step graph that finds them, without weights: a model on the person backbone has these in its
file. Merged with the model's own graph it costs only what the model does not calculate already, because what both
calculate is calculated once (``graph_merge``). What was found stands in the state as the last cache, and who is
followed in ``State.tracks``.

Heads on keypoints can judge each of them (``persons``): a row for each who is followed, with a memory of its own in
``State.persons``, and one for no person, from which each new person's begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from streamrec.core.graph_check import weights_outside
from streamrec.core.text import printable
from streamrec.errors import MissingExtra, ModelError, need
from streamrec.events.people.detections import Rectangle, read_detections
from streamrec.events.people.tracker import Tracks, no_tracks, numbered, people_of, step_tracks
from streamrec.nn.config import ModelConfig
from streamrec.nn.transforms import Transform
from streamrec.runtime.checkpoint import Checkpoint, build_model, find_model, read_config, read_header
from streamrec.runtime.engine import Arrays
from streamrec.runtime.onnx_engine import ModelStep
from streamrec.types import Person

GRAPH = Path(__file__).parent / "models" / "people.onnx"
SIZE = (192, 256)  # height and width of the input that it was exported for
ALWAYS = {"person-joints", "person-box", "person-box-joints"}  # the encoders that find people anyway
POSSIBLE = 0.05  # score of a detection or a keypoint that may be one


def has_people(checkpoint: Checkpoint) -> bool:
    """Whether the model's file has the backbone that finds people."""
    return checkpoint.weights.keys() >= _shipped()[1]


def follows_a_person(config: ModelConfig) -> bool:
    """Whether the model's features are of one person who is followed, so that each can be judged."""
    return config.encoder in ALWAYS


def check_per_person(checkpoint: Checkpoint) -> None:
    """Raise ``ModelError`` for a model that judges whole pictures only."""
    if not follows_a_person(checkpoint.config):
        raise no_persons(checkpoint.name)


def no_persons(name: str) -> ModelError:
    """The error of a model that cannot judge each person, or of several of which none can."""
    return ModelError(
        f"{printable(name)} judges whole pictures: models on keypoints judge each person (webcam, fall, workout, and "
        "what is trained with --encoder person-joints, person-box or person-box-joints); take one of them too, or "
        "leave per person out"
    )


def judge_better_per_person(models: Sequence[str | Path]) -> bool:
    """Whether one of these models is as good or better where each person is judged on their own; docs/people.md.

    A model that counts is not: who is lost and found again has another number, and their set begins anew.
    """
    return any(follows_a_person(config) and not config.counted for config in _configs(models))


def find_people_anyway(models: Sequence[str | Path]) -> bool:
    """Whether one of these models' own features are of the people in the picture, so that finding them costs nothing.

    Such a model can judge each of them. One that is not there is reported where it is read.
    """
    return any(map(follows_a_person, _configs(models)))


def can_find_people(models: Sequence[str | Path]) -> bool:
    """Whether one of these models is on the person backbone; one that is not there is reported where it is read."""
    return any(config.encoder.startswith("person") for config in _configs(models))


def _configs(models: Sequence[str | Path]) -> list[ModelConfig]:
    with suppress(ModelError):
        files = [path for path in map(find_model, models) if path.suffix == ".safetensors"]
        return [read_config(path, graph_metadata=read_header) for path in files]
    return []


def check_people(checkpoint: Checkpoint) -> None:
    """Raise ``ModelError`` for a model that does not find people."""
    if not has_people(checkpoint):
        raise no_people(checkpoint.name)


def no_people(name: str) -> ModelError:
    """The error of a model that does not find people, or of several of which none does."""
    return ModelError(
        f"{printable(name)} does not find people: models on the person backbone do (fight, fall and webcam, and what "
        "is trained with --encoder person...); watch with one of them too, or without people"
    )


def people_step(checkpoint: Checkpoint) -> ModelStep:
    """The step that finds people with the weights of this model, to be merged with its own; raises ``ModelError``.

    Inputs of another size than the usual one need torch, which exports the graph.
    """
    check_people(checkpoint)
    transform = checkpoint.config.pictures
    if (transform.height, transform.width) == SIZE:
        graph, names = _shipped()
    else:
        size = f"{transform.width}x{transform.height}"
        try:
            need("torch", extra="train")
        except MissingExtra as error:
            raise MissingExtra(
                f"people in pictures of {size} are found with torch's help: {error}"
            ) from error
        from streamrec.runtime.export import people_graph

        graph, exported = people_graph(build_model(checkpoint))
        names = set(exported)
    weights = {name: checkpoint.weights[name] for name in names}
    return ModelStep("people", graph, weights, (), "people.onnx", (), (), finds_people=True)


@cache
def _shipped() -> tuple[bytes, set[str]]:
    """The graph that comes with the package, and the names of its weights."""
    graph = GRAPH.read_bytes()
    return graph, weights_outside(graph, GRAPH.name)


def initial_tracks() -> Arrays:
    """``State.tracks`` of a new stream."""
    return tuple(array[None] for array in no_tracks())


def follow(
    tracks: Arrays, found: np.ndarray, elapsed: np.ndarray, transform: Transform, max_gap: float
) -> Arrays:
    """The tracks of N streams after people (N, 6, 56) were found in their frames, ``elapsed`` (N,) seconds later."""
    after = [
        step_tracks(
            Tracks(*(array[n] for array in tracks)),
            read_detections(found[n]),
            float(elapsed[n]),
            aspect=transform.width / transform.height,
            max_gap=max_gap,
        )
        for n in range(len(found))
    ]
    return tuple(np.stack(arrays) for arrays in zip(*after, strict=True))


def possible_in(
    tracks: Arrays, found: np.ndarray, transform: Transform, height: int, width: int
) -> tuple[tuple[float, float, float, float], ...]:
    """Where people may be in the frame of one stream: all that were found (6, 56), and who is waited for.

    Boxes are widened by the keypoints that are seen outside of them.
    """
    picture = Rectangle(*transform.picture_in_input(height, width))
    scale = np.array((picture.tall, picture.wide) * 2)
    offset = np.array((picture.top, picture.left) * 2)
    detections = read_detections(found, POSSIBLE)
    sure = detections.keypoints[..., 2:] >= POSSIBLE
    places = detections.keypoints[..., :2]
    low = np.minimum(detections.boxes[:, :2], np.where(sure, places, np.inf).min(1))
    high = np.maximum(detections.boxes[:, 2:], np.where(sure, places, -np.inf).max(1))
    own = Tracks(*(array[0] for array in tracks))
    aspect = transform.width / transform.height
    waiting = own.box[(own.hits > 0) & (own.unseen > 0.0)] / (1.0, aspect, 1.0, aspect)
    boxes = (np.concatenate([np.concatenate([low, high], axis=1), waiting]) - offset) / scale
    return tuple(
        (float(ymin), float(xmin), float(ymax), float(xmax))
        for ymin, xmin, ymax, xmax in boxes.clip(0.0, 1.0)
    )


def people_in(
    tracks: Arrays, transform: Transform, height: int, width: int
) -> list[tuple[int, bool, Person]]:
    """Who is followed in one stream, in parts of its image of this size: slot, whether found in this frame, person."""
    picture = Rectangle(*transform.picture_in_input(height, width))
    own = Tracks(*(array[0] for array in tracks))
    slots = numbered(own)
    people = people_of(own, transform.width / transform.height, picture, slots)
    return [(slot, bool(own.unseen[slot] == 0.0), one) for slot, one in zip(slots, people, strict=True)]
