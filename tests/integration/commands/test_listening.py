"""``run --listen`` and ``listen`` of cameras.toml with a real model of sound: events, privacy, and what is refused."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrec import (
    ActionEnded,
    ActionModel,
    ModelConfig,
    Recognizer,
    Transform,
    open_source,
    results,
    save_model,
)
from streamrec.commands.listening import listener_for, load_sound
from streamrec.commands.run_job import RunJob
from streamrec.errors import SettingsError
from streamrec.events.detector import EventSettings
from streamrec.outputs.history.store import History
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.settings.cameras_file import read_watchfile
from streamrec.sources.open_errors import NO_SOUND
from streamrec.types import SourceState
from tests.helpers.cameras import rtsp_camera
from tests.helpers.models import SOUND
from tests.helpers.sounds import tone, write_media
from tests.integration.commands.test_fleet import Site, sites

__all__ = ["sites"]  # a fixture


def learned() -> ActionModel:
    """A model that knows a tone from silence."""
    torch.manual_seed(0)
    config = replace(
        SOUND, labels=("quiet", "beep"),
        events=EventSettings(background=("quiet",), smoothing=0.1, shortest=0.0, merge_gap=0.2),
    )  # fmt: skip
    model = ActionModel(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    draw = np.random.default_rng(0)
    for _ in range(60):
        sound, truth = np.zeros((4, 24, 640), np.float32), np.zeros((4, 24), np.int64)
        for one in range(4):
            begin, long = int(draw.integers(0, 9)), int(draw.integers(3, 16))
            beep = tone(8_000, 0.08 * long, draw.uniform(300, 900)).reshape(long, 640)
            sound[one, begin : begin + long], truth[one, begin : begin + long] = beep, 1
        sound += draw.normal(0, 0.001, sound.shape).astype(np.float32)
        outputs, _ = model(torch.from_numpy(sound))
        loss = torch.nn.functional.cross_entropy(
            outputs[..., :2].flatten(0, 1), torch.from_numpy(truth).flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2
    return model.eval()


@pytest.fixture(scope="module")
def beep(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "beep.safetensors"
    save_model(path, learned())
    return path


def sound_of(seconds: float = 4.0, at: tuple[float, float] = (1.5, 2.5)) -> np.ndarray:
    quiet = np.random.default_rng(1).normal(0, 0.001, round(16_000 * seconds)).astype(np.float32)
    begin, end = (round(16_000 * one) for one in at)
    quiet[begin:end] += tone(16_000, at[1] - at[0], 500.0)
    return quiet


@pytest.fixture
def party(tmp_path) -> Path:
    pictures = [np.full((48, 64, 3), 40 + n, np.uint8) for n in range(100)]
    return write_media(tmp_path / "party.mp4", sound_of(), 16_000, codec="aac", pictures=pictures)


def lines_of(path: Path, kind: str) -> list[dict]:
    return [line for line in map(json.loads, path.read_text().splitlines()) if line["type"] == kind]


def test_a_file_is_watched_and_listened_to_and_no_sound_is_kept(beep, party, tmp_path, main_here):
    """Everything that keeps something is switched on; what is on the disk afterwards has no track of sound."""
    import av

    (tmp_path / "after.toml").write_text(
        '[history]\nfile = "events.db"\n[evidence]\nfolder = "evidence"\nbefore = 1\nafter = 1\n'
    )
    done = main_here(
        "run", "party.mp4", "-m", "fight", "--listen", beep, "--no-show", "--jsonl", "out.jsonl",
        "--save", "seen.mp4", "--settings", "after.toml", "--record", "flight", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [line for line in lines_of(tmp_path / "out.jsonl", "event") if line["label"] == "beep"]
    assert [(line["event"], line["model"], line["source"]) for line in found] == [
        ("started", "beep", "party.mp4"),
        ("ended", "beep", "party.mp4"),
    ]
    assert found[0]["timestamp"] == pytest.approx(1.5, abs=0.2)
    assert found[1]["timestamp"] == pytest.approx(2.5, abs=0.3)
    models = {line.get("model") for line in lines_of(tmp_path / "out.jsonl", "prediction")}
    assert models == {"fight", "beep"}
    states = {line["source"] for line in lines_of(tmp_path / "out.jsonl", "state")}
    assert states == {"party.mp4", "party.mp4#sound"}
    assert "it listens with beep; no sound is kept" in done.stdout + done.stderr
    with sqlite3.connect(tmp_path / "events.db") as history:
        rows = history.execute("SELECT model, label FROM event").fetchall()
    assert ("beep", "beep") in rows
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path != party]
    videos = [path for path in kept if path.suffix in (".mp4", ".mkv")]
    assert any("evidence" in str(path) for path in videos), "the event has a video"
    for video in videos:
        with av.open(str(video)) as container:
            assert [stream.type for stream in container.streams] == ["video"], video
    samples = (sound_of()[24_000:24_064]).astype("<f4").tobytes()
    for path in kept:
        assert samples[:32] not in path.read_bytes(), path


def test_a_sound_file_is_run_by_a_model_of_sound_with_a_level_for_its_picture(beep, tmp_path, main_here):
    write_media(tmp_path / "clip.wav", sound_of(), 16_000)
    done = main_here(
        "run", "clip.wav", "-m", beep, "--no-show", "--jsonl", "out.jsonl", "--save", "seen.mp4", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = lines_of(tmp_path / "out.jsonl", "event")
    assert [line["event"] for line in found] == ["started", "ended"]
    assert found[0]["timestamp"] == pytest.approx(1.5, abs=0.2)
    track = main_here("run", "clip.wav", "-m", "fight", "--no-show", cwd=tmp_path)
    assert track.returncode == 2 and "fight takes video, and clip.wav is sound" in track.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "silent.mp4", "-m", "fight", "--listen", "fall", "--no-show"), "fall takes video, and"),
        (("run", "-", "-m", "fight", "--listen", "{beep}", "--no-show"), "has no sound of its own: name one"),
        (("run", "synthetic", "-m", "fight", "--listen", "{beep}", "--no-show"), "has no sound of its own"),
        (
            ("run", "clip.wav", "-m", "{beep}", "--listen", "{beep}", "--no-show"),
            "two of the models are called beep",
        ),
    ],
)
def test_what_cannot_be_listened_to_is_a_sentence(arguments, said, beep, tmp_path, main_here):
    write_media(tmp_path / "silent.mp4", None, pictures=[np.zeros((48, 64, 3), np.uint8)] * 5)
    write_media(tmp_path / "clip.wav", sound_of(), 16_000)
    done = main_here(*(one.format(beep=beep) for one in arguments), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_file_without_sound_is_watched_all_the_same(beep, tmp_path, main_here):
    write_media(tmp_path / "silent.mp4", None, pictures=[np.zeros((48, 64, 3), np.uint8)] * 20)
    done = main_here(
        "run",
        "silent.mp4",
        "-m",
        "fight",
        "--listen",
        beep,
        "--no-show",
        "--jsonl",
        "out.jsonl",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert lines_of(tmp_path / "out.jsonl", "prediction")
    (lost,) = [line for line in lines_of(tmp_path / "out.jsonl", "state") if line["state"] == "failed"]
    assert lost["source"] == "silent.mp4#sound" and "it has no sound" in lost["reason"]
    assert f"silent.mp4#sound: failed: {lost['reason']}" in done.stderr


def test_cameras_of_a_file_listen_and_a_rule_fuses_both(beep, party, tmp_path, main_here):
    """Sound and pictures of one camera: a rule combines their events. The picture's are those of any label."""
    (tmp_path / "cameras.toml").write_text(
        f'[[camera]]\nname = "door"\naddress = "party.mp4"\nmodel = "fight"\nlisten = "{beep}"\n'
        "enter = 0.05\nleave = 0.04\n"
        '[[camera]]\nname = "yard"\naddress = "party.mp4"\nmodel = "fight"\n'
        '[[rule]]\nname = "long beep"\nwhen = {label = "beep", camera = "door", model = "beep"}\nlasts = "0.5 s"\n'
    )
    done = main_here("watch", "cameras.toml", "--jsonl", "out.jsonl", "--predictions", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = lines_of(tmp_path / "out.jsonl", "event")
    own = [(line["source"], line["event"], line.get("model")) for line in found if line["label"] == "beep"]
    assert own == [("door", "started", "beep"), ("door", "ended", "beep")]
    assert [line["rule"] for line in found if line.get("rule")] == ["long beep", "long beep"]
    models = {(line["source"], line.get("model")) for line in lines_of(tmp_path / "out.jsonl", "prediction")}
    assert models == {("door", "fight"), ("door", "beep"), ("yard", None)}


def test_a_label_of_the_sound_is_snoozed_while_nothing_runs(beep, tmp_path, main_here):
    (tmp_path / "cameras.toml").write_text(
        f'[history]\n[[camera]]\nname = "door"\naddress = "0"\nmodel = "fight"\nlisten = "{beep}"\n'
    )
    History(tmp_path / "events.db").close()
    done = main_here("arming", "snooze", "door", "5", "--label", "beep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "beep of door is snoozed until" in done.stdout


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("listen = 5", "camera 'door': listen: name a model of sound, like listen = "),
        ("listen = {address = 'mic:'}", "listen: name a model of sound"),
        ("listen = {model = 'a.onnx', volume = 3}", "listen: volume: there is no such key"),
        ("listen = 'fight'", "listen: two of the models are called fight"),
        ("listen = {model = 'a.onnx', address = ''}", "listen: address: write rtsp://"),
        (
            "listen = {model = 'a.onnx', address = 'rtsp://me:${NO_SUCH}@h/x'}",
            "the environment has no NO_SUCH",
        ),
    ],
)
def test_a_wrong_listen_names_camera_and_key(listen, said, tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(f'[[camera]]\nname = "door"\naddress = "0"\n{listen}\n')
    with pytest.raises(SettingsError) as caught:
        read_watchfile(path, {})
    assert said in str(caught.value)


def test_settings_of_sound_hide_its_password(tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(
        '[[camera]]\nname = "door"\naddress = "0"\n'
        "listen = {model = 'glass.onnx', address = 'rtsp://me:${PW}@10.0.0.7/live'}\n"
        '[[camera]]\nname = "yard"\naddress = "rtsp://10.0.0.8/live"\nlisten = "glass.onnx"\n'
        '[defaults]\nuser = "u"\npassword = "${PW}"\n'
    )
    file = read_watchfile(path, {"PW": "s3cret word"})
    door, yard = (camera.listen for camera in file.cameras)
    assert door is not None and door.address == "rtsp://me:s3cret%20word@10.0.0.7/live"
    assert yard is not None and (yard.address, yard.name) == ("", "glass")
    assert "s3cret" not in repr(file) and "s3cret word" in file.secrets


@pytest.fixture(scope="module")
def wave(tmp_path_factory) -> Path:
    """A model of pictures that is sure of a wave, whatever it sees."""
    torch.manual_seed(0)
    model = ActionModel(
        ModelConfig(
            labels=("idle", "wave"), transform=Transform(height=32, width=32), hidden_size=16,
            events=EventSettings(background=("idle",)),
        )
    )  # fmt: skip
    with torch.no_grad():
        model.head.classifier.weight.zero_()
        model.head.classifier.bias.copy_(torch.tensor([0.0, 6.0]))
    path = tmp_path_factory.mktemp("pictures") / "wave.safetensors"
    save_model(path, model.eval())
    return path


@pytest.fixture(scope="module")
def camera():
    """Pictures with a beep each second, by RTSP; the same without a sound track at ``/mute``."""
    with rtsp_camera(sound=True, stamp=False, fps=5, size=(160, 120)) as camera:
        yield camera


class Until:
    """In place of the signals of ``watch``: it is to end once this holds of the lines that it has written."""

    reload = False

    def __init__(self, path: Path, done: Callable[[list[dict]], bool]) -> None:
        self._path, self._done = path, done

    def __enter__(self) -> Until:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def code(self) -> int | None:
        text = self._path.read_text() if self._path.exists() else ""
        lines = [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]
        return 0 if self._done(lines) else None


def test_the_sound_track_of_a_camera_is_joined_with_its_pictures(
    beep, wave, camera, tmp_path, monkeypatch, main_here
):
    """The whole way: RTSP, both connections, both models, and a rule that takes an event of each."""
    mute = camera.replace("/live", "/mute")
    table = '[[camera]]\nname = "{}"\naddress = "{}"\nmodel = "{}"\nlisten = "{}"\n'
    (tmp_path / "cameras.toml").write_text(
        table.format("yard", camera, wave, beep)
        + table.format("mute", mute, wave, beep)
        + '[[rule]]\nname = "break-in"\nwhen = {label = "beep", camera = "yard"}\n'
        + 'also = {label = "wave", camera = "yard"}\nwithin = "10 s"\n'
    )

    def done(lines: list[dict]) -> bool:
        ended = {(one["source"], one["label"]) for one in lines if one.get("event") == "ended"}
        said = {one["source"] for one in lines if one["type"] == "state" and one["reason"] == NO_SOUND}
        return {("yard", "break-in"), ("yard", "beep")} <= ended and "mute#sound" in said

    out = tmp_path / "out.jsonl"
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("streamrec.commands.watch_job.Signals", lambda: Until(out, done))
    watched = main_here("watch", "cameras.toml", "--jsonl", out, "--max-seconds", "120", cwd=tmp_path)
    said = watched.stdout + watched.stderr
    assert watched.returncode == 0 and "Traceback" not in said, said
    assert done([json.loads(line) for line in out.read_text().splitlines()]), said
    assert f"mute#sound  connecting: {NO_SOUND}" in said
    found = lines_of(out, "event")
    assert {(line["source"], line["label"], line.get("model")) for line in found if not line.get("rule")} == {
        ("yard", "wave", "wave"),
        ("yard", "beep", "beep"),
        ("mute", "wave", "wave"),
    }
    with History(tmp_path / "events.db", read_only=True) as history:
        fused = [one for one in history.query() if one.rule == "break-in"]
        based = {(history.get(id).camera, history.get(id).model) for one in fused for id in one.based_on}
    assert based == {("yard", "beep"), ("yard", "wave")}


def test_run_listens_to_a_camera_and_says_where_it_sends_no_sound(
    beep, wave, camera, tmp_path, monkeypatch, main_here
):
    """Each run ends with what it waits for: an event of the sound, or that there is none."""
    jobs: list[RunJob] = []
    found: list = []

    def until(result) -> None:
        listener = jobs[-1].listener
        found.extend(event for event in result.events if event.label == "beep")
        if found or listener.health.state is SourceState.failed:
            jobs[-1].source.interrupt()

    def ending(**given) -> RunJob:
        jobs.append(RunJob(**given, also=until))
        return jobs[-1]

    monkeypatch.setattr("streamrec.commands.run_job.RunJob", ending)
    for address in (camera.replace("/live", "/mute"), camera):
        done = main_here(
            "run", address, "-m", wave, "--listen", beep, "--no-show", "--max-seconds", "120", cwd=tmp_path
        )
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        assert (NO_SOUND in done.stderr) == (address != camera)
    assert {event.model for event in found} == {"beep"}


def test_a_camera_of_a_fleet_listens_and_a_move_changes_none_of_its_events(beep, wave, sites, tmp_path):
    sound = np.concatenate([sound_of(5.0, (1.5, 2.0 + n % 3)) for n in range(16)])
    pictures = [np.full((48, 64, 3), n % 200, np.uint8) for n in range(800)]
    party = write_media(tmp_path / "party.mp4", sound, 16_000, codec="aac", pictures=pictures, fps=10)
    recognizer, source = Recognizer.load(wave), open_source(party)
    builder = ResultBuilder(recognizer, "door")
    listener = listener_for(load_sound(str(beep)), "beep", source, str(party))
    builder.listening(listener, "wave")
    expected = sorted(
        (one.model, one.label, one.started, round(one.duration, 3), one.confidence)
        for result in results(source, recognizer, builder=builder)
        for one in result.events
        if isinstance(one, ActionEnded)
    )
    table = f'[[camera]]\nname = "door"\naddress = "{party}"\nmodel = "{wave}"\nlisten = "{beep}"\n'
    site: Site = sites(table, "north", "south")
    moves = site.moved_until_ended("door", 2)
    with History(tmp_path / "events.db", read_only=True) as history:
        found = sorted(
            (one.model, one.label, one.timestamp, round(one.duration or -1.0, 3), one.confidence)
            for one in history.pages(camera="door")
        )
    assert moves and [one[0] for one in expected].count("beep") == 16
    assert found == expected
    (camera,) = site.head.status().cameras
    assert camera.sound is not None and camera.sound.model == "beep"
    assert "door: it listens with beep; no sound is kept" in [text for _, text in site.head.messages(0)]


def test_a_camera_of_a_fleet_listens_by_rtsp_and_a_rule_of_the_head_joins_both(
    beep, wave, camera, sites, tmp_path
):
    site: Site = sites(
        f'[[camera]]\nname = "yard"\naddress = "{camera}"\nmodel = "{wave}"\nlisten = "{beep}"\n'
        '[[rule]]\nname = "break-in"\nwhen = {label = "beep", model = "beep"}\n'
        'also = {label = "wave", model = "wave"}\nwithin = "10 s"\n',
        "north",
        "south",
    )

    def kept(label: str, since: float = 0.0) -> list:
        with History(tmp_path / "events.db", read_only=True) as history:
            return [one for one in history.query() if one.label == label and one.started >= since]

    site.until(lambda: kept("break-in") and len(kept("beep")) > 1)
    (now,) = site.head.status().cameras
    assert (now.sound.model, now.sound.state) == ("beep", "live")
    (group,) = site.head.status().groups
    moved = time.time()
    site.head._move(group.name, {f"id-{group.machine}"})
    site.until(lambda: [one for one in kept("beep", moved) if one.ended is not None])
    assert not [one for one in kept("beep") if one.started < moved and one.ended is None]


def test_the_password_of_a_sound_is_nowhere_in_a_fleet(beep, sites, tmp_path, monkeypatch):
    monkeypatch.setenv("SOUND_PASSWORD", "hunter2hunter2")
    table = '[[camera]]\nname = "yard"\naddress = "synthetic:1"\nmodel = "synthetic"\n'
    address = "rtsp://me:${SOUND_PASSWORD}@127.0.0.1:9/live"
    site: Site = sites(f'{table}listen = {{model = "{beep}", address = "{address}"}}\n', "north")
    site.until(lambda: site.head.status().cameras and site.head.status().cameras[0].sound.reason)
    (camera,) = site.head.status().cameras
    assert (camera.state, camera.sound.state) == ("live", "connecting")
    (armed,) = site.head._dispatcher.arming.status()["cameras"]
    labels = {one["label"] for one in armed["labels"]}
    assert "beep" in labels and "quiet" not in labels and len(labels) > 1
    shown = repr((site.head.status().to_dict(), site.head.messages(0), site.cluster.log))
    assert "hunter2" not in shown and "refused" in shown
    assert b"hunter2" not in site.cluster.sent[0].settings
    site.close()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if b"hunter2" in path.read_bytes()]
