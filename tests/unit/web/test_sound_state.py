"""The page's API says how the sound of a camera is that listens, without a secret, and nothing of one that does not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from streamrec.errors import SettingsError
from streamrec.types import Health, SourceState
from streamrec.web.cameras_editor import CamerasEditor
from streamrec.web.live import LiveState
from streamrec.web.schemas import CameraNow
from streamrec.web.settings_schemas import CameraChange


def camera(name: str, sound: object = None) -> SimpleNamespace:
    return SimpleNamespace(name=name, health=Health(SourceState.live, since=1.0), rate=10.0, sound=sound)


def test_the_state_of_the_sound_is_beside_that_of_the_pictures():
    lost = Health(SourceState.reconnecting, "rtsp://me:s3cret@10.0.0.7/live was lost", since=1.0)
    live = LiveState()
    live.secrets = ("s3cret",)
    live.beat([camera("yard", SimpleNamespace(name="glass", health=lost, dropped=3)), camera("door")])
    yard, door = (CameraNow(**one) for one in live.cameras())
    assert yard.state == "live" and yard.sound is not None
    assert (yard.sound.model, yard.sound.state, yard.sound.dropped) == ("glass", "reconnecting", 3)
    assert "s3cret" not in yard.sound.reason
    assert door.sound is None
    live.close()


FILE = """[[camera]]
name = "yard"
address = "rtsp://10.0.0.7/live"
model = "fight"
listen = {model = "glass.safetensors", address = "rtsp://me:s3cret-pw@10.0.0.9/x"}
"""


def test_the_editor_keeps_listen_as_it_is_and_cannot_switch_a_microphone_on(tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(FILE)
    editor = CamerasEditor(path, {})
    (shown,) = editor.read()["cameras"]
    assert shown["listens"] == "glass" and "s3cret" not in str(editor.read())
    sent = {"name": "porch", "address": shown["address"], "model": "fight", "listen": "evil.safetensors"}
    change = CameraChange(**sent).as_change()
    assert not hasattr(change, "listen"), "the API has no such key"
    for address in ("mic:", "mic:0", "/etc/passwd#sound", "file:///etc/passwd#sound", "0#sound"):
        with pytest.raises(SettingsError, match=r"files and devices are named in cameras.toml alone"):
            editor.put(editor.read()["revision"], "yard", replace(change, address=address))
    assert path.read_text() == FILE
