"""The documentation builds strictly, shows all that there is, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import streamrec

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs", reason="needs streamrec[docs]")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    told = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


class _Loads(HTMLParser):
    """The addresses that a page has fetched without being asked, and the marks in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.marks: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "link"):
            self.addresses += [of[name] or "" for name in ("src", "href") if name in of]
        if of.get("id"):
            self.marks.add(str(of["id"]))


def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        foreign = [address for address in _Loads(page).addresses if re.match(r"(\w+:)?//", address)]
        assert not foreign, f"{page}: {foreign}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet
        )


def test_every_name_that_streamrec_gives_out_is_in_the_reference(site):
    marks = set().union(*(_Loads(page).marks for page in (site / "reference/python").rglob("*.html")))
    assert {f"streamrec.{name}" for name in streamrec.__all__} <= marks


def test_a_field_is_explained_by_its_comment(site):
    events = (site / "reference/python/events/index.html").read_text(encoding="utf-8")
    assert "Highest smoothed probability while it lasted." in events


def test_every_command_is_in_the_reference_with_its_options(site):
    import typer.main

    from streamrec.cli import app

    page = (site / "reference/cli/index.html").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        assert f'id="streamrec-{name}"' in page
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert max(parameter.opts, key=len) in page, f"{name} {parameter.opts}"


def test_the_first_page_has_the_picture_before_two_commands(site):
    page = re.sub(r"</?span[^>]*>", "", (site / "index.html").read_text(encoding="utf-8"))
    assert 0 < page.index("images/demo.png") < page.index("make demo") < page.index("streamrec run")


def test_links_of_the_pages_lead_somewhere_where_the_repository_is_read_too():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "demos").rglob("*.md")]
    for page in pages:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (page.parent / target).exists(), f"{page}: {target}"
