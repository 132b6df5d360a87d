"""The teacher: examples from a running stream, a fit, and the new head in the stream, without a gap."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamrec.core.arguments import number
from streamrec.core.context import Closing
from streamrec.core.text import printable
from streamrec.errors import TeachError
from streamrec.pipeline.loop import results
from streamrec.runtime.checkpoint import write_checkpoint
from streamrec.runtime.recognizer import Recognizer
from streamrec.teach.advice import advise
from streamrec.teach.examples import NOTHING, Example, ExampleStore, check_label
from streamrec.teach.fewshot import FewShotSettings, StatisticsCache, TeachReport, fit
from streamrec.teach.live import FewShotHead, TaughtRecognizer
from streamrec.teach.ring import SECONDS, FeatureRing
from streamrec.teach.statistics import Rates
from streamrec.types import VIDEO, Frame, Result

LEAST_FRAMES = 3  # of an example
ROOM = 0.5  # seconds around an example that are left out of a minute of nothing
PICTURE_WIDTH = 160  # pixels of the pictures that are kept, if asked


class Teacher(Closing):
    """Teaches a running stream your own actions: show one a few times, and it is recognized the next time.

    The labels of the shipped ``models`` go on beside yours. Beside a model of readings, like ``motion``, streams of
    readings are named, and the encoder of that model is taught on. ``file`` keeps the examples (features, no pictures
    unless ``pictures``), so that teaching goes on next week; None keeps them in memory alone. ``name``: of your labels'
    model, in ``Result.models`` and events; None takes the file's name. It may be called from any thread. Close it, or
    use it in a ``with``: one program at a time has the file. Raises ``TeachError``, ``ModelError``.

    >>> with Teacher("webcam") as teacher:
    ...     teacher.labels, [name for name in teacher.recognizer.configs]
    ((), ['webcam', 'taught'])
    """

    def __init__(
        self,
        models: str | Path | Sequence[str | Path] | None = "webcam",
        *,
        file: str | Path | None = None,
        name: str | None = None,
        pictures: bool = False,
        remember: float = SECONDS,
        threads: int | None = None,
        settings: FewShotSettings | None = None,
    ) -> None:
        """``remember``: seconds of a stream that can still be named. ``threads``: of one step, as of a recognizer."""
        self._remember = number(remember, "remember", least=1.0, error=TeachError)
        self._keep_pictures = pictures
        self._settings = settings or FewShotSettings()
        self._rings: dict[str, FeatureRing] = {}
        self._last = ""  # the source of the newest frame
        self._lock = threading.RLock()
        self._fitting = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self.report: TeachReport | None = None
        own = name or ("taught" if file is None else Path(file).stem)
        self._live = TaughtRecognizer.over(
            models, own, observe=self.observe, history=self.history, threads=threads
        )
        self._encoder = self._live.encoder
        if pictures and self._live.sense != VIDEO:
            raise TeachError("readings have no pictures that could be kept: leave pictures out")
        self._cache = StatisticsCache(Rates.of(self._encoder.config))
        self._store = ExampleStore(file, self._encoder.kind)
        self.notes = self._store.notes  # sentences about what was found in the file
        if self._store.labels:
            self.fit()

    def results(
        self, source: Any, *, fps: float | None = None, still: float | None = None
    ) -> Generator[Result]:
        """As ``streamrec.results``; what is shown here can be named while it runs, and for two minutes after it.

        ``Result.models`` has the prediction of each model, yours last.
        """
        yield from results(source, self._live, fps=fps, still=still)

    def example(
        self,
        label: str,
        seconds: float = 2.0,
        *,
        at: float | None = None,
        source: str | None = None,
        origin: str = "taught",
        note: str = "",
    ) -> Example:
        """The last ``seconds`` were this action; returns the example when it is on the disk.

        ``at``: its end on the source's clock, in seconds; None: now. ``source``: of several streams, which one; None:
        the one whose frame came last. Raises ``TeachError`` where that was not seen, or is forgotten.
        """
        label = check_label(label)
        if label == NOTHING:
            return self._nothing(seconds, at, source, origin, room=0.0)
        ring, name = self._ring(source)
        start, end = self._span(ring, seconds, at)
        found = ring.example(label, start, end, source=name, made=time.time())
        if found is None or found.within.sum() < LEAST_FRAMES:
            count = 0 if found is None else int(found.within.sum())
            raise TeachError(
                f"{count} frames were seen in these {seconds:g} s, and an example needs {LEAST_FRAMES}: "
                "show it again"
            )
        return self._store.add(replace(found, origin=origin, note=note))

    def nothing(
        self,
        seconds: float = 60.0,
        *,
        at: float | None = None,
        source: str | None = None,
        origin: str = "taught",
    ) -> Example:
        """The last ``seconds`` were none of your actions, but for the examples in them.

        Where examples cut it into parts, each part is kept; the longest one is returned.
        """
        return self._nothing(seconds, at, source, origin, room=ROOM)

    @property
    def examples(self) -> tuple[Example, ...]:
        """All examples, in the order in which they were given."""
        return self._store.examples

    @property
    def labels(self) -> tuple[str, ...]:
        """Your labels, in the order in which they first came."""
        return self._store.labels

    def remove(self, number: int) -> Example:
        """Take out an example, by its id; the next ``fit`` does without it. ``restore`` brings it back."""
        return self._store.remove(number)

    def restore(self, number: int) -> Example:
        """Bring back an example that was removed."""
        return self._store.restore(number)

    def relabel(self, number: int, label: str) -> Example:
        """Give an example another label, by its id."""
        return self._store.relabel(number, label)

    def fit(self) -> TeachReport:
        """Learn from the examples, and judge by that from the next frame on.

        It takes a second or so; ``fit_later`` does it in a thread of its own, while the stream goes on. Raises
        ``TeachError`` where there is no example of an action.
        """
        head, report = self.fitted()
        self.use(head, report)
        return report

    def fitted(self) -> tuple[FewShotHead, TeachReport]:
        """What ``fit`` would judge by, and its report; the stream goes on as it is. ``use`` takes it."""
        with self._fitting:
            began = time.perf_counter()
            examples = self._store.examples
            self._cache.forget([example.id for example in examples])
            head, report = fit(examples, self._cache, self._settings, self._encoder.background)
            report = replace(report, advice=advise(examples, report, self._cache, self._watcher))
            return head, replace(report, seconds=time.perf_counter() - began)

    @property
    def _watcher(self) -> str:
        """What sees, in sentences."""
        return "camera" if self._live.sense == VIDEO else "sensor"

    def use(self, head: FewShotHead, report: TeachReport | None = None) -> None:
        """Judge by this head from the next frame on; an earlier one undoes a fit."""
        with self._lock:
            self._live.swap(head)
            self.report = report

    def fit_later(self) -> Future[TeachReport]:
        """``fit`` in a thread of its own; the future has its report, or its error."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="teach")
            return self._pool.submit(self.fit)

    @property
    def head(self) -> FewShotHead:
        """What judges now."""
        return self._live.head

    @property
    def recognizer(self) -> Recognizer:
        """The shipped models and yours, as they are now: a recognizer like any other, which no later fit changes."""
        return self._live.frozen()

    @property
    def live(self) -> TaughtRecognizer:
        """The recognizer that follows each fit: for a ``Watcher`` or a loop of your own."""
        return self._live

    def save(self, path: str | Path) -> None:
        """Write your labels' model to a .safetensors file, which every command takes; raises ``ModelError``.

        The shipped labels stay in their own model: ``streamrec run 0 -m webcam -m mine.safetensors`` runs both in one
        pass.
        """
        if len(self.head.labels) < 2:
            raise TeachError("nothing was learned yet: give examples, then fit")
        write_checkpoint(path, self._live.taught(Path(path).stem))

    def seen(self, source: str | None = None) -> tuple[float, float]:
        """The times of the oldest and the newest frame that can still be named, seconds on the source's clock."""
        ring, _ = self._ring(source)
        return ring.oldest or 0.0, ring.newest or 0.0

    def close(self) -> None:
        """Wait for a fit that is under way, and close the file; a second call does nothing."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
        self._store.close()

    def __repr__(self) -> str:
        return f"<Teacher of {', '.join(self.labels) or 'nothing yet'}: {len(self._store)} examples>"

    def observe(self, frame: Frame, features: np.ndarray, size: float = 0.0) -> None:
        """Remember a frame by its features (F,) and how large the person in it is; ``live`` calls it."""
        picture = _small(frame.image) if self._keep_pictures else None
        with self._lock:
            ring = self._rings.get(frame.source)
            if ring is None:
                ring = self._rings[frame.source] = FeatureRing(self._remember)
            self._last = frame.source
        ring.put(frame, features, picture, size)

    def history(self, source: str, seconds: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Times (T,) and features (T, F) of a stream's last ``seconds``; None: nothing of it was seen."""
        with self._lock:
            ring = self._rings.get(source)
        newest = None if ring is None else ring.newest
        if ring is None or newest is None:
            return None
        stretch = ring.between(newest - seconds, newest)
        return None if stretch is None else (stretch.times, stretch.features)

    def _ring(self, source: str | None) -> tuple[FeatureRing, str]:
        with self._lock:
            name = self._last if source is None else source
            ring = self._rings.get(name)
        if ring is None or ring.newest is None:
            of = "" if source is None else f" of {printable(source)}"
            raise TeachError(f"no frame{of} was seen yet: run the stream, then say what it showed")
        return ring, name

    def _span(self, ring: FeatureRing, seconds: float, at: float | None) -> tuple[float, float]:
        seconds = number(seconds, "seconds", above=0.0, error=TeachError)
        newest, oldest = ring.newest or 0.0, ring.oldest or 0.0
        end = newest if at is None else number(at, "at", error=TeachError)
        if end > newest + 0.5:
            raise TeachError(f"at is {end:g} s, and the newest frame is of {newest:g} s: it is still to come")
        if at is None and end <= oldest:
            raise TeachError(f"the {self._watcher} has only just begun: wait a little, then say it again")
        if end <= oldest:
            raise TeachError(
                f"{end:g} s is forgotten: the last {self._remember:g} s can be named, from {oldest:g} s on"
            )
        return end - seconds, end

    def _nothing(
        self, seconds: float, at: float | None, source: str | None, origin: str, *, room: float
    ) -> Example:
        ring, name = self._ring(source)
        start, end = self._span(ring, seconds, at)
        start = max(start, ring.oldest or 0.0)
        taken = [(e.start - room, e.end + room) for e in self._store.examples if e.run == ring.run]
        kept = []
        for begin, until in _without(start, end, taken):
            found = ring.example(NOTHING, begin, until, source=name, made=time.time())
            if found is not None and found.within.sum() >= LEAST_FRAMES:
                kept.append(self._store.add(replace(found, origin=origin)))
        if not kept:
            raise TeachError("nothing was seen beside the examples: wait a little, then say it again")
        return max(kept, key=lambda example: example.seconds)


def _without(start: float, end: float, taken: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The parts from ``start`` to ``end`` that are not taken.

    >>> _without(0.0, 10.0, [(2.0, 3.0), (9.0, 12.0)])
    [(0.0, 2.0), (3.0, 9.0)]
    """
    parts = []
    for begin, until in sorted(taken):
        if until <= start:
            continue
        if begin >= end:
            break
        if begin > start:
            parts.append((start, begin))
        start = until
    if start < end:
        parts.append((start, end))
    return parts


def _small(image: np.ndarray) -> bytes | None:
    """(H, W, 3) BGR -> JPEG bytes of a small picture."""
    height, width = image.shape[:2]
    size = PICTURE_WIDTH, max(1, round(PICTURE_WIDTH * height / max(1, width)))
    good, data = cv2.imencode(".jpg", cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return data.tobytes() if good else None
