"""A model soup: models that begin alike and learn apart, each by its own chance, become one of their mean weights.

It judges more steadily than any of them, and costs what one costs (Wortsman et al., ICML 2022). That holds where
they begin from a model that has learned already: those that begin at random end up far apart, and the mean of their
weights knows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, need
from streamrec.nn.config import ModelConfig
from streamrec.nn.model import ActionModel
from streamrec.train.distributed import Ranks
from streamrec.train.fit import Progress, TrainSettings, fit

need("torch", extra="train")

import torch  # noqa: E402


def check_start(settings: TrainSettings, weights: str | None) -> None:
    """Raise ``DataError`` for a soup whose members have no learned model to begin from."""
    if settings.soup > 1 and weights in (None, "imagenet"):
        raise DataError(
            f"the weights of {settings.soup} models that begin at random cannot be averaged: give --weights, a model "
            "that has learned (the file of a first run, or a shipped model's name), or --soup 1"
        )


def fit_soup(
    recordings: list[Recording],
    config: ModelConfig,
    settings: TrainSettings,
    *,
    background: list[Recording] | None = None,
    weights: str | None = None,
    watched: list[Recording] | None = None,
    resumes: Sequence[Path | None] | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], object] = lambda sentence: None,
    ranks: Ranks | None = None,
) -> ActionModel:
    """``fit`` each of ``settings.soup`` members, one after the other; returns the model of their mean weights.

    ``resumes``: a file for each member. ``tell`` hears of one run that is as long as all of them; what it hears of
    ``watched`` is a member's. All else is as for ``fit``.
    """
    check_start(settings, weights)
    resumes = resumes or [None] * settings.soup
    models = [
        fit(
            recordings,
            config,
            settings,
            member=member,
            background=background,
            weights=weights,
            watched=watched,
            resume=resume,
            tell=_told_as_part(tell, member, settings),
            say=say,
            ranks=ranks,
        )
        for member, resume in zip(range(settings.soup), resumes, strict=True)
    ]
    return mean_of(models)


def mean_of(models: Sequence[ActionModel]) -> ActionModel:
    """The first model, its weights and norms' statistics the mean of all; what is counted in them stays the first's."""
    first, states = models[0], [model.state_dict() for model in models]
    with torch.no_grad():
        for name, value in states[0].items():
            if value.is_floating_point():
                value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return first


def _told_as_part(
    tell: Callable[[Progress], None], member: int, settings: TrainSettings
) -> Callable[[Progress], None]:
    """Tells where a member stands as where the soup does."""
    if settings.soup == 1:
        return tell

    def told(progress: Progress) -> None:
        step = member * settings.steps + progress.step
        tell(replace(progress, step=step, steps=settings.soup * settings.steps, best_at=None))

    return told
