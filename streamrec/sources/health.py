"""The health of a source: each change is stored on the source, logged, and passed to its listener."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

from streamrec.core.redact import redact, redact_record
from streamrec.types import Frame, Health, Source, SourceState

LEFT = "nobody reads it any more"
OVER = "it came to its end"
LOG = logging.getLogger("streamrec")


class _Redacting(logging.NullHandler):
    """Writes nothing, and redacts each record before another handler gets it."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Change the record."""
        return redact_record(record)


LOG.addFilter(redact_record)  # handlers that were added before get no secret either
LOG.addHandler(_Redacting())  # and in a program without logging nothing is printed
_WORRYING = (SourceState.stalled, SourceState.reconnecting, SourceState.failed)


def set_state(source: Source, state: SourceState, reason: str = "") -> None:
    """Set the state of a source and its reason; without a change nothing is logged or notified.

    Secrets of its address are masked in ``reason``. Exceptions of ``source.on_health`` are raised here.
    """
    reason = redacted(source, reason)
    before = source.health
    if (before.state, before.reason) == (state, reason) and before.since:
        return
    since = before.since if before.state is state and before.since else time.monotonic()
    source.health = health = replace(before, state=state, reason=reason, since=since)
    worrying = state in _WORRYING or (state is SourceState.live and bool(reason))
    level = logging.WARNING if worrying else logging.INFO
    LOG.log(level, "%s: %s%s", source.name, state, f": {reason}" if reason else "")
    if source.on_health is not None:
        source.on_health(health)


def amiss(source: Source) -> str | None:
    """What was cut off or lost of a video that has ended; None: nothing, or it has not ended."""
    health = source.health
    ended = health.state is SourceState.ended and health.reason not in (LEFT, OVER)
    return health.reason if ended else None


def redacted(source: Source, text: str) -> str:
    """The text without the secrets of the source's address."""
    return redact(text, source.secrets) if source.secrets else text


def count_frame(source: Source) -> None:
    """Count a frame that was passed on."""
    source.health = replace(source.health, frames=source.health.frames + 1)


def count_refused(source: Source, cause: str, frames: int = 1) -> None:
    """Count frames that were not passed on, for this cause."""
    refused = source.health.refused
    source.health = replace(source.health, refused={**refused, cause: refused.get(cause, 0) + frames})


def count_reconnect(source: Source, cause: str) -> None:
    """Count a reopening, for this cause."""
    reconnects = source.health.reconnects
    source.health = replace(source.health, reconnects={**reconnects, cause: reconnects.get(cause, 0) + 1})


def with_health(source: Source, frames: Generator[Frame, None, str | None]) -> Iterator[Frame]:
    """The frames of a source that has an end, with its health kept: connecting, live, ended or failed.

    ``frames`` returns why it ended; None: it came to its end.
    """
    source.health = Health()
    set_state(source, SourceState.connecting)
    with closing(frames):
        try:
            while True:
                try:
                    frame = next(frames)
                except StopIteration as end:
                    over = end.value or OVER
                    break
                set_state(source, SourceState.live)
                count_frame(source)
                yield frame
        except GeneratorExit:
            set_state(source, SourceState.ended, LEFT)
            raise
        except BaseException as error:
            set_state(source, SourceState.failed, str(error))
            raise
    set_state(source, SourceState.ended, over)
