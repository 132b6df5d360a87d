"""A person before a camera becomes clips: each whole, at its true times, listed, and never overwritten."""

from __future__ import annotations

import csv
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import av
import numpy as np
import pytest

from streamrec import Frame
from streamrec.commands.record_session import RecordJob
from streamrec.data.clip_recorder import (
    ClipFolder,
    Phase,
    Recorder,
    Session,
    order_of,
    parse_labels,
    session_of,
)
from streamrec.data.clips import find_clips
from streamrec.errors import DataError, SourceError
from streamrec.sources.iterable import IterableSource
from streamrec.types import Source
from tests.helpers.commands import main_here
from tests.helpers.paths import ROOT
from tests.system.test_cli import assert_refused, environment, pictures_in, streamrec, write_video

__all__ = ["main_here"]  # a fixture


def frames(count: int, *, fps: float = 10.0, start: float = 0.0, segment: int = 0):
    for n in range(count):
        yield Frame(np.full((48, 64, 3), n % 200, np.uint8), n, start + n / fps, segment, "camera")


class Sitting:
    """A recorder with its folder, whose cues and words are remembered."""

    def __init__(self, path: Path, labels: list[str], *, seconds: float = 1.0, countdown: float = 2.0):
        self.said: list[str] = []
        self.folder = ClipFolder(path)
        self.recorder = Recorder(
            self.folder,
            Session("me", 1),
            labels,
            seconds=seconds,
            countdown=countdown,
            names=tuple(dict.fromkeys(labels)),
            log=self.said.append,
        )
        self.phases: list[tuple[Phase, str]] = []

    def watch(self, stream, keys: dict[int, str] | None = None) -> None:
        """Step through frames, with keys pressed after the frames of these numbers."""
        for number, frame in enumerate(stream):
            cue = self.recorder.step(frame)
            self.phases.append((cue.phase, cue.label))
            self.recorder.press((keys or {}).get(number, ""))

    def course(self) -> list[tuple[Phase, str, int]]:
        """Phases one after the other, and for how many frames each."""
        return [(*phase, len(list(same))) for phase, same in groupby(self.phases)]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def times_in(path: Path) -> tuple[list[float], float]:
    """When each picture is shown, and how long the video lasts."""
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.duration is not None
        times = [float(frame.pts * frame.time_base) for frame in video.decode(stream)]
        return times, float(stream.duration * stream.time_base)


class TestClips:
    def test_a_countdown_a_clip_and_the_next_follow_the_clock_of_the_camera(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave", "clap"])
        sitting.watch(frames(81))
        assert sitting.course() == [
            (Phase.COUNTDOWN, "wave", 20),
            (Phase.RECORDING, "wave", 10),
            (Phase.COUNTDOWN, "clap", 20),
            (Phase.RECORDING, "clap", 10),
            (Phase.OVER, "", 20),
            (Phase.DONE, "", 1),
        ]
        assert files(tmp_path) == ["clap/me-1-01.mp4", "index.csv", "wave/me-1-01.mp4"]

    def test_a_number_chooses_the_label_that_comes_next(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave", "clap", "wave"])
        sitting.watch(frames(141), keys={5: "2", 30: "1", 40: "2", 45: "9"})
        assert [label for phase, label, _ in sitting.course() if phase is Phase.RECORDING] == [
            "clap",
            "wave",
            "wave",
        ]
        assert sitting.course()[:2] == [(Phase.COUNTDOWN, "wave", 6), (Phase.COUNTDOWN, "clap", 20)]
        assert "clap has all its clips" in sitting.said

    @pytest.mark.parametrize("fps", [7.5, 15.0, 29.97, 60.0])
    def test_a_clip_has_every_picture_of_its_seconds_at_its_true_time(self, tmp_path, fps):
        sitting = Sitting(tmp_path, ["wave"], seconds=2.0, countdown=0.5)
        sitting.watch(frames(round(3 * fps), fps=fps, start=123.4))
        times, duration = times_in(tmp_path / "wave" / "me-1-01.mp4")
        assert abs(len(times) - 2.0 * fps) <= 1
        assert np.allclose(times, np.arange(len(times)) / fps, atol=1e-4)
        assert abs(duration - 2.0) <= 1 / fps + 1e-4

    def test_an_uneven_camera_keeps_its_times(self, tmp_path):
        when = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.2, 60))
        picture = np.zeros((48, 64, 3), np.uint8)
        sitting = Sitting(tmp_path, ["wave"], seconds=3.0, countdown=0.0)
        sitting.watch(Frame(picture, n, float(t)) for n, t in enumerate(when))
        times, _ = times_in(tmp_path / "wave" / "me-1-01.mp4")
        assert np.allclose(times, (when - when[0])[: len(times)], atol=1e-4)
        assert times[-1] < 3.0 <= when[len(times)] - when[0]

    def test_the_index_names_clip_label_and_group_and_training_reads_it(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave", "clap"], countdown=0.0)
        sitting.watch(frames(21))
        assert rows(tmp_path) == [
            {"clip": "wave/me-1-01.mp4", "label": "wave", "group": "me-1"},
            {"clip": "clap/me-1-01.mp4", "label": "clap", "group": "me-1"},
        ]
        assert [(clip.path, clip.label, clip.group) for clip in find_clips(tmp_path)] == [
            (tmp_path / "wave" / "me-1-01.mp4", "wave", "me-1"),
            (tmp_path / "clap" / "me-1-01.mp4", "clap", "me-1"),
        ]

    def test_a_stream_that_breaks_off_costs_the_clip_but_not_its_turn(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave", "clap"], countdown=0.5)
        sitting.watch(frames(10))
        sitting.watch(frames(17, start=9.0, segment=1))
        assert any("broke off: wave once more" in line for line in sitting.said)
        assert files(tmp_path) == ["index.csv", "wave/me-1-01.mp4"]
        assert len(times_in(tmp_path / "wave" / "me-1-01.mp4")[0]) == 10

    def test_an_unfinished_clip_is_removed(self, tmp_path):
        sitting = Sitting(tmp_path / "clips", ["wave"], countdown=0.0)
        sitting.watch(frames(5))
        assert len(files(tmp_path)) == 1  # hidden, until it is whole
        sitting.recorder.close()
        assert files(tmp_path) == []

    def test_a_source_that_ends_leaves_only_clips_of_full_length(self, tmp_path):
        whole, short = (Sitting(tmp_path / name, ["wave"], countdown=0.0) for name in ("whole", "short"))
        for sitting, count in ((whole, 10), (short, 8)):
            sitting.watch(frames(count))
            sitting.recorder.end()
        assert files(tmp_path) == ["whole/index.csv", "whole/wave/me-1-01.mp4"]


class TestKeys:
    def test_space_pauses_and_goes_on_with_a_whole_countdown(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave"])
        sitting.watch(frames(60), {9: " ", 29: "\n"})
        assert sitting.course() == [
            (Phase.COUNTDOWN, "wave", 10),
            (Phase.PAUSED, "wave", 20),
            (Phase.COUNTDOWN, "wave", 20),
            (Phase.RECORDING, "wave", 10),
        ]

    def test_a_pause_in_the_middle_of_a_clip_drops_it(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave"], countdown=0.0)
        sitting.watch(frames(6), {4: " "})
        assert files(tmp_path) == []
        assert sitting.phases[-1] == (Phase.PAUSED, "wave")

    def test_a_reconnect_does_not_end_a_pause(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave"])
        sitting.watch(frames(3), {1: " "})
        sitting.watch(frames(40, segment=1))
        assert sitting.phases[-1] == (Phase.PAUSED, "wave")

    def test_r_repeats_the_last_clip(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave", "clap"])
        sitting.watch(frames(34), {33: "r"})
        assert files(tmp_path) == ["index.csv"]
        assert rows(tmp_path) == []
        sitting.watch(frames(150, start=4.0))
        assert [label for phase, label, _ in sitting.course() if phase is Phase.RECORDING] == [
            "wave",
            "wave",
            "clap",
        ]
        assert [row["clip"] for row in rows(tmp_path)] == ["wave/me-1-01.mp4", "clap/me-1-01.mp4"]

    def test_r_in_the_middle_of_a_clip_begins_it_anew_and_keeps_the_one_before(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave", "clap"], countdown=0.5)
        sitting.watch(frames(60), {22: "r"})
        assert [label for phase, label, _ in sitting.course() if phase is Phase.RECORDING] == [
            "wave",
            "clap",
            "clap",
        ]
        assert len(rows(tmp_path)) == 2

    def test_the_very_last_clip_can_be_repeated(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave"])
        sitting.watch(frames(36), {35: "r"})
        assert sitting.phases[-1] == (Phase.OVER, "")
        assert rows(tmp_path) == []
        sitting.watch(frames(60, start=4.0))
        assert [row["clip"] for row in rows(tmp_path)] == ["wave/me-1-01.mp4"]
        assert sitting.recorder.done

    def test_q_ends_and_leaves_whole_clips_only(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave", "clap"], countdown=0.0)
        sitting.watch(frames(16), {15: "q"})
        assert sitting.recorder.done
        assert files(tmp_path) == ["index.csv", "wave/me-1-01.mp4"]

    def test_other_keys_do_nothing(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave"])
        sitting.watch(frames(40), dict.fromkeys(range(40), "x"))
        assert len(rows(tmp_path)) == 1


class TestFolder:
    def test_a_session_that_lacks_clips_goes_on_and_a_full_one_is_followed_by_the_next(self, tmp_path):
        Sitting(tmp_path, ["wave", "clap", "wave"], countdown=0.0).watch(frames(31))
        folder = ClipFolder(tmp_path)
        assert session_of(folder, "me", ("wave", "clap"), clips=2).number == 1
        assert session_of(folder, "me", ("wave", "clap"), clips=1).number == 2
        assert session_of(folder, "me", ("wave", "clap"), clips=2, new=True).number == 2
        assert session_of(folder, "anna", ("wave", "clap"), clips=2).number == 1

    def test_a_clip_that_was_deleted_is_missing_and_its_name_free(self, tmp_path):
        Sitting(tmp_path, ["wave", "wave"], countdown=0.0).watch(frames(21))
        (tmp_path / "wave" / "me-1-01.mp4").unlink()
        folder = ClipFolder(tmp_path)
        assert folder.counts()["wave"] == 1
        Sitting(tmp_path, ["wave"], countdown=0.0).watch(frames(11))
        assert sorted(row["clip"] for row in rows(tmp_path)) == ["wave/me-1-01.mp4", "wave/me-1-02.mp4"]

    def test_nothing_that_is_there_is_overwritten(self, tmp_path):
        (tmp_path / "wave").mkdir()
        (tmp_path / "wave" / "me-1-01.mp4").write_bytes(b"a treasure")
        Sitting(tmp_path, ["wave"], countdown=0.0).watch(frames(11))
        assert (tmp_path / "wave" / "me-1-01.mp4").read_bytes() == b"a treasure"
        assert (tmp_path / "wave" / "me-1-02.mp4").stat().st_size > 0

    def test_a_clip_that_somebody_else_put_there_meanwhile_stays(self, tmp_path):
        sitting = Sitting(tmp_path, ["wave"], countdown=0.0)
        sitting.watch(frames(5))
        (tmp_path / "wave" / "me-1-01.mp4").write_bytes(b"a treasure")
        with pytest.raises(DataError, match="there already"):
            sitting.watch(frames(10, start=0.5))
        sitting.recorder.close()
        assert files(tmp_path) == ["wave/me-1-01.mp4"]
        assert (tmp_path / "wave" / "me-1-01.mp4").read_bytes() == b"a treasure"

    def test_clips_that_were_put_there_by_hand_are_taken_up_in_the_first_index(self, tmp_path):
        write_video(tmp_path / "jump" / "old.mp4", 5)
        before = find_clips_of(tmp_path / "jump")
        Sitting(tmp_path, ["wave"], countdown=0.0).watch(frames(11))
        clips = find_clips(tmp_path)
        assert [(clip.label, clip.path) for clip in clips if clip.label == "jump"] == before
        assert {clip.label for clip in clips} == {"jump", "wave"}

    def test_rows_and_columns_of_others_stay(self, tmp_path):
        index = tmp_path / "index.csv"
        index.write_text("label,clip,group,note\njump,../far.mp4,ben,by phone", encoding="utf-8")
        Sitting(tmp_path, ["wave"], countdown=0.0).watch(frames(11))
        assert index.read_text(encoding="utf-8") == (
            "label,clip,group,note\njump,../far.mp4,ben,by phone\nwave,wave/me-1-01.mp4,me-1,\n"
        )

    @pytest.mark.parametrize("text", ["a,b\n1,2\n", "clip,label\nx.mp4,wave\n", "", "\xff\xfe\0"])
    def test_an_index_that_is_none_is_refused_in_words(self, tmp_path, text):
        (tmp_path / "index.csv").write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match="mend it or move it away"):
            ClipFolder(tmp_path)

    def test_an_index_is_never_half_written(self, tmp_path, monkeypatch):
        sitting = Sitting(tmp_path, ["wave", "wave"], countdown=0.0)
        sitting.watch(frames(11))
        before = (tmp_path / "index.csv").read_text(encoding="utf-8")

        def full(file):
            raise OSError(28, "No space left on device", "index.csv")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            sitting.watch(frames(10, start=1.1))
        sitting.recorder.close()
        assert (tmp_path / "index.csv").read_text(encoding="utf-8") == before
        assert not (tmp_path / "wave" / "me-1-02.mp4").exists()  # not listed: no clip


def find_clips_of(folder: Path) -> list[tuple[str, Path]]:
    return [(folder.name, path) for path in sorted(folder.iterdir())]


def test_mixed_labels_come_in_rounds_of_all_in_another_order_each():
    order = order_of({"a": 20, "b": 20, "c": 20}, mixed=True, rng=random.Random(1))
    rounds = [tuple(order[n : n + 3]) for n in range(0, 60, 3)]
    assert all(sorted(labels) == ["a", "b", "c"] for labels in rounds)
    assert len(set(rounds)) > 1
    assert Counter(order_of({"a": 1, "b": 3}, mixed=True, rng=random.Random(1))) == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("wave,,clap", "a name is empty"),
        ("", "a name is empty"),
        ("wave,../etc", "cannot name a folder"),
        ("a/b", "cannot name a folder"),
        ("a\\b", "cannot name a folder"),
        (".hidden", "cannot name a folder"),
        ("-x", "cannot name a folder"),
        ("tab\there", "cannot name a folder"),
        ("wave,clap,wave", "wave stands there twice"),
        ("wave,Wave", "Wave stands there twice"),
        ("w" * 61, "60 are allowed"),
    ],
)
def test_labels_that_cannot_name_folders_are_refused_in_a_sentence(labels, says):
    with pytest.raises(DataError, match=re.escape(says)) as refused:
        parse_labels(labels)
    assert "\n" not in str(refused.value)


# -- the whole command


class Camera(Source):
    """A live source that gives so many frames, then dies as a camera does whose cable was pulled."""

    name, live = "webcam 0", True

    def __init__(self, count: int):
        self.count = count

    def __iter__(self):
        yield from frames(self.count)
        raise SourceError("webcam 0 stopped giving pictures; is it still plugged in?")


@contextmanager
def at_once(source: Source, *, capacity: int):
    """In the place of ``capture``: no frame is lost on a busy machine."""
    yield iter(source)


def test_a_camera_that_dies_in_the_middle_leaves_what_is_whole_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("streamrec.commands.record_session.capture", at_once)
    monkeypatch.setattr("streamrec.commands.record_session.open_source", lambda what: Camera(75))
    job = RecordJob(folder=tmp_path, labels="wave,clap", clips=2, seconds=1.0, countdown=2.0, show=False)
    with pytest.raises(SourceError, match="plugged in"):
        job.run()
    told = capsys.readouterr().out
    assert "2 missing, the same command goes on" in told
    assert len(rows(tmp_path)) == 2
    assert len(files(tmp_path)) == 3
    assert all(pictures_in(tmp_path / row["clip"]) == 10 for row in rows(tmp_path))
    monkeypatch.setattr("streamrec.commands.record_session.open_source", lambda what: Camera(1000))
    job.run()
    told = capsys.readouterr().out
    assert "2 clips of 1 s, me's session 1, which goes on" in told
    assert Counter(row["label"] for row in rows(tmp_path)) == {"wave": 2, "clap": 2}
    assert {row["group"] for row in rows(tmp_path)} == {"me-1"}


def test_a_source_that_ends_is_told(tmp_path, monkeypatch, capsys):
    source = IterableSource(frames(25), name="party.mp4")
    monkeypatch.setattr("streamrec.commands.record_session.open_source", lambda what: source)
    RecordJob(folder=tmp_path, labels="wave", clips=3, seconds=1.0).run()
    told = capsys.readouterr().out
    assert "party.mp4 has ended" in told
    assert "wave 2; 1 missing" in told


class TestCommand:
    def test_a_video_is_cut_into_clips_with_labels(self, main_here, tmp_path):
        video = write_video(tmp_path / "room.mp4", 61)
        words = (
            "record",
            tmp_path / "clips",
            "--labels",
            "wave,clap",
            "--source",
            video,
            "--order",
            "by-label",
        )
        run = main_here(*words, "--clips", "3", "--seconds", "1", "--person", "anna")
        assert run.returncode == 0, run.stderr
        assert [(row["label"], row["group"]) for row in rows(tmp_path / "clips")] == [
            ("wave", "anna-1"),
            ("wave", "anna-1"),
            ("wave", "anna-1"),
            ("clap", "anna-1"),
            ("clap", "anna-1"),
            ("clap", "anna-1"),
        ]
        assert all(pictures_in(tmp_path / "clips" / row["clip"]) == 10 for row in rows(tmp_path / "clips"))
        assert re.search(r"clips: clap 3, wave 3$", run.stdout.strip())

    def test_the_synthetic_world_acts_the_labels_a_body_a_group(self, main_here, tmp_path):
        words = ("record", tmp_path, "--labels", "wave,idle", "--source", "synthetic", "--seconds", "0.5")
        assert main_here(*words, "--clips", "2").returncode == 0
        assert Counter((row["label"], row["group"]) for row in rows(tmp_path)) == {
            (label, f"body-1-0{n}"): 1 for label in ("wave", "idle") for n in (1, 2)
        }
        again = main_here(*words, "--clips", "1")
        assert "body's session 2" in again.stdout
        clips = [tmp_path / row["clip"] for row in rows(tmp_path)]
        assert len({clip.read_bytes() for clip in clips}) == len(clips) == 6
        assert all(pictures_in(clip) == 15 for clip in clips)

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--labels", "wave,a/b"], "cannot name a folder"),
            (["--labels", "wave,,"], "a name is empty"),
            (["--labels", "wave", "--person", "../me"], "--person: '../me' cannot name a folder"),
            (["--labels", "wave", "--person", ""], "--person"),
            (["--labels", "wave,nothing", "--source", "synthetic"], "does not know nothing; it knows idle"),
            (["--labels", "wave", "--source", "nowhere.mp4"], "there is no file"),
            (["--labels", "wave", "--source", "97"], "streamrec doctor"),
        ],
    )
    def test_a_mistake_gets_one_sentence_and_leaves_nothing(self, main_here, tmp_path, words, says):
        run = main_here("record", tmp_path / "clips", *words)
        assert_refused(run, says)
        assert not (tmp_path / "clips").exists()

    def test_a_place_that_is_a_file_is_refused(self, main_here, tmp_path):
        (tmp_path / "clips").write_text("no folder")
        run = main_here("record", tmp_path / "clips", "--labels", "wave", "--source", "synthetic")
        assert_refused(run, "is a file; name a folder")

    @pytest.mark.slow
    def test_ctrl_c_ends_with_a_summary(self, tmp_path):
        run = AtTerminal(tmp_path, "--labels", "wave,clap", "--clips", "9", "--seconds", "0.5")
        run.wait_for(r"wave/me-1-0\d.mp4")
        run.process.send_signal(signal.SIGINT)
        told = run.end()
        assert run.process.returncode == 130
        assert re.search(r"clap \d, wave \d; \d+ missing, the same command goes on", told)
        assert "Traceback" not in told
        assert len(files(tmp_path / "clips")) == 1 + len(rows(tmp_path / "clips"))

    @pytest.mark.slow
    def test_keys_come_from_the_terminal_which_is_left_as_it_was(self, tmp_path):
        run = AtTerminal(tmp_path, "--labels", "wave,clap", "--clips", "9", "--seconds", "0.5")
        run.wait_for("comes next, clip 1 of 18")
        run.type(" ")
        run.wait_for("paused")
        run.type("\x1bOQ")  # F2 is no q
        run.type(" ")
        run.wait_for(r"me-1-01\.mp4")
        assert "\a" in run.told
        run.type("r")
        run.wait_for("once more")
        run.type("q")
        told = run.end()
        assert run.process.returncode == 0
        assert "missing" in told
        assert run.settings() == run.before


class AtTerminal:
    """``streamrec record`` with a person at its terminal and a live world in the camera's place."""

    PROGRAM = """
import sys
import streamrec.commands.record_session
from streamrec.commands.process import main
from streamrec.sources import IterableSource
from streamrec.sources.synthetic import World, WorldSettings
world = World(WorldSettings(width=64, height=48, fps=20.0, live=True))
streamrec.commands.record_session.open_source = lambda what: IterableSource(world, name="webcam 0", live=True)
main()
"""

    def __init__(self, folder: Path, *words: str):
        import termios

        self._own, theirs = pty.openpty()
        self._termios = termios
        self._theirs = theirs
        self.before = self.settings()
        self.told = ""
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                self.PROGRAM,
                "record",
                str(folder / "clips"),
                "--countdown",
                "0.5",
                *words,
            ],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment() | {"TERM": "xterm", "COLUMNS": "200"},
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=self._take_terminal,
        )

    @staticmethod
    def _take_terminal() -> None:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def settings(self) -> list:
        return self._termios.tcgetattr(self._theirs)

    def type(self, keys: str) -> None:
        os.write(self._own, keys.encode())
        time.sleep(0.2)  # two frames: so that keys come one by one

    def wait_for(self, what: str, seconds: float = 60.0) -> None:
        import select

        deadline = time.monotonic() + seconds
        seen = len(self.told)
        while not re.search(what, self.told[seen:]):
            assert time.monotonic() < deadline, self.told
            assert self.process.poll() is None, self.told
            if select.select([self._own], [], [], 0.1)[0]:
                self.told += os.read(self._own, 65536).decode()

    def end(self) -> str:
        import select

        deadline = time.monotonic() + 20
        while self.process.poll() is None or select.select([self._own], [], [], 0.1)[0]:
            assert time.monotonic() < deadline, self.told
            if select.select([self._own], [], [], 0.1)[0]:
                self.told += os.read(self._own, 65536).decode()
        return self.told


WINDOW = """
import cv2
import numpy as np
import streamrec.commands.record_session as record
from streamrec.sources import IterableSource
from streamrec.sources.synthetic import World, WorldSettings

world = World(WorldSettings(width=320, height=240, fps=20.0, live=True))
record.open_source = lambda what: IterableSource(world, name="webcam 0", live=True)
shown, real_show, real_wait = [], cv2.imshow, cv2.waitKey
cv2.imshow = lambda title, picture: (shown.append(picture), real_show(title, picture))
cv2.waitKey = lambda delay: (real_wait(delay), {{5: ord(" "), 15: 13, 60: ord("q")}}.get(len(shown), -1))[1]
record.RecordJob(folder="{folder}", labels="wave", clips=20, seconds=0.5, countdown=0.5).run()
assert len(shown) == 60
print("fine")
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run")
def test_a_window_shows_the_cue_and_takes_keys(tmp_path):
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, "-c", WINDOW.format(folder=tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "fine" in done.stdout, done.stdout + done.stderr
    assert len(rows(tmp_path)) >= 1
    assert all(pictures_in(tmp_path / row["clip"]) >= 1 for row in rows(tmp_path))


@pytest.mark.slow
def test_without_a_terminal_it_just_runs(tmp_path):
    words = ("--labels", "wave,idle", "--source", "synthetic", "--clips", "1", "--seconds", "0.5")
    run = streamrec("record", tmp_path, *words, stdin=subprocess.DEVNULL)
    assert run.returncode == 0, run.stderr
    assert "\a" not in run.stdout
    assert len(rows(tmp_path)) == 2
