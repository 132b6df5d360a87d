"""Sound of real files, of real RTSP servers, and of PortAudio where it is installed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from streamrec import open_source
from streamrec.errors import SourceError
from streamrec.sources.health import amiss
from streamrec.sources.open_errors import NO_SOUND
from streamrec.sources.sound_hops import Hops
from streamrec.types import SourceState
from tests.helpers.cameras import rtsp_camera
from tests.helpers.sounds import clicks, moments_of, tone, write_media

AT = (0.31, 1.2, 1.85)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels", "near"),
    [
        ("clip.wav", "pcm_s16le", 44_100, 2, 0.001),
        ("clip8.wav", "pcm_u8", 8_000, 1, 0.001),
        ("clip24.wav", "pcm_s24le", 48_000, 1, 0.001),
        ("clip.flac", "flac", 96_000, 1, 0.001),
        ("clip.ogg", "libopus", 48_000, 2, 0.01),
        ("clip.mp3", "libmp3lame", 44_100, 1, 0.06),  # without a header that names the encoder's delay
        ("clip.m4a", "aac", 44_100, 2, 0.01),
    ],
)
def test_a_sound_file_of_any_kind_is_blocks_with_its_own_time(tmp_path, name, codec, rate, channels, near):
    path = write_media(tmp_path / name, clicks(rate, 2.0, AT), rate, codec=codec, channels=channels)
    source = open_source(path)
    hops = list(Hops(source, 16_000, 1_280))
    assert source.rate == rate and source.health.state is SourceState.ended and amiss(source) is None
    found = moments_of(np.concatenate([hop.data for hop in hops]), 16_000, hops[0].timestamp)
    assert found == pytest.approx(AT, abs=near)
    assert source.duration == pytest.approx(2.0, abs=0.1)
    assert [hop.timestamp for hop in Hops(source, 16_000, 1_280)] == [hop.timestamp for hop in hops]


def test_the_sound_track_of_a_video_is_on_the_clock_of_its_pictures(tmp_path):
    # A white picture with each click: both are at the same time, as the file's own clock has it.
    rate, fps = 48_000, 25
    pictures = [np.zeros((48, 64, 3), np.uint8) for _ in range(50)]
    for at in (0.4, 1.4):
        pictures[round(at * fps)][:] = 255
    path = write_media(
        tmp_path / "party.mp4",
        clicks(rate, 2.0, (0.4, 1.4)),
        rate,
        codec="aac",
        channels=2,
        pictures=pictures,
    )
    seen = [frame.timestamp for frame in open_source(path) if frame.data.mean() > 127]
    hops = list(Hops(open_source(f"{path}#sound"), 16_000, 1_280))
    found = moments_of(np.concatenate([hop.data for hop in hops]), 16_000, hops[0].timestamp)
    assert found == pytest.approx(seen, abs=0.01)


def test_a_video_without_sound_and_a_file_that_is_none_are_a_sentence(tmp_path):
    silent = write_media(tmp_path / "silent.mp4", None, pictures=[np.zeros((48, 64, 3), np.uint8)] * 5)
    with pytest.raises(
        SourceError, match=r"the sound of silent.mp4 cannot be read: it has no sound: give a file with"
    ):
        list(open_source(f"{silent}#sound"))
    (tmp_path / "odd.wav").write_bytes(b"this is no sound at all" * 100)
    with pytest.raises(
        SourceError, match=r"the sound of odd.wav cannot be read: what is there is of no kind"
    ):
        list(open_source(tmp_path / "odd.wav"))
    playlist = tmp_path / "list.mp3"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n")
    with pytest.raises(SourceError, match="it is a list that names other files, and these are not read"):
        list(open_source(playlist))


def test_a_file_that_was_cut_off_is_read_to_there_and_reported(tmp_path):
    path = write_media(tmp_path / "clip.wav", tone(16_000, 2.0), 16_000)
    whole = path.read_bytes()
    path.write_bytes(whole[:32_044])
    source = open_source(path)
    assert sum(len(block.data) for block in source) == pytest.approx(16_000, abs=50)
    assert amiss(source) == f"it is cut off: {len(whole) - 32_044} bytes are missing at its end"


def test_a_camera_is_heard_by_rtsp_beside_its_pictures_with_a_password():
    """Real GStreamer: H.264 and G.711 in one session; the sound is read in a connection of its own."""
    with rtsp_camera(sound=True, user="me", password="s3cr#t") as camera:
        source = open_source(f"{camera}#sound", retries=0)
        pictures = iter(open_source(camera, retries=0))
        assert next(pictures).is_picture
        began, hops = time.monotonic(), []
        for hop in Hops(source, 16_000, 1_280):
            hops.append(hop)
            if hop.timestamp - hops[0].timestamp > 4.0:
                source.interrupt()
                break
        assert next(pictures).is_picture
        pictures.close()
    assert source.rate == 8_000 and "s3cr" not in source.name and {hop.segment for hop in hops} == {0}
    steps = np.diff([hop.timestamp for hop in hops])
    assert steps == pytest.approx(np.full(len(steps), 0.08))
    # The first and the last may be cut.
    beeps = moments_of(np.concatenate([hop.data for hop in hops]), 16_000)[1:-1]
    assert len(beeps) >= 2 and np.diff(beeps) == pytest.approx(np.ones(len(beeps) - 1), abs=0.02)
    assert hops[-1].captured - began < 30


def test_a_camera_without_sound_says_what_to_do():
    with rtsp_camera() as camera:
        source = open_source(f"{camera}#sound", retries=0)
        with pytest.raises(SourceError) as caught:
            next(iter(source))
    assert NO_SOUND in str(caught.value) and source.health.state is SourceState.failed


@pytest.fixture
def alsa(tmp_path, monkeypatch):
    """A microphone of ALSA's own that plays a file; skipped where PortAudio is not installed."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        pytest.skip(f"PortAudio is not installed: {error}")
    tone(44_100, 3.0).astype("<f4").tofile(tmp_path / "in.raw")
    (tmp_path / "asound.conf").write_text(
        "</usr/share/alsa/alsa.conf>\n"
        'pcm.testmic { type file slave.pcm "null" file "/dev/null" '
        f'infile "{tmp_path}/in.raw" format "raw" hint {{ show on description "test" }} }}\n'
        'pcm.!default { type plug slave.pcm "testmic" }\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    sounddevice._terminate()
    sounddevice._initialize()
    yield
    monkeypatch.undo()
    sounddevice._terminate()
    sounddevice._initialize()


def test_a_microphone_is_heard_by_its_name(alsa):
    source = open_source("mic:testmic", retries=0)
    blocks = []
    for block in source:
        blocks.append(block.data)
        if len(blocks) == 5:
            source.interrupt()
    assert source.rate == 44_100 and all(block.dtype == np.float32 for block in blocks)
    with pytest.raises(SourceError, match=r"there is no microphone 'no such'; there are: .*testmic"):
        next(iter(open_source("mic:no such", retries=0)))
