"""What ``streamrec arming`` does: asks the process that writes a history, or chooses in its place while none runs.

It goes through the history's file: that needs neither the page nor a token, and who may write the file may arm.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from streamrec.commands.event_list import history_of
from streamrec.core.locks import Held, Lock
from streamrec.core.messages import why
from streamrec.errors import HistoryError, SettingsError, StreamrecError
from streamrec.notify.arming import Arming
from streamrec.notify.rule_runner import reporting
from streamrec.outputs.history.arming_store import answer_to, put_request, take_back
from streamrec.outputs.history.database import errors_as_sentences
from streamrec.outputs.history.tables import check_layout, connect, lock_of, transaction
from streamrec.settings.cameras_file import WatchFile, read_watchfile
from streamrec.settings.resolve import (
    actions_of,
    configs_of,
    events_by_model,
    sound_config,
    sound_events,
)

_T = TypeVar("_T")
_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 0.05
_CAUSES = {"hand": "chosen by hand", "schedule": "by schedule", "usual": "the usual one"}


def ask(file: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out a choice, as ``Arming.do`` has it, and return what is armed then; an empty one chooses nothing.

    Raises ``SettingsError`` for what cannot be chosen, and ``HistoryError``.
    """
    path = history_of(file)
    if not path.is_file():
        raise HistoryError(
            f"there is no history at {path}: `streamrec watch` keeps one where cameras.toml has [arming] or [history]"
        )
    with contextlib.closing(connect(path, "rw")) as connection, errors_as_sentences(path):
        check_layout(connection, path)
        with _alone(path) as alone:
            if not alone:
                return _asked(connection, path, request)
            return _in_place(connection, path, file, request)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no process writes the history; while the block lasts, none begins to."""
    try:
        lock = Lock(lock_of(path))
    except Held:
        yield False
        return
    except OSError as error:
        raise HistoryError(f"cannot write {path}: {why(error)}") from error
    try:
        yield True
    finally:
        lock.release()


def _asked(connection: sqlite3.Connection, path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the process that writes the history; it answers within a second or so."""
    try:
        with transaction(connection):
            number = put_request(connection, request, time.time())
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise HistoryError(
                f"the streamrec that writes {path} knows nothing of arming: restart it after the upgrade"
            ) from error
        raise
    ends = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < ends:
        time.sleep(_POLL_SECONDS)
        answer = answer_to(connection, number)
        if isinstance(answer, dict):
            if "error" in answer:
                raise SettingsError(str(answer["error"]))
            found: dict[str, Any] = answer["arming"]
            return found
    with transaction(connection):
        take_back(connection, number)
    raise HistoryError(f"the streamrec that writes {path} did not answer within {_ANSWER_SECONDS:g} s")


class _Direct:
    """The file of a history that no process writes now."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path

    def transact(self, run: Callable[[sqlite3.Connection], _T]) -> _T:
        """Write in one transaction."""
        with errors_as_sentences(self._path), transaction(self._connection):
            return run(self._connection)

    def select(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows of a SELECT."""
        with errors_as_sentences(self._path):
            return self._connection.execute(statement, tuple(values)).fetchall()


def _in_place(
    connection: sqlite3.Connection, path: Path, file: Path, request: dict[str, Any]
) -> dict[str, Any]:
    """Choose in place of a process that does not run: it counts from its next start on."""
    cameras: WatchFile | None = read_watchfile(file, os.environ) if file.suffix == ".toml" else None
    arming = Arming(_Direct(connection, path), None if cameras is None else cameras.arming)
    if cameras is None and request.get("profile") not in (None, *arming.profiles):
        raise SettingsError(
            f"{path.name} has no profiles of your own in it while nothing runs: give --settings cameras.toml"
        )
    known = _known(connection) if cameras is None else _watched(cameras, request.get("label"))
    for name, actions in known.items():
        arming.watched(name, actions)
    try:
        arming.do(request, by="command line")
    except SettingsError as error:
        if cameras is None and "snooze" in request:
            raise SettingsError(f"{error}; --settings cameras.toml names all there are") from error
        raise
    return arming.status()


def _watched(file: WatchFile, label: str | None) -> dict[str, dict[str, list[str]]]:
    """The labels of the cameras of a file, by camera and model, as a process that watches them has them.

    Where a model cannot be read, ``label`` is taken for one of its camera's.
    """
    cameras = [camera for camera in file.cameras if camera.enabled]
    names = [camera.name for camera in cameras]
    found: dict[str, dict[str, list[str]]] = {}
    for camera in cameras:
        try:
            configs = configs_of(camera, file)
            events = events_by_model(camera, configs, file)
            if camera.listen is not None:
                name, config = camera.listen.name, sound_config(camera, file)
                configs = {**configs, name: config}
                events = {**events, name: sound_events(camera, config, file)}
            actions = actions_of(configs, events, count=camera.count, more=camera.place_labels)
        except StreamrecError:
            actions = {"": [label] if label else []}
        own = [rule.name for rule in file.rules if camera.name in reporting(rule, names)]
        found[camera.name] = {**actions, "": [*actions.get("", ()), *own]}
    return found


def _known(connection: sqlite3.Connection) -> dict[str, dict[str, list[str]]]:
    """The cameras of a history, with the labels that its events have."""
    found: dict[str, dict[str, list[str]]] = {}
    for (camera,) in connection.execute("SELECT DISTINCT camera FROM watched"):
        found[camera] = {}
    for camera, label in connection.execute("SELECT DISTINCT camera, label FROM event"):
        found.setdefault(camera, {}).setdefault("", []).append(label)
    return found


def text_of(status: dict[str, Any]) -> str:
    """What is armed as lines for a person.

    >>> door = {"name": "door", "armed": "all", "snoozed": False, "labels": []}
    >>> print(text_of({"profile": "night", "cause": "usual", "until": None, "chosen_by": None, "timezone": "",
    ...     "snoozes": [], "cameras": [door]}))
    night: the usual one
      door: armed
    """
    zone = ZoneInfo(status["timezone"]) if status["timezone"] else None

    def clock(text: str) -> str:
        then = datetime.fromisoformat(text).astimezone(zone)
        return then.strftime("%H:%M" if then.date() == datetime.now(zone).date() else "%Y-%m-%d %H:%M")

    line = f"{status['profile']}: {_CAUSES.get(status['cause'], status['cause'])}"
    if status["chosen_by"]:
        line += f" ({status['chosen_by']})"
    if status["until"]:
        line += f", until {clock(status['until'])}"
    lines = [line, *(f"  {camera['name']}: {_state_of(camera)}" for camera in status["cameras"])]
    # What a line above says is not said again.
    known = {(camera["name"], None) for camera in status["cameras"]}
    known |= {(camera["name"], one["label"]) for camera in status["cameras"] for one in camera["labels"]}
    for one in status["snoozes"]:
        if (one["camera"], one["label"]) not in known:
            until = f" until {clock(one['until'])}" if one["until"] else ""
            lines.append(f"  {one['label'] or 'everything'} of {one['camera']} is snoozed{until}")
    return "\n".join(lines)


def _state_of(camera: dict[str, Any]) -> str:
    """What of a camera is armed, and why other labels are not."""
    by_reason: dict[str, list[str]] = {}
    for one in camera["labels"]:
        if not one["armed"]:
            by_reason.setdefault(one["reason"], []).append(one["label"])
    if camera["armed"] == "all" or not camera["labels"]:
        if camera["snoozed"]:
            return "snoozed"
        known = camera["labels"] or camera["armed"] == "all"
        return "armed" if known else "its labels are known while it is watched"
    if camera["armed"] == "none" and len(by_reason) == 1:
        return next(iter(by_reason))
    parts = [
        # The snooze of a single label names it.
        reason if reason.startswith(f"{labels[0]} of {camera['name']} ") else f"{', '.join(labels)}: {reason}"
        for reason, labels in by_reason.items()
    ]
    return "; ".join(["partly armed" if camera["armed"] == "some" else "not armed", *parts])
