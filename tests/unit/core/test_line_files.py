"""Files whose errors stop nobody: a disk that fills, a reader that stops, a file that is moved away."""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path

import pytest

from streamrec.core import line_files
from streamrec.core.line_files import BackgroundLineFile, LineFile


@pytest.fixture
def disk(monkeypatch):
    """A disk of so many bytes; ``grow`` makes room, and the clock goes on a second with each line."""

    class Disk:
        room = 10**9

        def write(self, file: int, data: bytes) -> int:
            if self.room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            done = real(file, data[: self.room])
            self.room -= done
            return done

    real, made, now = os.write, Disk(), [0.0]

    def later() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(line_files.os, "write", made.write)
    monkeypatch.setattr(line_files.time, "monotonic", later)
    return made


def test_a_full_disk_is_reported_once_and_when_there_is_room_the_lines_go_on_in_order(tmp_path, disk):
    logged: list[str] = []
    path = tmp_path / "out.jsonl"
    file = LineFile(path, "out.jsonl", log=logged.append)
    disk.room = 25
    for number in range(6):
        file.write(f"line {number:03d}.\n")
    assert len(logged) == 1
    assert "the disk is full" in logged[0]
    disk.room = 10**9
    file.write("line 006.\n")
    file.close()
    assert path.read_text() == "".join(f"line {number:03d}.\n" for number in range(7))
    assert logged[1:] == ["out.jsonl is written again"]


def test_where_too_much_waits_the_oldest_lines_are_lost_counted_and_no_line_is_broken(tmp_path, disk):
    logged: list[str] = []
    path = tmp_path / "out.jsonl"
    file = LineFile(path, "out.jsonl", log=logged.append, room=50)
    disk.room = 25
    for number in range(100):
        file.write(f"line {number:03d}.\n")
    disk.room = 10**9
    file.write("line 100.\n")
    file.close()
    lines = path.read_text().splitlines()
    assert all(len(line) == 9 for line in lines)
    assert lines[-1] == "line 100."
    assert f"{101 - len(lines)} lines were lost" in logged[-1]


def test_a_half_line_does_not_stay_where_its_rest_never_comes(tmp_path, disk):
    logged: list[str] = []
    path = tmp_path / "out.jsonl"
    file = LineFile(path, "out.jsonl", log=logged.append)
    disk.room = 25
    for number in range(5):
        file.write(f"line {number:03d}.\n")
    file.close()
    assert path.read_text() == "line 000.\nline 001.\n"
    assert logged[-1] == "out.jsonl: 3 lines were lost"


def test_a_new_file_is_for_its_owner_and_one_that_is_moved_away_is_made_anew(tmp_path, disk):
    path = tmp_path / "out.jsonl"
    file = LineFile(path, "out.jsonl")
    assert path.stat().st_mode & 0o777 == 0o600
    file.write("one\n")
    path.rename(tmp_path / "old.jsonl")
    file.write("two\n")
    path.unlink()
    file.write("three\n")
    file.close()
    assert (tmp_path / "old.jsonl").read_text() == "one\n"
    assert path.read_text() == "three\n"


def test_a_place_that_cannot_be_written_is_an_error_at_once(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        LineFile(tmp_path / "nowhere" / "out.jsonl", "out.jsonl")


def test_a_reader_that_left_is_one_error_and_then_known():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        file = LineFile(stream, "standard output")
        file.write("nobody hears it\n")
        assert file.gone
        with pytest.raises(BrokenPipeError):
            file.write("again\n")


def test_letters_that_a_stream_does_not_know_are_escaped(tmp_path):
    with (tmp_path / "out.txt").open("w", encoding="cp1252") as stream:
        LineFile(stream, "out.txt").write("é 玄関\n")
    assert (tmp_path / "out.txt").read_bytes() == b"\xe9 \\u7384\\u95a2\n"


def test_a_reader_that_stopped_blocks_no_writer_and_what_is_lost_is_counted():
    logged: list[str] = []
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        file = BackgroundLineFile(
            LineFile(stream, "standard output"), log=logged.append, room=10_000, patience=0.05
        )
        for number in range(20_000):  # a pipe takes 64 kB
            file.write(f"line {number:06d}\n")
        file.close()
        lost = sum(int(word) for sentence in logged for word in sentence.split() if word.isdigit())
        assert 10_000 < lost < 20_000
        os.close(reading)  # ends the thread, which still waits for it


def test_what_is_lost_is_logged_before_a_write_that_never_returns():
    logged: list[str] = []
    begun, first, never = threading.Event(), threading.Event(), threading.Event()

    class Stopped(LineFile):
        def write(self, text):
            begun.set()
            (first if text == b"0\n" else never).wait()

    file = BackgroundLineFile(Stopped(io.StringIO(), "out"), log=logged.append, room=2, patience=0.0)
    file.write("0\n")
    assert begun.wait(60.0)
    for number in range(1, 5):
        file.write(f"{number}\n")  # room for one
    begun.clear()
    first.set()
    assert begun.wait(60.0)
    assert logged == ["out was read too slowly: 3 lines were lost"]
    never.set()
    file.close()


def test_what_is_handed_over_arrives_in_order_and_is_there_when_it_is_closed(tmp_path):
    path = tmp_path / "out.txt"
    file = BackgroundLineFile(LineFile(path, "out.txt"), patience=30.0)
    writers = [
        threading.Thread(target=lambda n=n: [file.write(f"{n} {i}\n") for i in range(200)]) for n in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    file.close()
    lines = path.read_text().splitlines()
    for n in range(3):
        assert [line for line in lines if line.startswith(f"{n} ")] == [f"{n} {i}" for i in range(200)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_real_full_device_is_reported(capfd):
    logged: list[str] = []
    with Path("/dev/full").open("w") as stream:
        file = LineFile(stream, "standard output", log=logged.append)
        file.write("x\n")
        file.close()
    assert [sentence.split(":")[0] for sentence in logged] == [
        "standard output cannot be written",
        "standard output",
    ]
