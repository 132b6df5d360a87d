"""Reporting a failure once, and its end once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_SOON = 60.0  # seconds: a failure so soon after the last one ended is a relapse
_LONGEST_STEADY = 300.0  # seconds without a failure, at most, before its end is reported
_REASONS = 4  # reasons of one failure that are reported


class FailureReporter:
    """Reports a failure once, and its end once; failures that come and go are one. Thread-safe.

    ``steady``: seconds without a failure after which its end is reported; doubled with each relapse. ``log`` gets
    ``name: reason; more`` and ``name: over``.
    """

    def __init__(
        self,
        name: str,
        log: Callable[[str], object],
        *,
        more: str,
        over: str,
        steady: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._log, self._more, self._over = name, log, more, over
        self._least = self._steady = steady
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._reasons: set[str] = set()  # reported for the current failure; empty: there is none
        self._well: float | None = None  # monotonic() since which it works, while that is not reported yet
        self._ended = -_SOON  # monotonic() when the end of the last failure was reported

    @property
    def is_reported(self) -> bool:
        """Whether a failure was reported, and its end was not yet."""
        return bool(self._reasons)

    def failed(self, reason: str) -> None:
        """An attempt failed; ``reason`` is a clause without secrets."""
        with self._lock:
            relapse = self._well is not None or (
                not self._reasons and self._monotonic() - self._ended < _SOON
            )
            if relapse:
                self._steady = min(_LONGEST_STEADY, max(2.0 * self._steady, 10.0))
            elif not self._reasons:
                self._steady = self._least
            self._well = None
            new = reason not in self._reasons and len(self._reasons) < _REASONS
            if new:
                self._reasons.add(reason)
        if new:
            self._log(f"{self._name}: {reason}; {self._more}")

    def succeeded(self) -> None:
        """An attempt succeeded."""
        with self._lock:
            if self._reasons and self._well is None:
                self._well = self._monotonic()
        self.poll()

    def poll(self) -> None:
        """Report the end of a failure when it has been steady for long enough; call it every second or so."""
        with self._lock:
            now = self._monotonic()
            over = self._well is not None and now - self._well >= self._steady
            if over:
                self._reasons.clear()
                self._well, self._ended = None, now
        if over:
            self._log(f"{self._name}: {self._over}")
