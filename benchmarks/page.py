"""What the page costs the recognizer: `python benchmarks/page.py`.

`streamrec watch` with cameras of its own (RTSP on the loopback address, or `--drawn`: synthetic ones) and `--web`.
Quiet windows and loaded ones take turns: 1,000 requests a second on the API over connections that stay open, and 50
pages that show all cameras, both from processes of their own: viewers sit at other machines, so that these two step
back (nice 5) where this one has no processor left. Counted are the frames that the model processed
(`streamrec_camera_frames_total`), the processor time of the watch, and how old a picture is when a page has it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import platform
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamrec.evaluation.bench import commit, processor
from tests.helpers.cameras import free_port, rtsp_camera

STEP_BACK = 5
SETTLE = 3.0  # seconds after a change before counting


@contextlib.contextmanager
def cameras(number: int, drawn: bool) -> Iterator[list[str]]:
    if drawn:
        yield [f"synthetic:{n}" for n in range(number)]
        return
    with contextlib.ExitStack() as stack:
        yield [str(stack.enter_context(rtsp_camera(fps=25, size=(640, 360)))) for _ in range(number)]


def counters(url: str) -> dict[str, float]:
    """The page's own counts, summed over the cameras."""
    text = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    found: dict[str, float] = {}
    for name, value in re.findall(r"^streamrec_(\w+)(?:\{.*\})? ([\d.e+-]+)$", text, re.M):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def processor_seconds(pid: int) -> float:
    """Of all threads of a process, so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- the load, in processes of their own


def ask_often(host: str, port: int, rate: float, connections: int, ends: Any, out: Any) -> None:
    """So many requests a second, over connections that stay open."""
    os.nice(STEP_BACK)
    request = f"GET /api/v1/cameras HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    took: list[float] = []
    bad = [0]

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        pause = connections / rate
        due = time.perf_counter() + pause * number / connections
        while not ends.is_set():
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due = max(due + pause, time.perf_counter() - 1.0)  # what was missed is caught up, within reason
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
            await reader.readexactly(length)
            took.append(time.perf_counter() - begun)
            bad[0] += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(one(n) for n in range(connections)))

    asyncio.run(all_of_them())
    took.sort()
    out.put(
        {
            "requests": len(took),
            "bad": bad[0],
            "p50": took[len(took) // 2],
            "p99": took[int(0.99 * len(took))],
        }
    )


def look_on(host: str, port: int, pages: int, names: list[str], width: int, ends: Any, out: Any) -> None:
    """So many pages that show all cameras, and acknowledge each message once it is drawn."""
    from websockets.asyncio.client import connect

    os.nice(STEP_BACK)
    ages: list[float] = []
    pictures = [0]

    async def one() -> None:
        url = f"ws://{host}:{port}/api/v1/live"
        async with connect(url, origin=f"http://{host}:{port}", compression=None, max_size=None) as socket:  # type: ignore[arg-type]
            await socket.send(json.dumps({"want": dict.fromkeys(names, width)}))
            while not ends.is_set():
                try:
                    data = await asyncio.wait_for(socket.recv(), 1.0)
                except TimeoutError:
                    continue
                if isinstance(data, bytes):
                    now, at = time.time(), 0
                    while at < len(data):
                        at += 1 + data[at]
                        _, when, size = struct.unpack_from(">HdI", data, at)
                        at += 14 + size
                        ages.append(now - when)
                        pictures[0] += 1
                    await socket.send('{"got":1}')

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(pages)))

    asyncio.run(all_of_them())
    ages.sort()
    middle, late = (ages[len(ages) // 2], ages[int(0.99 * len(ages))]) if ages else (0.0, 0.0)
    out.put({"pictures": pictures[0], "p50": middle, "p99": late})


@contextlib.contextmanager
def load(host: str, port: int, options: Any, names: list[str], reports: list[dict]) -> Iterator[None]:
    ends, out = multiprocessing.Event(), multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=ask_often, args=(host, port, options.requests, 20, ends, out)),
        multiprocessing.Process(
            target=look_on, args=(host, port, options.pages, names, options.width, ends, out)
        ),
    ]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ends.set()
        reports += [out.get(timeout=30) for _ in workers]
        for worker in workers:
            worker.join(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--drawn", action="store_true", help="synthetic cameras in place of RTSP ones")
    parser.add_argument("--model", default="fight")
    parser.add_argument("--requests", type=float, default=1000.0, help="a second")
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--width", type=int, default=640, help="pixels of a picture")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a window")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{options.cameras} {'drawn' if options.drawn else 'RTSP'} cameras, {options.model} model; "
        f"{options.requests:g} requests a second and {options.pages} pages that show all of them "
        f"{options.width} wide; {options.rounds} rounds"
    )
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit()}\n")
    host, port = "127.0.0.1", free_port()
    url = f"http://{host}:{port}"
    with tempfile.TemporaryDirectory() as folder, cameras(options.cameras, options.drawn) as addresses:
        names = [f"camera {n}" for n in range(len(addresses))]
        tables = [f'[[camera]]\nname = "{n}"\naddress = "{a}"' for n, a in zip(names, addresses, strict=True)]
        file = Path(folder) / "cameras.toml"
        file.write_text(f'[defaults]\nmodel = "{options.model}"\n' + "\n".join(tables))
        command = [sys.executable, "-m", "streamrec", "watch", str(file), "--web", f"{host}:{port}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
            try:
                _measure(process.pid, url, host, port, names, options)
            finally:
                process.terminate()


def _measure(pid: int, url: str, host: str, port: int, names: list[str], options: Any) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            if counters(url).get("camera_frames_total", 0) > 20 * len(names):
                break
        time.sleep(0.3)
    rates: dict[str, list[float]] = {"quiet": [], "loaded": []}
    cores: dict[str, list[float]] = {"quiet": [], "loaded": []}
    dropped: dict[str, float] = {"quiet": 0.0, "loaded": 0.0}
    latency: dict[str, list[float]] = {"quiet": [], "loaded": []}
    reports: list[dict] = []
    for _ in range(options.rounds):
        for kind in ("quiet", "loaded"):
            with load(host, port, options, names, reports) if kind == "loaded" else contextlib.nullcontext():
                time.sleep(SETTLE)
                before, used, begun = counters(url), processor_seconds(pid), time.perf_counter()
                time.sleep(options.seconds)
                after, used_after, took = counters(url), processor_seconds(pid), time.perf_counter() - begun
            rates[kind].append((after["camera_frames_total"] - before["camera_frames_total"]) / took)
            cores[kind].append((used_after - used) / took)
            dropped[kind] += after["camera_dropped_total"] - before["camera_dropped_total"]
            latency[kind].append(after["camera_latency_seconds"] / len(names))
    for kind in rates:
        print(
            f"{kind:8}{statistics.mean(rates[kind]):8.2f} frames/s  ({', '.join(f'{r:.2f}' for r in rates[kind])})  "
            f"{dropped[kind]:.0f} dropped  latency {1000 * statistics.mean(latency[kind]):.1f} ms  "
            f"{statistics.mean(cores[kind]):.2f} cores"
        )
    asked = [one for one in reports if "requests" in one]
    drawn = [one for one in reports if "pictures" in one]
    seconds = options.rounds * (options.seconds + SETTLE)
    print(
        f"requests {sum(one['requests'] for one in asked) / seconds:.0f} a second, "
        f"{sum(one['bad'] for one in asked)} bad, {_quantiles(asked)}"
    )
    each = sum(one["pictures"] for one in drawn) / seconds / options.pages / len(names)
    print(
        f"pages: {each:.1f} pictures a second of each camera on each page, age when there {_quantiles(drawn)}"
    )
    cost = 1 - statistics.mean(rates["loaded"]) / statistics.mean(rates["quiet"])
    print(f"the page cost the recognizer {100 * cost:.1f} % of its frames", end="; ")
    seconds = options.rounds * options.seconds
    lost = [dropped[kind] / (dropped[kind] + statistics.mean(rates[kind]) * seconds) for kind in rates]
    # Cameras on this machine give fewer pictures themselves when it is busy.
    print(
        f"of the pictures that were due it had no time for {100 * lost[0]:.1f} % quiet, {100 * lost[1]:.1f} % loaded"
    )


def _quantiles(found: list[dict]) -> str:
    middle, late = statistics.mean(one["p50"] for one in found), max(one["p99"] for one in found)
    return f"p50 {1000 * middle:.1f} ms, p99 {1000 * late:.0f} ms"


if __name__ == "__main__":
    main()
