"""The JSON of the page's API as pydantic models: the source of its OpenAPI description."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from streamrec.errors import need

need("fastapi", extra="web")

from fastapi import Path  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

AskedEvent = Annotated[str, Field(max_length=64, pattern=r"^[\w-]+$", description="an event's id")]
EventInPath = Annotated[str, Path(max_length=64, pattern=r"^[\w-]+$")]


class Error(BaseModel):
    """An error: a code for programs, a message for people."""

    code: str
    message: str


class Errors(BaseModel):
    """The body of every error response."""

    error: Error


NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Errors}}  # the ``responses`` of a route


class Running(BaseModel):
    """A running action."""

    label: str
    started: datetime
    model: str | None = Field(default=None, description="which saw it; only where several watch the camera")
    person: int | None = Field(default=None, description="who does it; null: it is of the whole picture")


class ModelNow(BaseModel):
    """The newest prediction of one of several models."""

    model: str
    labels: list[str]
    label: str | None
    confidence: float | None
    top: list[tuple[str, float | None]]
    unknown: bool
    repetitions: int | None


class ZoneNow(BaseModel):
    """A zone of a camera; its corners may lie outside of what is shown."""

    name: str
    corners: list[tuple[float, float]]
    exclude: bool
    mask: bool


class LineNow(BaseModel):
    """A line of a camera."""

    name: str
    ends: list[tuple[float, float]]
    forward: str
    back: str


class PersonNow(BaseModel):
    """What is counted of a person, now."""

    person: int
    repetitions: int | None = Field(
        description="of the set that they are at; null: no model counts each person"
    )
    count: int | None = Field(description="the same of any motion; null: not counted")
    period: float | None = Field(description="seconds between two of any motion; null: nothing repeats now")


class SoundNow(BaseModel):
    """The sound beside the pictures of a camera that listens."""

    model: str = Field(description="the model of sound; its predictions are among ``models``")
    state: str = Field(description="as of a camera")
    reason: str = Field(description="why it is not live; never holds a password")
    dropped: int = Field(description="hops of sound dropped because the machine was too slow")


class CameraNow(BaseModel):
    """The state of a camera, now."""

    name: str
    state: str = Field(description="connecting, live, stalled, reconnecting, ended or failed")
    reason: str = Field(description="why it is not live; never holds a password")
    seconds: float | None = Field(description="since this state began")
    frames: int = Field(description="processed frames, since the camera was added")
    fps: float = Field(description="results per second, over the last five seconds")
    latency: float | None = Field(description="median seconds from capture to prediction, over five seconds")
    dropped: int = Field(description="frames dropped because the machine was too slow")
    refused: int = Field(description="torn, frozen or late frames")
    reconnects: int
    running: list[Running]
    labels: list[str] = Field(description="the labels of its model, in the model's order")
    label: str | None
    confidence: float | None
    top: list[tuple[str, float | None]] = Field(
        description="the five most likely labels and their probabilities"
    )
    unknown: bool = Field(description="whether the frame is out of distribution: unlike the training data")
    repetitions: int | None
    count: int | None = Field(
        default=None, description="repetitions of any motion in the current set; null: not counted"
    )
    period: float | None = Field(default=None, description="seconds between two of them")
    people: list[PersonNow] = Field(
        default=[], description="who is in the frame and is counted for themselves, by number"
    )
    width: int | None
    height: int | None
    zones: list[ZoneNow] = Field(default=[], description="in parts of the image that is shown")
    lines: list[LineNow] = []
    models: list[ModelNow] = Field(
        default=[], description="only where several models watch it; the fields above are the first's"
    )
    sound: SoundNow | None = Field(default=None, description="only where the camera listens")
    machine: str = Field(default="", description="only in a fleet: where it runs; empty: on none yet")
    machine_since: datetime | None = Field(default=None, description="only in a fleet: when it began there")


class CamerasNow(BaseModel):
    """All cameras."""

    version: int
    alive: bool = Field(description="whether the recognition loop runs")
    cameras: list[CameraNow]


class EventCorrectionJson(BaseModel):
    """A person's verdict on an event."""

    id: str = Field(description="of the correction")
    verdict: str = Field(description="right, wrong or other")
    truth: str = Field(description="what it was, where that is other")
    made: datetime


class ForecastJson(BaseModel):
    """A reading against its forecast."""

    channel: int = Field(description="its number in the row, from 0")
    reading: float
    expected: float = Field(description="what was forecast")


class EventJson(BaseModel):
    """One event, running or over."""

    id: str
    camera: str
    model: str | None = None
    label: str
    started: datetime
    ended: datetime | None = Field(description="null: still running")
    duration: float | None = Field(description="seconds")
    confidence: float
    repetitions: int | None
    interrupted: bool = False
    clip: str | None = Field(description="URL of the video, where there is one")
    thumbnail: str | None
    correction: EventCorrectionJson | None = Field(default=None, description="null: it was not corrected")
    person: int | None = Field(default=None, description="who did it; null: it is of the whole picture")
    box: list[float] | None = Field(
        default=None, description="of the person: ymin, xmin, ymax, xmax, in parts"
    )
    keypoints: list[list[float]] | None = Field(
        default=None, description="of the person: y, x, score; 17 of COCO"
    )
    zone: str | None = Field(default=None, description="the zone in which it began")
    rule: str | None = Field(default=None, description="the rule that reports it; null: none does")
    based_on: list[str] = Field(
        default=[], description="of a rule's: the ids of the events that it is based on"
    )
    forecast: ForecastJson | None = Field(default=None, description="of an anomaly; null: of no forecast")
    decision: str = Field(
        default="deliver", description="whether receivers are notified of it: deliver, keep or hold"
    )
    decided_by: str | None = Field(default=None, description="what decided so, such as arming")
    reason: str | None = Field(default=None, description="why it is kept or held, in words")
    held_until: datetime | None = Field(default=None, description="of an event that is held")
    judgment: str | None = Field(
        default=None, description="of a second opinion: yes, no, unsure or unjudged; null: there is none"
    )
    opinion: str | None = Field(
        default=None, description="what the model describes, as plain text; of an unjudged event, why"
    )
    judged_by: str | None = Field(default=None, description="the model, and the host that runs it")


class EventsJson(BaseModel):
    """A page of events, the newest first."""

    version: int
    events: list[EventJson]
    more: str | None = Field(description="the `after` of the next page; null: this was the last page")


class SimilarJson(BaseModel):
    """An event that is like another."""

    similarity: float = Field(description="cosine of the features, from -1 to 1: 1 is the same")
    event: EventJson


class SimilarEventsJson(BaseModel):
    """The events that are most like one."""

    version: int
    event: EventJson = Field(description="the one that was asked for")
    similar: list[SimilarJson] = Field(description="the most similar first")
    compared: int = Field(description="events that it was compared with")
    others: int = Field(
        description="events that it cannot be compared with: they have no vector, or one of another model"
    )
    reason: str = Field(description="why it can be compared with none; empty: it can")


class RecordingJson(BaseModel):
    """One file of continuous recording."""

    url: str = Field(description="of the video")
    started: float = Field(description="when it begins, seconds since 1970")
    bytes: int


class RecordingsJson(BaseModel):
    """The continuous recording around an event; null: nothing was recorded then."""

    version: int
    at: float | None = Field(description="seconds into `during` at which the event began")
    before: RecordingJson | None
    during: RecordingJson | None
    after: RecordingJson | None


class ExportSize(BaseModel):
    """What an export would hold."""

    version: int
    events: int
    bytes: int = Field(description="of the evidence")
    missing: int = Field(description="events and files of evidence that are not there")


class SessionJson(BaseModel):
    """The client's session, and what the page offers."""

    version: int
    csrf: str | None = Field(
        description="to be sent as X-CSRF-Token with every request that changes something"
    )
    password: bool = Field(description="whether the page has a log-in")
    name: str = Field(default="", description="of the user or token; empty: it has none")
    role: str = Field(default="admin", description="admin or viewer")
    cameras: list[str] | None = Field(default=None, description="those that it may see; null: all")
    editable: bool = Field(description="whether this client may change cameras on the page")
    users: bool = Field(default=False, description="whether this client may change users and tokens")
    history: bool = Field(description="whether events survive a restart")
    corrections: bool = Field(default=False, description="whether events can be marked right or wrong")
    recordings: bool = Field(default=False, description="whether cameras are recorded continuously")
    teaches: bool = Field(default=False, description="whether a lesson runs: `streamrec teach`")
    opinion: str | None = Field(
        default=None, description="what leaves the machine for second opinions; null: nothing does"
    )
    fleet: bool = Field(default=False, description="whether the cameras run on several machines")
    receivers: bool = Field(
        default=False, description="whether this client may test receivers of notifications"
    )
    arming: bool = Field(default=False, description="whether what is armed is known; admins choose it")
    software: str


class Health(BaseModel):
    """ok, or what is wrong."""

    status: str


class LoginJson(BaseModel):
    """What the log-in asks for."""

    names: bool = Field(description="whether there are users with names")


class Password(BaseModel):
    """The log-in."""

    name: str = Field(
        default="", max_length=200, description="of the user; empty: the password without a name"
    )
    password: str = Field(max_length=1024)
