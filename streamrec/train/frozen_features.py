"""Features of a frozen backbone: computed once for each view of a recording, and cached on disk."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from streamrec.data.decode_cache import ClipCache, Recording
from streamrec.errors import need
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import planar
from streamrec.sources.sampling import due_frames
from streamrec.train.augment import Augmentation, View

need("torch", extra="train")

import torch  # noqa: E402

FEATURE_FPS = 10.0  # features change slowly: a frame in between has those of the frame before
BATCH = 16  # frames that are encoded together: more, and their maps leave the processor's cache
EDITION = 1  # of the cache entries: to be raised when views or backbones give other numbers


@dataclass(frozen=True, slots=True, eq=False)
class ViewFeatures:
    """One view of a recording, with the backbone's features of its frames."""

    view: View | None  # None: the recording as it is
    features: np.ndarray  # (K, S) float16
    rows: np.ndarray  # (T,) index of each frame's row in ``features``

    def of(self, frames: np.ndarray) -> np.ndarray:
        """(T',) indices of frames -> (T', S) float32."""
        return np.asarray(self.features[self.rows[frames]], np.float32)


class FeatureCache:
    """A few fixed views of each recording, the first one plain, with the frozen backbone's features of their frames.

    Without this a frozen backbone would be most of what training costs. A view depends on the recording and the view's
    number alone, so that all seeds and folds share the files, which are beside the decoded clips.
    """

    def __init__(
        self,
        model: ActionModel,
        augmentation: Augmentation | None,
        *,
        views: int,
        dtype: torch.dtype = torch.float32,
        cache: ClipCache | None = None,
        encode: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """``encode``: (K, 3, H, W) uint8 RGB -> (K, S), a faster way to the same features; None is by torch."""
        self._model = copy.deepcopy(model).requires_grad_(False).eval()
        self.augmentation = augmentation
        self._dtype = dtype
        self._encode = encode or self._by_torch
        self.views = views if augmentation is not None else 1
        self._cache = cache or ClipCache()
        self._backbone = _fingerprint(self._model)
        self._known: dict[tuple[Recording, int], ViewFeatures] = {}
        self._columns = slice(None)

    def part(self, columns: slice) -> FeatureCache:
        """The same cache, of which views have these columns alone."""
        part = copy.copy(self)
        part._columns = columns
        return part

    def drawn(self, rng: np.random.Generator, recording: Recording) -> ViewFeatures:
        """A random one of the views of a recording."""
        return self.view(recording, int(rng.integers(self.views)))

    def view(self, recording: Recording, number: int) -> ViewFeatures:
        """The view of this number; 0 is the recording as it is."""
        found = self._known.get((recording, number))
        if found is None:
            found = self._known[recording, number] = self._read(recording, number)
        if self._columns == slice(None):
            return found
        return ViewFeatures(found.view, found.features[:, self._columns], found.rows)

    def _read(self, recording: Recording, number: int) -> ViewFeatures:
        identity = sha256(
            recording.timestamps.tobytes() + np.ascontiguousarray(recording.pictures[::16]).tobytes()
        )
        view = None
        if number and self.augmentation is not None:
            rng = np.random.default_rng((int.from_bytes(identity.digest()[:8], "big"), number))
            view = View.drawn(rng, self.augmentation, recording.pictures.shape[1:3])
        frames = due_frames(recording.timestamps.tolist(), FEATURE_FPS)
        rows = np.searchsorted(frames, np.arange(len(recording.timestamps)), side="right") - 1
        parts = (
            identity.hexdigest(),
            self._backbone,
            repr(self.augmentation) if number else "",
            number,
            EDITION,
        )
        features = self._cache.features_of(
            sha256(repr(parts).encode()).hexdigest()[:40], lambda: self._computed(recording, view, frames)
        )
        return ViewFeatures(view, features, rows)

    def _computed(self, recording: Recording, view: View | None, frames: list[int]) -> np.ndarray:
        """(K, S) float16 features of the K frames."""
        ages = recording.timestamps - recording.timestamps[0]
        found = []
        for start in range(0, len(frames), BATCH):
            numbers = frames[start : start + BATCH]
            pictures = [recording.pictures[n] for n in numbers]
            if view is not None:
                pictures = [view(p, n, float(ages[n])) for p, n in zip(pictures, numbers, strict=True)]
            found.append(self._encode(planar(np.stack(pictures))).astype(np.float16))
        return np.concatenate(found)

    @torch.inference_mode()
    def _by_torch(self, images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(images).to(self._model.mean.device)
        with torch.autocast(batch.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            features = self._model.backbone_features(batch)
        return np.asarray(features.half().cpu().numpy())


def _fingerprint(model: ActionModel) -> str:
    """A hash of all that decides the backbone's features."""
    found = sha256(repr((model.config.encoder, model.config.transform)).encode())
    backbone = getattr(model.encoder, "trunk", model.encoder)
    for name, value in backbone.state_dict().items():
        found.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
