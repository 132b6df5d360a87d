import errno
import functools
import http.server
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from streamrec.errors import SinkError
from streamrec.outputs.json_lines import JsonLines
from streamrec.outputs.sink import Background, Callback, Latest, Sink, as_sink
from streamrec.outputs.video_file import VideoFile
from streamrec.outputs.window import Window, why_no_display
from streamrec.types import ActionEnded, ActionStarted, Frame, Health, Prediction, Result, SourceState
from tests.helpers.browsers import CHROMIUM
from tests.helpers.paths import ROOT


def result_of(index, timestamp=None, *, segment=0, size=(64, 48), image=None, events=(), source="door"):
    """A result whose picture is as bright as its index says."""
    timestamp = index / 10 if timestamp is None else timestamp
    if image is None:
        image = np.full((size[1], size[0], 3), shade(index), np.uint8)
    shares = np.array([0.125, 0.875], np.float32)
    prediction = Prediction("wave", 0.875, shares, timestamp, ("idle", "wave"))
    return Result(Frame(image, index, timestamp, segment, source), prediction, events, 0.0123, 3)


def shade(index):
    return 30 + index * 10 % 200


def decoded(path):
    """(seconds, (H, W, 3) BGR) of each picture of a video."""
    with av.open(str(path)) as container:
        return [(float(f.pts * f.time_base), f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]


def write_video(path, results, **options):
    with VideoFile(path, **options) as video:
        for result in results:
            video.write(result)
    return decoded(path)


# -- VideoFile


@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "h264"), ("m4v", "h264"), ("mov", "h264"), ("mkv", "h264"), ("webm", "vp9")]
)
def test_a_video_holds_every_picture_at_its_true_time(tmp_path, ending, codec):
    times = [0.0, 0.1, 0.15, 0.5, 0.54, 1.0, 4.0, 4.2]
    path = tmp_path / f"out.{ending}"
    pictures = write_video(path, [result_of(i, 7 + t) for i, t in enumerate(times)], overlay=False)
    assert [t for t, _ in pictures] == pytest.approx(times, abs=0.001)
    assert [p.mean() for _, p in pictures] == pytest.approx([shade(i) for i in range(8)], abs=3)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == (codec, "yuv420p")
        assert container.duration / 1e6 == pytest.approx(
            4.4, abs=0.02
        )  # the last picture lasts one usual gap
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_opencv_reads_the_same_video_back(tmp_path):
    path = tmp_path / "out.mp4"
    write_video(path, [result_of(i) for i in range(12)], overlay=False)
    capture = cv2.VideoCapture(str(path))
    seen = []
    while True:
        fine, picture = capture.read()
        if not fine:
            break
        seen.append(picture.mean())
    capture.release()
    assert seen == pytest.approx([shade(i) for i in range(12)], abs=3)


def test_colors_come_back_as_they_went(tmp_path):
    color = (40, 90, 220)
    image = np.full((48, 64, 3), color, np.uint8)
    pictures = write_video(tmp_path / "out.mp4", [result_of(0, image=image)], overlay=False)
    assert pictures[0][1].mean(axis=(0, 1)) == pytest.approx(color, abs=4)


def test_an_mp4_has_its_index_in_front_and_no_fragments(tmp_path):
    path = tmp_path / "out.mp4"
    write_video(path, [result_of(i) for i in range(40)])
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat") and b"moof" not in data


def test_a_seek_lands_within_two_seconds(tmp_path):
    path = tmp_path / "out.mkv"
    write_video(path, [result_of(i % 20, i / 5, segment=i // 20) for i in range(60)])
    with av.open(str(path)) as container:
        keys = [
            float(p.pts * p.time_base)
            for p in container.demux(video=0)
            if p.is_keyframe and p.pts is not None
        ]
    assert max(np.diff(keys)) <= 2.2


def test_the_overlay_is_in_the_video_unless_not_wanted(tmp_path):
    image = np.zeros((240, 320, 3), np.uint8)
    with_it = write_video(tmp_path / "a.mp4", [result_of(0, image=image)])
    without = write_video(tmp_path / "b.mp4", [result_of(0, image=image)], overlay=False)
    assert with_it[0][1].max() > 200 and without[0][1].max() < 10
    assert (image == 0).all()


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (63, 48), (1, 1), (17, 200)])
def test_odd_sides_grow_by_one_pixel(tmp_path, size):
    pictures = write_video(tmp_path / "out.mp4", [result_of(i, size=size) for i in range(3)], overlay=False)
    width, height = size
    assert pictures[0][1].shape == (height + height % 2, width + width % 2, 3)
    assert [p.mean() for _, p in pictures] == pytest.approx([shade(i) for i in range(3)], abs=4)


def test_another_size_is_fitted_between_black_bars(tmp_path):
    results = [result_of(10, 0.0), result_of(11, 0.1, size=(64, 96)), result_of(12, 0.2, size=(201, 48))]
    pictures = write_video(tmp_path / "out.mp4", results, overlay=False)
    assert {p.shape for _, p in pictures} == {(48, 64, 3)}
    tall, wide = pictures[1][1], pictures[2][1]
    assert tall[:, :14].max() < 20 and tall[24, 32].mean() == pytest.approx(shade(11), abs=6)
    assert wide[:14].max() < 20 and wide[24, 32].mean() == pytest.approx(shade(12), abs=6)


def test_a_reconnect_and_a_clock_that_goes_back_go_on_after_a_usual_gap(tmp_path):
    results = [
        result_of(0, 50.0),
        result_of(1, 50.1),
        result_of(2, 50.2),
        result_of(3, 0.0, segment=1),  # a reconnect: a new clock
        result_of(4, 0.3, segment=1),
        result_of(5, 0.1, segment=1),  # back
        result_of(6, 0.1, segment=1),  # standing still
        result_of(7, float("nan"), segment=1),
        result_of(8, 0.2, segment=1),
        result_of(9, 0.25, segment=1),
    ]
    pictures = write_video(tmp_path / "out.mp4", results, overlay=False)
    expected = [0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9, 1.0, 1.05]
    assert [t for t, _ in pictures] == pytest.approx(expected, abs=0.001)
    assert [p.mean() for _, p in pictures] == pytest.approx([shade(i) for i in range(10)], abs=3)


def test_a_repeated_result_adds_no_picture(tmp_path):
    ended = ActionEnded("wave", 0.1, 0.0, 0.9)
    results = [result_of(0), result_of(1), replace(result_of(1, events=(ended,)), repeated=True)]
    assert len(write_video(tmp_path / "out.mp4", results)) == 2


def test_one_picture_makes_a_video(tmp_path):
    path = tmp_path / "out.mp4"
    assert len(write_video(path, [result_of(5)])) == 1
    with av.open(str(path)) as container:
        assert 0.02 < container.duration / 1e6 < 0.2


def test_without_a_result_no_file_is_left_and_an_older_one_stays(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")
    with VideoFile(path) as video:
        pass
    video.close()
    assert path.read_bytes() == b"older" and len(list(tmp_path.iterdir())) == 1


def test_a_video_is_finished_when_the_loop_is_interrupted(tmp_path):
    path = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt), VideoFile(path) as video:
        for i in range(5):
            video.write(result_of(i))
        raise KeyboardInterrupt
    assert len(decoded(path)) == 5
    with pytest.raises(SinkError, match="closed"):
        video.write(result_of(9))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
def test_a_killed_process_leaves_a_video_that_plays(tmp_path, ending):
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.integration.outputs.test_sinks import VideoFile, result_of
video = VideoFile({str(tmp_path / f"out.{ending}")!r})
for i in range(200):
    video.write(result_of(i, i / 20, size=(160, 120)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [f"out.part.{ending}"]
    assert len(decoded(tmp_path / f"out.part.{ending}")) >= 200 - 4 * 20


def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path):
    for name in ("out.avi", "out", "out.mp3"):
        with pytest.raises(SinkError, match=r"\.mp4.*\.webm"):
            VideoFile(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_refused_at_once(tmp_path):
    with pytest.raises(SinkError, match="does not exist; create it first"):
        VideoFile(tmp_path / "missing" / "out.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(SinkError, match="folder"):
        VideoFile(tmp_path / "folder.mp4")
    with pytest.raises(SinkError, match="does not exist"):
        JsonLines(tmp_path / "missing" / "out.jsonl")


def test_a_missing_encoder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"libvpx-vp9"})
    with pytest.raises(SinkError, match="libx264"):
        VideoFile(tmp_path / "out.mov")
    pictures = write_video(
        tmp_path / "out.mp4", [result_of(i) for i in range(3)]
    )  # VP9 plays in browsers too
    assert len(pictures) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
@pytest.mark.parametrize("room", [0, 700, 20_000])
@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm"])
def test_a_video_that_finds_no_room_at_any_stage_is_told_and_ends_no_process(tmp_path, ending, room):
    code = f"""
import resource
from tests.integration.outputs.test_sinks import SinkError, VideoFile, result_of
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, resource.RLIM_INFINITY))
import numpy as np
noise = np.random.default_rng(0)
video = VideoFile("out.{ending}", overlay=False)
told = 0
for number in range(40):
    result = result_of(number, image=noise.integers(0, 256, (64, 64, 3), np.uint8))
    try:
        video.write(result)
    except SinkError as error:
        assert "cannot write out.{ending}" in str(error), error
        told += 1
try:
    video.close()
except SinkError as error:
    assert "cannot write out.{ending}" in str(error), error
    told += 1
assert told
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr
    assert all(path.stat().st_size > 0 for path in tmp_path.iterdir())


def test_a_full_disk_is_told_in_a_sentence(tmp_path, monkeypatch):
    video = VideoFile(tmp_path / "out.mp4")
    video.write(result_of(0))

    def full(packets):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(video, "_mux", full)
    with pytest.raises(SinkError, match="the disk is full"):
        video.write(result_of(1))
    with pytest.raises(SinkError, match=r"what was recorded is in .*out\.part\.mp4"):
        video.close()
    assert (tmp_path / "out.part.mp4").exists()
    video.close()


PAGE = """<!doctype html>
<video id=v muted autoplay preload=auto src=NAME></video><script>
const v = document.getElementById("v");
const facts = () => [v.readyState, v.videoWidth, v.videoHeight, v.duration, v.currentTime].join();
v.onended = () => fetch("/told?" + facts());
v.onerror = () => fetch("/told?" + encodeURIComponent(v.error.message));
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium-headless-shell")
@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_a_browser_plays_the_video_to_its_end(tmp_path, ending):
    write_video(tmp_path / f"out.{ending}", [result_of(i, i / 10, size=(320, 240)) for i in range(20)])
    (tmp_path / "page.html").write_text(PAGE.replace("NAME", f"out.{ending}"))
    told, heard = [], threading.Event()

    class Page(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/told?"):
                told.append(urllib.parse.unquote(self.path[6:]))
                heard.set()
                self.send_response(204)
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Page, directory=str(tmp_path))
    )
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--autoplay-policy=no-user-gesture-required",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    address = f"http://127.0.0.1:{server.server_address[1]}/page.html"
    browser = subprocess.Popen(
        [CHROMIUM, *flags, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert heard.wait(60), "the browser said nothing for a minute"
    finally:
        browser.terminate()
        browser.wait(30)
        server.shutdown()
        server.server_close()
        serving.join(60.0)
    ready, width, height, duration, played = (float(word) for word in told[0].split(","))
    assert ready >= 2 and (width, height) == (320, 240)
    assert duration == pytest.approx(2.0, abs=0.05) and played == pytest.approx(duration, abs=0.05)


# -- JsonLines


STARTED = ActionStarted("wave", 1.2, 0.8125, "door")
ENDED = ActionEnded("wave", 3.9, 1.2, 0.9375, "door")


def lines_of(results):
    text = io.StringIO()
    with JsonLines(text) as sink:
        for result in results:
            sink.write(result)
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_the_example_in_the_documentation_is_what_is_written():
    block = re.search(r"```json\n(.*?)```", (ROOT / "docs" / "jsonl.md").read_text(encoding="utf-8"), re.S)[1]
    text = io.StringIO()
    with JsonLines(text) as sink:
        sink.write(result_of(42, 1.4, events=(STARTED, ENDED)))
    assert text.getvalue() == block


def test_every_field_is_documented():
    page = (ROOT / "docs" / "jsonl.md").read_text(encoding="utf-8")
    for line in lines_of([result_of(42, 1.4, events=(STARTED, ENDED))]):
        assert [key for key in line if f"| `{key}` |" not in page] == []


def test_what_a_gate_left_out_is_told_by_itself():
    (line,) = lines_of([replace(result_of(42, 1.4), still=7)])
    assert (line["still"], line["dropped"]) == (7, result_of(42, 1.4).dropped)
    (line,) = lines_of([result_of(42, 1.4)])
    assert "still" not in line


def test_a_model_that_counts_tells_the_repetitions_and_another_does_not():
    result = result_of(42, 1.4, events=(STARTED, replace(ENDED, repetitions=7)))
    prediction, started, ended = lines_of([replace(result, repetitions=0)])
    assert (prediction["repetitions"], ended["repetitions"]) == (0, 7)
    assert "repetitions" not in started
    assert all("repetitions" not in line for line in lines_of([result_of(42, events=(STARTED, ENDED))]))
    page = (ROOT / "docs" / "jsonl.md").read_text(encoding="utf-8")
    assert page.count("| `repetitions` |") == 2


def test_a_repeated_result_writes_its_events_only():
    repeated = replace(result_of(1), repeated=True)
    lines = lines_of([result_of(0), result_of(1), replace(repeated, events=(ENDED,)), repeated])
    assert [line["type"] for line in lines] == ["prediction", "prediction", "event"]


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_repetition_of_a_frame_that_its_reader_never_got_is_new(is_seen):
    first = result_of(0)
    latest = Latest()
    latest.write(first)
    if is_seen:
        latest.get()
    latest.write(replace(first, events=(ENDED,), repeated=True))
    result = latest.get()
    assert (result.repeated, result.events) == (is_seen, (ENDED,))


def test_two_sources_in_turn_each_tell_a_prediction_once():
    results = [
        result_of(0),
        result_of(0, source="yard"),
        replace(result_of(0, events=(ENDED,)), repeated=True),
        result_of(0, segment=1),
    ]
    told = [(line["source"], line["type"]) for line in lines_of(results)]
    assert told == [("door", "prediction"), ("yard", "prediction"), ("door", "event"), ("door", "prediction")]


def test_what_is_not_a_number_is_null():
    prediction = Prediction("a", float("nan"), np.array([np.nan, np.inf], np.float32), 0.0, ("a", "b"))
    event = ActionStarted("a", float("inf"), float("nan"))
    (line, told) = lines_of([Result(Frame(np.zeros((1, 1, 3), np.uint8), 0, 0.0), prediction, (event,))])
    assert line["confidence"] is None and line["probabilities"] == {"a": None, "b": None}
    assert told["timestamp"] is None


def test_each_line_is_in_the_file_before_write_returns(tmp_path):
    path = tmp_path / "out.jsonl"
    with JsonLines(path) as sink:
        for i in range(3):
            sink.write(result_of(i))
            assert len(path.read_text(encoding="utf-8").splitlines()) == i + 1
    sink.close()
    with pytest.raises(SinkError, match="closed"):
        sink.write(result_of(9))


def test_the_state_of_a_source_is_a_line_of_its_own():
    health = Health(
        SourceState.reconnecting,
        "the connection was lost",
        5.0,
        42,
        {"torn": 3},
        {"the connection was lost": 1},
    )
    lines = io.StringIO()
    with JsonLines(lines) as sink:
        sink.write_health("door", health)
        sink.write(result_of(0, 0.0))
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert first == {
        "type": "state",
        "version": 1,
        "source": "door",
        "state": "reconnecting",
        "reason": "the connection was lost",
        "frames": 42,
        "refused": {"torn": 3},
        "reconnects": {"the connection was lost": 1},
    }
    assert second["type"] == "prediction"


def test_lines_are_utf_8_and_odd_names_stay_json(tmp_path):
    path = tmp_path / "out.jsonl"
    names = ["飲む", "Wäsche", 'quote " and \n newline', os.fsdecode(b"caf\xe9.mp4")]
    with JsonLines(path) as sink:
        for i, name in enumerate(names):
            sink.write(result_of(i, source=name))
    lines = path.read_bytes().decode("utf-8").split("\n")[:-1]
    assert [json.loads(line)["source"] for line in lines] == names
    assert "飲む" in lines[0]


def test_a_dash_is_standard_output_and_leaves_it_open(capfd):
    with JsonLines("-") as sink:
        sink.write(result_of(0))
    print("still open")
    first, second = capfd.readouterr().out.splitlines()
    assert json.loads(first)["index"] == 0 and second == "still open"


def test_files_opened_for_text_or_for_bytes_are_taken_and_stay_open(tmp_path):
    with (
        tempfile.NamedTemporaryFile(dir=tmp_path) as binary,
        (tmp_path / "t").open("w+", encoding="utf-8") as text,
    ):
        for file in (binary, text):
            with JsonLines(file) as sink:
                sink.write(result_of(3, source="飲む"))
            file.seek(0)
            assert json.loads(file.read())["source"] == "飲む"


def test_a_reader_that_left_is_told_in_a_sentence():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(SinkError, match="is not read any more"):
        JsonLines(Gone()).write(result_of(0))


# -- Latest, Callback


def test_latest_gives_the_newest_once():
    latest = Latest()
    for i in range(3):
        latest.write(result_of(i))
    assert latest.get().frame.index == 2
    assert latest.get(timeout=0) is None


def test_latest_wakes_the_one_who_waits():
    latest = Latest()
    got = []
    reader = threading.Thread(target=lambda: got.append(latest.get(timeout=30)))
    reader.start()
    latest.write(result_of(7))
    reader.join(30)
    assert got[0].frame.index == 7


def test_latest_ends_for_the_one_who_waits_when_it_is_closed():
    latest = Latest()
    got = []
    reader = threading.Thread(target=lambda: got.append(latest.get()))
    reader.start()
    latest.close()
    reader.join(30)
    assert got == [None] and latest.closed
    with pytest.raises(SinkError, match="closed"):
        latest.write(result_of(0))


def test_latest_carries_the_events_that_nobody_got():
    latest = Latest()
    latest.write(result_of(0, events=(STARTED,)))
    latest.write(result_of(1))
    latest.write(result_of(2, events=(ENDED,)))
    assert latest.get().events == (STARTED, ENDED)
    latest.write(result_of(3))
    assert latest.get().events == ()


def test_latest_does_not_grow_when_nobody_ever_reads():
    latest = Latest()
    for i in range(3000):
        latest.write(result_of(i, events=(STARTED,)))
    assert len(latest.get().events) <= 1001


def test_as_sink_takes_sinks_and_functions_and_refuses_the_rest():
    latest = Latest()
    assert as_sink(latest) is latest
    assert isinstance(as_sink(print), Callback)
    with pytest.raises(SinkError, match="pass a Sink or a function"):
        as_sink(3)


# -- Background


class Slow(Sink):
    """Writes one result each time it is let through."""

    def __init__(self):
        self.written, self.closed = [], 0
        self.busy, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def write(self, result):
        self.busy.release()
        assert self.go.acquire(timeout=30)
        self.written.append(result)

    def close(self):
        self.closed += 1


def test_background_writes_everything_when_the_sink_keeps_up():
    written = []
    with Background(Callback(written.append), capacity=100) as sink:
        for i in range(50):
            sink.write(result_of(i % 20))
    assert len(written) == 50 and sink.dropped == 0


@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_background_drops_the_oldest_but_no_event(capacity):
    slow = Slow()
    sink = Background(slow, capacity=capacity)
    sink.write(result_of(0))
    assert slow.busy.acquire(timeout=30)  # the first is being written, the rest has to wait
    events = [ActionStarted(f"action {i}", float(i), 0.9) for i in range(1, 20)]
    for i, event in enumerate(events, start=1):
        sink.write(result_of(i, events=(event,) if i % 3 else (event, ENDED)))
    assert sink.dropped == 19 - capacity
    for _ in range(20):
        slow.go.release()
    sink.close()
    assert [r.frame.index for r in slow.written] == [0, *range(20 - capacity, 20)]
    told = [e for r in slow.written for e in r.events]
    assert [e for e in told if e is not ENDED] == events  # all of them, once, in order
    assert told.count(ENDED) == 6
    assert slow.closed == 1


def test_background_waits_where_every_result_counts():
    slow = Slow()
    sink = Background(slow, capacity=2, drop_oldest=False)

    def write():
        for i in range(10):
            sink.write(result_of(i))

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(10):
        slow.go.release()
    writer.join(30)
    sink.close()
    assert [r.frame.index for r in slow.written] == list(range(10)) and sink.dropped == 0


class Broken(Sink):
    def __init__(self, at_close=False):
        self.at_close, self.closed = at_close, threading.Event()

    def write(self, result):
        if not self.at_close:
            raise ZeroDivisionError("in the sink")

    def close(self):
        self.closed.set()
        if self.at_close:
            raise ZeroDivisionError("at the end")


def test_what_the_sink_raises_reaches_the_next_write():
    broken = Broken()
    sink = Background(broken)
    sink.write(result_of(0))
    assert broken.closed.wait(30)
    with pytest.raises(ZeroDivisionError, match="in the sink"):
        sink.write(result_of(1))
    sink.close()  # told once is enough


def test_what_the_sink_raises_reaches_close_when_nothing_is_written_any_more():
    sink = Background(Broken())
    sink.write(result_of(0))
    with pytest.raises(ZeroDivisionError, match="in the sink"):
        sink.close()
    sink.close()
    with pytest.raises(ZeroDivisionError, match="at the end"), Background(Broken(at_close=True)) as sink:
        sink.write(result_of(0))


def test_what_the_sink_raises_wakes_a_writer_that_waits():
    sink = Background(Broken(), capacity=1, drop_oldest=False)
    with pytest.raises(ZeroDivisionError):
        for i in range(1000):
            sink.write(result_of(i % 20))
    sink.close()


def test_close_writes_what_waits_and_ends_the_thread():
    before = threading.active_count()
    written = []
    sink = Background(Callback(written.append), capacity=10, drop_oldest=False)
    for i in range(10):
        sink.write(result_of(i))
    sink.close()
    sink.close()
    assert len(written) == 10 and threading.active_count() == before
    with pytest.raises(SinkError, match="closed"):
        sink.write(result_of(11))


def test_close_does_not_wait_for_ever_for_a_stuck_sink():
    slow = Slow()
    sink = Background(slow, patience=0.05)
    sink.write(result_of(0))
    assert slow.busy.acquire(timeout=30)
    sink.write(result_of(1))
    with pytest.raises(SinkError, match=r"stuck: after 0\.05 s 1 more"):
        sink.close()
    slow.go.release()
    sink._thread.join(30)
    sink.close()
    assert len(slow.written) == 1 and slow.closed == 1


def test_a_video_can_be_written_in_the_background(tmp_path):
    path = tmp_path / "out.mp4"
    with Background(VideoFile(path, overlay=False), drop_oldest=False) as sink:
        for i in range(20):
            sink.write(result_of(i))
    assert [p.mean() for _, p in decoded(path)] == pytest.approx([shade(i) for i in range(20)], abs=3)


# -- Window


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux names its display")
def test_without_a_display_the_error_says_what_to_use_instead(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "no display" in why_no_display()
    with pytest.raises(SinkError, match=r"no display.*--save out.mp4.*--jsonl.*--no-show"):
        Window()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux names its display")
def test_a_display_that_is_not_there_does_not_end_the_process(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":7613")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SinkError, match="DISPLAY=:7613"):
        Window()


def test_an_opencv_without_windows_is_recognised(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    assert "pip install opencv-python" in why_no_display()


WINDOWS = """
import sys
sys.path.insert(0, {root!r})
import cv2
from tests.integration.outputs.test_sinks import Window, why_no_display, result_of
assert why_no_display() is None, why_no_display()
real = cv2.waitKey
for key in "q", "Q", chr(27):
    with Window("keys") as window:
        for i in range(3):
            window.write(result_of(i, size=(320, 240)))
        assert not window.closed and window.key == ""
        cv2.waitKey = lambda delay: (real(delay), ord("e"))[1]
        window.write(result_of(3, size=(320, 240)))
        assert not window.closed and window.key == "e"
        cv2.waitKey = lambda delay: (real(delay), ord(key))[1]
        window.write(result_of(3, size=(320, 240)))
        cv2.waitKey = real
        assert window.closed
        window.write(result_of(4, size=(320, 240)))
        assert window.closed
window = Window("button")
for i in range(5):
    window.write(result_of(i, size=(320, 240)))
assert not window.closed


def pressed(delay):  # what the close button does
    cv2.destroyWindow("button")
    return real(delay)


cv2.waitKey = pressed
window.write(result_of(5, size=(320, 240)))
cv2.waitKey = real
assert window.closed
window.write(result_of(6, size=(320, 240)))
window.close()
print("fine")
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run")
def test_a_window_shows_and_closes_by_key_and_by_button():
    program = WINDOWS.format(root=str(ROOT))
    environment = {
        k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY")
    }
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0 and "fine" in done.stdout, done.stdout + done.stderr


def test_how_strange_the_picture_is_stands_in_the_line_where_the_model_knows():
    known = result_of(0)
    strange = replace(known, prediction=replace(known.prediction, strangeness=1.23456), unknown=True)
    (without,), (line,) = lines_of([known]), lines_of([strange])
    assert "strangeness" not in without and "unknown" not in without
    assert (line["strangeness"], line["unknown"]) == (1.235, True)
