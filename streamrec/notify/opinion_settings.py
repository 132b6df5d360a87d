"""The ``[opinion]`` table of cameras.toml: which model of the user's is asked about events, and what it is sent."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from streamrec.errors import SinkError
from streamrec.notify.http_client import check_fingerprint, check_url
from streamrec.notify.templates import as_text, check_template, fill, values_of
from streamrec.outputs.history.opinions import QuestionLimits
from streamrec.outputs.history.records import Announcement, Entry, Kind

APIS = ("openai", "ollama")
ROLES = ("comment", "delay", "veto")
FORMATS = ("json_schema", "json_object", "none")
_MOST_FRAMES = 16
_LONGEST_TEXT = 2_000  # letters of a question
_QUESTIONS = {
    "fight": "Do people in these frames fight: do they hit, kick, push or wrestle each other?",
    "fall": "Does a person in these frames fall to the ground, or lie there after a fall?",
}
_ANY = 'The program reports "{label}". Do these frames show that?'


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionSettings:
    """The ``[opinion]`` table of cameras.toml."""

    url: str = field(default="", repr=False, metadata={"needed": True, "secret": True})
    model: str = field(default="", metadata={"needed": True})
    api: str = "openai"  # .../v1/chat/completions, or "ollama": /api/chat
    token: str = field(
        default="", repr=False, metadata={"secret": True}
    )  # sent as "Authorization: Bearer ..."
    role: str = "comment"  # "delay": notifications wait for it; "veto": and are not sent where it says no
    frames: int = 4  # so many JPEGs of each event, at most
    side: int = 512  # pixels of their long side
    before: float = 1.0  # seconds before the start from which frames are chosen
    after: float = 2.0  # and seconds after the event was reported, if it lasts so long
    question: str = ""  # of all events that ``questions`` has none for; "": by label
    questions: tuple[tuple[str, str], ...] = ()  # a label, and its question
    cameras: tuple[str, ...] = ()  # empty: all
    labels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()  # of streamrec, which recognized the event
    most_per_hour: int = 60  # questions; 0: without limit
    most_per_day: int = 500
    most_per_hour_camera: int = 0
    timeout: float = 20.0  # seconds for one answer, in all
    response_format: str = "json_schema"  # of the OpenAI API; a server that has none of them is given "none"
    extra: str = ""  # JSON: further fields of the request
    ca: str = field(default="", metadata={"path": True})  # a file with the certificate authority to trust
    fingerprint: str = ""  # SHA-256 of the only certificate to accept

    def __post_init__(self) -> None:
        parts = check_url(self.url)
        if parts.query or parts.fragment:
            raise SinkError(
                "url: give where the API is, like http://127.0.0.1:11434/v1; a key has a key of its own: token"
            )
        for key, value, known in (
            ("api", self.api, APIS),
            ("role", self.role, ROLES),
            ("response_format", self.response_format, FORMATS),
        ):
            if value not in known:
                raise SinkError(f"{key}: it is {value!r}; there are {', '.join(known)}")
        if not 1 <= self.frames <= _MOST_FRAMES:
            raise SinkError(f"frames: {self.frames} of them; give 1 to {_MOST_FRAMES}")
        if not self.token.isascii() or not self.token.isprintable():
            raise SinkError("token: it holds letters that no token has")
        for text in (self.question, *dict(self.questions).values()):
            check_template(text, "question")
            if "{secret}" in text or len(text) > _LONGEST_TEXT:
                raise SinkError(f"question: give at most {_LONGEST_TEXT} letters, and no {{secret}}")
        check_fingerprint(self.fingerprint)
        _ = self.more  # raises where it is no JSON

    @property
    def more(self) -> dict[str, Any]:
        """The further fields of the request."""
        try:
            found = json.loads(self.extra or "{}")
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise SinkError("extra: give a JSON object, like '{\"max_tokens\": 200}'")
        return found

    @property
    def place(self) -> str:
        """Host and port, for people."""
        return urlsplit(self.url).netloc

    @property
    def judge(self) -> str:
        """The model and its place: the ``judged_by`` of its opinions."""
        return as_text(f"{self.model} at {self.place}", "")

    @property
    def limits(self) -> QuestionLimits:
        """How often the model may be asked."""
        return QuestionLimits(
            hour=self.most_per_hour, day=self.most_per_day, camera_hour=self.most_per_hour_camera
        )

    @property
    def holds(self) -> bool:
        """Whether notifications wait for the opinion."""
        return self.role != "comment"

    @property
    def longest(self) -> float:
        """Seconds for which an event is held at most."""
        return self.after + self.timeout + 2.0

    def wants(self, entry: Entry) -> bool:
        """Whether the model is asked about an event."""
        return (
            (not self.cameras or entry.camera in self.cameras)
            and (not self.labels or entry.label in self.labels)
            and (not self.models or entry.model in self.models)
        )

    def question_of(self, entry: Entry) -> str:
        """What the model is asked about an event."""
        text = dict(self.questions).get(entry.label) or self.question or _QUESTIONS.get(entry.label, _ANY)
        values = values_of(Announcement(Kind.started, entry).to_dict())
        return fill(text, values, lambda value, before: as_text(value, "").replace('"', "'")[:100])

    @property
    def statement(self) -> str:
        """What leaves the machine, in words: for the start and the page."""
        which = f"events {', '.join(self.labels)}" if self.labels else "all events"
        where = f"cameras {', '.join(self.cameras)}" if self.cameras else "all cameras"
        limits = [
            f"{most} {span}"
            for most, span in ((self.most_per_hour, "an hour"), (self.most_per_day, "a day"))
            if most
        ]
        effect = {
            "comment": "it changes no notification",
            "delay": f"notifications wait for it, {self.longest:g} s at most",
            "veto": f"notifications wait for it, {self.longest:g} s at most, and are not sent where it says no",
        }[self.role]
        open_air = "" if self.url.startswith("https:") or _is_own(self.url) else ", not encrypted"
        return (
            f"up to {self.frames} frames of {which} of {where}, as privacy allows, and a question are sent to "
            f"{self.place}{open_air}, to the model {self.model}"
            f"{', at most ' + ' and '.join(limits) if limits else ''}; {effect}"
        )


def _is_own(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
