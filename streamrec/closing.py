"""``with`` for whatever has a ``close``."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """Something that is closed when its ``with`` block ends."""

    def close(self) -> None:
        """Finish; a second time does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
