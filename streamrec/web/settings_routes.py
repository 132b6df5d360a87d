"""Routes that add, change, test and remove cameras of cameras.toml, and preview thresholds on the last hour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from streamrec.core.model_names import MOST_MODELS
from streamrec.core.redact import redact, secrets_of
from streamrec.errors import StreamrecError, need
from streamrec.outputs.history.records import iso
from streamrec.outputs.history.rule_replay import fired
from streamrec.settings.places import MOST_CORNERS, MOST_LINES, MOST_ZONES
from streamrec.settings.rules_table import sentence
from streamrec.web import jpeg
from streamrec.web.access_control import Refused
from streamrec.web.cameras_editor import CamerasEditor, Change, ChangedMeanwhile
from streamrec.web.live import LiveState
from streamrec.web.roles import Role, needs
from streamrec.web.threshold_preview import preview
from streamrec.web.trial_picture import snapshot

need("fastapi", extra="web")

from fastapi import APIRouter, Body, Query, Request  # noqa: E402
from fastapi.responses import Response  # noqa: E402
from pydantic import BaseModel, Field, Strict  # noqa: E402

_LONG = 2_000  # characters
MOST_FIRED = 200  # events that a trial of a rule lists
# The range of a number is checked by the reader of cameras.toml, so that both accept the same.
_NUMBER = Annotated[float, Strict()]
_PART = Annotated[float, Field(ge=0, le=1)]
_NAME = Annotated[str, Field(max_length=200)]
_TIME = _NUMBER | _NAME  # seconds, or a text like "30 s"
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}


class ZoneJson(BaseModel):
    """A polygon of the image."""

    name: str = Field(max_length=200)
    corners: list[tuple[_PART, _PART]] = Field(
        max_length=MOST_CORNERS, description="x and y from the top left, from 0 to 1"
    )
    exclude: bool = Field(default=False, description="what is in it is not watched")
    mask: bool = Field(default=True, description="false: it names a place, and nothing is left out")
    report: list[_NAME] = Field(
        default=[], max_length=2, description="what in it is an event: people, motion"
    )


class LineJson(BaseModel):
    """A line that people cross."""

    name: str = Field(max_length=200)
    ends: list[tuple[_PART, _PART]] = Field(max_length=2, description="x and y of both ends, from 0 to 1")
    forward: str = Field(
        default="in",
        max_length=200,
        description="its word from the left hand to the right; empty: not reported",
    )
    back: str = Field(default="out", max_length=200)


class CameraChange(BaseModel):
    """The new settings of a camera."""

    name: str = Field(max_length=100)
    address: str = Field(max_length=_LONG, description="as it was shown: unchanged")
    login: str = Field(default="keep", pattern="^(keep|new|none)$", description="keep, new or none")
    user: str = Field(default="", max_length=200)
    password: str = Field(default="", max_length=1_000, repr=False)
    model: str = Field(default="", max_length=_LONG, description="empty: the default")
    models: list[Annotated[str, Field(max_length=_LONG)]] | None = Field(
        default=None,
        max_length=MOST_MODELS,
        description="several that watch together; an empty text or list: the default; null: as model says",
    )
    fps: _NUMBER | None = None
    enabled: bool = True
    count: bool | None = Field(
        default=None, description="count any motion that repeats, of each person too; null: unchanged"
    )
    per_person: str | None = Field(
        default=None,
        pattern="^(default|yes|no)$",
        description="judge each person: yes, no, or default, as is best with the models; null: unchanged",
    )
    privacy: str | None = Field(
        default=None,
        max_length=20,
        description="what is kept of its frames; empty: as of the other cameras; null: unchanged",
    )
    region: tuple[_PART, _PART, _PART, _PART] | None = Field(
        default=None, description="left, top, width, height of the watched region, from 0 to 1"
    )
    zones: list[ZoneJson] | None = Field(
        default=None, max_length=MOST_ZONES, description="null: unchanged; an empty list: none"
    )
    only: list[_NAME] | None = Field(
        default=None, max_length=MOST_ZONES, description="with zones: those that are watched; null: all"
    )
    lines: list[LineJson] | None = Field(
        default=None, max_length=MOST_LINES, description="null: unchanged; an empty list: none"
    )
    thresholds: dict[str, _NUMBER] = Field(
        default={}, max_length=10, description="those that differ from the model's own; of one model alone"
    )
    by_model: dict[str, Annotated[dict[str, _NUMBER], Field(max_length=10)]] | None = Field(
        default=None,
        max_length=MOST_MODELS,
        description="of each of several models those that differ from the camera's; null: unchanged",
    )

    def as_change(self) -> Change:
        """The change, for the editor."""
        return Change(**self.model_dump())


class PutCamera(BaseModel):
    """A change of a camera, or a new one."""

    revision: str = Field(max_length=64, description="of the file, as it was read")
    camera: str | None = Field(
        default=None, max_length=200, description="its current name; null: a new camera"
    )
    change: CameraChange


class RemoveCamera(BaseModel):
    """A camera to remove."""

    revision: str = Field(max_length=64)
    camera: str = Field(max_length=200)


class TryCamera(BaseModel):
    """An address to test."""

    camera: str | None = Field(default=None, max_length=200)
    change: CameraChange


class TryThresholds(BaseModel):
    """Thresholds to preview on a camera's scores of the last hour."""

    camera: str = Field(max_length=200)
    thresholds: dict[str, _NUMBER] = Field(default={}, max_length=10)
    model: str = Field(default="", max_length=_LONG, description="of several the one that is meant")


class ModelThresholdsJson(BaseModel):
    """The thresholds of one of several models."""

    model: str
    thresholds: dict[str, float]
    model_thresholds: dict[str, float] = Field(description="what they would be without its own")


class PatternJson(BaseModel):
    """Which events are meant; an empty list: any."""

    label: list[_NAME] = Field(default=[], max_length=100)
    camera: list[_NAME] = Field(default=[], max_length=100)
    zone: list[_NAME] = Field(default=[], max_length=100)
    model: list[_NAME] = Field(default=[], max_length=100)


class RuleChange(BaseModel):
    """A rule, with the keys of ``[[rule]]`` in cameras.toml."""

    name: str = Field(max_length=100)
    when: PatternJson | _NAME | list[_NAME]
    lasts: _TIME | None = None
    absent: _TIME | None = None
    since: _NAME | None = None
    by: _NAME | None = None
    then: PatternJson | _NAME | list[_NAME] | None = None
    count: Annotated[int, Strict()] | None = None
    within: _TIME | None = None
    timezone: str = Field(default="", max_length=100)
    enabled: bool = True

    def as_table(self) -> dict[str, Any]:
        """The rule, for the editor."""
        return {key: value for key, value in self.model_dump().items() if value is not None}


class RuleJson(BaseModel):
    """A rule of the file."""

    name: str
    when: dict[str, Any] | str | list[str]
    lasts: str | None = None
    absent: str | None = None
    since: str | None = None
    by: str | None = None
    then: dict[str, Any] | str | list[str] | None = None
    count: int | None = None
    within: str | None = None
    timezone: str = ""
    enabled: bool
    text: str = Field(description="in words")


class PutRule(BaseModel):
    """A change of a rule, or a new one."""

    revision: str = Field(max_length=64, description="of the file, as it was read")
    rule: str | None = Field(default=None, max_length=200, description="its current name; null: a new rule")
    change: RuleChange


class RemoveRule(BaseModel):
    """A rule to remove."""

    revision: str = Field(max_length=64)
    rule: str = Field(max_length=200)


class TryRule(BaseModel):
    """A rule to try on the history."""

    change: RuleChange
    hours: Annotated[float, Field(gt=0, le=168)] = 1.0


class FiredJson(BaseModel):
    """An event that a rule would have had."""

    camera: str
    zone: str | None
    started: datetime
    ended: datetime | None = Field(description="null: it would run now")
    based_on: list[str] = Field(description="the ids of the events that it is based on")


class CameraSettingsJson(BaseModel):
    """A camera in the file; its password is never returned."""

    name: str
    address: str = Field(description="without user, password and tokens")
    login: bool = Field(description="whether it has user and password")
    model: str
    watched_by: str
    fps: float | None
    enabled: bool
    count: bool = Field(description="whether any motion that repeats is counted")
    per_person: str = Field(description="whether each person is judged: yes, no, or default: as is best")
    privacy: str = Field(description="what is kept of its frames; empty: as of the other cameras")
    region: list[float] | None
    zones: list[ZoneJson] = []
    only: list[str] | None = None
    lines: list[LineJson] = []
    thresholds: dict[str, float]
    model_thresholds: dict[str, float]
    models: list[str] = Field(default=[], description="only where several watch it: as the camera names them")
    by_model: list[ModelThresholdsJson] = Field(default=[], description="only where several watch it")


class SettingsJson(BaseModel):
    """The cameras of the file."""

    revision: str
    file: str
    models: list[str]
    cameras: list[CameraSettingsJson]
    rules: list[RuleJson] = []


class Tried(BaseModel):
    """The events that a rule would have had, the newest first."""

    text: str = Field(description="the rule in words")
    since: datetime
    until: datetime
    watched: dict[str, float] = Field(description="for how many seconds of this time each camera was watched")
    count: int
    events: list[FiredJson] = Field(description=f"the newest {MOST_FIRED} of them")


class Previewed(BaseModel):
    """The events that the thresholds would have produced; times are seconds before the newest score."""

    seconds: float
    events: list[dict[str, Any]]
    curves: list[dict[str, Any]]


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
            before = editor.read()
            editor.put(given.revision, given.camera, given.change.as_change())
            request.scope["about"] = changed_keys(before["cameras"], editor.read()["cameras"], *names)

        return await _edit(live, editor, work, given.change)

    @router.delete("/api/v1/settings/camera", response_model=SettingsJson, response_model_exclude_unset=True)
    @needs(Role.admin, audit="camera removed", fields=("camera",))
    async def remove(given: Annotated[RemoveCamera, Body()]) -> Any:
        """Remove a camera from the file."""
        return await _edit(live, editor, lambda: editor.remove(given.revision, given.camera))


def _add_rule_routes(router: APIRouter, live: LiveState, editor: CamerasEditor) -> None:
    """Writing rules, and trying them on the history."""
    trying = asyncio.Lock()

    @router.put("/api/v1/settings/rule", response_model=SettingsJson, response_model_exclude_unset=True)
    @needs(Role.admin, audit="rule changed", fields=("rule", "change.name"))
    async def put_rule(request: Request, given: Annotated[PutRule, Body()]) -> Any:
        """Change a rule, or add one; it counts a moment later."""
        names = given.rule or given.change.name, given.change.name

        def work() -> None:
            before = editor.read()
            editor.put_rule(given.revision, given.rule, given.change.as_table())
            request.scope["about"] = changed_keys(before["rules"], editor.read()["rules"], *names)

        return await _edit(live, editor, work)

    @router.delete("/api/v1/settings/rule", response_model=SettingsJson, response_model_exclude_unset=True)
    @needs(Role.admin, audit="rule removed", fields=("rule",))
    async def remove_rule(given: Annotated[RemoveRule, Body()]) -> Any:
        """Remove a rule from the file."""
        return await _edit(live, editor, lambda: editor.remove_rule(given.revision, given.rule))

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


async def _edit(
    live: LiveState, editor: CamerasEditor, edit: Callable[[], None], change: CameraChange | None = None
) -> Any:
    """Write a change into cameras.toml, let it be read again, and return the settings as they are then."""

    def work() -> Any:
        edit()
        live.reload.set()
        return editor.read()

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
