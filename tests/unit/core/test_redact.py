"""streamrec/core: addresses taken apart, and secrets that are shown to nobody."""

from __future__ import annotations

import html
import io
import json
import logging
import re
from urllib.parse import quote, unquote

import pytest

from streamrec.core.address import login_in, quoted, split_address
from streamrec.core.redact import RedactingStream, redact, redact_address, secrets_of
from streamrec.sources import health


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:hunter2@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        ("rtsp://admin:p@ss@10.0.0.7:554/live", "rtsp://***@10.0.0.7:554/live"),
        ("rtsp://admin:p/a?s@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        ("http://cam/video?user=me&pwd=hunter2&ch=1", "http://cam/video?user=***&pwd=***&ch=1"),
        ("rtsp://10.0.0.7/live", "rtsp://10.0.0.7/live"),
        ("clips/a@b.mp4", "clips/a@b.mp4"),
        ("admin:hunter2@10.0.0.7/live", "***@10.0.0.7/live"),
        ("rtsp:/admin:hunter2@10.0.0.7/live", "rtsp:/***@10.0.0.7/live"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1", "rtsp://cam/user=***_password=***_channel=1"),
        ("http://cam/shot?u=admin&p=hunter2", "http://cam/shot?u=***&p=***"),
        ("http://cam/shot#token=hunter2", "http://cam/shot#token=***"),
        ("http://cam/shot?channel=1&speed=hunter2", "http://cam/shot?channel=1&speed=***"),
    ],
)
def test_a_password_is_never_part_of_a_shown_address(address, shown):
    assert redact_address(address) == shown
    assert "hunter2" not in redact_address(address)


# In brackets stands what nobody may see.
SECRETS = """
rtsps://10.0.0.1:7441/[kRzXpQwLmNbVcXya]
rtsps://10.0.0.1:7441/[abcdefghijklmnop]?enableSrtp
rtmp://a.rtmp.example.com/live2/[abcd-efgh-ijkl-mnop]
rtmp://live.example.tv/app/[live_123456789_AbCdEf123]
rtmp://h/live/[hunter2]
rtmp://h/app playpath=[hunter2] live=[17] swfUrl=[http://x/hunter3]
http://h/[eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_DEF]/v.m3u8
http://h/s/[tok3n]/v.mjpg
http://h/[550e8400-e29b-41d4-a716-446655440000]/x.mjpg
http://h/[deadbeefcafebabe]/x.mjpg
http://h/[aGVsbG8_d29-ybGQx]/x
http://h/[1234567890123]/x
http://h/hls/[Zm9vYmFyYmF6]/index.m3u8
http://h/%61%42%33%64%45%35%67%48%37%6a[zz9]
http://h/v?jwt=[hunter2]&sid=[hunter3]
http://h/v?session=[hunter2];code=[abc]
http://h/v?X-Amz-Signature=[hunter2]&AWSAccessKeyId=[AKIAXX]&Policy=[abc]
http://h/v?pass%77ord=[hunter2]
http://h/v?PassWord=[hunter2]&channel=1
http://h/v?channel=[a8Kd02LxQ9]&id=[k7Qz2a9x]&stream=[hunter2]
http://h/v?bearer=[abc.def-ghi]&hash=[0a1b]&nonce=[77]&credentials=[admin:x]
http://h/v?ticket=[T1]&signature=[aa%2Fbb]&st=[zz]&t=[99]&k=[abc]&s=[zz]
http://h/v?auth=[YWRtaW46aHVudGVyMg==]
http://h/v?[aGVsbG8gd29ybGQ]=
http://h/v?url=[rtsp://me:hunter2@x/y]
http://h/v?mail=[a@b.de]&token=[hunter2]
http://h/v;jsessionid=[hunter2]/x;channel=1;k=[hunter3]
http://h/v#access_token=[hunter2]
http://h/v#[hunter2]
http://h/v?[hunter2]
rtsp://cam/user=[anna]_password=[hunter2]_channel=1_stream=0.sdp
rtsp://cam/user=[anna]&password=[hun/ter2]&channel=1
rtsp://cam/[admin:hunter2]/live
rtsp://cam/password/[hunter2]/live
rtsp://cam/[correct-horse-battery-staple]
srt://h:9000?streamid=[publish:hunter2]&passphrase=[hunter22]
srt://:9000?mode=listener&passphrase=[hunter22]
rtsp://[token9token]@h/live
RTSP://[me:hunter2]@h/live
rtsp://[me:hunter2]@⟦fe80::1%25eth0⟧:554/live
rtsp://[me:hunter2]@münchen.example/live
rtsp://[me:my pass'word]@h/live
rtsp://[me:hunt/er#2?x@y]@10.0.0.7/live
rtsp://[me:12/hunter2]@10.0.0.7/live
rtsp://[me:12/hunter2]@cam/live
rtsp://[me:hunter2]/live
rtsp:/[me:hunter2]@10.0.0.7/live
rtsp:/10.0.0.7:7441/[aB3dE5gH7jK9mN1p]
async:http://[me:hunter2]@h/live
10.0.0.7:7441/[aB3dE5gH7jK9mN1p]
cam/live?token=[abc]
10.0.0.7/[aB3dE5gH7jK9mN1p]/film.mp4
[me:hun@ter2]@10.0.0.7/live?k=[abc]
[token9]@10.0.0.7/live
mqtt://[me:hunter2]@broker:1883
//[me:hunter2]@h/live
rtsp//[me:hunter2]@h/live
https://home.example.org/api/webhook/[door-bell]
https://chat.example.com/api/webhooks/[123456789012345678]/[abcDEF_ghi-jkl]
https://hooks.example.com/services/[T00000000]/[B00000000]/[XXXXXXXXXXXXXXXXXXXXXXXX]
https://api.example.org/[bot123456:ABC-DEF1234ghIkl]/getUpdates
"""


def secrets_in(row: str) -> tuple[str, list[str]]:
    """A row of the table as an address, and what is secret of it."""
    address = re.sub(r"[\[\]]", "", row).replace("⟦", "[").replace("⟧", "]")
    return address, [secret for secret in re.findall(r"\[([^\]]*)\]", row) if len(secret) > 1]


@pytest.mark.parametrize("row", SECRETS.strip().splitlines())
def test_what_is_not_known_to_be_harmless_is_shown_nowhere(row):
    address, secrets = secrets_in(row)
    shown = redact_address(address)
    sentences = [
        shown, redact_address(shown), redact(f"cannot open {address}: refused"), redact(f"'{address}', and so"),
    ]  # fmt: skip
    for secret in secrets:
        text = f"{secret!r} {json.dumps(secret)} {quote(secret, safe='')} {html.escape(secret)} {unquote(secret)}"
        sentences.append(redact(text, secrets_of(address)) if len(secret) > 4 else "")
        for sentence in sentences:
            assert secret not in sentence
            assert unquote(secret) not in sentence


@pytest.mark.parametrize(
    "path",
    """
    /Streaming/Channels/101 /h264Preview_01_main /cam/realmonitor?channel=1&subtype=0 /videoMain /live/ch00_0 /stream1
    /axis-media/media.amp?videocodec=h264&resolution=1280x720&fps=10 /ISAPI/Streaming/channels/101/httpPreview /onvif1
    /MediaInput/h264 /video.mjpg /mjpg/video.mjpg?camera=1 /11 /tcp/av0_0 /h264/ch1/main/av_stream /profile2/media.smp
    /live/av0 /rtsp_tunnel?h26x=4&line=1&inst=1 /unicast/c1/s0/live /live.sdp /ipcam_h264.sdp /nphMpeg4/g726-640x480
    /defaultPrimary?streamType=u /hls/cam.m3u8 /avstream/channel=1/stream=0.sdp /cgi-bin/snapshot.cgi /trackID=4
    /LowResolutionVideo /onvif/profile1/media.smp /media/video1 /garden /Einfahrt /Parkplatz-Nord /kitchen2 /film.mp4
    /2026-11-28/door.mp4 /videoinput_1:0/h264_1/onvif.stm /door?unicast=true&transportmode=unicast&profile=Profile_1
    """.split(),  # noqa: SIM905 (a table of paths is read more easily so)
)  # fmt: skip
def test_the_parts_that_choose_a_stream_stay_readable(path):
    address = f"rtsp://10.0.0.7:554{path}"
    assert redact_address(address) == address
    assert redact(f"{address}: refused") == f"{address}: refused"


@pytest.mark.parametrize(
    "name",
    ["a8Kd02LxQ9Zz7744.mp4", "clips/2024-11-28 12:30.mp4", "a@b.mp4", "C:/clips/a@b.mp4", "synthetic:7", "/dev/video0",
     "0.0.0.0:8765", "udp://@239.0.0.1:1234", "5", "film?.mp4"],
)  # fmt: skip
def test_what_is_no_secret_address_stays(name):
    assert redact_address(name) == name


@pytest.mark.parametrize(
    "text",
    ["12:30 fight started (73 %)", "camera 'door': fps: give a number above 0, not 0", "12:30@door.mp4 is empty",
     "the page is at http://127.0.0.1:8765/", "10.0.0.7.mp4: 3 of 4 pictures", "who? me; 1.2.3 and 4:5",
     "what?x=1.mp4: it is empty", "\x1b[1mrtsp://h/live\x1b[0m: live"],
)  # fmt: skip
def test_a_text_without_a_secret_stays(text):
    assert redact(text, ["hunter2"]) == text


@pytest.mark.parametrize(
    ("typed", "login", "place"),
    [
        ("rtsp://me:pw@10.0.0.7:554/live", ("me", "pw"), "10.0.0.7:554"),
        ("rtsp://me:p@ss/w:rd #1?@10.0.0.7/live", ("me", "p@ss/w:rd #1?"), "10.0.0.7"),
        ("rtsp://me:12/34@10.0.0.7/live", ("me", "12/34"), "10.0.0.7"),
        ("rtsp://me:#a@localhost:1/live", ("me", "#a"), "localhost:1"),
        ("rtsp://me:50%@h/live", ("me", "50%"), "h"),
        ("rtsp://me:a%zz@h/live", ("me", "a%zz"), "h"),
        ("rtsp://me:pa%41ss@h/live", ("me", "pa%41ss"), "h"),  # nobody quotes an "A"
        ("rtsp://me:p%40ss@h/live", ("me", "p@ss"), "h"),
        ("rtsp://me@h/live", ("me", ""), "h"),
        ("rtsp://h/door@home", ("", ""), "h"),
        ("rtsp://h:8554/door@home", ("", ""), "h:8554"),
        ("rtsp://10.0.0.7:554/door@10.0.0.8", ("", ""), "10.0.0.7:554"),
        ("http://h/v?mail=a@b.de", ("", ""), "h"),
        ("rtsp://[::1]:554/a@b", ("", ""), "[::1]:554"),
    ],
)
def test_the_last_at_sign_ends_a_login_where_the_address_does_not_parse_otherwise(typed, login, place):
    assert login_in(typed) == login
    assert split_address(quoted(typed)).place == place
    assert split_address(typed).place == place
    assert quoted(quoted(typed)) == quoted(typed)


def test_no_record_of_a_log_shows_a_secret(caplog):
    with caplog.at_level(logging.DEBUG):
        health.LOG.warning("cannot open %s", "rtsp://me:hunter2@h/live?sid=abcdef")
        below = logging.getLogger("streamrec.somewhere")
        try:
            raise ValueError("rtsp://me:hunter2@h/aB3dE5gH7jK9mN1p")
        except ValueError:
            below.exception("lost: %(where)s", {"where": "http://h/v?sid=abcdef"})
        below.warning("%d cameras", "rtsp://me:hunter2@h/live")  # a mistake of ours
    for record in caplog.records:
        assert not re.search("hunter2|abcdef|aB3d", f"{record.__dict__}")
    assert "ValueError: rtsp://***@h/***" in caplog.text and "lost: http://h/v?sid=***" in caplog.text


def test_a_stream_writes_no_secret_and_is_a_stream_otherwise():
    out = io.StringIO()
    stream = RedactingStream(out, ["hunter2"])
    print("hunter2 and rtsp://me:pw@h/x", file=stream)
    stream.writelines(["hunter2\n", "b"])
    assert out.getvalue() == stream.getvalue() == "*** and rtsp://***@h/x\n***\nb"
    with pytest.raises(TypeError):
        stream.write(b"hunter2")


def test_to_redact_a_strange_text_takes_no_time():
    for text in (
        "rtsp://h/" + "substream" * 400 + "!",
        "a@" * 2000,
        "?a=" * 3000,
        ":" * 4000 + "@x",
        "rtsp://" * 900,
    ):
        redact(text, ["hunter2"])  # a pattern that tries all ways would never come back
