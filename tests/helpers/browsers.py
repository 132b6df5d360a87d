"""The browser of this machine that tests drive."""

from __future__ import annotations

import shutil

# Debian's shell comes first: since Chromium 132 the others draw a whole window without showing it, with its tabs and
# buttons, and a page takes ten times the CPU.
KINDS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, KINDS)), None)
