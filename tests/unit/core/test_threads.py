"""Threads are shared out in one place."""

from __future__ import annotations

import cv2

from streamrec.core import threads


def test_a_small_picture_takes_one_thread_and_a_large_one_no_more_than_there_are(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 2)
    assert threads.for_engine(80 * 64) == 1
    assert threads.for_engine(224 * 224) == 2
    monkeypatch.setattr(threads, "cores", lambda: 64)
    assert threads.for_engine(224 * 224) == 4


def test_frames_are_encoded_on_every_core_but_on_no_more_than_are_allowed(monkeypatch):
    for there, taken in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(threads, "cores", lambda there=there: there)
        assert threads.for_encoding() == taken
        assert threads.for_encoding(1) == 1
        assert threads.for_encoding(3) == 3


def test_a_decoder_leaves_a_core_to_the_engine(monkeypatch):
    for there, taken in ((1, 1), (2, 1), (4, 3), (64, 4)):
        monkeypatch.setattr(threads, "cores", lambda there=there: there)
        assert threads.for_decoder() == taken


def test_opencv_takes_one_thread_where_a_program_limits_it():
    before = cv2.getNumThreads()
    try:
        threads.limit_opencv_threads()
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)
