"""Reports how the cameras of a fleet are, and their sound, as the head learns of it."""

from __future__ import annotations

from streamrec.commands.listening import MARK
from streamrec.commands.outputs import Outputs
from streamrec.notify.dispatcher import Dispatcher
from streamrec.outputs.fleet.cameras import RemoteCamera
from streamrec.types import Health


class StateReports:
    """Passes on each state of a camera once."""

    def __init__(self, dispatcher: Dispatcher, outputs: Outputs) -> None:
        self._dispatcher, self._outputs = dispatcher, outputs
        self._known: dict[str, tuple[str, str]] = {}  # state and reason of each, as they were passed on

    def report(self, camera: RemoteCamera) -> None:
        """Report the state of a camera, and that of its sound, where it has changed."""
        if self._is_new(camera.name, camera.health):
            self._dispatcher.health(camera.name, camera.health)
            self._outputs.write_health(camera.name, camera.health)
        sound, name = camera.sound, f"{camera.name}{MARK}"
        if sound is not None and self._is_new(name, sound.health):
            self._outputs.write_health(name, sound.health)

    def forget(self, camera: str) -> None:
        """It is not watched any more."""
        self._known.pop(camera, None)
        self._known.pop(f"{camera}{MARK}", None)

    def _is_new(self, name: str, health: Health) -> bool:
        state = str(health.state), health.reason
        before, self._known[name] = self._known.get(name), state
        return before != state
