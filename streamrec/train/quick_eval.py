"""What a model says of recordings, each from the initial state, without the pipeline: quick."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import need
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import planar
from streamrec.sources.sampling import due_frames

need("torch", extra="train")

import torch  # noqa: E402

AT_ONCE = 256  # frames: a long stream is played in parts, or it would not fit


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A recording, and what a model said of the frames that it looked at."""

    recording: Recording
    frames: np.ndarray  # (T,) int64: which ones of the recording
    probabilities: np.ndarray  # (T, labels) float32

    @property
    def times(self) -> np.ndarray:
        """(T,) seconds from the recording's beginning."""
        return self.recording.timestamps[self.frames] - self.recording.timestamps[0]

    @property
    def truth(self) -> np.ndarray:
        """(T,) index of the label; NO_LABEL where there is none."""
        return self.recording.targets[self.frames]

    @property
    def said(self) -> np.ndarray:
        """(T,) index of the label that was most probable."""
        return self.probabilities.argmax(-1)

    @property
    def right(self) -> np.ndarray:
        """(K,) bool, of the K frames that have a truth."""
        known = self.truth != NO_LABEL
        return self.said[known] == self.truth[known]


@torch.inference_mode()
def play(model: ActionModel, recording: Recording) -> Played:
    """Show a model the frames of a recording that come in its rhythm."""
    frames = due_frames(recording.timestamps.tolist(), model.config.fps)
    elapsed = np.diff(recording.timestamps[frames], prepend=-np.inf).astype(np.float32)
    device = model.mean.device
    state, said = model.initial_state(), []
    for start in range(0, len(frames), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        pictures = torch.from_numpy(planar(recording.pictures[frames[part]]))[None].to(device)
        outputs, state = model(pictures, torch.from_numpy(elapsed[part])[None].to(device), state)
        logits, _ = model.split(outputs[0])
        said.append(torch.softmax(logits, dim=-1).cpu().numpy())
    return Played(recording, np.array(frames), np.concatenate(said))


def accuracies(played: Iterable[Played]) -> tuple[float, float]:
    """Part that is right: of the frames, and of the recordings at their end. Zero where nothing was played."""
    right = [each.right for each in played]
    frames = sum(map(len, right))
    at_end = sum(bool(len(r) and r[-1]) for r in right)
    return sum(int(r.sum()) for r in right) / max(frames, 1), at_end / max(len(right), 1)
