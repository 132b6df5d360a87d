"""Cameras added, changed, tried and removed from the page, and thresholds tried on the last hour of scores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any

import numpy as np

from streamrec.core.redact import redact, secrets_of
from streamrec.errors import SourceError, StreamrecError, need
from streamrec.sources.open import open_source
from streamrec.web import jpeg
from streamrec.web.cameras_editor import Change, ChangedMeanwhile, Editor
from streamrec.web.live import LiveState
from streamrec.web.middleware import Refused
from streamrec.web.threshold_preview import preview

need("fastapi", extra="web")

from fastapi import Body, FastAPI, Query  # noqa: E402
from fastapi.responses import Response  # noqa: E402
from pydantic import BaseModel, Field, Strict  # noqa: E402

_TRY_SECONDS = 10.0
_LONG = 2_000  # letters
# What a number may be is judged by the reader of cameras.toml, so that here and there the same is allowed.
_NUMBER = Annotated[float, Strict()]
_PART = Annotated[float, Field(ge=0, le=1)]


class CameraChange(BaseModel):
    """A camera as it is to be."""

    name: str = Field(max_length=100)
    address: str = Field(max_length=_LONG, description="as it was shown: it stays as it is")
    login: str = Field(default="keep", pattern="^(keep|new|none)$", description="keep, new or none")
    user: str = Field(default="", max_length=200)
    password: str = Field(default="", max_length=1_000, repr=False)
    model: str = Field(default="", max_length=_LONG, description="empty: as the defaults say")
    fps: _NUMBER | None = None
    enabled: bool = True
    region: tuple[_PART, _PART, _PART, _PART] | None = Field(
        default=None, description="left, top, width, height of the part that is watched"
    )
    thresholds: dict[str, _NUMBER] = Field(
        default={}, max_length=10, description="those that differ from the model's own"
    )

    def as_change(self) -> Change:
        """The same, for the editor."""
        return Change(**self.model_dump())


class PutCamera(BaseModel):
    """A change of a camera."""

    revision: str = Field(max_length=64, description="of the file, as it was read")
    camera: str | None = Field(
        default=None, max_length=200, description="its name until now; null: a new one"
    )
    change: CameraChange


class RemoveCamera(BaseModel):
    """A camera that goes."""

    revision: str = Field(max_length=64)
    camera: str = Field(max_length=200)


class TryCamera(BaseModel):
    """An address to try."""

    camera: str | None = Field(default=None, max_length=200)
    change: CameraChange


class TryThresholds(BaseModel):
    """Thresholds to try on the last hour of scores of a camera."""

    camera: str = Field(max_length=200)
    thresholds: dict[str, _NUMBER] = Field(default={}, max_length=10)


class CameraSettingsJson(BaseModel):
    """A camera in the file; its password is never told."""

    name: str
    address: str = Field(description="without user, password and tokens")
    login: bool = Field(description="whether it has user and password")
    model: str
    watched_by: str
    fps: float | None
    enabled: bool
    region: list[float] | None
    thresholds: dict[str, float]
    model_thresholds: dict[str, float]


class SettingsJson(BaseModel):
    """The file of cameras."""

    revision: str
    file: str
    models: list[str]
    cameras: list[CameraSettingsJson]


class Previewed(BaseModel):
    """What the thresholds would have told; times are seconds before the newest score."""

    seconds: float
    events: list[dict[str, Any]]
    curves: list[dict[str, Any]]


def add_routes(app: FastAPI, live: LiveState, editor: Editor) -> None:
    """All that changes the file of cameras."""
    trying, previewing = asyncio.Lock(), asyncio.Lock()

    async def run(work: Callable[[], Any], change: CameraChange | None = None) -> Any:
        """In a thread, with its errors as answers; the secrets of a change are in none."""

        def said(error: Exception) -> str:
            given = () if change is None else (change.password, *secrets_of(change.address))
            return redact(str(error), (*live.secrets, *given))

        try:
            return await asyncio.to_thread(work)
        except ChangedMeanwhile as error:
            raise Refused(409, "changed_meanwhile", said(error)) from error
        except StreamrecError as error:
            raise Refused(422, "not_possible", said(error)) from error

    @app.get("/api/v1/settings", tags=["manage"], response_model=SettingsJson)
    async def settings() -> Any:
        """The cameras of the file, also those that are switched off."""
        return await run(editor.read)

    @app.put("/api/v1/settings/camera", tags=["manage"], response_model=SettingsJson)
    async def put(said: Annotated[PutCamera, Body()]) -> Any:
        """Change a camera, or add one; it is watched a moment later."""

        def work() -> Any:
            editor.put(said.revision, said.camera, said.change.as_change())
            live.reload.set()
            return editor.read()

        return await run(work, said.change)

    @app.delete("/api/v1/settings/camera", tags=["manage"], response_model=SettingsJson)
    async def remove(said: Annotated[RemoveCamera, Body()]) -> Any:
        """Take a camera out of the file."""

        def work() -> Any:
            editor.remove(said.revision, said.camera)
            live.reload.set()
            return editor.read()

        return await run(work)

    @app.post(
        "/api/v1/settings/try",
        tags=["manage"],
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    async def try_address(said: Annotated[TryCamera, Body()]) -> Response:
        """Open an address and give one picture, or say why there is none."""
        if trying.locked():
            raise Refused(429, "too_often", "another address is being tried: wait a moment")

        def work() -> bytes:
            address = editor.address_to_try(said.camera, said.change.as_change())
            return jpeg.encode(snapshot(address), 960, 80)

        async with trying:
            return Response(await run(work, said.change), media_type="image/jpeg")

    @app.get(
        "/api/v1/settings/whole",
        tags=["manage"],
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    async def whole(camera: Annotated[str, Query(max_length=200)]) -> Response:
        """The newest picture of a camera, with what lies outside its region too."""
        image = live.whole(camera)
        if image is None:
            raise Refused(404, "not_found", "there is no picture of this camera")
        return Response(await run(lambda: jpeg.encode(image, 960, 80)), media_type="image/jpeg")

    @app.post("/api/v1/settings/preview", tags=["manage"], response_model=Previewed)
    async def try_thresholds(said: Annotated[TryThresholds, Body()]) -> Any:
        """What these thresholds would have told in the last hour."""
        found = live.scores(said.camera)
        if found is None:
            raise Refused(404, "not_found", "nothing is known of this camera yet")
        if previewing.locked():
            raise Refused(429, "too_often", "other thresholds are being tried: wait a moment")

        def work() -> Any:
            return preview(*found, editor.tried(said.camera, said.thresholds))

        async with previewing:
            return await run(work)


def snapshot(address: str, seconds: float = _TRY_SECONDS) -> np.ndarray:
    """One picture (H, W, 3) of an address; raises ``StreamrecError`` in words, in time."""
    source = open_source(address, retries=0)
    alarm = threading.Timer(seconds, source.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        with closing(iter(source)) as frames:  # type: ignore[type-var]
            for frame in frames:
                return frame.image
    finally:
        alarm.cancel()
    raise SourceError(f"it gave no picture within {seconds:g} s")
