"""What continuous recording costs a camera: CPU, and bytes on the disk.

    python -m benchmarks.recording --seconds 20

Frames are recorded at their own pace, with the overlay and without; beside it, the packets of the same video are copied
as a camera sends them, without decoding or encoding. Then cameras are recognized by ``--model`` in turns with recording
and without: as many as leave time to spare, and more than this machine can do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np

from streamrec.outputs.recording.files import segments
from streamrec.outputs.recording.recorder import Recorder
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.recording import RecordingSettings
from streamrec.types import Frame, Prediction, Result

FPS = 10.0
LABELS = ("idle", "wave", "fall")


def scenes(width: int, height: int) -> list[np.ndarray]:
    """A soft scene in which something moves, with the noise of a camera: (height, width, 3) each."""
    chance, found = np.random.default_rng(1), []
    y, x = np.mgrid[0:height, 0:width]
    for n in range(20):
        luma = 110 + 60 * np.sin(x / 90) * np.cos(y / 70) + chance.normal(0, 2, (height, width))
        luma[height // 3 : 2 * height // 3, 20 * n : 20 * n + width // 6] -= 60
        found.append(cv2.cvtColor(luma.clip(16, 235).astype(np.uint8), cv2.COLOR_GRAY2BGR))
    return found


def recorded(folder: Path, images: list[np.ndarray], seconds: float, *, overlay: bool) -> tuple[float, float]:
    """CPU (part of a core) and bytes a second of a recording."""
    probabilities = np.array([0.1, 0.8, 0.1], np.float32)
    settings = RecordingSettings(folder=str(folder), overlay=overlay, segment=60.0, kbit=8000)
    with Recorder(settings, log=print) as recorder:
        begun, cpu, number = time.monotonic(), time.process_time(), 0
        while time.monotonic() - begun < seconds:
            frame = Frame(images[number % len(images)], number, number / FPS, source="door")
            prediction = Prediction("wave", 0.8, probabilities, number / FPS, LABELS)
            recorder.write(Result(frame, prediction))
            number += 1
            time.sleep(max(0.0, begun + number / FPS - time.monotonic()))
    took = time.process_time() - cpu
    return took / seconds, sum(one.size for one in segments(folder)) / seconds


def copied(source: Path, target: Path, seconds: float) -> float:
    """CPU (part of a core) of copying the packets of a video for a second of it."""
    cpu = time.process_time()
    with av.open(str(source)) as read, av.open(str(target), "w", format="mp4") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    return (time.process_time() - cpu) / seconds


TURN = 5.0  # seconds with a recording, and then without


def recognized(recognizer: Recognizer, cameras: int, seconds: float) -> tuple[float, float]:
    """Frames a second of all cameras together that are recognized without a recording, and with one of each."""
    images, done = scenes(640, 480), [0, 0]
    seconds = 2 * TURN * max(1, round(seconds / (2 * TURN)))  # as many turns with as without
    states = [recognizer.initial_state()] * cameras
    begun, turn = time.monotonic(), 0
    next_due = [0.0] * cameras
    with tempfile.TemporaryDirectory() as place:
        settings = RecordingSettings(folder=place, segment=60.0, kbit=8000)
        recorder: Recorder | None = None
        while (now := time.monotonic() - begun) < seconds:
            if int(now / TURN) != turn:
                turn = int(now / TURN)
                if recorder is not None:
                    recorder.close()
                recorder = Recorder(settings, log=print) if turn % 2 else None
                begun += time.monotonic() - begun - now  # opening and closing are no part of a turn
            camera = min(range(cameras), key=next_due.__getitem__)
            if now < next_due[camera]:
                time.sleep(next_due[camera] - now)
            now = time.monotonic() - begun
            next_due[camera] = max(next_due[camera] + 1.0 / FPS, now - 1.0 / FPS)
            number = round(FPS * now)
            frame = Frame(images[number % len(images)], number, now, source=f"camera {camera}")
            prediction, states[camera] = recognizer.step(frame, states[camera])
            if recorder is not None:
                recorder.write(Result(frame, prediction))
            done[turn % 2] += 1
        if recorder is not None:
            recorder.close()
    half = seconds / 2
    return done[0] / half, done[1] / half


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--model", default="fight")
    options = parser.parse_args()
    seconds = options.seconds
    for width, height in ((640, 480), (1280, 720)):
        images = scenes(width, height)
        with tempfile.TemporaryDirectory() as place:
            for name, overlay in (("as it is", False), ("with the overlay", True)):
                folder = Path(place) / name
                cpu, size = recorded(folder, images, seconds, overlay=overlay)
                day = size * 86_400 / 1e9
                print(f"{width}x{height} {name}: {100 * cpu:.1f} % of a core, {day:.1f} GB a day")
            source = segments(Path(place) / "as it is")[0].path
            cpu = copied(source, Path(place) / "copy.mp4", seconds)
            print(f"{width}x{height} packets copied: {100 * cpu:.2f} % of a core")
    recognizer = Recognizer.load(options.model, threads=1)
    for cameras in (1, 12):
        without, recording = recognized(recognizer, cameras, 4.0 * seconds)
        print(
            f"{cameras} cameras, {options.model}: {without:.1f} frames a second, {recording:.1f} with recordings "
            f"({recording / without:.3f})"
        )


if __name__ == "__main__":
    main()
