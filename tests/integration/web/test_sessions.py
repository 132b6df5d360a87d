"""What was begun with a password or a token ends with it; cookies are read as browsers send them."""

from __future__ import annotations

import contextlib
import os
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from streamrec.web.access_control import cookies_of
from streamrec.web.auth import Access
from streamrec.web.roles import Role
from streamrec.web.sessions import Sessions
from tests.helpers.pages import PASSWORD, make_token, quick_user, wait_for
from tests.integration.web.attacks import cookie_in

OTHER = "another horse battery"


@pytest.fixture
def kept(open_page, tmp_path, ways_in):
    """A page whose ways in stand in a file: the password, another one, and a token."""
    file = tmp_path / "page.access"
    token, line = make_token()
    first, second = (quick_user("", password, Role.admin).line() for password in (PASSWORD, OTHER))
    lines = {"first": first, "second": second, "token": line}
    file.write_text("\n".join(lines.values()) + "\n")
    file.chmod(0o600)
    access = Access.read(file, {})
    page = open_page("door", access=access, access_file=file)
    page.token = token

    def write(*names: str) -> None:
        part = file.with_suffix(".part")
        part.write_text("\n".join(lines[name] for name in names) + "\n")
        part.chmod(0o600)
        part.replace(file)

    page.write = write
    page.file = file
    return page


class Looking:
    """A viewer that follows the pictures, until it is closed."""

    def __init__(self, page, **headers: str) -> None:
        self._page = page
        self._stack = contextlib.ExitStack()
        self._socket = self._stack.enter_context(
            connect(
                f"ws://{page.host}/api/v1/live", origin=page.url, additional_headers=headers, max_size=None
            )
        )
        self._socket.recv(timeout=5)
        self._socket.send('{"want": {"door": 320}}')

    def goes_on(self, seconds: float = 20.0) -> bool:
        """Whether pictures still come."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._page.actors["door"].show()
            if isinstance(self._socket.recv(timeout=5), bytes):
                self._socket.send('{"got": 1}')
                return True
        return False

    def code(self, within: float = 20.0) -> int:
        """With which code it is closed; -1: it is not."""
        ends = time.monotonic() + within
        try:
            while time.monotonic() < ends:
                self._page.actors["door"].show()
                self._socket.recv(timeout=within)
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 0
        except TimeoutError:
            pass
        finally:
            self.close()
        return -1

    def close(self) -> None:
        self._stack.close()


class TestWebSockets:
    def test_a_log_out_ends_those_of_its_session_alone(self, kept):
        with kept.logged_in() as client, kept.logged_in() as other:
            mine, others = Looking(kept, Cookie=cookie_in(client)), Looking(kept, Cookie=cookie_in(other))
            programs = Looking(kept, Authorization=f"Bearer {kept.token}")
            assert mine.goes_on() and others.goes_on() and programs.goes_on()
            assert client.post("/api/v1/logout", json={}).status_code == 204
            assert mine.code() == 4401
            assert others.goes_on() and programs.goes_on()
            wait_for(lambda: kept.server.hub.count == 2)  # the server has seen that it is closed
            others.close(), programs.close()

    def test_a_password_that_is_gone_ends_what_it_began(self, kept):
        with kept.logged_in() as client, kept.client(headers={"Origin": kept.url}) as second:
            assert second.post("/api/v1/login", json={"password": OTHER}).status_code == 204
            mine, others = Looking(kept, Cookie=cookie_in(client)), Looking(kept, Cookie=cookie_in(second))
            kept.write("second", "token")
            assert mine.code() == 4401
            assert client.get("/api/v1/cameras").status_code == 401
            assert others.goes_on() and second.get("/api/v1/cameras").status_code == 200
            again = second.post("/api/v1/login", json={"password": PASSWORD})
            assert again.status_code == 401
            others.close()

    def test_a_token_that_is_gone_ends_what_it_began(self, kept):
        headers = {"Authorization": f"Bearer {kept.token}"}
        looking = Looking(kept, **headers)
        assert looking.goes_on()
        kept.write("first")
        assert looking.code() == 4401
        with kept.client(headers=headers) as client:
            assert client.get("/api/v1/cameras").status_code == 401

    def test_a_session_that_is_over_ends_it(self, kept):
        with kept.logged_in() as client:
            looking = Looking(kept, Cookie=cookie_in(client))
            assert looking.goes_on()
            (session,) = kept.server.access.sessions._sessions.values()
            session.ends = time.monotonic() - 1.0
            assert looking.code() == 4401

    @pytest.mark.parametrize("wrong", ["", "password hunter2\n", None])
    def test_a_file_that_says_nothing_right_changes_nothing(self, kept, wrong):
        told = []
        kept.server._limited_log._log = told.append
        with kept.logged_in() as client:
            looking = Looking(kept, Cookie=cookie_in(client))
            if wrong is None:
                kept.file.unlink()
            else:
                kept.file.write_text(wrong)
            wait_for(lambda: told)
            assert "page.access" in told[0] and "passwords and tokens stay as they were" in told[0]
            assert "hunter2" not in told[0]
            assert looking.goes_on() and client.get("/api/v1/cameras").status_code == 200
            looking.close()
        assert len(told) == 1

    def test_one_who_reads_nothing_is_ended_too(self, kept):
        with kept.logged_in() as client:
            kept.actors["door"].size = (720, 1280)
            looking = Looking(kept, Cookie=cookie_in(client))
            headers, options = (
                {"Cookie": cookie_in(client)},
                {"origin": kept.url, "max_queue": 1, "close_timeout": 0.1},
            )
            with connect(f"ws://{kept.host}/api/v1/live", additional_headers=headers, **options) as stuck:
                stuck.send('{"want": {"door": 1280}}')
                for _ in range(40):
                    stuck.send('{"got": 1}')
                looking.goes_on()
                client.post("/api/v1/logout", json={})
                wait_for(lambda: kept.server.hub.count == 0, 5.0)
            looking.close()


class TestSessions:
    def test_what_is_used_does_not_grow_idle_and_what_is_over_stays_over(self):
        now = [0.0]
        sessions = Sessions(clock=lambda: now[0])
        _, session = sessions.begin(b"way")
        now[0] = 11 * 3600.0
        sessions.use(session)
        now[0] = 22 * 3600.0
        assert sessions.holds(session)
        now[0] = 40 * 3600.0
        sessions.use(session)
        assert not sessions.holds(session)

    def test_those_of_other_ways_end(self):
        sessions = Sessions()
        (one, first), (two, second) = sessions.begin(b"one"), sessions.begin(b"two")
        sessions.keep([b"two"])
        assert sessions.find(one) is None and sessions.find(two) is second
        assert first.ended and not second.ended


ODD = [
    'prefs={"a":1}; {ours}', "a[b]=c; {ours}", "flag; {ours}", "name=\u00fc; {ours}", "; ; {ours}", "{ours};",
    "{ours}; prefs=[1,2]", 'x="a;b"; {ours}', "=; {ours}", "=x; {ours}", "a=b=c; {ours}", "  {ours}  ", "a=1;{ours}",
    "\t{ours}", "{name}=old; {ours}", "{ours}; {name}=", '{name}="{value}"', "$Version=1; {ours}; $Path=/",
    "a@b=1; c:d=2; e/f=3; {ours}", "expires=Thu, 01 Jan 1970 00:00:00 GMT; {ours}", "streamrec={value}",
    "STREAMREC=x; streamrec-1=y; {ours}", "a=\x01; {ours}", "\u20ac=\u20ac; {ours}",
]  # fmt: skip


class TestCookies:
    def test_what_others_have_written_stops_nothing(self, open_page):
        page = open_page("door", guarded=True)
        with page.logged_in() as client:
            ours = cookie_in(client)
        name, _, value = ours.partition("=")
        for odd in ODD:
            sent = odd.replace("{ours}", ours).replace("{name}", name).replace("{value}", value).encode()
            got = _answer_to(page, b"GET /api/v1/cameras HTTP/1.1\r\nHost: " + page.host.encode(), sent)
            # What HTTP forbids in a header line is refused as such; everything else lets in.
            assert got == (b"400" if b"\x01" in sent else b"200"), odd

    @pytest.mark.parametrize(
        ("header", "found"),
        [
            ("", []),
            ("streamrec", []),
            ("xstreamrec=1; streamrecx=2; Streamrec=3", []),
            ("streamrec=a; streamrec=b", ["a", "b"]),
            ('streamrec="a"', ["a"]),
            ('streamrec="', ['"']),
            ("streamrec=a=b", ["a=b"]),
            ("x=streamrec=1", []),
        ],
    )
    def test_a_cookie_is_found_by_its_whole_name(self, header, found):
        assert cookies_of(header, "streamrec") == found

    def test_two_pages_on_one_host_do_not_log_each_other_out(self, open_page):
        one, other = open_page("door", guarded=True), open_page("yard", guarded=True)
        with one.client() as browser:  # one jar for both, as in a browser: cookies know no port
            for page in (one, other):
                answer = browser.post(
                    f"{page.url}/api/v1/login", json={"password": PASSWORD}, headers={"Origin": page.url}
                )
                assert answer.status_code == 204
            assert browser.get(f"{one.url}/api/v1/cameras").status_code == 200
            assert browser.get(f"{other.url}/api/v1/cameras").status_code == 200
            csrf = browser.get(f"{one.url}/api/v1/session").json()["csrf"]
            headers = {"Origin": one.url, "X-CSRF-Token": csrf}
            assert browser.post(f"{one.url}/api/v1/logout", json={}, headers=headers).status_code == 204
            assert browser.get(f"{one.url}/api/v1/cameras").status_code == 401
            assert browser.get(f"{other.url}/api/v1/cameras").status_code == 200


def _answer_to(page, head: bytes, cookie: bytes) -> bytes:
    from tests.integration.web.attacks import raw

    return raw(page, head + b"\r\nCookie: " + cookie + b"\r\n\r\n").split(b" ", 2)[1]


def test_the_file_is_read_again_only_when_it_changed(tmp_path, monkeypatch):
    from streamrec.web.access_file import AccessFile

    path = tmp_path / "page.access"
    path.write_text(make_token()[1] + "\n")
    path.chmod(0o600)
    access = Access.read(path, {})
    file = AccessFile(path, access)
    assert file.changed() is None
    monkeypatch.setattr(Access, "read", None)
    assert file.changed() is None
    monkeypatch.undo()
    path.write_text(make_token()[1] + "\n")
    os.utime(path, ns=(1, 1))
    assert file.changed() != access
