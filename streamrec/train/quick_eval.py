"""Predictions for whole recordings, each from the initial state, without the pipeline: quick."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streamrec.data.clips import NO_LABEL
from streamrec.data.decode_cache import Recording
from streamrec.errors import need
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import as_inputs, frames_at_once
from streamrec.sources.sampling import due_frames
from streamrec.train.signal_windows import as_stepped

need("torch", extra="train")

import torch  # noqa: E402


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A recording, and a model's predictions for the frames that it processed. T counts those frames."""

    recording: Recording
    frames: np.ndarray  # (T,) int64: their indices in the recording
    probabilities: np.ndarray  # (T, labels) float32

    @property
    def times(self) -> np.ndarray:
        """(T,) seconds from the start of the recording."""
        return self.recording.timestamps[self.frames] - self.recording.timestamps[0]

    @property
    def truth(self) -> np.ndarray:
        """(T,) index of the label; NO_LABEL where there is none."""
        return self.recording.targets[self.frames]

    @property
    def predicted(self) -> np.ndarray:
        """(T,) index of the most probable label."""
        return self.probabilities.argmax(-1)

    @property
    def right(self) -> np.ndarray:
        """(K,) bool: whether each of the K frames with a truth is predicted correctly."""
        known = self.truth != NO_LABEL
        return self.predicted[known] == self.truth[known]


@torch.inference_mode()
def play(model: ActionModel, recording: Recording) -> Played:
    """Run a model on the frames of a recording that are due at its sampling rate."""
    recording = as_stepped(recording, model.config)
    frames = due_frames(recording.timestamps.tolist(), model.config.fps)
    elapsed = np.diff(recording.timestamps[frames], prepend=-np.inf).astype(np.float32)
    device = model.mean.device
    state, probabilities = model.initial_state(), []
    chunk = frames_at_once(model.config.transform)
    for start in range(0, len(frames), chunk):
        part = slice(start, start + chunk)
        pictures = torch.from_numpy(as_inputs(recording.pictures[frames[part]]))[None].to(device)
        known = None
        if recording.backbone is not None:
            known = torch.from_numpy(recording.backbone[frames[part]])[None].to(device)
        outputs, state = model(pictures, torch.from_numpy(elapsed[part])[None].to(device), state, known)
        logits, _ = model.split(outputs[0])
        probabilities.append(torch.softmax(logits, dim=-1).cpu().numpy())
    return Played(recording, np.array(frames), np.concatenate(probabilities))


def accuracies(played: Iterable[Played]) -> tuple[float, float]:
    """Accuracy per frame, and at the end of each recording, from 0 to 1; zero where nothing was played."""
    right = [each.right for each in played]
    frames = sum(map(len, right))
    at_end = sum(bool(len(r) and r[-1]) for r in right)
    return sum(int(r.sum()) for r in right) / max(frames, 1), at_end / max(len(right), 1)
