"""``with`` for classes that have a ``close``."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NoReturn, Self

from streamrec.errors import NotPicklable


class Closing:
    """A base class: the object is closed when its ``with`` block ends."""

    def close(self) -> None:
        """Finish; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Classes of streamrec are not pickled: they hold files, windows, locks and threads of this process."""
        return (
            unpicklable(self)
            if type(self).__module__.startswith("streamrec.")
            else super().__reduce_ex__(protocol)
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def unpicklable(thing: object) -> NoReturn:
    """Raise ``NotPicklable``."""
    raise NotPicklable(
        f"a {type(thing).__name__} cannot be pickled or copied: it holds what is open in this process; make one in the "
        "other process"
    )
