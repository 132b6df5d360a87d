"""Threads that wait for a ring buffer: they wait for as much as they should, and at no cost."""

import threading
import time

from streamrec.pipeline.ring_buffer import RingBuffer


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
    reader.join(60.0)
    assert used[0] < 0.05


def test_a_reader_that_found_nothing_waits_for_a_run_and_then_takes_all_of_it():
    buffer = RingBuffer(8, drop_oldest=False, together=4)
    read = []
    reader = threading.Thread(target=lambda: read.extend(buffer))
    reader.start()
    for n in range(3):
        buffer.put(n)
    time.sleep(0.05)
    assert read == []
    buffer.put(3)
    wait_until(lambda: read == [0, 1, 2, 3])
    buffer.put(4)
    buffer.close()  # what is there is read, however little
    reader.join(60.0)
    assert read == [0, 1, 2, 3, 4]


def test_a_writer_that_found_no_room_waits_for_room_for_a_run():
    buffer = RingBuffer(4, drop_oldest=False, together=2)
    written = []

    def write():
        for n in range(6):
            buffer.put(n)
            written.append(n)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(written) == 4)
    assert buffer.take() == 0
    time.sleep(0.05)
    assert len(written) == 4
    assert buffer.take() == 1
    writer.join(60.0)
    assert len(written) == 6


def wait_until(what, seconds=5.0):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.005)
