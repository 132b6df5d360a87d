"""A model's head, run for one person a row: the part of a step that depends on who is in the picture."""

from __future__ import annotations

from streamrec.errors import need
from streamrec.nn.encoders.base import Encoder
from streamrec.nn.encoders.keypoints import KeypointEncoder, followed, no_person
from streamrec.nn.encoders.person_box import PersonBoxEncoder, no_box
from streamrec.nn.encoders.with_people import WithPeople
from streamrec.nn.heads import Memory
from streamrec.nn.model import ActionModel

need("torch", extra="train")

from torch import Tensor, nn  # noqa: E402


def of_frame(model: ActionModel) -> nn.Module | None:
    """The part of a model whose output an ``EachPerson`` is ``passed``; None: nothing is."""
    encoder = _own(model)
    return encoder.of_frame if isinstance(encoder, PersonBoxEncoder) else None


def _own(model: ActionModel) -> Encoder:
    """The model's encoder, without what hands on people beside it."""
    return model.encoder.encoder if isinstance(model.encoder, WithPeople) else model.encoder


class EachPerson(nn.Module):
    """The head of a model, and the part of its encoder that follows a person.

    What an encoder reads of a frame inside the person's box is an input, ``passed``. The memory is that of the head,
    then that of the encoder.
    """

    def __init__(self, model: ActionModel) -> None:
        """``model``: one whose encoder follows a person."""
        super().__init__()
        encoder = _own(model)
        assert isinstance(encoder, KeypointEncoder | PersonBoxEncoder)
        self.model, self.encoder = model, encoder
        self.head_size = len(model.head.initial_memory())  # arrays

    def initial_memory(self, people: int = 1) -> Memory:
        """Nothing was seen."""
        begin = no_box if isinstance(self.encoder, PersonBoxEncoder) else no_person
        return *self.model.head.initial_memory(people), *begin(self.model.mean, people)

    def forward(
        self, people: Tensor, elapsed: Tensor, memory: Memory, passed: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, Memory]:
        """(M, 6, 56), (M,) seconds -> outputs (M, C) as of the model, and the memory after the frame."""
        fresh, log_elapsed = self.model.timing(elapsed)
        head, cache = memory[: self.head_size], memory[self.head_size :]
        found, times, starts = people.unsqueeze(1), log_elapsed.unsqueeze(1), fresh.unsqueeze(1)
        if isinstance(self.encoder, PersonBoxEncoder):
            features, after = self.encoder.of_person(passed[0], found, times, starts, cache)
        else:
            person, after = followed(found, times, starts, cache, self.encoder.aspect)
            features = person.features
        outputs, later = self.model.head.step(features.squeeze(1), log_elapsed, fresh, head)
        return outputs, (*later, *after)
