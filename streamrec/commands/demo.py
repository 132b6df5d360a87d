"""`streamrec demo`: the synthetic world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import OUTPUT, SOURCE, Show, option


def demo(
    out: Annotated[Path, option(OUTPUT, "The folder for the video and the JSON Lines.")] = Path(
        "demo-output"
    ),
    seconds: Annotated[float, option(SOURCE, "Seconds to watch.", min=1.0)] = 30.0,
    seed: Annotated[int, option(SOURCE, "Random seed of the world.", min=0)] = 7,
    show: Show = None,
) -> None:
    """Watch the synthetic world: no camera needed. Ends with a video and what was recognized.

    \b
    Examples:
      streamrec demo
      streamrec demo --seconds 60 --seed 3 --out /tmp/demo
    """
    from streamrec.commands.run_job import RunJob
    from streamrec.evaluation.metrics import Accuracy
    from streamrec.runtime.recognizer import Recognizer
    from streamrec.sources.synthetic import UNSEEN, World, WorldSettings

    out.mkdir(parents=True, exist_ok=True)
    video, lines = out / "demo.mp4", out / "demo.jsonl"
    world = World(
        WorldSettings(
            seed=UNSEEN + seed,
            width=640,
            height=480,
            seconds=seconds,
            scene_seconds=10.0,
            action_seconds=(2.5, 5.0),
        )
    )
    accuracy = Accuracy()
    RunJob(
        source=world,
        recognizer=Recognizer.load("synthetic"),
        model="synthetic",
        save=video,
        jsonl=str(lines),
        show=show,
        also=lambda result: accuracy.update(result.frame.truth, result.prediction.label),
    ).run()
    right = accuracy.get()
    if right is not None:
        typer.echo(f"{100 * right:.1f} % of the frames were given their true label")
    typer.echo(f"video:  {video}\nevents: {lines}")
