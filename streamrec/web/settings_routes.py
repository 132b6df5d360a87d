"""Routes that add, change, test and remove cameras of cameras.toml, and preview thresholds on the last hour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any

from streamrec.core.redact import redact, secrets_of
from streamrec.errors import StreamrecError, need
from streamrec.outputs.history.records import iso
from streamrec.outputs.history.rule_replay import fired
from streamrec.settings.rules_table import sentence
from streamrec.web import jpeg
from streamrec.web.access_control import Refused
from streamrec.web.cameras_editor import CamerasEditor, ChangedMeanwhile
from streamrec.web.live import LiveState
from streamrec.web.roles import Role, needs
from streamrec.web.threshold_preview import preview
from streamrec.web.trial_picture import snapshot

need("fastapi", extra="web")

from fastapi import APIRouter, Body, Query, Request  # noqa: E402
from fastapi.responses import Response  # noqa: E402

from streamrec.web.settings_schemas import (  # noqa: E402
    MOST_FIRED,
    CameraChange,
    Previewed,
    PutCamera,
    PutRule,
    RemoveCamera,
    RemoveRule,
    SettingsJson,
    Tried,
    TryCamera,
    TryRule,
    TryThresholds,
)

_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}


def settings_routes(live: LiveState, editor: CamerasEditor) -> APIRouter:
    """Everything that changes or tests the settings of cameras."""
    router = APIRouter(tags=["manage"])
    _add_file_routes(router, live, editor)
    _add_rule_routes(router, live, editor)
    _add_trial_routes(router, live, editor)
    return router


def _add_file_routes(router: APIRouter, live: LiveState, editor: CamerasEditor) -> None:
    """Reading and writing cameras.toml."""

    @router.get("/api/v1/settings", response_model=SettingsJson, response_model_exclude_unset=True)
    @needs(Role.admin)
    async def settings() -> Any:
        """The cameras of the file, disabled ones included."""
        return await _run(live, editor.read)

    @router.put("/api/v1/settings/camera", response_model=SettingsJson, response_model_exclude_unset=True)
    @needs(Role.admin, audit="camera changed", fields=("camera", "change.name"))
    async def put(request: Request, given: Annotated[PutCamera, Body()]) -> Any:
        """Change a camera, or add one; it is watched a moment later."""
        names = given.camera or given.change.name, given.change.name

        def work() -> None:
            editor.put(given.revision, given.camera, given.change.as_change())

        def note(before: dict[str, Any], after: dict[str, Any]) -> None:
            request.scope["about"] = changed_keys(before["cameras"], after["cameras"], *names)

        return await save(live, editor, work, given.change, note=note)

    @router.delete("/api/v1/settings/camera", response_model=SettingsJson, response_model_exclude_unset=True)
    @needs(Role.admin, audit="camera removed", fields=("camera",))
    async def remove(given: Annotated[RemoveCamera, Body()]) -> Any:
        """Remove a camera from the file."""
        return await save(live, editor, lambda: editor.remove(given.revision, given.camera))


def _add_rule_routes(router: APIRouter, live: LiveState, editor: CamerasEditor) -> None:
    """Writing rules, and trying them on the history."""
    trying = asyncio.Lock()

    @router.put("/api/v1/settings/rule", response_model=SettingsJson, response_model_exclude_unset=True)
    @needs(Role.admin, audit="rule changed", fields=("rule", "change.name"))
    async def put_rule(request: Request, given: Annotated[PutRule, Body()]) -> Any:
        """Change a rule, or add one; it counts a moment later."""
        names = given.rule or given.change.name, given.change.name

        def work() -> None:
            editor.put_rule(given.revision, given.rule, given.change.as_table())

        def note(before: dict[str, Any], after: dict[str, Any]) -> None:
            request.scope["about"] = changed_keys(before["rules"], after["rules"], *names)

        return await save(live, editor, work, note=note)

    @router.delete("/api/v1/settings/rule", response_model=SettingsJson, response_model_exclude_unset=True)
    @needs(Role.admin, audit="rule removed", fields=("rule",))
    async def remove_rule(given: Annotated[RemoveRule, Body()]) -> Any:
        """Remove a rule from the file."""
        return await save(live, editor, lambda: editor.remove_rule(given.revision, given.rule))

    @router.post("/api/v1/settings/rule/try", response_model=Tried)
    @needs(Role.admin)
    async def try_rule(given: Annotated[TryRule, Body()]) -> Any:
        """The events that this rule would have had in the last hours; nothing is saved."""
        if trying.locked():
            raise Refused(429, "too_often", "another rule is being tried: wait a moment")
        async with trying:
            return await _run(live, lambda: tried(live, editor, given.change.as_table(), given.hours))


def changed_keys(
    before: list[dict[str, Any]], after: list[dict[str, Any]], old: str, new: str
) -> dict[str, str]:
    """For the audit log: which settings of a camera or rule differ, by their names alone.

    >>> changed_keys([{"name": "a", "fps": 5, "count": True}], [{"name": "a", "fps": 8, "count": True}], "a", "a")
    {'settings': 'fps'}
    """
    was: dict[str, Any] = next((one for one in before if one["name"] == old), {})
    now: dict[str, Any] = next((one for one in after if one["name"] == new), {})
    keys = [key for key in dict.fromkeys([*was, *now]) if was.get(key) != now.get(key)]
    if not was:
        return {"settings": "new"}
    return {"settings": ", ".join(keys)} if keys else {}


def tried(live: LiveState, editor: CamerasEditor, rule: dict[str, Any], hours: float) -> dict[str, Any]:
    """What a rule would have reported of the history, as JSON."""
    made, cameras = editor.rule_to_try(rule)
    until = time.time()
    since = until - 3_600 * hours
    found = fired(live.history, made, cameras, since, until)
    watched = dict.fromkeys(made.when.cameras or cameras, 0.0)
    for one in live.history.watched(since=since, until=until):
        if one.camera in watched:
            watched[one.camera] += one.ended - one.began
    events = [
        {
            "camera": one.camera,
            "zone": one.zone or None,
            "started": iso(one.started),
            "ended": None if one.ended is None else iso(one.ended),
            "based_on": list(one.based_on),
        }
        for one in found[:MOST_FIRED]
    ]
    return {
        "text": sentence(made),
        "since": iso(since),
        "until": iso(until),
        "watched": {camera: round(seconds, 1) for camera, seconds in watched.items()},
        "count": len(found),
        "events": events,
    }


def _add_trial_routes(router: APIRouter, live: LiveState, editor: CamerasEditor) -> None:
    """Testing an address, a region and thresholds before they are saved."""
    trying, previewing = asyncio.Lock(), asyncio.Lock()

    @router.post("/api/v1/settings/try", response_class=Response, responses=_JPEG)
    @needs(Role.admin, audit="address tested", fields=("camera", "change.name"))
    async def try_address(given: Annotated[TryCamera, Body()]) -> Response:
        """Open an address and return one frame, or the reason why there is none."""
        if trying.locked():
            raise Refused(429, "too_often", "another address is being tried: wait a moment")

        def work() -> bytes:
            address = editor.address_to_try(given.camera, given.change.as_change())
            return jpeg.encode(snapshot(address), 960, 80)

        async with trying:
            return Response(await _run(live, work, given.change), media_type="image/jpeg")

    @router.get("/api/v1/settings/whole", response_class=Response, responses=_JPEG)
    @needs(Role.admin)
    async def whole(camera: Annotated[str, Query(max_length=200)]) -> Response:
        """The newest frame of a camera, not cropped to its region."""
        image = live.whole(camera)
        if image is None:
            raise Refused(404, "not_found", "there is no picture of this camera")
        return Response(await _run(live, lambda: jpeg.encode(image, 960, 80)), media_type="image/jpeg")

    @router.post("/api/v1/settings/preview", response_model=Previewed)
    @needs(Role.admin)
    async def try_thresholds(given: Annotated[TryThresholds, Body()]) -> Any:
        """The events that these thresholds would have produced in the last hour."""
        found = live.scores(given.camera, given.model)
        if found is None:
            raise Refused(404, "not_found", "nothing is known of this camera yet")
        if previewing.locked():
            raise Refused(429, "too_often", "other thresholds are being tried: wait a moment")

        def work() -> Any:
            return preview(*found, editor.tried(given.camera, given.thresholds, given.model))

        async with previewing:
            return await _run(live, work)


async def save(
    live: LiveState,
    editor: CamerasEditor,
    edit: Callable[[], None],
    change: CameraChange | None = None,
    *,
    note: Callable[[dict[str, Any], dict[str, Any]], None] | None = None,
) -> Any:
    """Write a change into cameras.toml, let it be read again, and return the settings as they are then.

    ``note``: called with the settings before and after, for the audit log.
    """

    def work() -> Any:
        before = None if note is None else editor.read()
        edit()
        live.reload.set()
        after = editor.read()
        if note is not None and before is not None:
            note(before, after)
        return after

    return await _run(live, work, change)


async def _run(live: LiveState, work: Callable[[], Any], change: CameraChange | None = None) -> Any:
    """Run ``work`` in a thread; its errors become answers, without the secrets of ``live`` and ``change``."""

    def message(error: Exception) -> str:
        given = () if change is None else (change.password, *secrets_of(change.address))
        return redact(str(error), (*live.secrets, *given))

    try:
        return await asyncio.to_thread(work)
    except ChangedMeanwhile as error:
        raise Refused(409, "changed_meanwhile", message(error)) from error
    except StreamrecError as error:
        raise Refused(422, "not_possible", message(error)) from error
