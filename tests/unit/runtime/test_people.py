"""Which models find people, by their files alone."""

from __future__ import annotations

from streamrec.runtime.people import can_find_people, find_people_anyway


def test_models_on_the_person_backbone_can_and_those_on_keypoints_do_anyway():
    assert [can_find_people([name]) for name in ("fight", "fall", "webcam", "workout", "synthetic")] == [
        True, True, True, True, False
    ]  # fmt: skip
    assert find_people_anyway(["fight", "webcam"]) and find_people_anyway(["fall"])
    assert not find_people_anyway(["fight", "synthetic"])
    assert can_find_people(["synthetic", "fall"])


def test_a_model_that_is_not_there_is_reported_elsewhere(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    for name in ("nowhere", tmp_path / "broken.safetensors", tmp_path / "graph.onnx"):
        assert not can_find_people([name]) and not find_people_anyway([name])
