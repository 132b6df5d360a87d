"""Where the results of `run` and `watch` go: to the dispatcher first, then to each view, in one loop for both."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from streamrec.errors import SinkError
from streamrec.notify.dispatcher import CommittedEvent, Dispatcher
from streamrec.notify.trial import ReceiverDesk
from streamrec.outputs.history.records import Entry
from streamrec.outputs.json_lines import open_lines
from streamrec.outputs.sink import Sink
from streamrec.types import Health, Result, Source

if TYPE_CHECKING:
    from streamrec.outputs.fleet.records import FleetService
    from streamrec.pipeline.listening import Listener
    from streamrec.settings.resolve import InForce
    from streamrec.teach.corrections.corrector import Corrections
    from streamrec.web.server import WebSettings


class View:
    """One place where results are shown or written; each method does nothing where it does not matter."""

    failed = False  # it takes nothing more
    unread = False  # and that is because its reader has left (| head)

    def write(self, result: Result, shown: Result) -> None:
        """Take a result. ``shown`` is the same without the events that are not on the disk yet."""

    def write_event(self, event: CommittedEvent) -> None:
        """Take an event that is on the disk; called in the dispatcher's thread."""

    def write_opinion(self, entry: Entry) -> None:
        """Take an event that has a second opinion now; called in the dispatcher's thread."""

    def write_health(self, name: str, health: Health) -> None:
        """Take the state of a source, when it changes."""


class TerminalView(View):
    """A view of the results at a terminal."""

    @property
    def gone(self) -> bool:
        """Whether the terminal or pipe has been closed."""
        raise NotImplementedError


class Outputs:
    """The dispatcher and the views of one command, written in their order.

    One of the views is the ``terminal``. It alone keeps no command running that was given other outputs.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        views: Sequence[View],
        *,
        terminal: TerminalView,
        log: Callable[[str], object],
    ) -> None:
        self.dispatcher = dispatcher
        self.failures: list[SinkError] = []  # of views that failed for another reason than an absent reader
        self._views = tuple(views)
        self._files = tuple(view for view in views if view is not terminal)
        self._terminal = terminal
        self._log = log
        dispatcher.on_event(self.write_event)
        dispatcher.on_opinion(self.write_opinion)

    def write(self, result: Result) -> None:
        """Write a result everywhere. A view that fails is reported once, and the others go on.

        Raises ``BrokenPipeError`` where the last reader has left.
        """
        shown = self.dispatcher.write(result)  # its events come back through ``write_event``
        for view in self._views:
            if view.failed:
                continue
            try:
                view.write(result, shown)
            except SinkError as error:
                self._drop(view, error)

    def _drop(self, view: View, error: SinkError) -> None:
        cause = error.__cause__
        view.failed, view.unread = True, isinstance(cause, BrokenPipeError)
        if isinstance(cause, BrokenPipeError) and not self._is_wanted:
            raise cause from error  # | head
        self.failures.append(error)
        self._log(f"{error}; the rest goes on")

    def write_event(self, event: CommittedEvent) -> None:
        """Write an event that is on the disk; called in the dispatcher's thread."""
        for view in self._views:
            view.write_event(event)

    def write_opinion(self, entry: Entry) -> None:
        """Write the second opinion on an event; called in the dispatcher's thread."""
        for view in self._views:
            view.write_opinion(entry)

    def write_health(self, name: str, health: Health) -> None:
        """Write the state of a source; from any thread."""
        for view in self._views:
            view.write_health(name, health)

    def tick(self) -> None:
        """Call it after each result: events may be notified now. Raises ``BrokenPipeError`` where no reader is left."""
        self.dispatcher.tick()
        if self._is_wanted:
            return
        if self._terminal.gone or (self._files and all(view.unread for view in self._files)):
            raise BrokenPipeError(errno.EPIPE, "no reader is left")

    @property
    def _is_wanted(self) -> bool:
        """Whether there is a reason to go on besides the terminal."""
        return self.dispatcher.wanted or any(not view.failed for view in self._files)


class LinesView(View):
    """JSON Lines that neither a full disk nor a slow reader stops; ``file`` says whether all of them were written.

    With ``log`` any error is reported there at once, and ends the lines. Without, the next prediction's line raises it.
    """

    def __init__(
        self,
        target: str,
        *,
        warn: Callable[[str], None],
        log: Callable[[str], None] | None = None,
        background: bool = True,
        append: bool = False,
        predictions: bool = True,
        dated: bool = False,
    ) -> None:
        self._log = log
        self._lines, self.file = open_lines(
            target,
            append=append,
            background=background,
            log=warn,
            predictions=predictions,
            clock=time.time if dated else None,
        )

    def write(self, result: Result, shown: Result) -> None:
        """Write a prediction, and events that no history keeps; raises ``SinkError`` where there is no ``log``."""
        if self._log is None:
            self._lines.write(shown)
        else:
            self._try(lambda: self._lines.write(shown))

    def write_event(self, event: CommittedEvent) -> None:
        """Write an event that is on the disk."""
        self._try(lambda: self._lines.write_event(event.source, event.event))

    def write_opinion(self, entry: Entry) -> None:
        """Write the second opinion on an event."""
        values = entry.to_dict()
        self._try(lambda: self._lines.write_opinion(entry.camera, values))

    def write_health(self, name: str, health: Health) -> None:
        """Write the state of a source."""
        self._try(lambda: self._lines.write_health(name, health))

    def _try(self, write: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            write()
        except SinkError as error:
            if self._log is not None:
                self.failed = self.unread = True
                self._log(str(error))

    def close(self) -> None:
        """Write what waits, for a moment."""
        self._lines.close()
        self.file.close()


class SinkView(View):
    """A sink, given each result as ``drawn`` makes it."""

    def __init__(self, sink: Sink, drawn: Callable[[Result], Result]) -> None:
        self._sink, self._drawn = sink, drawn

    def write(self, result: Result, shown: Result) -> None:
        """Pass the result on, with its events."""
        self._sink.write(self._drawn(result))


class CallbackView(View):
    """A function that is called with each result."""

    def __init__(self, function: Callable[[Result], None]) -> None:
        self._function = function

    def write(self, result: Result, shown: Result) -> None:
        """Call it."""
        self._function(result)


class PageView(View):
    """The web page, served in threads of its own. ``source``: the only one, or else cameras of ``file``.

    ``sound``: what listens beside the pictures of ``source``.
    ``fleet``: the head, where the cameras run on several machines.
    """

    def __init__(
        self,
        settings: WebSettings,
        dispatcher: Dispatcher,
        log: Callable[[str], None],
        *,
        source: Source | None = None,
        sound: Listener | None = None,
        file: InForce | None = None,
        secrets: tuple[str, ...] = (),
        corrections: Corrections | None = None,
        fleet: FleetService | None = None,
    ) -> None:
        from streamrec.web.live import LiveState, SourceCamera
        from streamrec.web.server import Server  # needs the extra web

        self.live = LiveState(dispatcher.history, corrections=corrections)
        self.live.secrets = secrets
        self.live.recordings = dispatcher.recordings
        dispatcher.on_settled(self.live.changed)
        self.live.arming = dispatcher.arming
        self.live.leaves = dispatcher.leaves
        self._log = log
        self._source = None
        if source is not None:
            self._source = SourceCamera(source, sound)
            self.live.beat([self._source])
        desk = ReceiverDesk(dispatcher) if dispatcher.receivers else None
        self._server = Server(settings, self.live, file=file, fleet=fleet, receivers=desk, log=log)

    def __enter__(self) -> Self:
        self._server.start()
        self._log(f"the page is at {self._server.address}")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def write(self, result: Result, shown: Result) -> None:
        """Show a result."""
        if self._source is not None:
            self._source.count()
            self.live.beat([self._source])
        self.live.write(shown)

    def write_event(self, event: CommittedEvent) -> None:
        """List an event that is on the disk."""
        self.live.notify((event.entry,))

    def write_opinion(self, entry: Entry) -> None:
        """Show the second opinion on an event."""
        self.live.changed(entry)
