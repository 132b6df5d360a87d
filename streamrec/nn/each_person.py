"""A model's keypoint head, run for one person a row: the part of a step that depends on who is in the picture."""

from __future__ import annotations

from streamrec.errors import need
from streamrec.nn.encoders.keypoints import followed, no_person
from streamrec.nn.heads import EnsembleHead, Head, Memory
from streamrec.nn.model import ActionModel

need("torch", extra="train")

from torch import Tensor, nn  # noqa: E402


def whole_picture(model: ActionModel) -> nn.Module | None:
    """The part of a model whose output an ``EachPerson`` is ``passed``; None: nothing is."""
    return model.head.statistics.classifier if isinstance(model.head, EnsembleHead) else None


class EachPerson(nn.Module):
    """The head of a model on keypoints, its encoder's memory of a body before it.

    Of an ensemble it is the half on keypoints; the output of the other half for the whole picture is an input,
    ``passed``. The memory is that of the head, who is followed, and what is remembered of the body.
    """

    def __init__(self, model: ActionModel) -> None:
        """``model``: one whose encoder reads keypoints."""
        super().__init__()
        self.model = model
        transform = model.config.transform
        self.aspect = transform.width / transform.height

    @property
    def _head(self) -> Head:
        head = self.model.head
        return head.recurrent if isinstance(head, EnsembleHead) else head

    def initial_memory(self, people: int = 1) -> Memory:
        """Nothing was seen."""
        head = self._head.initial_memory(people)
        return *head, *no_person(self.model.mean, people)

    def forward(
        self, people: Tensor, elapsed: Tensor, memory: Memory, passed: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, Memory]:
        """(M, 6, 56), (M,) seconds -> outputs (M, C) as of the model, and the memory after the frame."""
        fresh, log_elapsed = self.model.timing(elapsed)
        features, body = followed(
            people.unsqueeze(1), log_elapsed.unsqueeze(1), fresh.unsqueeze(1), memory[-2:], self.aspect
        )
        outputs, after = self._head.step(features.squeeze(1), log_elapsed, fresh, memory[:-2])
        if isinstance(self.model.head, EnsembleHead):
            outputs = self.model.head.mean(passed[0], outputs)
        return outputs, (*after, *body)
