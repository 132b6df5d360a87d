"""The page whose cameras a test moves by hand, and the browser that looks at it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.helpers.browsers import CHROMIUM
from tests.helpers.fake_fleet import open_fleet  # noqa: F401
from tests.helpers.pages import open_page, ways_in  # noqa: F401

WORDS = "cannot drive a browser: pip install 'streamrec[dev]', apt-get install chromium-headless-shell"


class Chromium:
    """Playwright and what it launched, from the first test that asks to the last test of this folder in a row."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._play: Any = None
        self._running: dict[tuple[str, ...], Any] = {}

    def launch(self, *more: str) -> Any:
        """The browser with these arguments: each window has a context of its own in it."""
        missing = CHROMIUM is None or find_spec("playwright") is None
        if missing and os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(WORDS)
        if missing:
            pytest.skip(WORDS)
        if self._play is None:
            from playwright.sync_api import sync_playwright

            self._play = self._open.enter_context(sync_playwright())
        if more not in self._running:
            arguments = ["--no-sandbox", "--disable-gpu", *more]
            running = self._play.chromium.launch(executable_path=CHROMIUM, args=arguments)
            self._open.callback(running.close)
            self._running[more] = running
        return self._running[more]

    def close(self) -> None:
        self._open.close()
        self._play = None
        self._running.clear()


_chromium = Chromium()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """Playwright has an event loop in this thread, which no test of another folder must meet."""
    try:
        return (yield)
    finally:
        if nextitem is None or not nextitem.nodeid.startswith("tests/system/web/"):
            _chromium.close()


@pytest.fixture(scope="module")
def launch() -> Callable[..., Any]:
    """Launches a browser with further arguments, or gives the one that runs with them."""
    return _chromium.launch


@pytest.fixture
def look(launch) -> Iterator[Callable[..., Any]]:
    """Opens an address in a window of its own; complaints of the page fail the test."""
    complaints: list[str] = []
    contexts = []
    browser = launch()

    def open_at(url: str, *, width: int = 1280, height: int = 900, allow: str = "$^", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", **options)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(60_000)

        def hear(text: str) -> None:
            if not re.search(allow, text):
                complaints.append(text)

        tab.on("console", lambda message: message.type in ("error", "warning") and hear(message.text))
        tab.on("pageerror", lambda error: hear(str(error)))
        tab.goto(url)
        return tab

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []
