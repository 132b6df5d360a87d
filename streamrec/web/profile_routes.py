"""Routes that change the profiles of arming and their schedule in cameras.toml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from streamrec.errors import need
from streamrec.events.arming import ArmingRules
from streamrec.web.arming_tables import put_profile, put_schedule, remove_profile
from streamrec.web.cameras_editor import CamerasEditor
from streamrec.web.live import LiveState
from streamrec.web.roles import Role, needs
from streamrec.web.settings_routes import changed_keys, save

need("fastapi", extra="web")

from fastapi import APIRouter, Body, Request  # noqa: E402

from streamrec.web.settings_schemas import PutProfile, PutSchedule, RemoveProfile, SettingsJson  # noqa: E402


def profile_routes(live: LiveState, editor: CamerasEditor) -> APIRouter:
    """Everything that changes what is armed by profile and schedule; who chooses a profile is in ``arming_routes``."""
    router = APIRouter(tags=["arming"])

    async def change(
        request: Request,
        revision: str,
        edit: Callable[[Any, ArmingRules | None], None],
        keys_of: Callable[[dict[str, Any], dict[str, Any]], dict[str, str]] = lambda before, after: {},
    ) -> Any:
        """Edit the file, and note for the audit log which settings differ."""

        def work() -> None:
            before = editor.read()["arming"]
            editor.change(revision, edit)
            request.scope["about"] = keys_of(before, editor.read()["arming"])

        return await save(live, editor, work)

    @router.put(
        "/api/v1/settings/arming/profile", response_model=SettingsJson, response_model_exclude_unset=True
    )
    @needs(Role.admin, audit="profile changed", fields=("profile", "change.name"))
    async def put(request: Request, given: Annotated[PutProfile, Body()]) -> Any:
        """Change a profile, or add one; it counts a moment later."""
        names = given.profile or given.change.name, given.change.name
        wanted = given.change.model_dump()
        return await change(
            request,
            given.revision,
            lambda document, arming: put_profile(document, given.profile, wanted),
            lambda before, after: changed_keys(_without_text(before), _without_text(after), *names),
        )

    @router.delete(
        "/api/v1/settings/arming/profile", response_model=SettingsJson, response_model_exclude_unset=True
    )
    @needs(Role.admin, audit="profile removed", fields=("profile",))
    async def remove(request: Request, given: Annotated[RemoveProfile, Body()]) -> Any:
        """Remove a profile that the schedule does not name."""
        return await change(
            request, given.revision, lambda document, arming: remove_profile(document, given.profile)
        )

    @router.put(
        "/api/v1/settings/arming/schedule", response_model=SettingsJson, response_model_exclude_unset=True
    )
    @needs(Role.admin, audit="schedule changed", fields=("change.usual",))
    async def schedule(request: Request, given: Annotated[PutSchedule, Body()]) -> Any:
        """Write the whole schedule, its time zone and the usual profile; it counts a moment later."""
        wanted = given.change.model_dump(by_alias=True)

        def keys_of(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
            keys = [key for key in ("timezone", "usual", "schedules") if before[key] != after[key]]
            return {"settings": ", ".join(keys)} if keys else {}

        return await change(
            request, given.revision, lambda document, arming: put_schedule(document, arming, wanted), keys_of
        )

    return router


def _without_text(arming: dict[str, Any]) -> list[dict[str, Any]]:
    """The profiles without what only says the rest in words."""
    return [{key: value for key, value in one.items() if key != "text"} for one in arming["profiles"]]
