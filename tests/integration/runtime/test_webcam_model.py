"""The shipped model webcam: on keypoints that it has never seen, on real gestures, and over an empty room."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrec import Frame, Recognizer, results
from streamrec.runtime.checkpoint import load_model
from streamrec.train.joints import LABELS
from streamrec.train.quick_eval import accuracies, play
from streamrec.train.recipes import put_together
from streamrec.train.training_data import joint_scenes
from streamrec.types import ActionStarted

GESTURES = Path("/work/shared/data/gestures")
UNSEEN = 91_000  # seed of scenes of which none was learned from


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load("webcam", engine="onnx")


def test_most_drawn_frames_that_it_never_saw_are_right():
    model = load_model("webcam").eval()
    scenes = joint_scenes("webcam", 12, model.config, UNSEEN)
    per_frame, _ = accuracies(play(model, scene) for scene in scenes)
    assert per_frame > 0.8
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_it_knows_the_labels_of_the_drawn_sequences_and_names_what_it_learned_from(recognizer):
    assert recognizer.labels == LABELS["webcam"]
    assert recognizer.config.learned == ("mocap",)
    events = put_together("webcam")[0].events  # of the recipe
    assert recognizer.config.events == replace(events, background=("nothing",))


def test_an_empty_room_shows_nothing(recognizer):
    image = np.full((240, 320, 3), 90, np.uint8)
    state = recognizer.initial_state()
    for number in range(40):
        prediction, state = recognizer.step(Frame(image, number, number / 10), state)
        assert prediction.label == "nothing" or number < 10


@pytest.mark.skipif(not GESTURES.is_dir(), reason="the data sets are not there")
@pytest.mark.parametrize(
    ("clip", "label"),
    [("arms_out_up", "arms_out"), ("wave_right_hand", "wave"), ("raise_both_hands", "raise_both_hands")],
)
def test_a_gesture_of_somebody_whom_it_never_saw_is_one_event(recognizer, clip, label):
    found = results(GESTURES / clip / "p2_t1.avi", recognizer)
    started = [
        e.label
        for e in itertools.chain.from_iterable(r.events for r in found)
        if isinstance(e, ActionStarted)
    ]
    assert started == [label]
