"""Evidence: the video shows the event and what came before, browsers play it, and nothing stops the recognition."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamrec.core import files
from streamrec.core.files import open_private
from streamrec.errors import SinkError
from streamrec.outputs.history import evidence as rooms
from streamrec.outputs.history.evidence import Evidence
from streamrec.outputs.history.records import Entry, Kind, new_id
from streamrec.outputs.history.store import History
from streamrec.outputs.privacy import shown_image, small_image
from streamrec.settings.evidence import EvidenceSettings, Privacy
from streamrec.types import ActionEnded, ActionStarted, Frame, Person, Prediction, Result
from tests.helpers.paths import ROOT

FPS = 10
SAID = Prediction("fight", 0.9, np.array([0.1, 0.9], np.float32), 0.0, ("idle", "fight"))


def result_of(n: int, *events, camera="door", segment=0, size=(64, 48), start=0.0) -> Result:
    """A result whose picture is as bright as its number says."""
    image = np.full((size[1], size[0], 3), n % 250, np.uint8)
    return Result(Frame(image, n, start + n / FPS, segment, camera), replace(SAID, timestamp=n / FPS), events)


def shown(path: str | Path) -> list[int]:
    """The numbers of the pictures of a video."""
    with av.open(str(path)) as container:
        return [round(float(f.to_ndarray(format="bgr24").mean())) for f in container.decode(video=0)]


class Scene:
    """A history, the evidence, and a way to let things happen."""

    def __init__(self, place: Path, **settings) -> None:
        name = Path(settings.get("folder", "events")).name  # a history for each folder
        self.history = History(place / f"{name}.db")
        self.told, self.complaints = [], []
        settings = {"folder": str(place / "evidence"), "leave_free_gb": 0.0} | settings
        self.evidence = Evidence(
            EvidenceSettings(**settings),
            self.history,
            on_evidence=self.told.append,
            warn=self.complaints.append,
        )

    def play(self, first: int, last: int, events: dict[int, tuple], **more) -> None:
        for n in range(first, last):
            result = result_of(n, *events.get(n, ()), **more)
            self.evidence.write(result, self.history.record(result, "m", live=False))

    def wait_until_taken(self) -> None:
        """All that was played but the last picture, which may still be in the thread's hands."""
        ends = time.monotonic() + 60.0
        while self.evidence._waiting and time.monotonic() < ends:
            time.sleep(0.02)

    def close(self) -> None:
        self.evidence.close()
        self.history.close()

    def entries(self) -> list[Entry]:
        with History(self.history.path, read_only=True) as history:
            return history.query()[::-1]


@pytest.fixture
def scene(tmp_path):
    made = []

    def make(**settings) -> Scene:
        made.append(Scene(tmp_path, **settings))
        return made[-1]

    make.folder = tmp_path
    yield make
    for one in made:
        one.close()


def fight(start: float, end: float) -> tuple[ActionStarted, ActionEnded]:
    return ActionStarted("fight", start, 0.8), ActionEnded("fight", end, start, 0.9)


def test_the_video_shows_the_event_and_the_seconds_around_it(scene):
    one = scene(before=2.0, after=1.0)
    started, ended = fight(10.0, 12.0)
    one.play(0, 200, {103: (started,), 125: (ended,)})
    one.close()
    assert one.complaints == []
    (entry,) = one.entries()
    numbers = shown(entry.clip)
    assert numbers[0] == pytest.approx(80, abs=3)  # two seconds before it began, not before it was told
    assert numbers[-1] == pytest.approx(135, abs=3)  # a second after its end was told
    assert len(numbers) in (55, 56, 57)
    at = (entry.started - entry.clip_started) * FPS
    assert numbers[round(at)] == pytest.approx(100, abs=3)  # the picture at the moment of the start
    assert [told.kind for told in one.told] == [Kind.evidence]
    assert one.told[0].entry.clip == entry.clip


def test_browsers_play_it_and_it_has_its_name_only_when_it_is_whole(scene):
    one = scene()
    started, ended = fight(1.0, 2.0)
    one.play(0, 40, {12: (started,), 25: (ended,)})
    one.close()
    (entry,) = one.entries()
    with av.open(entry.clip) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = Path(entry.clip).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    day = datetime.fromtimestamp(entry.started, UTC).strftime("%Y-%m-%d")
    assert Path(entry.clip).name == f"door-fight-{entry.id}.mp4"
    assert [path.name for path in one.evidence.folder.iterdir()] == [day]
    assert sorted(path.name for path in (one.evidence.folder / day).iterdir()) == [
        f"door-fight-{entry.id}.jpg",
        f"door-fight-{entry.id}.mp4",
    ]
    if os.name == "posix":
        assert all(
            path.stat().st_mode & 0o077 == 0
            for path in (one.evidence.folder, *one.evidence.folder.rglob("*"))
        )


def test_a_thumbnail_is_there_as_soon_as_the_event_is_told(scene):
    one = scene()
    one.play(0, 15, {12: fight(1.0, 2.0)[:1]})
    ends = time.monotonic() + 60.0
    while not (found := one.history.query()[0].thumbnail) and time.monotonic() < ends:
        time.sleep(0.02)
    picture = cv2.imread(found)
    assert picture.shape == (48, 64, 3)
    assert picture.mean() == pytest.approx(12, abs=3)
    assert one.history.query()[0].clip is None  # it still runs


def test_the_overlay_is_in_the_video_where_it_is_wanted(scene):
    clear, drawn = (
        scene(folder=str(scene.folder / name), overlay=name == "drawn") for name in ("clear", "drawn")
    )
    for one in (clear, drawn):
        one.play(0, 40, {12: fight(1.0, 2.0)[:1], 25: fight(1.0, 2.0)[1:]}, size=(320, 240))
        one.close()
    with av.open(clear.told[0].entry.clip) as left, av.open(drawn.told[0].entry.clip) as right:
        pairs = zip(left.decode(video=0), right.decode(video=0), strict=True)
        for plain, over in pairs:
            assert plain.to_ndarray(format="bgr24").std() < 3
            assert over.to_ndarray(format="bgr24").std() > 10


def test_large_pictures_are_kept_small(scene):
    one = scene(side=320)
    one.play(0, 30, {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]}, size=(1280, 720))
    one.close()
    (entry,) = one.entries()
    with av.open(entry.clip) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (320, 180)
    assert cv2.imread(entry.thumbnail).shape[1] == 320


def test_events_that_overlap_share_a_video_and_each_knows_where_it_is_in_it(scene):
    one = scene(before=1.0, after=1.0)
    fall = ActionStarted("fall", 4.0, 0.8), ActionEnded("fall", 6.0, 4.0, 0.8)
    one.play(0, 100, {22: fight(2.0, 5.0)[:1], 43: fall[:1], 55: fight(2.0, 5.0)[1:], 65: fall[1:]})
    one.close()
    first, second = one.entries()
    assert first.clip == second.clip
    assert first.thumbnail != second.thumbnail
    numbers = shown(first.clip)
    for entry, number in ((first, 20), (second, 40)):
        at = round((entry.started - entry.clip_started) * FPS)
        assert numbers[at] == pytest.approx(number, abs=3)
    assert numbers[-1] == pytest.approx(75, abs=3)


def test_cameras_do_not_mix(scene):
    one = scene(before=0.5, after=0.5)
    for n in range(60):
        for camera, offset in (("door", 0), ("yard", 100)):
            events = {12: fight(1.0, 2.0)[:1], 25: fight(1.0, 2.0)[1:]}.get(n, ())
            result = result_of(n, *events, camera=camera)
            image = np.full_like(result.frame.image, n + offset)
            result = replace(result, frame=replace(result.frame, image=image))
            one.evidence.write(result, one.history.record(result))
    one.close()
    for entry in one.entries():
        numbers = shown(entry.clip)
        assert (min(numbers) >= 90) == (entry.camera == "yard")
        assert (max(numbers) <= 60) == (entry.camera == "door")


def test_a_video_is_never_longer_than_it_may_be(scene):
    one = scene(before=1.0, longest=5.0)
    one.play(0, 240, {22: fight(2.0, 23.0)[:1], 235: fight(2.0, 23.0)[1:]})
    one.close()
    (entry,) = one.entries()
    assert 45 <= len(shown(entry.clip)) <= 52
    assert entry.ended is not None


def test_memory_is_bounded_in_seconds_and_bytes(scene, monkeypatch):
    one = scene(before=2.0)
    one.play(0, 200, {})
    one.evidence.close()
    camera = one.evidence._cameras["door"]
    assert len(camera.ring) <= 5 * FPS + 1
    assert camera.bytes == sum(len(kept.jpeg) for kept in camera.ring)
    monkeypatch.setattr(rooms, "_RING_BYTES", 5000)
    two = Evidence(one.evidence.settings, one.history)
    for n in range(60):
        two.write(result_of(n))
    two.close()
    assert 0 < two._cameras["door"].bytes <= 5000


def test_pictures_that_cannot_be_looked_at_in_time_are_left_out_and_events_are_not(scene, monkeypatch):
    monkeypatch.setattr(rooms, "_WAITING_BYTES", 5 * 64 * 48 * 3)
    one = scene(before=1.0, after=0.1)
    one.play(0, 300, {100: fight(10.0, 11.0)[:1], 120: fight(10.0, 11.0)[1:]})
    one.close()
    assert one.evidence.left_out > 0
    assert "the machine is too busy for all frames: the videos of events have gaps" in one.complaints
    (entry,) = one.entries()
    assert entry.clip is not None and entry.thumbnail is not None


def test_a_camera_that_falls_silent_ends_its_video(scene, monkeypatch):
    monkeypatch.setattr(rooms, "_SILENT_SECONDS", 0.3)
    one = scene(after=0.2)
    one.play(0, 20, {12: fight(1.0, 2.0)[:1]})
    ends = time.monotonic() + 60.0
    while not one.told and time.monotonic() < ends:
        time.sleep(0.05)
    assert one.history.query()[0].clip is not None


def test_a_new_segment_does_not_break_the_video(scene):
    one = scene(before=1.0, after=0.5)
    one.play(0, 30, {22: fight(2.0, 2.9)[:1]})
    one.play(0, 30, {0: fight(2.0, 2.9)[1:]}, segment=1, start=100.0)
    one.close()
    (entry,) = one.entries()
    assert one.complaints == []
    assert len(shown(entry.clip)) == pytest.approx(20 + 6, abs=2)


class TestPrivacy:
    def test_blurred_is_blurred_before_it_is_kept(self, scene):
        one = scene(privacy="blur", before=1.0)
        board = np.kron(np.indices((24, 32)).sum(0) % 2, np.ones((20, 20)))[..., None] * np.full(3, 255)
        for n in range(30):
            events = {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]}.get(n, ())
            result = result_of(n, *events)
            result = replace(result, frame=replace(result.frame, image=board.astype(np.uint8)))
            one.evidence.write(result, one.history.record(result))
        one.close()
        (entry,) = one.entries()
        with av.open(entry.clip) as container:
            picture = next(container.decode(video=0)).to_ndarray(format="bgr24")
        fine = np.abs(np.diff(picture[:, :, 0].astype(float), axis=1)).max()
        sharp = np.abs(np.diff(board[:, :, 0].astype(float), axis=1)).max()
        assert sharp == 255 and fine < 60  # no edge is left
        kept = one.evidence._cameras["door"].ring[-1]
        memory = cv2.imdecode(np.frombuffer(kept.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(np.diff(memory[:, :, 0].astype(float), axis=1)).max() < 60

    def test_none_is_nothing_neither_on_the_disk_nor_in_memory(self, scene):
        one = scene(privacy="none")
        one.play(0, 30, {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]})
        one.close()
        (entry,) = one.entries()
        assert (entry.clip, entry.thumbnail, entry.ended is None) == (None, None, False)
        assert list(one.evidence.folder.iterdir()) == []
        assert one.evidence._cameras == {}

    def test_a_camera_may_say_its_own_and_change_it(self, scene):
        one = scene()
        one.evidence.set_privacy("door", Privacy.none)
        one.play(0, 30, {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]})
        one.play(0, 30, {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]}, camera="yard")
        one.evidence.set_privacy("yard", Privacy.none)  # what memory holds of it goes
        ends = time.monotonic() + 60.0
        while one.evidence._cameras["yard"].ring and time.monotonic() < ends:
            time.sleep(0.02)
        assert not one.evidence._cameras["yard"].ring
        one.close()
        clips = {entry.camera: entry.clip is not None for entry in one.entries()}
        assert clips["door"] is False

    @pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (64, 48), (480, 640), (2000, 120), (50, 900)])
    def test_of_a_face_that_fills_the_picture_or_a_part_of_it_no_feature_is_left(self, size):
        """What varies within a quarter of the short side is gone: of a face those are its eyes, nose and mouth."""
        width, height = size
        fine = min(size) / 8  # pixels from light to dark, along both sides
        face = (
            127
            + 127
            * np.sin(np.pi * np.arange(width) / fine)
            * np.sin(np.pi * np.arange(height) / fine)[:, None]
        )
        picture = np.repeat(face[..., None], 3, 2).astype(np.uint8)
        kept = small_image(picture, 640, Privacy.blur).astype(float)
        assert picture.std() > 50
        assert kept.std() < 8
        if width < height:
            picture = picture.transpose(1, 0, 2)
        half = np.zeros_like(picture)
        half[:, : half.shape[1] // 2] = 255  # what is large is still seen
        kept = small_image(half, 640, Privacy.blur)
        assert kept[:, : kept.shape[1] // 5].mean() > 180 and kept[:, -kept.shape[1] // 5 :].mean() < 70

    @pytest.mark.parametrize("size", [(640, 480), (1920, 1080)])
    def test_people_alone_are_blurred_or_all_but_them(self, size):
        width, height = size
        stripes = np.where(np.indices((height, width)).sum(0) % 8 < 4, 0, 255)[..., None] * np.ones(3)
        frame = Frame(stripes.astype(np.uint8), 0, 0.0)
        box = (0.2, 0.4, 0.8, 0.6)
        person = Person(1, box, np.zeros((17, 3), np.float32), 0.8)
        prediction = replace(result_of(0).prediction, possible=(box, (0.5, 0.0, 0.6, 0.05)))
        result = replace(result_of(0), frame=frame, prediction=prediction, people=(person,))

        def contrast(kept: np.ndarray, ymin: float, xmin: float, ymax: float, xmax: float) -> float:
            tall, wide = kept.shape[:2]
            part = kept[round(ymin * tall) : round(ymax * tall), round(xmin * wide) : round(xmax * wide)]
            return float(part.astype(float).std())

        hidden = shown_image(result, 640, Privacy.blur_people)
        assert contrast(hidden, *box) < 12 and contrast(hidden, 0.16, 0.38, 0.84, 0.62) < 12
        assert contrast(hidden, 0.5, 0.0, 0.6, 0.05) < 12  # who is not followed yet is hidden as well
        assert contrast(hidden, 0.0, 0.75, 1.0, 1.0) > 40 and (frame.image == stripes).all()
        shown = shown_image(result, 640, Privacy.blur_others)
        assert contrast(shown, 0.22, 0.42, 0.78, 0.58) > 40
        assert contrast(shown, 0.0, 0.7, 1.0, 1.0) < 12 and contrast(shown, 0.0, 0.0, 1.0, 0.3) < 12

    def test_where_people_are_not_followed_the_whole_picture_is_blurred(self):
        result = result_of(0)
        for privacy in (Privacy.blur_people, Privacy.blur_others):
            kept = shown_image(result, 640, privacy)
            assert (kept == small_image(result.frame.image, 640, Privacy.blur)).all()

    def test_another_word_is_refused(self):
        with pytest.raises(SinkError, match="privacy is 'some': write full, blur or none"):
            EvidenceSettings(privacy="some")


class TestAlone:
    def test_a_second_one_is_refused_in_a_sentence_and_takes_nothing(self, scene, tmp_path):
        one = scene(before=1.0, after=0.5)
        one.play(0, 30, {12: fight(1.0, 2.0)[:1]})
        one.wait_until_taken()
        with (
            History(tmp_path / "other.db") as history,
            pytest.raises(
                SinkError, match=r"another streamrec keeps its evidence in .*; end it, or give this one"
            ),
        ):
            Evidence(one.evidence.settings, history)
        assert list(one.evidence.folder.rglob("*.part.mp4"))
        one.play(30, 60, {32: fight(1.0, 3.0)[1:]})
        one.close()
        assert len(shown(one.entries()[0].clip)) > 20
        assert one.complaints == []

    def test_the_folder_is_free_again_afterwards_and_after_a_kill(self, scene, tmp_path):
        one = scene()
        one.close()
        code = (
            "import os, sys; from streamrec.outputs.history.evidence import Evidence; "
            "from streamrec.settings.evidence import EvidenceSettings; "
            "from streamrec.outputs.history.store import History; "
            "Evidence(EvidenceSettings(folder=sys.argv[1]), History(sys.argv[2])); os.kill(os.getpid(), 9)"
        )
        killed = subprocess.run(
            [sys.executable, "-c", code, one.evidence.folder, tmp_path / "k.db"], cwd=ROOT
        )
        assert killed.returncode == -9
        scene()

    def test_a_link_in_the_folder_is_not_followed(self, scene, tmp_path):
        one = scene(keep_days=30)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        old = f"door-fight-{new_id(1.0)}"
        (elsewhere / f"{old}.mp4").write_bytes(b"of somebody else")
        (elsewhere / f"{old}.part.mp4").write_bytes(b"of somebody else")
        (one.evidence.folder / "1970-01-01").symlink_to(elsewhere)
        one.evidence._prune()
        one.close()
        scene()  # it recovers nothing there either
        assert sorted(path.name for path in elsewhere.iterdir()) == [f"{old}.mp4", f"{old}.part.mp4"]


class TestTrouble:
    def test_a_folder_that_cannot_be_written_to_is_told_at_the_start(self, tmp_path):
        (tmp_path / "file").write_text("")
        with (
            History(tmp_path / "events.db") as history,
            pytest.raises(SinkError, match="choose another folder for the evidence"),
        ):
            Evidence(EvidenceSettings(folder=str(tmp_path / "file" / "evidence")), history)

    def test_a_folder_that_goes_away_is_told_and_the_next_event_is_another_chance(self, scene):
        one = scene(before=0.5, after=0.5)
        one.evidence.folder.rmdir()
        one.evidence.folder.write_text("in the way")
        one.play(0, 40, {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]})
        one.wait_until_taken()
        assert one.complaints
        assert all("choose another folder for the evidence" in told for told in one.complaints)
        one.evidence.folder.unlink()
        one.play(50, 90, {62: fight(6.0, 7.0)[:1], 72: fight(6.0, 7.0)[1:]})
        one.close()
        assert [entry.clip is not None for entry in one.entries()] == [False, True]

    def test_a_full_disk_is_told_once_however_many_events_there_are_and_then_that_it_is_over(
        self, scene, monkeypatch
    ):
        def full(path, *args, **more):
            if Path(path).suffix == ".part":  # thumbnails, and whose a video is
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return open_private(path, *args, **more)

        one = scene(before=0.5, after=0.5)
        events = {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]}
        with monkeypatch.context() as patch:
            patch.setattr(files, "open_private", full)
            for first in (0, 50, 100):
                at = {n + first: happened for n, happened in events.items()}
                one.play(first, first + 26, at, camera=f"door {first}")
            one.wait_until_taken()
            assert len(one.complaints) == 1 and "the disk is full" in one.complaints[0]
        one.play(200, 240, {n + 200: happened for n, happened in events.items()})
        one.close()
        assert any(told.startswith("evidence is written again") for told in one.complaints)

    def test_a_folder_that_was_deleted_while_a_video_was_written_is_no_place_to_look_for_it(self, scene):
        one = scene(before=0.5, after=0.5)
        one.play(0, 20, {12: fight(1.0, 2.0)[:1]})
        one.wait_until_taken()
        shutil.rmtree(one.evidence.folder)
        one.close()
        assert one.complaints and all("what was recorded" not in told for told in one.complaints)

    def test_a_folder_that_was_deleted_is_made_again_without_a_word(self, scene):
        one = scene(before=0.5, after=0.5)
        one.evidence.folder.rmdir()
        one.play(0, 40, {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]})
        one.close()
        assert one.complaints == []
        assert shown(one.entries()[0].clip)

    def test_a_disk_with_too_little_room_is_told_and_left_alone(self, scene):
        one = scene(leave_free_gb=1e6)
        one.play(0, 40, {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]})
        one.close()
        assert any("less than 1e+06 GB free (leave_free_gb)" in told for told in one.complaints)
        assert one.entries()[0].clip is None

    def test_what_a_kill_left_half_written_gets_its_name_at_the_next_start(self, scene, tmp_path):
        one = scene(before=1.0)
        one.play(0, 60, {12: fight(1.0, 2.0)[:1]})
        one.wait_until_taken()
        (part,) = one.evidence.folder.rglob("*.part.mp4")
        left = part.read_bytes()  # as a kill leaves it
        one.close()
        (entry,) = one.entries()
        Path(entry.clip).unlink()
        part.write_bytes(left)
        two = scene()
        assert two.history.get(entry.id).clip == entry.clip
        assert len(shown(entry.clip)) >= 15
        assert not part.exists()

    def test_events_that_share_a_video_all_have_it_after_a_kill(self, scene):
        one = scene(before=1.0)
        fall = ActionStarted("fall", 3.0, 0.8)
        late = ActionStarted("late", 5.9, 0.8)
        one.play(0, 60, {12: fight(1.0, 9.0)[:1], 32: (fall,)})
        one.wait_until_taken()
        one.play(60, 61, {60: (late,)})
        one.wait_until_taken()
        time.sleep(0.1)
        (part,) = one.evidence.folder.rglob("*.part.mp4")
        (note,) = one.evidence.folder.rglob("*.events.json")
        left, noted = part.read_bytes(), note.read_bytes()  # as a kill leaves it
        one.close()
        clip = Path(one.entries()[0].clip)
        assert not note.exists()
        clip.unlink()
        with contextlib.closing(sqlite3.connect(one.history.path)) as there, there:
            there.execute("UPDATE event SET clip = NULL, clip_started = NULL")
        part.write_bytes(left)
        note.write_bytes(noted)
        two = scene()
        first, second, third = two.history.query()[::-1]
        assert first.clip == second.clip == str(clip) and clip.exists()
        numbers = shown(first.clip)
        for entry, number in ((first, 10), (second, 30)):
            at = round((entry.started - entry.clip_started) * FPS)
            if at < len(numbers):
                assert numbers[at] == pytest.approx(number, abs=3)
        assert third.clip is None or third.started - third.clip_started <= len(numbers) / FPS
        assert not note.exists() and not part.exists()

    def test_a_video_that_was_finished_just_before_the_kill_is_told_at_the_next_start(self, scene):
        one = scene(before=1.0, after=0.2)
        one.play(0, 40, {12: fight(1.0, 2.0)[:1], 22: fight(1.0, 2.0)[1:]})
        one.close()
        (entry,) = one.entries()
        with contextlib.closing(sqlite3.connect(one.history.path)) as there, there:
            there.execute("UPDATE event SET clip = NULL, clip_started = NULL")
        note = rooms._events_of(Path(entry.clip))
        note.write_text(json.dumps({entry.id: entry.clip_started}))
        two = scene()
        assert two.history.get(entry.id) == entry
        assert not note.exists()


class TestRetention:
    def files(self, one: Scene, *ages: float, size: int = 1000) -> list[Path]:
        paths = []
        for age in ages:
            started = time.time() - age * 86400
            entry = Entry(
                id=new_id(started), camera="door", model="m", label="fight",
                started=started, ended=started + 1, confidence=0.9,
            )  # fmt: skip
            one.history.add(entry)
            path = one.evidence._path(entry, "mp4")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * size)
            one.history.attach(entry.id, clip=path)
            paths.append(path)
        return paths

    def test_what_is_too_old_goes_and_the_history_knows(self, scene):
        one = scene(keep_days=30)
        old, new = self.files(one, 31, 29)
        mine = one.evidence.folder / "2020-01-01" / "mine.mp4"
        mine.parent.mkdir()
        mine.write_bytes(b"not streamrec's")
        one.evidence._prune()
        assert (old.exists(), new.exists(), mine.exists()) == (False, True, True)
        assert not old.parent.exists()
        assert [entry.clip for entry in one.history.query()] == [str(new), None]

    @pytest.mark.parametrize("days", [-400, 400])
    def test_a_clock_that_jumped_deletes_nothing(self, scene, monkeypatch, days):
        one = scene(keep_days=30)
        paths = self.files(one, 20, 1)
        one.close()
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + days * 86400)
        told = []
        for name in ("evidence.db", "new.db"):  # a history that knows the time, and one that was begun anew
            with History(scene.folder / name, keep_days=30, clock=time.time, log=told.append) as history:
                two = Evidence(one.evidence.settings, history)
                two._prune()
                two.close()
            assert all(path.exists() for path in paths)
        assert len(told) == 2 and all("days" in sentence for sentence in told)

    def test_what_a_wrong_clock_dated_ahead_goes_before_what_is_new(self, scene):
        one = scene(keep_days=0, max_gb=2500 / 1e9)
        paths = self.files(one, 3, 2, -400)
        one.evidence._prune()
        assert [path.exists() for path in paths] == [True, True, False]

    def test_what_is_too_much_goes_the_oldest_first(self, scene):
        one = scene(keep_days=0, max_gb=2500 / 1e9)
        paths = self.files(one, 4, 3, 2, 1)
        one.evidence._prune()
        assert [path.exists() for path in paths] == [False, False, True, True]

    def test_a_disk_that_is_nearly_full_gets_room(self, scene, monkeypatch):
        one = scene(leave_free_gb=1.0)
        paths = self.files(one, 3, 2, 1)
        free = iter([1e9 - 1500, 1e9])
        usage = rooms.shutil.disk_usage("/")
        monkeypatch.setattr(rooms.shutil, "disk_usage", lambda folder: usage._replace(free=next(free)))
        one.evidence._make_room()
        assert [path.exists() for path in paths] == [False, False, True]
