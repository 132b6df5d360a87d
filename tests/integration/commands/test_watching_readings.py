"""Cameras and sensors in one cameras.toml: watched together, shown on the page, and in a fleet."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamrec import ActionEnded, Recognizer, open_source, results
from streamrec.commands.fleet.head import GroupAway
from streamrec.outputs.fleet.records import PictureRequest
from streamrec.outputs.plot import SIZE
from tests.helpers.cameras import free_port
from tests.helpers.commands import main_here
from tests.integration.commands.test_fleet import Site, sites
from tests.integration.notify.test_mqtt import broker, needs_broker
from tests.integration.sources.test_sensors import published

__all__ = ["main_here", "sites"]  # fixtures

CHANNELS = ("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro")
CAMERA = '[[camera]]\nname = "{name}"\naddress = "{address}"\nmodel = "{model}"\n'


def row(now: float) -> list[float]:
    """A phone in a pocket: it lies still, and every other five seconds it swings as in walking."""
    swing = math.sin(11.0 * now) if now % 10.0 >= 5.0 else 0.0
    return [0.5 + 2.0 * swing, -9.5 + 4.0 * swing, 1.0 + swing, 1.5 * swing, 0.5 * swing, 0.8 * swing]


def table(path: Path, seconds: float) -> Path:
    lines = [",".join(f"{value:.3f}" for value in (n / 50, *row(n / 50))) for n in range(round(50 * seconds))]
    path.write_text("\n".join([",".join(("seconds", *CHANNELS)), *lines]))
    return path


@needs_broker
def test_a_table_a_broker_and_a_camera_are_watched_together_and_the_page_shows_a_plot(tmp_path, main_here):
    port, page = free_port(), free_port()
    table(tmp_path / "phone.csv", 12.0)
    pocket = f"mqtt://127.0.0.1:{port}/pocket?channels={','.join(CHANNELS)}"
    (tmp_path / "cameras.toml").write_text(
        CAMERA.format(name="yard", address="synthetic:3", model="synthetic")
        + CAMERA.format(name="phone", address="phone.csv", model="motion")
        + CAMERA.format(name="pocket", address=pocket, model="motion")
    )
    images: dict[str, np.ndarray] = {}
    over = threading.Event()

    def look() -> None:
        """Ask the page for the pictures until all are there."""
        while not over.wait(0.2) and len(images) < 3:
            for name in {"yard", "phone", "pocket"} - set(images):
                address = f"http://127.0.0.1:{page}/api/v1/picture?camera={name}"
                try:
                    with urllib.request.urlopen(address, timeout=5.0) as answer:
                        data = np.frombuffer(answer.read(), np.uint8)
                except OSError:
                    continue
                images[name] = cv2.imdecode(data, cv2.IMREAD_COLOR)

    looking = threading.Thread(target=look, daemon=True)
    with broker(tmp_path, port):
        end = published(port, [("pocket", json.dumps(dict(zip(CHANNELS, row(7.0), strict=True))))])
        looking.start()
        words = ["--jsonl", "out.jsonl", "--predictions", "--web", f"127.0.0.1:{page}", "--max-seconds", "12"]
        done = main_here("watch", "cameras.toml", *words, cwd=tmp_path)
        over.set()
        end()
    looking.join()
    assert done.returncode == 0, done.stderr
    lines = list(map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines()))
    by_camera = {line["source"] for line in lines if line["type"] == "prediction"}
    assert by_camera == {"yard", "phone", "pocket"}
    labels = set(Recognizer.load("motion").labels)
    for line in lines:
        if line["type"] == "prediction":
            assert (set(line["probabilities"]) == labels) == (line["source"] != "yard")
    assert {line["label"] for line in lines if line["type"] == "event" and line["source"] == "phone"} & labels
    width = 640
    assert images["phone"].shape == images["pocket"].shape == (width * SIZE[1] // SIZE[0], width, 3)
    assert images["yard"].mean() > 2 * images["phone"].mean()  # a plot is dark


@pytest.mark.parametrize(
    ("name", "address", "model", "said"),
    [
        ("yard", "synthetic:3", "motion", "motion takes 6 channels"),
        ("phone", "phone.csv", "fight", "fight takes video"),
    ],
)
def test_a_camera_of_another_sense_is_named_in_a_sentence(name, address, model, said, tmp_path, main_here):
    table(tmp_path / "phone.csv", 1.0)
    (tmp_path / "cameras.toml").write_text(CAMERA.format(name=name, address=address, model=model))
    done = main_here("watch", "cameras.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert f"camera '{name}': address: " in done.stderr and said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_that_is_moved_in_a_fleet_has_the_events_of_one_that_is_read_alone_and_its_picture(
    sites, tmp_path
):
    path = table(tmp_path / "phone.csv", 120.0)
    found = [
        event for result in results(open_source(path), Recognizer.load("motion")) for event in result.events
    ]
    expected = sorted(
        (one.label, one.started, round(one.duration, 3), one.confidence)
        for one in found
        if isinstance(one, ActionEnded)
    )
    site: Site = sites(CAMERA.format(name="phone", address=path, model="motion"), "north", "south")
    pictures, moves = [], 0
    while site.states().get("phone") != "ended" and moves < 3:
        site.until(lambda: site.states().get("phone") in ("live", "ended"))
        (group,) = site.head.status().groups
        site.head._move(group.name, {f"id-{group.machine}"})
        moves += 1

    def shown() -> bool:
        """Whether the machine has sent a picture."""
        with contextlib.suppress(GroupAway):
            found = site.head.picture(PictureRequest(camera="phone", width=320))
            pictures.extend([] if found is None else [found])
        return bool(pictures)

    site.until(lambda: shown() and site.states().get("phone") == "ended", patience=120.0)
    assert moves > 1 and len(expected) > 3
    assert site.events("phone") == expected
    (shown_size,) = {batch.results[-1].frame.image.shape for batch in site.ledger.batches if batch.results}
    assert shown_size == (SIZE[1], SIZE[0], 3)
    assert pictures[0].data.startswith(b"\xff\xd8")
