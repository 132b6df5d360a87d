"""The one place that starts a reading thread: ``with capture(source) as frames``."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from streamrec.buffer import RingBuffer
from streamrec.types import Frame, Source

JOIN_SECONDS = 10.0  # longer than opening and reading may take; a caller's own iterable may block longer


@contextmanager
def capture(source: Source, *, capacity: int = 4) -> Iterator[RingBuffer[Frame]]:
    """Read a source in a thread of its own; the buffer that it fills is the value of the ``with``.

    A live source drops its oldest frames and counts them; a file waits for its reader. An error of the source
    reaches the reader after the frames that came before it. Leaving the block ends the thread.
    """
    buffer: RingBuffer[Frame] = RingBuffer(capacity, drop_oldest=source.live)
    frames = iter(source)
    thread = threading.Thread(target=_read, args=(frames, buffer), name=f"capture {source.name}", daemon=True)
    thread.start()
    try:
        yield buffer
    finally:
        buffer.close()
        source.interrupt()
        thread.join(JOIN_SECONDS)


def _read(frames: Iterator[Frame], buffer: RingBuffer[Frame]) -> None:
    try:
        try:
            for frame in frames:
                if not buffer.put(frame):
                    return
        finally:
            if isinstance(frames, Generator):
                frames.close()  # releases the camera now, in the thread that opened it
    except BaseException as error:  # whatever it is, the reader must hear of it
        buffer.close(error)
    else:
        buffer.close()
