"""Results, events and health as JSON Lines; ``schemas/jsonl.json`` is their JSON Schema."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

from streamrec.core.arguments import path_to_write
from streamrec.core.files import open_private
from streamrec.core.line_files import BackgroundLineFile, LineFile
from streamrec.core.messages import described, why
from streamrec.core.text import printable
from streamrec.errors import SinkError
from streamrec.outputs.sink import Sink, cannot_write
from streamrec.types import (
    ActionEnded,
    ActionStarted,
    Event,
    Health,
    ModelResult,
    Person,
    Prediction,
    Relevance,
    Result,
)


class JsonLines(Sink):
    """One JSON object a line for each prediction, event and state of a source, as docs/jsonl.md describes.

    ``target`` is a path (an older file is replaced, or with ``append`` goes on), "-" for standard output, or
    something with ``write(text)``, which stays open. Without ``predictions`` only events are written; ``clock``
    (seconds since 1970) adds the ``time`` of writing to each line. Every line is flushed before ``write`` returns.
    Only the owner may read a new file. Raises SinkError where it cannot be written, or holds no text.

    >>> import numpy as np
    >>> from streamrec.types import Frame, Prediction
    >>> lines = io.StringIO()
    >>> prediction = Prediction("wave", 0.75, np.array([0.25, 0.75], np.float32), 0.04, ("idle", "wave"))
    >>> with JsonLines(lines) as sink:
    ...     sink.write(Result(Frame(np.zeros((2, 2, 3), np.uint8), 1, 0.04, source="door"), prediction))
    >>> json.loads(lines.getvalue())["probabilities"]
    {'idle': 0.25, 'wave': 0.75}
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | IO[str] | LineFile | BackgroundLineFile,
        *,
        append: bool = False,
        predictions: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._predictions = predictions
        self._clock = clock
        self._lock = threading.Lock()  # states come from the thread that reads
        self._file: Any
        self._mine = False
        self._closed = False
        if isinstance(target, str) and target == "-":
            self._name = "standard output"
            check_lines(target)
            sys.stdout.flush()
            self._file = getattr(sys.stdout, "buffer", sys.stdout)  # bytes: UTF-8 whatever the console thinks
        elif isinstance(target, (str, os.PathLike)):
            path = path_to_write(target, "a file of JSON Lines", error=SinkError)
            self._name = str(path)
            check_lines(path)
            try:
                self._file = open_private(path, "ab" if append else "wb")
            except OSError as error:
                raise SinkError(cannot_write(path, error)) from error
            self._mine = True
        else:
            if not hasattr(target, "write"):
                raise SinkError(
                    f"JSON lines are written to a path, '-' or an open file, not to {described(target)}"
                )
            self._name = str(getattr(target, "name", "the JSON lines"))
            self._file = target
        self._bytes = isinstance(self._file, (io.RawIOBase, io.BufferedIOBase)) or "b" in str(
            getattr(self._file, "mode", "")
        )

    def write(self, result: Result) -> None:
        """Write the prediction of each model, unless the result only repeats the last one, and the events."""
        each = result.each if self._predictions and not result.repeated else ()
        people = None if result.people is None else [_person(one) for one in result.people]
        # People are the frame's, not a model's: they stand in the first of its lines.
        lines = [_prediction_line(result, one, None if n else people) for n, one in enumerate(each)]
        self._write(lines + [_event_line(event, result.frame.source) for event in result.events])

    def write_event(self, source: str, event: Event) -> None:
        """Write one event; from any thread."""
        self._write([_event_line(event, source)])

    def write_opinion(self, source: str, event: Mapping[str, Any]) -> None:
        """Write the second opinion on an event, of which this is the JSON; from any thread."""
        own = {
            name: event[name]
            for name in ("id", "model", "label", "started", "judgment", "opinion", "judged_by")
        }
        self._write([{"type": "opinion", "version": 1, "source": source, **own}])

    def write_health(self, source: str, health: Health) -> None:
        """Write how a source is now; from any thread."""
        self._write([_health_line(source, health)])

    def _write(self, lines: list[dict[str, object]]) -> None:
        if self._closed:
            raise SinkError(f"{self._name} is closed already: write before close")
        if not lines:
            return
        if self._clock is not None:
            moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
            lines = [{**line, "time": moment} for line in lines]
        text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
        # A half surrogate (a file name that was not UTF-8) becomes the escape that JSON has for it.
        data = text.encode("utf-8", "backslashreplace")
        try:
            with self._lock:
                self._file.write(data if self._bytes else data.decode())
                flush = getattr(self._file, "flush", None)
                if flush is not None:
                    flush()
        except BrokenPipeError as error:
            raise SinkError(f"{self._name} is not read any more") from error
        except OSError as error:
            raise SinkError(f"cannot write {self._name}: {why(error)}") from error

    def close(self) -> None:
        """Close the file if it was opened here."""
        if self._closed:
            return
        self._closed = True
        if self._mine:
            self._file.close()


def _number(value: float, digits: int) -> float | None:
    """Rounded; None where it is not a number, which JSON cannot say."""
    value = float(value)
    return round(value, digits) if math.isfinite(value) else None


def _person(person: Person) -> dict[str, object]:
    return {
        "id": int(person.id),
        "score": _number(person.score, 3),
        "box": _box(person.box),
        "keypoints": _keypoints(person.keypoints),
        **({"predictions": [_short(one) for one in person.predictions]} if person.predictions else {}),
        **({} if person.repetitions is None else {"repetitions": int(person.repetitions)}),
        **({} if person.count is None else {"count": int(person.count)}),
        **({} if person.period is None else {"period": _number(person.period, 3)}),
    }


def _box(box: Sequence[float]) -> list[float | None]:
    return [_number(side, 4) for side in box]


def _keypoints(keypoints: np.ndarray) -> list[list[float | None]]:
    return [[_number(y, 4), _number(x, 4), _number(score, 2)] for y, x, score in keypoints]


def _short(prediction: Prediction | None) -> dict[str, object] | None:
    if prediction is None:
        return None
    return {"label": prediction.label, "confidence": _number(prediction.confidence, 4)}


def _prediction_line(
    result: Result, one: ModelResult, people: list[dict[str, object]] | None
) -> dict[str, object]:
    frame, prediction = result.frame, one.prediction
    return {
        "type": "prediction",
        "version": 1,
        "source": frame.source,
        **({"model": one.model} if one.model else {}),
        "index": int(frame.index),
        "timestamp": _number(frame.timestamp, 6),
        "segment": int(frame.segment),
        "label": prediction.label,
        "confidence": _number(prediction.confidence, 4),
        "probabilities": {
            label: _number(share, 4)
            for label, share in zip(prediction.labels, prediction.probabilities, strict=False)
        },
        "latency": _number(result.latency, 4),
        "dropped": int(result.dropped),
        **({} if result.still is None else {"still": int(result.still)}),
        **({} if one.repetitions is None else {"repetitions": int(one.repetitions)}),
        **({} if result.count is None else {"count": int(result.count)}),
        **({} if result.period is None else {"period": _number(result.period, 3)}),
        **({} if prediction.strangeness is None else _strangeness(one, prediction.strangeness)),
        **({} if people is None else {"people": people}),
        **({} if result.relevance is None else {"relevance": _relevance(result.relevance)}),
    }


def _relevance(found: Relevance) -> dict[str, object]:
    return {
        "label": found.label,
        "channels": {name: _number(value, 3) for name, value in found.by_channel.items()},
        "moments": [[_number(begin, 3), _number(value, 3)] for begin, value in found.by_moment()],
        "rest": _number(found.rest, 3),
    }


def _strangeness(one: ModelResult, value: float) -> dict[str, object]:
    return {"strangeness": _number(value, 3), "unknown": one.unknown}


def _event_line(event: Event, source: str) -> dict[str, object]:
    ended = isinstance(event, ActionEnded)
    line: dict[str, object] = {
        "type": "event",
        "version": 1,
        "event": "ended" if ended else "started",
        "source": event.source or source,
        **({"model": event.model} if event.model else {}),
        "label": event.label,
        "timestamp": _number(event.timestamp, 6),
        "confidence": _number(event.confidence, 4),
    }
    if isinstance(event, ActionEnded):
        line |= {"started": _number(event.started, 6), "duration": _number(event.duration, 6)}
        if event.repetitions is not None:
            line["repetitions"] = int(event.repetitions)
    if event.person is not None:
        line["person"] = int(event.person)
    if event.box is not None:
        line["box"] = _box(event.box)
    if event.keypoints is not None:
        line["keypoints"] = _keypoints(event.keypoints)
    if event.zone:
        line["zone"] = event.zone
    if isinstance(event, ActionStarted) and event.forecast is not None:
        line["forecast"] = event.forecast.to_dict()
    if event.rule:
        line |= {"rule": event.rule, "based_on": list(event.based_on)}
    return line


def _health_line(source: str, health: Health) -> dict[str, object]:
    return {
        "type": "state",
        "version": 1,
        "source": source,
        "state": str(health.state),
        "reason": health.reason,
        "frames": int(health.frames),
        "refused": {cause: int(count) for cause, count in health.refused.items()},
        "reconnects": {cause: int(count) for cause, count in health.reconnects.items()},
    }


def check_lines(target: str | os.PathLike[str]) -> None:
    """Raise SinkError where lines would go nowhere, or over what is no text: a video, a model."""
    if isinstance(target, str) and target == "-":
        closed = sys.__stdout__ is None and getattr(sys.stdout, "name", os.devnull) == os.devnull
        if sys.stdout is None or closed:
            raise SinkError("standard output is closed; write the JSON Lines to a file, --jsonl out.jsonl")
        return
    path = Path(target)
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                if b"\0" in file.read(4096):
                    raise SinkError(
                        f"{printable(str(path))} is there and holds no text: JSON Lines would destroy it; "
                        "name another file"
                    )


def open_lines(
    target: str,
    *,
    append: bool,
    background: bool,
    log: Callable[[str], object],
    predictions: bool = True,
    clock: Callable[[], float] | None = None,
) -> tuple[JsonLines, LineFile | BackgroundLineFile]:
    """JSON Lines that survive a full disk, and their file, to be closed after them.

    ``background``: written in a thread of its own, so that the caller never waits: a reader that is too slow loses the
    oldest lines, which are counted and reported to ``log``. Otherwise each line is written before ``write`` returns.
    """
    check_lines(target)
    name = "standard output" if target == "-" else target
    to: Any = getattr(sys.stdout, "buffer", sys.stdout) if target == "-" else Path(target)
    try:
        file = LineFile(to, name, log=log, append=append)
    except OSError as error:
        raise SinkError(cannot_write(Path(target), error)) from error
    written = BackgroundLineFile(file, log=log) if background else file
    return JsonLines(written, predictions=predictions, clock=clock), written
