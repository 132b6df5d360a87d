"""The key of a fleet: one file, of which only a token travels."""

from __future__ import annotations

import pytest

from streamrec.errors import SettingsError

pytest.importorskip("cryptography")

from streamrec.commands.fleet.secret import FleetKey


def test_what_is_sealed_is_not_readable_and_comes_back(tmp_path):
    key = FleetKey.create(tmp_path / "fleet.key")
    sealed = key.seal(b"password")
    assert b"password" not in sealed
    assert FleetKey.read(tmp_path / "fleet.key").unseal(sealed) == b"password"


def test_the_token_does_not_open_what_is_sealed(tmp_path):
    key = FleetKey.create(tmp_path / "fleet.key")
    other = FleetKey(bytes.fromhex(key.token))
    with pytest.raises(SettingsError, match="another key"):
        other.unseal(key.seal(b"password"))
    assert key.token not in (tmp_path / "fleet.key").read_text()


def test_a_change_on_the_way_is_noticed():
    key = FleetKey(b"0" * 32)
    sealed = bytearray(key.seal(b"password"))
    sealed[20] ^= 1
    with pytest.raises(SettingsError):
        key.unseal(bytes(sealed))


def test_a_key_is_readable_by_its_owner_alone(tmp_path):
    path = tmp_path / "fleet.key"
    FleetKey.create(path)
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        FleetKey.read(path)


@pytest.mark.parametrize("text", ["", "hello", "streamrec fleet zz", "streamrec fleet 00"])
def test_a_file_that_is_no_key_is_refused_and_not_quoted(tmp_path, text):
    path = tmp_path / "fleet.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="is no key of a fleet") as error:
        FleetKey.read(path)
    assert not text or text not in str(error.value)


def test_a_key_that_is_not_there_is_explained(tmp_path):
    with pytest.raises(SettingsError, match="copy it to this machine"):
        FleetKey.read(tmp_path / "fleet.key")


def test_no_secret_is_in_its_text():
    key = FleetKey(b"0" * 32)
    assert key.token not in repr(key) and "0" * 8 not in repr(key)
