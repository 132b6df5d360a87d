"""A model soup: the mean of several models that start from the same weights (Wortsman et al., ICML 2022).

Its predictions are steadier than those of any member, at the cost of one model. That holds where the members start from
a trained model: those that start at random end up far apart, and the mean of their weights is useless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError, need
from streamrec.nn.config import ModelConfig
from streamrec.nn.model import ActionModel
from streamrec.train.fit import Progress, RunOptions, TrainSettings, fit

need("torch", extra="train")

import torch  # noqa: E402


def check_start(settings: TrainSettings, weights: str | None) -> None:
    """Raise ``DataError`` for a soup whose members have no trained model to start from."""
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
    options: RunOptions = RunOptions(),
) -> ActionModel:
    """``fit`` each of ``settings.soup`` members, one after the other; returns the model of their mean weights.

    ``resumes``: a file for each member. ``options.on_progress`` gets the progress of one run that is as long as all
    members together; its accuracy on ``watched`` is that of a member. Everything else is as for ``fit``.
    """
    check_start(settings, weights)
    resumes = resumes or [None] * settings.soup
    models = [
        fit(
            recordings,
            config,
            settings,
            background=background,
            weights=weights,
            watched=watched,
            options=replace(
                options,
                member=member,
                resume=resume,
                on_progress=_of_the_soup(options.on_progress, member, settings),
            ),
        )
        for member, resume in zip(range(settings.soup), resumes, strict=True)
    ]
    return mean_of(models)


def mean_of(models: Sequence[ActionModel]) -> ActionModel:
    """The first model with the mean of all weights and norm statistics; integer counters stay the first model's."""
    if len(models) == 1:
        return models[
            0
        ]  # to the bit: a mean makes 0 of -0, and features that are cached would be computed again
    first, states = models[0], [model.state_dict() for model in models]
    with torch.no_grad():
        for name, value in states[0].items():
            if value.is_floating_point():
                value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return first


def _of_the_soup(
    on_progress: Callable[[Progress], None], member: int, settings: TrainSettings
) -> Callable[[Progress], None]:
    """A callback for the progress of one member that passes it on as progress of the whole soup."""
    if settings.soup == 1:
        return on_progress

    def of_member(progress: Progress) -> None:
        step = member * settings.steps + progress.step
        on_progress(replace(progress, step=step, steps=settings.soup * settings.steps, best_at=None))

    return of_member
