"""Arming as the page and receivers call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

MOST_MINUTES = 7 * 24 * 60.0  # of a snooze, or of a profile that is chosen for a while


class ArmingService(Protocol):
    """What is armed, and the choice of it; from any thread. ``notify.arming.Arming`` is one.

    Each choice waits for the disk. It raises ``StreamrecError`` with a sentence, and nothing has changed then.
    """

    def status(self) -> dict[str, Any]:
        """What is armed now, as JSON."""

    def choose(self, profile: str | None, minutes: float | str | None = None, *, by: str) -> None:
        """This profile from now on; None: as the schedule says.

        ``minutes``: a number, "schedule" (until it changes next), or None: until another is chosen.
        """

    def snooze(self, camera: str, label: str = "", minutes: float | None = None) -> None:
        """A camera, or one label of it, is not armed for so many minutes; None: until 0 ends that."""

    def on_change(self, listener: Callable[[], object]) -> None:
        """Call ``listener`` when what is armed has changed; it must not wait."""

    @property
    def profile(self) -> str:
        """The profile in force."""

    @property
    def profiles(self) -> tuple[str, ...]:
        """Those that there are."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Those that are watched."""

    def snoozed_until(self, camera: str) -> float | None:
        """Until when a whole camera is snoozed, seconds since 1970 (inf: for good); None: it is not."""
