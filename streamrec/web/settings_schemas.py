"""The JSON of the routes that change cameras.toml."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from streamrec.core.model_names import MOST_MODELS
from streamrec.errors import need
from streamrec.events.arming import DAYS
from streamrec.settings.arming_table import MOST_PATTERNS, MOST_SCHEDULES
from streamrec.settings.places import MOST_CORNERS, MOST_LINES, MOST_ZONES
from streamrec.web.cameras_editor import Change

need("fastapi", extra="web")

from pydantic import BaseModel, ConfigDict, Field, Strict  # noqa: E402

_LONG = 2_000  # characters
MOST_FIRED = 200  # events that a trial of a rule lists
# The range of a number is checked by the reader of cameras.toml, so that both accept the same.
_NUMBER = Annotated[float, Strict()]
_PART = Annotated[float, Field(ge=0, le=1)]
_NAME = Annotated[str, Field(max_length=200)]
_TIME = _NUMBER | _NAME  # seconds, or a text like "30 s"


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
    also: PatternJson | _NAME | list[_NAME] | None = None
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
    also: dict[str, Any] | str | list[str] | None = None
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
    listens: str = Field(
        default="", description="the model of sound that listens beside its pictures; empty: nothing listens"
    )
    zones: list[ZoneJson] = []
    only: list[str] | None = None
    lines: list[LineJson] = []
    thresholds: dict[str, float]
    model_thresholds: dict[str, float]
    models: list[str] = Field(default=[], description="only where several watch it: as the camera names them")
    by_model: list[ModelThresholdsJson] = Field(default=[], description="only where several watch it")


class ProfileSettingsJson(BaseModel):
    """A profile of the file."""

    name: str
    armed: bool | list[PatternJson] = Field(description="everything, nothing, or which events")
    text: str = Field(description="what is armed in it, in words")


class ScheduleJson(BaseModel):
    """When a profile is in force, by the clock of the time zone."""

    model_config = ConfigDict(populate_by_name=True)
    profile: _NAME
    days: list[_NAME] = Field(
        default=list(DAYS), max_length=7, description="on which it begins: mon, tue ..."
    )
    since: str = Field(default="", max_length=20, alias="from", description="22:30; empty: the whole day")
    until: str = Field(default="", max_length=20, description="of the next day, where it is not later")


class ArmingSettingsJson(BaseModel):
    """Profiles of the file and their schedule."""

    timezone: str = Field(description="empty: this machine's")
    usual: str = Field(description="the profile where the schedule names none")
    built_in: list[str] = Field(description="profiles that every file has")
    profiles: list[ProfileSettingsJson]
    schedules: list[ScheduleJson] = Field(description="where several apply, the first counts")


class SettingsJson(BaseModel):
    """The cameras of the file."""

    revision: str
    file: str
    models: list[str]
    cameras: list[CameraSettingsJson]
    rules: list[RuleJson] = []
    arming: ArmingSettingsJson


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


class ProfileChange(BaseModel):
    """A profile, with the keys of ``[[arming.profile]]`` in cameras.toml."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=100)
    armed: Annotated[bool, Strict()] | Annotated[list[PatternJson], Field(max_length=MOST_PATTERNS)] = Field(
        description="everything, nothing, or which events"
    )


class PutProfile(BaseModel):
    """A change of a profile, or a new one."""

    model_config = ConfigDict(extra="forbid")
    revision: str = Field(max_length=64, description="of the file, as it was read")
    profile: str | None = Field(
        default=None, max_length=200, description="its current name; null: a new profile"
    )
    change: ProfileChange


class RemoveProfile(BaseModel):
    """A profile to remove."""

    model_config = ConfigDict(extra="forbid")
    revision: str = Field(max_length=64)
    profile: str = Field(max_length=200)


class ScheduleChange(BaseModel):
    """The whole schedule."""

    model_config = ConfigDict(extra="forbid")
    timezone: str = Field(default="", max_length=100, description="empty: this machine's")
    usual: str = Field(max_length=200, description="the profile where the schedule names none")
    schedules: list[ScheduleJson] = Field(
        max_length=MOST_SCHEDULES, description="where several apply, the first counts"
    )


class PutSchedule(BaseModel):
    """A change of the schedule."""

    model_config = ConfigDict(extra="forbid")
    revision: str = Field(max_length=64, description="of the file, as it was read")
    change: ScheduleChange
