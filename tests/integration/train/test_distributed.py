"""Several processes learn one model: they end with the same weights, and one of them writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from streamrec import Recognizer
from streamrec.errors import ModelError
from streamrec.train.distributed import Ranks, choose_device, joined
from tests.helpers.graphs import SITE
from tests.helpers.paths import ROOT

SCRIPT = '''
"""Learns with the others, is stopped once and goes on; writes its own weights."""
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from streamrec.nn.config import ModelConfig
from streamrec.data.decode_cache import Recording
from streamrec.train.fit import RunOptions, TrainSettings, fit
from streamrec.train.distributed import joined
from streamrec.nn.transforms import Transform

folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
recordings = [
    Recording(rng.integers(0, 256, (20, 32, 32, 3), np.uint8), np.arange(20) / 10, np.full(20, n % 2), str(n))
    for n in range(8)
]
config = ModelConfig(labels=("a", "b"), transform=Transform(height=32, width=32), hidden_size=8)
settings = TrainSettings(
    steps=6, streams=4, window=4, stages="staged", unfreeze=0.5, patience=9, evaluate_every=2, watch=0.25
)
with joined("cpu") as ranks:
    told = []
    whole = fit(
        recordings, config, settings, options=RunOptions(on_progress=told.append, ranks=ranks)
    )
    assert len(told) == (6 if ranks.first else 0)

    from streamrec.train import fit as recipe
    import signal

    known, calls = recipe._learn, iter(range(1, 100))

    def pressed(*args):
        if next(calls) == 4 and not ranks.first:  # one process hears it, all of them stop
            signal.raise_signal(signal.SIGINT)
        known(*args)

    recipe._learn = pressed
    resume = folder / "m.resume"
    try:
        fit(recordings, config, settings, options=RunOptions(resume=resume, ranks=ranks))
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("it was not stopped")
    recipe._learn = known
    resumed = fit(recordings, config, settings, options=RunOptions(resume=resume, ranks=ranks))
    for name, model in (("whole", whole), ("resumed", resumed)):
        weights = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(weights, folder / f"{name}{ranks.rank}.safetensors")
'''


def together(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Two processes, as torchrun starts them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{SITE}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_one_process_alone_is_all_of_them():
    with joined("cpu") as ranks:
        assert (ranks.rank, ranks.count, ranks.first) == (0, 1, True)
        model = torch.nn.Linear(2, 2)
        assert ranks.wrap(model) is model
        assert ranks.any(True)
        assert not ranks.any(False)
        assert ranks.sum([1, 2.5]) == [1, 2.5]
        assert [each.tolist() for each in ranks.gather(torch.ones(2))] == [[1.0, 1.0]]
        ranks.average_buffers(model)


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: asked.append(str(device)))
    assert str(choose_device("auto", 1)) == "cuda:1"
    assert str(choose_device("auto")) == "cuda"
    assert asked == ["cuda:1", "cuda"]


def test_a_device_that_is_not_there_is_said():
    with pytest.raises(ModelError, match="there is no device 'nonsense'"):
        choose_device("nonsense")


def test_what_averages_nothing_leaves_the_statistics_as_they_are():
    norm = torch.nn.BatchNorm1d(2)
    norm.running_mean.fill_(3.0)
    Ranks().average_buffers(norm)
    assert norm.running_mean.tolist() == [3.0, 3.0]


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_go_on_bit_for_bit(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = together(tmp_path / "script.py", tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    first, *others = (
        load_file(tmp_path / f"{name}{rank}.safetensors") for name in ("whole", "resumed") for rank in (0, 1)
    )
    for other in others:
        assert first.keys() == other.keys()
        assert all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.slow
def test_two_processes_write_one_model_once(tmp_path):
    for label, speed in (("falls", 2), ("rises", -2)):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(2):
            writer = cv2.VideoWriter(
                str(tmp_path / "clips" / label / f"{number}.mp4"),
                cv2.VideoWriter.fourcc(*"mp4v"),
                10.0,
                (48, 48),
            )
            for n in range(14):
                picture = np.full((48, 48, 3), 40, np.uint8)
                cv2.circle(picture, (24, (10 + 6 * number + speed * n) % 48), 5, (220, 220, 220), -1)
                writer.write(picture)
            writer.release()
    small = ("--size", "32x32", "--hidden", "16", "--streams", "4", "--window", "4", "--steps", "3")
    done = together("-m", "streamrec", "train", "clips", *small, "--hold-out", "0.5", folder=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("wrote clips.safetensors") == 1
    assert done.stderr.count("held-out clips") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "clips.run", "clips.safetensors"]
    assert Recognizer.load(tmp_path / "clips.safetensors", device="cpu").labels == ("falls", "rises")
