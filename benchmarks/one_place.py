"""A drawn camera that stays where it is: one place, one light, and people who come and do one thing after another.

The scenes of a `World` of kind scuffle or falls each have a place of their own. What a person corrects is a camera on a
wall, so that here the first scene's place, camera and recorder stay, and each scene brings its people alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from streamrec.sources.synthetic import falls, fights
from streamrec.sources.synthetic.crowd import RATE, Cast
from streamrec.sources.synthetic.stage import LEAD, Theatre
from streamrec.types import Frame, Source

SIT, LIE, BEND = ("sit", "rise"), ("to bed", "to the floor", "sleep"), ("pick up", "kneel", "exercise")
DAYS = {"sit": SIT, "lie": LIE, "bend": BEND, "all": SIT + LIE + BEND}


class OnePlace(Source):
    """People before one drawn camera: everyday life of ``fights`` or ``falls``, and nothing that a model is for.

    Each scene begins a segment, because its people were not there before. ``does``: of kind falls, one of ``DAYS``.
    """

    name, live = "drawn", False

    def __init__(
        self,
        kind: str,
        seed: int,
        *,
        seconds: float,
        size: tuple[int, int],
        fps: float = 10.0,
        does: str = "all",
    ) -> None:
        """``size``: pixels to the right and down."""
        self._kind, self._seed, self._seconds = kind, seed, seconds
        self._size, self._fps, self._does = size, fps, does

    def __iter__(self) -> Iterator[Frame]:
        random = np.random.default_rng(self._seed)
        place = (
            _Yard(random, self._size) if self._kind == "scuffle" else _Room(random, self._size, self._does)
        )
        index, scene, began, lasts = 0, -1, 0.0, 0.0
        while index / self._fps < self._seconds - 1e-9:
            now = index / self._fps
            if now >= began + lasts:
                scene, began = scene + 1, now
                lasts = place.next_scene()
            image = place.theatre.render(now - began)
            yield Frame(image, index, now, scene, self.name, 0.0, "normal")
            index += 1


class _Yard:
    """A place of ``fights``, with everyday life."""

    def __init__(self, random: np.random.Generator, size: tuple[int, int]) -> None:
        self._random = random
        self.theatre = fights._stage(random, size, "normal", 1.0)
        camera, fine = self.theatre._camera, self.theatre._high / size[1]
        metre = camera.focal / camera.distance
        slant = max(math.sin(camera.pitch), 0.25)
        far = min(0.45 * size[1] * fine / (metre * slant), 0.4 * camera.distance)
        self._reach = 0.5 * size[0] * fine / metre, far

    def next_scene(self) -> float:
        """Other people; how many seconds they stay."""
        seconds = self._random.uniform(2.0, 6.0)
        yard = fights._Yard(self._random, self._reach, seconds)
        fights._normal(yard)
        self.theatre._cast = Cast(self._random, yard.motions, carriers=tuple(yard.carriers))
        return seconds


class _Room:
    """A room of ``falls``, with everyday life."""

    def __init__(self, random: np.random.Generator, size: tuple[int, int], does: str) -> None:
        self._random, self._does = random, DAYS[does]
        self._homes: list[falls._Home] = []
        self.theatre = self._painted(size)

    def _painted(self, size: tuple[int, int]) -> Theatre:
        made, kept = falls._Home, self._homes

        class Kept(made):  # type: ignore[misc, valid-type]
            """The furniture, which the scenes need too; there is room to lie on it."""

            def __init__(self, rng: np.random.Generator, wide: float, *, lies: bool) -> None:
                super().__init__(rng, wide, lies=True)
                kept.append(self)

        falls._Home = Kept  # type: ignore[misc]
        try:
            return falls._stage(self._random, size, 1.0, None)
        finally:
            falls._Home = made  # type: ignore[misc]

    def next_scene(self) -> float:
        """Another person; how many seconds they stay."""
        random = self._random
        seconds = random.uniform(4.0, 10.0)
        t = np.arange(-LEAD, seconds + 0.3, 1 / RATE)
        does = str(random.choice(self._does))
        motion = falls._Person(random, t, self._homes[0], seconds, does, None).motion()
        self.theatre._cast = Cast(random, [motion], fine=True)
        return seconds
