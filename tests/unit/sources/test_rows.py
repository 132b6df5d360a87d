"""Readings: of tables, pipes and iterables; what is wrong with them is a sentence that names the line."""

from __future__ import annotations

import gzip
import math
import time

import numpy as np
import pytest

from streamrec import open_source
from streamrec.errors import SourceError
from streamrec.sources.health import amiss
from streamrec.sources.resampling import Chosen, Resampled, ticks
from streamrec.sources.rows import NO_READING, RowSource, frames_of, rows_of_lines
from streamrec.sources.serial_port import SerialSource
from streamrec.sources.tables import CUT_OFF, TableSource

TABLE = "seconds,x,y,label\n0.0,1,2,sit\n0.1,1.5,2.5,sit\n0.25,3,4,walk\n"


def table(tmp_path, text: str, name: str = "readings.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def read(source) -> list[tuple]:
    return [(round(f.timestamp, 6), f.data.tolist(), f.truth) for f in source]


@pytest.mark.parametrize("name", ["readings.csv", "readings.csv.gz"])
def test_a_table_is_rows_with_times_and_truth(tmp_path, name):
    source = open_source(str(table(tmp_path, TABLE, name)))
    rows = [(0.0, [1.0, 2.0], "sit"), (0.1, [1.5, 2.5], "sit"), (0.25, [3.0, 4.0], "walk")]
    assert read(source) == rows
    assert (source.channels, source.sense, source.health.frames) == (("x", "y"), "signal", 3)
    assert read(source) == rows, "a source starts anew"


@pytest.mark.parametrize(
    "text",
    [
        "seconds;x;y;note;label\n0,0;1,0;2,0;left;sit\n0,1;1,5;2,5;right;sit\n0,25;3;4;;walk\n",
        "label\ty\ttimestamp\tx\nsit\t2\t0\t1\nsit\t2.5\t0.1\t1.5\nwalk\t4\t0.25\t3\n",
        "ms,x,y,label\n0,1,2,sit\n100,1.5,2.5,sit\n250,3,4,walk\n",
        "timestamp,x,y,label\n2026-11-30T10:00:00Z,1,2,sit\n2026-11-30T10:00:00.100Z,1.5,2.5,sit\n"
        "2026-11-30T10:00:00.250Z,3,4,walk\n",
        '\ufeffseconds,"x","y",label\r\n0,1,2,sit\r\n\r\n0.1,1.5,2.5,sit\r\n0.25,3,4,"walk"\r\n',
        '{"seconds": 0, "x": 1, "y": 2, "label": "sit"}\n{"seconds": 0.1, "x": 1.5, "y": 2.5, "label": "sit"}\n'
        '{"y": 4, "x": 3, "seconds": 0.25, "label": "walk"}\n',
    ],
)
def test_tables_of_many_writers_are_read(tmp_path, text):
    source = Chosen(TableSource(table(tmp_path, text)), ("x", "y"))
    assert read(source) == [(0.0, [1.0, 2.0], "sit"), (0.1, [1.5, 2.5], "sit"), (0.25, [3.0, 4.0], "walk")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seconds,x\n0,1\n0.1\n", "line 3: it has 1 cells, and the first line names 2 columns"),
        ("seconds,x\n0,1\n0.1,up\n", "line 3: x is 'up', which is no number"),
        (
            "seconds,x\n0.5,1\n0.1,2\n",
            "line 3: its time 0.1 is before that of the row above, 0.5: sort the rows",
        ),
        ("seconds,x\nsoon,1\n", "line 2: its time is 'soon': give seconds, or a date and time"),
        ("x,y\n1,2\n", "line 1: it names no column of times: call one seconds"),
        ("0,1\n1,2\n", "line 1: it names no columns"),
        ("seconds,x,x\n0,1,2\n", "line 1: it names the column x more than once"),
        ("seconds,word\n0,up\n", "line 2: it holds no readings"),
        ("seconds,x\n", "holds no row of readings"),
        ('{"x": 1}\n', "the row has no time"),
        ('{"seconds": 0, "x": 1}\nnothing\n', "line 2: 'nothing' is no JSON object"),
        ("seconds,x\n0," + "1" * 70_000 + "\n", "line 2: it is longer than 65,536 letters"),
    ],
)
def test_what_is_wrong_with_a_table_is_a_sentence(tmp_path, text, said):
    with pytest.raises(SourceError) as refused:
        list(TableSource(table(tmp_path, text)))
    assert said in str(refused.value)
    assert str(refused.value).startswith("readings.csv")


def test_files_that_are_none_are_refused_at_once(tmp_path):
    with pytest.raises(SourceError, match="there is no file"):
        open_source("nowhere.csv")
    with pytest.raises(SourceError, match="is empty"):
        open_source(str(table(tmp_path, "")))
    with pytest.raises(SourceError, match="UTF-8"):
        path = tmp_path / "old.csv"
        path.write_bytes("seconds,größe\n0,1\n".encode("latin-1"))
        list(TableSource(path))


def test_a_missing_reading_is_counted_and_left_out(tmp_path):
    source = TableSource(table(tmp_path, "seconds,x,y\n0,1,2\n0.1,,2\n0.2,nan,1\n0.3,3,4\n"))
    assert [seconds for seconds, _, _ in read(source)] == [0.0, 0.3]
    assert source.health.refused == {NO_READING: 2}


def test_a_compressed_table_that_is_cut_off_gives_what_is_there(tmp_path):
    rows = "".join(f"{n / 50},{n % 7},{n % 11}\n" for n in range(20_000))
    whole = gzip.compress(f"seconds,x,y\n{rows}".encode())
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    source = TableSource(path)
    assert 0 < len(list(source)) < 20_000
    assert amiss(source) == CUT_OFF


def test_rows_of_an_app_have_their_times_or_a_rate():
    assert read(RowSource([[1, 2], np.array([3.0, 4.0])], fps=10.0)) == [
        (0.0, [1.0, 2.0], None),
        (0.1, [3.0, 4.0], None),
    ]
    assert read(RowSource([(5.0, {"x": 1.0}), (5.5, {"x": 2.0})])) == [(5.0, [1.0], None), (5.5, [2.0], None)]
    with pytest.raises(SourceError, match="the row has no time"):
        list(RowSource([[1.0, 2.0]]))
    with pytest.raises(SourceError, match="row 1: 'x' is no row of readings"):
        list(RowSource([[1.0], "x"], fps=1.0))


def test_rows_that_arrive_are_stamped_and_a_clock_that_goes_back_begins_a_segment():
    source = RowSource([])
    times = iter([7.0, 7.5, 8.0])
    stamped = frames_of(
        source, rows_of_lines(source, ["x", "1", "2", "3"], timed=False), arrival=lambda: next(times)
    )
    assert [frame.timestamp for frame in stamped] == [0.0, 0.5, 1.0]
    back = RowSource([(0.0, [1.0]), (1.0, [1.0]), (0.5, [1.0])])
    assert [frame.segment for frame in back] == [0, 0, 1]


def test_channels_are_chosen_by_name_and_refused_where_one_is_missing():
    rows = [{"seconds": 0.0, "x": 1.0, "y": 2.0}]
    assert read(Chosen(RowSource(rows), ("y", "x"))) == [(0.0, [2.0, 1.0], None)]
    with pytest.raises(
        SourceError, match=r"rows has 2 channels \(x, y\), and the model takes 2 channels \(y, z\): z is"
    ):
        list(Chosen(RowSource(rows), ("y", "z")))
    with pytest.raises(SourceError, match="rows of 3 numbers without names"):
        list(Chosen(RowSource([[1, 2, 3]], fps=1.0), ("x", "y")))


def ticked(times, values, fps=10.0, max_gap=1.0):
    source = RowSource([(t, [v]) for t, v in zip(times, values, strict=True)])
    return [(f.timestamp, float(f.data[0])) for f in Resampled(source, fps, max_gap)]


@pytest.mark.parametrize("seed", range(8))
def test_a_stream_is_resampled_as_a_recording_is(seed):
    rng = np.random.default_rng(seed)
    steps = rng.choice([0.005, 0.02, 0.03, 0.1, 0.1 + 1e-9, 0.4, 3.0], 60)
    times = 100.0 + np.cumsum(steps)
    values = rng.normal(size=60).astype(np.float32)
    before, seconds, share = ticks(times, 25.0, 1.0)
    after = np.minimum(before + 1, 59)
    expected = values[before] + share * (values[after] - values[before])
    found = ticked(times.tolist(), values.tolist(), 25.0)
    assert np.allclose([t for t, _ in found], seconds)
    assert np.allclose([v for _, v in found], expected, atol=1e-5)


def test_gaps_are_gaps_and_nothing_is_invented_in_them():
    found = ticked([0.0, 0.2, 5.0, 5.1], [0.0, 2.0, 9.0, 8.0])
    assert [round(t, 3) for t, _ in found] == [0.0, 0.1, 0.2, 5.0, 5.1]
    assert [round(v, 3) for _, v in found] == [0.0, 1.0, 2.0, 9.0, 8.0]
    assert all(min(abs(t - row) for row in (0.0, 0.2, 5.0, 5.1)) <= 1.0 for t, _ in found)


def test_a_clock_that_is_late_or_stands_still_gives_each_tick_once():
    found = ticked([0.0, 0.1, 0.1, 0.1, 0.2, 0.1, 0.15], [0.0, 1.0, 5.0, 6.0, 7.0, 0.0, 1.0])
    assert [round(t, 3) for t, _ in found] == [0.0, 0.1, 0.2, 0.1]
    assert all(math.isfinite(v) for _, v in found)


def test_lines_of_a_port_are_numbers_or_objects_and_noise_is_counted():
    source = SerialSource("serial:/dev/null?channels=ms,x,y")
    source.channels = ("x", "y")
    rows = [
        row
        for text in ("100, 1, 2", "\x00\xff", "200;3;4", "1", '{"ms": 300, "x": 5, "y": 6}')
        for row in source._read(text)
    ]
    assert [(row.time, row.values.tolist()) for row in rows] == [(0.1, [1, 2]), (0.2, [3, 4]), (0.3, [5, 6])]
    assert sum(source.health.refused.values()) == 2


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("serial:", "names no port"),
        ("serial:/dev/ttyUSB0?baud=fast", "baud is 'fast'"),
        ("serial:/dev/ttyUSB0?speed=1", "there is no option 'speed'"),
        ("mqtt://broker", "names no topic"),
        ("mqtt:///topic", "give mqtt://host/topic"),
        ("mqtt://me:secret@broker/a?qos=2", "there is no option 'qos'"),
    ],
)
def test_addresses_of_sensors_are_checked_and_keep_their_password(address, said):
    with pytest.raises(SourceError) as refused:
        open_source(address)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_broker_is_named_without_its_password():
    source = open_source("mqtt://me:secret@broker/phone/sensors?channels=x,y")
    assert "secret" not in source.name
    assert (source.sense, source.live, source.channels) == ("signal", True, ("x", "y"))


@pytest.mark.parametrize(
    "text",
    [
        "seconds,x,y,note\n0.0,,1,\n0.1,2,3,left\n0.2,4,5,\n",
        "seconds,x,y,note\n0.0,,,\n0.1,2,3,\n0.2,4,5,\n",
        '{"seconds": 0, "x": null, "y": 1}\n{"seconds": 0.1, "x": 2, "y": 3}\n{"seconds": 0.2, "x": 4, "y": 5}\n',
    ],
)
def test_a_reading_that_is_missing_in_the_first_row_costs_that_row_and_not_the_channel(tmp_path, text):
    source = TableSource(table(tmp_path, text))
    assert read(source) == [(0.1, [2.0, 3.0], None), (0.2, [4.0, 5.0], None)]
    assert source.channels == ("x", "y") and source.health.refused == {NO_READING: 1}


def test_rows_of_now_are_not_held_back_until_each_channel_has_a_reading():
    source = RowSource([], live=True)
    rows = rows_of_lines(source, iter(["x,y\n", ",1\n", "2,3\n"]), timed=False)
    assert next(rows).values is None and next(rows).values.tolist() == [2.0, 3.0]
    assert source.channels == ("x", "y")


def test_what_is_missing_in_a_hundred_rows_is_no_channel():
    rows = [{"seconds": n / 10, "x": n, "fault": None} for n in range(103)]
    source = RowSource(rows)
    assert len(read(source)) == 3 and source.channels == ("x",)


@pytest.mark.parametrize("clock", ["time", "ms"])
def test_dates_are_utc_where_no_zone_is_given_and_are_never_thousandths(tmp_path, monkeypatch, clock):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        # Winter begins in Berlin between these two.
        dates = ("2026-10-25T02:59:55", "2026-10-25T03:00:05")
        lines = "".join(f'{{"{clock}": "{date}", "x": 1}}\n' for date in dates)
        for text in (lines, f"{clock},x\n{dates[0]},1\n{dates[1]},1\n"):
            first, second = TableSource(table(tmp_path, text))
            assert second.timestamp - first.timestamp == pytest.approx(10.0)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("retries", [0, 3, None])
@pytest.mark.parametrize(
    ("address", "sense"),
    [
        ("mqtt://h/t", "signal"),
        ("mqtt://h/t", "video"),
        ("serial:/dev/ttyUSB0", "signal"),
        ("mic:", "video"),
        ("mic:", "sound"),
        ("rtsp://h/s", "sound"),
        ("rtsp://h/s#sound", "video"),
        ("rtsp://h/s", "video"),
        ("0", "video"),
    ],
)
def test_each_live_source_is_opened_again_as_often_as_is_asked(address, sense, retries):
    assert open_source(address, retries=retries, sense=sense)._retries == retries
