"""Routes for what people say of events: right, wrong, something else, missed; and for learning from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from streamrec.core.redact import redact
from streamrec.errors import StreamrecError, need
from streamrec.outputs.history.records import iso
from streamrec.teach.corrections.corrector import Corrections
from streamrec.teach.corrections.lessons import LEAST
from streamrec.teach.corrections.records import LONGEST_LABEL, Correction, Verdict
from streamrec.web.access_control import Refused
from streamrec.web.live import LiveState
from streamrec.web.roles import Role, needs

need("fastapi", extra="web")

from fastapi import APIRouter, Body  # noqa: E402
from fastapi import Path as InPath  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

from streamrec.web.schemas import NOT_FOUND, Errors  # noqa: E402

_VERSION = 1
_LONG = 2_000  # characters
_ID = Annotated[str, InPath(max_length=64, pattern=r"^[\w-]+$")]
_REFUSED: dict[int | str, dict[str, Any]] = {**NOT_FOUND, 422: {"model": Errors}}


class NewCorrection(BaseModel):
    """A verdict on an event."""

    event: str = Field(max_length=64, description="its id")
    verdict: Literal["right", "wrong", "other"] = Field(
        description="right; wrong: nothing happened; other: something else happened"
    )
    truth: str = Field(default="", max_length=LONGEST_LABEL, description="what it was, where that is other")


class MissedAction(BaseModel):
    """An action of which there was no event."""

    camera: str = Field(max_length=_LONG)
    label: str = Field(max_length=LONGEST_LABEL, description="what was missed")
    started: datetime
    ended: datetime
    model: str = Field(default="", max_length=_LONG, description="of several; empty: the one with this label")


class LearnFrom(BaseModel):
    """A model that is to learn."""

    model: str = Field(default="", max_length=_LONG, description="empty: the only one")


class CorrectionJson(BaseModel):
    """One correction."""

    id: str
    made: datetime
    verdict: str = Field(description="right, wrong, other or missed")
    camera: str
    model: str
    label: str = Field(description="of the event; of a missed one, what was missed")
    truth: str
    event: str = Field(description="the event's id; empty: a missed one")
    started: datetime
    ended: datetime
    learnable: bool = Field(description="whether the features of its seconds are kept")


class MovedJson(BaseModel):
    """A threshold that corrections have moved."""

    camera: str
    model: str
    label: str
    own: float
    now: float


class CountsJson(BaseModel):
    """How many of some kept events are reported."""

    before: int
    after: int
    of: int


class LessonJson(BaseModel):
    """What was learned, on the kept examples."""

    model: str
    corrections: int
    false: CountsJson = Field(description="events that were wrong: the fewer, the better")
    true: CountsJson = Field(description="events that were right or missed: the more, the better")
    known: CountsJson = Field(description="true events that the model brings along: the more, the better")


class ModelCorrectionsJson(BaseModel):
    """What can be learned, and what was."""

    model: str
    labels: list[str]
    learnable: int = Field(description="corrections that can be learned from")
    needed: int
    new: int = Field(description="of them, those that it has not learned from yet")
    learned: LessonJson | None = Field(description="what is in force; null: the model as it came")
    former: int = Field(description="how many lessons lie below it")


class CorrectionsJson(BaseModel):
    """All corrections, and what followed."""

    version: int
    kept: bool = Field(description="whether it outlives a restart")
    corrections: list[CorrectionJson] = Field(description="the newest first")
    thresholds: list[MovedJson]
    models: list[ModelCorrectionsJson]


def correction_routes(live: LiveState, corrections: Corrections) -> APIRouter:
    """Correcting, taking back, learning, unlearning."""
    router = APIRouter(tags=["corrections"])

    def now() -> dict[str, Any]:
        return _all(corrections)

    @router.get("/api/v1/corrections", response_model=CorrectionsJson)
    @needs(Role.admin)
    async def corrections_now() -> Any:
        """Corrections, the thresholds that they moved, and what was learned."""
        return await _run(live, now)

    @router.post("/api/v1/corrections", response_model=CorrectionsJson, responses=_REFUSED)
    @needs(Role.admin, audit="event corrected", fields=("event", "verdict", "truth"))
    async def correct(given: Annotated[NewCorrection, Body()]) -> Any:
        """Correct an event: it is right, wrong, or something else. The thresholds of its camera move at once."""

        def work() -> Any:
            entry = live.history.get(given.event)
            if entry is None:
                raise Refused(404, "not_found", "there is no such event")
            corrections.correct(entry, given.verdict, given.truth)
            live.changed(entry)
            return now()

        return await _run(live, work)

    @router.post("/api/v1/corrections/missed", response_model=CorrectionsJson, responses=_REFUSED)
    @needs(Role.admin, audit="missed event reported", fields=("camera", "label"))
    async def add_missed(given: Annotated[MissedAction, Body()]) -> Any:
        """Report an action of which there was no event."""

        def work() -> Any:
            started, ended = (_seconds(when) for when in (given.started, given.ended))
            corrections.missed(given.camera, given.label, started, ended, given.model)
            return now()

        return await _run(live, work)

    @router.delete("/api/v1/corrections/{id}", response_model=CorrectionsJson, responses=NOT_FOUND)
    @needs(Role.admin, audit="correction taken back", fields=("id",))
    async def undo(id: _ID) -> Any:
        """Take a correction back. The thresholds move back."""

        def work() -> Any:
            correction = corrections.undo(id)
            if correction is None:
                raise Refused(404, "not_found", "there is no such correction")
            entry = live.history.get(correction.event) if correction.event else None
            if entry is not None:
                live.changed(entry)
            return now()

        return await _run(live, work)

    _add_learning(router, live, corrections)
    return router


def _add_learning(router: APIRouter, live: LiveState, corrections: Corrections) -> None:
    learning = asyncio.Lock()

    @router.post("/api/v1/corrections/learn", response_model=CorrectionsJson, responses=_REFUSED)
    @needs(Role.admin, audit="learned from corrections", fields=("model",))
    async def learn(given: Annotated[LearnFrom, Body()]) -> Any:
        """Learn from the corrections of a model's events; the cameras use it from their next frame on."""
        if learning.locked():
            raise Refused(429, "too_often", "it is learning: wait a moment")

        def work() -> Any:
            corrections.learn(_model(corrections, given.model))
            return _all(corrections)

        async with learning:
            return await _run(live, work)

    @router.post("/api/v1/corrections/unlearn", response_model=CorrectionsJson, responses=_REFUSED)
    @needs(Role.admin, audit="lesson taken back", fields=("model",))
    async def unlearn(given: Annotated[LearnFrom, Body()]) -> Any:
        """Take back what was learned last; what was learned before it is in force again."""

        def work() -> Any:
            if not corrections.unlearn(_model(corrections, given.model)):
                raise Refused(404, "not_found", "nothing was learned")
            return _all(corrections)

        return await _run(live, work)


def _model(corrections: Corrections, model: str) -> str:
    models = corrections.models
    if model and model not in models:
        raise Refused(404, "not_found", "no camera is watched by this model")
    if not model and len(models) != 1:
        raise Refused(422, "not_understood", f"model: name one of {', '.join(models) or 'none'}")
    return model or models[0]


def _all(corrections: Corrections) -> dict[str, Any]:
    """The answer of every route here."""
    examples = {model: corrections.learnable(model) for model in corrections.models}
    learnable = {one.correction.id for each in examples.values() for one in each}
    return {
        "version": _VERSION,
        "kept": corrections.store.folder is not None,
        "corrections": [_json(one, one.id in learnable) for one in reversed(corrections.store.active)],
        "thresholds": [
            {"camera": one.camera, "model": one.model, "label": one.label, "own": one.own, "now": one.now}
            for one in corrections.thresholds
        ],
        "models": [_of_model(corrections, model, len(each)) for model, each in examples.items()],
    }


def _of_model(corrections: Corrections, model: str, learnable: int) -> dict[str, Any]:
    change = corrections.change(model)
    learned = () if change is None else change.learned_from
    usable = {one.correction.id for one in corrections.learnable(model)}
    return {
        "model": model,
        "labels": corrections.actions(model),
        "learnable": learnable,
        "needed": LEAST,
        "new": len(usable - set(learned)),
        "learned": None if change is None else change.outcome,
        "former": max(0, corrections.store.depth(model) - 1),
    }


def _json(one: Correction, learnable: bool) -> dict[str, Any]:
    return {
        "id": one.id,
        "made": iso(one.made),
        "verdict": str(Verdict(one.verdict)),
        "camera": one.camera,
        "model": one.model,
        "label": one.label,
        "truth": one.truth,
        "event": one.event,
        "started": iso(one.started),
        "ended": iso(one.ended),
        "learnable": learnable,
    }


def _seconds(when: datetime) -> float:
    try:
        return when.timestamp()
    except (ValueError, OverflowError) as error:
        raise Refused(422, "not_understood", "this time is too far away") from error


async def _run(live: LiveState, work: Callable[[], Any]) -> Any:
    """Run ``work`` in a thread; its errors become answers."""
    try:
        return await asyncio.to_thread(work)
    except StreamrecError as error:
        raise Refused(422, "not_possible", redact(str(error), live.secrets)) from error
