"""`streamrec discover`: cameras of the network and of this machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from streamrec.commands.options import OUTPUT, option

_WHERE, _STREAMS = "Where", "Streams"


def discover(
    interface: Annotated[
        list[str] | None,
        option(
            _WHERE,
            "Only the network of this own IPv4 address; may be repeated. By default all of this machine.",
        ),
    ] = None,
    seconds: Annotated[float, option(_WHERE, "How long answers are waited for.", min=0.5, max=60)] = 4.0,
    device: Annotated[
        str | None, option(_STREAMS, "Ask this one of the cameras found, by its address, for its streams.")
    ] = None,
    user: Annotated[
        str, option(_STREAMS, "User of that camera; its password is asked for, or read from standard input.")
    ] = "",
    as_json: Annotated[bool, option(OUTPUT, "Print one JSON object a line.", "--json")] = False,
) -> None:
    """Find cameras of the network that speak ONVIF, and the webcams of this machine.

    With --device, the streams of one camera, with their addresses for cameras.toml.

    \b
    Examples:
      streamrec discover
      streamrec discover --interface 192.168.1.5 --json
      streamrec discover --device 192.168.1.20 --user admin
    """
    from streamrec.commands.discover_job import list_cameras, list_streams

    if device is None:
        list_cameras(interface or [], seconds, as_json=as_json)
        return
    password = ""
    if user:
        terminal = sys.stdin.isatty()
        password = (
            str(typer.prompt("Password", hide_input=True))
            if terminal
            else sys.stdin.readline().rstrip("\r\n")
        )
    list_streams(interface or [], seconds, device, (user, password), as_json=as_json)
