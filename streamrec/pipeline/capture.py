"""Capture threads, started here alone: ``with capture(source) as frames``, or a ``Reader`` for many at once."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from streamrec.core.process_end import CAPTURE
from streamrec.pipeline.ring_buffer import RingBuffer
from streamrec.types import Frame, Source

KEPT = 4  # frames of a file that wait
JOIN_SECONDS = 10.0  # longer than opening and reading may take; a caller's own iterable may block longer


class Reader:
    """A thread that reads a source into ``buffer``, from now until the source ends or ``leave`` is called.

    A live source drops its oldest frames and counts them; a file waits for its reader. An error of the source
    closes the buffer. A caller that reads many sources gives their buffers one condition, ``changed``.
    """

    def __init__(
        self,
        source: Source,
        *,
        capacity: int = 4,
        together: int = 1,
        changed: threading.Condition | None = None,
    ) -> None:
        self.buffer: RingBuffer[Frame] = RingBuffer(
            capacity, drop_oldest=source.live, together=together, changed=changed
        )
        self._source: Source | None = source
        frames = iter(source)
        self._thread = threading.Thread(
            target=_read, args=(frames, self.buffer, source), name=f"{CAPTURE} {source.name}", daemon=True
        )
        self._thread.start()

    def leave(self) -> None:
        """The caller reads no more: end the thread soon. Returns at once."""
        self.buffer.close()
        if self._source is not None:
            self._source.interrupt()

    def join(self, seconds: float) -> bool:
        """Wait so long for the thread to end; whether it has."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        # It may know who reads it: without this, only the garbage collector would free both.
        self._source = None
        return True


@contextmanager
def capture(source: Source, *, capacity: int = 4, together: int = 1) -> Iterator[RingBuffer[Frame]]:
    """Read a source in a thread of its own; the buffer that it fills is the value of the ``with``.

    A live source drops its oldest frames and counts them; a file waits for its reader. An error of the source
    reaches the reader after the frames that came before it. Leaving the block ends the thread.
    """
    reader = Reader(source, capacity=capacity, together=together)
    try:
        yield reader.buffer
    finally:
        reader.leave()
        reader.join(JOIN_SECONDS)


def _read(frames: Iterator[Frame], buffer: RingBuffer[Frame], source: Source) -> None:
    try:
        try:
            for frame in frames:
                if buffer.drop_oldest and not source.live:
                    buffer.keep(KEPT)  # what was taken for a camera is a file
                if not buffer.put(frame):
                    return
        finally:
            if isinstance(frames, Generator):
                frames.close()  # releases the camera now, in the thread that opened it
    except BaseException as error:  # whatever it is: the reader raises it
        buffer.close(error)
    else:
        buffer.close()
