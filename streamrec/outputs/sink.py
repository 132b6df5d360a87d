"""The interface of an output (a sink), and outputs without a file: newest result, callback, background thread."""

from __future__ import annotations

import errno
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av

from streamrec.core.arguments import whole_number
from streamrec.core.context import Closing
from streamrec.core.messages import described, why
from streamrec.core.redact import redact
from streamrec.core.text import printable
from streamrec.errors import SinkError
from streamrec.types import Result


class Sink(Closing, ABC):
    """A place for results: ``write`` each, ``close`` at the end, or use it in a ``with``."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Take one result."""

    @abstractmethod
    def close(self) -> None:
        """Finish; a second time does nothing."""


def files_of_video(path: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """The files of a ``VideoFile``: the video, its name while it grows, and its name while the index is written.

    >>> [file.name for file in files_of_video("seen.mp4")]
    ['seen.mp4', 'seen.part.mp4', 'seen.whole.mp4']
    """
    path = Path(path)
    part, whole = (path.with_name(f"{path.stem}.{word}{path.suffix}") for word in ("part", "whole"))
    return path, part, whole


def cannot_write(path: Path, error: OSError | av.FFmpegError) -> str:
    """A sentence that explains why a file cannot be written."""
    return redact(printable(_why_not_written(path, error)))


def _why_not_written(path: Path, error: OSError | av.FFmpegError) -> str:
    if not path.parent.is_dir():
        return f"cannot write {path}: the folder {path.parent} does not exist; create it first"
    if error.errno == errno.ENOSPC:
        return f"cannot write {path}: the disk is full"
    reason = why(error) if isinstance(error, OSError) else (error.strerror or str(error)).lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {path}: {reason}; choose a place where you may write"
    return f"cannot write {path}: {reason}"


# -- sinks without a file


class Latest(Sink):
    """Holds the newest result for one reader at its own pace: a GUI, a web page.

    The events of results that were skipped come with the next one (the newest thousand of them).
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._result: Result | None = None
        self._closed = False

    def write(self, result: Result) -> None:
        """Put this result in place of the one before."""
        with self._changed:
            if self._closed:
                raise SinkError("this Latest is closed already: write before close")
            self._result = result if self._result is None else _after_skipped(self._result, result, most=1000)
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> Result | None:
        """The newest result that was not read yet, waiting up to ``timeout`` seconds; None when there is none.

        It also returns None once the sink is closed and everything was read.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._result is not None or self._closed, timeout)
            result, self._result = self._result, None
            return result

    @property
    def closed(self) -> bool:
        """True once no newer result will come."""
        return self._closed

    def close(self) -> None:
        """Wake the waiting reader; the last result can still be read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Callback(Sink):
    """Calls a function with each result.

    >>> seen = []
    >>> with Callback(seen.append) as sink:
    ...     sink.write("a result")
    >>> seen
    ['a result']
    """

    def __init__(self, function: Callable[[Result], object]) -> None:
        if not callable(function):
            raise SinkError(f"a Callback takes a function of a result, not {described(function)}")
        self._function = function

    def write(self, result: Result) -> None:
        """Call the function."""
        self._function(result)

    def close(self) -> None:
        """Nothing is left to do."""


def as_sink(thing: Sink | Callable[[Result], object]) -> Sink:
    """A sink as it is, a function as a sink.

    >>> type(as_sink(print)).__name__
    'Callback'
    """
    if isinstance(thing, Sink):
        return thing
    if callable(thing):
        return Callback(thing)
    raise SinkError(
        f"{type(thing).__name__} is no place for results: pass a Sink or a function of one result"
    )


# -- slow sinks


def _after_skipped(skipped: Result, result: Result, *, most: int | None = None) -> Result:
    """The result that follows a skipped one, with the events of both.

    A repetition of the skipped result's frame counts as new: its reader has not seen the frame. ``most``: keep so
    many of the skipped events, the newest.
    """
    events = skipped.events if most is None else skipped.events[-most:]
    repeated = result.repeated and not (skipped.frame is result.frame and not skipped.repeated)
    if not events and repeated == result.repeated:
        return result
    return replace(result, events=events + result.events, repeated=repeated)


class Background(Sink):
    """A slow sink in a thread of its own, so that it never slows the recognizer.

    At most ``capacity`` results wait. When the queue is full, the oldest result is dropped and counted, and its
    events are added to the next result, in order: events are never lost. With ``drop_oldest=False`` nothing is
    dropped and ``write`` waits. What the wrapped sink raises is raised by the next ``write`` or by ``close``.
    ``close`` gives the thread ``patience`` seconds to write what waits and to close the sink, and raises
    SinkError after that.
    """

    def __init__(
        self, sink: Sink, *, capacity: int = 8, drop_oldest: bool = True, patience: float = 30.0
    ) -> None:
        whole_number(capacity, "capacity, the results that may wait,", error=SinkError)
        self._sink = as_sink(sink)
        self._capacity = capacity
        self._drop_oldest = drop_oldest
        self._patience = patience
        self._waiting: deque[Result] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        self._closed = False
        self._error: BaseException | None = None
        self._raised = False
        self._thread = threading.Thread(target=self._work, name=f"sink {type(sink).__name__}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many results were dropped because the sink was slower."""
        return self._dropped

    def write(self, result: Result) -> None:
        """Hand the result over; raises what the sink raised since."""
        with self._changed:
            if not self._drop_oldest:
                self._changed.wait_for(
                    lambda: len(self._waiting) < self._capacity or self._error is not None or self._closed
                )
            self._raise_error()
            if self._closed:
                raise SinkError(f"this {type(self._sink).__name__} is closed already: write before close")
            if len(self._waiting) >= self._capacity:
                oldest = self._waiting.popleft()
                self._dropped += 1
                if self._waiting:
                    self._waiting[0] = _after_skipped(oldest, self._waiting[0])
                else:
                    result = _after_skipped(oldest, result)
            self._waiting.append(result)
            self._changed.notify_all()

    def _raise_error(self) -> None:
        if self._error is not None:
            self._raised = True
            raise self._error

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._closed)
                    if not self._waiting:
                        break
                    result = self._waiting.popleft()
                    self._changed.notify_all()
                self._sink.write(result)
        except BaseException as error:  # raised again in the writer's thread
            self._fail(error)
        try:
            self._sink.close()  # in the thread that wrote
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._waiting.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, close the wrapped sink, end the thread."""
        with self._changed:
            if self._closed and not self._thread.is_alive():
                return
            self._closed = True
            self._changed.notify_all()
        self._thread.join(self._patience)
        if self._thread.is_alive():
            with self._changed:
                left = len(self._waiting)
                self._waiting.clear()
            raise SinkError(
                f"{type(self._sink).__name__} is stuck: "
                f"after {self._patience:g} s {left} more results were not written"
            )
        if self._error is not None and not self._raised:
            self._raise_error()
