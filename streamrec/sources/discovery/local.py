"""Cameras of this machine: webcams and videos, and the networks on which others may be searched for."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from streamrec.core.text import printable
from streamrec.sources.files import VIDEO_ENDINGS

_FOLDER = Path("/sys/class/video4linux")
_IMAGES = (".jpg", ".jpeg", ".png")
_ADDRESS_OF_INTERFACE = 0x8915  # SIOCGIFADDR


@dataclass(frozen=True, slots=True)
class Webcam:
    """A webcam of this machine."""

    number: int
    device: str  # /dev/video0
    name: str


@dataclass(frozen=True, slots=True)
class Interface:
    """A network of this machine."""

    name: str  # eth0
    address: str  # this machine's, IPv4


def webcams(folder: Path = _FOLDER) -> list[Webcam]:
    """The webcams that this machine has, by number; on Linux alone. One camera may be several of them."""
    found = []
    for entry in folder.glob("video*"):
        number = entry.name.removeprefix("video")
        if number.isdecimal():
            name = ""
            with contextlib.suppress(OSError):
                name = printable((entry / "name").read_text(errors="replace").strip())[:100]
            found.append(Webcam(int(number), f"/dev/{entry.name}", name))
    return sorted(found, key=lambda one: one.number)


def videos(folder: Path, most: int = 500) -> list[str]:
    """The videos below a folder, and its folders that hold images; links are not followed."""
    top, found = folder.resolve(), []
    for place, folders, names in os.walk(top):
        folders.sort()
        found += [Path(place, name) for name in sorted(names) if name.lower().endswith(VIDEO_ENDINGS)]
        if Path(place) != top and any(name.lower().endswith(_IMAGES) for name in names):
            found.append(Path(place))
        if len(found) >= most:
            break
    return [str(path) for path in found if str(path).isprintable() and not path.is_symlink()][:most]


def interfaces() -> list[Interface]:
    """The networks of this machine that have an IPv4 address, without the loopback."""
    found = []
    for _, name in socket.if_nameindex() if sys.platform.startswith("linux") else ():
        address = _address_of(name)
        if address and not ipaddress.ip_address(address).is_loopback:
            found.append(Interface(name, address))
    return found


def _address_of(name: str) -> str:
    if sys.platform == "win32":
        return ""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(
                asking.fileno(), _ADDRESS_OF_INTERFACE, struct.pack("256s", name.encode()[:15])
            )
        except OSError:  # it has none
            return ""
    return socket.inet_ntoa(answer[20:24])
