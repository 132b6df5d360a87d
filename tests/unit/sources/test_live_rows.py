"""Readings that arrive: a source that is lost is opened again, however often."""

from __future__ import annotations

from collections.abc import Iterator

from streamrec.errors import SourceError
from streamrec.sources import reconnect
from streamrec.sources.live_rows import LiveRowSource
from streamrec.sources.rows import Row, row_of


class Away(LiveRowSource):
    """A sensor that is there with the last of so many openings."""

    def __init__(self, openings: int) -> None:
        super().__init__("sensor", ("x",), retries=None)
        self.left = openings

    def _received(self) -> Iterator[Row]:
        self.left -= 1
        if self.left:
            raise SourceError("the sensor is gone")
        yield row_of({"x": 1.0}, "a row", self)


def test_a_sensor_that_was_away_for_hours_is_read_when_it_is_back(monkeypatch):
    monkeypatch.setattr(reconnect, "BACKOFF_SECONDS", (0.0, 0.0))
    source = Away(1_500)  # 2 to that power is no number of seconds
    frame = next(iter(source))
    assert frame.data.tolist() == [1.0] and source.left == 0
