"""Explanations: which places of the image contributed to a label (HiResCAM), computed only when asked for."""

from __future__ import annotations

import copy
import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np

from streamrec.core.context import unpicklable
from streamrec.core.messages import described
from streamrec.core.state import State
from streamrec.core.threads import for_engine
from streamrec.errors import ModelError, StateError, need
from streamrec.nn.encoders.last_maps import laid_out
from streamrec.nn.model import ActionModel
from streamrec.nn.transforms import Transform, pixels_of
from streamrec.runtime.checkpoint import find_model, load_model
from streamrec.runtime.torch_engine import check_process, settle_after_fork
from streamrec.types import Frame

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

LEAST = 1e-9  # evidence below this is noise, which normalizing must not amplify


class Explainer:
    """Finds the evidence for a label in the image, at one step of a stream. Threads may share it.

    It is a torch model beside the running one, whichever engine that has, and does not change its predictions. The
    step is run again from the state that it was given, and the log-odds of the label are differentiated by the
    encoder's last maps. The evidence of a place is its activations there, less those of an empty image, times their
    gradients. Grad-CAM (Selvaraju et al., ICCV 2017) averages gradients over the image, which is right for a head on
    averages; our encoders keep the layout, so each place keeps its own gradient (HiResCAM; Draelos and Carin, 2020).
    """

    def __init__(self, model: ActionModel) -> None:
        """``model``: it is copied, so that its training is not disturbed."""
        if not isinstance(model, ActionModel):
            raise ModelError(
                f"an Explainer is made of an ActionModel, not of {described(model)}; "
                "Explainer.load(name_or_path) reads one"
            )
        transform = model.config.transform
        if not isinstance(transform, Transform):
            raise ModelError(
                f"an Explainer is for models of video, and this one takes {transform.described}; "
                "for readings take SignalExplainer"
            )
        self._process = os.getpid()
        settle_after_fork()
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        self.config = model.config
        self._maps = self._model.encoder.last_maps(transform.height, transform.width)
        if not self._maps:
            raise ModelError(
                f"the encoder {self.config.encoder} has no maps of the picture: where it looked cannot be shown"
            )
        self._lock = threading.Lock()  # hooks of one explanation must not collect another's maps
        self._blank = self._model.initial_state()
        gray = self._model.mean.expand(1, 3, transform.height, transform.width)
        self._empty = [maps for maps, _ in self._followed(gray, math.inf, self._blank, None)]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Not pickled: load it in the other process."""
        unpicklable(self)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Explainer:
        """Of a shipped model by name, or of a model file by path; raises ``ModelError``."""
        return cls(load_to_explain(name_or_path, "it cannot be shown where it looked"))

    def heat(self, frame: Frame, state: State, label: str | None = None) -> np.ndarray:
        """(H, W) float32 over the frame's image: 1 at the strongest evidence for the label, 0 where there is none.

        ``state``: as it was before the step of this frame; it stays as it was. ``label``: None for the likeliest.
        Raises ``StateError`` for the state of another model.
        """
        evidence = [
            self._placed((maps - empty) * slopes)
            for (maps, slopes), empty in zip(self._asked(frame, state, label), self._empty, strict=True)
        ]
        heat = np.maximum(np.sum(evidence, axis=0), 0.0)
        return self.config.pictures.project_back(heat / max(float(heat.max()), LEAST), *frame.image.shape[:2])

    def _asked(self, frame: Frame, state: State, label: str | None) -> list[tuple[Tensor, Tensor]]:
        """The last maps at this frame's step, each with the gradients of the label's log-odds."""
        check_process(self._process)
        if state.tracks:  # after those of the model its caches are of who was found
            cache = state.cache[: len(self._blank.cache)]
            state = replace(state, cache=cache, tracks=(), persons=())
        check_state(state, self._blank)
        elapsed = state.elapsed(np.array([frame.timestamp]), np.array([frame.segment]))
        head, cache = (tuple(map(torch.from_numpy, arrays)) for arrays in (state.head, state.cache))
        return self._followed(
            torch.from_numpy(self.config.transform.prepared(frame.image)).unsqueeze(0),
            float(elapsed[0]),
            replace(self._blank, head=head, cache=cache),
            label,
        )

    def _followed(
        self, image: Tensor, elapsed: float, state: State, label: str | None
    ) -> list[tuple[Tensor, Tensor]]:
        """(1, 3, h, w) -> the last maps of this step, each with the gradients of the label's log-odds."""
        threads = for_engine(pixels_of(self.config.transform))
        with (
            self._lock,
            at_most(threads),
            torch.inference_mode(False),
            torch.enable_grad(),
            _kept(self._maps) as kept,
        ):
            outputs, _ = self._model.step(image, torch.tensor([elapsed]), state)
            logits = self._model.split(outputs)[0][0]
            slopes = torch.autograd.grad(
                log_odds(logits, label_index(self.config.labels, logits, label)), kept
            )
        return [(maps.detach(), slope) for maps, slope in zip(kept, slopes, strict=True)]

    def _placed(self, evidence: Tensor) -> np.ndarray:
        """The evidence of each activation -> (height, width), of each pixel of the model's input."""
        height, width = self.config.pictures.height, self.config.pictures.width
        maps = laid_out(evidence, height, width)
        assert maps is not None  # such modules were chosen
        cells = maps.sum(0).numpy()
        # A cell's evidence is shared by its pixels, so that coarse and fine maps can be added.
        return cv2.resize(cells * (cells.size / (height * width)), (width, height))


def load_to_explain(name_or_path: str | Path, lacks: str) -> ActionModel:
    """A shipped model by name, or of a model file by path; raises ``ModelError``.

    ``lacks``: what is not possible with an exported graph, for the message.
    """
    path = find_model(name_or_path)
    if path.suffix == ".onnx":
        raise ModelError(
            f"{path} is an exported graph without torch weights, so {lacks}; "
            "give the .safetensors file that it was exported from"
        )
    return load_model(path)


def check_state(state: State, blank: State) -> None:
    """Raise ``StateError`` for a state whose shapes are not those of the model's initial one."""
    given, own = ([a.shape for a in (*s.head, *s.cache)] for s in (state, blank))
    if given != own:
        raise StateError("this state belongs to another model, or to more than one stream")


def label_index(labels: Sequence[str], logits: Tensor, label: str | None) -> int:
    """The number of a label, None: of the likeliest; raises ``ModelError`` for an unknown one."""
    if label is None:
        return int(logits.argmax())
    if label not in labels:
        raise ModelError(f"there is no label {label!r}; the labels are {', '.join(labels)}")
    return labels.index(label)


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Torch in so many threads: on busy cores, threads of a small CNN wait for each other more than they work."""
    before = torch.get_num_threads()
    if before <= threads:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _kept(modules: tuple[nn.Module, ...]) -> Iterator[list[Tensor]]:
    """Collect the outputs of the modules, detached: no gradient is computed further back."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, given: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # the next module may work in place

    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def log_odds(logits: Tensor, index: int) -> Tensor:
    """Of one label against all others: its gradient shows what sets it apart, however confident the model is."""
    others = torch.cat([logits[:index], logits[index + 1 :]])
    return logits[index] - others.logsumexp(0) if len(others) else logits[index]
