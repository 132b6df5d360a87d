"""Explanations of readings: which channels, and which of the last moments, spoke for a label (integrated gradients)."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from streamrec.core.context import unpicklable
from streamrec.core.messages import described
from streamrec.core.state import State
from streamrec.core.threads import for_engine
from streamrec.errors import ModelError, WrongValue, need
from streamrec.nn.model import ActionModel
from streamrec.nn.signals import SignalTransform
from streamrec.runtime.explain import at_most, check_state, label_index, load_to_explain, log_odds
from streamrec.runtime.torch_engine import check_process, settle_after_fork
from streamrec.types import Frame, Relevance

need("torch", extra="train")

import torch  # noqa: E402

POINTS = 12  # between nothing and the readings, at which gradients are taken


class SignalExplainer:
    """Finds what spoke for a label in the last readings of a stream. Threads may share it.

    As ``Explainer``, it is a torch model beside the running one, and changes none of its predictions: the last steps
    are run again, from the state before them. The log-odds of the label in the last of them are followed back to each
    reading, along the way from nothing (the mean of the training data) to what was read: integrated gradients
    (Sundararajan et al., ICML 2017). So the parts sum to the change of the log-odds.
    """

    def __init__(self, model: ActionModel) -> None:
        """``model``: it is copied, so that its training is not disturbed."""
        if not isinstance(model, ActionModel):
            raise ModelError(
                f"a SignalExplainer is made of an ActionModel, not of {described(model)}; "
                "SignalExplainer.load(name_or_path) reads one"
            )
        transform = model.config.transform
        if not isinstance(transform, SignalTransform):
            raise ModelError(
                f"a SignalExplainer is for models of readings, and this one takes {transform.described}; "
                "for video take Explainer"
            )
        self._process = os.getpid()
        settle_after_fork()
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        self.config = model.config
        self._transform = transform
        self._lock = threading.Lock()  # one at a time: each uses all threads that it may
        self._one = self._model.initial_state()
        self._many = self._model.initial_state(POINTS)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Not pickled: load it in the other process."""
        unpicklable(self)

    @classmethod
    def load(cls, name_or_path: str | Path) -> SignalExplainer:
        """Of a shipped model by name, or of a model file by path; raises ``ModelError``."""
        return cls(load_to_explain(name_or_path, "that its predictions cannot be explained"))

    def relevance(self, frames: Sequence[Frame], state: State, label: str | None = None) -> Relevance:
        """What spoke for the label in the prediction of the last frame.

        ``frames``: the last ones of a stream, as they were stepped, the oldest first; ``state``: as it was before the
        step of the first. ``Recent`` remembers both. ``label``: None for the likeliest. Raises ``StateError`` for the
        state of another model, ``ModelError`` for an unknown label.
        """
        check_process(self._process)
        if not frames:
            raise WrongValue("there is no frame to explain: give those of the last seconds")
        check_state(state, self._one)
        rows = np.stack([self._transform.prepared(frame.data) for frame in frames])
        times = np.array([frame.timestamp for frame in frames])
        values, rest, index = self._integrated(rows, self._elapsed(frames, times, state), state, label)
        return Relevance(self.config.labels[index], self._transform.channels, times, values, rest)

    def _elapsed(self, frames: Sequence[Frame], times: np.ndarray, state: State) -> np.ndarray:
        """(T,) float32 seconds from the frame before; infinite where a segment begins."""
        segments = np.array([frame.segment for frame in frames])
        same = np.concatenate([segments[:1] == state.segment, np.diff(segments) == 0])
        return np.where(same, np.diff(times, prepend=state.clock), np.inf).astype(np.float32)

    def _integrated(
        self, rows: np.ndarray, elapsed: np.ndarray, state: State, label: str | None
    ) -> tuple[np.ndarray, float, int]:
        """(T, C), (T,) -> (T, C) parts of the log-odds, the log-odds less these, and the label's number."""
        nothing, read = torch.from_numpy(self._nothing(rows)), torch.from_numpy(rows)
        shares = (torch.arange(POINTS) + 0.5) / POINTS
        path = nothing + shares.view(-1, 1, 1) * (read - nothing)
        with self._lock, at_most(for_engine(1)), torch.inference_mode(False), torch.enable_grad():
            (logits,) = self._logits(read[None], elapsed, state)
            index = label_index(self.config.labels, logits, label)
            path = path.requires_grad_()
            found = self._logits(path, elapsed, state)
            (slopes,) = torch.autograd.grad(torch.stack([log_odds(one, index) for one in found]).sum(), path)
            values = ((read - nothing) * slopes.mean(0)).numpy()
            # The sum over few points is a little off: the difference goes to the rest.
            return values, float(log_odds(logits, index)) - float(values.sum()), index

    def _nothing(self, rows: np.ndarray) -> np.ndarray:
        """(T, C) rows of a stream that says nothing: the mean of the training data."""
        return np.broadcast_to(self._transform.blank(), rows.shape).astype(np.float32)

    def _logits(self, rows: torch.Tensor, elapsed: np.ndarray, state: State) -> torch.Tensor:
        """(N, T, C) -> (N, labels) after the last row; each stream goes on from the same state."""
        count = len(rows)
        blank = self._many if count == POINTS else self._model.initial_state(count)
        head, cache = (
            tuple(torch.from_numpy(a).expand(count, *a.shape[1:]).contiguous() for a in arrays)
            for arrays in (state.head, state.cache)
        )
        given = torch.from_numpy(elapsed).expand(count, -1)
        outputs, _ = self._model(rows, given, replace(blank, head=head, cache=cache))
        return self._model.split(outputs[:, -1])[0]
