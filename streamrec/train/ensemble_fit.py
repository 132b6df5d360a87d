"""The fit of an ensemble head: a linear classifier on maps, and an LSTM on keypoints of recordings and drawn ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, need
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders.keypoints import NAME as KEYPOINTS
from streamrec.nn.encoders.person_box import MAPS, PersonBoxEncoder
from streamrec.nn.heads import EnsembleHead
from streamrec.nn.model import ActionModel
from streamrec.train.frozen_features import FeatureCache
from streamrec.train.linear_fit import LinearSettings, fit_linear, views_of, weighed

need("torch", extra="train")

import torch  # noqa: E402

Fit = Callable[[list[Recording], ModelConfig], ActionModel]


def fit_ensemble(
    model: ActionModel,
    recordings: Sequence[Recording],
    background: Sequence[Recording],
    features: FeatureCache,
    settings: LinearSettings,
    *,
    fit_in_steps: Fit,
) -> ActionModel:
    """Fill both heads of a model with an ensemble head; returns the model in eval mode.

    Recordings with backbone features and no pictures are drawn keypoints: the LSTM alone learns from them.
    ``fit_in_steps`` trains a model of a config on recordings of keypoints. Raises ``DataError``.
    """
    encoder, head, config = model.encoder, model.head, model.config
    assert isinstance(encoder, PersonBoxEncoder)
    assert isinstance(head, EnsembleHead)
    drawn = [recording for recording in recordings if recording.backbone is not None]
    real = [recording for recording in recordings if recording.backbone is None]
    if not real:
        raise DataError("an ensemble head learns from recordings too, and there are drawn keypoints alone")
    linear = ActionModel(replace(config, encoder=MAPS, head="statistics", counted=()))
    fit_linear(linear, real, background, features, settings)
    head.statistics.load_state_dict(linear.head.state_dict())
    people = features.part(slice(encoder.maps_size, None))
    seen = [
        each
        for recording in (*real, *background)
        for each in keypoints_of(recording, people, config, settings)
    ]
    seen += [_learned_part(recording, config, settings) for recording in drawn]
    recurrent = fit_in_steps(seen, replace(config, encoder=KEYPOINTS, head="lstm"))
    head.recurrent.load_state_dict(recurrent.head.state_dict())
    return model.eval()


@torch.no_grad()
def without_background(model: ActionModel, penalty: float) -> ActionModel:
    """The model with so much less in the logits of its background labels."""
    head = model.head
    assert isinstance(head, EnsembleHead)
    for number, label in enumerate(model.config.labels):
        if label in model.config.events.background:
            for part in (head.statistics, head.recurrent):
                part.classifier.bias[number] -= penalty
    return model


def keypoints_of(
    recording: Recording, features: FeatureCache, config: ModelConfig, settings: LinearSettings
) -> Iterator[Recording]:
    """For each view of a recording its people without its pictures, at the rate of the features."""
    for view, frames, targets in views_of(recording, features, config):
        within, _ = weighed(recording, frames, config, settings)
        yield Recording(
            np.zeros((len(frames), 0, 0, 3), np.uint8),
            recording.timestamps[frames],
            np.where(within, targets, NO_LABEL),
            recording.group,
            phases=None if recording.phases is None else recording.phases[frames],
            backbone=view.of(frames),
        )


def _learned_part(recording: Recording, config: ModelConfig, settings: LinearSettings) -> Recording:
    """The recording, of whose actions the same stretch has a label that the linear classifier learns."""
    within, _ = weighed(recording, np.arange(len(recording.targets)), config, settings)
    return replace(recording, targets=np.where(within, recording.targets, NO_LABEL))
