"""Camera clocks that are wrong, and right ones that seem odd."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from streamrec.sources.camera_clock import GOOD_SECONDS, ClockMonitor, Mark, Slow
from streamrec.sources.monitors import LAG_SECONDS, LagMonitor, SourceClock

FPS = 15
KEY, OTHER = 20_000, 2_000  # bytes of a key frame, and of another picture
PACKET = 10_000.0  # bytes a second of a slow line


def taken(seconds: float) -> Iterator[tuple[float, int]]:
    """When pictures are taken, and their bytes: one in fifteen is a key frame."""
    for number in range(round(seconds * FPS)):
        yield number / FPS, KEY if number % 15 == 0 else OTHER


def marks(
    seconds: float, times: Callable[[float, int], float], *, jitter: float = 0.01, seed: int = 1
) -> Iterator[Mark]:
    """A good line: pictures come as they are taken, with what the clock times of each."""
    chance, read = random.Random(seed), 0
    for number, (at, size) in enumerate(taken(seconds)):
        read += size
        yield Mark(times(at, number), 100.0 + at + chance.uniform(0.0, jitter), read, 0.9 * at)


def judged(pictures: Iterable[Mark]) -> tuple[ClockMonitor, float | None]:
    """What is made of them, and after how many seconds they are believed no more."""
    timing, lag = ClockMonitor(), LagMonitor()
    for mark in pictures:
        if not timing.step(mark):
            return timing, mark.captured - 100.0
        if timing.jumped:
            lag = LagMonitor()
        lag.step(mark.camera_time, mark.captured, LAG_SECONDS)
        if lag.lasts(mark.captured) and timing.lagged() is not Slow.clock:
            return timing, None
    return timing, None


@pytest.mark.parametrize(
    ("times", "reason", "within"),
    [
        (lambda at, number: 7.0, "stands still", 1.5),
        (lambda at, number: 7.0 + number / 90_000, "stands still", 1.5),
        (lambda at, number: 500.0 - at, "runs back", 1.5),
        (lambda at, number: 2.0 * at, "runs at 2.0 times ours", 4.5),
        (lambda at, number: 90.0 * at, "jumps again and again", 1.5),
        (lambda at, number: 1.3 * at, "runs at 1.3 times ours", 5.0),
        (lambda at, number: 1.08 * at, "runs at 1.08 times ours", 60.0),
        (lambda at, number: 0.5 * at, "runs at 0.5 times ours", 5.5),
        (lambda at, number: 0.2 * at, "runs at 0.2 times ours", 4.5),
        (lambda at, number: 0.9 * at, "runs at 0.90 times ours", 30.0),
        (lambda at, number: random.Random(number).uniform(0, 47_000), "jumps again and again", 1.0),
        (lambda at, number: random.Random(number).uniform(0, 0.9), "the camera's clock", 3.0),
        (lambda at, number: at + 100.0 * (at // 5.0), "jumps again and again", 16.0),
        (lambda at, number: at % 5.0, "jumps again and again", 16.0),
    ],
)
def test_a_clock_that_lies_is_found_out_and_reported(times, reason, within):
    timing, after = judged(marks(100.0, times))
    assert after is not None
    assert after <= within
    assert reason in timing.reason
    assert timing.reason.endswith("; arrival times are used")


def burst_at_the_opening() -> Iterator[Mark]:
    """Three seconds of pictures at once, as a server keeps them."""
    for mark in marks(60.0, lambda at, number: at):
        yield Mark(
            mark.camera_time,
            max(103.0 + mark.camera_time / 100, mark.captured),
            mark.read,
            max(0.0, mark.camera_time - 3.0),
        )


def stall_and_burst() -> Iterator[Mark]:
    """For five seconds nothing comes, then all of it at once; three times."""
    for mark in marks(60.0, lambda at, number: at):
        begun = next((t for t in (110.0, 125.0, 140.0) if t <= mark.captured < t + 5.0), None)
        captured = mark.captured if begun is None else begun + 5.0 + (mark.captured - begun) / 100
        yield Mark(mark.camera_time, captured, mark.read, mark.idle)


def backlog_made_up_for_slowly() -> Iterator[Mark]:
    """Five seconds late after a stall, and on time ten seconds later."""
    for mark in marks(60.0, lambda at, number: at):
        late = max(0.0, 5.0 - max(0.0, mark.captured - 115.0) / 2) if mark.captured >= 110.0 else 0.0
        yield Mark(
            mark.camera_time, max(mark.captured, min(115.0, mark.captured) + late), mark.read, mark.idle
        )


def busy_machine() -> Iterator[Mark]:
    """Whoever reads was late from the beginning, and catches up: there is always something to be read."""
    for mark in marks(60.0, lambda at, number: at):
        yield Mark(
            mark.camera_time,
            mark.captured + max(0.0, 4.0 - mark.camera_time / 2),
            mark.read,
            max(0.0, mark.camera_time - 8.0),
        )


def set_twice() -> Iterator[Mark]:
    yield from marks(
        60.0, lambda at, number: at + (3600.0 if at > 5.0 else 0.0) - (7200.0 if at > 30 else 0.0)
    )


def wraps() -> Iterator[Mark]:
    """33 bits of 90 kHz are over after a day, where nobody makes up for it."""
    yield from marks(60.0, lambda at, number: (95_440.0 + at) % (2**33 / 90_000))


HONEST = [
    lambda: marks(300.0, lambda at, number: at, jitter=0.5),
    lambda: marks(300.0, lambda at, number: 1.004 * at),
    lambda: marks(300.0, lambda at, number: 0.996 * at),
    lambda: marks(100.0, lambda at, number: at - 0.3 * (number % 7 == 0)),
    burst_at_the_opening,
    stall_and_burst,
    backlog_made_up_for_slowly,
    busy_machine,
    set_twice,
    wraps,
]


@pytest.mark.parametrize("pictures", HONEST)
def test_an_honest_clock_is_believed(pictures):
    timing = ClockMonitor()
    assert all(timing.step(mark) for mark in pictures())
    assert timing.reason == ""
    assert timing.early <= (0.3 if pictures is not HONEST[1] else 1.0)  # that one gains a second in all


@pytest.mark.parametrize("rate", [1.2, 2.0, 5.0])
def test_a_fast_clock_is_never_ahead_of_the_arrivals_not_even_before_it_is_found_out(rate):
    timing, clock = ClockMonitor(), SourceClock(100.0)
    for mark in marks(30.0, lambda at, number: rate * at):
        believed = timing.step(mark)
        moment, _ = clock.step(mark.camera_time - timing.early if believed else None, mark.captured)
        assert moment - (mark.captured - 100.0) <= 0.35
    assert not timing.trusted


def test_what_waited_at_the_opening_keeps_its_own_rhythm():
    timing, clock, moments = ClockMonitor(), SourceClock(103.0), []
    for mark in burst_at_the_opening():
        assert timing.step(mark)
        moments.append(clock.step(mark.camera_time - timing.early, mark.captured)[0])
    gaps = [b - a for a, b in itertools.pairwise(moments)]
    assert gaps[:40] == pytest.approx([1 / FPS] * 40, abs=0.01)


def slow_line(seconds: float, rate: float, sizes: Callable[[int], int] | None = None) -> Iterator[Mark]:
    """An honest clock behind a line that carries ``rate`` of what is sent."""
    free, read = 100.0, 0
    pictures = list(taken(seconds))
    a_second = sum(size for _, size in pictures) / seconds
    for number, (at, size) in enumerate(pictures):
        size = size if sizes is None else sizes(number)
        a_second = a_second if sizes is None else sizes(0) * FPS
        free = max(free, 100.0 + at) + size / (rate * a_second)
        read += size
        yield Mark(at, free, read, 0.9 * at)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_a_slow_line_is_no_slow_clock(rate):
    timing, lag = ClockMonitor(), LagMonitor()
    for mark in slow_line(60.0, rate):
        assert timing.step(mark)
        lag.step(mark.camera_time, mark.captured, LAG_SECONDS)
        if lag.lasts(mark.captured):
            assert timing.lagged() is Slow.line
            return
    pytest.fail("it was never late")


def test_where_all_pictures_are_of_one_size_it_is_not_known_and_times_are_those_of_arrival_from_the_second_time_on():
    timing = ClockMonitor()
    for opening in range(2):
        timing.reopened()
        lag = LagMonitor()
        for mark in slow_line(60.0, 0.5, lambda number: OTHER):
            timing.step(mark)
            lag.step(mark.camera_time, mark.captured, LAG_SECONDS)
            if lag.lasts(mark.captured):
                assert timing.lagged() is Slow.unknown
                break
        assert timing.trusted is (opening == 0)
    assert not timing.sure  # the line is still monitored
    assert "the camera's clock or the line to it is slow" in timing.reason


def test_what_is_known_of_a_clock_outlives_another_opening():
    timing = ClockMonitor()
    for mark in marks(10.0, lambda at, number: 2.0 * at):
        timing.step(mark)
    timing.reopened()
    assert not any(timing.step(mark) for mark in marks(10.0, lambda at, number: 2.0 * at))


def test_a_clock_that_keeps_time_again_is_believed_again_and_after_that_only_for_longer():
    timing, believed = ClockMonitor(), []
    for _ in range(2):
        for mark in marks(20.0, lambda at, number: 2.0 * at):
            timing.step(mark)
        assert not timing.trusted
        timing.reopened()
        since = None
        for mark in marks(200.0, lambda at, number: at):
            if timing.step(mark) and since is None:
                since = mark.camera_time
                assert timing.reason == ""
        believed.append(since)
        timing.reopened()
    assert believed[0] == pytest.approx(GOOD_SECONDS, abs=5.0)
    assert believed[1] == pytest.approx(2 * GOOD_SECONDS, abs=5.0)


def test_a_clock_that_is_slow_for_good_never_is():
    timing = ClockMonitor()
    for mark in marks(20.0, lambda at, number: 7.0):
        timing.step(mark)
    timing.reopened()
    assert not any(timing.step(mark) for mark in marks(2000.0, lambda at, number: 0.95 * at))


@pytest.mark.parametrize("rate", [0.0, 0.5, 2.0, -1.0])
def test_from_then_on_seconds_are_ours_and_time_never_goes_back(rate):
    timing, clock = ClockMonitor(), SourceClock(100.0)
    times, jumps = [], 0
    for mark in marks(40.0, lambda at, number: rate * at):
        trusted = mark.camera_time if timing.step(mark) else None
        if timing.trusted and rate == 0.5 and mark.captured > 105.0:
            timing.lagged()
        moment, jumped = clock.step(trusted, mark.captured)
        times.append((mark.captured, moment))
        jumps += jumped
    assert all(b > a for (_, a), (_, b) in itertools.pairwise(times))
    assert jumps == 0
    (since, then), (until, now) = times[10 * FPS], times[-1]
    assert now - then == pytest.approx(until - since, abs=0.05)
    if rate <= 1.0:
        assert now == pytest.approx(until - 100.0, abs=0.05)


def test_pictures_that_come_in_pieces_are_judged_by_what_the_pieces_cannot_hide():
    timing = ClockMonitor()
    paced = [
        Mark(mark.camera_time, mark.camera_time + 100.0) for mark in marks(60.0, lambda at, number: 2.0 * at)
    ]
    assert all(timing.step(mark, paced=True) for mark in paced)
    assert not all(timing.step(mark, paced=True) for mark in marks(9.0, lambda at, number: 5.0))
