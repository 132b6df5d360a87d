"""Routes of arming: what is armed, why and until when, and the choice of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from streamrec.errors import StreamrecError, need
from streamrec.outputs.arming import MOST_MINUTES, ArmingService
from streamrec.web.access_control import Refused
from streamrec.web.arming_view import arming_for
from streamrec.web.live import LiveState, json_bytes
from streamrec.web.roles import Cameras, Role, identity_of, needs
from streamrec.web.websocket_hub import VERSION

need("fastapi", extra="web")

from fastapi import APIRouter, Body, Request  # noqa: E402
from fastapi.responses import Response  # noqa: E402
from pydantic import BaseModel, ConfigDict, Field, Strict  # noqa: E402

_NAME = Annotated[str, Field(max_length=8_000)]
_MINUTES = Annotated[float, Strict(), Field(ge=0, le=MOST_MINUTES, allow_inf_nan=False)]
_MOST_AT_ONCE = 8  # choices that may wait for the disk


class ScheduledJson(BaseModel):
    """What the schedule does next."""

    profile: str
    at: datetime


class ProfileJson(BaseModel):
    """A profile."""

    name: str
    armed: list[str] | None = Field(
        description="what is armed in it, in words; empty: nothing; null: for users who see all cameras alone"
    )


class SnoozeJson(BaseModel):
    """A snooze."""

    camera: str
    label: str | None = Field(description="null: all of the camera")
    until: datetime | None = Field(description="null: until it is ended")


class ArmedLabelJson(BaseModel):
    """A label of a camera."""

    label: str
    armed: bool
    reason: str | None = Field(description="why it is not armed")


class ArmedCameraJson(BaseModel):
    """A camera."""

    name: str
    armed: str = Field(description="all of its labels, some or none")
    snoozed: bool = Field(description="the whole camera")
    snoozed_until: datetime | None = Field(description="null: it is not, or until that is ended")
    labels: list[ArmedLabelJson]


class ArmingJson(BaseModel):
    """What is armed; the same as `streamrec arming --json`."""

    profile: str = Field(description="the one in force")
    cause: str = Field(description="hand, schedule or usual")
    chosen_by: str | None = Field(description="where it was chosen by hand; null: it was not")
    until: datetime | None = Field(description="when another is in force, as far as it is known")
    scheduled: ScheduledJson | None = Field(description="the schedule's next change; null: it has none")
    timezone: str = Field(description="of the schedule; empty: this machine's")
    profiles: list[ProfileJson]
    snoozes: list[SnoozeJson]
    cameras: list[ArmedCameraJson]


class ArmingNow(BaseModel):
    """What is armed, now."""

    version: int
    arming: ArmingJson


class ChooseProfile(BaseModel):
    """A profile to be in force."""

    model_config = ConfigDict(extra="forbid")
    profile: _NAME | None = Field(description="null: as the schedule says")
    minutes: _MINUTES | Literal["schedule"] | None = Field(
        default=None,
        description="for how long; schedule: until it changes next; null: until another is chosen",
    )


class SnoozeCamera(BaseModel):
    """A camera, or one label of it, to be not armed for a while."""

    model_config = ConfigDict(extra="forbid")
    camera: _NAME
    label: _NAME | None = Field(default=None, description="null: all of the camera")
    minutes: _MINUTES | None = Field(description="0 ends it; null: until that")


def arming_routes(live: LiveState, arming: ArmingService) -> APIRouter:
    """What is armed, and the choice of it."""
    router = APIRouter(tags=["arming"])
    waiting = [0]

    def answer(request: Request) -> Response:
        shown = arming_for(identity_of(request.scope), arming.status())
        body = {"version": VERSION, "arming": shown}
        return Response(json_bytes(body), media_type="application/json")

    async def choose(request: Request, work: Callable[[], object]) -> Response:
        """Do it in a thread, because it waits for the disk, and answer with what is armed then."""
        if waiting[0] >= _MOST_AT_ONCE:
            raise Refused(429, "too_often", "others choose just now: try again", [(b"retry-after", b"1")])
        waiting[0] += 1
        try:
            await asyncio.to_thread(work)
            return await asyncio.to_thread(answer, request)
        except StreamrecError as error:
            raise Refused(422, "not_possible", live.hide(str(error))) from error
        finally:
            waiting[0] -= 1

    @router.get("/api/v1/arming", response_model=ArmingNow)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def now(request: Request) -> Any:
        """Which profile is in force, until when, and what of each camera is armed."""
        return await asyncio.to_thread(answer, request)

    @router.put("/api/v1/arming", response_model=ArmingNow)
    @needs(Role.admin, audit="profile chosen", fields=("profile", "minutes"))
    async def profile(request: Request, given: Annotated[ChooseProfile, Body()]) -> Any:
        """A profile is in force from now on; null: the schedule's."""
        return await choose(request, lambda: arming.choose(given.profile, given.minutes, by="page"))

    @router.put("/api/v1/arming/snooze", response_model=ArmingNow)
    @needs(Role.admin, audit="camera snoozed", fields=("camera", "label", "minutes"))
    async def snooze(request: Request, given: Annotated[SnoozeCamera, Body()]) -> Any:
        """A camera, or one label of it, is not armed for so many minutes."""
        return await choose(request, lambda: arming.snooze(given.camera, given.label or "", given.minutes))

    return router
