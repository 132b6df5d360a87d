"""The frames of a source that are due: chosen in the thread that reads it, and encoded ahead where the source waits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext

from streamrec.runtime.recognizer import Recognizer
from streamrec.types import Frame, Source


class DueFrames(Source):
    """A source of the due frames of another one.

    A file waits for its reader, so its due frames are encoded as soon as they are read (``Recognizer.prefetch``). Of
    a camera only the newest frame is wanted, and that is not known before its turn.

    ``choose``: frames in, due frames out. ``on_abandoned`` is called when the reader has left while a frame was handed
    over.
    """

    def __init__(
        self,
        source: Source,
        recognizer: Recognizer,
        choose: Callable[[Iterator[Frame]], Iterator[Frame]],
        *,
        on_abandoned: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = source.name
        self._source = source
        # An app's own object that steps like a Recognizer need not prefetch.
        self._prefetch: Callable[[Frame], Frame] = getattr(recognizer, "prefetch", lambda frame: frame)
        self._choose, self._on_abandoned = choose, on_abandoned

    @property
    def live(self) -> bool:  # type: ignore[override]
        """Whether the other source is, which may turn out later."""
        return self._source.live

    def interrupt(self) -> None:
        """Passed on."""
        self._source.interrupt()

    def __iter__(self) -> Iterator[Frame]:
        # The other source learns now that it is read: an interrupt may come before the first frame is asked for.
        return self._frames(iter(self._source))

    def _frames(self, frames: Iterator[Frame]) -> Generator[Frame]:
        with closing(frames) if isinstance(frames, Generator) else nullcontext():
            for frame in self._choose(frames):
                try:
                    yield frame if self.live else self._prefetch(frame)
                except GeneratorExit:
                    self._on_abandoned()
                    raise
