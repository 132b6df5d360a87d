"""A window that shows the stream."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache

import cv2
import numpy as np

from streamrec.errors import SinkError
from streamrec.outputs.overlay import Trail, draw
from streamrec.outputs.sink import Sink
from streamrec.types import Result

_MOST_KEYS = 32  # taken in one call
# Codes of ``cv2.waitKeyEx`` on X11, on Windows and on a Mac.
_KEY_NAMES = {
    **dict.fromkeys((10, 13, 0xFF8D), "enter"),
    **dict.fromkeys((8, 127, 0xFF08, 0xFFFF), "backspace"),
    **dict.fromkeys((9, 0xFF09), "tab"),
    **dict.fromkeys((27, 0xFF1B), "esc"),
    **dict.fromkeys((0xFF52, 0x260000, 63232), "up"),
    **dict.fromkeys((0xFF54, 0x280000, 63233), "down"),
}


def key_name(code: int) -> str:
    """The letter of a key code, or its name; "" for a key that has neither.

    >>> key_name(ord("w")), key_name(0xFF52), key_name(0x20000 | ord("W")), key_name(0xFFE1)
    ('w', 'up', 'W', '')
    """
    # Bits above 0xFFFF are of Shift and other keys that were held; arrows on Windows have such bits too.
    name = _KEY_NAMES.get(code) or _KEY_NAMES.get(code & 0xFFFF)
    if name is not None:
        return name
    letter = code & 0xFFFF
    return chr(letter) if letter < 0xD800 and chr(letter).isprintable() else ""


class Window(Sink):
    """A window with the overlay; q, Esc or its close button close it, and then writing does nothing.

    Create it, write to it and close it in the main thread: that is what window systems ask for. Raises
    SinkError where there is no screen.
    """

    def __init__(self, title: str = "streamrec") -> None:
        reason = why_no_display()
        if reason is not None:
            raise SinkError(f"{reason}; use --save out.mp4 or --jsonl - instead of a window, or --no-show")
        self._title = title
        self._trail = Trail()
        self.key = ""  # that was pressed when the last result was shown; "": none
        self._shown = False  # a window system may take a moment until the window is there
        self._size: tuple[int, int] | None = None
        self._closed = False
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise SinkError(f"OpenCV cannot open a window ({error.err}); use --save or --no-show") from error

    @property
    def closed(self) -> bool:
        """True once the window was closed: the moment to stop."""
        return self._closed

    def write(self, result: Result) -> None:
        """Show the result, and check for a key that closes the window."""
        if self._closed:
            return
        self._trail.push(result)
        self.key = self.show(draw(result.frame.image, result, self._trail))

    def show(self, image: np.ndarray) -> str:
        """Show an image (H, W, 3) as it is; the key that was pressed, "" for none."""
        if self._closed:
            return ""
        if self._size is None:
            self._size = _window_size(image.shape[1], image.shape[0])
            cv2.resizeWindow(self._title, *self._size)
        cv2.imshow(self._title, image)
        key = cv2.waitKey(1) & 0xFF
        visible = self._visible()
        if key in (ord("q"), ord("Q"), 27) or (self._shown and not visible):
            self.close()
        self._shown = self._shown or visible
        return "" if key == 0xFF else chr(key)

    def show_for_keys(self, image: np.ndarray) -> None:
        """Show an image (H, W, 3) as it is; ``pressed`` has the keys, and none of them closes the window."""
        if self._closed:
            return
        if self._size is None:
            self._size = _window_size(image.shape[1], image.shape[0])
            cv2.resizeWindow(self._title, *self._size)
        cv2.imshow(self._title, image)

    def pressed(self) -> list[str]:
        """Every key that was pressed since the last call, by ``key_name``; call it many times a second.

        Of two keys that come between two calls OpenCV may lose one.
        """
        keys: list[str] = []
        while not self._closed and len(keys) < _MOST_KEYS:
            code = cv2.waitKeyEx(1)
            if code < 0:
                break
            keys.append(key_name(code))
        visible = not self._closed and self._visible()
        if self._shown and not visible:
            self.close()
        self._shown = self._shown or visible
        return [key for key in keys if key]

    def _visible(self) -> bool:
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # Qt raises it when the last window is gone
            return False

    def close(self) -> None:
        """Close the window."""
        if self._closed:
            return
        self._closed = True
        try:
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)  # the window system does it in its event loop
        except cv2.error:  # it is closed already
            pass


def _window_size(width: int, height: int) -> tuple[int, int]:
    """Small images are shown twice as large, big ones within 1280 x 800.

    >>> _window_size(320, 240), _window_size(3840, 2160), _window_size(1080, 1920)
    ((640, 480), (1280, 720), (450, 800))
    """
    scale = min(2.0 if width <= 400 else 1.0, 1280 / width, 800 / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def why_no_display() -> str | None:
    """None where a window can be opened, else the reason as a clause."""
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        return "this OpenCV was built without windows (opencv-python-headless); pip install opencv-python"
    if not sys.platform.startswith("linux"):
        return None
    display, wayland = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    if not display and not wayland:
        return "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    where = f"DISPLAY={display}" if display else f"WAYLAND_DISPLAY={wayland}"
    if not _window_opens(display, wayland, os.environ.get("XAUTHORITY")):
        return f"the display does not let a window open ({where})"
    return None


@cache
def _window_opens(display: str | None, wayland: str | None, authority: str | None) -> bool:
    """Whether a window opens, tried in another process: Qt aborts a process that cannot reach its display."""
    try_it = "import cv2; cv2.namedWindow('streamrec'); cv2.waitKey(1)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", try_it],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
