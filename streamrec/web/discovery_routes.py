"""Routes that find cameras of the network and their streams, for an admin who adds one.

A device is asked only by the id that its last search gave it, at the address that it answered from: no address of a
request is ever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from streamrec.core.redact import redact
from streamrec.errors import StreamrecError, need
from streamrec.sources.discovery.local import Interface, interfaces, videos, webcams
from streamrec.web.access_control import Refused
from streamrec.web.live import LiveState
from streamrec.web.roles import Role, needs

need("fastapi", extra="web")

from fastapi import APIRouter, Body  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

if TYPE_CHECKING:
    from streamrec.sources.discovery.ws_discovery import Found

_VERSION = 1


class InterfaceJson(BaseModel):
    """A network of the machine that watches."""

    name: str
    address: str = Field(description="its own, IPv4")


class WebcamJson(BaseModel):
    """A webcam of the machine that watches; its number is its address."""

    number: int
    device: str
    name: str


class PlacesJson(BaseModel):
    """Where cameras may be searched for."""

    version: int
    interfaces: list[InterfaceJson]
    webcams: list[WebcamJson]
    may_add: bool = Field(
        description="whether the page may add webcams and videos of this machine: --web-local"
    )
    videos: list[str] = Field(description="paths of those that may be added")


class SearchNetwork(BaseModel):
    """A network to search."""

    interface: str = Field(max_length=64, description="the address of one of the interfaces")


class FoundJson(BaseModel):
    """A device that answered. Its texts come from itself."""

    device: str = Field(description="its id in this search")
    host: str
    name: str
    hardware: str


class SearchJson(BaseModel):
    """The devices that answered, by address."""

    version: int
    devices: list[FoundJson]


class AskDevice(BaseModel):
    """A device to ask for its streams."""

    device: str = Field(max_length=64, description="its id in the last search")
    user: str = Field(default="", max_length=200)
    password: str = Field(default="", max_length=1_000, repr=False)


class StreamJson(BaseModel):
    """A stream of a device."""

    name: str
    codec: str
    width: int | None
    height: int | None
    fps: float | None
    address: str = Field(description="without a log-in; empty: it may not be used")
    reason: str = Field(description="why it may not be used")


class DeviceJson(BaseModel):
    """A device and its streams."""

    version: int
    host: str
    maker: str
    model: str
    firmware: str
    clock_off: float = Field(description="seconds by which its clock is ahead")
    streams: list[StreamJson]


def discovery_routes(
    live: LiveState,
    folder: Path | None = None,
    networks: Callable[[], list[Interface]] = interfaces,
    group: tuple[str, int] | None = None,
) -> APIRouter:
    """Searching a network, and asking one of the devices found.

    ``folder``: whose videos the page may add. ``group``: another multicast group, for tests.
    """
    router = APIRouter(tags=["manage"])
    searching, asking = asyncio.Lock(), asyncio.Lock()
    devices: dict[str, Found] = {}  # of the last search
    ids = count(1)  # none is used again: a password is for the device that its admin saw

    async def run(lock: asyncio.Lock, work: Callable[[], Any], *secrets: str) -> Any:
        if lock.locked():
            raise Refused(429, "too_often", "another search goes on: wait a moment")
        async with lock:
            try:
                return await asyncio.to_thread(work)
            except StreamrecError as error:
                raise Refused(422, "not_possible", redact(str(error), (*live.secrets, *secrets))) from error

    @router.get("/api/v1/discovery", response_model=PlacesJson)
    @needs(Role.admin)
    async def places() -> Any:
        """The networks that may be searched, and the webcams and videos of this machine."""

        def work() -> dict[str, Any]:
            return {
                "version": _VERSION,
                "interfaces": [asdict(one) for one in networks()],
                "webcams": [asdict(one) for one in webcams()],
                "may_add": folder is not None,
                "videos": [] if folder is None else videos(folder),
            }

        return await asyncio.to_thread(work)

    @router.post("/api/v1/discovery/search", response_model=SearchJson)
    @needs(Role.admin, audit="cameras searched", fields=("interface",))
    async def search(given: Annotated[SearchNetwork, Body()]) -> Any:
        """Search one of this machine's networks for cameras; it takes a few seconds."""

        def work() -> list[Found]:
            from streamrec.sources.discovery import ws_discovery

            if given.interface not in [one.address for one in networks()]:
                raise Refused(422, "not_possible", "this machine has no network of this address")
            return ws_discovery.search(given.interface, group=group or ws_discovery.GROUP)

        found = await run(searching, work)
        devices.clear()
        devices.update({str(next(ids)): one for one in found})
        shown = [
            {"device": id, "host": one.host, "name": one.name, "hardware": one.hardware}
            for id, one in devices.items()
        ]
        return {"version": _VERSION, "devices": shown}

    @router.post("/api/v1/discovery/streams", response_model=DeviceJson)
    @needs(Role.admin, audit="camera asked for its streams", fields=("device",))
    async def streams(given: Annotated[AskDevice, Body()]) -> Any:
        """Ask a device of the last search for its streams. The password itself is not sent to it, but a digest."""
        found = devices.get(given.device)
        if found is None:
            raise Refused(404, "not_found", "the last search found no such device: search again")

        def work() -> dict[str, Any]:
            from streamrec.sources.discovery.onvif import streams_of

            return asdict(streams_of(found, given.user, given.password))

        return {"version": _VERSION, **await run(asking, work, given.password)}

    return router
