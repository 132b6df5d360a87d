import sys

import pytest

from streamrec.commands import doctor
from streamrec.commands.doctor import Finding, check_all
from streamrec.errors import SourceError
from streamrec.outputs import window


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return list(check_all())


def found(findings: list[Finding], what: str) -> Finding:
    return next(finding for finding in findings if finding.what.startswith(what))


def test_every_finding_has_words(findings):
    assert len(findings) >= 12
    for finding in findings:
        assert finding.what.strip()
        assert len(finding.found) >= 3
        assert "\n" not in finding.found
        assert "Traceback" not in finding.found
    assert len({finding.what for finding in findings}) == len(findings)


def test_what_the_project_needs_is_found_here(findings):
    for what in ("python", "opencv-python", "av", "onnxruntime", "torch", "reads h264", "writes libx264"):
        assert found(findings, what).good is True
    assert [finding for finding in findings if finding.good is False] == []


def test_an_extra_that_is_not_installed_is_no_failure_and_says_what_it_is_for(monkeypatch):
    monkeypatch.setattr(doctor, "version_of", lambda package: None)
    (finding,) = doctor._extra("train")
    assert finding == Finding(
        "extra train",
        None,
        "not installed: for train, crossval, export, --explain, and a GPU; pip install 'streamrec[train]'",
    )
    monkeypatch.setattr(doctor, "version_of", lambda package: None if package == "timm" else "1.0")
    half, *there = doctor._extra("train")
    assert (half.good, half.found.partition(":")[0]) == (None, "timm not installed")
    assert {one.what for one in there} >= {"torch", "onnx"}


def test_an_engine_whose_package_is_not_installed_is_no_failure(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "streamrec.runtime.torch_engine", raising=False)
    onnx, torch = doctor._engines()
    assert (onnx.good, torch.good) == (True, None)
    assert torch.found == "torch is not installed; run: pip install 'streamrec[train]'"


def test_both_engines_are_tried_with_a_shipped_model(findings):
    for engine in ("onnx", "torch"):
        finding = found(findings, f"engine {engine}")
        assert finding.good is True
        assert "ms a frame" in finding.found


def test_a_missing_display_is_not_a_failure(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    finding = doctor._display()
    assert finding.good is None
    assert "display" in finding.found or "headless" in finding.found


def test_a_display_that_is_there_is_good(monkeypatch):
    monkeypatch.setattr(window, "why_no_display", lambda: None)
    assert doctor._display() == Finding("display", True, "windows can be opened")


def test_a_camera_that_does_not_open_is_not_a_failure_and_nobody_is_sent_in_a_circle(monkeypatch, tmp_path):
    (tmp_path / "video0").write_text("")
    devices = [str(tmp_path / "video0")]
    monkeypatch.setattr(doctor, "Path", lambda _: FakeFolder(devices))
    (finding,) = doctor._cameras()
    assert finding.good is None
    assert "did not open" in finding.found
    assert "streamrec doctor" not in finding.found


def test_no_camera_at_all_is_told_with_what_to_try(monkeypatch):
    monkeypatch.setattr(doctor, "Path", lambda _: FakeFolder([]))
    (finding,) = doctor._cameras()
    assert finding.good is None
    assert "streamrec demo" in finding.found


def test_a_package_that_is_not_installed_is_told_with_the_remedy():
    finding = doctor._package("no-such-package")
    assert finding.good is False
    assert "pip install no-such-package" in finding.found


def test_an_engine_that_fails_is_told_and_the_rest_goes_on(monkeypatch):
    def fail(name: str, engine: str) -> str:
        raise SourceError("the engine burned down")

    monkeypatch.setattr("streamrec.runtime.checkpoint.shipped_models", lambda: ["any"])
    monkeypatch.setattr(doctor, "_timed", fail)
    onnx, torch, gpu = doctor._engines()
    assert (onnx.good, torch.good) == (False, False)
    assert "burned down" in onnx.found
    assert gpu.found


class FakeFolder:
    """Stands in for Path("/dev")."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def glob(self, pattern: str) -> list[str]:
        assert pattern == "video*"
        return self.names
