"""`streamrec export`: a model as one ONNX file, or again as a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from streamrec.commands.options import OUTPUT, ModelArgument, option
from streamrec.commands.printing import print_text


def export(
    model: ModelArgument,
    out: Annotated[Path, option(OUTPUT, "The .onnx or .safetensors file to write.", "--out", "-o")],
    int8: Annotated[
        bool,
        option(OUTPUT, "Quantize convolutions to 8 bits, and report what that gains and loses.", "--int8"),
    ] = False,
    calibrate: Annotated[
        str | None, option(OUTPUT, "With --int8: clips as for train, or a folder of videos.")
    ] = None,
) -> None:
    """Write a model as one .onnx file.

    Weights, labels and settings are in it; the state is among its inputs and outputs. It runs where torch is not
    installed. As .safetensors it is the same model again, its step graph exported by this version: a model that an
    older one wrote may be slower than need be.

    With --int8 the ranges are calibrated on real frames. It pays for models with a large CNN, on processors that
    multiply bytes.

    \b
    Examples:
      streamrec export fight --out fight.onnx
      streamrec export workout --int8 --calibrate my_clips/ --out workout-int8.onnx
      streamrec export mine.safetensors --out quicker.safetensors
    """
    from streamrec.core.files import keep_inputs
    from streamrec.errors import ModelError
    from streamrec.runtime.checkpoint import (
        build_model,
        export_checkpoint,
        model_file,
        read_checkpoint,
        save_model,
    )

    if out.suffix not in (".onnx", ".safetensors"):
        raise ModelError(f"{out}: the file to write ends in .onnx or .safetensors")
    keep_inputs({"--out": out}, [model_file(model), calibrate])
    if int8 != (calibrate is not None) or (int8 and out.suffix != ".onnx"):
        raise ModelError("--int8 and --calibrate CLIPS go together, and --out is a .onnx file then")
    if calibrate is not None:
        from streamrec.runtime.quantize import quantize

        videos = _videos(calibrate)
        keep_inputs({"--out": out}, videos)
        done = quantize(model, out, videos)
        print_text(
            f"on {done.frames} other frames: the same label for {100 * done.same:.1f} %, probabilities off by "
            f"{done.difference:.3f}; a step in {1000 * done.after:.2f} ms instead of {1000 * done.before:.2f}"
        )
        print_text(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
        return
    checkpoint = read_checkpoint(model)
    if out.suffix == ".onnx":
        export_checkpoint(checkpoint, out)
    else:
        save_model(out, build_model(checkpoint))
    print_text(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def _videos(data: str) -> list[Path]:
    """The videos of a data set, or those of a folder."""
    from streamrec.core.reading import path_of
    from streamrec.data.clips import find_clips
    from streamrec.sources.files import VIDEO_ENDINGS

    folder = path_of(data)
    found = (
        sorted(p for p in folder.glob("*") if p.suffix.lower() in VIDEO_ENDINGS) if folder.is_dir() else []
    )
    return found or [clip.path for clip in find_clips(data, least=1)]
