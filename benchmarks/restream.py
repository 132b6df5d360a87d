"""What the annotated stream costs: latency to an RTSP client, CPU a camera, and what recognition loses.

    python -m benchmarks.restream --seconds 60

A recognizer watches frames of 640x480 at 10 a second. In turns of some seconds they are streamed to a real RTSP server
(GStreamer's), and not; then a client reads them back. Needs what the tests of cameras need (.ci/system-packages).
"""

from __future__ import annotations

import argparse
import threading
import time

import av
import cv2
import numpy as np

from streamrec.outputs.streaming.stream import StreamOut
from streamrec.runtime.recognizer import Recognizer
from streamrec.settings.stream import StreamSettings
from streamrec.types import Frame, Result
from tests.helpers.cameras import rtsp_receiver
from tests.helpers.rtsp_server import read_stamp, stamp

FPS, WIDTH, HEIGHT = 10.0, 640, 480
DOWN = 208  # rows
TURN, LATENCY = 4.0, 20.0  # seconds of one turn, and at the end with a client


def picture(number: int, background: bytes) -> np.ndarray:
    """A noisy frame with a stamp of the time, below what the overlay draws."""
    planes = bytearray(background)
    stamp(planes, WIDTH, HEIGHT, number, int(time.monotonic() * 1000))
    yuv = np.frombuffer(planes, np.uint8).reshape(HEIGHT * 3 // 2, WIDTH)
    return np.roll(cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR_I420), DOWN, axis=0)


def scenes() -> list[bytes]:
    """Planes of a soft scene in which something moves, with the noise of a camera."""
    chance, found = np.random.default_rng(1), []
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    for n in range(20):
        luma = 110 + 60 * np.sin(x / 90) * np.cos(y / 70) + chance.normal(0, 2, (HEIGHT, WIDTH))
        luma[150:330, 60 + 20 * n : 160 + 20 * n] -= 60
        found.append(luma.clip(16, 235).astype(np.uint8).tobytes() + b"\x80" * (WIDTH * HEIGHT // 2))
    return found


def read(address: str, delays: list[float], over: threading.Event) -> None:
    """Read the stream back, and note how old each frame is when it is decoded, in ms."""
    while not over.is_set():
        try:
            with av.open(
                address, options={"rtsp_transport": "tcp", "fflags": "nobuffer"}, timeout=10
            ) as container:
                for frame in container.decode(video=0):
                    if (found := read_stamp(frame.to_ndarray(format="bgr24")[DOWN:])) is not None:
                        delays.append(time.monotonic() * 1000 - found[1])
                    if over.is_set():
                        return
        except av.FFmpegError:
            time.sleep(0.3)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", default="fight")
    parser.add_argument(
        "--no-client", action="store_true", help="measure the cost without a client in this process"
    )
    arguments = parser.parse_args()
    recognizer, backgrounds = Recognizer.load(arguments.model), scenes()
    state = recognizer.initial_state()
    walls: dict[bool, list[float]] = {False: [], True: []}  # seconds from a frame to its result, written
    threads: dict[bool, list[float]] = {False: [], True: []}  # CPU seconds of the recognizing thread
    process: dict[bool, list[float]] = {False: [], True: []}  # CPU seconds of the whole process, a second
    delays: list[float] = []
    over = threading.Event()
    with rtsp_receiver() as server:
        out = StreamOut(StreamSettings(to=str(server)), log=print)
        begun = due = time.monotonic()
        streams, turn, cpu, number = False, begun, time.process_time(), 0
        while time.monotonic() - begun < arguments.seconds:
            image = picture(number, backgrounds[number % len(backgrounds)])
            wall, thread = time.perf_counter(), time.thread_time()
            frame = Frame(image, number, number / FPS, source="door")
            prediction, state = recognizer.step(frame, state)
            result = Result(frame, prediction)
            if streams:
                out.write(result)
            walls[streams].append(time.perf_counter() - wall)
            threads[streams].append(time.thread_time() - thread)
            number, due = number + 1, due + 1 / FPS
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            if now - turn >= TURN:
                process[streams].append((time.process_time() - cpu) / (now - turn))
                streams, turn, cpu = not streams, now, time.process_time()
        client = str(server).replace("/door", "/seen")
        threading.Thread(target=read, args=(client, delays, over), daemon=True).start()
        while time.monotonic() - begun < arguments.seconds + LATENCY:
            frame = Frame(picture(number, backgrounds[0]), number, number / FPS, source="door")
            prediction, state = recognizer.step(frame, state)
            out.write(Result(frame, prediction))
            number, due = number + 1, due + 1 / FPS
            time.sleep(max(0.0, due - time.monotonic()))
        over.set()
        out.close()
    for name, found, scale, unit in (
        ("frame to result, wall", walls, 1000, "ms"),
        ("the recognizing thread's CPU", threads, 1000, "ms"),
        ("the process's CPU", process, 100, "% of a core"),
    ):
        off, on = (float(np.median(found[streamed])) * scale for streamed in (False, True))
        print(f"{name}: {off:.2f} without, {on:.2f} with the stream {unit}, ratio {on / off:.3f}")
    if delays:
        print(f"frame to client: median {np.median(delays):.0f} ms, 95 % {np.percentile(delays, 95):.0f} ms")


if __name__ == "__main__":
    main()
