"""Run a model with torch, on a CPU or a GPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from streamrec.checkpoint import Checkpoint, build_model
from streamrec.engines import Arrays, Engine
from streamrec.errors import ModelError


class TorchEngine(Engine):
    """Eager torch in inference mode."""

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._device = torch.device(device)
            self._model = build_model(checkpoint).to(self._device)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"torch cannot use the device {device!r}: {str(error).splitlines()[0]}"
            ) from error
        self.device = device
        self.config = self._model.config
        self._blank = self._model.initial_state()
        self.head_shapes = tuple(tuple(a.shape[1:]) for a in self._blank.head)
        self.cache_shapes = tuple(tuple(a.shape[1:]) for a in self._blank.cache)

    def step(
        self, pictures: np.ndarray, elapsed: np.ndarray, head: Arrays, cache: Arrays
    ) -> tuple[np.ndarray, np.ndarray | None, Arrays, Arrays]:
        """One pass of the model over N streams."""
        with torch.inference_mode():
            state = replace(self._blank, head=self._tensors(head), cache=self._tensors(cache))
            seen, seconds = self._tensors((pictures, elapsed))
            outputs, state = self._model.step(seen, seconds, state)
            logits, phase = self._model.split(outputs)
            probabilities = torch.softmax(logits, dim=-1).cpu().numpy()
            return (
                probabilities,
                None if phase is None else phase.cpu().numpy(),
                _arrays(state.head),
                _arrays(state.cache),
            )

    def _tensors(self, arrays: Arrays) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(array).to(self._device) for array in arrays)


def _arrays(tensors: tuple[torch.Tensor, ...]) -> Arrays:
    return tuple(tensor.contiguous().cpu().numpy() for tensor in tensors)
