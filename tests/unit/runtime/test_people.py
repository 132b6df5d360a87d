"""Which models find people, by their files alone."""

from __future__ import annotations

from streamrec.runtime.people import can_find_people, find_people_anyway


def test_models_on_the_person_backbone_can_and_webcam_does_anyway():
    assert [can_find_people([name]) for name in ("fight", "fall", "webcam", "workout", "synthetic")] == [
        True, True, True, False, False
    ]  # fmt: skip
    assert find_people_anyway(["fight", "webcam"]) and not find_people_anyway(["fight", "fall"])
    assert can_find_people(["workout", "fall"])


def test_a_model_that_is_not_there_is_reported_elsewhere(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    for name in ("nowhere", tmp_path / "broken.safetensors", tmp_path / "graph.onnx"):
        assert not can_find_people([name]) and not find_people_anyway([name])
