"""What is no camera at all: a webcam that is not there, files that are no videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

NO_WEBCAM = "97"  # the number of a webcam that no machine has


def whole_file(folder: Path) -> Path:
    """A video of 40 pictures whose index comes first, so that a part of it can be read."""
    path = folder / "whole.mp4"
    if path.exists():
        return path
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.gop_size = 10
        chance = np.random.default_rng(5)
        for _ in range(40):
            picture = chance.integers(0, 256, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def cut_file(folder: Path) -> str:
    """Its first half: the index promises more pictures than there are."""
    data = whole_file(folder).read_bytes()
    path = folder / "cut.mp4"
    path.write_bytes(data[: len(data) // 2])
    return str(path)


def headless_file(folder: Path) -> str:
    """Its second half: there is no index."""
    data = whole_file(folder).read_bytes()
    path = folder / "headless.mp4"
    path.write_bytes(data[len(data) // 2 :])
    return str(path)


def empty_file(folder: Path) -> str:
    path = folder / "empty.mp4"
    path.write_bytes(b"")
    return str(path)


def text_file(folder: Path) -> str:
    path = folder / "text.mp4"
    path.write_text("This is a list of things to do, and no video.\n" * 50)
    return str(path)


def no_webcam(folder: Path) -> str:
    return NO_WEBCAM


ELSEWHERE: dict[str, Callable[[Path], str]] = {
    "webcam that is not there": no_webcam,
    "file cut in half": cut_file,
    "file without its head": headless_file,
    "empty file": empty_file,
    "text file named .mp4": text_file,
}
