"""The ways into an app that docs/app.md shows are taken here, as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.system.test_cli import write_video

PAGE = (ROOT / "docs" / "app.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    write_video(folder / "party.mp4", 30)
    return folder


@pytest.mark.parametrize("code", CODE, ids=["pictures", "loop", "several models", "callback", "event loop"])
def test_a_way_into_an_app_works_as_it_is_written(code, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    told: dict[str, object] = {}
    exec(compile(code, "app.md", "exec"), told)
    said = capsys.readouterr().out
    if "publish" in told:
        assert len(said.splitlines()) >= 10
    assert "Error" not in said


def test_every_link_of_the_page_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
