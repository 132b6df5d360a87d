"""streamrec/web/auth.py"""

from __future__ import annotations

import stat
import time

import pytest

from streamrec.errors import SettingsError
from streamrec.web.access_file import adding, edit
from streamrec.web.auth import Access, new_token, new_user
from streamrec.web.roles import Role
from streamrec.web.sessions import ALL_TRIES, TRIES, LoginThrottle, Sessions
from tests.helpers.pages import hash_password, make_token

PASSWORD = "correct horse battery"


class TestPasswords:
    def test_a_password_is_known_by_its_hash_alone(self):
        line = hash_password(PASSWORD)
        access = Access.parse(line, "page.access")
        assert access.log_in("", PASSWORD)
        assert not access.log_in("", PASSWORD + " ")
        assert not access.log_in("", "")
        assert PASSWORD not in line and line != hash_password(PASSWORD)  # a salt of its own

    def test_a_guess_costs_time(self):
        access = Access.parse(hash_password(PASSWORD), "page.access")
        began = time.monotonic()
        access.log_in("", "guess")
        assert time.monotonic() - began > 0.02

    def test_a_short_password_is_refused_in_words(self):
        with pytest.raises(SettingsError, match="guessed too soon: take 10 or more"):
            hash_password("short")
        with pytest.raises(SettingsError, match="there is no password: give one of 10 letters or more"):
            hash_password("")

    def test_a_very_long_guess_costs_nothing(self):
        assert not Access.parse(hash_password(PASSWORD), "x").log_in("", "a" * 1_000_000)

    def test_letters_of_any_kind_are_allowed(self):
        assert Access.parse(hash_password("pässwörter ☂ 漢字"), "x").log_in("", "pässwörter ☂ 漢字")


class TestFile:
    def test_only_its_owner_may_read_it_and_a_new_password_replaces_the_old(self, tmp_path):
        path = tmp_path / "page.access"
        token, account = new_token()
        edit(path, adding(new_user("", "the first password", Role.admin)))
        edit(path, adding(account))
        edit(path, adding(new_user("", PASSWORD, Role.admin)))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        access = Access.read(path, {})
        assert access.log_in("", PASSWORD) and not access.log_in("", "the first password")
        assert access.token_of(token) and not access.token_of(token + "x")
        assert [p.name for p in tmp_path.iterdir()] == ["page.access"]

    def test_the_environment_may_hold_it(self):
        token, line = make_token()
        access = Access.read(None, {"STREAMREC_WEB_ACCESS": f"{hash_password(PASSWORD)}, {line}"})
        assert access.log_in("", PASSWORD) and access.token_of(token)
        assert not Access.read(None, {})

    @pytest.mark.parametrize(
        "text", ["hunter2hunter2", "password hunter2", "token sha256:abc", "scrypt:99:8:1:a:b"]
    )
    def test_what_is_no_hash_is_refused_without_being_shown(self, text):
        with pytest.raises(SettingsError) as error:
            Access.parse(text, "page.access")
        assert "is no hash of a password or token" in str(error.value)
        assert "hunter2" not in str(error.value)

    def test_a_file_that_is_not_there_says_how_to_make_it(self, tmp_path):
        with pytest.raises(SettingsError, match=r"streamrec access .*page\.access` makes it"):
            Access.read(tmp_path / "page.access", {})

    def test_an_empty_file_is_no_way_in(self, tmp_path):
        path = tmp_path / "page.access"
        path.write_text("# nothing\n")
        with pytest.raises(SettingsError, match="neither password nor token"):
            Access.read(path, {})


class TestSessions:
    def test_a_session_is_found_until_it_is_ended_idle_or_old(self):
        now = [0.0]
        sessions = Sessions(clock=lambda: now[0])
        secret, session = sessions.begin()
        assert sessions.find(secret) is session
        assert sessions.find("another") is None
        now[0] = 11 * 3600.0
        assert sessions.find(secret) is session  # it is used: twelve hours from here
        now[0] = 24 * 3600.0
        assert sessions.find(secret) is None
        secret, session = sessions.begin()
        sessions.end_this(session)
        assert sessions.find(secret) is None

    def test_there_is_a_bound(self):
        sessions = Sessions()
        first, _ = sessions.begin()
        for _ in range(1000):
            sessions.begin()
        assert sessions.find(first) is None


class TestTries:
    def test_each_further_wrong_one_doubles_the_wait(self):
        now = [0.0]
        throttle = LoginThrottle(clock=lambda: now[0])
        waits = []
        for _ in range(TRIES + 4):
            throttle.failed("10.0.0.9")
            waits.append(throttle.wait("10.0.0.9"))
        assert waits == [0.0] * TRIES + [2.0, 4.0, 8.0, 16.0]
        throttle.succeeded("10.0.0.9")
        assert throttle.wait("10.0.0.9") == 0.0

    def test_a_log_in_of_ones_own_gives_no_more_guesses_at_another_user(self):
        throttle = LoginThrottle(clock=lambda: 0.0)
        for _ in range(TRIES + 1):
            throttle.failed("10.0.0.9", "ann")
            throttle.succeeded("10.0.0.9", "ben")
        assert throttle.wait("10.0.0.9", " Ann ") == 2.0
        assert throttle.wait("10.0.0.9", "ben") == throttle.wait("10.0.0.8", "ann") == 0.0
        throttle.succeeded("10.0.0.9", "ann")
        assert throttle.wait("10.0.0.9", "ann") == 0.0

    def test_many_addresses_together_are_bounded_too(self):
        now = [0.0]
        throttle = LoginThrottle(clock=lambda: now[0])
        for n in range(ALL_TRIES):
            throttle.failed(f"10.0.0.{n}")
        assert throttle.wait("10.1.1.1") == 60.0
        now[0] = 61.0
        assert throttle.wait("10.1.1.1") == 0.0

    def test_the_addresses_of_one_network_are_one(self):
        throttle = LoginThrottle(clock=lambda: 0.0)
        for n in range(TRIES + 1):
            throttle.failed(f"2001:db8::{n}")
        assert throttle.wait("2001:db8::ffff") == 2.0
        assert throttle.wait("2001:db8:0:1::1") == 0.0
