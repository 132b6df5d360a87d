"""Arming: the part of the gate that keeps events that no receiver is to be notified of now, and how that is chosen.

``Arming`` is asked by the page, MQTT and the command line, from any thread; what they choose is on the disk before it
counts. It is asked of each event by the gate, in the history's thread, and waits for nothing then.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from streamrec.core.messages import shortened
from streamrec.errors import HistoryError, SettingsError, StreamrecError
from streamrec.events.arming import (
    SCHEDULE,
    ArmingRules,
    ArmingState,
    Snooze,
    active,
    answer,
    choose,
    next_change,
    overview,
    renamed,
    snooze,
    snoozed_until,
    state_at,
)
from streamrec.notify.gate import Decider
from streamrec.outputs.arming import MOST_MINUTES
from streamrec.outputs.history.arming_store import KEPT, ArmingStore, File, Request
from streamrec.outputs.history.records import DELIVER, Decision, Entry, Outcome, iso
from streamrec.outputs.history.rule_replay import happening_of
from streamrec.settings.rules_table import words_of
from streamrec.settings.toml import no_such_key

_LEAST_MINUTES = 0.05


class Arming(Decider):
    """What is armed, and the choice of it. Thread-safe. ``warn`` gets messages about failures.

    Each choice raises ``SettingsError`` for a name or a number that is wrong, and ``HistoryError`` where it cannot be
    written; nothing has changed then.
    """

    name = "arming"

    def __init__(
        self,
        history: File,
        rules: ArmingRules | None = None,
        *,
        warn: Callable[[str], object] = lambda message: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._warn, self._clock = warn, clock
        self._store = ArmingStore(history)
        self.rules = rules or ArmingRules()
        self._states = self._store.load()  # replaced, never changed: it is read without a lock
        self._unwritten = (
            False  # the newest choice has the new name of a profile, and the file has the old one
        )
        self._choosing = threading.RLock()  # held while a choice is written; never in ``decide``
        self._cameras: dict[str, tuple[tuple[str, str], ...]] = {}  # pairs of model and label
        self._listeners: list[Callable[[], object]] = []
        self._shown: object = None  # of what listeners were notified last

    # -- the gate

    def decide(self, entry: Entry) -> Decision:
        """Deliver an event that was armed when it began, and keep another."""
        event = happening_of(entry)
        given = answer(self.rules, state_at(self._states, entry.started), event, entry.started)
        return DELIVER if given.armed else Decision(Outcome.keep, self.name, given.reason)

    def poll(self) -> None:
        """Take the requests of other processes, and notify listeners where the schedule has changed something."""
        try:
            if self._unwritten:
                self._keep(lambda state: replace(state, at=self._clock()))
            for request in self._store.requests():
                self._store.answer(request, self._answer(request), self._clock())
        except HistoryError as error:
            self._restore(error)
        self._changed()

    def _restore(self, cause: HistoryError) -> None:
        """Where the history's file is another one now, the choices go into that one."""
        try:
            if not self._store_is_whole():
                self._store.append(self._states)
        except HistoryError:
            self._warn(f"arming: {cause}")

    def _store_is_whole(self) -> bool:
        try:
            self._store.load()
        except HistoryError:
            return False
        return True

    def _answer(self, request: Request) -> dict[str, Any]:
        try:
            if self._clock() - request.made > 30.0:
                raise SettingsError("the request is too old; ask again")
            self.do(request.body, by="command line")
        except StreamrecError as error:
            return {"error": str(error)}
        return {"arming": self.status()}

    # -- which cameras and rules there are

    def use(self, rules: ArmingRules | None) -> None:
        """These profiles and schedules from now on; a choice by hand goes on, where its profile is still there.

        It follows a profile that has another name now.
        """
        rules = rules or ArmingRules()
        if rules != self.rules:
            new_name = renamed(self.rules, rules)
            with self._choosing:
                self.rules = rules
                if new_name is not None and any(state.profile == new_name[0] for state in self._states):
                    self._states = tuple(_following(state, *new_name) for state in self._states)
                    self._unwritten = True  # ``poll`` writes it, in the history's thread
            self._changed()

    def watched(self, name: str, actions: Mapping[str, Iterable[str]]) -> None:
        """A camera is watched, and may have events of these labels, by model; "": of rules, and of a single model."""
        pairs = tuple((model, label) for model, labels in actions.items() for label in labels)
        if self._cameras.get(name) != pairs:
            self._cameras = {**self._cameras, name: pairs}

    def forget(self, name: str) -> None:
        """A camera is not watched any more."""
        self._cameras = {camera: pairs for camera, pairs in self._cameras.items() if camera != name}

    # -- choosing

    def do(self, request: Any, by: str) -> None:
        """One choice, as JSON: ``{"profile": NAME or null, "minutes": N or null}`` or ``{"snooze": CAMERA, ...}``.

        ``minutes`` of a profile may also be "schedule": until the schedule changes next.
        """
        if not isinstance(request, dict):
            raise SettingsError("give an object with profile, or with snooze")
        minutes = request.get("minutes")
        if "snooze" in request and set(request) <= {"snooze", "label", "minutes"}:
            self.snooze(request["snooze"], request.get("label") or "", minutes)
        elif "profile" in request and set(request) <= {"profile", "minutes"}:
            self.choose(request["profile"], minutes, by=by)
        elif request:
            raise SettingsError("give profile and minutes, or snooze, label and minutes")

    def choose(self, profile: str | None, minutes: float | str | None = None, *, by: str) -> None:
        """This profile from now on: for so many minutes, until the schedule changes next, or until another is chosen.

        ``profile`` None: as the schedule says. ``minutes``: a number, "schedule", or None.
        """
        rules, now = self.rules, self._clock()
        if profile is None:
            self._keep(lambda state: choose(state, "", None, now, by))
            return
        if not isinstance(profile, str) or profile not in rules.profiles:
            problem = no_such_key(str(profile), tuple(rules.profiles), what="profile")
            raise SettingsError(f"{_quoted(profile)}: {problem}")
        until = None
        if minutes == SCHEDULE:
            change = next_change(rules, now)
            until = None if change is None else change[0]
        elif minutes is not None:
            until = now + 60.0 * _checked(minutes, zero=False)
        self._keep(lambda state: choose(state, profile, until, now, by))

    def snooze(self, camera: str, label: str = "", minutes: float | None = None) -> None:
        """A camera, or one label of it, is not armed for so many minutes; None: until 0 ends that."""
        now = self._clock()
        known = self._cameras
        if not isinstance(camera, str) or camera not in known:
            raise SettingsError(f"{_quoted(camera)}: {_no_such(camera, tuple(known), 'camera')}")
        labels = tuple(dict.fromkeys(one for _, one in known[camera]))
        ends = minutes == 0 and type(minutes) in (int, float)
        if not isinstance(label, str) or (label and label not in labels and not ends):
            raise SettingsError(f"{_quoted(label)}: {_no_such(label, labels, 'label')}")
        until = math.inf if minutes is None else now + 60.0 * _checked(minutes, zero=True)
        self._keep(lambda state: snooze(state, Snooze(camera=camera, label=label, until=until), now))

    def _keep(self, change: Callable[[ArmingState], ArmingState]) -> None:
        with self._choosing:
            state = change(self._states[-1] if self._states else ArmingState())
            self._store.append([state])
            self._unwritten = False
            self._states = (*self._states, state)[-KEPT:]
        self._changed()

    # -- what it is now

    def on_change(self, listener: Callable[[], object]) -> None:
        """Call ``listener`` when another profile is in force, or a snooze begins or ends; it must not wait."""
        self._listeners.append(listener)

    def _changed(self) -> None:
        now, state, rules = self._clock(), self._state, self.rules
        in_force = active(rules, state, now)
        running = tuple(one for one in state.snoozes if one.until > now)
        shown = (in_force.profile, in_force.cause, state.until, running, rules, tuple(self._cameras.items()))
        if shown == self._shown:
            return
        self._shown = shown
        for listener in self._listeners:
            try:
                listener()
            except Exception as error:  # of the listener: what was chosen counts all the same
                self._warn(f"arming: {type(error).__name__}: {error}")

    @property
    def _state(self) -> ArmingState:
        return self._states[-1] if self._states else ArmingState()

    @property
    def profile(self) -> str:
        """The profile in force."""
        return active(self.rules, self._state, self._clock()).profile.name

    @property
    def profiles(self) -> tuple[str, ...]:
        """Those that there are."""
        return tuple(self.rules.profiles)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Those that are watched."""
        return tuple(self._cameras)

    def snoozed_until(self, camera: str) -> float | None:
        """Until when a whole camera is snoozed; None: it is not."""
        return snoozed_until(self._state, camera, self._clock())

    def status(self) -> dict[str, Any]:
        """What is armed now, as JSON; the same on the page, in the API and in ``streamrec arming --json``."""
        rules, state, now = self.rules, self._state, self._clock()
        in_force, change = active(rules, state, now), next_change(rules, now)
        by_hand = in_force.cause == "hand"
        until = state.until if by_hand else None if change is None else change[0]
        return {
            "profile": in_force.profile.name,
            "cause": in_force.cause,
            "chosen_by": state.by if by_hand else None,
            "until": None if until is None else iso(until),
            "scheduled": None if change is None else {"profile": change[1], "at": iso(change[0])},
            "timezone": "" if rules.zone is None else rules.zone.key,
            "profiles": [
                {"name": one.name, "armed": [words_of(pattern) for pattern in one.armed]}
                for one in rules.profiles.values()
            ],
            "snoozes": [
                {"camera": one.camera, "label": one.label or None, "until": _moment(one.until)}
                for one in state.snoozes
                if one.until > now
            ],
            "cameras": [
                {
                    "name": one.name,
                    "armed": one.armed,
                    "snoozed": one.snoozed_until is not None,
                    "snoozed_until": _moment(one.snoozed_until),
                    "labels": [
                        {"label": label.label, "armed": label.armed, "reason": label.reason or None}
                        for label in one.labels
                    ],
                }
                for one in overview(rules, state, self._cameras, now)
            ],
        }


def _moment(at: float | None) -> str | None:
    return None if at is None or math.isinf(at) else iso(at)


def _quoted(name: Any) -> str:
    return shortened(str(name))[1:-1]


def _no_such(name: Any, known: tuple[str, ...], what: str) -> str:
    return no_such_key(str(name), known, what=what) if known else f"there is no such {what}"


def _checked(minutes: Any, *, zero: bool) -> float:
    if type(minutes) in (int, float) and (
        (zero and minutes == 0) or _LEAST_MINUTES <= minutes <= MOST_MINUTES
    ):
        return float(minutes)
    least = "0, or 1" if zero else "1"
    raise SettingsError(
        f"minutes: give a number from {least} to {MOST_MINUTES:,.0f}, not {shortened(minutes)}"
    )


def _following(state: ArmingState, before: str, now: str) -> ArmingState:
    return replace(state, profile=now) if state.profile == before else state
