"""The model of a source for which none is named."""

import pytest

from streamrec.errors import SettingsError
from streamrec.runtime.checkpoint import shipped_models
from streamrec.settings.default_model import WEBCAM_MODEL, default_model
from streamrec.settings.tuned_file import DEFAULT_MODEL


@pytest.mark.parametrize("source", ["0", " 12 ", "/dev/video0", "/dev/video-door"])
def test_a_webcam_is_watched_by_the_webcam_model(source):
    assert default_model(source) == WEBCAM_MODEL


@pytest.mark.parametrize(
    "source",
    [
        "party.mp4",
        "-",
        "pictures/",
        "synthetic:7",
        "file:///a.mp4",
        "https://example.org/a.mp4?b=1",
        "ftp://a",
    ],
)
def test_other_sources_are_watched_as_before(source):
    assert default_model(source) == DEFAULT_MODEL


@pytest.mark.parametrize(
    "source", ["rtsp://anna:secret@10.0.0.7/live", "HTTP://10.0.0.7:8080/video?key=secret"]
)
def test_of_a_camera_is_asked_what_it_is_watched_for(source):
    with pytest.raises(SettingsError, match="say with --model") as caught:
        default_model(source)
    for name in shipped_models():
        assert f"{name} (" in str(caught.value)
    assert "10.0.0.7" in str(caught.value) and "secret" not in str(caught.value)
