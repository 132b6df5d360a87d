"""The body of `streamrec discover`."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from streamrec.commands.printing import log, print_text, print_utf8
from streamrec.core.hosts import host_problem
from streamrec.errors import SettingsError, SourceError
from streamrec.sources.discovery.local import interfaces, webcams
from streamrec.sources.discovery.onvif import Stream, streams_of
from streamrec.sources.discovery.ws_discovery import Found, search


def list_cameras(networks: Sequence[str], seconds: float, *, as_json: bool) -> None:
    """Print the webcams of this machine, then what answers in its networks."""
    cameras = webcams()
    for webcam in cameras:
        _print({"kind": "webcam", **asdict(webcam)}, f"webcam {webcam.number}  {webcam.name}", as_json)
    found = _search(networks, seconds)
    for one in found:
        shown = {"kind": "onvif", "host": one.host, "name": one.name, "hardware": one.hardware}
        _print(shown, f"{one.host}  {one.name}  {one.hardware}".rstrip(), as_json)
    if found:
        log(f"streamrec discover --device {found[0].host} --user NAME shows the streams of one")
    else:
        log("no camera answered: it may be in another network, or its ONVIF may be switched off")


def list_streams(
    networks: Sequence[str], seconds: float, host: str, login: tuple[str, str], *, as_json: bool
) -> None:
    """Print the streams of one camera; raises ``SourceError`` and ``SettingsError``."""
    if problem := host_problem(host):
        raise SettingsError(f"--device: {problem}")
    found = next((one for one in _search(networks, seconds) if one.host == host), None)
    if found is None:
        raise SourceError(f"{host} did not answer as an ONVIF camera")
    try:
        camera = streams_of(found, *login)
    except SourceError as error:
        raise SourceError(f"{host}: {error}") from error
    if as_json:
        print_utf8(json.dumps(asdict(camera), ensure_ascii=False))
        return
    print_text(f"{camera.maker} {camera.model} {camera.firmware}".strip())
    for stream in camera.streams:
        print_text(f"  {stream.address or stream.reason}  {facts(stream)}")


def facts(stream: Stream) -> str:
    """What a stream is, in words.

    >>> facts(Stream("main", "H264", 1920, 1080, 25.0, "rtsp://10.0.0.7/main"))
    'main, H264, 1920 x 1080, 25 fps'
    """
    size = f"{stream.width} x {stream.height}" if stream.width and stream.height else ""
    rate = f"{stream.fps:g} fps" if stream.fps else ""
    return ", ".join(filter(None, (stream.name, stream.codec, size, rate)))


def _search(networks: Sequence[str], seconds: float) -> list[Found]:
    """What answers in these networks, or in all of this machine, at the same time."""
    asked = list(networks) or [one.address for one in interfaces()]
    if not asked:
        raise SourceError("this machine has no network that is known: give --interface its IPv4 address")
    stop = threading.Event()
    with ThreadPoolExecutor(len(asked)) as pool:
        try:
            found = list(pool.map(lambda interface: search(interface, seconds, stop=stop), asked))
        finally:
            stop.set()  # Ctrl-C waits for no answer
    return list({one.host: one for each in found for one in each}.values())


def _print(value: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_utf8(json.dumps(value, ensure_ascii=False))
    else:
        print_text(text)
