"""`streamrec notify test`: a notification to one receiver, and its answer in words."""

from __future__ import annotations

import pytest

from tests.helpers.commands import main_here  # noqa: F401
from tests.helpers.ntfy_server import ntfy_server

SECRET = "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"


@pytest.fixture
def file(tmp_path):
    with ntfy_server() as server:
        server.token = SECRET
        path = tmp_path / "cameras.toml"
        path.write_text(
            f'[notify]\npublic_url = "https://cameras.example.org"\n[[ntfy]]\nserver = "{server.url}"\n'
            f'topic = "watch"\ntoken = "{SECRET}"\n[[ntfy]]\nname = "wrong"\nserver = "{server.url}"\n'
            f'topic = "watch"\ntoken = "{SECRET}x"\n'
        )
        path.chmod(0o600)
        yield path, server


def test_each_receiver_says_whether_it_took_a_test(file, main_here, tmp_path):  # noqa: F811
    path, server = file
    done = main_here("notify", "test", cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "ntfy 127.0.0.1: it arrived: it answered 200",
        "ntfy wrong: it did not arrive: it answered 401: check its token, or user and password, and the topic",
    ]
    assert (done.returncode, done.stderr) == (1, "")
    (message,) = server.messages
    assert (message.title, bool(message.attachment)) == ("test · streamrec", True)
    assert message.click.startswith("https://cameras.example.org/#/events/")
    assert not [one.name for one in tmp_path.iterdir() if one != path]  # no history is begun


def test_a_receiver_that_is_not_there_is_a_mistake(file, main_here, tmp_path):  # noqa: F811
    path, _ = file
    done = main_here("notify", "test", "phone", "--settings", path)
    assert done.returncode == 2
    assert done.stderr == "streamrec: there is no receiver 'phone'; there are ntfy 127.0.0.1, ntfy wrong\n"
    path.write_text("")
    assert main_here("notify", "test", "--settings", path).returncode == 2
    assert main_here("notify", "test", "--settings", tmp_path / "none.toml").returncode == 2
