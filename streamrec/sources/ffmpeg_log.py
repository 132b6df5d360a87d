"""FFmpeg's log of one thread, as a list, while an address is opened and read."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import av
import av.logging

from streamrec.sources.open_errors import OPEN_SECONDS, leads_on, nests

Line = tuple[int, str, str]  # level, name of the part of FFmpeg, message, which may hold an address


class LogLines(list[Line]):
    """FFmpeg's log lines during an opening; a thread that is redirected in a circle is stopped here until its deadline.

    FFmpeg follows redirects of RTSP, and playlists in playlists, without end, a thousand and more a second, and only
    its deadline ends that.
    """

    until = 0.0  # time.monotonic() of the deadline

    def append(self, line: Line) -> None:
        """Add a line; sleep until the deadline where the lines show a circle."""
        super().append(line)
        if time.monotonic() >= self.until:
            return
        messages = messages_of(self)
        if leads_on(messages) or nests(messages):
            time.sleep(min(max(0.0, self.until - time.monotonic()) + 0.01, OPEN_SECONDS))


def messages_of(lines: list[Line]) -> list[str]:
    """The messages of log lines."""
    return [message for _, _, message in lines]


@contextmanager
def captured_log() -> Iterator[list[Line]]:
    """Collect FFmpeg's log lines of this thread.

    The log is one for the whole program. Where PyAV does not pass it on, this does not print it either.
    """
    if av.logging.get_level() is None:
        logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.INFO)  # the level of redirects
    capture, lines = av.logging.Capture(local=True), LogLines()
    with capture as plain:
        # PyAV makes the list itself; it is replaced by ours. Should another PyAV keep it elsewhere, redirects have no
        # bound.
        for held in gc.get_referents(capture):
            if isinstance(held, list) and held and held[-1] is plain:
                held[-1] = lines
                break
        else:
            yield plain
            return
        yield lines


@contextmanager
def verbose_log() -> Iterator[None]:
    """Let FFmpeg log each connection that it makes: there is no other sign of playlists in playlists."""
    with _levels_lock:
        _levels.append(av.logging.get_level())
        av.logging.set_level(max(_levels[0] or 0, av.logging.VERBOSE))
    try:
        yield
    finally:
        with _levels_lock:
            if len(_levels) == 1:
                av.logging.set_level(_levels[0])
            _levels.pop()


_levels_lock = threading.Lock()
_levels: list[int | None] = []  # as each caller found it: the first is restored at the end
