"""One reader for files: whoever reads one, and whatever kind it is, gets the same pictures at the same times."""

from __future__ import annotations

import json
import os
import struct
import threading
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamrec import Recognizer, World, WorldSettings, results
from streamrec.commands.exit_codes import CUT_OFF
from streamrec.data.clips import Clip
from streamrec.data.decode_cache import ClipCache, decode_clips
from streamrec.errors import SourceError
from streamrec.evaluation.alarm_calibration import footage_of
from streamrec.evaluation.baselines import sample_clip
from streamrec.evaluation.bench import read_some
from streamrec.evaluation.evaluate import evaluate_clips, play_clips
from streamrec.nn.transforms import Transform
from streamrec.sources.files import FileSource
from streamrec.sources.health import OVER, amiss
from streamrec.sources.open import open_source

SIZE = (96, 80)


@pytest.fixture(scope="module")
def film() -> list[np.ndarray]:
    """Four seconds of somebody who moves, 40 pictures a second: every other one is for second fields."""
    world = World(WorldSettings(width=96, height=80, fps=40.0, seconds=4.0, seed=5))
    return [frame.image for frame in world]


def sliding(count: int) -> list[np.ndarray]:
    """A bright box that crosses a smooth picture, 6 pixels a time: interlaced, its edges are combs."""
    made = []
    for number in range(count):
        picture = np.full((80, 96, 3), 60, np.uint8)
        picture[20:60, 6 * number % 72 : 6 * number % 72 + 24] = 220
        made.append(picture)
    return made


def write(path: Path, pictures, *, codec="libx264", fps=20, pix_fmt="yuv420p", options=None, **more) -> Path:
    with av.open(str(path), "w", **more) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height = pictures[0].shape[1::-1]
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, fps)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def woven(film: list[np.ndarray]) -> list[np.ndarray]:
    """Each picture has the odd lines of the moment after it, as a camera of 40 fields a second films."""
    both = []
    for first, second in zip(film[::2], film[1::2], strict=True):
        picture = first.copy()
        picture[1::2] = second[1::2]
        both.append(picture)
    return both


INTERLACED = {
    "mbaff.mp4": {"codec": "libx264", "options": {"flags": "+ildct+ilme", "crf": "12"}},
    "broadcast.ts": {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme", "b": "4000000"}},
    "dvd.mpg": {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme", "b": "4000000"}},
}


@pytest.fixture(scope="module")
def interlaced(film, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("interlaced")
    made = {}
    for name, how in INTERLACED.items():
        how = {"fps": 25, **how} if name != "mbaff.mp4" else how  # MPEG-2 knows few rates
        made[name] = write(folder / name, woven(film), **how)
    return made


@pytest.fixture(scope="module")
def synthetic() -> Recognizer:
    return Recognizer.load("synthetic")


def combs(image: np.ndarray) -> float:
    """How far each line is from those above and below it."""
    lines = image.astype(int)
    return float(np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean())


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_video_is_read_without_black_pictures_or_combs(tmp_path, name):
    fields = sliding(60)
    path = write(tmp_path / name, woven(fields), fps=25, **INTERLACED[name])
    for size in (None, (48, 80)):
        frames = list(open_source(path, size=size))
        assert [f.timestamp for f in frames] == pytest.approx([n / 25 for n in range(30)], abs=1e-3)
        for frame, still, torn in zip(frames, fields[::2], woven(fields), strict=True):
            assert np.abs(frame.image.mean() - still.mean()) < 4.0
            assert combs(frame.image) < 0.5 * combs(torn)


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_video_is_the_same_for_every_reader(interlaced, synthetic, tmp_path, monkeypatch, name):
    path, transform = interlaced[name], synthetic.config.transform
    whole = [transform.resize(frame.image) for frame in open_source(path)]
    small = [frame.image for frame in open_source(path, size=transform.straight)]
    assert len(whole) == len(small) == 80
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(whole, small, strict=True)) < 4.0

    # train, twice: decoded, and from the cache
    clip, cache = Clip(path, "idle", "me"), ClipCache(tmp_path / "cache")
    for _ in range(2):
        [(_, recording)] = decode_clips([clip], transform, synthetic.labels, cache=cache)
        assert recording.amiss is None
        assert np.array_equal(recording.pictures, whole)

    # the API, eval and calibrate
    labels = [result.prediction.label for result in results(path, synthetic)]
    assert [result.prediction.label for result in results(FileSource(path), synthetic)] == labels
    [played], unreadable = play_clips(synthetic, [Clip(path, "idle", "me")])
    assert unreadable == ()
    assert [synthetic.labels[n] for n in played.probabilities.argmax(axis=1)] == labels
    [place] = footage_of([path], synthetic)
    assert [frame.image.tobytes() for frame in place] == [
        frame.image.tobytes() for frame in open_source(path)
    ]


def test_run_predicts_the_same_for_interlaced_video_whatever_it_writes(interlaced, tmp_path, main_here, film):
    outputs = []
    progressive = write(tmp_path / "progressive.mp4", film[::2], options={"crf": "12"})
    for number, (path, options) in enumerate(
        [
            (progressive, []),
            (interlaced["mbaff.mp4"], []),
            (interlaced["mbaff.mp4"], ["--save", str(tmp_path / "seen.mp4")]),
            (
                interlaced["mbaff.mp4"],
                ["--evidence", str(tmp_path / "evidence"), "--history", str(tmp_path / "events.db")],
            ),
        ]
    ):
        lines = tmp_path / f"{number}.jsonl"
        ended = main_here("run", path, "--model", "synthetic", "--no-show", "--jsonl", lines, *options)
        assert ended.returncode == 0
        read = [json.loads(line) for line in lines.read_text().splitlines()]
        outputs.append([line["label"] for line in read if line["type"] == "prediction"])
    assert len(outputs[0]) > 20
    for labels in outputs[1:]:
        assert len(labels) == len(outputs[0])
        assert np.mean([a == b for a, b in zip(labels, outputs[0], strict=True)]) > 0.9
    assert min(frame.image.mean() for frame in open_source(tmp_path / "seen.mp4")) > 20.0


def test_one_interlaced_picture_alone_is_given_out(film, tmp_path):
    path = write(
        tmp_path / "one.ts", woven(film)[:1], codec="mpeg2video", fps=25, options={"flags": "+ildct+ilme"}
    )
    [frame] = open_source(path)
    assert frame.image.mean() > 20.0


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le"])
def test_any_kind_of_pixels_gives_the_same_colours(film, tmp_path, pix_fmt):
    path = write(tmp_path / "film.mkv", film[:20:2], pix_fmt=pix_fmt, options={"crf": "10"})
    for frame, picture in zip(open_source(path), film[:20:2], strict=True):
        assert np.abs(frame.image - picture.astype(float)).mean() < 5.0


@pytest.mark.parametrize(("space", "code"), [("601", 5), ("709", 1)])
def test_colours_are_those_of_the_header(tmp_path, space, code):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:] = (40, 60, 200)
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = code
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=f"ITU{space}")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for size in (None, (16, 16)):
        [frame] = open_source(path, size=size)
        assert np.abs(frame.image.astype(int) - (40, 60, 200)).max() <= 6


def turned(path: Path, degrees: int) -> Path:
    """The MP4 with a display matrix, as phones write it."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 44
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_phones_video_is_upright(film, tmp_path, degrees):
    path = turned(write(tmp_path / "phone.mp4", film[:6:2], options={"crf": "10"}), degrees)
    small = list(open_source(path, size=(32, 24)))
    for number, frame in enumerate(open_source(path)):
        upright = np.rot90(film[2 * number], -degrees // 90)
        assert np.abs(frame.image.astype(int) - upright).mean() < 6.0
        later = Transform(width=32, height=24).resize(frame.image)
        assert small[number].image.shape == later.shape
        assert np.abs(small[number].image.astype(int) - later).mean() < 6.0


def test_a_picture_that_grows_in_the_middle_of_a_film_is_read_on(film, tmp_path):
    first = write(tmp_path / "a.ts", film[:20:2], fps=25)
    large = [np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1) for picture in film[:20:2]]
    second = write(tmp_path / "b.ts", large, fps=25)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert [frame.image.shape[:2] for frame in open_source(both)] == [(80, 96)] * 10 + [(160, 192)] * 10
    assert {frame.image.shape[:2] for frame in open_source(both, size=(40, 30))} == {(30, 40)}


def test_a_cover_is_not_the_film(film, tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        movie = container.add_stream("libx264", rate=20)
        movie.width, movie.height, movie.pix_fmt = 96, 80, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="bgr24")
        container.mux(cover.encode(frame))
        for picture in film[:20:2]:
            container.mux(movie.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(movie.encode())
    assert {frame.image.shape for frame in open_source(path)} == {(80, 96, 3)}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("part", [0.5, 0.97])
def test_a_file_that_is_cut_off_reports_it_everywhere(film, tmp_path, synthetic, main_here, name, part):
    how = {"options": {"bf": "0", "crf": "10"}, "fps": 20}
    more = {"container_options": {"movflags": "+faststart"}} if name == "a.mp4" else {}
    path = write(tmp_path / name, film[::2], **how, **more)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    source = FileSource(path)
    came = len(list(source))
    assert 0 < came <= 80  # an AVI has its index at the end
    assert "cut off" in amiss(source)
    # train, also from the cache; eval; run
    cache = ClipCache(tmp_path / "cache")
    for _ in range(2):
        [(_, recording)] = decode_clips([Clip(path, "idle", "me")], Transform(), ("idle",), cache=cache)
        assert "cut off" in recording.amiss
    [report] = evaluate_clips(synthetic, [Clip(path, "idle", "me")])
    assert f"{name} in part: it is cut off" in report.unreadable[0]
    # crossval; tune; bench
    assert "cut off" in sample_clip(Clip(path, "idle", "me"), synthetic.config).amiss
    warnings: list[str] = []
    read_some(path, 100, log=warnings.append)
    assert "cut off" in warnings[0]
    ended = main_here("run", path, "-m", "synthetic", "--no-show")
    assert ended.returncode == CUT_OFF
    assert "cut off" in ended.stderr


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.mpg", "a.webm", "a.mov", "a.wmv"])
def test_a_whole_file_is_not_called_cut_off(film, tmp_path, name):
    codec = {"a.mpg": "mpeg2video", "a.webm": "libvpx", "a.wmv": "wmv2"}.get(name, "libx264")
    source = FileSource(write(tmp_path / name, film[:40:2], codec=codec, fps=25))
    assert len(list(source)) == 20
    assert source.health.reason == OVER


def test_damage_in_the_middle_costs_what_is_damaged_and_is_reported(film, tmp_path):
    path = write(tmp_path / "a.mp4", film[::2], options={"g": "10", "bf": "0"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = np.random.default_rng(1).integers(0, 256, 600, np.uint8).tobytes()
    path.write_bytes(data)
    source = FileSource(path)
    frames = list(source)
    assert frames[-1].timestamp > 3.5
    assert "damaged" in amiss(source)


def test_a_file_without_timestamps_notes_the_assumed_rate(film, tmp_path):
    path = write(tmp_path / "cam.h264", film[:20:2], fps=20, format="h264")
    source = FileSource(path)
    changes = []
    source.on_health = changes.append
    frames = list(source)
    assert [frame.timestamp for frame in frames] == pytest.approx([n / 20 for n in range(10)])
    assert "no timestamps; 20 pictures a second are assumed" in changes[1].reason


def test_a_duplicate_timestamp_is_filled_in_and_caught_up_with(film, tmp_path):
    """As phones and converters write them: two pictures share a time, and later one is missing."""
    stamps = [*range(8), 7, *range(8, 30), *range(31, 40)]
    path = tmp_path / "twice.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuvj420p"
        for number, (picture, time) in enumerate(zip(film, stamps, strict=False)):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuvj420p")
            frame.pts = number
            for packet in stream.encode(frame):
                packet.time_base = Fraction(1, 15360)
                packet.pts, packet.dts = 512 * time, 512 * number - 1024
                container.mux(packet)
    for size in (None, (48, 40)):
        times = np.array([frame.timestamp for frame in open_source(path, size=size)])
        assert len(times) == len(stamps)
        np.testing.assert_allclose(times[:8], np.arange(8) / 30)
        np.testing.assert_allclose(times[-9:], np.arange(31, 40) / 30)
        assert np.diff(times).min() > 0.9 / 30  # rounding alone sets no two pictures apart


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "mpeg4"), ("b.avi", "libx264"), ("c.avi", "mjpeg"), ("d.mp4", "mpeg4"), ("e.mkv", "libx264"),
     ("f.ts", "libx264"), ("g.mpg", "mpeg2video"), ("h.mov", "mpeg4"), ("i.flv", "libx264")],
)  # fmt: skip
def test_pictures_that_are_stored_in_another_order_keep_their_times(film, tmp_path, name, codec):
    pix_fmt, options = ("yuvj420p", {}) if codec == "mjpeg" else ("yuv420p", {"bf": "2"})
    path = write(tmp_path / name, film[:60], codec=codec, pix_fmt=pix_fmt, options=options, fps=25)
    with av.open(str(path)) as container:
        stored = container.streams.video[0].codec_context.has_b_frames
    assert stored or codec == "mjpeg"
    times = np.array([frame.timestamp for frame in open_source(path)])
    assert times[0] <= (
        0.08 if path.suffix == ".avi" else 0.0
    )  # AVI holds the time at which a picture is decoded
    np.testing.assert_allclose(times - times[0], np.arange(60) / 25, atol=2e-3)


def test_lists_that_name_other_files_are_refused(film, tmp_path):
    write(tmp_path / "film.ts", film[:20:2], fps=25)
    lists = {
        "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfilm.ts\n#EXT-X-ENDLIST\n",
        "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfilm.ts\n#EXT-X-ENDLIST\n",
        "list.mp4": "ffconcat version 1.0\nfile film.ts\n",
        "cam.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError, match="a list that names other files"):
            list(open_source(tmp_path / name))


@pytest.mark.skipif(os.name != "posix", reason="names of bytes are those of POSIX")
def test_a_name_that_is_not_utf_8_is_read_by_everybody(film, tmp_path, synthetic):
    folder = tmp_path / "clips" / "idle"
    folder.mkdir(parents=True)
    name = os.fsdecode(b"caf\xe9.mp4")
    path = write(tmp_path / "plain.mp4", film[:40:2]).rename(folder / name)
    frames = list(open_source(str(path)))
    assert len(frames) == 20
    assert frames[0].source == "caf\\xe9.mp4"
    [(_, recording)] = decode_clips(
        [Clip(path, "idle", "me")], Transform(), ("idle",), cache=ClipCache(tmp_path / "cache")
    )
    assert len(recording.pictures) == 20
    assert len(evaluate_clips(synthetic, [Clip(path, "idle", "me")])) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_read_and_a_data_set_does_not_wait_for_one(film, tmp_path):
    path = write(tmp_path / "film.ts", film[:40:2], fps=25)
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()), daemon=True)
    writer.start()
    frames = list(open_source(pipe))
    writer.join(60.0)
    assert [frame.timestamp for frame in frames] == pytest.approx([n / 25 for n in range(20)], abs=1e-3)
    [(_, error)] = decode_clips([Clip(pipe, "idle", "me")], Transform(), ("idle",))
    assert "is a pipe" in str(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_without_a_writer_is_left_at_once(tmp_path):
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    source = open_source(pipe)
    frames = []
    reader = threading.Thread(target=lambda: frames.extend(source), daemon=True)
    reader.start()
    while source._file._data is None:
        reader.join(0.01)
    source.interrupt()
    reader.join(60.0)
    assert not reader.is_alive()
    assert frames == []


def test_an_mp4_whose_index_is_at_its_end_is_refused_with_a_sentence_from_a_pipe(film, tmp_path):
    path = write(tmp_path / "film.mp4", film, options={"crf": "1"})
    assert path.stat().st_size > 1 << 17  # what is shorter is held whole
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: _pour(path, pipe), daemon=True).start()
    with pytest.raises(SourceError, match="a pipe is read from its beginning on"):
        list(open_source(pipe))


def _pour(path: Path, pipe: Path) -> None:
    with suppress(BrokenPipeError):
        pipe.write_bytes(path.read_bytes())
