"""What happens after an event: it is kept, and only then told, to everybody who wants to know.

An ``Announcer`` stands between the results and all that is said of them. It is given each result before anybody
else, and nothing that goes wrong in it stops the recognition: it is told in a sentence, once a minute at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from streamrec.errors import StreamrecError
from streamrec.history import Announcement, History, HistorySettings
from streamrec.types import Result
from streamrec.watchfile import WatchFile

_AGAIN_SECONDS = 60.0  # before the same trouble is told again


@dataclass(frozen=True, kw_only=True)
class AfterSettings:
    """What is to happen after an event; None and empty: nothing of the kind."""

    history: HistorySettings | None = None

    @classmethod
    def of(cls, file: WatchFile) -> AfterSettings:
        """What the tables of cameras.toml say; raises ``SettingsError``."""
        found = file.settings("history", HistorySettings)
        return cls(history=found[0] if found else None)

    def with_options(self, *, history: Path | None = None) -> AfterSettings:
        """The same, with what the command line says in its place."""
        settings = self
        if history is not None:
            settings = replace(
                settings, history=replace(settings.history or HistorySettings(), file=str(history))
            )
        return settings


class Announcer:
    """Keeps and tells what happens, as its settings say. ``tell`` gets sentences for a person, from any thread.

    Raises ``StreamrecError`` where what is wanted cannot be: a damaged history, a folder that is not there.
    """

    def __init__(self, settings: AfterSettings, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: dict[str, float] = {}  # sentence: time.monotonic()
        self.history: History | None = None
        if settings.history is not None:
            self.history = History(settings.history.file, keep_days=settings.history.keep_days)
            for one in self.history.recovered:
                self._tell(
                    f"{one.entry.camera}: {one.entry.label} ended when streamrec was killed, "
                    f"after {one.entry.duration or 0.0:.1f} s or a little more"
                )

    def write(self, result: Result, model: str = "") -> tuple[Announcement, ...]:
        """Keep what the result says, and pass it on; call it before anybody else is told."""
        if self.history is None:
            return ()
        try:
            return self.history.record(result, model)
        except StreamrecError as error:
            self.complain(str(error))
            return ()

    def tick(self) -> None:
        """What is to be done although no result comes; call it now and then."""
        if self.history is not None:
            try:
                self.history.tick()
            except StreamrecError as error:
                self.complain(str(error))

    def complain(self, sentence: str) -> None:
        """Tell what is wrong, once a minute at most."""
        now = time.monotonic()
        if now - self._told.get(sentence, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._told[sentence] = now
            self._tell(sentence)

    def close(self) -> None:
        """End what runs, and finish what was begun; a second time does nothing."""
        if self.history is not None:
            try:
                self.history.close()
            except StreamrecError as error:
                self._tell(str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
