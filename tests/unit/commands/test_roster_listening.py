"""The labels of a camera that listens: those of its sound are actions too, but for what is its background."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from streamrec.commands.roster import Plan, Prepared, Roster
from streamrec.events.detector import EventSettings
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.pipeline.listening import Listener
from streamrec.pipeline.watcher import Watcher
from streamrec.settings.cameras_file import CameraSettings
from streamrec.sources.iterable import IterableSource
from streamrec.sources.sound import SoundSource
from tests.helpers.sounds import Loudness
from tests.unit.pipeline.test_listening import Bright, pictures


class Announced:
    """In place of a dispatcher: the labels that each camera was announced with."""

    def __init__(self) -> None:
        self.labels: dict[str, dict] = {}

    def camera(self, name, *, models, **_) -> None:
        self.labels[name] = models

    def use_rules(self, rules) -> None: ...

    def use_arming(self, arming) -> None: ...


@pytest.mark.parametrize(("background", "actions"), [("quiet", ["glass"]), ("glass", ["quiet"])])
def test_the_background_of_the_sound_is_no_action_of_its_camera(background, actions):
    settings = CameraSettings(name="door", address="door.mp4")
    video = Bright()
    camera = Prepared(
        settings=settings,
        source=IterableSource(pictures(0.2), fps=10.0),
        recognizer=video,
        events={"bright": video.config.events},
        listener=Listener(
            SoundSource([], rate=8_000),
            Loudness(),
            name="sounds",
            events=EventSettings(background=(background,)),
        ),
    )
    announced = Announced()
    with Watcher() as watcher:
        roster = Roster(watcher, lambda models, per_person: video, announced)
        file = SimpleNamespace(cameras=(settings,), arming=None)
        plan = Plan(file=file, after=DispatchSettings(), cameras=(camera,), recognizers={}, notes=[])
        assert roster.apply(plan) == "added door"
    assert announced.labels == {"door": {"bright": ["person"], "sounds": actions}}
