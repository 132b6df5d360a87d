"""``streamrec train`` on folders of tiny clips: a file comes out that runs, and a stopped run goes on."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import fields, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from streamrec import ModelConfig, Recognizer, Transform, results
from streamrec.data.clips import find_clips
from streamrec.data.splits import split_by_group
from streamrec.errors import DataError, MissingExtra, ModelError
from streamrec.nn.encoders import make_encoder
from streamrec.runtime.checkpoint import load_model, read_checkpoint
from streamrec.sources.synthetic import ACTIONS, LABELS
from streamrec.train import fit as recipe
from streamrec.train import job as room
from streamrec.train.fit import TrainSettings
from streamrec.train.job import TrainJob
from streamrec.train.run_log import read_lines


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six clips of a disc that rises, falls or rests."""
    root = tmp_path_factory.mktemp("clips")
    for label, speed in (("falls", 2), ("rises", -2), ("idle", 0)):
        (root / label).mkdir()
        for number in range(2):
            write_clip(root / label / f"{number}.mp4", speed, 10 + 6 * number)
    return root


def write_clip(path: Path, speed: int, start: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12.0, (48, 48))
    for n in range(14):
        picture = np.full((48, 48, 3), 40, np.uint8)
        cv2.circle(picture, (24, (start + speed * n) % 48), 5, (220, 220, 220), -1)
        writer.write(picture)
    writer.release()


def job(data: str | Path, out: Path, **changes) -> TrainJob:
    settings = TrainSettings(steps=3, streams=2, window=6)
    config = ModelConfig(
        labels=(),
        transform=Transform(width=32, height=32),
        fps=12.0,
        hidden_size=16,
        dropout=0.0,
        about="Discs that rise, fall or rest.",
    )
    kinds = {
        "settings": {name for name in changes if name in {each.name for each in fields(TrainSettings)}},
        "config": {name for name in changes if name in {each.name for each in fields(ModelConfig)}},
    }
    return TrainJob(
        data=(str(data),),
        out=out,
        settings=replace(settings, **{name: changes.pop(name) for name in kinds["settings"]}),
        config=replace(config, **{name: changes.pop(name) for name in kinds["config"]}),
        **{"hours": 0.01, "hold_out": 0.0, "threads": 1} | changes,
    )


def interrupt_at(step: int, monkeypatch) -> None:
    """Ctrl-C while this step is learned."""
    known, calls = recipe._learn, iter(range(1, 1000))

    def pressed(*args) -> None:
        if next(calls) == step:
            signal.raise_signal(signal.SIGINT)
        known(*args)

    monkeypatch.setattr(recipe, "_learn", pressed)


def test_a_folder_of_clips_becomes_a_model_that_runs(folder, tmp_path, capsys):
    out = tmp_path / "models" / "discs.safetensors"
    job(folder, out).run()
    recognizer = Recognizer.load(out)
    assert recognizer.labels == ("falls", "idle", "rises")
    assert recognizer.fps == 12.0
    config = recognizer.config
    assert config.events.background == ("idle",)
    assert config.max_gap == 1.0
    assert config.about == "Discs that rise, fall or rest."
    assert (config.encoder, config.transform.width, config.transform.height) == ("motion", 32, 32)
    said = list(results(folder / "falls" / "0.mp4", recognizer))
    assert len(said) == 14
    assert said[-1].prediction.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    assert sorted(path.name for path in out.parent.iterdir()) == ["discs.run", "discs.safetensors"]
    assert f"wrote {out}\n" in capsys.readouterr().err


def grouped(folder: Path, place: Path) -> Path:
    """The clips in two groups, each with every label."""
    table = place / "clips.csv"
    rows = [f"{path},{path.parent.name},{path.stem}" for path in sorted(folder.rglob("*.mp4"))]
    table.write_text("\n".join(["clip,label,group", *rows]))
    return table


def test_a_model_names_the_sets_that_it_and_its_initial_weights_learned_from(folder, tmp_path):
    first = tmp_path / "first.safetensors"
    job(folder, first, learned=("gym", "street")).run()
    assert read_checkpoint(first).config.learned == ("gym", "street")

    (folder / "index.csv").write_text("clip,label\nfalls/0.mp4,falls\nidle/0.mp4,idle\n", encoding="utf-8")
    table = tmp_path / "mine.csv"
    table.write_text(f"clip,label\n{folder}/falls/0.mp4,falls\n{folder}/idle/0.mp4,idle\n", encoding="utf-8")
    try:
        job(table, tmp_path / "second.safetensors", weights=str(first), hold_out=0.0).run()
    finally:
        (folder / "index.csv").unlink()
    assert read_checkpoint(tmp_path / "second.safetensors").config.learned == (
        "gym",
        "street",
        "mine",
        folder.name,
    )


def test_the_run_folder_tells_what_was_learned_and_how_it_went(folder, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "m.safetensors"
    job(grouped(folder, tmp_path), out, hold_out=0.5, seed=1).run()
    there = {path.name for path in (tmp_path / "m.run").iterdir()}
    pictures = {"curves.png", "confusion.png", "timelines.png", "mistakes.png"}
    assert there >= {"config.json", "metrics.csv", "report.html", *pictures}
    told = json.loads((tmp_path / "m.run" / "config.json").read_text())
    assert told["settings"]["seed"] == 1
    assert told["model"]["labels"] == ["falls", "idle", "rises"]
    assert told["data"]["learned"]["labels"] == {"falls": 1, "idle": 1, "rises": 1}
    assert told["data"]["held_out"]["recordings"] == 3
    lines = read_lines(tmp_path / "m.run" / "metrics.csv")
    assert [line.step for line in lines] == [1, 3]
    assert lines[-1].held_out is not None


def test_without_what_draws_a_model_is_made_and_it_is_said(folder, tmp_path, capsys, monkeypatch):
    def nothing(*_: object, **__: object):
        raise MissingExtra("matplotlib is not installed; run: pip install 'streamrec[train]'")

    monkeypatch.setattr(room, "draw_report", nothing)
    job(folder, tmp_path / "m.safetensors", steps=1).run()
    told = capsys.readouterr().err
    assert told.count("no report of the run: matplotlib is not installed") == 1
    assert (tmp_path / "m.safetensors").exists()


def test_learning_that_stops_early_says_what_is_kept(folder, tmp_path, capsys):
    job(
        grouped(folder, tmp_path),
        tmp_path / "m.safetensors",
        patience=1,
        evaluate_every=1,
        watch=0.5,
        steps=9,
    ).run()
    assert re.search(
        r"learned for \d steps; the best model is kept, that of step \d", capsys.readouterr().err
    )


def test_a_fold_is_trained_on_some_clips_and_measured_on_others(folder, tmp_path, capsys):
    clips = find_clips(grouped(folder, tmp_path))
    learned, measured = split_by_group(clips, fold=0, folds=2)
    model = job(folder, tmp_path / "unused.safetensors").train_fold(learned, measured, 7, tmp_path / "fold")
    assert model.config.labels == ("falls", "idle", "rises")
    assert "on 3 held-out clips:" in capsys.readouterr().err
    told = json.loads((tmp_path / "fold" / "config.json").read_text())
    assert told["settings"]["seed"] == 7
    assert Recognizer.load(tmp_path / "fold" / "model.safetensors").labels == model.config.labels
    assert not (tmp_path / "unused.safetensors").exists()


def test_the_held_out_clips_are_measured_at_the_end(folder, tmp_path, capsys, monkeypatch):
    table = grouped(folder, tmp_path)
    learned = []
    known = room.fit_soup

    def spied(recordings, *args, **more):
        learned.extend(recordings)
        return known(recordings, *args, **more)

    monkeypatch.setattr(room, "fit_soup", spied)
    job(table, tmp_path / "m.safetensors", hold_out=0.5).run()
    assert "on 3 held-out clips:" in capsys.readouterr().err
    assert len(learned) == 3
    assert len({recording.group for recording in learned}) == 1


def test_a_corrupt_clip_is_named_and_the_rest_is_learned(folder, tmp_path, capsys):
    for path in folder.rglob("*.mp4"):
        copy = tmp_path / "data" / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "data" / "falls" / "broken [old].mp4").write_text("no video")
    job(tmp_path / "data", tmp_path / "m.safetensors").run()
    assert "passed over: broken [old].mp4" in capsys.readouterr().err
    assert Recognizer.load(tmp_path / "m.safetensors").labels == ("falls", "idle", "rises")


def test_footage_in_which_nothing_happens_is_learned_between_the_clips(folder, tmp_path, capsys):
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    for number in range(2):
        write_clip(quiet / f"{number}.mp4", 1, 20)
    (quiet / "broken.mp4").write_text("no video")
    made = job(folder, tmp_path / "m.safetensors", background=(str(quiet),))
    data = made.load_data()
    assert [recording.target for recording in data.background] == [data.config.labels.index("idle")] * 2
    assert "passed over: broken.mp4" in capsys.readouterr().err
    assert len(data.learned) == 6
    made.run()
    assert json.loads((tmp_path / "m.run" / "config.json").read_text())["data"]["background"] == {
        "place": [str(quiet)],
        "recordings": 2,
    }


def test_background_is_no_action_of_the_data_and_what_is_held_out_is_not_learned_from(
    folder, tmp_path, capsys
):
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    write_clip(tmp_path / "whole.mp4", 1, 20)
    cut = quiet / "cut.mkv"
    with av.open(str(tmp_path / "whole.mp4")) as film, av.open(str(cut), "w") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        for packet in (packet for packet in film.demux(film.streams.video[0]) if packet.size):
            packet.stream = stream
            out.mux(packet)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 9 // 10])
    (quiet / "twin.mp4").write_bytes((folder / "idle" / "0.mp4").read_bytes())
    with pytest.raises(
        DataError, match=r"twin.mp4, which is the same recording as .*0.mp4, is background and rests"
    ):
        relabeled = job(
            folder, tmp_path / "m.safetensors", relabel={"idle": "rests"}, background=(str(quiet),)
        )
        relabeled.load_data()
    made = job(folder, tmp_path / "m.safetensors", background=(str(quiet),))
    clips = find_clips(str(folder))
    first = [clip for clip in clips if clip.path.name == "0.mp4"]
    for measured, count in ((first, 1), ([], 2)):
        loaded = made.decode([clip for clip in clips if clip not in measured], measured)
        assert len(loaded.background) == count
        told = capsys.readouterr().err
        assert ("1 of the background is held out" in told) == bool(measured)
        assert "cut.mkv: it is cut off" in told


def test_a_model_without_a_label_for_nothing_gets_one_with_the_footage(folder, tmp_path):
    (tmp_path / "quiet").mkdir()
    write_clip(tmp_path / "quiet" / "0.mp4", 1, 20)
    data = job(
        folder,
        tmp_path / "m.safetensors",
        relabel={"idle": "rests"},
        background=(str(tmp_path / "quiet"),),
    ).load_data()
    assert data.config.labels == ("falls", "rests", "rises", "background")
    assert data.config.events.background == ("background",)


def test_one_kind_of_synthetic_world_is_data_by_itself(tmp_path):
    data = job(
        "synthetic", tmp_path / "model.safetensors", world="finger", scenes=4, hold_out=0.25
    ).load_data()
    assert data.config.labels == LABELS["finger"]
    assert (len(data.learned), len(data.measured)) == (4, 1)


def test_the_synthetic_world_is_data_too(tmp_path):
    out = tmp_path / "figures.safetensors"
    job("synthetic", out, steps=1).run()
    recognizer = Recognizer.load(out)
    assert recognizer.labels == ACTIONS
    assert recognizer.config.events.background == ("idle",)


@pytest.mark.parametrize("name", ["model.pt", "model", "model.onnx"])
def test_a_model_file_of_another_kind_is_refused_before_any_work(tmp_path, name):
    with pytest.raises(DataError, match=r"a model file ends in \.safetensors"):
        job(tmp_path / "no such data", tmp_path / name).run()


def test_data_that_is_not_there_is_said_and_nothing_is_left(tmp_path):
    with pytest.raises(DataError, match="there is no data at"):
        job(tmp_path / "nowhere", tmp_path / "new" / "m.safetensors").run()
    assert not (tmp_path / "new").exists()


def test_data_of_which_nothing_can_be_read_is_said(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.mp4").write_text(f"no video of {label}")
    with pytest.raises(DataError, match="no clip could be read"):
        job(tmp_path, tmp_path / "m.safetensors").run()


def test_a_stopped_job_goes_on_where_it_was(folder, tmp_path, capsys, monkeypatch):
    stopped, whole = tmp_path / "stopped.safetensors", tmp_path / "whole.safetensors"
    resume = tmp_path / "stopped.safetensors.resume"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(3, patch)
        job(folder, stopped, steps=6).run()
    assert not stopped.exists()
    assert resume.exists()
    assert "the same command goes on from" in capsys.readouterr().err
    job(folder, stopped, steps=6).run()
    assert "going on with the run in" in capsys.readouterr().err
    assert not resume.exists()
    job(folder, whole, steps=6).run()
    one, other = load_model(stopped).state_dict(), load_model(whole).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_stopped_soup_goes_on_with_its_member(folder, tmp_path, capsys, monkeypatch):
    begun, out = tmp_path / "begun.safetensors", tmp_path / "soup.safetensors"
    job(folder, begun).run()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(5, patch)
        job(folder, out, soup=3, weights=str(begun)).run()
    assert f"goes on from {out}.resume2" in capsys.readouterr().err
    job(folder, out, soup=3, weights=str(begun)).run()
    assert f"going on with the run in {out}.resume2" in capsys.readouterr().err
    assert [line.step for line in read_lines(tmp_path / "soup.run" / "metrics.csv")][-1] == 9
    assert not list(tmp_path.glob("*.resume*"))


def test_a_soup_of_models_that_begin_at_random_is_refused_before_the_decoding(folder, tmp_path, capsys):
    with pytest.raises(DataError, match="give --weights"):
        job(folder, tmp_path / "m.safetensors", soup=3).run()
    assert not (tmp_path / "m.run").exists()


def test_a_stopped_job_is_not_mixed_with_another_one(folder, tmp_path, monkeypatch):
    out = tmp_path / "m.safetensors"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(2, patch)
        job(folder, out).run()
    with pytest.raises(DataError, match="other settings or data"):
        job(folder, out, hidden_size=24).run()


def test_a_trained_model_is_not_lost_when_it_cannot_be_written(folder, tmp_path, monkeypatch):
    out = tmp_path / "m.safetensors"

    def full(path, model) -> None:
        raise ModelError(f"the model could not be written to {path}: No space left on device")

    with monkeypatch.context() as patch, pytest.raises(ModelError, match="No space left"):
        patch.setattr(room, "save_model", full)
        job(folder, out).run()
    with monkeypatch.context() as patch:
        interrupt_at(1, patch)  # nothing may be learned again
        job(folder, out).run()
    assert Recognizer.load(out).labels == ("falls", "idle", "rises")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.run", "m.safetensors"]


@pytest.mark.slow
def test_drawn_keypoints_become_a_model_that_runs_on_pictures(folder, tmp_path):
    backbone = tmp_path / "person.safetensors"
    save_file(make_encoder("person-joints", height=64, width=64).trunk.state_dict(), backbone)
    drawn = {
        "world": "webcam",
        "scenes": 3,
        "hold_out": 0.4,
        "weights": str(backbone),
        "encoder": "person-joints",
        "fps": 10.0,
        "transform": Transform(width=64, height=64, fit="pad"),
        "stages": "staged",
        "unfreeze": 1.0,
        "class_balance": 0.5,
    }
    for name in ("one", "two"):
        job("joints", tmp_path / f"{name}.safetensors", **drawn).run()
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    trunk, start = "encoder.trunk.stem.weight", load_file(backbone)["stem.weight"]
    assert torch.allclose(one[trunk].float(), start, atol=1e-3)  # it is frozen, and stored in half precision
    recognizer = Recognizer.load(tmp_path / "one.safetensors")
    assert recognizer.labels[:2] == ("nothing", "wave") and recognizer.config.events.background == (
        "nothing",
    )
    assert recognizer.config.learned == () and recognizer.config.known is None
    assert len(list(results(folder / "falls" / "0.mp4", recognizer))) == 14
