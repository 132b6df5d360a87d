"""Fitting the out-of-distribution score of a person backbone's features to recordings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from streamrec.data.decode_cache import Recording
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders.movenet import DEEPEST, STRIDE
from streamrec.nn.encoders.person import PERSONS
from streamrec.nn.model import ActionModel
from streamrec.nn.ood import EACH, KnownFeatures, pooled_cells
from streamrec.train.frozen_features import FeatureCache


def knows_features(config: ModelConfig) -> bool:
    """Whether a model's score is that of its backbone's features: of a person encoder that reads the deepest maps."""
    return config.encoder in PERSONS and (PERSONS[config.encoder].whole or PERSONS[config.encoder].moving)


def known_features_of(model: ActionModel, recordings: Iterable[Recording]) -> KnownFeatures:
    """Fit to the features of the model's backbone; groups that were left out decide the border to unknown."""
    recordings, features, cells = list(recordings), FeatureCache(model, None, views=1), _cells(model)
    found = [pooled_cells(_features(features, each), DEEPEST, cells) for each in recordings]
    return KnownFeatures.of(found, [each.group for each in recordings], cells=cells)


def _cells(model: ActionModel) -> int:
    transform = model.config.pictures
    return (transform.height // STRIDE) * (transform.width // STRIDE)


def unknown_features(known: KnownFeatures, model: ActionModel, recordings: Iterable[Recording]) -> float:
    """Part of the frames that is out of distribution, 0 to 1; each recording weighs the same."""
    features = FeatureCache(model, None, views=1)
    return float(np.mean([(known.ood_scores(_features(features, each)) > 1.0).mean() for each in recordings]))


def _features(features: FeatureCache, recording: Recording) -> np.ndarray:
    """(K, S) backbone features of at most EACH frames, evenly spread."""
    found = features.view(recording, 0).features
    return found[np.linspace(0, len(found) - 1, min(len(found), EACH)).round().astype(int)].astype(np.float32)
