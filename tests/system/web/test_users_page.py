"""The page of users in a real Chromium: an admin adds one, and that one is offered nothing to change."""

from __future__ import annotations

from streamrec.web.auth import Access
from tests.helpers.pages import PASSWORD
from tests.helpers.roles import accounts


def log_in(tab, name: str, password: str) -> None:
    tab.fill("#name", name)
    tab.fill("#password", password)
    tab.click("button.primary")
    tab.wait_for_selector(".top nav a")


def test_an_admin_adds_a_viewer_who_is_offered_nothing_to_change(open_page, look, tmp_path):
    path, file = tmp_path / "page.access", tmp_path / "cameras.toml"
    path.write_text(accounts("ann")[0].lines())
    path.chmod(0o600)
    file.write_text('[[camera]]\nname = "door"\naddress = "rtsp://10.0.0.1/door"\n')
    page = open_page("door", "yard", access=Access.read(path, {}), access_file=path, file=file)
    tab = look(page.url)
    tab.wait_for_selector("#name:visible")
    log_in(tab, "ann", PASSWORD)
    tab.click("nav >> text=Users")
    tab.click("text=Add a user")
    tab.fill("#user-name", "Eve <b>")
    tab.fill("#user-password", "a long password")
    tab.uncheck("text=All cameras, new ones too")
    tab.check("dialog label:has-text('door') input")
    tab.click("dialog button.primary")
    tab.wait_for_selector(".user-row:has-text('Eve <b>')")
    tab.wait_for_selector(".audit li:has-text('user added')")
    for width in (360, 700, 1000):
        tab.set_viewport_size({"width": width, "height": 740})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    other = look(page.url, width=360, height=740)
    other.wait_for_selector("#name:visible")
    log_in(other, "eve <b>", "a long password")
    other.wait_for_selector("text=door")
    assert [link.inner_text() for link in other.query_selector_all(".top nav a")] == ["Cameras", "Events"]
    assert "yard" not in other.inner_text("body")
    assert other.evaluate("document.documentElement.scrollWidth") <= 360
