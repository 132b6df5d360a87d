"""Sound files as data: found, decoded into hops, labelled where they are audible."""

from __future__ import annotations

import numpy as np
import pytest

from streamrec import SoundTransform, Transform
from streamrec.data.clips import NO_LABEL, find_clips, find_footage
from streamrec.data.decode_cache import Recording, decode_clips
from streamrec.data.sounds import is_audible
from streamrec.errors import DataError
from tests.helpers.sounds import tone, write_media

TRANSFORM = SoundTransform(rate=8000, hop=400, window=160, stride=100, mels=12, low=60, high=3800)


@pytest.fixture
def folder(tmp_path):
    for label, hertz in (("bark", 500.0), ("rain", 1500.0)):
        (tmp_path / label).mkdir()
        for number in range(2):
            sound = np.concatenate([tone(16_000, 1.0, hertz), np.zeros(32_000, np.float32)])
            write_media(tmp_path / label / f"{number}.wav", sound + number * 1e-3, 16_000)
    return tmp_path


def test_a_folder_of_sound_files_is_a_data_set_and_silence_in_them_is_nothing(folder):
    clips = find_clips(folder)
    assert [clip.label for clip in clips] == ["bark", "bark", "rain", "rain"]
    assert len(find_footage([folder / "rain"])) == 2
    found = [one for _, one in decode_clips(clips, TRANSFORM, ("background", "bark", "rain"))]
    assert all(isinstance(one, Recording) and one.is_signal and one.rate == 8000 for one in found)
    assert found[0].pictures.shape == (60, 400)
    assert np.allclose(np.diff(found[0].timestamps), 0.05)
    assert set(found[0].targets[:20]) == {1}
    assert set(found[0].targets[22:]) == {0}
    assert set(found[3].targets) == {2}  # its silence is a constant that is louder than silence
    ((_, bare), *_) = decode_clips(clips, TRANSFORM, ("bark", "rain"))
    assert set(bare.targets[22:]) == {NO_LABEL}


def test_seconds_of_a_long_recording_are_labelled_by_a_table(folder):
    (folder / "index.csv").write_text("clip,label,start,end,group\nbark/0.wav,bark,0.2,0.6,garden\n")
    (clip,) = find_clips(folder, least=1)
    ((_, one),) = decode_clips([clip], TRANSFORM, ("background", "bark"))
    assert np.flatnonzero(one.targets == 1).tolist() == list(range(4, 12))
    assert one.group == "garden"


def test_a_sound_and_a_model_of_pictures_are_not_mixed(folder, tmp_path):
    clips = find_clips(folder)
    ((_, error), *_) = decode_clips(clips, Transform(), ("bark", "rain"))
    assert isinstance(error, DataError)
    assert "0.wav is sound, and the model takes video" in str(error)


def test_a_file_that_is_shorter_than_a_step_is_named(tmp_path):
    write_media(tmp_path / "short.wav", tone(8000, 0.02), 8000)
    (tmp_path / "index.csv").write_text("clip,label\nshort.wav,bark\n")
    ((_, error),) = decode_clips(find_clips(tmp_path, least=1), TRANSFORM, ("bark",))
    assert "short.wav is shorter than one step of the model, 50 ms" in str(error)


def test_a_short_pause_belongs_to_the_sound_and_a_long_one_does_not():
    hops = np.zeros((30, 8))
    hops[[3, 12, 29]] = 0.1
    audible = is_audible(hops, 0.1)
    assert np.flatnonzero(audible).tolist() == [*range(3, 13), 29]
