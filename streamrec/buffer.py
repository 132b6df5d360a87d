"""The ring buffer between the thread that reads a source and whoever wants its frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class RingBuffer(Generic[T]):
    """A bounded queue that can end, can fail, and can forget its oldest item.

    With ``drop_oldest`` a put never waits: the oldest item makes room and is counted in ``dropped``.
    Without it a put waits until there is room, so nothing is ever lost. Nobody polls: both sides sleep on a
    condition. Buffers that are given the same one, ``changed``, can be waited for together.

    >>> buffer = RingBuffer(2, drop_oldest=True)
    >>> [buffer.put(n) for n in range(5)]
    [True, True, True, True, True]
    >>> buffer.close()
    >>> list(buffer), buffer.dropped
    ([3, 4], 3)
    """

    def __init__(
        self, capacity: int, *, drop_oldest: bool, changed: threading.Condition | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a ring buffer holds at least 1 item, not {capacity}")
        self.capacity = capacity
        self.drop_oldest = drop_oldest
        self.dropped = 0
        self._items: deque[T] = deque()
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition() if changed is None else changed

    def put(self, item: T) -> bool:
        """Add an item; False means that the buffer was closed and the producer may stop."""
        with self._changed:
            while len(self._items) >= self.capacity and not self._closed:
                if self.drop_oldest:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def close(self, error: BaseException | None = None) -> None:
        """End the stream: what is buffered is still read, then ``error`` is raised. The first close counts."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
            self._changed.notify_all()

    def take(self) -> T | None:
        """The oldest item, at once; None where none is buffered."""
        with self._changed:
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    @property
    def error(self) -> BaseException | None:
        """What the stream was closed with; None: it goes on, or it simply ended."""
        return self._error

    @property
    def closed(self) -> bool:
        """Whether the stream has ended; items may still be buffered."""
        return self._closed

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        """Yield items as they come until the buffer is closed and empty; then raise its error, if it has one."""
        while True:
            with self._changed:
                while not self._items and not self._closed:
                    self._changed.wait()
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
