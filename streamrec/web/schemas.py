"""What the page's API takes and answers, as pydantic models: the source of its OpenAPI description."""

from __future__ import annotations

from datetime import datetime

from streamrec.errors import need

need("fastapi", extra="web")

from pydantic import BaseModel, Field  # noqa: E402


class Error(BaseModel):
    """What went wrong."""

    code: str
    message: str


class Errors(BaseModel):
    """Every answer that is no success."""

    error: Error


class Running(BaseModel):
    """An action that runs."""

    label: str
    started: datetime


class CameraNow(BaseModel):
    """How a camera is now."""

    name: str
    state: str = Field(description="connecting, live, stalled, reconnecting, ended or failed")
    reason: str = Field(description="in words, where it is not live; never holds a password")
    seconds: float | None = Field(description="since this state began")
    frames: int = Field(description="pictures that the model looked at, since it was added")
    fps: float = Field(description="results a second, over the last five seconds")
    latency: float | None = Field(description="median seconds from picture to prediction, over five seconds")
    dropped: int = Field(description="frames for which the machine had no time")
    refused: int = Field(description="torn, frozen or late pictures")
    reconnects: int
    running: list[Running]
    labels: list[str] = Field(description="what its model can say, in the model's order")
    label: str | None
    confidence: float | None
    top: list[tuple[str, float | None]] = Field(description="the likeliest labels, at most five")
    unknown: bool = Field(description="whether the picture is unlike those that the model learned from")
    repetitions: int | None
    width: int | None
    height: int | None


class CamerasNow(BaseModel):
    """All cameras."""

    version: int
    alive: bool = Field(description="whether the loop that recognizes comes round")
    cameras: list[CameraNow]


class EventJson(BaseModel):
    """One event: it runs, or it is over."""

    id: str
    camera: str
    model: str | None = None
    label: str
    started: datetime
    ended: datetime | None = Field(description="null: it still runs")
    duration: float | None = Field(description="seconds")
    confidence: float
    repetitions: int | None
    interrupted: bool = False
    clip: str | None = Field(description="address of the video, where there is one")
    thumbnail: str | None


class EventsJson(BaseModel):
    """A page of events, the newest first."""

    version: int
    events: list[EventJson]
    more: str | None = Field(description="give it as `after` for the next page; null: that was all")


class SessionJson(BaseModel):
    """Who asks, and what there is."""

    version: int
    csrf: str | None = Field(description="send it as X-CSRF-Token with all that changes something")
    password: bool = Field(description="whether there is a log-in")
    editable: bool = Field(description="whether cameras can be changed here")
    history: bool = Field(description="whether events outlive a restart")
    software: str


class Health(BaseModel):
    """Whether it works."""

    status: str


class Password(BaseModel):
    """The log-in."""

    password: str = Field(max_length=1024)
