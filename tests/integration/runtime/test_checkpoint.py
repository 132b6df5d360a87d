import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from streamrec import ActionModel, Frame, ModelConfig, Recognizer, Transform
from streamrec.errors import ModelError
from streamrec.nn.config import FORMAT
from streamrec.runtime.checkpoint import (
    BACKBONE,
    find_model,
    load_model,
    read_checkpoint,
    save_model,
    shipped_models,
)


def test_a_file_is_a_whole_model(tiny_file, tiny_model):
    model = load_model(tiny_file)
    assert model.config == tiny_model.config
    for name, value in tiny_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    assert not model.training


def test_a_frozen_backbone_is_stored_in_half_precision_and_read_in_full(tmp_path):
    size = Transform(height=64, width=64, fit="pad")
    config = ModelConfig(labels=("a", "b"), encoder="person-joints", transform=size, hidden_size=16)
    torch.manual_seed(0)
    model = ActionModel(config).eval()
    save_model(tmp_path / "person.safetensors", model)
    with safe_open(tmp_path / "person.safetensors", framework="numpy") as file:
        kinds = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    trunk = [
        name for name, value in model.state_dict().items() if name.startswith(BACKBONE) and value.dim() > 1
    ]
    assert {name for name, kind in kinds.items() if kind == np.float16} == set(trunk)
    stored = sum(value.numel() * 4 for value in model.state_dict().values())
    assert (tmp_path / "person.safetensors").stat().st_size < 0.6 * stored
    again = load_model(tmp_path / "person.safetensors")
    for name, value in model.state_dict().items():
        found = again.state_dict()[name]
        assert found.dtype == value.dtype
        assert torch.equal(found, value.half().float() if name in trunk else value)
    assert {w.dtype for w in read_checkpoint(tmp_path / "person.safetensors").weights.values()} <= {
        np.dtype(np.float32), np.dtype(np.int64)
    }  # fmt: skip
    save_model(tmp_path / "again.safetensors", again)  # nothing more is lost
    assert all(torch.equal(a, b) for a, b in zip(
        again.state_dict().values(), load_model(tmp_path / "again.safetensors").state_dict().values(), strict=True
    ))  # fmt: skip
    picture = Frame(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), 0, 0.0)
    said = []
    for engine in ("onnx", "torch"):
        recognizer = Recognizer.load(tmp_path / "person.safetensors", engine=engine, device="cpu")
        said.append(recognizer.step(picture, recognizer.initial_state())[0].probabilities)
    assert np.abs(said[0] - said[1]).max() <= 1e-4


def test_saving_goes_whole_or_not_at_all(tiny_model, tmp_path):
    path = tmp_path / "new" / "m.safetensors"
    save_model(path, tiny_model)
    assert [p.name for p in path.parent.iterdir()] == ["m.safetensors"]
    with pytest.raises(ModelError, match="could not be written"):
        save_model(tiny_file_as_folder(tmp_path) / "m.safetensors", tiny_model)


def tiny_file_as_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    return path


def test_a_models_file_holds_no_path_of_the_machine_that_made_it(tiny_file):
    data = tiny_file.read_bytes()
    assert b"/site-packages/" not in data
    assert b".py" not in data


def test_the_shipped_models_are_complete_and_load_without_torch_in_sight():
    assert {"fight", "synthetic"} <= set(shipped_models())
    for name in shipped_models():
        checkpoint = read_checkpoint(name)
        assert checkpoint.graph is not None
        assert checkpoint.config.about
        assert len(checkpoint.config.labels) >= 2


@pytest.mark.parametrize("name", ["nonsense", "no/such/file.safetensors", "../fight"])
def test_a_model_that_is_not_there_is_told_which_are(name):
    with pytest.raises(ModelError, match="the shipped ones are " + ", ".join(shipped_models())):
        find_model(name)


def test_what_is_no_model_is_refused_in_words(tmp_path, tiny_file):
    from safetensors.numpy import save_file

    pickled = tmp_path / "model.pt"
    torch.save({"a": 1}, pickled)
    with pytest.raises(ModelError, match="never loaded"):
        read_checkpoint(pickled)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(tiny_file.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cut off"):
        read_checkpoint(cut)
    bare = tmp_path / "bare.safetensors"
    save_file({"a": np.zeros(3)}, bare)
    with pytest.raises(ModelError, match="no labels"):
        read_checkpoint(bare)
    for version, what_to_do in (("99", "format 99.* newer"), (str(FORMAT - 1), "train the model again")):
        other = tmp_path / "other.safetensors"
        save_file({"a": np.zeros(3)}, other, {"format": f"streamrec {version}", "config": "{}"})
        with pytest.raises(ModelError, match=what_to_do):
            read_checkpoint(other)
    damaged = tmp_path / "damaged.safetensors"
    save_file(
        {"a": np.zeros(3)},
        damaged,
        {"format": f"streamrec {FORMAT}", "config": json.dumps({"labels": ["a"]})},
    )
    with pytest.raises(ModelError, match="config is damaged"):
        read_checkpoint(damaged)


def test_weights_of_another_shape_are_refused_in_words(tmp_path, tiny_config):
    from dataclasses import replace

    from safetensors.numpy import save_file

    model = ActionModel(replace(tiny_config, hidden_size=8))
    path = tmp_path / "mixed.safetensors"
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    save_file(weights, path, {"format": f"streamrec {FORMAT}", "config": json.dumps(tiny_config.to_dict())})
    with pytest.raises(ModelError, match="do not fit"):
        load_model(path)
