from __future__ import annotations

import itertools
import re
import shutil
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamrec import World, WorldSettings
from streamrec.errors import PictureError, SourceError, StreamrecError
from streamrec.nn.transforms import Transform
from streamrec.pipeline.capture import capture
from streamrec.sources import wrappers
from streamrec.sources.files import FileSource, ImageFolderSource
from streamrec.sources.iterable import IterableSource
from streamrec.sources.open import NetworkSource, WebcamSource, open_source
from streamrec.sources.wrappers import Limited, RealTime
from streamrec.types import Frame, Health, Source
from tests.helpers.cameras import http_camera
from tests.helpers.frames import numbered

SECRET = "hunter2"


def write_video(path: Path, times: list[float], *, size: tuple[int, int] = (64, 48)) -> Path:
    """A video whose n-th picture is as bright as 20 * n, each at its time in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0", "crf": "10"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for n, seconds in enumerate(times):
            picture = np.full((size[1], size[0], 3), 20 * n % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_pictures(folder: Path, names: list[str]) -> Path:
    """Pictures as bright as 10 times their place in the list."""
    folder.mkdir(exist_ok=True)
    for n, name in enumerate(names):
        ok, data = cv2.imencode(Path(name).suffix, np.full((20, 30, 3), 10 * n, np.uint8))
        assert ok
        (folder / name).write_bytes(data.tobytes())
    return folder


def levels(frames) -> list[int]:
    return [int(frame.image.mean()) for frame in frames]


def times_of(frames) -> list[float]:
    return [round(frame.timestamp, 3) for frame in frames]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [n / 10 for n in range(10)])


class TestOpenSource:
    @pytest.mark.parametrize("what", [0, 2, "0", " 1 ", "/dev/video0", "/dev/video3"])
    def test_a_number_or_a_device_file_is_a_webcam(self, what):
        source = open_source(what)
        assert isinstance(source, WebcamSource)
        assert source.live

    @pytest.mark.parametrize(
        "address",
        [
            "rtsp://10.0.0.7/live",
            "RTSP://10.0.0.7/live",
            "rtsps://10.0.0.7/live",
            "http://10.0.0.7:8080/video",
            "https://10.0.0.7/live.m3u8",
            "udp://@239.0.0.1:1234",
            "rtmp://10.0.0.7/live",
            "rtsp://10.0.0.7/archive.mp4",  # a camera's recording comes as a stream
        ],
    )
    def test_an_address_is_a_live_stream(self, address):
        source = open_source(address)
        assert isinstance(source, NetworkSource)
        assert source.live

    @pytest.mark.parametrize(
        "address", ["http://10.0.0.7/a.mp4", "https://cdn/a.MKV", "http://h/a.webm?sig=1"]
    )
    def test_an_http_address_is_a_camera_until_its_server_shows_that_it_is_a_file(self, address):
        source = open_source(address)
        assert isinstance(source, NetworkSource)
        assert source.live

    def test_a_path_is_a_file_or_a_folder(self, clip, tmp_path):
        folder = write_pictures(tmp_path / "shots", ["1.png"])
        for what in (clip, str(clip), f"file://{clip}"):
            assert isinstance(open_source(what), FileSource)
            assert not open_source(what).live
        for what in (folder, str(folder)):
            assert isinstance(open_source(what), ImageFolderSource)
            assert not open_source(what).live

    def test_a_single_picture_is_a_source_of_one_frame(self, tmp_path):
        folder = write_pictures(tmp_path / "shots", ["shot 007.png", "shot 008.png", "été.jpg"])
        for name in ("shot 007.png", "été.jpg"):
            assert len(list(open_source(folder / name))) == 1

    def test_an_iterable_gives_its_pictures(self):
        for pictures in (numbered(3), iter(numbered(3)), (p for p in numbered(3)), np.stack(numbered(3))):
            assert levels(open_source(pictures)) == [0, 1, 2]

    def test_one_picture_is_no_stream_of_its_rows(self):
        for picture in (numbered(1)[0], numbered(1)[0][:, :, 0]):
            with pytest.raises(SourceError, match="one picture"):
                open_source(picture)

    def test_the_synthetic_world_is_opened_by_its_name_and_seed(self):
        assert isinstance(open_source("synthetic"), World)
        assert open_source("synthetic:3").settings.seed == 3
        world = World(WorldSettings(seed=5))
        assert open_source(world) is world

    @pytest.mark.parametrize(
        "what", [None, True, False, 3.5, object(), "synthetic:x", "synthetic:²", "synthetic:-1"]
    )
    def test_rubbish_is_refused_with_a_sentence(self, what):
        with pytest.raises(SourceError, match=r"no source|SEED a whole number"):
            open_source(what)

    @pytest.mark.parametrize("what", ["", "  "])
    def test_nothing_is_not_the_current_folder(self, what, tmp_path, monkeypatch):
        monkeypatch.chdir(write_pictures(tmp_path / "shots", ["1.png"]))
        with pytest.raises(SourceError):
            open_source(what)

    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_missing_file_is_named(self, kind, tmp_path):
        with pytest.raises(SourceError, match=r"there is no file .*nowhere\.mp4"):
            open_source(kind(tmp_path / "nowhere.mp4"))

    def test_an_empty_file_is_refused(self, tmp_path):
        (tmp_path / "empty.mp4").touch()
        with pytest.raises(SourceError, match="empty: 0 bytes"):
            open_source(tmp_path / "empty.mp4")

    def test_bytes_are_no_pictures(self):
        with pytest.raises(StreamrecError):
            list(open_source(b"clip.mp4"))


class TestFile:
    def test_indexes_count_and_nothing_is_lost(self, clip):
        frames = list(open_source(clip))
        assert [frame.index for frame in frames] == list(range(10))
        assert np.allclose(levels(frames), [20 * n for n in range(10)], atol=6)
        assert {frame.source for frame in frames} == {"clip.mp4"}
        assert {frame.segment for frame in frames} == {0}
        assert all(frame.captured <= time.monotonic() for frame in frames)

    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_the_timestamps_of_a_variable_rate_are_media_time(self, tmp_path, ending):
        times = [0.0, 0.033, 0.066, 0.1, 0.5, 0.52, 0.9, 1.5, 1.6, 1.7]
        path = write_video(tmp_path / f"uneven.{ending}", times)
        assert times_of(open_source(path)) == pytest.approx(times, abs=0.0011)

    def test_a_file_may_be_read_again(self, clip):
        source = open_source(clip)
        assert times_of(source) == times_of(source)

    def test_a_loop_grows_the_segment_and_goes_on_counting(self, clip):
        frames = list(itertools.islice(FileSource(clip, loop=True), 25))
        assert [frame.segment for frame in frames] == [0] * 10 + [1] * 10 + [2] * 5
        assert [frame.index for frame in frames] == list(range(25))
        assert times_of(frames[10:20]) == times_of(frames[:10])

    def test_the_duration_is_known_unless_it_is_looped(self, clip):
        assert FileSource(clip).duration == pytest.approx(1.0, abs=0.15)
        assert FileSource(clip, loop=True).duration is None

    def test_a_text_named_as_a_video_is_refused_with_a_sentence(self, tmp_path):
        path = tmp_path / "notes.mp4"
        path.write_text("buy milk\n" * 100)
        with pytest.raises(SourceError, match=r"notes\.mp4 is not a video that can be read"):
            list(open_source(path))

    @pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts"])
    def test_a_file_cut_in_half_gives_what_is_left_or_an_error_in_words(self, tmp_path, ending):
        path = write_video(tmp_path / f"whole.{ending}", [n / 10 for n in range(40)])
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        try:
            count = len(list(open_source(path)))
        except SourceError as error:
            assert path.name in str(error)
        else:
            assert 0 < count <= 40

    def test_a_file_of_sound_only_is_refused_as_such(self, tmp_path):
        path = tmp_path / "song.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with pytest.raises(SourceError, match=r"audio|sound"):
            list(open_source(path))

    @pytest.mark.parametrize(
        "name", ["Zoë's Fest 猫.mp4", "50%d.mp4", "a#b?c.mp4", "12:30.mp4", "concat:x.mp4"]
    )
    def test_any_name_will_do(self, tmp_path, monkeypatch, name):
        write_video(tmp_path / "clip.mp4", [0.0, 0.1, 0.2]).rename(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        for what in (name, tmp_path / name):
            frames = list(open_source(what))
            assert len(frames) == 3
            assert frames[0].source == name

    def test_a_file_behind_http_is_read_whole_at_media_time(self, clip):
        with http_camera(clip=clip) as camera:
            frames = list(open_source(camera.replace("/video", "/clip.mp4")))
        assert times_of(frames) == pytest.approx([n / 10 for n in range(10)])


class TestImageFolder:
    def test_the_order_is_that_of_people_not_of_letters(self, tmp_path):
        names = ["shot1.png", "shot2.png", "Shot10.png", "shot 11.jpg"]
        folder = write_pictures(tmp_path / "shots", names)
        (folder / "notes.txt").write_text("not a picture")
        found = [path.name for path in open_source(folder).pictures]
        assert found == ["shot1.png", "shot2.png", "Shot10.png", "shot 11.jpg"]

    def test_names_may_hold_any_letters(self, tmp_path):
        names = ["1 猫.png", "2 été.bmp", "3 Ωμέγα.PNG", "4².png", "²5.png", "١.png"]
        folder = write_pictures(tmp_path / "снимки", names)
        frames = list(open_source(folder))
        assert sorted(levels(frames)) == [0, 10, 20, 30, 40, 50]
        assert frames[0].source == "снимки"

    def test_timestamps_follow_the_rate(self, tmp_path):
        folder = write_pictures(tmp_path / "shots", [f"{n}.png" for n in range(5)])
        source = ImageFolderSource(folder, fps=4.0)
        assert times_of(source) == [0.0, 0.25, 0.5, 0.75, 1.0]
        assert [frame.index for frame in source] == list(range(5))
        assert source.duration == 1.25

    def test_a_folder_without_pictures_is_refused(self, tmp_path):
        (tmp_path / "notes.txt").write_text("not a picture")
        with pytest.raises(SourceError, match="holds no pictures"):
            open_source(tmp_path)

    @pytest.mark.parametrize("damage", ["text", "empty", "cut", "dangling", "folder"])
    def test_a_picture_that_cannot_be_read_is_named(self, tmp_path, damage):
        folder = write_pictures(tmp_path / "shots", ["1.png", "2.png", "3.png"])
        bad = folder / "2.png"
        data = bad.read_bytes()
        bad.unlink()
        if damage == "dangling":
            bad.symlink_to(folder / "nowhere.png")
        elif damage == "folder":
            bad.mkdir()
        else:
            bad.write_bytes({"text": b"not a picture", "empty": b"", "cut": data[:20]}[damage])
        seen = []
        with pytest.raises(SourceError, match=r"2\.png is not a picture"):
            seen.extend(open_source(folder))


class TestIterable:
    def test_frames_are_passed_through_as_they_are(self):
        frames = [Frame(picture, 10 * n, n / 7, n // 2, "door") for n, picture in enumerate(numbered(4))]
        assert [a is b for a, b in zip(IterableSource(frames), frames, strict=True)] == [True] * 4

    def test_pictures_are_counted_and_timed(self):
        frames = list(IterableSource(numbered(4), fps=20.0, name="mine"))
        assert [(f.index, f.timestamp, f.source) for f in frames] == [(n, n / 20, "mine") for n in range(4)]

    @pytest.mark.parametrize("bad", [None, "picture", np.zeros(7, np.uint8), np.zeros((4, 4, 3), np.int32)])
    def test_a_bad_picture_is_refused_with_its_number(self, bad):
        source = IterableSource([*numbered(2), bad], name="mine")
        with pytest.raises(PictureError, match="picture 2 of mine: "):
            list(source)

    def test_what_is_no_picture_at_all_is_refused_too(self):
        with pytest.raises(PictureError, match="picture 0 of pictures"):
            list(open_source({"a": 1}))


class Stepped(threading.Event):
    """A clock that each wait sets forward, so that it is over at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        return self.is_set()


class Endless(threading.Event):
    """A wait that has to be ended, for its time is never over."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout else 0.0)


class TestRealTime:
    def played(self, source: Source, monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
        """Its frames in real time, on a stepped clock."""
        played, clock = RealTime(source), Stepped()
        monkeypatch.setattr(played, "_left", clock)
        monkeypatch.setattr(wrappers, "time", clock)
        return list(played)

    def test_each_frame_waits_for_its_time(self, monkeypatch):
        frames = self.played(IterableSource(numbered(6), fps=20.0), monkeypatch)
        assert [frame.captured - 100.0 for frame in frames] == pytest.approx([n / 20 for n in range(6)])
        assert [frame.timestamp for frame in frames] == [n / 20 for n in range(6)]

    def test_it_waits_on_a_real_clock_too(self):
        begun = time.monotonic()
        assert len(list(RealTime(IterableSource(numbered(6), fps=20.0)))) == 6
        assert time.monotonic() - begun >= 0.24

    def test_a_new_segment_is_not_waited_for(self, monkeypatch):
        frames = [
            Frame(numbered(1)[0], n, t, s)
            for n, (s, t) in enumerate([(0, 0.0), (0, 0.1), (1, 9.0), (1, 9.1)])
        ]
        captured = [frame.captured for frame in self.played(IterableSource(frames), monkeypatch)]
        assert captured == pytest.approx([100.0, 100.1, 100.1, 100.2])

    def test_it_is_as_live_and_as_long_as_what_it_plays(self, clip):
        source = RealTime(FileSource(clip))
        assert (source.name, source.live) == ("clip.mp4", False)
        assert source.duration == pytest.approx(1.0, abs=0.15)

    def test_leaving_does_not_wait_for_a_frame_that_is_far_off(self):
        frames = [Frame(numbered(1)[0], n, t) for n, t in enumerate([0.0, 8.0])]
        source = RealTime(IterableSource(frames, name="far off"))
        source._left = Endless()
        with capture(source) as buffer:
            next(iter(buffer))
        assert "capture far off" not in [thread.name for thread in threading.enumerate()]


def test_a_source_that_is_left_early_is_closed(clip):
    source = open_source(clip)
    frames = iter(source)
    next(frames)
    file = source._file._data.file
    assert not file.closed
    frames.close()
    assert file.closed


def test_pictures_of_one_folder_survive_a_copy_to_another_name(tmp_path):
    folder = write_pictures(tmp_path / "a b", ["1.png", "2.png"])
    shutil.copytree(folder, tmp_path / "c [d]")
    assert levels(open_source(tmp_path / "c [d]")) == levels(open_source(folder))


def test_every_kind_reports_its_health(clip, tmp_path):
    folder = write_pictures(tmp_path / "shots", ["1.png"])
    for what in (0, "/dev/video0", "rtsp://10.0.0.7/live", clip, folder, numbered(1), "synthetic"):
        assert re.fullmatch(r"<\w+ .+>", repr(open_source(what)))


def test_a_limited_source_ends_by_its_own_clock():
    pictures = IterableSource([np.zeros((20, 30, 3), np.uint8)] * 100, fps=10.0)
    assert [frame.index for frame in Limited(pictures, 1.0)] == list(range(10))
    assert [frame.index for frame in Limited(pictures, 0.0)] == []
    assert len(list(Limited(pictures, 1e9))) == 100


def health_changes(source: Source) -> list[Health]:
    changes: list[Health] = []
    source.on_health = changes.append
    return changes


def test_the_health_of_a_file_passes_through_its_wrappers(clip, tmp_path):
    source = Limited(RealTime(FileSource(clip)), 10.0)
    changes = health_changes(source)
    assert len(list(source)) == 10
    assert [str(health.state) for health in changes] == ["connecting", "live", "ended"]
    assert source.health is changes[-1]
    assert source.health.frames == 10
    assert source.health.reason == "it came to its end"


def test_a_file_that_cannot_be_read_has_failed_and_reports_why(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("buy milk\n" * 100)
    source = FileSource(path)
    changes = health_changes(source)
    with pytest.raises(SourceError) as caught:
        list(source)
    assert [str(health.state) for health in changes] == ["connecting", "failed"]
    assert source.health.reason == str(caught.value)


def test_a_source_that_is_left_has_ended(clip):
    for source in (FileSource(clip), IterableSource(numbered(5)), World(WorldSettings(seconds=5.0))):
        changes = health_changes(source)
        frames = iter(source)
        next(frames)
        frames.close()
        assert [str(health.state) for health in changes] == ["connecting", "live", "ended"]
        assert source.health.reason == "nobody reads it any more"


def test_a_limit_ends_a_live_source_that_gives_nothing_more():
    class Stalled(Source):
        name, live = "stalled", True

        def __init__(self) -> None:
            self.left = threading.Event()

        def __iter__(self):
            yield Frame(numbered(1)[0], 0, 0.0)
            assert self.left.wait(30), "nobody interrupted"

        def interrupt(self) -> None:
            self.left.set()

    assert len(list(Limited(Stalled(), 0.2))) == 1


def test_a_file_that_is_not_shown_is_decoded_to_smaller_frames(tmp_path):
    path = write_video(tmp_path / "large.mp4", [0.0, 0.1, 0.3, 0.4], size=(640, 480))
    whole, small = list(open_source(path)), list(open_source(path, size=(40, 30)))
    assert [(f.index, f.segment, f.source) for f in small] == [(f.index, f.segment, f.source) for f in whole]
    assert [f.timestamp for f in small] == pytest.approx([f.timestamp for f in whole])
    assert {f.image.shape for f in small} == {(30, 40, 3)}
    for one, other in zip(small, whole, strict=True):
        assert abs(float(one.image.mean()) - float(other.image.mean())) <= 2.0


def test_a_file_of_small_pictures_is_decoded_as_it_is(tmp_path):
    path = write_video(tmp_path / "small.mp4", [0.0, 0.1])
    assert [f.image.shape for f in open_source(str(path), size=(80, 30))] == [(48, 64, 3)] * 2


@pytest.mark.parametrize("times", [1.2, 2.0, 3.2, 5.0])
def test_frames_that_are_decoded_small_equal_those_that_are_shrunk_later(tmp_path, times):
    path, size = tmp_path / "steps.mp4", (int(320 / times), int(240 / times))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        noise = np.random.default_rng(0).integers(20, 236, (15, 20, 1), np.uint8).repeat(3, axis=2)
        picture = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_LINEAR)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    (whole,), (small,) = open_source(path), open_source(path, size=size)
    later = Transform(width=size[0], height=size[1]).resize(whole.image)
    assert small.image.shape == later.shape
    assert np.abs(small.image.astype(int) - later).mean() <= 2.5


def test_frames_are_read_in_runs_only_where_they_are_not_shown(tmp_path):
    path = write_video(tmp_path / "small.mp4", [0.0, 0.1])
    assert open_source(path).together == 1  # it may be shown
    assert open_source(path, size=(40, 30)).together > 1
    assert Limited(open_source(path, size=(40, 30)), 1.0).together > 1
    assert RealTime(open_source(path, size=(40, 30))).together == 1


def test_a_file_that_is_cut_off_ends_where_it_is_cut_in_small_pictures_too(tmp_path):
    path = write_video(tmp_path / "cut.mp4", [n / 30 for n in range(60)], size=(640, 480))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError):
        list(open_source(path, size=(40, 30)))
