"""What `streamrec webpage` writes."""

from __future__ import annotations

import tarfile

import pytest

from streamrec.errors import ModelError
from streamrec.runtime import browser_page
from streamrec.runtime.browser_page import about_model, runtime_files
from streamrec.runtime.checkpoint import read_checkpoint


def test_the_page_knows_what_python_knows_of_a_model():
    checkpoint = read_checkpoint("webcam")
    about = about_model(checkpoint)
    assert about["labels"] == list(checkpoint.config.labels) and about["fps"] == 10.0
    assert about["transform"] == {"width": 256, "height": 192, "fit": "pad"}
    assert all(name.startswith(("head.", "cache.")) for name in about["memory"])
    assert about["events"]["of"]["point"]["enter"] == checkpoint.config.events.of("point").enter


def test_another_tarball_than_the_pinned_one_is_never_read(tmp_path):
    evil = tmp_path / "evil.tgz"
    with tarfile.open(evil, "w:gz") as archive:
        archive.add(__file__, "package/dist/ort.wasm.min.mjs")
    with pytest.raises(ModelError, match="its SHA-512 is another one"):
        runtime_files(evil)
    with pytest.raises(ModelError, match="cannot be read"):
        runtime_files(tmp_path / "none.tgz")


def test_without_npm_the_tarball_is_asked_for(monkeypatch):
    monkeypatch.setattr(browser_page.shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match="install Node"):
        runtime_files()
