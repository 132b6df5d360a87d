"""The ring buffer between capture thread and recognizer: of a live source it drops the oldest frame, and counts it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, NoReturn, TypeVar

from streamrec.core.arguments import whole_number
from streamrec.core.context import unpicklable
from streamrec.errors import WrongValue

T = TypeVar("T")


class RingBuffer(Generic[T]):
    """A bounded queue that can end, can fail, and can forget its oldest item.

    With ``drop_oldest`` a put never waits: the oldest item makes room and is counted in ``dropped``.
    Without it a put waits until there is room, so nothing is ever lost. Neither side polls: both sleep on a
    condition. Buffers that are given the same one, ``changed``, can be waited for together.

    ``together``: a thread that found the buffer empty, or full, sleeps until there are so many items, or so much room.
    So two threads take turns in runs and not item by item, each with its own data in the processor's cache.

    >>> buffer = RingBuffer(2, drop_oldest=True)
    >>> [buffer.put(n) for n in range(5)]
    [True, True, True, True, True]
    >>> buffer.close()
    >>> list(buffer), buffer.dropped
    ([3, 4], 3)
    """

    def __init__(
        self,
        capacity: int,
        *,
        drop_oldest: bool,
        together: int = 1,
        changed: threading.Condition | None = None,
    ) -> None:
        capacity, together = whole_number(capacity, "capacity"), whole_number(together, "together")
        if together > capacity:
            raise WrongValue(f"a buffer of {capacity} cannot be read {together} at a time")
        self.capacity = capacity
        self.together = together
        self.drop_oldest = drop_oldest
        self.dropped = 0
        self._items: deque[T] = deque()
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition() if changed is None else changed

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Not pickled: threads of this process wait for it."""
        unpicklable(self)

    def put(self, item: T) -> bool:
        """Add an item; False means that the buffer was closed and the producer may stop."""
        with self._changed:
            if len(self._items) >= self.capacity and not self._closed:
                if self.drop_oldest:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait_for(self._has_room)
            if self._closed:
                return False
            self._items.append(item)
            if len(self._items) >= self.together:
                self._changed.notify_all()
            return True

    def keep(self, capacity: int) -> None:
        """From now on nothing is lost: a put waits while there are so many."""
        with self._changed:
            self.drop_oldest, self.capacity = False, max(self.capacity, capacity)

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
            return self._taken()

    def _taken(self) -> T:
        item = self._items.popleft()
        if self._has_room():
            self._changed.notify_all()
        return item

    def _has_room(self) -> bool:
        return self._closed or len(self._items) <= self.capacity - self.together

    def _has_enough(self) -> bool:
        return self._closed or len(self._items) >= self.together

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
                if not self._items:
                    self._changed.wait_for(self._has_enough)
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._taken()
            yield item
