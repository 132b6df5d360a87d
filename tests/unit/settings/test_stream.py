"""Where the annotated stream may go: the address of one server, in which a camera's name cannot lead elsewhere."""

from __future__ import annotations

import pytest

from streamrec.errors import SettingsError, SinkError
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.settings.cameras_file import read_watchfile
from streamrec.settings.stream import StreamSettings

CAMERA = '[[camera]]\nname = "door"\naddress = "synthetic"\n'


@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.2/door", "file:///etc/passwd", "/etc/passwd", "rtsp://", "rtsp://10.0.0.2", "rtsp://10.0.0.2/",
        "rtsp://10.0.0.2:0/door", "rtsp://10.0.0.2:99999/door", "rtsp://10.0.0.2:8554x/door",
        "rtsp://10.0.0.2/a\r\nTEARDOWN x", "rtsp://10.0.0.2/a door", "rtsp://{camera}/door",
        "rtsp://{camera}@10.0.0.2/door", "rtsp://10.0.0.2:{camera}/x", "rtsp://10.0.0.2/{camera}/{camera}",
        "concat:rtsp://10.0.0.2/x", "rtsp://10.0.0.2/türe", "rtsp://10.0.0.2/" + "a" * 5000,
    ],
)  # fmt: skip
def test_an_address_that_is_none_of_an_rtsp_server_is_refused_in_one_sentence(address):
    with pytest.raises(SinkError) as refused:
        StreamSettings(to=address)
    assert "the address of the stream" in str(refused.value) and "\n" not in str(refused.value)


def test_a_refused_address_is_not_repeated_with_its_password():
    with pytest.raises(SinkError) as refused:
        StreamSettings(to="rtsp://me:s3cret@10.0.0.2:0/door")
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(StreamSettings(to="rtsp://me:s3cret@10.0.0.2/door"))


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "a/b",
        "a?x=1",
        "a#x",
        "x@evil.example",
        "a\\b",
        "..",
        ".",
        "//evil.example/x",
        "a%2e%2e",
        "Tür 1",
    ],
)
def test_a_cameras_name_stays_one_part_of_the_path_and_is_like_no_other(name):
    settings = StreamSettings(to="rtsp://me:pw@10.0.0.2:8554/home/{camera}?x=1")
    target = settings.target(name)
    assert (target.host, target.port, target.user, target.password) == ("10.0.0.2", 8554, "me", "pw")
    start, end = "rtsp://10.0.0.2:8554/home/", "?x=1"
    assert target.url.startswith(start) and target.url.endswith(end)
    part = target.url.removeprefix(start).removesuffix(end)
    assert part.isascii() and not set(part) & set("/?#@\\ ") and part not in (".", "..")
    assert part != settings.target("door").url


def test_a_login_is_read_as_that_of_a_camera_and_never_in_the_url():
    target = StreamSettings(to="rtsps://me:p%40s%2Fs@nas.local/door").target("door")
    assert (target.user, target.password, target.port, target.tls) == ("me", "p@s/s", 322, True)
    assert target.url == "rtsps://nas.local/door"


def test_several_cameras_need_an_address_each(tmp_path):
    StreamSettings(to="rtsp://h.local/x").check(["door"])
    StreamSettings(to="rtsp://h.local/x", cameras=("door",)).check(["door", "yard"])
    with pytest.raises(SinkError, match=r"write \{camera\} in its path"):
        StreamSettings(to="rtsp://h.local/x").check(["door", "yard"])


def test_the_table_fills_in_variables_and_keeps_their_secrets(tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(CAMERA + '[stream]\nto = "rtsp://me:${PW}@10.0.0.2:8554/{camera}"\nfps = 5\n')
    file = read_watchfile(path, {"PW": "s3cret-word"})
    stream = DispatchSettings.of(file).stream
    assert stream is not None and stream.fps == 5 and stream.target("door").password == "s3cret-word"
    assert "s3cret-word" in file.secrets


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "to: it is missing"),
        ('to = "rtsp://h.local/x"\nkbit = 1', "kbit: give a whole number from 50"),
        ('to = "rtsp://h.local/x"\nfps = 0', "fps: give a number from 0.1"),
        ('to = "rtsp://h.local/x"\nprivacy = "dim"', "privacy is 'dim'"),
        ('to = "rtsp://me:s3cret@h.local/"', "the stream needs a name"),
    ],
)
def test_what_is_wrong_in_the_table_is_a_sentence_without_the_address(tmp_path, line, sentence):
    path = tmp_path / "cameras.toml"
    path.write_text(f"{CAMERA}[stream]\n{line}\n")
    with pytest.raises(SettingsError, match=r"\[stream\]") as refused:
        DispatchSettings.of(read_watchfile(path, {}))
    assert sentence in str(refused.value) and "s3cret" not in str(refused.value)


def test_the_option_goes_over_the_table_and_privacy_is_of_both():
    settings = DispatchSettings(stream=StreamSettings(to="rtsp://h.local/x", fps=5.0))
    given = settings.with_options(stream="rtsp://me:s3cret@h.local/y", privacy="blur")
    assert given.stream is not None and (given.stream.fps, given.stream.privacy) == (5.0, "blur")
    assert given.stream.target("door").url == "rtsp://h.local/y" and "s3cret" in given.secrets
    with pytest.raises(SettingsError, match="--stream ADDRESS"):
        DispatchSettings().with_options(privacy="blur")
