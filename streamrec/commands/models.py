"""`streamrec models`: what ships."""

from __future__ import annotations

from typing import Annotated

import typer

from streamrec.commands.printing import print_text
from streamrec.core.model_names import ANOMALY


def models(
    encoders: Annotated[
        bool, typer.Option("--encoders", help="List the encoders that train knows instead.")
    ] = False,
    search: Annotated[str, typer.Option(help="With --encoders: only names with this text in them.")] = "",
) -> None:
    """List the models that come with streamrec.

    \b
    Examples:
      streamrec models
      streamrec models --encoders --search mobilenet
    """
    if encoders:
        from streamrec.nn.encoders import encoder_names

        for name in encoder_names():
            if search in name:
                typer.echo(name)
        return
    from streamrec.runtime.checkpoint import find_model, read_checkpoint, shipped_models

    for name in shipped_models():
        path = find_model(name)
        config = read_checkpoint(path).config
        typer.secho(f"{name}", bold=True, nl=False)
        typer.echo(
            f"  {path.stat().st_size / 1e6:.1f} MB, {config.fps:g} frames a second, {config.encoder} encoder"
        )
        print_text(f"    {config.about}")
        print_text(f"    labels: {', '.join(config.labels)}")
        print_text(f"    learned from the sets: {', '.join(config.learned) or 'none is named'}")
    from streamrec.runtime.anomaly import AnomalyRecognizer

    config = AnomalyRecognizer().config
    typer.secho(f"{ANOMALY}", bold=True, nl=False)
    typer.echo("  no file: any series of numbers, at any rate")
    print_text(f"    {config.about}")
    print_text(f"    labels: {', '.join(config.labels)}")
