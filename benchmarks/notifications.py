"""How soon a picture is where it should be, and what that costs recognition: `python benchmarks/notifications.py`

Real receivers on this host: Mosquitto, an HTTP server for a webhook and for Apprise's json://, and the stand-in for an
ntfy server that the tests use. A camera gives frames at its own pace, and an event begins on some of them; measured is
the time from the moment at which the frame was there to the moment at which the receiver had the whole message with its
picture. What a model needs to be sure of an action comes before that, and is not in it.

Then the model steps over the same frames, with and without pictures in turns, and the rates are compared: without
events (idle), and with three events a second (load).
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from streamrec import ActionEnded, ActionStarted, Frame, Prediction, Recognizer, Result
from streamrec.core import threads
from streamrec.evaluation.bench import CAMERA, commit, make_video, processor, read_some
from streamrec.notify.apprise import AppriseSettings
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.notify.mqtt import MqttSettings
from streamrec.notify.ntfy import NtfySettings
from streamrec.notify.webhook import WebhookSettings
from streamrec.outputs.history.store import HistorySettings
from tests.helpers.cameras import free_port
from tests.helpers.http_server import QuietHandler
from tests.helpers.ntfy_server import NtfyServer

FPS = 15.0
SIZE = (1280, 720)
SECONDS = 5.0  # of a stream, of one round
PAGE = "https://cameras.example.org"
Arrivals = dict[tuple[str, str], float]  # (receiver, id of the event): time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=12, help="of each rate")
    options = parser.parse_args()
    threads.limit_opencv_threads()
    print(f"{processor()}, {platform.python_version()}, commit {commit()}")
    with tempfile.TemporaryDirectory(dir=".") as place, receivers(Path(place)) as (settings, arrivals):
        images = [one.image for one in read_some(make_video(Path(place) / "v.mp4", SIZE, 30, CAMERA), 30)]
        if options.events:
            latencies(settings, arrivals, images, options.events)
        for name, every in (("idle: no events", 0), ("load: three events a second", 5)):
            pairs, with_it, without = costs(settings, images, every, options.rounds)
            print(f"{name}, {options.rounds} pairs of rounds with and without pictures:")
            for what, ratios in zip(
                ("rate", "CPU time of a frame in the thread that recognizes"), pairs, strict=True
            ):
                print(f"  {what}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
            print(f"  of it beside the model: {with_it:.0f} us with pictures, {without:.0f} us without")


@contextmanager
def receivers(folder: Path) -> Iterator[tuple[DispatchSettings, Arrivals]]:
    """Settings of four receivers that run, and when what arrived there."""
    arrivals: Arrivals = {}
    web, ntfy = Web(arrivals), Ntfy(arrivals)
    for server in (web, ntfy):
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    port = free_port()
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    broker = subprocess.Popen([program, "-c", folder / "mosquitto.conf"], stderr=subprocess.DEVNULL)
    listener = listen(port, arrivals)
    here = f"127.0.0.1:{web.server_address[1]}"
    everything = {"most_per_hour": 0, "most_per_hour_camera": 0, "events": ("started",), "public_url": PAGE}
    try:
        yield (
            DispatchSettings(
                history=HistorySettings(file=str(folder / "events.db")),
                webhooks=(WebhookSettings(url=f"http://{here}/webhook", events=("started",), picture=True),),
                mqtt=MqttSettings(host="127.0.0.1", port=port, pictures=True),
                further=(
                    NtfySettings(server=ntfy.url, topic="bench", **everything),
                    AppriseSettings(urls=(f"json://{here}/apprise",), **everything),
                ),
            ),
            arrivals,
        )
    finally:
        listener.disconnect()
        listener.loop_stop()
        broker.kill()
        broker.wait(10)
        web.shutdown()
        ntfy.shutdown()


class Web(ThreadingHTTPServer):
    """Takes webhooks, and what Apprise posts."""

    daemon_threads = True

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        super().__init__(("127.0.0.1", 0), Posted)


class Posted(QuietHandler):
    """One message."""

    server: Web
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        now = time.monotonic()
        if self.path == "/webhook":
            name, id, whole = "webhook", body["data"]["id"], "picture" in body
        else:
            found = re.search(r"#/events/([\w-]+)", body["message"])
            name, id, whole = "apprise", found[1] if found else "", bool(body["attachments"])
        if whole:
            self.server.arrivals[name, id] = now
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Ntfy(NtfyServer):
    """Notes when a message was published."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__()
        self.arrivals = arrivals

    def published(self, handler: Any) -> Any:
        """As the stand-in does it."""
        found = super().published(handler)
        if found.attachment:
            self.arrivals["ntfy", found.sequence_id] = time.monotonic()
        return found


def listen(port: int, arrivals: Arrivals) -> Any:
    """A client that subscribed to the pictures."""
    import paho.mqtt.client as paho

    last = [""]

    def take(client: Any, data: Any, message: Any) -> None:
        if not message.payload:  # nothing stays there
            return
        if message.topic.endswith("/event"):
            last[0] = json.loads(message.payload)["id"]
        else:
            arrivals["mqtt", last[0]] = time.monotonic()

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe("streamrec/door/picture/#", qos=1)
    client.on_message = take
    for _ in range(200):
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.05)
    client.loop_start()
    return client


def result_of(n: int, image: np.ndarray, *events: ActionStarted | ActionEnded) -> Result:
    prediction = Prediction("fight", 0.9, np.array([0.1, 0.9], np.float32), n / FPS, ("normal", "fight"))
    return Result(Frame(image, n, n / FPS, 0, "door", captured=time.monotonic()), prediction, events)


def event_at(n: int, every: int) -> tuple[ActionStarted | ActionEnded, ...]:
    """An event begins each ``2 * every`` frames, and ends between two starts; 0: none does."""
    if not every or n % every:
        return ()
    now = n / FPS
    return (
        ActionStarted("fight", now, 0.9) if n % (2 * every) == 0 else ActionEnded("fight", now, now, 0.9),
    )


def latencies(settings: DispatchSettings, arrivals: Arrivals, images: list[np.ndarray], count: int) -> None:
    """Print how soon pictures are at the receivers."""
    frames: dict[str, float] = {}  # id of the event: time.monotonic() of its frame
    began: list[float] = []

    def note(id: str) -> None:
        if id not in frames:  # its start: they come in order
            frames[id] = began[len(frames)]

    with Dispatcher(settings, print) as one:
        one.on_event(lambda event: note(event.entry.id))
        one.camera("door", model="fight", actions=["fight"])
        time.sleep(2.0)  # MQTT is connected
        n, due = 0, time.monotonic()
        while len(began) < count:
            due += 1 / FPS
            time.sleep(max(0.0, due - time.monotonic()))
            events = event_at(n, 3)
            result = result_of(n, images[n % len(images)], *events)
            if events and isinstance(events[0], ActionStarted):
                began.append(result.frame.captured)
            one.write(result)
            n += 1
        ends = time.monotonic() + 30
        while len(arrivals) < 4 * count and time.monotonic() < ends:
            one.tick()
            time.sleep(0.05)
    print(
        f"{count} events, frames of {SIZE[0]}x{SIZE[1]} at {FPS:g} a second; from the frame to the message with picture"
    )
    print("| receiver | with picture | p50 | p99 | longest |\n| --- | --- | --- | --- | --- |")
    for name in ("mqtt", "webhook", "ntfy", "apprise"):
        took = [
            1000 * (at - frames[id])
            for (receiver, id), at in arrivals.items()
            if receiver == name and id in frames
        ]
        p50, p99 = np.percentile(took, (50, 99)) if took else (float("nan"),) * 2
        print(f"| {name} | {len(took)} | {p50:.0f} ms | {p99:.0f} ms | {max(took, default=0):.0f} ms |")


def costs(
    settings: DispatchSettings, images: list[np.ndarray], every: int, rounds: int
) -> tuple[tuple[list[float], list[float]], float, float]:
    """With pictures over without, of each pair of rounds: the rate, and the CPU time; and what a result costs."""
    plain = replace(
        settings,
        webhooks=tuple(replace(one, picture=False) for one in settings.webhooks),
        mqtt=replace(settings.mqtt, pictures=False) if settings.mqtt else None,
        further=tuple(replace(one, picture=False) for one in settings.further),
    )
    recognizer = Recognizer.load("fight", engine="onnx", threads=1)
    rates: list[float] = []
    times: list[float] = []
    own: dict[bool, list[float]] = {True: [], False: []}
    for n in range(rounds):
        pair = {}
        for one in (settings, plain) if n % 2 else (plain, settings):
            is_with = one is settings
            pair[is_with] = rate(one, recognizer, images, every, own[is_with])
        rates.append(pair[True][0] / pair[False][0])
        times.append(pair[True][1] / pair[False][1])
    return (rates, times), 1e6 * statistics.fmean(own[True]), 1e6 * statistics.fmean(own[False])


def rate(
    settings: DispatchSettings, recognizer: Recognizer, images: list[np.ndarray], every: int, own: list[float]
) -> tuple[float, float]:
    """Frames a second of the thread that recognizes, and its CPU seconds; ``own`` gets those of each result."""
    with Dispatcher(settings, lambda message: None) as one:
        one.camera("door", model="fight", actions=["fight"])
        time.sleep(0.5)  # receivers begin
        state, count = recognizer.initial_state(), round(SECONDS * FPS)
        begun, used = time.perf_counter(), time.thread_time()
        for n in range(count):
            result = result_of(n, images[n % len(images)], *event_at(n, every))
            _, state = recognizer.step(result.frame, state)
            before = time.thread_time()
            one.write(result)
            own.append(time.thread_time() - before)
        took, used = time.perf_counter() - begun, time.thread_time() - used
    return count / took, used


if __name__ == "__main__":
    main()
