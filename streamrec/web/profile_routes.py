"""Routes that change the profiles of arming and their schedule in cameras.toml."""

from __future__ import annotations

from typing import Annotated, Any

from streamrec.errors import need
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

    @router.put(
        "/api/v1/settings/arming/profile", response_model=SettingsJson, response_model_exclude_unset=True
    )
    @needs(Role.admin, audit="profile changed", fields=("profile", "change.name"))
    async def put(request: Request, given: Annotated[PutProfile, Body()]) -> Any:
        """Change a profile, or add one; it counts a moment later."""
        names = given.profile or given.change.name, given.change.name
        wanted = given.change.model_dump()

        def work() -> None:
            editor.change(
                given.revision, lambda document, arming: put_profile(document, given.profile, wanted)
            )

        def note(before: dict[str, Any], after: dict[str, Any]) -> None:
            profiles = _without_text(before["arming"]), _without_text(after["arming"])
            request.scope["about"] = changed_keys(*profiles, *names)

        return await save(live, editor, work, note=note)

    @router.delete(
        "/api/v1/settings/arming/profile", response_model=SettingsJson, response_model_exclude_unset=True
    )
    @needs(Role.admin, audit="profile removed", fields=("profile",))
    async def remove(given: Annotated[RemoveProfile, Body()]) -> Any:
        """Remove a profile that the schedule does not name."""

        def work() -> None:
            editor.change(given.revision, lambda document, arming: remove_profile(document, given.profile))

        return await save(live, editor, work)

    @router.put(
        "/api/v1/settings/arming/schedule", response_model=SettingsJson, response_model_exclude_unset=True
    )
    @needs(Role.admin, audit="schedule changed", fields=("change.usual",))
    async def schedule(request: Request, given: Annotated[PutSchedule, Body()]) -> Any:
        """Write the whole schedule, its time zone and the usual profile; it counts a moment later."""
        wanted = given.change.model_dump(by_alias=True)

        def work() -> None:
            editor.change(given.revision, lambda document, arming: put_schedule(document, arming, wanted))

        def note(before: dict[str, Any], after: dict[str, Any]) -> None:
            was, now = before["arming"], after["arming"]
            keys = [key for key in ("timezone", "usual", "schedules") if was[key] != now[key]]
            request.scope["about"] = {"settings": ", ".join(keys)} if keys else {}

        return await save(live, editor, work, note=note)

    return router


def _without_text(arming: dict[str, Any]) -> list[dict[str, Any]]:
    """The profiles without what only says the rest in words."""
    return [{key: value for key, value in one.items() if key != "text"} for one in arming["profiles"]]
