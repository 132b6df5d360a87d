"""`streamrec webpage`: the recognizer in a browser predicts what the one in Python predicts."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from benchmarks.browser import events_in, frames_of, in_browser, in_python, serving
from streamrec.errors import ModelError
from streamrec.runtime.browser_page import PACKAGE, VERSION, runtime_files, write_page
from tests.helpers.paths import DATA, ROOT

REAL = DATA / "untrimmed" / "exercise.avi"
TARBALL = ROOT / "build" / f"{PACKAGE}-{VERSION}.tgz"  # as `npm pack` names it; fetched where it is missing


@pytest.fixture(scope="module")
def tab(launch):
    page = launch("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream").new_page()
    page.set_default_timeout(300_000)
    yield page
    page.close()


@pytest.fixture(scope="module")
def runtime():
    """The tarball, or None where npm has to fetch it."""
    if TARBALL.exists():
        return TARBALL
    if shutil.which("npm") is None or os.environ.get("STREAMREC_OFFLINE"):
        pytest.skip(f"there is no npm, and no {TARBALL}")
    try:
        runtime_files()
    except ModelError as error:
        pytest.skip(str(error))
    return None


@pytest.mark.parametrize(("model", "source"), [("synthetic", "synthetic:3"), ("webcam", str(REAL))])
def test_predictions_and_events_are_those_of_python(tab, runtime, tmp_path, model, source):
    if not source.startswith("synthetic") and not REAL.exists():
        source = "synthetic:3"  # without the real clips
    write_page(model, tmp_path, runtime)
    frames = frames_of(source, json.loads((tmp_path / "model.json").read_text())["fps"], 60)
    expected, events, _ = in_python(model, frames)
    with serving(tmp_path) as address:
        found = in_browser(tab, tmp_path, address, frames)
    assert len(frames) == 60 and found["isolated"]
    assert np.abs(np.array(found["probabilities"]) - expected).max() < 1e-4
    assert events_in(found) == events


def test_the_page_uses_a_camera_and_says_when_there_is_none(tab, runtime, tmp_path):
    write_page("synthetic", tmp_path, runtime)
    labels = json.loads((tmp_path / "model.json").read_text())["labels"]
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    with serving(tmp_path, isolated=False) as address:  # without the headers that threads need
        tab.goto(address)
        tab.get_by_role("button", name="Use the camera").click()
        tab.locator("#speed", has_text="1 thread").wait_for()
        assert tab.locator("#label").inner_text().split()[0] in labels
        assert all(url.startswith((address, "blob:", "data:")) for url in asked)
        tab.get_by_role("button", name="Stop").click()
        assert tab.locator("#status").inner_text() == "Stopped."
        tab.evaluate(
            "() => { navigator.mediaDevices.getUserMedia = "
            "() => Promise.reject(new DOMException('', 'NotFoundError')); }"
        )
        tab.get_by_role("button", name="Use the camera").click()
        tab.get_by_text("There is no camera.").wait_for()
