"""streamrec/sources/discovery: a stand-in camera on the loopback network, friendly and hostile."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from streamrec.errors import MissingExtra, SourceError
from streamrec.sources.discovery import onvif, soap, ws_discovery
from streamrec.sources.discovery.onvif import streams_of
from streamrec.sources.discovery.soap import NotAuthorized
from streamrec.sources.discovery.ws_discovery import search
from tests.helpers.onvif_device import OnvifDevice, envelope, send

USER, PASSWORD = "admin", "camera-pw-1"


@pytest.fixture
def device():
    with OnvifDevice().running() as running:
        yield running


def found(device: OnvifDevice, seconds: float = 0.6):
    return search("127.0.0.1", seconds, device.group)


def only(device: OnvifDevice):
    (one,) = found(device)
    return one


class TestSearch:
    def test_a_camera_is_found_with_its_name_and_its_service(self, device):
        one = only(device)
        assert (one.host, one.name, one.hardware, one.service) == (
            "127.0.0.1",
            "Front door",
            "X1",
            device.url,
        )
        assert device.wrong == []

    def test_a_search_that_is_stopped_waits_for_no_answer(self, device):
        stop = threading.Event()
        stop.set()
        assert search("127.0.0.1", 3_600, device.group, stop) == []

    def test_what_is_not_installed_is_named_before_any_camera_answers(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "defusedxml", None)
        with pytest.raises(MissingExtra, match=r"pip install 'streamrec\[discover\]'"):
            search("127.0.0.1", 3_600)

    def test_markup_in_a_name_stays_text(self, device):
        device.name = "<img src=x>"
        assert only(device).name == "<img src=x>"

    @pytest.mark.parametrize(
        "answer",
        [
            lambda device, request: device.probe_match("urn:uuid:another"),
            lambda device, request: device.probe_match(request, "http://10.0.0.1/onvif/device_service"),
            lambda device, request: device.probe_match(request, "http://127.0.0.1@10.0.0.1/x"),
            lambda device, request: device.probe_match(request, "ftp://127.0.0.1/x"),
            lambda device, request: b"no xml",
            lambda device, request: b'<!DOCTYPE a [<!ENTITY b "c">]>' + device.probe_match(request),
            lambda device, request: b"\x00" * 60_000,
        ],
        ids=["another request", "another host", "a log-in", "another scheme", "no XML", "entities", "zeros"],
    )
    def test_an_answer_that_is_not_to_be_trusted_is_no_camera(self, device, answer):
        device.match = lambda request: answer(device, request)
        assert found(device) == []

    def test_a_network_that_this_machine_is_not_in_is_said_in_words(self):
        with pytest.raises(SourceError, match=r"192\.0\.2\.1 is no address of this machine; there are "):
            search("192.0.2.1", 0.1)
        with pytest.raises(SourceError, match="give an IPv4 address"):
            search("eth0", 0.1)


class TestStreams:
    @pytest.mark.parametrize("http_digest", [False, True])
    @pytest.mark.parametrize("services", [True, False])
    def test_a_camera_with_a_wrong_clock_gives_its_streams(self, device, http_digest, services):
        device.http_digest, device.services = http_digest, services
        camera = streams_of(only(device), USER, PASSWORD)
        assert (camera.maker, camera.model, camera.firmware) == ("Example & Sons", "X1", "1.2")
        assert abs(camera.clock_off - 3_600) < 5
        assert [
            (one.name, one.codec, one.width, one.height, one.fps, one.address) for one in camera.streams
        ] == [
            ("main stream", "H264", 1920, 1080, 25, "rtsp://127.0.0.1:8554/main?a=1&b=2"),
            ("sub stream", "H264", 640, 360, 10, "rtsp://127.0.0.1:8554/sub?a=1&b=2"),
        ]
        assert device.wrong == []
        assert ("GetCapabilities" in device.asked) is not services

    @pytest.mark.parametrize("http_digest", [False, True])
    def test_a_wrong_password_is_refused_and_quoted_nowhere(self, device, http_digest):
        device.http_digest = http_digest
        with pytest.raises(NotAuthorized, match="refuses this user and password") as refused:
            streams_of(only(device), USER, "wrong-pw-77")
        assert "wrong-pw-77" not in str(refused.value)
        with pytest.raises(NotAuthorized, match="wants a user"):
            streams_of(only(device))

    def test_a_stream_elsewhere_is_not_offered(self, device):
        device.stream_host = "169.254.169.254"
        camera = streams_of(only(device), USER, PASSWORD)
        assert {one.address for one in camera.streams} == {""}
        assert camera.streams[0].reason == "it names a stream at another address: 169.254.169.254"


def bomb(handler):
    send(handler, 200, b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>')


def external(handler):
    send(handler, 200, b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>')


def huge(handler):
    send(handler, 200, b"<a>" + b"x" * 2_000_000 + b"</a>")


def deep(handler):
    send(handler, 200, b"<a>" * 20_000 + b"</a>" * 20_000)


def elsewhere(handler):
    send(handler, 307, b"", Location="http://127.0.0.1:1/")


def basic(handler):
    send(handler, 401, b"", WWW_Authenticate='Basic realm="cam"')


def nothing(handler):
    handler.wfile.write(b"\x00\x01\x02")


def drips(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    try:
        for _ in range(200):
            handler.wfile.write(b"X: y\r\n")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        return


class TestHostile:
    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (bomb, "no plain XML"),
            (external, "no plain XML"),
            (huge, "too long"),
            (deep, "nothing of ONVIF|no plain XML"),
            (elsewhere, "elsewhere, which is not followed"),
            (basic, "refuses this user"),
            (nothing, "no HTTP|cannot be asked"),
            (drips, "does not answer within"),
        ],
        ids=lambda value: getattr(value, "__name__", ""),
    )
    def test_an_answer_is_refused_in_words_and_in_time(self, device, monkeypatch, answer, words):
        monkeypatch.setattr(soap.Device, "__init__", _quick(soap.Device.__init__))
        device.answers["GetDeviceInformation"] = answer
        one = only(device)
        began = time.monotonic()
        with pytest.raises(SourceError, match=words):
            streams_of(one, USER, PASSWORD)
        assert time.monotonic() - began < 15

    def test_a_thousand_profiles_are_cut(self, device):
        many = "".join(
            f'<Profiles token="main"><Name>{"n" * 5_000 if n == 0 else n}</Name></Profiles>'
            for n in range(1000)
        )
        device.answers["GetProfiles"] = lambda handler: send(handler, 200, envelope(f"<R>{many}</R>"))
        camera = streams_of(only(device), USER, PASSWORD)
        assert len(camera.streams) == onvif.MOST_PROFILES and len(camera.streams[0].name) <= 200

    def test_the_password_is_in_no_request(self, device):
        seen = []
        answer = OnvifDevice.answer

        def spy(self, handler):
            read = handler.rfile.read

            def keep(size):
                data = read(size)
                seen.append(data + str(handler.headers).encode())
                return data

            handler.rfile = type(
                "Spy", (), {"read": staticmethod(keep), "close": handler.rfile.close, "closed": False}
            )()
            answer(self, handler)

        device.answer = lambda handler: spy(device, handler)
        streams_of(only(device), USER, PASSWORD)
        assert len(seen) >= 6 and not any(PASSWORD.encode() in data for data in seen)


def _quick(init):
    def quick(self, host, user="", password="", offset=0.0, seconds=1.0):
        init(self, host, user, password, offset, seconds)

    return quick


def test_devices_of_this_machine_and_without_an_address_are_left_out_of_a_network():
    request = "urn:uuid:1"
    device = OnvifDevice()
    for host, kept in [
        ("192.168.1.20", True),
        ("127.0.0.1", False),
        ("169.254.1.1", False),
        ("224.0.0.1", False),
    ]:
        answer = device.probe_match(request, f"http://{host}/onvif/device_service")
        assert bool(ws_discovery.devices_in(answer, host, request)) is kept, host
