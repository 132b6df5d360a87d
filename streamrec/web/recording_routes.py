"""Routes from an event to the continuous recording of its moment, and of what was before and after it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

from streamrec.errors import need
from streamrec.outputs.recording.files import Found, Segment, around
from streamrec.web.access_control import Refused
from streamrec.web.live import LiveState, json_bytes
from streamrec.web.readers import Readers
from streamrec.web.roles import Cameras, Identity, Role, identity_of, needs
from streamrec.web.websocket_hub import VERSION

need("fastapi", extra="web")

from fastapi import APIRouter, Request  # noqa: E402
from fastapi.responses import FileResponse, Response  # noqa: E402

from streamrec.web.open_file import open_file  # noqa: E402
from streamrec.web.schemas import NOT_FOUND, EventInPath, RecordingsJson  # noqa: E402


def recording_routes(files: Readers, live: LiveState, folder: Path) -> APIRouter:
    """The recordings around an event. The request names an event alone: the files follow from its camera and time."""
    router = APIRouter(tags=["events"])

    def found_for(who: Identity, id: str) -> Found:
        entry = live.entry_for(who, id)
        if entry is None:
            raise Refused(404, "not_found", "there is no such event")
        return around(folder, entry.camera, entry.started)

    @router.get("/api/v1/events/{id}/recordings", response_model=RecordingsJson, responses=NOT_FOUND)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def recordings(request: Request, id: EventInPath) -> Response:
        """The recording of an event's beginning, the one before and the one after it."""
        found = await asyncio.to_thread(found_for, identity_of(request.scope), id)
        shown = {part: _shown(id, part, segment) for part, segment in _parts(found).items()}
        at = None if found.segment is None else round(found.at, 3)
        body = {"version": VERSION, "at": at, **shown}
        return Response(json_bytes(body), media_type="application/json")

    @router.get("/api/v1/events/{id}/recordings/{part}", response_class=FileResponse, responses=NOT_FOUND)
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def recording(
        request: Request, id: EventInPath, part: Literal["before", "during", "after"]
    ) -> FileResponse:
        """One of them as a video; supports Range requests."""
        found = await asyncio.to_thread(found_for, identity_of(request.scope), id)
        segment, missing = _parts(found)[part], "nothing was recorded then"
        if segment is None:
            raise Refused(404, "not_found", missing)
        # It may still grow, and "after" may be another one tomorrow.
        return await open_file(files, segment.path, "video/mp4", missing, cache="private, no-cache")

    return router


def _parts(found: Found) -> dict[str, Segment | None]:
    return {"before": found.before, "during": found.segment, "after": found.after}


def _shown(id: str, part: str, segment: Segment | None) -> dict[str, Any] | None:
    if segment is None:
        return None
    url = f"/api/v1/events/{id}/recordings/{part}"
    return {"url": url, "started": segment.started, "bytes": segment.size}
