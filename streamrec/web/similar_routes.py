"""Routes over the past: events that are like one, and a zip of some with their evidence."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from streamrec.errors import HistoryError, need
from streamrec.outputs.history.archive import MOST_EVENTS, Archive
from streamrec.web.access_control import Refused
from streamrec.web.live import LiveState, json_bytes
from streamrec.web.readers import Reader, Readers
from streamrec.web.roles import Cameras, Identity, Role, identity_of, needs
from streamrec.web.websocket_hub import VERSION

need("fastapi", extra="web")

from fastapi import APIRouter, Query, Request  # noqa: E402
from fastapi.responses import Response, StreamingResponse  # noqa: E402

from streamrec.web.schemas import NOT_FOUND, AskedEvent, Errors, EventInPath, ExportSize, SimilarEventsJson  # noqa: E402

_EXPORTS_AT_ONCE = 2  # each reads the disk as quickly as its client takes it
_ASKED = Annotated[list[AskedEvent], Query(min_length=1, max_length=MOST_EVENTS, description="its id")]


def similar_routes(live: LiveState) -> APIRouter:
    """More like this, and the export."""
    router = APIRouter(tags=["events"])
    exports = Readers(_EXPORTS_AT_ONCE, "other exports are being read: try again")

    @router.get("/api/v1/events/{id}/similar", response_model=SimilarEventsJson, responses=NOT_FOUND)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def similar(
        request: Request,
        id: EventInPath,
        since: datetime | None = None,
        until: datetime | None = None,
        camera: Annotated[list[str] | None, Query(max_length=100)] = None,
        label: Annotated[list[str] | None, Query(max_length=100)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 24,
    ) -> Response:
        """The events that are most like one, by the features of the model that reported it."""
        who = identity_of(request.scope)
        conditions = {"since": seconds("since", since), "until": seconds("until", until)}

        def work() -> dict[str, Any]:
            entry = live.entry_for(who, id)
            if entry is None:
                raise Refused(404, "not_found", "there is no such event")
            found = live.similar_for(who, entry, camera=camera, label=label, limit=limit, **conditions)
            return {
                "version": VERSION,
                "event": live.event(entry),
                "similar": [
                    {"similarity": round(score, 4), "event": live.event(one)} for one, score in found.found
                ],
                "compared": found.compared,
                "others": found.others,
                "reason": found.reason,
            }

        body = await asyncio.to_thread(work)
        return Response(json_bytes(body), media_type="application/json")

    def archive_of(who: Identity, event: list[str]) -> tuple[Archive, int]:
        """The zip of these events, and how many there are; raises ``Refused``."""
        wanted = list(dict.fromkeys(event))
        entries = live.events_for(who, ids=wanted, limit=MOST_EVENTS)
        if not entries:
            raise Refused(404, "not_found", "there are no such events")
        known = {entry.id for entry in entries}
        archive = Archive(entries, [id for id in wanted if id not in known])
        try:
            archive.check()
        except HistoryError as error:
            raise Refused(413, "too_large", str(error)) from error
        return archive, len(entries)

    @router.get(
        "/api/v1/export/size",
        response_model=ExportSize,
        responses={**NOT_FOUND, 413: {"model": Errors}},
    )
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def size(request: Request, event: _ASKED) -> Response:
        """What an export of these events would hold."""
        archive, number = await asyncio.to_thread(archive_of, identity_of(request.scope), event)
        body = {"version": VERSION, "events": number, "bytes": archive.size, "missing": len(archive.missing)}
        return Response(json_bytes(body), media_type="application/json")

    @router.get(
        "/api/v1/export",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"application/zip": {}}},
            **NOT_FOUND,
            413: {"model": Errors},
            503: {"model": Errors},
        },
    )
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def export(request: Request, event: _ASKED) -> Response:
        """Events with their evidence as a zip that is made while it is sent; its `list.txt` has what is missing."""
        archive, _ = await asyncio.to_thread(archive_of, identity_of(request.scope), event)
        return _Zip(archive, exports.enter())

    return router


class _Zip(StreamingResponse):
    """The answer; its place among the exports is free again when it ends, or when its client leaves or is too slow."""

    def __init__(self, archive: Archive, reader: Reader) -> None:
        self._reader = reader
        name = datetime.now(UTC).strftime("events-%Y-%m-%d-%H%M%S.zip")
        super().__init__(
            iter(archive),
            media_type="application/zip",
            headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._reader.answer(lambda paced: super(_Zip, self).__call__(scope, receive, paced), send)


def seconds(name: str, when: datetime | None) -> float | None:
    """Seconds since 1970; a time without a zone is in this machine's zone."""
    try:
        return None if when is None else when.timestamp()
    except (ValueError, OverflowError) as error:  # the years 1 and 9999, where the zone leads out of them
        raise Refused(422, "not_understood", f"{name}: this time is too far away") from error
