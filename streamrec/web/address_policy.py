"""Which camera addresses the page accepts, and how it shows them.

``cameras.toml``, edited by hand, may name any source. A user of the page may name cameras on the network, and nothing
else: no file, no device, no FFmpeg protocol that opens one (``concat:``, ``pipe:``, ``subfile:``), no ``${NAME}`` that
would put this machine's secrets into an address. Cameras are on the internal network, so internal addresses must be
accepted; refused are addresses that are never cameras: link-local ones (cloud metadata services with credentials), and
web services of this machine itself.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from streamrec.core.address import split_address
from streamrec.core.redact import redact_address
from streamrec.errors import SettingsError
from streamrec.sources.discovery.local import webcams
from streamrec.sources.files import VIDEO_ENDINGS

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps")
LONGEST = 2_000  # characters
_OWN_ALLOWED = ("rtsp", "rtsps")  # a restreaming server may run on this machine


def check_address(address: str, local: Path | None = None) -> None:
    """Raise ``SettingsError`` for an address that the page does not accept.

    ``local``: a folder whose videos may be named, and webcams with it; None: neither.

    >>> check_address("rtsp://192.168.1.20/stream1")
    >>> check_address("file:///etc/passwd")
    Traceback (most recent call last):
    ...
    streamrec.errors.SettingsError: give an address that begins with rtsp://, rtsps://, http://, https://, rtmp:// \
or rtmps://; files and devices are named in cameras.toml alone
    """
    if len(address) > LONGEST:
        raise SettingsError("the address is too long")
    if local is not None and (address.isdecimal() or address.startswith("/")):
        _check_local(address, local)
        return
    split = split_address(address)
    if split is not None:  # user and password may hold any characters
        address = f"{split.scheme}{split.place}{split.rest}"
        if (
            "@" in split.rest
        ):  # some parsers take the text before it as a login, and the text after it as the host
            raise SettingsError("the path holds an @: write %40 for it")
    if not address.isprintable() or re.search(r"[\s\\|]", address):
        raise SettingsError("the address holds blanks or letters that no address has")
    scheme, separator, _ = address.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        names = ", ".join(f"{name}://" for name in SCHEMES[:-1])
        raise SettingsError(
            f"give an address that begins with {names} or {SCHEMES[-1]}://; "
            "files and devices are named in cameras.toml alone"
        )
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError("the address has no host and port that can be read") from error
    if not host:
        raise SettingsError("the address names no host")
    for found in _resolved(host, port or 80):
        if found.is_link_local:
            raise SettingsError("link-local addresses may not be watched from here: name it in cameras.toml")
        if found.is_multicast:
            raise SettingsError("a multicast address is not read: give the camera's own")
        if (found.is_loopback or found.is_unspecified) and scheme.lower() not in _OWN_ALLOWED:
            raise SettingsError(
                "services of this machine may not be asked from here: name it in cameras.toml, or give rtsp://"
            )


def _check_local(address: str, folder: Path) -> None:
    """That it is a webcam of this machine, or a video or a folder below ``folder``, named without links."""
    if address.isdecimal():
        if address not in [str(webcam.number) for webcam in webcams()]:
            raise SettingsError(f"this machine has no webcam {address[:10]}")
        return
    try:
        path, below = Path(address).resolve(strict=True), folder.resolve(strict=True)
        is_video = path.is_file() and path.suffix.lower() in VIDEO_ENDINGS
        is_named_plainly = str(path) == address and path != below and path.is_relative_to(below)
        if is_named_plainly and (is_video or path.is_dir()):
            return
    except (OSError, ValueError, RuntimeError):
        pass
    # The same for all: whether another file is there is not to be learned.
    raise SettingsError(
        "this is no video and no folder that may be added: choose one of those that are listed"
    )


def _resolved(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The IP addresses of a host, however it is written (127.1, 0x7f000001)."""
    try:
        found = {
            str(entry[4][0]).partition("%")[0]
            for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        }
    except (OSError, UnicodeError):
        return []  # unknown: opening it reports that
    addresses = [ipaddress.ip_address(text) for text in found]
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]


def place_of(address: str) -> tuple[str, str]:
    """Scheme, and host with port: where a password would be sent.

    >>> place_of("RTSP://me:secret@Host:554/a") == place_of("rtsp://host:554/b")
    True
    """
    parts = split_address(address)
    if parts is None:
        return "", address.lower()
    return parts.scheme.partition(":")[0].lower(), parts.place.lower()


def shown(address: str) -> str:
    """An address without user, password and tokens.

    >>> shown("rtsp://me:secret@host/live?token=abc"), shown("0")
    ('rtsp://host/live?token=***', '0')
    """
    return redact_address(without_login(address))


def login_of(address: str) -> str:
    """User and password of an address, with the @; "" where there are none."""
    parts = split_address(address)
    return "" if parts is None or parts.login is None else f"{parts.login}@"


def without_login(address: str) -> str:
    """The address without user and password.

    >>> without_login("rtsp://me:a/b@10.0.0.7/live")
    'rtsp://10.0.0.7/live'
    """
    parts = split_address(address)
    return address if parts is None else f"{parts.scheme}{parts.place}{parts.rest}"
