"""Keys pressed on an X display by its XTEST extension, as if at a keyboard."""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from types import TracebackType
from typing import Self

_VIEWABLE = 2
_NAMES = {"enter": "Return", "esc": "Escape", " ": "space", "up": "Up", "down": "Down", "tab": "Tab"}


def can_press_keys() -> bool:
    return bool(ctypes.util.find_library("X11") and ctypes.util.find_library("Xtst"))


class Keyboard:
    """The keyboard of a display."""

    def __init__(self, display: str) -> None:
        self._x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
        self._test = ctypes.CDLL(ctypes.util.find_library("Xtst"))
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XStringToKeysym.restype = ctypes.c_ulong
        self._x11.XKeysymToKeycode.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
        for function in (self._x11.XFlush, self._x11.XCloseDisplay):
            function.argtypes = [ctypes.c_void_p]
        self._test.XTestFakeKeyEvent.argtypes = [
            ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_ulong,
        ]  # fmt: skip
        self._display = self._x11.XOpenDisplay(display.encode())
        assert self._display, f"no display {display}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._x11.XCloseDisplay(self._display)

    def focus(self) -> None:
        """Give the keyboard to the newest window: there is no window manager that would."""
        x11, display = self._x11, ctypes.c_void_p(self._display)
        x11.XDefaultRootWindow.restype = ctypes.c_ulong
        root = ctypes.c_ulong(x11.XDefaultRootWindow(display))
        found, parent = ctypes.c_ulong(), ctypes.c_ulong()
        children, count = ctypes.POINTER(ctypes.c_ulong)(), ctypes.c_uint()
        x11.XQueryTree(
            display,
            root,
            ctypes.byref(found),
            ctypes.byref(parent),
            ctypes.byref(children),
            ctypes.byref(count),
        )
        shown = [window for window in children[: count.value] if self._is_shown(window)]
        assert shown, "no window is there"
        x11.XSetInputFocus(display, ctypes.c_ulong(shown[-1]), 1, ctypes.c_ulong(0))
        x11.XSync(display, 0)

    def _is_shown(self, window: int) -> bool:
        attributes = (
            ctypes.c_int * 64
        )()  # XWindowAttributes; its map_state is 92 bytes behind its beginning
        self._x11.XGetWindowAttributes(
            ctypes.c_void_p(self._display), ctypes.c_ulong(window), ctypes.byref(attributes)
        )
        return attributes[23] == _VIEWABLE

    def _send(self, key: str, down: bool) -> None:
        symbol = self._x11.XStringToKeysym(_NAMES.get(key, key).encode())
        code = self._x11.XKeysymToKeycode(self._display, symbol)
        self._test.XTestFakeKeyEvent(self._display, code & 0xFF, int(down), 0)
        self._x11.XFlush(self._display)

    def press(self, key: str, seconds: float = 0.03) -> None:
        """Press a key and let it go; it repeats like any key that is held."""
        self._send(key, True)
        time.sleep(seconds)
        self._send(key, False)
        time.sleep(0.05)

    def type(self, text: str) -> None:
        for letter in text:
            self.press(letter)
