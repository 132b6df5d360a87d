"""Routes of a lesson: examples of own labels, marked on the page while the camera runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Protocol

from streamrec.core.redact import redact
from streamrec.errors import StreamrecError, need
from streamrec.web.access_control import Refused
from streamrec.web.live import LiveState
from streamrec.web.roles import Role, needs

need("fastapi", extra="web")

from fastapi import APIRouter, Body, Query  # noqa: E402
from fastapi.responses import Response  # noqa: E402
from pydantic import BaseModel, Field, Strict  # noqa: E402

_LABEL = Annotated[str, Field(max_length=200)]
_SECONDS = Annotated[float, Strict(), Field(gt=0, le=3600)]
_ID = Annotated[int, Strict(), Field(ge=0, le=2**31)]


class TeachDesk(Protocol):
    """What the routes call; each may raise ``StreamrecError`` with a sentence for the person."""

    def state(self) -> dict[str, Any]:
        """The lesson as ``LessonJson`` has it."""

    def picture(self, id: int, number: int) -> bytes | None:
        """A JPEG of an example; None: there is none."""

    def name(self, label: str) -> None:
        """Name a label."""

    def example(self, label: str, seconds: float) -> None:
        """The last seconds were the label, or nothing."""

    def begin(self, label: str) -> None:
        """Count down: the label, or nothing."""

    def stop(self) -> None:
        """End what is counted down."""

    def remove(self, id: int) -> None:
        """Remove an example."""

    def relabel(self, id: int, label: str) -> None:
        """Give an example another label."""

    def undo(self) -> None:
        """Take back the last change."""

    def fit(self) -> None:
        """Learn now."""


class TaughtLabel(BaseModel):
    """A label that is taught."""

    label: str
    examples: int


class TaughtExample(BaseModel):
    """An example."""

    id: int
    label: str
    seconds: float
    pictures: int = Field(description="how many images of it there are; 0 unless they were asked for")


class CueJson(BaseModel):
    """What the person is asked to do now."""

    kind: str = Field(description="ready: it begins in a moment; go: do it; nothing: do nothing of it")
    label: str
    left: float = Field(description="seconds")
    lasts: float = Field(description="seconds in all")


class ReportJson(BaseModel):
    """What was learned."""

    right: int = Field(description="examples that a head which learned from the others recognized")
    judged: int
    seconds: float = Field(description="that learning took")
    advice: list[str]
    false_events: int = Field(0, description="false alarms in the time of nothing, left out")
    nothing_seconds: float = Field(0.0, description="seconds of nothing")
    false_per_hour: float | None = Field(description="false alarms an hour of nothing; null: none was shown")
    false_interval: list[float] | None = Field(description="of that rate, 95 %")


class LessonJson(BaseModel):
    """The lesson."""

    camera: str
    out: str = Field(description="the model file that is written at the end")
    version: int = Field(description="grows with each change")
    seconds: float = Field(description="of an example")
    countdown: float
    nothing_seconds: float = Field(description="of nothing that are asked for")
    enough: int = Field(description="examples of a label from which on it is learned")
    labels: list[TaughtLabel]
    nothing: float = Field(description="seconds of nothing that are known")
    wants_nothing: bool
    examples: list[TaughtExample] = Field(description="the newest first, times of nothing too")
    cue: CueJson | None
    fitting: bool
    message: str = Field(description="the last sentence for the person")
    undoes: str | None = Field(description="what undo would take back")
    report: ReportJson | None


class NameLabel(BaseModel):
    """A label."""

    label: _LABEL


class AddExample(BaseModel):
    """The last seconds were this label."""

    label: _LABEL
    seconds: _SECONDS


class NameExample(BaseModel):
    """An example."""

    id: _ID


class RelabelExample(BaseModel):
    """An example's new label."""

    id: _ID
    label: _LABEL


def teach_routes(live: LiveState, desk: TeachDesk) -> APIRouter:
    """Everything that the page does in a lesson."""
    router = APIRouter(tags=["teach"])
    _add_reading(router, desk)

    async def run(work: Callable[[], object]) -> Any:
        """Do it in a thread, and answer with the lesson as it is then."""
        try:
            await asyncio.to_thread(work)
            return await asyncio.to_thread(desk.state)
        except StreamrecError as error:
            raise Refused(422, "not_possible", redact(str(error), live.secrets)) from error

    @router.post("/api/v1/teach/label", response_model=LessonJson)
    @needs(Role.admin, audit="label taught", fields=("label",))
    async def name(given: Annotated[NameLabel, Body()]) -> Any:
        """Name a label, new or not."""
        return await run(lambda: desk.name(given.label))

    @router.post("/api/v1/teach/example", response_model=LessonJson)
    @needs(Role.admin, audit="example taught", fields=("label",))
    async def example(given: Annotated[AddExample, Body()]) -> Any:
        """The last seconds were this label; `nothing` is the label of a time in which nothing of it happened."""
        return await run(lambda: desk.example(given.label, given.seconds))

    @router.post("/api/v1/teach/countdown", response_model=LessonJson)
    @needs(Role.admin, audit="countdown begun", fields=("label",))
    async def begin(given: Annotated[NameLabel, Body()]) -> Any:
        """Count down, then take an example of the label; of `nothing` the time that is asked for."""
        return await run(lambda: desk.begin(given.label))

    @router.delete("/api/v1/teach/countdown", response_model=LessonJson)
    @needs(Role.admin, audit="countdown ended")
    async def stop() -> Any:
        """End what is counted down; of a time of nothing what has passed is used."""
        return await run(desk.stop)

    @router.delete("/api/v1/teach/example", response_model=LessonJson)
    @needs(Role.admin, audit="example removed", fields=("id",))
    async def remove(given: Annotated[NameExample, Body()]) -> Any:
        """Remove an example."""
        return await run(lambda: desk.remove(given.id))

    @router.put("/api/v1/teach/example", response_model=LessonJson)
    @needs(Role.admin, audit="example relabelled", fields=("id", "label"))
    async def relabel(given: Annotated[RelabelExample, Body()]) -> Any:
        """Give an example another label."""
        return await run(lambda: desk.relabel(given.id, given.label))

    @router.post("/api/v1/teach/undo", response_model=LessonJson)
    @needs(Role.admin, audit="teaching undone")
    async def undo() -> Any:
        """Take back the last change."""
        return await run(desk.undo)

    @router.post("/api/v1/teach/fit", response_model=LessonJson)
    @needs(Role.admin, audit="examples learned")
    async def fit() -> Any:
        """Learn from the examples now; it is done when `fitting` is false."""
        return await run(desk.fit)

    return router


def _add_reading(router: APIRouter, desk: TeachDesk) -> None:
    """Routes that change nothing."""

    @router.get("/api/v1/teach", response_model=LessonJson)
    @needs(Role.admin)
    async def lesson() -> Any:
        """The lesson: labels, examples, what is asked for now, and what was learned."""
        return await asyncio.to_thread(desk.state)

    @router.get(
        "/api/v1/teach/picture", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}}
    )
    @needs(Role.admin)
    async def picture(
        id: Annotated[int, Query(ge=0, le=2**31)], number: Annotated[int, Query(ge=0, le=100)] = 0
    ) -> Response:
        """An image of an example, where images were asked for."""
        data = await asyncio.to_thread(desk.picture, id, number)
        if data is None:
            raise Refused(404, "not_found", "there is no picture of this example")
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})
