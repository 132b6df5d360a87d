"""Every setting that takes a host refuses what is none, with a sentence that says what to write."""

from __future__ import annotations

import pytest

from streamrec.commands.discover_job import list_streams
from streamrec.commands.fleet.run import place_of
from streamrec.errors import SettingsError, StreamrecError
from streamrec.notify.dispatch_settings import NotifySettings
from streamrec.notify.frigate import FrigateSettings
from streamrec.notify.http_trigger import HttpTriggerSettings
from streamrec.notify.mqtt import MqttSettings
from streamrec.notify.ntfy import NtfySettings
from streamrec.notify.opinion_settings import OpinionSettings
from streamrec.notify.webhook import WebhookSettings
from streamrec.settings.cameras_file import read_watchfile
from streamrec.settings.stream import StreamSettings

TAKES_URL = {
    "webhook": lambda url: WebhookSettings(url=url),
    "ntfy": lambda url: NtfySettings(server=url, topic="a"),
    "frigate": lambda url: FrigateSettings(url=url),
    "http": lambda url: HttpTriggerSettings(start_url=url),
    "opinion": lambda url: OpinionSettings(url=url, model="m"),
    "notify": lambda url: NotifySettings(public_url=url),
}


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("x:1", "host: write the host without a port behind it"),
        ("mqtt://broker.local", "host: write the host without a scheme like mqtt:// before it"),
        ("broker.local:", "host: write the host without a port behind it"),
        ("[::1]", "host: write the address without brackets"),
        ("me:s3cret@broker", "host: write a name like"),
        ("broker local", "host: write a name like"),
        ("broker/x", "host: write a name like"),
        ("192.168.1.300", "host: write an IP address of four numbers"),
        ("a" * 64, "host: write a name like"),
        ("broker..local", "host: write a name like"),
        ("-x", "host: write a name like"),
    ],
)
def test_a_brokers_host_is_a_name_or_an_address_alone(host, says):
    with pytest.raises(StreamrecError) as error:
        MqttSettings(host=host)
    assert str(error.value).startswith(says) and "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    "host", ["broker", "Broker.local.", "10.0.0.7", "::1", "fe80::1%eth0", "my_nas", "münchen.de"]
)
def test_hosts_are_taken(host):
    assert MqttSettings(host=host).host == host


@pytest.mark.parametrize("kind", TAKES_URL)
def test_an_address_with_a_host_that_is_none_is_refused_by_each_receiver(kind):
    for url in (
        "http://https://nas/x",
        "http://my nas/",
        "http://nas:/",
        "http://10.0.0.300/",
        "http://a..b/",
    ):
        with pytest.raises(StreamrecError, match=r"its host is none|a colon without a port"):
            TAKES_URL[kind](url)
    TAKES_URL[kind]("http://nas.local:8080")


@pytest.mark.parametrize("to", ["rtsp://rtsp://nas/x", "rtsp://nas:/x", "rtsp://10.0.0.300/x"])
def test_so_does_the_published_stream(to):
    with pytest.raises(StreamrecError, match="host"):
        StreamSettings(to=to)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("rtsp://rtsp://10.0.0.7/live", "address: it has two schemes; write one"),
        ("rtsp://me:s3cret@10.0.0.300/live", "address: its host is none; write an IP address"),
    ],
)
def test_and_so_does_a_camera(tmp_path, address, says):
    path = tmp_path / "cameras.toml"
    path.write_text(f'[[camera]]\nname = "door"\naddress = "{address}"\n')
    with pytest.raises(SettingsError) as error:
        read_watchfile(path, {})
    assert says in str(error.value) and "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    "head", ["http://10.0.0.5", "10.0.0.5:x", "10.0.0.5:", "10.0.0.5:70000", "[::1", "[nas]", ""]
)
def test_and_so_does_the_head_of_a_fleet(head):
    with pytest.raises(SettingsError, match="give HOST or HOST:PORT"):
        place_of(head)


@pytest.mark.parametrize("host", ["10.0.0.7:80", "http://10.0.0.7"])
def test_and_so_does_the_search_for_cameras(host):
    with pytest.raises(SettingsError, match=r"--device: write the host without a"):
        list_streams([], 1.0, host, ("", ""), as_json=False)
