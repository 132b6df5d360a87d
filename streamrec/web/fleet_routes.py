"""Routes of a fleet: its machines and groups, and moves of what runs on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from streamrec.errors import StreamrecError, need
from streamrec.outputs.fleet.records import FleetService, FleetStatus
from streamrec.web.access_control import Refused
from streamrec.web.live import LiveState, json_bytes
from streamrec.web.roles import Cameras, Role, needs
from streamrec.web.websocket_hub import VERSION

need("fastapi", extra="web")

from fastapi import APIRouter, Body  # noqa: E402
from fastapi.responses import Response  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402


class MachineJson(BaseModel):
    """A machine of the fleet."""

    name: str
    id: str
    address: str
    version: str = Field(description="of streamrec")
    is_head: bool
    state: str = Field(
        description="alive, draining (its groups leave), silent (none of its groups has saved for a while) or dead"
    )
    since: datetime | None = Field(description="when this state began")
    cores: float = Field(description="that it offers to groups")
    taken: float = Field(description="of them, by the costs of its groups")
    load: float = Field(description="cores that its groups used lately")
    memory: int = Field(description="bytes of its groups' processes")
    groups: list[str]
    cameras: int
    shed: float = Field(
        description="of the due frames of the last minute, the share that was dropped for want of time"
    )


class GroupJson(BaseModel):
    """A group of cameras, wherever it runs."""

    name: str
    machine: str = Field(description="empty: it waits for one with room")
    state: str = Field(description="running, waiting (for a machine), moving or silent")
    since: datetime | None = Field(description="when it began there")
    epoch: int = Field(description="grows with each process that takes it over")
    cameras: list[str]
    cost: float = Field(description="cores, as measured before it was placed")
    load: float = Field(description="cores that it used lately")
    memory: int
    saved: float | None = Field(description="seconds since its last save; null: there was none")
    waiting: int = Field(description="batches in its outbox")
    shed: float


class PlacedSoundJson(BaseModel):
    """The sound of a camera that listens."""

    model: str = Field(description="the model of sound")
    state: str
    reason: str
    since: datetime | None
    dropped: int = Field(description="hops dropped because the machine was too slow")


class PlacedCameraJson(BaseModel):
    """A camera as its machine has it."""

    name: str
    state: str
    reason: str
    since: datetime | None
    fps: float
    read: int
    recognized: int
    dropped: dict[str, int] = Field(description="by cause")
    refused: int
    reconnects: int
    sound: PlacedSoundJson | None = Field(default=None, description="only where the camera listens")
    group: str
    machine: str


class FleetJson(BaseModel):
    """A whole fleet; the same as `streamrec fleet status --json`."""

    name: str
    version: str = Field(description="of streamrec on the head")
    machines: list[MachineJson]
    groups: list[GroupJson]
    cameras: list[PlacedCameraJson]
    refused: int = Field(
        description="batches of processes whose group had been taken over: nothing of them counts"
    )
    replayed: int = Field(description="events that came again, and were known")


class FleetNow(BaseModel):
    """The fleet, now."""

    version: int
    fleet: FleetJson


class Drain(BaseModel):
    """A machine to drain."""

    machine: str = Field(max_length=200)


class Done(BaseModel):
    """What was begun, in words."""

    version: int
    message: str


def fleet_json(live: LiveState, status: FleetStatus) -> dict[str, Any]:
    """A fleet as the API returns it; it holds no password."""
    shown = status.to_dict()
    for camera in shown["cameras"]:
        camera["reason"] = live.hide(camera["reason"])
    return shown


def fleet_routes(live: LiveState, fleet: FleetService) -> APIRouter:
    """The fleet, and what moves its groups."""
    router = APIRouter(tags=["fleet"])

    @router.get("/api/v1/fleet", response_model=FleetNow)
    @needs(Role.viewer, cameras=Cameras.all)
    async def now() -> Response:
        """Machines, groups, and on which machine each camera runs."""
        status = await asyncio.to_thread(fleet.status)
        return Response(
            json_bytes({"version": VERSION, "fleet": fleet_json(live, status)}), media_type="application/json"
        )

    _add_moves(router, live, fleet)
    return router


def _add_moves(router: APIRouter, live: LiveState, fleet: FleetService) -> None:
    moving = asyncio.Lock()

    async def move(work: Callable[[], str]) -> dict[str, Any]:
        if moving.locked():
            raise Refused(429, "too_often", "another move begins just now: wait a moment")
        async with moving:
            try:
                message = await asyncio.to_thread(work)
            except StreamrecError as error:
                raise Refused(422, "not_possible", live.hide(str(error))) from error
        return {"version": VERSION, "message": live.hide(message)}

    @router.post("/api/v1/fleet/drain", response_model=Done)
    @needs(Role.admin, audit="machine drained", fields=("machine",))
    async def drain(given: Annotated[Drain, Body()]) -> Any:
        """Begin to move what runs on a machine elsewhere; it gets nothing new."""
        return await move(lambda: fleet.drain(given.machine))

    @router.post("/api/v1/fleet/rebalance", response_model=Done)
    @needs(Role.admin, audit="fleet rebalanced")
    async def rebalance() -> Any:
        """Begin to spread the groups evenly over the machines."""
        return await move(fleet.rebalance)
