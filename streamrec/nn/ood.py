"""The out-of-distribution score of an image: how far its appearance is from that of the training images.

A classifier gives one of its labels to any image. Scores from the model itself (the energy of its logits, distances
among its features) were measured and are no better than chance where it matters: docs/unknown.md has the table. The
appearance of the image, before any model, does better: colours, contrast, sharpness at four scales. So the
Mahalanobis distance of Lee et al. (NeurIPS 2018) is taken there, to the mean of the training images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from streamrec.core.arguments import Limits
from streamrec.errors import DataError

SCALES = 4  # the image, its half, its quarter and its eighth
NUMBERS = 12 + 4 * SCALES  # that describe an appearance
SHARE = 0.95  # of the training recordings is known, judged by fits to other groups (docs/unknown.md)
RIDGE = 0.1  # of the mean variance, added to each: a few dozen places are too few for the covariances
MARGIN = 1.15  # of the border of features: so much farther are people who were not seen (docs/unknown.md)
FOLDS = 5  # of the groups, to find the border
EACH = 32  # images of a recording are enough: one more second of the same place adds little
_NUMBER = Limits(-1e9, 1e9)  # of the fit
_CELLS = Limits(1, 1_000_000, whole=True)
_DARK = 1e-3  # added before a logarithm: under it there is only noise
_GRAY = np.full((1, 3), 1.0 / 3.0, np.float32)
_PAIRS = np.triu_indices(3)  # of colours


@dataclass(frozen=True)
class KnownPictures:
    """The distribution of a model's training images, and the border from which on an image is out of distribution.

    It is saved with the model's config, so it holds plain numbers only.

    >>> rng = np.random.default_rng(0)
    >>> seen = rng.integers(0, 60, (40, 3, 32, 32), np.uint8)
    >>> known = KnownPictures.of([appearance_of(seen[i : i + 4]) for i in range(0, 40, 4)], range(10))
    >>> float(known.ood_scores(seen).max()) < 2.0 < float(known.ood_scores(255 - seen).min())
    True
    """

    mean: tuple[float, ...]  # (NUMBERS,) of the appearances
    # (NUMBERS * (NUMBERS + 1) / 2,) rows of a lower triangle, scaled so that the border is at 1
    whitening: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = len(self.mean), len(self.whitening)
        if sizes != (NUMBERS, NUMBERS * (NUMBERS + 1) // 2):
            raise ValueError(f"known pictures of {sizes} numbers")
        if not all(map(_NUMBER.holds, (*self.mean, *self.whitening))):
            raise ValueError("known pictures whose numbers are none")

    @classmethod
    def of(
        cls, appearances: Sequence[np.ndarray], groups: Iterable[object], *, share: float = SHARE
    ) -> KnownPictures:
        """Fit to the appearances (T, NUMBERS) of recordings; ``groups``: the group of each recording.

        Each recording weighs the same. ``share`` of them lie inside the border when each is judged by a fit to other
        groups, or to other recordings where there is one group.
        """
        if not appearances:
            raise DataError("there is no picture from which a model could know what it learned from")
        border = _border(appearances, groups, _fitted, share)
        lengths = np.array([len(each) for each in appearances])
        weights = np.repeat(1.0 / lengths, lengths)
        every = np.concatenate(appearances).astype(np.float64)
        mean, whitening = _fitted(every, weights)
        scaled: np.ndarray = whitening / border
        triangle = scaled[np.tril_indices(NUMBERS)]
        return cls(tuple(map(_short, mean)), tuple(map(_short, triangle)))

    @classmethod
    def from_dict(cls, values: dict[str, list[float]]) -> KnownPictures:
        """From the values of ``dataclasses.asdict``, also after JSON."""
        return cls(**{name: tuple(numbers) for name, numbers in values.items()})

    def ood_scores(self, images: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) uint8 RGB, model inputs -> (N,) float32; 0 is the mean, above 1 is out of distribution."""
        return self.distances(appearance_of(images))

    def distances(self, appearances: np.ndarray) -> np.ndarray:
        """(N, NUMBERS) from ``appearance_of`` -> (N,) float32, the scores."""
        mean, whitening = self._matrices
        apart: np.ndarray = (appearances - mean) @ whitening.T
        return np.asarray(np.sqrt(np.square(apart).sum(1)))

    @cached_property
    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        whitening = np.zeros((NUMBERS, NUMBERS), np.float32)
        whitening[np.tril_indices(NUMBERS)] = self.whitening
        return np.array(self.mean, np.float32), whitening


@dataclass(frozen=True)
class KnownFeatures:
    """The same of a network that knows people: the distribution of its features over the training images.

    Its features carry from one person to another and not from one kind of scene to another, so that even one group of
    recordings defines what is known (docs/unknown.md). Whitening by a few recordings would call everybody else unknown;
    distances are in deviations of each feature alone.

    >>> rng = np.random.default_rng(0)
    >>> seen = rng.normal(3.0, 1.0, (40, 100))
    >>> known = KnownFeatures.of([seen[i : i + 4] for i in range(0, 40, 4)], ["me"] * 10)
    >>> float(known.ood_scores(seen).max()) < 1.2 < float(known.ood_scores(seen + 3.0).min())
    True
    """

    mean: tuple[float, ...]  # (S,)
    scale: tuple[float, ...]  # (S,) what differences are multiplied by; scaled so that the border is at 1
    cells: int = 1  # of the features' maps, which are averaged

    def __post_init__(self) -> None:
        if not 0 < len(self.mean) == len(self.scale):
            raise ValueError(f"known features of {len(self.mean)} and {len(self.scale)} numbers")
        if not (_CELLS.holds(self.cells) and all(map(_NUMBER.holds, (*self.mean, *self.scale)))):
            raise ValueError("known features whose numbers are none")

    @classmethod
    def of(
        cls,
        features: Sequence[np.ndarray],
        groups: Iterable[object],
        *,
        cells: int = 1,
        share: float = SHARE,
    ) -> KnownFeatures:
        """Fit to the features (T, S) of recordings, means over the cells; ``groups``: the group of each recording.

        Each recording weighs the same. The border is MARGIN times the distance within which ``share`` of them lie when
        each is judged by a fit to other groups, or to other recordings where there is one group.
        """
        if not features:
            raise DataError("there is no picture from which a model could know what it learned from")
        border = _border(features, groups, _scaled, share) * MARGIN
        lengths = np.array([len(each) for each in features])
        mean, scale = _scaled(np.concatenate(features).astype(np.float64), np.repeat(1.0 / lengths, lengths))
        return cls(tuple(map(_short, mean)), tuple(map(_short, scale / border)), cells)

    def ood_scores(self, features: np.ndarray) -> np.ndarray:
        """(N, S * cells or more) -> (N,) float32; 0 is the mean, above 1 is out of distribution."""
        mean, scale = self._arrays
        found = pooled_cells(features, len(mean), self.cells)
        return np.asarray(np.sqrt(np.square((found - mean) * scale).sum(1)))

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean, np.float32), np.array(self.scale, np.float32)


def pooled_cells(maps: np.ndarray, size: int, cells: int) -> np.ndarray:
    """(N, size * cells or more) -> (N, size) float32, means over the cells."""
    return np.asarray(maps[:, : size * cells].reshape(len(maps), size, cells).mean(2, dtype=np.float32))


def known_from(values: dict[str, Any]) -> KnownPictures | KnownFeatures:
    """From the values of ``dataclasses.asdict``, also after JSON."""
    if "scale" not in values:
        return KnownPictures.from_dict(values)
    return KnownFeatures(tuple(values["mean"]), tuple(values["scale"]), values["cells"])


def appearance_of(images: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) uint8 RGB -> (N, NUMBERS) float32: the appearance of each image, whatever it shows.

    Means of the colours, logarithms of their deviations, their covariances; then, of the gray image at each scale,
    logarithms of the mean and of the root mean square of its differences to the right and down.
    """
    return np.stack([_appearance_of(image) for image in images]).astype(np.float32)


def _appearance_of(image: np.ndarray) -> np.ndarray:
    """One image, with OpenCV: in NumPy alone it takes four times as long."""
    colours = image.reshape(3, -1).astype(np.float32)
    colours *= 1.0 / 255.0
    means = colours.mean(1)
    gray: np.ndarray = (_GRAY @ colours).reshape(image.shape[1:])
    covariances = colours @ colours.T / colours.shape[1] - np.outer(means, means)
    sizes = [*np.sqrt(np.maximum(covariances.diagonal(), 0.0))]
    for _ in range(SCALES):
        for one, other in ((gray[:, 1:], gray[:, :-1]), (gray[1:], gray[:-1])):
            sizes.append(cv2.norm(one, other, cv2.NORM_L1) / one.size)
            sizes.append(cv2.norm(one, other, cv2.NORM_L2) / math.sqrt(one.size))
        if min(gray.shape) >= 4:  # or too little would be left
            half = (gray.shape[1] // 2, gray.shape[0] // 2)
            gray = cv2.resize(gray, half, interpolation=cv2.INTER_AREA)
    return np.concatenate([means, covariances[_PAIRS], np.log(np.array(sizes) + _DARK)])


def _border(
    found: Sequence[np.ndarray],
    groups: Iterable[object],
    fit: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    share: float,
) -> float:
    """The distance within which ``share`` of recordings (T, S) lie, each judged by a fit to other groups.

    ``fit``: (K, S) and their weights (K,) -> the mean and the whitening, a matrix or one number a column.
    """
    names = [str(group) for group in groups]
    if len(set(names)) < 2:
        names = [str(number) for number in range(len(found))]
    lengths = np.array([len(each) for each in found])
    weights = np.repeat(1.0 / lengths, lengths)
    every = np.concatenate(found).astype(np.float64)
    fold = np.repeat(np.array(_dealt(names)), lengths)
    far = np.empty(len(every))
    for part in np.unique(fold):
        outside = fold == part
        inside = ~outside if len(found) > 1 else outside
        mean, whitening = fit(every[inside], weights[inside])
        apart = every[outside] - mean
        far[outside] = np.linalg.norm(
            apart @ whitening.T if whitening.ndim == 2 else apart * whitening, axis=1
        )
    order = far.argsort()
    reached = int(np.searchsorted(np.cumsum(weights[order]) / weights.sum(), share))
    return max(float(far[order[min(reached, len(far) - 1)]]), _DARK)


def _scaled(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K, S), (K,) -> the mean, and one over the deviation of each feature; one that hardly moves has little weight."""
    shares = weights / weights.sum()
    mean = shares @ features
    variances = shares @ np.square(features - mean)
    return mean, 1.0 / np.sqrt(variances + RIDGE * variances.mean() + _DARK**2)


def _fitted(appearances: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K, NUMBERS), (K,) -> the mean, and the whitening as a lower triangle."""
    shares = weights / weights.sum()
    mean = shares @ appearances
    apart = appearances - mean
    deviations = np.sqrt(shares @ np.square(apart)) + 1e-4
    apart /= deviations
    covariance = (apart * shares[:, None]).T @ apart
    covariance += RIDGE * max(np.trace(covariance) / NUMBERS, _DARK) * np.eye(NUMBERS)
    return mean, np.linalg.inv(np.linalg.cholesky(covariance)) / deviations


def _dealt(groups: Sequence[str]) -> list[int]:
    """The fold of each recording; those of a group share one."""
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names))
    folds = {names[place]: number % FOLDS for number, place in enumerate(order)}
    return [folds[group] for group in groups]


def _short(value: float) -> float:
    """Five digits: more are noise, and text in the file."""
    return float(f"{value:.5g}") if math.isfinite(value) else 0.0
