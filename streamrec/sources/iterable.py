"""Any iterable of images as a source."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import streamrec.sources.health as report
from streamrec.core.context import unpicklable
from streamrec.core.image import as_bgr
from streamrec.errors import PictureError
from streamrec.types import Frame, Source


class IterableSource(Source):
    """Images of the caller: any iterable of arrays, as ``as_bgr`` accepts them, or of Frames.

    Arrays get timestamps of ``fps`` frames a second. Frames are passed on as they are.

    >>> import numpy as np
    >>> grey = [np.full((48, 64), n, np.uint8) for n in range(3)]
    >>> [(frame.index, frame.timestamp) for frame in IterableSource(grey, fps=10.0)]
    [(0, 0.0), (1, 0.1), (2, 0.2)]
    """

    def __init__(
        self, pictures: Iterable[Any], *, fps: float = 30.0, name: str = "pictures", live: bool = False
    ) -> None:
        self.pictures = pictures
        self.fps = fps
        self.name = name
        self.live = live

    def __reduce_ex__(self, protocol: Any) -> Any:
        """An iterator, such as a generator, cannot be pickled."""
        return unpicklable(self) if isinstance(self.pictures, Iterator) else super().__reduce_ex__(protocol)

    def __iter__(self) -> Iterator[Frame]:
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, None]:
        for index, picture in enumerate(self.pictures):
            if isinstance(picture, Frame):
                yield picture
                continue
            try:
                image = as_bgr(picture)
            except PictureError as error:
                raise PictureError(f"picture {index} of {self.name}: {error}") from error
            yield Frame(image, index, index / self.fps, 0, self.name, time.monotonic())
