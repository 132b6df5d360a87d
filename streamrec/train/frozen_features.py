"""What a trunk that does not learn says of recordings: computed once for each look, and kept on disk."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from streamrec.data.decode_cache import ClipCache, Recording
from streamrec.errors import need
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import planar
from streamrec.sources.sampling import due_frames
from streamrec.train.augment import Augmentation, Look

need("torch", extra="train")

import torch  # noqa: E402

LOOKED_FPS = 10.0  # what a trunk sees changes slowly: a frame in between has the features of the one before
AT_ONCE = 64  # pictures
EDITION = 1  # of the entries: to be raised when looks or trunks give other numbers


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """A recording in one look."""

    look: Look | None  # None: as it is
    features: np.ndarray  # (K, S) float16
    rows: np.ndarray  # (T,) which of them each frame has

    def of(self, frames: np.ndarray) -> np.ndarray:
        """(T',) numbers of frames -> (T', S) float32."""
        return np.asarray(self.features[self.rows[frames]], np.float32)


class KeptLooks:
    """Recordings in a few fixed looks each, the first one plain, with the trunk's features of their pictures.

    Without this a frozen trunk would be most of what training costs. Looks depend on the recording and the number
    of the look alone, so that all seeds and folds share what is on disk, beside the decoded clips.
    """

    def __init__(
        self,
        model: ActionModel,
        augmentation: Augmentation | None,
        *,
        looks: int,
        dtype: torch.dtype = torch.float32,
        cache: ClipCache | None = None,
    ) -> None:
        self._model = copy.deepcopy(model).requires_grad_(False).eval()
        self._augmentation = augmentation
        self._dtype = dtype
        self._looks = looks if augmentation is not None else 1
        self._cache = cache or ClipCache()
        self._trunk = _fingerprint(self._model)
        self._known: dict[tuple[int, int], Looked] = {}

    def drawn(self, rng: np.random.Generator, recording: Recording) -> Looked:
        """One of the looks of a recording."""
        return self.look(recording, int(rng.integers(self._looks)))

    def look(self, recording: Recording, number: int) -> Looked:
        """The look of this number; 0 is the recording as it is."""
        found = self._known.get((id(recording), number))
        if found is None:
            found = self._known[id(recording), number] = self._looked(recording, number)
        return found

    def _looked(self, recording: Recording, number: int) -> Looked:
        identity = sha256(
            recording.timestamps.tobytes() + np.ascontiguousarray(recording.pictures[::16]).tobytes()
        )
        look = None
        if number and self._augmentation is not None:
            rng = np.random.default_rng((int.from_bytes(identity.digest()[:8], "big"), number))
            look = Look.drawn(rng, self._augmentation, recording.pictures.shape[1:3])
        frames = due_frames(recording.timestamps.tolist(), LOOKED_FPS)
        rows = np.searchsorted(frames, np.arange(len(recording.timestamps)), side="right") - 1
        parts = (
            identity.hexdigest(),
            self._trunk,
            repr(self._augmentation) if number else "",
            number,
            EDITION,
        )
        features = self._cache.features_of(
            sha256(repr(parts).encode()).hexdigest()[:40], lambda: self._computed(recording, look, frames)
        )
        return Looked(look, features, rows)

    @torch.inference_mode()
    def _computed(self, recording: Recording, look: Look | None, frames: list[int]) -> np.ndarray:
        """(K, S) float16."""
        ages = recording.timestamps - recording.timestamps[0]
        found = []
        for start in range(0, len(frames), AT_ONCE):
            numbers = frames[start : start + AT_ONCE]
            pictures = [recording.pictures[n] for n in numbers]
            if look is not None:
                pictures = [look(p, n, float(ages[n])) for p, n in zip(pictures, numbers, strict=True)]
            batch = torch.from_numpy(planar(np.stack(pictures))).to(self._model.mean.device)
            with torch.autocast(batch.device.type, self._dtype, enabled=self._dtype is not torch.float32):
                features = self._model.backbone_features(batch)
            found.append(features.half().cpu().numpy())
        return np.concatenate(found)


def _fingerprint(model: ActionModel) -> str:
    """Of all that decides what the trunk says."""
    found = sha256(repr((type(model.encoder).__name__, model.config.transform)).encode())
    trunk = getattr(model.encoder, "trunk", model.encoder)
    for name, value in trunk.state_dict().items():
        found.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
