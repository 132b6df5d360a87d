"""Drawn keypoints as recordings: backbone features are known, and there are no pictures."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from typer.testing import CliRunner

from streamrec.commands.app import app
from streamrec.data.clips import NO_LABEL
from streamrec.errors import DataError
from streamrec.nn.config import ModelConfig
from streamrec.nn.transforms import Transform
from streamrec.train.augment import Augmentation
from streamrec.train.fit import TrainSettings
from streamrec.train.job import TrainJob
from streamrec.train.joints import LABELS, sequences
from streamrec.train.quick_eval import Played
from streamrec.train.recipes import put_together
from streamrec.train.report import draw_mistakes, worst_mistakes
from streamrec.train.resume import identity
from streamrec.train.training_data import JOINT_FPS, TrainData, joint_scenes
from tests.helpers.recordings import windows_of

CONFIG = ModelConfig(
    labels=tuple(reversed(LABELS["webcam"])),
    encoder="person-joints",
    transform=Transform(width=256, height=192, fit="pad"),
)


@pytest.fixture(scope="module")
def scenes():
    return joint_scenes("webcam", 4, CONFIG, 3)


def test_a_scene_is_what_the_detector_finds_with_the_labels_of_the_model(scenes):
    drawn = list(islice(sequences("webcam", 3, fps=JOINT_FPS), 4))
    for scene, one in zip(scenes, drawn, strict=True):
        assert np.array_equal(scene.backbone, one.people.reshape(len(one.people), -1))
        assert [CONFIG.labels[target] for target in scene.targets] == one.label_names()
        assert scene.pictures.shape == (len(one.people), 0, 0, 3)
    assert len({scene.group for scene in scenes}) == 4


def test_a_seed_gives_the_same_scenes_and_another_seed_others(scenes):
    again, other = joint_scenes("webcam", 1, CONFIG, 3), joint_scenes("webcam", 1, CONFIG, 4)
    assert np.array_equal(again[0].backbone, scenes[0].backbone)
    assert scenes[0].backbone.shape != other[0].backbone.shape or not np.array_equal(
        scenes[0].backbone, other[0].backbone
    )


def test_windows_hold_the_features_of_the_frames_that_they_play(scenes):
    batch = next(windows_of(scenes, augmentation=Augmentation()))
    streams, steps = batch.targets.shape
    assert batch.pictures.shape == (streams, steps, 3, 0, 0)
    assert batch.backbone.shape == (streams, steps, 6 * 56) and batch.backbone.dtype == np.float32
    known = {row.tobytes(): target for s in scenes for row, target in zip(s.backbone, s.targets, strict=True)}
    for rows, targets in zip(batch.backbone, batch.targets, strict=True):
        assert [known[row.tobytes()] for row in rows] == targets.tolist()


def test_another_draw_is_another_run(scenes):
    class One:
        count = 1

    changed = [replace(scenes[0], backbone=scenes[0].backbone + 1.0), *scenes[1:]]
    assert identity({}, scenes, One()) != identity({}, changed, One())


def test_keypoints_give_no_score_of_unknown_pictures(scenes):
    data = TrainData(CONFIG, scenes, [], [])
    assert data.known is None and "without pictures" in data.unjudged


def test_the_report_draws_mistakes_as_stick_figures(scenes):
    wrong = np.zeros((len(scenes[0].targets), len(CONFIG.labels)), np.float32)
    wrong[:, 0] = 1.0
    played = [Played(scenes[0], np.arange(len(wrong)), wrong)]
    mistakes = worst_mistakes(played, ["scene"])
    assert mistakes
    axes = [axes for part in draw_mistakes(CONFIG.labels, mistakes, 1).subfigs for axes in part.axes]
    assert any(picture.get_array().max() > 100 for each in axes for picture in each.images)


def job(tmp_path, **changes) -> TrainJob:
    config, settings, _ = put_together("webcam")
    given = {"weights": "fight", "world": "webcam", "config": config, "settings": settings}
    return TrainJob(data=("joints",), out=tmp_path / "model.safetensors", **given | changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"world": None}, "need a --world: webcam or room or gym"),
        ({"weights": None}, "streamrec backbone person"),
        ({"config": ModelConfig(labels=())}, "give --encoder person-joints"),
        ({"settings": TrainSettings()}, "--stages staged --unfreeze 1"),
        ({"background": ("evening.mp4",)}, "--background has: leave it out"),
        ({"data": ("clips",), "mocap": "mocap"}, "--mocap is for joints"),
    ],
)
def test_what_keypoints_cannot_be_learned_with_is_said(tmp_path, changes, says):
    with pytest.raises(DataError, match=says):
        replace(job(tmp_path), **changes).run()


def test_the_command_learns_from_joints_as_the_recipe_says(tmp_path, monkeypatch):
    asked: list[TrainJob] = []
    monkeypatch.setattr(TrainJob, "run", lambda self: asked.append(self))
    words = (
        "train",
        "joints",
        "--recipe",
        "webcam",
        "--weights",
        "fight",
        "--mocap",
        str(tmp_path),
        "--seed",
        "2",
    )
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "a.safetensors")])
    assert done.exit_code == 0, done.output
    (made,) = asked
    assert (made.data, made.world, made.scenes, made.mocap) == (("joints",), "webcam", 1800, tmp_path)
    assert (made.config.encoder, made.settings.seed, made.config.hidden_size) == ("person-joints", 2, 96)


def test_who_lies_where_they_fell_has_no_label():
    config = replace(CONFIG, labels=("fall", "normal"), encoder="person-box-joints", head="ensemble")
    drawn = list(islice(sequences("room", 7, fps=JOINT_FPS), 30))
    scenes = joint_scenes("room", 30, config, 7, relabel={"[Ff]all*": "fall", "*": "normal"})
    unlabelled = 0
    for scene, one in zip(scenes, drawn, strict=True):
        words = np.array(one.label_names())
        assert (scene.targets[words == "fall"] == 0).all()
        assert (scene.targets[words == "normal"] == 1).all()
        after = scene.targets == NO_LABEL
        assert (words[after] == "lying").all()
        if after.any():
            assert words[np.flatnonzero(after)[0] - 1] == "fall"
        unlabelled += after.sum()
    assert unlabelled > 0


def test_an_ensemble_learns_from_clips_and_from_drawn_keypoints(tmp_path, monkeypatch):
    asked: list[TrainJob] = []
    monkeypatch.setattr(TrainJob, "run", lambda self: asked.append(self))
    for name in ("fall/a.mp4", "sit/b.mp4"):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True)
        path.touch()
    words = (
        "train",
        str(tmp_path / "clips"),
        "--recipe",
        "fall",
        "--weights",
        "fight",
        "--mocap",
        str(tmp_path),
    )
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "a.safetensors")])
    assert done.exit_code == 0, done.output
    (made,) = asked
    assert (made.world, made.scenes, made.mocap, made.draws_joints) == ("room", 400, tmp_path, True)
    assert (made.config.encoder, made.config.head) == ("person-box-joints", "ensemble")
