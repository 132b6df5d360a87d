"""`streamrec familiar`: fit the out-of-distribution score of a model to images that it should know."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from streamrec.commands.options import OUTPUT, ModelArgument, ModelOut, option
from streamrec.commands.printing import log, log_left_out, print_text


def familiar(
    model: ModelArgument,
    data: Annotated[
        list[str], typer.Argument(help="What it learned from, as for train; or videos of a place.")
    ],
    out: ModelOut,
    strangest: Annotated[
        float | None,
        option(
            OUTPUT,
            "Out-of-distribution score above which no action starts: 1 is the border, 0 is off.",
            min=0.0,
        ),
    ] = None,
) -> None:
    """Teach a model which images it knows.

    It then reports others as unknown. The network stays as it is, to the bit. A model that train wrote knows already
    what it learned from.

    \b
    Examples:
      streamrec familiar mine.safetensors my_clips/ --out mine-again.safetensors
      streamrec familiar fight yard_by_day.mp4 yard_by_night.mp4 --strangest 1 --out yard.safetensors
    """
    from streamrec.core.files import keep_inputs
    from streamrec.errors import ModelError
    from streamrec.nn.ood import KnownFeatures
    from streamrec.runtime.checkpoint import model_file, read_checkpoint, save_with
    from streamrec.train.ood_fit import known_of, recordings_of

    if out.suffix != ".safetensors":
        raise ModelError(f"{out}: the file to write ends in .safetensors")
    keep_inputs({"--out": out}, [model_file(model), *data])
    config = read_checkpoint(model).config
    recordings, unreadable = recordings_of(data, config)
    log_left_out(unreadable)
    if isinstance(config.known, KnownFeatures):
        from streamrec.runtime.checkpoint import load_model
        from streamrec.train.ood_features import known_features_of

        save = partial(save_with, known=known_features_of(load_model(model), recordings))
    else:
        save = partial(save_with, known=known_of(recordings, config.fps))
    events = config.events if strangest is None else replace(config.events, strangest=strangest)
    save(model, out, events=events)
    groups = len({recording.group for recording in recordings})
    print_text(f"wrote {out}: it knows the pictures of {len(recordings)} recordings, {groups} groups")
    if groups < 2:
        log("one group alone says little of what else is to be expected; give several places or days")
