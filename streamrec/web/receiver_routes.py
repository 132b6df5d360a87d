"""Routes of the receivers of notifications: how much waits for each, and a test of one."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Protocol

from streamrec.errors import need
from streamrec.web.access_control import Refused
from streamrec.web.roles import Role, needs

need("fastapi", extra="web")

from fastapi import APIRouter, Body  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

from streamrec.web.schemas import NOT_FOUND, Errors  # noqa: E402

_VERSION = 1
_AGAIN_SECONDS = 3.0  # between two tests: each notifies people on their phones
_REFUSED: dict[int | str, dict[str, Any]] = {**NOT_FOUND, 429: {"model": Errors}}


class ReceiverDesk(Protocol):
    """What the routes call; from any thread."""

    def names(self) -> list[str]:
        """Of all receivers."""

    def waiting(self, name: str) -> tuple[int, int]:
        """How many messages wait for a receiver, and how many are held back."""

    def test(self, name: str) -> tuple[bool, str]:
        """Test one, and wait for its answer: whether it arrived, and the answer as a clause without secrets."""


class ReceiverJson(BaseModel):
    """A receiver of notifications."""

    name: str = Field(description="webhook, mqtt, ntfy ... and its own name or host; no secret")
    waiting: int = Field(description="messages that have not arrived yet; at most 1,000 are counted")
    held: int = Field(description="messages that are held back, for the next one to sum up")


class ReceiversJson(BaseModel):
    """All receivers."""

    version: int
    receivers: list[ReceiverJson]


class ReceiverName(BaseModel):
    """A receiver to test."""

    name: str = Field(max_length=1_000)


class TrialJson(BaseModel):
    """What came of a test."""

    name: str
    arrived: bool
    answer: str = Field(description="in words, without secrets")


def receiver_routes(desk: ReceiverDesk) -> APIRouter:
    """Listing receivers, and testing one of them. The page can change none: they stand in cameras.toml."""
    router = APIRouter(tags=["notifications"])
    testing = asyncio.Lock()
    tested = [float("-inf")]  # time.monotonic() of the last test's end

    @router.get("/api/v1/receivers", response_model=ReceiversJson)
    @needs(Role.admin)
    async def receivers() -> dict[str, Any]:
        """The receivers of notifications."""

        def listed() -> list[dict[str, Any]]:
            counts = {name: desk.waiting(name) for name in desk.names()}
            return [{"name": name, "waiting": one, "held": held} for name, (one, held) in counts.items()]

        return {"version": _VERSION, "receivers": await asyncio.to_thread(listed)}

    @router.post("/api/v1/receivers/test", response_model=TrialJson, responses=_REFUSED)
    @needs(Role.admin, audit="receiver tested", fields=("name",))
    async def test(given: Annotated[ReceiverName, Body()]) -> dict[str, Any]:
        """Send a test notification, and wait for the receiver's answer."""
        if given.name not in desk.names():
            raise Refused(404, "not_found", "there is no such receiver")
        if testing.locked() or time.monotonic() - tested[0] < _AGAIN_SECONDS:
            raise Refused(429, "too_often", "wait some seconds between two tests", [(b"retry-after", b"3")])
        async with testing:
            arrived, answer = await asyncio.to_thread(desk.test, given.name)
            tested[0] = time.monotonic()
        return {"name": given.name, "arrived": arrived, "answer": answer}

    return router
