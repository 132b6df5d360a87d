"""The recognizer in a browser beside the one in Python: are the predictions equal, and how long does a frame take?

It plays a clip through the page's own code in headless Chromium, the state carried from frame to frame, and through
Python.

    python benchmarks/browser.py webcam CLIP --frames 80 --threads 1,2 [--runtime onnxruntime-web-1.30.0.tgz]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import itertools
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamrec import Recognizer
from streamrec.events.detector import EventDetector
from streamrec.runtime.browser_page import write_page
from streamrec.sources.open import open_source
from streamrec.sources.sampling import pace
from streamrec.types import Frame

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
# The page's own code, from RGBA as a canvas gives it to events.
_STEPS = """async ({ threads, times, width, height }) => {
  const ort = await import("./ort/ort.wasm.min.mjs"), { Recognizer } = await import("./recognizer.js");
  const { pictureOf } = await import("./resize.js"), { EventDetector } = await import("./detector.js");
  const recognizer = await Recognizer.load(ort, new URL("./", location.href), { threads });
  const detector = new EventDetector(recognizer.about.labels, recognizer.about.events);
  const bytes = new Uint8ClampedArray(await (await fetch("frames.rgba")).arrayBuffer()), size = 4 * width * height;
  let state = recognizer.initialState(), running = detector.initialState(), prediction, found;
  const probabilities = [], events = [], taken = [];
  for (const [n, time] of times.entries()) {
    const began = performance.now();
    const picture = pictureOf({ width, height, data: bytes.subarray(n * size, (n + 1) * size) });
    [prediction, state] = await recognizer.step(picture, time, state);
    [found, running] = detector.step(prediction.probabilities, time, running);
    taken.push(performance.now() - began);
    probabilities.push(prediction.probabilities);
    events.push(...found);
  }
  return { probabilities, events, taken, isolated: crossOriginIsolated, threads: ort.env.wasm.numThreads };
}"""


@contextlib.contextmanager
def serving(folder: Path, *, isolated: bool = True) -> Iterator[str]:
    """A static server of a folder; its address. ``isolated``: with the headers that threads need."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {  # noqa: RUF012
            **http.server.SimpleHTTPRequestHandler.extensions_map,
            ".mjs": "text/javascript",
            ".wasm": "application/wasm",
        }

        def end_headers(self) -> None:
            for name, value in ISOLATED.items() if isolated else ():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def frames_of(source: str, fps: float, most: int) -> list[Frame]:
    """The first frames that a model of this frame rate processes."""
    return list(itertools.islice(pace(open_source(source), fps), most))


def in_browser(tab: Any, folder: Path, address: str, frames: list[Frame], threads: int = 1) -> dict[str, Any]:
    """The page's own code over these frames: probabilities, events and milliseconds of each."""
    height, width = frames[0].image.shape[:2]
    with (folder / "frames.rgba").open("wb") as file:
        for frame in frames:
            file.write(cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGBA).tobytes())
    tab.goto(address)
    times = [frame.timestamp for frame in frames]
    found: dict[str, Any] = tab.evaluate(
        _STEPS, {"threads": threads, "times": times, "width": width, "height": height}
    )
    return found


def in_python(
    model: str, frames: list[Frame]
) -> tuple[np.ndarray, list[tuple[str, str, float]], list[float]]:
    """Probabilities (T, labels), events as kind, label and time, and milliseconds of each frame."""
    recognizer = Recognizer.load(model)
    detector = EventDetector(recognizer.labels, recognizer.config.events)
    state, running = recognizer.initial_state(), detector.initial_state()
    rows, events, taken = [], [], []
    for frame in frames:
        began = time.perf_counter()
        prediction, state = recognizer.step(frame, state)
        found, running = detector.step(prediction, frame.timestamp, running)
        taken.append(1000 * (time.perf_counter() - began))
        rows.append(prediction.probabilities)
        events += [(type(one).__name__, one.label, one.timestamp) for one in found]
    return np.stack(rows), events, taken


def events_in(found: dict[str, Any]) -> list[tuple[str, str, float]]:
    """A browser's events as those of Python."""
    kinds = {"started": "ActionStarted", "ended": "ActionEnded"}
    return [(kinds[one["kind"]], one["label"], one["timestamp"]) for one in found["events"]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runtime", type=Path)
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        folder = Path(name)
        write_page(given.model, folder, given.runtime)
        frames = frames_of(given.clip, json.loads((folder / "model.json").read_text())["fps"], given.frames)
        expected, events, own = in_python(given.model, frames)
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        print(f"{given.model}, {len(frames)} frames of {frames[0].image.shape[1]}x{frames[0].image.shape[0]}")
        print(
            f"Python: {np.median(own[5:]):.0f} ms a frame (median), {np.percentile(own[5:], 95):.0f} (95 %)"
        )
        for threads in map(int, given.threads.split(",")):
            with serving(folder) as address:
                tab = browser.new_page()
                tab.set_default_timeout(600_000)
                found = in_browser(tab, folder, address, frames, threads)
                tab.close()
            off = np.abs(np.array(found["probabilities"]) - expected).max()
            taken = np.array(found["taken"][5:])
            print(
                f"{found['threads']} threads: off by {off:.1e} at most, the same events: {events_in(found) == events} "
                f"({len(events)}); {np.median(taken):.0f} ms a frame (median), {np.percentile(taken, 95):.0f} (95 %)",
                flush=True,
            )
        browser.close()


if __name__ == "__main__":
    main()
