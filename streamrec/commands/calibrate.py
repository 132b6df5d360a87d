"""`streamrec calibrate`: thresholds for a rate of false alarms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from streamrec.commands.option_values import parse_relabel
from streamrec.commands.options import (
    DATA,
    OUTPUT,
    AsJson,
    Device,
    Engine,
    EngineName,
    ModelArgument,
    Relabel,
    option,
)
from streamrec.commands.printing import log, log_left_out, print_json, print_text, progress

if TYPE_CHECKING:
    from streamrec.runtime.recognizer import Recognizer
    from streamrec.types import Source


def calibrate(
    model: ModelArgument,
    background: Annotated[
        list[str],
        option(DATA, "Footage in which nothing happens: a video, or a folder of videos; may be repeated."),
    ],
    max_false_alarms: Annotated[
        str, option(DATA, "Allowed false alarms, all labels together: 1/day, 2/hour, 1/week.")
    ] = "1/day",
    actions: Annotated[
        str | None, option(DATA, "Labelled actions, as for eval, to measure how many are missed.")
    ] = None,
    relabel: Relabel = "",
    out: Annotated[
        Path | None, option(OUTPUT, "Write the model with these thresholds to this file.", "--out", "-o")
    ] = None,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Fit a model's thresholds to a place.

    It takes footage of the place in which nothing happens. It reports how many false alarms are to be expected, how
    many actions are missed for it, and how much footage that is based on. The thresholds are printed for
    cameras.toml, or written into a copy of the model with --out.

    \b
    Examples:
      streamrec calibrate fight --background quiet_nights/ --max-false-alarms 1/day
      streamrec calibrate fight --background yard.mp4 --actions fights.csv --out yard.safetensors
    """
    from streamrec.core.files import keep_inputs
    from streamrec.data.clips import find_clips
    from streamrec.errors import ModelError
    from streamrec.evaluation import alarm_calibration as alarms
    from streamrec.evaluation.evaluate import play_clips
    from streamrec.runtime.checkpoint import model_file
    from streamrec.runtime.recognizer import Recognizer

    if out is not None and out.suffix != ".safetensors":
        raise ModelError(f"{out}: the file to write ends in .safetensors")
    read = [model_file(model), *map(Path, background), None if actions is None else Path(actions)]
    keep_inputs({"--out": out}, read)
    per_hour = alarms.parse_rate(max_false_alarms)
    recognizer = Recognizer.load(model, engine=engine.value, device=device)
    sources = alarms.footage_of(background, recognizer)
    clips = [] if actions is None else find_clips(actions, relabel=parse_relabel(relabel))
    footage = _play_footage(recognizer, sources)
    with progress("clips", len(clips)) as update:
        played, unreadable = play_clips(recognizer, clips, on_progress=update)
    log_left_out(unreadable)
    contract = alarms.calibrate(
        footage, recognizer.labels, recognizer.config.events, per_hour=per_hour, actions=played
    )
    if as_json:
        print_json(contract.to_dict())
    else:
        print_text(alarms.text_of(contract))
    _write(contract, model, out, as_json=as_json)


def _play_footage(recognizer: Recognizer, sources: list[Source]) -> list[Any]:
    from streamrec.evaluation.alarm_calibration import score_recording
    from streamrec.sources.health import amiss

    footage = []
    with progress("recordings", len(sources)) as update:
        for done, source in enumerate(sources, 1):
            footage.append(score_recording(recognizer, source))
            if (why := amiss(source)) is not None:
                log_left_out([f"{source.name} in part: {why}"])
            update(done)
    return footage


def _write(contract: Any, model: str, out: Path | None, *, as_json: bool) -> None:
    """Into a copy of the model, or as lines for cameras.toml."""
    from streamrec.errors import ModelError
    from streamrec.evaluation.alarm_calibration import toml_of
    from streamrec.runtime.checkpoint import save_with

    lines = toml_of(contract)
    text = f"\nFor cameras.toml, below the camera that it is for:\n\n{lines}"
    if out is not None:
        try:
            save_with(model, out, events=contract.settings)
        except ModelError:  # what was measured is not lost with it
            if lines:
                log(text)
            raise
        if not as_json:
            print_text(f"\nwrote {out}")
    elif lines and not as_json:
        print_text(text)
