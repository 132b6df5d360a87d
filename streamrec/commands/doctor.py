"""`streamrec doctor`: what works on this machine, found by trying it, and what to install."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from streamrec.commands.exit_codes import FAILED
from streamrec.commands.missing_package import what_is_missing
from streamrec.commands.printing import print_text
from streamrec.core.version import version_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. ``good``: True it works, False it is needed and broken, None it is not there."""

    what: str
    good: bool | None
    found: str


# An extra of pyproject.toml: what it is for, and the packages that it brings.
_EXTRAS = {
    "train": (
        "train, crossval, export, --explain, and a GPU",
        ("torch", "torchvision", "timm", "onnx", "onnxscript", "matplotlib", "tensorboard"),
    ),
    "web": ("the page, --web", ("fastapi", "httptools", "tomlkit", "uvicorn", "websockets")),
    "mqtt": ("MQTT and Home Assistant", ("paho-mqtt",)),
    "serial": ("sensors at a serial port, serial:/dev/...", ("pyserial",)),
    "mic": ("the microphone of this machine, mic:", ("sounddevice",)),
    "discover": ("finding cameras of the network", ("defusedxml",)),
    "apprise": ("notifications by e-mail, Telegram, Signal and more", ("apprise",)),
    "fleet": ("cameras on several machines, `streamrec fleet`", ("ray", "cryptography")),
}


def check_all() -> Iterator[Finding]:
    """Try everything, the quick things first."""
    yield Finding(
        "python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform()}"
    )
    for package in ("opencv-python", "av", "onnxruntime"):
        yield _package(package)
    for extra in _EXTRAS:
        yield from _extra(extra)
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        yield Finding("opencv", False, what_is_missing(error))
        return
    yield _display()
    yield from _cameras()
    yield from _formats()
    yield from _engines()


def _package(name: str) -> Finding:
    if (version := version_of(name)) is not None:
        return Finding(name, True, version)
    if name == "opencv-python":
        for other in ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"):
            if (version := version_of(other)) is not None:
                return Finding(name, True, f"{version} ({other})")
    return Finding(name, False, f"not installed; pip install {name}")


def _extra(name: str) -> Iterator[Finding]:
    """The packages of an extra, each on a line, where all are there; else what it is for, and how to install it."""
    use, packages = _EXTRAS[name]
    found = {package: version_of(package) for package in packages}
    missing = [package for package, version in found.items() if version is None]
    if missing:
        which = "not installed" if len(missing) == len(found) else f"{', '.join(missing)} not installed"
        yield Finding(f"extra {name}", None, f"{which}: for {use}; pip install 'streamrec[{name}]'")
    for package, version in found.items():
        if version is not None:
            yield Finding(package, True, version)


def _display() -> Finding:
    from streamrec.outputs.window import why_no_display

    reason = why_no_display()
    return Finding("display", True if reason is None else None, reason or "windows can be opened")


def _cameras() -> Iterator[Finding]:
    from streamrec.errors import SourceError
    from streamrec.sources.open import WebcamSource

    devices: list[int | str] = [*map(str, sorted(Path("/dev").glob("video*")))]
    if not sys.platform.startswith("linux"):
        devices = [0, 1]
    for device in devices:
        try:
            frame = next(iter(WebcamSource(device)))
            height, width = frame.image.shape[:2]
            yield Finding(f"camera {device}", True, f"{width}x{height}")
        except SourceError as error:
            yield Finding(
                f"camera {device}",
                None,
                str(error).replace("; `streamrec doctor` lists the cameras that are there", ""),
            )
    if not devices:
        yield Finding(
            "camera", None, "none at /dev/video*; try a file, an rtsp:// address, or `streamrec demo`"
        )


def _formats() -> Iterator[Finding]:
    import av

    for codec, use in (("h264", "most cameras and files"), ("hevc", "newer cameras"), ("mjpeg", "webcams")):
        there = codec in av.codecs_available
        yield Finding(f"reads {codec}", there, use if there else "missing; pip install --force-reinstall av")
    for codec, use in (("libx264", "--save out.mp4"), ("libvpx-vp9", "--save out.webm")):
        there = codec in av.codecs_available
        yield Finding(
            f"writes {codec}", there or None, use if there else "missing; pip install --force-reinstall av"
        )


def _engines() -> Iterator[Finding]:
    from streamrec.errors import MissingExtra, StreamrecError
    from streamrec.settings.tuned_file import DEFAULT_MODEL

    for engine in ("onnx", "torch"):
        try:
            yield Finding(f"engine {engine}", True, _timed(DEFAULT_MODEL, engine))
        except MissingExtra as error:
            yield Finding(f"engine {engine}", None, str(error))
        except ImportError as error:
            yield Finding(f"engine {engine}", False, what_is_missing(error))
        except StreamrecError as error:
            yield Finding(f"engine {engine}", False, str(error))
    try:
        import torch
    except ImportError:  # reported above
        return
    gpu = torch.cuda.is_available()
    yield Finding(
        "gpu",
        gpu or None,
        torch.cuda.get_device_name() if gpu else "none that torch can use; the CPU will do",
    )


def _timed(name: str, engine: str) -> str:
    import numpy as np

    from streamrec.runtime.recognizer import Recognizer
    from streamrec.types import Frame

    recognizer = Recognizer.load(name, engine=engine, device="cpu")
    state = recognizer.initial_state()
    image = np.zeros((480, 640, 3), np.uint8)
    took = []
    for index in range(30):
        begun = time.perf_counter()
        _, state = recognizer.step(Frame(image, index, index / recognizer.fps), state)
        took.append(time.perf_counter() - begun)
    return f"{1000 * sorted(took)[len(took) // 2]:.1f} ms a frame with the {name} model"


def doctor() -> None:
    """Check cameras, display, video formats and engines.

    It tries them, and prints what works here and what to install for the others.
    """
    marks = {
        True: ("ok", typer.colors.GREEN),
        False: ("no", typer.colors.RED),
        None: ("--", typer.colors.YELLOW),
    }
    failed = False
    for finding in check_all():
        mark, colour = marks[finding.good]
        failed |= finding.good is False
        typer.secho(f"{mark:3}", fg=colour, nl=False)
        print_text(f"{finding.what:16} {finding.found}")
    raise typer.Exit(FAILED if failed else 0)
