"""How a source is, told as it changes: on the source itself, to whoever listens, and in the log."""

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
    """Writes nothing, and takes the secrets of addresses out of each record before another handler sees it."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Change the record."""
        return redact_record(record)


LOG.addFilter(redact_record)  # whoever put a handler here before us sees no secret either
LOG.addHandler(_Redacting())  # and a program that sets up no logging is not written to unasked
_WORRYING = (SourceState.stalled, SourceState.reconnecting, SourceState.failed)


def set_state(source: Source, state: SourceState, reason: str = "") -> None:
    """The source is in this state now, for this reason; what it said already is not said again.

    Secrets of its address are masked in ``reason``. What ``source.on_health`` raises is raised here.
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
    """What was cut off or lost of a recording that has ended, in words; None: nothing, or it has not ended so."""
    health = source.health
    ended = health.state is SourceState.ended and health.reason not in (LEFT, OVER)
    return health.reason if ended else None


def redacted(source: Source, text: str) -> str:
    """What is told of a source, without the secrets of its address."""
    return redact(text, source.secrets) if source.secrets else text


def count_frame(source: Source) -> None:
    """One more picture was passed on."""
    source.health = replace(source.health, frames=source.health.frames + 1)


def count_refused(source: Source, cause: str, pictures: int = 1) -> None:
    """So many pictures were not passed on, because of this."""
    refused = source.health.refused
    source.health = replace(source.health, refused={**refused, cause: refused.get(cause, 0) + pictures})


def count_reconnect(source: Source, cause: str) -> None:
    """It was opened again, because of this."""
    reconnects = source.health.reconnects
    source.health = replace(source.health, reconnects={**reconnects, cause: reconnects.get(cause, 0) + 1})


def with_health(source: Source, frames: Generator[Frame, None, str | None]) -> Iterator[Frame]:
    """The frames of a source that has an end, with its health told: connecting, live, ended or failed.

    What ``frames`` returns is why it ended; None: it came to its end.
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
