"""A view of the page is a file and an entry in views.js: a toy is added here, and opened in a browser."""

from __future__ import annotations

from streamrec.web import routes

TOY = """
import { h } from "./dom.js";
export function clockView(page, main) {
  const shown = h("h1", { text: "Now" });
  main.append(shown, h("p", { class: "count", text: `${page.live.cameras.length} cameras` }));
  return { update: () => { main.querySelector(".count").textContent = `${page.live.cameras.length} cameras`; } };
}
"""
IMPORT = 'import { clockView } from "./clock.js";\n'
ENTRY = 'clock: { link: "Clock", title: () => "Clock", show: (page, main) => clockView(page, main) },'


def test_a_view_is_a_file_and_an_entry_in_views(open_page, look, monkeypatch):
    found = dict(routes.files())
    views, kind, _ = found["views.js"]
    text = views.decode().replace("export const views = {", f"export const views = {{\n  {ENTRY}")
    found["views.js"] = (IMPORT + text).encode(), kind, '"views"'
    found["clock.js"] = TOY.encode(), kind, '"clock"'
    monkeypatch.setattr(routes, "files", lambda: found)
    page = open_page("door", "yard")
    tab = look(page.url)
    tab.get_by_role("link", name="Clock").click()
    tab.get_by_role("heading", name="Now").wait_for()
    tab.get_by_text("2 cameras", exact=True).wait_for()
    assert tab.title() == "Clock · streamrec"
    assert tab.get_by_role("link", name="Clock").get_attribute("aria-current") == "page"
    tab.get_by_role("link", name="Events").click()
    tab.wait_for_function("document.title === 'Events · streamrec'")
