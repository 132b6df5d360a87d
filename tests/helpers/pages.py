"""A page with cameras that a test moves by hand."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
import pytest

from streamrec.types import (
    ActionEnded,
    ActionStarted,
    Event,
    Frame,
    Health,
    ModelResult,
    Person,
    Prediction,
    Result,
    SourceState,
)
from streamrec.web import auth
from streamrec.web.auth import Access, Account, new_token, new_user
from streamrec.web.live import LiveState
from streamrec.web.roles import Role
from streamrec.web.server import Server, WebSettings

PASSWORD = "correct horse battery"
LABELS = ("idle", "wave", "fall")


def prediction_of(label: str, timestamp: float) -> Prediction:
    """A sure prediction of one of ``LABELS``."""
    scores = np.full(len(LABELS), 0.05, np.float32)
    scores[LABELS.index(label)] = 0.9
    return Prediction.of(scores, timestamp, LABELS)


@dataclass
class Actor:
    """A camera whose pictures, states and events come when the test says so."""

    name: str
    live: LiveState
    health: Health = field(default_factory=lambda: Health(SourceState.live, since=time.monotonic()))
    rate: float = 10.0
    index: int = 0
    size: tuple[int, int] = (90, 160)

    def show(
        self,
        *events: Event,
        label: str = "idle",
        colour: int | None = None,
        unknown: bool = False,
        models: Mapping[str, str] = MappingProxyType({}),
        people: tuple[Person, ...] | None = None,
    ) -> None:
        """One more picture; its colour is its number. ``models``: what each of several says, in place of ``label``."""
        image = np.full((*self.size, 3), (7 * self.index) % 256 if colour is None else colour, np.uint8)
        timestamp = self.index / 10
        frame = Frame(image, self.index, timestamp, 0, self.name, time.monotonic())

        each = tuple(ModelResult(name, prediction_of(one, timestamp)) for name, one in models.items())
        prediction = each[0].prediction if each else prediction_of(label, timestamp)
        self.live.write(
            Result(frame, prediction, events, 0.012, 3, unknown=unknown, models=each, people=people)
        )
        self.index += 1
        if events and self.live.history.in_memory:
            self.live.history.drain(5.0)  # a thread writes them, a moment later

    def start(self, label: str = "wave") -> None:
        self.show(ActionStarted(label, self.index / 10, 0.8, self.name), label=label)

    def end(self, label: str = "wave", seconds: float = 2.0) -> None:
        now = self.index / 10
        self.show(ActionEnded(label, now, now - seconds, 0.9, self.name))

    def die(self, reason: str = "the connection was lost") -> None:
        self.health = Health(SourceState.reconnecting, reason, time.monotonic())


@dataclass
class Page:
    """A running page and its cameras."""

    server: Server
    live: LiveState
    actors: dict[str, Actor]
    token: str = ""

    @property
    def url(self) -> str:
        return self.server.address.rstrip("/")

    @property
    def host(self) -> str:
        return self.url.split("//")[1]

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20, verify=False, **more)

    @contextlib.contextmanager
    def logged_in(self, name: str = "") -> Iterator[httpx.Client]:
        """A browser that has logged in: cookie, Origin and CSRF token."""
        with self.client(headers={"Origin": self.url}) as client:
            if self.server.settings.access:
                answer = client.post("/api/v1/login", json={"name": name, "password": PASSWORD})
                assert answer.status_code == 204, answer.text
            client.headers["X-CSRF-Token"] = client.get("/api/v1/session").json()["csrf"]
            yield client


def hash_password(password: str) -> str:
    """The line of the access file for a password without a name."""
    return new_user("", password, Role.admin).line()


def quick_user(name: str, password: str, role: Role, cameras: Iterable[str] | None = None) -> Account:
    """A user whose log-in takes milliseconds: a hash has its cost in it, and this one the least that is accepted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "_COST", (10, 8, 1))
        return new_user(name, password, role, cameras)


def make_token() -> tuple[str, str]:
    """A new token without a name, and its line of the access file."""
    token, account = new_token()
    return token, account.line()


@pytest.fixture(scope="session")
def ways_in() -> tuple[Access, str]:
    """A password and a token."""
    token, line = make_token()
    return Access.parse(f"{quick_user('', PASSWORD, Role.admin).line()}\n{line}", "test"), token


@pytest.fixture
def open_page(ways_in) -> Iterator[Callable[..., Page]]:
    """Starts pages; they end with the test."""
    begun: list[Server] = []
    ended = threading.Event()

    def start(
        *names: str,
        recordings: Path | None = None,
        guarded: bool = False,
        history: Any = None,
        file: Path | None = None,
        teach: Any = None,
        corrections: Any = None,
        receivers: Any = None,
        fleet: Any = None,  # makes one of the live state; its cameras are then those of the fleet
        arming: Any = None,  # makes what is armed of the history
        **settings: Any,
    ) -> Page:
        live = LiveState(history, corrections=corrections)
        live.recordings = recordings
        actors = {name: Actor(name, live) for name in names or (() if fleet else ("door", "yard"))}
        live.beat(actors.values())
        service = None if fleet is None else fleet(live)
        live.arming = None if arming is None else arming(live.history)
        chosen = WebSettings(port=0, **{"access": ways_in[0] if guarded else Access(), **settings})
        server = Server(chosen, live, file=file, teach=teach, fleet=service, receivers=receivers)
        server.start()
        begun.append(server)

        def beat() -> None:
            while not ended.wait(1.0):
                if service is None:
                    live.beat(actors.values())
                else:
                    service.beat()

        threading.Thread(target=beat, daemon=True).start()
        return Page(server, live, actors, ways_in[1] if guarded else "")

    yield start
    ended.set()
    for server in begun:
        server.stop()


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Until it is true; its value."""
    ends = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.01)
    return value


@contextlib.contextmanager
def repeating(step: Callable[[], None], seconds: float = 0.1) -> Iterator[None]:
    """Call ``step`` in a thread, with so many seconds between two calls, until the end of the block."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            step()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def with_state(actor: Actor, state: SourceState, reason: str = "") -> None:
    actor.health = replace(actor.health, state=state, reason=reason)
