"""Cameras for tests, each a process of its own on the loopback address.

::

    with rtsp_camera(fps=25) as camera:
        video = cv2.VideoCapture(camera)      # the camera is its address
        camera.freeze()                       # says nothing more, its connections stay open
        camera.thaw()
        camera.kill()                         # gone at once; rtsp_camera(port=camera.port) brings it back
"""

from __future__ import annotations

import functools
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.helpers.certificates import make_certificate
from tests.helpers.paths import ROOT

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"  # GStreamer's bindings come with the system, not by pip
START_SECONDS = 20.0
# What every child is given. pytest writes the name of the test into the program's own environment, and a child that
# another thread starts just then finds it half moved ("Bad address").
ENVIRONMENT = dict(os.environ)
PROBE = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
needed = "appsrc x264enc x265enc jpegenc rtph264pay rtph265pay rtpjpegpay".split()
print(*[name for name in needed if not Gst.ElementFactory.find(name)])
"""


class Camera(str):
    """The address of a running camera, user and password included, that can be frozen or killed."""

    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        port = urlsplit(self).port
        assert port is not None
        return port

    def freeze(self) -> None:
        """Stop the process: its connections stay open and nothing comes, as with a hung camera."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stand_still(self, still: bool = True) -> None:
        """Send the same picture again and again (RTSP only), or go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("still\n" if still else "moving\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End the process at once, with no good-bye; returns when its port is closed."""
        self.process.kill()
        self.process.wait()


@functools.cache
def rtsp_missing() -> str | None:
    """Why no RTSP server can be started here, or None."""
    try:
        run = subprocess.run(
            [SYSTEM_PYTHON, "-c", PROBE], capture_output=True, text=True, timeout=60, env=ENVIRONMENT
        )
    except OSError:
        return f"there is no {SYSTEM_PYTHON}"
    if run.returncode:
        reason = run.stderr.strip().rpartition("\n")[2]
        return f"{SYSTEM_PYTHON} has no GstRtspServer ({reason}); .ci/system-packages lists what to install"
    if run.stdout.strip():
        return f"GStreamer has no {run.stdout.strip()}; .ci/system-packages lists what to install"
    if not shutil.which("ffmpeg"):
        return "there is no ffmpeg to decode what is served; .ci/system-packages lists what to install"
    return None


def need_rtsp() -> None:
    """Skip the test where no RTSP server can be started; on the build machine that is a failure."""
    reason = rtsp_missing()
    if reason and os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@contextmanager
def rtsp_camera(
    file: str | Path | None = None,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    codec: str = "h264",
    stamp: bool = True,
    loops: int = 0,
    port: int = 0,
    user: str = "",
    password: str = "",
    auth: str = "digest",
    transport: str = "any",
    kbit: int = 2000,
    pattern: str = "bar",
    vary: bool = False,
    tls: bool = False,
    keys: int = 0,
    sound: bool = False,
) -> Iterator[Camera]:
    """An RTSP camera that plays a file over and over, or a test pattern of 640x480 at 25 frames a second.

    ``loops`` ends the stream after so many plays (of the pattern: seconds). With ``stamp``, ``read_stamp``
    finds frame number and time in each picture; one in ``keys`` is a key frame. ``codec`` "none" is sound without
    pictures; ``transport`` "tcp" or "udp" refuses the other; ``vary`` lets the rate swing between a third of it and
    the whole; ``tls`` makes it rtsps, with a certificate of its own; ``sound`` adds a track with a beep each
    second, and the same pictures without it at ``/mute``.
    """
    need_rtsp()
    command = [SYSTEM_PYTHON, str(HERE / "rtsp_server.py"), *([str(Path(file).resolve())] if file else [])]
    command += ["--codec", codec, "--loops", str(loops), "--port", str(port), "--auth", auth]
    command += ["--transport", transport, "--kbit", str(kbit), "--pattern", pattern]
    command += ["--keys", str(keys)] if keys else []
    command += ["--stamp"] if stamp else []
    command += ["--vary"] if vary else []
    command += ["--sound"] if sound else []
    command += _common(fps, size, user, password)
    with tempfile.TemporaryDirectory() as folder:
        command += ["--tls", _certificate(Path(folder))] if tls else []
        with _running(command, user, password) as camera:
            yield camera


@contextmanager
def rtsp_receiver(
    *, port: int = 0, user: str = "", password: str = "", auth: str = "digest"
) -> Iterator[Camera]:
    """An RTSP server that takes a stream at its address (RECORD), and serves it at ``/seen``."""
    need_rtsp()
    command = [SYSTEM_PYTHON, str(HERE / "rtsp_receiver.py"), "--port", str(port), "--auth", auth]
    command += _common(None, None, user, password)
    with _running(command, user, password) as camera:
        yield camera


@contextmanager
def http_camera(
    *,
    clip: str | Path | None = None,
    folder: str | Path | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    port: int = 0,
    user: str = "",
    password: str = "",
) -> Iterator[Camera]:
    """A camera that serves the stamped test pattern as MJPEG by HTTP.

    Also a file at ``/clip.mp4``, and what is in ``folder`` at ``/folder/``.
    """
    command = [sys.executable, "-m", "tests.helpers.http_server", "--port", str(port)]
    command += ["--clip", str(Path(clip).resolve())] if clip else []
    command += ["--folder", str(Path(folder).resolve())] if folder else []
    command += _common(fps, size, user, password)
    with _running(command, user, password) as camera:
        yield camera


@contextmanager
def live_by_ffmpeg(*output: str) -> Iterator[subprocess.Popen[bytes]]:
    """FFmpeg's test picture, 320x240 at 15 a second in real time, with sound; ``output`` is where and how."""
    need_rtsp()  # it asks for ffmpeg too
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "fatal",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x240:rate=15",
    ]
    command += ["-f", "lavfi", "-i", "sine", "-c:a", "aac", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    command += ["-preset", "ultrafast", "-tune", "zerolatency", "-g", "15", *output]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ENVIRONMENT) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def silent_camera(scheme: str = "rtsp") -> Iterator[str]:
    """The address of something that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"{scheme}://127.0.0.1:{server.getsockname()[1]}/live"


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _certificate(folder: Path) -> str:
    """A file with a key and a certificate for it."""
    pem = folder / "camera.pem"
    certificate, key = make_certificate(folder, "camera", env=ENVIRONMENT)
    pem.write_bytes(key.read_bytes() + certificate.read_bytes())
    return str(pem)


def _common(fps: float | None, size: tuple[int, int] | None, user: str, password: str) -> list[str]:
    words = ["--user", user, "--password", password] if user else []
    words += ["--fps", str(fps)] if fps else []
    words += ["--size", f"{size[0]}x{size[1]}"] if size else []
    return words


@contextmanager
def _running(command: list[str], user: str, password: str) -> Iterator[Camera]:
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
        ) as process,
    ):
        try:
            line = _first_line(process)
            if not line.startswith("READY "):
                process.kill()
                process.wait()
                complaints.seek(0)
                raise RuntimeError(f"the camera did not start: {line.strip()} {complaints.read().strip()}")
            address = line.split()[1]
            if user:
                address = address.replace("://", f"://{quote(user, safe='')}:{quote(password, safe='')}@")
            camera = Camera(address)
            camera.process = process
            yield camera
        finally:
            process.kill()  # a frozen process, too, ends by this
            process.wait()


def _first_line(process: subprocess.Popen[str]) -> str:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert process.stdout is not None
    read = process.stdout.readline
    threading.Thread(target=lambda: lines.put(read()), daemon=True).start()
    try:
        return lines.get(timeout=START_SECONDS)
    except queue.Empty:
        return f"no word from it in {START_SECONDS:g} s"
