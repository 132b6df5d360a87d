"""The documentation builds strictly, shows all that there is, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import streamrec
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs", reason="needs streamrec[docs]")


def build(*words: object, at: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """What `make docs` runs, with more words after it."""
    recipe = re.search(r"^docs:.*\n\t(.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    set_here, program, *given = recipe[1].split()
    name, _, value = set_here.partition("=")
    assert program == "$(BIN)/mkdocs"
    command = [sys.executable, "-m", "mkdocs", *given, *map(str, words)]
    return subprocess.run(
        command, cwd=at, env={**os.environ, name: value}, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build("--site-dir", folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


class _Page(HTMLParser):
    """The addresses that a page has fetched without being asked, those that it leads to, and the marks in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.links: list[str] = []
        self.marks: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "link"):
            self.addresses += [of[name] or "" for name in ("src", "href") if name in of]
        self.links += [of[name] or "" for name in ("src", "href") if of.get(name)]
        self.marks |= {str(of[name]) for name in ("id", "name") if of.get(name)}


def test_no_link_of_the_site_is_dead(site):
    pages = {path: _Page(path) for path in site.rglob("*.html")}
    dead, looked_at = [], 0
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at the root of wherever the site stands
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            looked_at += 1
            if not target.is_file() or not target.is_relative_to(site.resolve()):
                dead.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].marks:
                dead.append(f"{path.relative_to(site)}: {link}: no such mark")
    assert looked_at > 5_000
    assert not dead, "\n".join(sorted(set(dead)))


def test_a_dead_link_fails_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "index.md"
    (tmp_path / "mkdocs.yml").write_text("site_name: x\nvalidation:\n  links:\n    anchors: warn\n")
    page.write_text("# A page\n\n[somewhere](#a-page)\n")
    assert build("--site-dir", tmp_path / "site", at=tmp_path).returncode == 0
    for link in ("nowhere.md", "#nowhere"):
        page.write_text(f"# A page\n\n[somewhere]({link})\n")
        done = build("--site-dir", tmp_path / "site", at=tmp_path)
        assert done.returncode != 0 and "WARNING" in done.stderr


def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        foreign = [address for address in _Page(page).addresses if re.match(r"(\w+:)?//", address)]
        assert not foreign, f"{page}: {foreign}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet
        )


def test_every_name_that_streamrec_gives_out_is_in_the_reference(site):
    marks = set().union(*(_Page(page).marks for page in (site / "reference/python").rglob("*.html")))
    assert {f"streamrec.{name}" for name in streamrec.__all__} <= marks


def test_a_field_is_explained_by_its_comment(site):
    events = (site / "reference/python/events/index.html").read_text(encoding="utf-8")
    assert "Highest smoothed probability while it lasted." in events


def test_every_command_is_in_the_reference_with_its_options(site):
    import typer.main

    from streamrec.commands.app import app

    page = (site / "reference/cli/index.html").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        assert f'id="streamrec-{name}"' in page
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert max(parameter.opts, key=len) in page, f"{name} {parameter.opts}"


def test_the_first_page_has_the_picture_before_two_commands(site):
    page = re.sub(r"</?span[^>]*>", "", (site / "index.html").read_text(encoding="utf-8"))
    assert 0 < page.index("images/people.jpg") < page.index("make demo") < page.index("streamrec run")


def test_links_of_the_pages_lead_somewhere_where_the_repository_is_read_too():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "demos").rglob("*.md")]
    for page in pages:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (page.parent / target).exists(), f"{page}: {target}"
