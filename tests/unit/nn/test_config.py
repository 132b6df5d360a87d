import json

import pytest

from streamrec import ModelConfig, Transform
from streamrec.errors import ModelError
from streamrec.events.repetitions import CountSettings


def test_a_config_survives_json():
    config = ModelConfig(
        labels=("idle", "squat"),
        transform=Transform(height=32, width=40),
        head="attention",
        context=16,
        feature_norm=True,
        counted=("squat",),
        counting=CountSettings(pause=5.0),
        learned=("falls", "gym"),
    )
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_file_older_than_a_field_means_its_default():
    config = ModelConfig(labels=("idle", "squat"))
    old = json.loads(json.dumps(config.to_dict()))
    for name in ("head", "context", "feature_norm", "counted", "counting", "learned"):
        del old[name]
    assert ModelConfig.from_dict(old) == config


def test_only_labels_can_be_counted():
    with pytest.raises(ModelError, match="jump cannot be counted: the labels are idle, squat"):
        ModelConfig(labels=("idle", "squat"), counted=("jump",))


def test_what_a_recall_would_do_needs_one():
    with pytest.raises(ModelError, match="recall_only and recall_gate without recall: set recall too"):
        ModelConfig(labels=("idle", "squat"), recall=False, recall_only=True, recall_gate=True)
