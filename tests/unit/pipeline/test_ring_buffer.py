import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamrec.pipeline.ring_buffer import RingBuffer


@contextmanager
def writing(buffer: RingBuffer, count: int) -> Iterator[None]:
    """A thread that puts so many numbers into it and closes it."""

    def write() -> None:
        for n in range(count):
            buffer.put(n)
        buffer.close()

    writer = threading.Thread(target=write)
    writer.start()
    yield
    writer.join(60.0)


def test_a_full_live_buffer_forgets_its_oldest_and_counts_it():
    buffer = RingBuffer(3, drop_oldest=True)
    for n in range(10):
        assert buffer.put(n)
    buffer.close()
    assert list(buffer) == [7, 8, 9]
    assert buffer.dropped == 7


def test_a_full_file_buffer_makes_its_writer_wait_and_loses_nothing():
    buffer = RingBuffer(2, drop_oldest=False)
    with writing(buffer, 200):
        assert list(buffer) == list(range(200))
    assert buffer.dropped == 0


def test_an_error_is_raised_after_what_was_buffered():
    buffer = RingBuffer(4, drop_oldest=False)
    buffer.put("first")
    buffer.close(OSError("the cable"))
    items = iter(buffer)
    assert next(items) == "first"
    with pytest.raises(OSError, match="the cable"):
        next(items)


def test_only_the_first_close_counts():
    buffer = RingBuffer(1, drop_oldest=False)
    buffer.close()
    buffer.close(OSError("too late"))
    assert list(buffer) == []


def test_closing_frees_a_writer_that_waits():
    buffer = RingBuffer(1, drop_oldest=False)
    buffer.put(0)
    answers = []
    writer = threading.Thread(target=lambda: answers.append(buffer.put(1)))
    writer.start()
    buffer.close()
    writer.join(60.0)
    assert answers == [False]


def test_closing_frees_a_reader_that_waits():
    buffer = RingBuffer(1, drop_oldest=True)
    seen = []
    reader = threading.Thread(target=lambda: seen.append(list(buffer)))
    reader.start()
    buffer.close()
    reader.join(60.0)
    assert seen == [[]]


def test_a_buffer_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        RingBuffer(0, drop_oldest=True)


def test_runs_lose_nothing_and_keep_the_order():
    buffer = RingBuffer(16, drop_oldest=False, together=8)
    with writing(buffer, 1003):
        assert list(buffer) == list(range(1003))


@pytest.mark.parametrize(("capacity", "together"), [(0, 1), (4, 0), (4, 5)])
def test_a_buffer_that_could_never_be_read_is_refused(capacity, together):
    with pytest.raises(ValueError, match=r"a whole number of at least 1|cannot be read"):
        RingBuffer(capacity, drop_oldest=False, together=together)
