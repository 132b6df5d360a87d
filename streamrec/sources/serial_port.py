"""A sensor at a serial port: a line of numbers, or a JSON object, a row."""

from __future__ import annotations

from collections.abc import Iterator

from streamrec.core.messages import shortened
from streamrec.core.text import printable
from streamrec.errors import SourceError, need
from streamrec.sources.live_rows import RETRIES, LiveRowSource, channels_in, options_of
from streamrec.sources.rows import LONGEST_LINE, Row

BAUD = 115_200
_OPTIONS = ("baud", "channels")
_PATIENCE = 0.2  # seconds of one wait for bytes


class SerialSource(LiveRowSource):
    """``serial:/dev/ttyUSB0?baud=115200&channels=x,y,z``: lines of numbers, or of JSON objects.

    ``channels`` names the numbers of a line in their order; ms or seconds among them is the clock of the sensor. Rows
    without one are stamped as they come. A line that is no row is counted, and passed over.
    """

    def __init__(self, text: str, *, retries: int | None = RETRIES) -> None:
        port, _, query = text.partition(":")[2].partition("?")
        options = options_of(query, _OPTIONS, "serial:")
        if not port.strip():
            raise SourceError("serial: names no port; give one like serial:/dev/ttyUSB0?channels=x,y,z")
        baud = options.get("baud", str(BAUD))
        if not baud.isdecimal() or not 50 <= int(baud[:9]) <= 20_000_000:
            raise SourceError(f"serial: baud is {shortened(baud)}: give a rate like 115200")
        self._port, self._baud = port, int(baud)
        super().__init__(printable(port), channels_in(options.get("channels", "")), retries=retries)

    def _received(self) -> Iterator[Row]:
        serial = need("serial", extra="serial")
        try:
            with serial.Serial(self._port, self._baud, timeout=_PATIENCE) as port:
                kept, first = b"", True
                while not self._left.is_set():
                    kept += port.read(max(1, port.in_waiting))
                    *lines, kept = kept.split(b"\n")
                    if len(kept) > LONGEST_LINE:
                        kept = b""
                    for line in lines:
                        text = line.decode("utf-8", "replace").strip()
                        # The port was opened in the middle of a line.
                        if text and not first:
                            yield from self._read(text)
                        first = False
        except (OSError, serial.SerialException) as error:
            raise SourceError(f"{self.name} cannot be read: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Without the port's name, which stands before it."""
    return printable((str(error).splitlines() or [type(error).__name__])[0].rpartition("] ")[2])[:200]
