"""The flight recorder: what was done is done again, bit for bit, or the first difference is told."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from streamrec import (
    ActionStarted,
    Frame,
    Prediction,
    Recognizer,
    Result,
    Watcher,
    World,
    WorldSettings,
    open_models,
    results,
)
from streamrec.core.state import State
from streamrec.errors import DataError, SinkError
from streamrec.pipeline import flight_recorder as rooms
from streamrec.pipeline.flight_recorder import FlightRecorder, Pictures, replay
from streamrec.runtime.checkpoint import SHIPPED
from streamrec.sources.open import open_source
from streamrec.types import Health
from tests.helpers import forked
from tests.helpers.paths import ROOT

MODEL = "synthetic"  # flow between two pictures is in its state


def world(seed: int, seconds: float = 3.0) -> World:
    return World(WorldSettings(seed=seed, seconds=seconds, fps=15.0, width=80, height=60))


def recorded(folder: Path, *, model=MODEL, engine="onnx", cameras=1, **options) -> list[np.ndarray]:
    """Watch worlds, and return what was said."""
    said = []
    with FlightRecorder(folder, **options) as recorder:
        recognizer = recorder.recorded(open_models(model, engine=engine, device="cpu"))
        if cameras == 1:
            for result in results(world(0), recognizer):
                recorder.write(result)
                said.append(result.prediction.probabilities)
            return said
        with Watcher(recognizer) as watcher:
            for n in range(cameras):
                watcher.add(f"camera {n}", world(n))
            for result in watcher:
                recorder.write(result)
                said.append(result.prediction.probabilities)
    return said


def lines(folder: Path) -> list[dict]:
    (inside,) = folder.iterdir()
    return [
        json.loads(line) for path in sorted(inside.glob("*.jsonl")) for line in path.read_text().splitlines()
    ]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("pictures", ["input", "full"])
@pytest.mark.parametrize("cameras", [1, 3])
def test_a_replay_says_the_same_bit_for_bit(tmp_path, engine, pictures, cameras):
    said = recorded(tmp_path, engine=engine, cameras=cameras, pictures=pictures)
    found = replay(tmp_path)
    assert found.difference is None
    assert found.frames == len(said) > 20
    assert found.unseen == 0 and found.notes == ()
    assert found.steps == len([line for line in lines(tmp_path) if line["type"] == "step"])


def test_what_a_model_counts_by_is_replayed_too(tmp_path):
    assert Recognizer.load("workout").config.counted
    recorded(tmp_path, model="workout")
    assert replay(tmp_path).difference is None
    (inside,) = tmp_path.iterdir()
    part = inside / "part-000001.jsonl"
    part.write_text(re.sub(r'"phase": \[-?\d', '"phase": [9', part.read_text(), count=1))
    assert "the phase was [9" in replay(tmp_path).difference


@pytest.mark.parametrize(
    ("models", "sizes"),
    [
        (["fight", "fall"], {(192, 256)}),
        (["workout", "synthetic"], {(60, 80)}),  # of which one image cannot stand for both
    ],
)
def test_several_models_are_replayed_together(tmp_path, models, sizes):
    recorded(tmp_path, model=models)
    (header,) = (json.loads(path.read_text()) for path in tmp_path.glob("*/flight.json"))
    (one,) = header["models"]
    assert one["name"] == "+".join(models)
    assert len(one["labels"]) == sum(len(Recognizer.load(model).labels) for model in models)
    steps = [line for line in lines(tmp_path) if line["type"] == "step"]
    assert {tuple(frame["picture"][2:]) for step in steps for frame in step["frames"]} == sizes
    assert all(("phase" in frame) == ("workout" in models) for step in steps for frame in step["frames"])
    found = replay(tmp_path)
    assert (found.difference, found.unseen) == (None, 0) and found.frames == len(steps)
    with pytest.raises(DataError, match="another model than the one that was recorded"):
        replay(tmp_path, lambda name, engine: open_models([*models, "webcam"], engine=engine))


def test_events_of_several_models_are_written_with_their_names_and_those_of_one_without(tmp_path):
    for name, event in (
        ("one", ActionStarted("fall", 0.0, 0.9, "door")),
        ("two", ActionStarted("fall", 0.0, 0.9, "door", "night")),
    ):
        with FlightRecorder(tmp_path / name) as recorder:
            prediction = Prediction("fall", 0.9, np.ones(1, np.float32), 0.0, ("fall",))
            recorder.write(Result(Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0), prediction, (event,)))
    (one,), (two,) = (lines(tmp_path / name)[0]["events"] for name in ("one", "two"))
    assert "model" not in one and two["model"] == "night"


def test_recording_changes_nothing_of_what_is_said(tmp_path):
    said = recorded(tmp_path)
    plain = [r.prediction.probabilities for r in results(world(0), Recognizer.load(MODEL))]
    assert np.array_equal(said, plain)


def test_frames_that_went_in_together_go_in_together_again(tmp_path):
    recorded(tmp_path, cameras=3)
    sizes = {len(line["frames"]) for line in lines(tmp_path) if line["type"] == "step"}
    assert max(sizes) > 1  # there were batches to be right about


def test_the_first_difference_is_told(tmp_path):
    recorded(tmp_path)
    (inside,) = tmp_path.iterdir()
    part = inside / "part-000001.jsonl"
    steps = part.read_text().splitlines(keepends=True)
    line = [n for n, step in enumerate(steps) if '"type": "step"' in step][20]
    changed = json.loads(steps[line])
    changed["frames"][0]["timestamp"] += 0.01  # as if the clock had been another
    steps[line] = json.dumps(changed) + "\n"
    part.write_text("".join(steps))
    found = replay(tmp_path)
    assert found.steps == 21
    assert re.fullmatch(
        rf"part-000001\.jsonl, line {line + 1}: synthetic, frame \d+ at \d\.\d+ s: "
        r"(\w+ was 0\.\d+ then, and is 0\.\d+ now|the prediction is the same, .*|the phase was .*)",
        found.difference,
    )


def test_another_model_is_another_model(tmp_path):
    recorded(tmp_path)
    with pytest.raises(DataError, match="is another model than the one that was recorded"):
        replay(tmp_path, lambda name, engine: Recognizer.load("fight", engine=engine))


def test_parts_are_whole_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "_PART_SECONDS", 0.0)  # one a step
    recorded(tmp_path, cameras=2)
    (inside,) = tmp_path.iterdir()
    parts = sorted(inside.glob("*.jsonl"))
    assert len(parts) > 10
    for path in parts[:7]:  # the oldest have gone
        path.unlink()
    found = replay(tmp_path)
    assert found.difference is None and found.frames > 10


def test_the_oldest_parts_go_when_there_is_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "_PART_SECONDS", 0.0)
    recorded(tmp_path, max_gb=60_000 / 1e9)
    assert 20_000 < sum(path.stat().st_size for path in tmp_path.rglob("part-*")) < 100_000
    assert replay(tmp_path).difference is None


def test_a_reconnect_and_a_camera_that_is_added_again_are_replayed_too(tmp_path):
    with FlightRecorder(tmp_path) as recorder:
        recognizer = recorder.recorded(Recognizer.load(MODEL))
        state = recognizer.initial_state()
        for n in range(30):
            if n == 20:
                state = recognizer.initial_state()
            image = np.random.default_rng(n).integers(0, 255, (48, 64, 3), np.uint8)
            _, state = recognizer.step(Frame(image, n, n / 10, n // 10, "door"), state)
    befores = [n for n, line in enumerate(lines(tmp_path)) if "before" in line["frames"][0]]
    assert befores == [0, 20]
    assert replay(tmp_path).difference is None


def test_pictures_are_as_the_model_saw_them_or_not_there(tmp_path):
    with FlightRecorder(tmp_path / "one") as recorder:
        recorder.unseen.add("secret")
        recognizer = recorder.recorded(Recognizer.load(MODEL))
        states = [recognizer.initial_state() for _ in range(2)]
        for n in range(10):
            image = np.random.default_rng(n).integers(0, 255, (96, 128, 3), np.uint8)
            frames = [Frame(image, n, n / 10, 0, name) for name in ("door", "secret")]
            states = [state for _, state in recognizer.step_many(frames, states)]
    look = recognizer.config.transform
    for line in lines(tmp_path / "one"):
        door, secret = line["frames"]
        assert door["picture"][2:] == [look.height, look.width] and secret["picture"] is None
    found = replay(tmp_path / "one")
    assert (found.frames, found.unseen, found.difference) == (10, 10, None)
    with FlightRecorder(tmp_path / "three") as recorder:
        recorder.unseen.add("door")
        recognizer = recorder.recorded(Recognizer.load(MODEL))
        recognizer.step(Frame(image, 0, 0.0, 0, "door"), recognizer.initial_state())
    with pytest.raises(DataError, match="holds no picture, for the cameras' privacy: it cannot be replayed"):
        replay(tmp_path / "three")
    recorded(tmp_path / "two", pictures=Pictures.none)
    with pytest.raises(DataError, match=r"holds no pictures .*it cannot be replayed"):
        replay(tmp_path / "two")


@pytest.mark.parametrize("pictures", [Pictures.input, Pictures.none])
def test_a_state_that_is_written_holds_no_picture_of_a_camera_that_is_not_to_be_seen(tmp_path, pictures):
    """What the encoder keeps of the last frame is one: in gray, as the model saw it."""
    with FlightRecorder(tmp_path, pictures=pictures) as recorder:
        recorder.unseen.add("secret")
        plain = Recognizer.load("fight")
        image = np.random.default_rng(1).integers(0, 255, (96, 128, 3), np.uint8)
        _, state = plain.step(Frame(image, 0, 0.0, 0, "secret"), plain.initial_state())
        assert any(array.any() for array in state.cache)  # it is there
        recorder.recorded(plain).step(Frame(image, 1, 0.1, 0, "secret"), state)
    (line,) = lines(tmp_path)
    offset, length = line["frames"][0]["before"]
    (path,) = tmp_path.rglob("part-*.bin")
    written = State.from_bytes(zlib.decompress(path.read_bytes()[offset : offset + length]))
    assert not any(array.any() for array in written.cache)
    assert all((a == b).all() for a, b in zip(written.head, state.head, strict=True))


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_a_recording_is_its_owners_alone(tmp_path):
    before = os.umask(0o022)
    try:
        recorded(tmp_path / "new")
    finally:
        os.umask(before)
    assert all(
        path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "new", *(tmp_path / "new").rglob("*"))
    )


def test_a_clock_that_was_ahead_does_not_make_the_newest_recording_the_oldest(tmp_path):
    ahead = tmp_path / "20991231T000000Z"
    ahead.mkdir()
    for kind in ("jsonl", "bin"):
        (ahead / f"part-000001.{kind}").write_bytes(b"x" * 1000)
    with FlightRecorder(tmp_path, max_gb=1500 / 1e9) as recorder:
        recorder.health("door", Health())
        recorder._begun = -1e9  # a minute later
        recorder.health("door", Health())
    assert list(ahead.iterdir()) == []
    assert len(list(recorder.folder.glob("part-*.jsonl"))) == 2


def test_what_was_told_and_dropped_is_written_beside(tmp_path):
    from dataclasses import replace

    from streamrec import ActionStarted

    with FlightRecorder(tmp_path) as recorder:
        (first, *_) = results(world(0, 1.0), Recognizer.load(MODEL))
        recorder.write(replace(first, events=(ActionStarted("wave", 0.1, 0.9, "x"),), dropped=7))
        recorder.health("door", open_source("synthetic").health)
    told, state = lines(tmp_path)
    assert (told["dropped"], told["events"][0]["event"], told["events"][0]["label"]) == (7, "started", "wave")
    assert (state["type"], state["state"]) == ("state", "connecting")


class TestTrouble:
    def test_a_place_that_cannot_be_written_to_is_told(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SinkError, match=r"cannot record to .*file"):
            FlightRecorder(tmp_path / "file")
        with pytest.raises(SinkError, match="pictures of a recording are none, input, full, not 'some'"):
            FlightRecorder(tmp_path, pictures="some")

    def test_a_full_disk_stops_the_recording_and_nothing_else(self, tmp_path, monkeypatch):
        complaints: list[str] = []
        count = [0]
        put = FlightRecorder._put

        def full(self, data):
            count[0] += 1
            if count[0] > 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            return put(self, data)

        monkeypatch.setattr(FlightRecorder, "_put", full)
        said = recorded(tmp_path, warn=complaints.append)
        assert len(said) > 20
        assert len(complaints) == 1
        assert re.fullmatch(r"the recording to .* stops for a minute: the disk is full", complaints[0])
        assert replay(tmp_path).difference is None  # of what there is

    def test_what_is_no_recording_is_told(self, tmp_path):
        with pytest.raises(DataError, match="there is no recording in"):
            replay(tmp_path)
        FlightRecorder(tmp_path).close()
        with pytest.raises(DataError, match="holds no step"):
            replay(tmp_path)

    def test_damage_is_told(self, tmp_path):
        recorded(tmp_path)
        (data,) = tmp_path.rglob("*.bin")
        data.write_bytes(b"x" * data.stat().st_size)
        with pytest.raises(DataError, match="is damaged"):
            replay(tmp_path)


@pytest.mark.slow
def test_it_is_replayed_from_the_command_line_also_after_a_kill(tmp_path):
    run = [sys.executable, "-m", "streamrec"]
    where = {"cwd": tmp_path, "env": {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}}
    (tmp_path / "cameras.toml").write_text(
        '[defaults]\nmodel = "synthetic"\n'
        '[[camera]]\nname = "one"\naddress = "synthetic:1"\n[[camera]]\nname = "two"\naddress = "synthetic:2"\n'
    )
    process = forked.Popen(
        [*run, "watch", "cameras.toml", "--record", "flight"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **where,
    )  # fmt: skip
    try:
        ends = time.monotonic() + 60
        while (
            not [p for p in tmp_path.rglob("*.bin") if p.stat().st_size > 500_000] and time.monotonic() < ends
        ):
            time.sleep(0.05)
        time.sleep(random.Random(4).uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(60.0)
    done = forked.run([*run, "replay", "flight"], capture_output=True, text=True, timeout=280, **where)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d\d+ frames in \d+ steps done again\nthe same, bit for bit\n", done.stdout)
    done = forked.run(
        [*run, "replay", "flight", "--engine", "torch"], capture_output=True, text=True, timeout=280, **where
    )
    assert done.returncode == 1
    assert "the first difference: part-000001.jsonl, line " in done.stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("flight")
    recorded(folder)
    (inside,) = folder.iterdir()
    return inside


class TestOfSomebodyElse:
    """A recording is anybody's file: it is told in a sentence, loads no file that it names, and unpacks no bomb."""

    @pytest.fixture
    def place(self, whole, tmp_path) -> Path:
        return Path(shutil.copytree(whole, tmp_path / "copy"))

    @pytest.mark.parametrize(
        ("header", "says"),
        [
            (b"no json", "flight.json is damaged: it is no JSON"),
            (b"", "flight.json is damaged"),
            (b"[]", "it is no header of a recording"),
            (b"[" * 50_000, "nested too deeply"),
            (b"\xff\xfe", "damaged"),
            ({"layout": "one"}, "no header"),
            ({"layout": True}, "no header"),
            ({"layout": 99}, "upgrade streamrec"),
            ({"pictures": 5}, "no header"),
            ({"models": "fight"}, "no header"),
            ({"models": [{"name": 5, "engine": "onnx"}]}, "no header"),
            ({"models": [{"name": "fight", "engine": "gpu"}]}, "no header"),
            ({"models": []}, "has no model 0"),
            ({"packages": None}, "no header"),
        ],
    )
    def test_a_header_that_is_none(self, place, header, says):
        path = place / "flight.json"
        if isinstance(header, dict):
            header = json.dumps(json.loads(path.read_text()) | header).encode()
        path.write_bytes(header)
        with pytest.raises(DataError, match=says):
            replay(place)

    def test_a_header_may_name_a_shipped_model_alone(self, place, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        shutil.copy(SHIPPED / f"{MODEL}.safetensors", tmp_path / "mine.safetensors")
        shutil.copy(SHIPPED / f"{MODEL}.safetensors", tmp_path / "mine")
        header = json.loads((place / "flight.json").read_text())
        for name in (
            "mine",
            "mine.safetensors",
            str(tmp_path / "mine.safetensors"),
            "../mine",
            "",
            "/dev/zero",
        ):
            header["models"][0]["name"] = name
            (place / "flight.json").write_text(json.dumps(header))
            with pytest.raises(DataError, match="say with --model which file it is"):
                replay(place)
        found = replay(
            place, lambda name, engine: Recognizer.load(tmp_path / "mine.safetensors", engine=engine)
        )
        assert found.difference is None

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda step: [], "no line of a recording"),
            (lambda step: 5, "no line of a recording"),
            (lambda step: {"type": "step"}, "this is no step"),
            (lambda step: step | {"model": 99}, "has no model 99"),
            (lambda step: step | {"model": "x"}, "has no model 'x'"),
            (lambda step: step | {"model": True}, "has no model True"),
            (lambda step: step | {"frames": [5]}, "lacks what belongs to it"),
            (lambda step: step | {"frames": 5}, "this is no step"),
            (lambda step: first(step, camera=5), "lacks"),
            (lambda step: first(step, timestamp="x"), "lacks"),
            (lambda step: first(step, timestamp=float("nan")), ""),
            (lambda step: first(step, index=10**30), "lacks"),
            (lambda step: first(step, said="QQ"), "damaged"),
            (lambda step: first(step, picture=[0, 10, 10**9, 10**9]), "is none"),
            (lambda step: first(step, picture=[0, 10, -1, 5]), "lacks"),
            (lambda step: first(step, picture=[10**12, 10, 60, 80]), "damaged"),
            (lambda step: first(step, picture=[0, 10**12, 60, 80]), "damaged"),
            (lambda step: first(step, before=[0, 10]), "damaged"),
            (lambda step: first(step, before="x"), "lacks"),
        ],
    )
    def test_a_step_that_is_none(self, place, change, says):
        part = place / "part-000001.jsonl"
        steps = part.read_text().splitlines()
        at = next(n for n, step in enumerate(steps) if '"type": "step"' in step)
        steps[at] = json.dumps(change(json.loads(steps[at])))
        part.write_text("\n".join(steps) + "\n")
        if not says:
            assert replay(place).difference is not None
            return
        with pytest.raises(DataError, match=says) as told:
            replay(place)
        assert "\n" not in str(told.value)

    def test_a_recording_without_frames_says_so(self, place):
        (place / "part-000001.jsonl").write_text("")
        with pytest.raises(DataError, match="holds no frame"):
            replay(place)

    @pytest.mark.parametrize("key", ["picture", "before"])
    def test_what_unpacks_to_more_than_it_says_is_not_unpacked(self, place, key):
        part, data = place / "part-000001.jsonl", place / "part-000001.bin"
        bomb = zlib.compress(bytes(300_000_000), 9)
        steps = part.read_text().splitlines()
        at = next(n for n, step in enumerate(steps) if '"type": "step"' in step)
        step = json.loads(steps[at])
        where = [data.stat().st_size, len(bomb)]
        step["frames"][0][key] = [*where, 60, 80] if key == "picture" else where
        steps[at] = json.dumps(step)
        part.write_text("\n".join(steps) + "\n")
        with data.open("ab") as out:
            out.write(bomb)
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match="damaged"):
                replay(place)
            assert tracemalloc.get_traced_memory()[1] < 60_000_000
        finally:
            tracemalloc.stop()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
    @pytest.mark.parametrize("name", ["flight.json", "part-000001.jsonl", "part-000001.bin"])
    def test_nobody_waits_for_a_pipe_in_it(self, place, name):
        (place / name).unlink()
        os.mkfifo(place / name)
        with pytest.raises(DataError):
            replay(place)

    @pytest.mark.parametrize("time", ["1e308", "-1e308", "Infinity", str(10**400)])
    def test_a_time_that_is_none_is_damage(self, place, time):
        lines = place / "part-000001.jsonl"
        lines.write_text(lines.read_text().replace('"timestamp": 0.0', f'"timestamp": {time}', 1))
        with pytest.raises(DataError, match="damaged"):
            replay(place)


def first(step: dict, **changes) -> dict:
    """The step with something else in its first frame."""
    return step | {"frames": [step["frames"][0] | changes, *step["frames"][1:]]}
