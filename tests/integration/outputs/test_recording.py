"""Continuous recording: segments that play, also after a kill, and disks that are full."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from streamrec.errors import SinkError
from streamrec.outputs.recording import recorder as rooms
from streamrec.outputs.recording.files import around, segments
from streamrec.outputs.recording.recorder import Recorder
from streamrec.settings.evidence import Privacy
from streamrec.settings.recording import RecordingSettings
from streamrec.types import Frame, Prediction, Result
from tests.helpers.paths import ROOT


def result_of(number: int, camera: str = "door", fps: float = 10.0, shade: int | None = None) -> Result:
    image = np.full((48, 64, 3), number % 200 if shade is None else shade, np.uint8)
    prediction = Prediction("wave", 0.9, np.array([0.9], np.float32), number / fps, ("wave",))
    return Result(Frame(image, number, number / fps, source=camera), prediction)


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.01)


def taken(recorder: Recorder, result: Result) -> None:
    """Write a result, and wait until its thread has taken it: a frame that waits would be replaced."""
    recorder.write(result)
    feed, _ = recorder.threads._running[result.frame.source]
    until(lambda: feed._latest._result is None)


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [float(frame.time) for frame in container.decode(video=0)]


def settings_of(folder: Path, **more) -> RecordingSettings:
    return RecordingSettings(folder=str(folder), **{"segment": 10.0, "leave_free_gb": 0.0, **more})


def test_segments_follow_each_other_and_each_begins_with_a_key_frame_and_plays_alone(tmp_path):
    with Recorder(settings_of(tmp_path)) as recorder:
        for number in range(250):
            taken(recorder, result_of(number))
    found = segments(tmp_path, "door")
    counts = [len(times_of(one.path)) for one in found]
    assert counts == [100, 100, 50]
    for one in found:
        with av.open(str(one.path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert packets[0].is_keyframe and float(packets[0].pts * packets[0].time_base) == 0.0
        keys = [float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe]
        assert max(np.diff([*keys, keys[-1] + 2.0])) <= 2.01
    assert not any(path.is_dir() for path in found[0].path.parent.iterdir())


def test_what_was_recorded_until_a_kill_plays(tmp_path):
    code = f"""
import time
from tests.integration.outputs.test_recording import *
recorder = Recorder(settings_of(Path({str(tmp_path)!r})))
for number in range(10_000):
    taken(recorder, result_of(number))
    if number == 65:
        print("now", flush=True)
        time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "now\n"
        time.sleep(0.5)  # the thread encodes what it has taken
        process.send_signal(signal.SIGKILL)
    (one,) = segments(tmp_path)
    assert times_of(one.path)[-1] >= 3.9  # of 6.5 s: a fragment is written with the next key frame
    with Recorder(settings_of(tmp_path)):  # the lock went with the process
        assert around(tmp_path, "door", one.started + 1.0).segment is not None


def test_a_clock_that_is_set_begins_a_new_segment_so_that_names_stay_true(tmp_path):
    set_by = [0.0]
    with Recorder(settings_of(tmp_path), clock=lambda: time.time() + set_by[0]) as recorder:
        for number in range(40):
            set_by[0] = -7200.0 if number >= 20 else 0.0
            taken(recorder, result_of(number))
    first, second = segments(tmp_path)
    assert second.started - first.started == pytest.approx(7200, abs=30)
    assert len(times_of(first.path)) == len(times_of(second.path)) == 20


def test_a_camera_that_is_silent_ends_its_segment(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(rooms, "_TICK", 0.05)
    with Recorder(settings_of(tmp_path)) as recorder:
        taken(recorder, result_of(0))
        until(lambda: segments(tmp_path) and not recorder._writing)
        taken(recorder, result_of(600))
        until(lambda: len(segments(tmp_path)) == 2)


def test_privacy_is_that_of_the_camera(tmp_path):
    with Recorder(settings_of(tmp_path), privacy="none") as recorder:
        recorder.threads.set_privacy("yard", Privacy.blur)
        recorder.write(result_of(0, "door"))
        chance = np.random.default_rng(1)
        for number in range(5):
            noise = chance.integers(0, 255, (240, 320, 3), np.uint8)
            one = result_of(number, "yard")
            taken(recorder, Result(Frame(noise, number, number / 10, source="yard"), one.prediction))
    assert segments(tmp_path, "door") == []
    (found,) = segments(tmp_path)
    with av.open(str(found.path)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="gray").astype(int)
    assert np.abs(np.diff(picture, axis=1)).max() < 40  # of the noise itself: 250


def test_a_full_disk_costs_the_oldest_is_said_once_and_is_over_when_it_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "_PAUSE_SECONDS", 0.01)
    said: list[str] = []
    with Recorder(settings_of(tmp_path)) as recorder:
        for number in range(250):
            taken(recorder, result_of(number))
    old = [one.path for one in segments(tmp_path)]
    full = [True]

    class Full(rooms.SegmentFile):
        def write(self, image, ticks, *, key):
            if full[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write(image, ticks, key=key)

    monkeypatch.setattr(rooms, "SegmentFile", Full)
    with Recorder(settings_of(tmp_path, leave_free_gb=1e5), log=said.append) as recorder:
        number = 0
        while not said:
            taken(recorder, result_of(number := number + 1))
        for _ in range(20):
            taken(recorder, result_of(number := number + 1))
        assert len(said) == 1 and "the disk is full" in said[0] and "tried again" in said[0]
        assert [path for path in old if path.exists()] == old[-1:]  # the newest stays
        full[0] = False
        ends = time.monotonic() + 30
        while len(said) < 2 and time.monotonic() < ends:
            taken(recorder, result_of(number := number + 1))
            time.sleep(0.02)
    assert "it is recorded again" in said[1]
    assert all(times_of(one.path) for one in segments(tmp_path))


def test_a_folder_in_use_or_out_of_reach_is_a_sentence(tmp_path):
    with Recorder(settings_of(tmp_path)), pytest.raises(SinkError, match="another streamrec records"):
        Recorder(settings_of(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot record into"):
        Recorder(settings_of(tmp_path / "file" / "below"))
