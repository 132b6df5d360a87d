"""A process of the bench's own that tells what it sees, a line at a time, and is ended whatever state it is in."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from tests.helpers.cameras import ENVIRONMENT
from tests.helpers.paths import ROOT


class Child(ABC):
    """One such process, and the thread that hears it. ``changed`` is held while a line is taken."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.changed = threading.Condition()
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in end)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
            start_new_session=True,  # whatever it starts can be found again, and ended
        )
        self._listener = threading.Thread(target=self._listen, name="trial", daemon=True)
        self._listener.start()

    @abstractmethod
    def _hear(self, line: str) -> None:
        """Take what it told."""

    @property
    def exit_code(self) -> int | None:
        """None: it runs."""
        return self._process.poll()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self.exit_code is not None

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        with self.changed, contextlib.suppress(OSError):  # it is gone
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether it came true before the time was over, and before the process was."""
        until = time.monotonic() + seconds
        with self.changed:
            while not condition():
                left = until - time.monotonic()
                if left <= 0 or self.is_over:
                    return condition()
                self.changed.wait(min(left, 0.2))
            return True

    def end(self) -> str:
        """End it and all that it started; its complaints. A second time does nothing."""
        if self._complaints.closed:
            return ""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self._complaints.seek(0)
        with self._complaints:
            return self._complaints.read()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self.changed:
                self._hear(line)
                self.changed.notify_all()
