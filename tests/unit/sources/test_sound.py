"""Sound: blocks of any rate and length become hops with exact times; gaps are silence or begin a segment."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec import open_source
from streamrec.errors import SourceError
from streamrec.sources.file_bytes import LocalFile
from streamrec.sources.file_length import missing_bytes
from streamrec.sources.microphone import Microphone
from streamrec.sources.network_sound import NetworkSound
from streamrec.sources.open import file_of
from streamrec.sources.sound import SoundSource, mono
from streamrec.sources.sound_files import SoundFileSource
from streamrec.sources.sound_hops import LOST, Hops
from streamrec.types import SOUND
from tests.helpers.sounds import clicks, moments_of, tone


def hops_of(blocks, rate: int, *, to: int = 16_000, hop: int = 1_280, max_gap: float = 1.0):
    source = SoundSource(blocks, rate=rate)
    return source, list(Hops(source, to, hop, max_gap=max_gap))


def cut(samples: np.ndarray, *lengths: int) -> list[np.ndarray]:
    """The samples in blocks of these lengths, one after the other, over and over."""
    blocks, at, n = [], 0, 0
    while at < len(samples):
        blocks.append(samples[at : at + lengths[n % len(lengths)]])
        at, n = at + lengths[n % len(lengths)], n + 1
    return blocks


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_sound_keeps_its_time_at_any_rate(rate):
    at = (0.25, 0.9, 1.6)
    _, hops = hops_of(cut(clicks(rate, 2.0, at), 1024, 37, 4096), rate)
    assert {hop.data.shape for hop in hops} == {(1280,)} and hops[0].data.dtype == np.float32
    assert [round(hop.timestamp, 9) for hop in hops] == [round(n * 0.08, 9) for n in range(25)]
    assert [hop.index for hop in hops] == list(range(25))
    found = moments_of(np.concatenate([hop.data for hop in hops]), 16_000)
    assert found == pytest.approx(at, abs=1e-4)


def test_what_the_lower_rate_cannot_hold_does_not_come_back_as_another_tone():
    _, hops = hops_of([tone(48_000, 1.0, hertz=11_000)], 48_000)
    assert np.abs(np.concatenate([hop.data for hop in hops])[200:-200]).max() < 1e-3
    _, hops = hops_of([tone(48_000, 1.0, hertz=3_000)], 48_000)
    assert np.abs(np.concatenate([hop.data for hop in hops])).max() == pytest.approx(0.5, abs=0.01)


def test_a_hop_waits_for_no_more_than_three_milliseconds_of_the_sound_behind_it():
    whole = 3_840  # samples of 80 ms at 48 kHz
    taken = []

    def blocks():
        for n, block in enumerate(cut(tone(48_000, 1.0), 48)):
            taken.append(n + 1)
            yield block

    first = next(iter(Hops(SoundSource(blocks(), rate=48_000), 16_000, 1_280)))
    assert first.timestamp == 0.0
    assert whole / 48 <= len(taken) <= whole / 48 + 3, "blocks of 1 ms"


def test_a_short_gap_is_silence_and_counted():
    sound = tone(16_000, 1.0)
    blocks = [(0.0, sound[:6400]), (0.5, sound[8000:])]  # 0.1 s was lost
    source, hops = hops_of(blocks, 16_000)
    found = np.concatenate([hop.data for hop in hops])
    assert {hop.segment for hop in hops} == {0}
    assert not found[6400:8000].any() and np.array_equal(found[8000:], sound[8000 : len(found)])
    assert source.health.refused == {LOST: 2}


def test_a_long_gap_begins_a_segment_with_its_own_time():
    sound = tone(16_000, 0.5)
    source, hops = hops_of([(0.0, sound), (7.25, sound)], 16_000)
    assert [(hop.segment, round(hop.timestamp, 3)) for hop in hops] == [
        *((0, round(n * 0.08, 3)) for n in range(6)),
        *((1, round(7.25 + n * 0.08, 3)) for n in range(6)),
    ]
    assert not source.health.refused


def test_a_clock_that_goes_back_begins_a_segment_and_an_overlap_is_given_once():
    sound = tone(16_000, 1.0)
    _, hops = hops_of([(5.0, sound), (0.0, sound)], 16_000)
    assert [hop.segment for hop in hops] == [0] * 12 + [1] * 12
    _, hops = hops_of([(0.0, sound[:8000]), (0.25, sound[4000:])], 16_000)
    assert {hop.segment for hop in hops} == {0}
    assert np.array_equal(np.concatenate([hop.data for hop in hops]), sound[: 12 * 1280])


def test_times_that_are_only_rounded_lose_and_add_nothing():
    sound = tone(48_000, 2.0)
    parts = cut(sound, 1024)
    blocks = [
        (round(n * 1024 / 48_000, 3), part) for n, part in enumerate(parts)
    ]  # milliseconds, as in Matroska
    source, hops = hops_of(blocks, 48_000, to=48_000, hop=4_800)
    assert np.array_equal(np.concatenate([hop.data for hop in hops]), sound)
    assert not source.health.refused


def test_a_rate_that_changes_begins_a_segment():
    source = SoundSource([], rate=8_000)

    def blocks():
        yield tone(8_000, 0.5)
        source.rate = 16_000
        yield tone(16_000, 0.5)

    source.blocks = blocks()
    assert [hop.segment for hop in Hops(source, 16_000, 1_280)] == [0] * 6 + [1] * 6


def test_samples_are_within_full_scale():
    _, hops = hops_of([np.sign(tone(48_000, 1.0)) * 1.5], 48_000)
    assert max(float(np.abs(hop.data).max()) for hop in hops) == 1.0


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (np.array([16384, -32768], np.int16), [0.5, -1.0]),
        (np.array([192, 0], np.uint8), [0.5, -1.0]),
        (np.array([[0.5, 0.0], [1.0, 0.0]]), [0.25, 0.5]),
        ([0.25, 0.5], [0.25, 0.5]),
    ],
)
def test_blocks_of_any_kind_are_one_channel_from_minus_1_to_1(given, found):
    assert mono(given, "x").tolist() == pytest.approx(found)


@pytest.mark.parametrize(
    ("blocks", "rate", "said"),
    [
        (["noise"], 16_000, "block 0: .* is no block of sound: give samples"),
        ([np.zeros((2, 2, 2))], 16_000, "is no block of sound"),
        ([np.array([np.nan])], 16_000, "a sample is no number"),
        ([np.zeros(4)], None, r"has no rate: give SoundSource\(blocks, rate=16000\)"),
    ],
)
def test_what_is_no_sound_is_refused_in_a_sentence(blocks, rate, said):
    with pytest.raises(SourceError, match=said):
        list(SoundSource(blocks, rate=rate))


@pytest.mark.parametrize("rate", [0, 12, 10**9, "fast", 1.5])
def test_a_rate_is_a_whole_number_of_samples(rate):
    with pytest.raises(SourceError, match="samples a second"):
        SoundSource([], rate=rate)


@pytest.mark.parametrize(
    ("what", "sense", "kind"),
    [
        ("glass.wav", "video", SoundFileSource),
        ("glass.FLAC", "signal", SoundFileSource),
        ("party.mp4#sound", "video", SoundFileSource),
        ("party.mp4", SOUND, SoundFileSource),
        ("file://party.mp4#sound", "video", SoundFileSource),
        ("https://example.org/party.mp4#sound", "video", SoundFileSource),
        ("https://example.org/song.mp3?key=1", "video", SoundFileSource),
        ("rtsp://me:pw@10.0.0.7/live#sound", "video", NetworkSound),
        ("rtsp://10.0.0.7/live", SOUND, NetworkSound),
        ("mic:", "video", Microphone),
        ("mic:USB", SOUND, Microphone),
        ("-", SOUND, SoundFileSource),
    ],
)
def test_sound_is_named_in_one_way_everywhere(what, sense, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("glass.wav", "glass.FLAC", "party.mp4"):
        (tmp_path / name).write_bytes(b"x")
    source = open_source(what, sense=sense)
    assert type(source) is kind and source.sense == SOUND
    assert "pw" not in source.name and "me" not in source.name.partition("//")[2].partition("@")[0]


def test_a_file_that_is_called_like_a_sound_track_is_that_file(tmp_path):
    path = tmp_path / "odd.wav#sound"
    path.write_bytes(b"x")
    assert open_source(str(path)).name == "odd.wav#sound"
    assert file_of(f"{tmp_path}/party.mp4#sound") == tmp_path / "party.mp4"
    assert file_of("mic:") is None


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (0, "webcam 0 gives pictures alone: .* mic:"),
        ("0#sound", "webcam 0 gives pictures alone: .* mic:"),
        ("/dev/video0#sound", "/dev/video0 gives pictures alone: .* mic:"),
        (
            "synthetic#sound",
            "'synthetic' has no sound: give a sound file, a video, a camera's address or mic:",
        ),
        ("gopher://x/y#sound", "cannot be watched: give an address that begins with rtsp://"),
        ("no such.mp4#sound", "there is no file no such.mp4"),
    ],
)
def test_what_has_no_sound_is_a_sentence(what, said):
    with pytest.raises(SourceError, match=said):
        open_source(what, sense=SOUND)


@pytest.mark.parametrize("block", [[0, 16384], np.array([0, 16384], np.int64)])
def test_whole_numbers_without_a_known_full_scale_are_refused_and_not_read_as_silence(block):
    with pytest.raises(SourceError, match=r"block 0: of whole numbers of 64 bits.*np\.int16"):
        list(SoundSource([block], rate=8000))


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0x7FFFF024, 0x80000024, 0xFFFFFFFF])
def test_a_wav_of_a_pipe_whose_length_is_unknown_is_not_cut_off(tmp_path, length):
    assert missing_of_wav(tmp_path, length) == 0


def test_a_wav_that_is_cut_off_is_noticed(tmp_path):
    assert missing_of_wav(tmp_path, 5_000) == 5_000 + 8 - 1_000


def missing_of_wav(tmp_path, length: int) -> int:
    path = tmp_path / "sound.wav"
    path.write_bytes((b"RIFF" + length.to_bytes(4, "little") + b"WAVEfmt ").ljust(1_000, b"\0"))
    with path.open("rb", buffering=0) as file:
        return missing_bytes(LocalFile(file))
