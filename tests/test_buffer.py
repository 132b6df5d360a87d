import threading
import time

import pytest

from streamrec.buffer import RingBuffer


def test_a_full_live_buffer_forgets_its_oldest_and_counts_it():
    buffer = RingBuffer(3, drop_oldest=True)
    for n in range(10):
        assert buffer.put(n)
    buffer.close()
    assert list(buffer) == [7, 8, 9]
    assert buffer.dropped == 7


def test_a_full_file_buffer_makes_its_writer_wait_and_loses_nothing():
    buffer = RingBuffer(2, drop_oldest=False)

    def write():
        for n in range(200):
            buffer.put(n)
        buffer.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert list(buffer) == list(range(200))
    writer.join(5)
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
    writer.join(5)
    assert answers == [False]


def test_closing_frees_a_reader_that_waits():
    buffer = RingBuffer(1, drop_oldest=True)
    seen = []
    reader = threading.Thread(target=lambda: seen.append(list(buffer)))
    reader.start()
    buffer.close()
    reader.join(5)
    assert seen == [[]]


def test_waiting_costs_no_processor_time():
    buffer = RingBuffer(1, drop_oldest=True)
    used = []

    def wait():
        begun = time.thread_time()
        list(buffer)
        used.append(time.thread_time() - begun)

    reader = threading.Thread(target=wait)
    reader.start()
    time.sleep(0.5)
    buffer.close()
    reader.join(5)
    assert used[0] < 0.05


def test_a_buffer_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        RingBuffer(0, drop_oldest=True)
