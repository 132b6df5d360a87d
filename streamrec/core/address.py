"""Parsing the address of a camera: login, host and port, path.

This is the only parser of addresses, so that masking, connecting and logging in agree on what is the password.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

# One slash is a typing error of these alone: "C:/clips" is a file.
_NETWORK = "rtsps?|rtspu|rtmp[a-z]*|https?|wss?|srt|rist|udp|tcp|rtp|mmsh?|ftps?|sftp|mqtts?"
_SCHEME = re.compile(
    rf"(?:[A-Za-z][A-Za-z0-9+.-]*:)*[A-Za-z][A-Za-z0-9+.-]*://|(?:{_NETWORK}):/+", re.IGNORECASE
)
_HOST = r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^\s/?#@:&=;,|<>\"'\\^`{}*+()\[\]!$%~]*)"
_VARIABLE = re.compile(r"\$\{\w+\}")  # of cameras.toml, before it is filled in
_PLACE = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>\d{{0,5}}))?")
# A literal percent sign: no two digits follow, or they encode a letter or a digit, which never is quoted.
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:3\d|[46][1-9A-Fa-f]|[57][0-9Aa])")
_LOGS_IN = ("rtsp", "rtsps", "http", "https")  # FFmpeg logs in there only where a colon is


@dataclass(frozen=True, slots=True)
class Address:
    """``scheme + login + "@" + place + rest`` is the address; login None: no ``@``."""

    scheme: str  # with its colon and slashes
    login: str | None  # user and password, unchanged
    place: str  # host and port, unchanged
    rest: str  # path, query, fragment
    raw: bool = False  # the login contains letters that must be quoted

    @property
    def is_place(self) -> bool:
        """Whether host and port are valid."""
        found = _PLACE.fullmatch(_VARIABLE.sub("0", self.place))
        return found is not None and int(found["port"] or 0) < 65536

    @property
    def host(self) -> str:
        """The host without brackets; "" where it is not valid."""
        found = _PLACE.fullmatch(self.place)
        return found["host"].strip("[]") if found else ""

    @property
    def port(self) -> int | None:
        """The port; None where the address has none."""
        found = _PLACE.fullmatch(self.place)
        return int(found["port"]) if found and found["port"] else None


def split_address(text: str) -> Address | None:
    """The parts of an address; None where there is no scheme: a file, a device, a webcam's number.

    Where the address does not parse otherwise, the last ``@`` ends the login: a password that is not quoted may
    itself contain ``@``, ``/``, ``?`` and ``#``.

    >>> split_address("rtsp://me:pw@10.0.0.7:554/live?a=1")
    Address(scheme='rtsp://', login='me:pw', place='10.0.0.7:554', rest='/live?a=1', raw=False)
    >>> split_address("rtsp://me:a/b?c#d@10.0.0.7/live").login
    'me:a/b?c#d'
    >>> split_address("rtsp://proxy/door@home").place
    'proxy'
    """
    scheme = _SCHEME.match(text)
    if scheme is None:
        return None
    rest = text[scheme.end() :]
    cut = re.search(r"[/?#]|$", rest)
    assert cut is not None
    authority, tail = rest[: cut.start()], rest[cut.start() :]
    login, at, place = authority.rpartition("@")
    plain = Address(scheme.group(), login if at else None, place, tail)
    if "@" not in tail:
        return plain
    last = split_at_last(scheme.group(), rest)
    # "nas:554/door@home" is a path with an @, "me:55/4@10.0.0.7" a password with a slash.
    likely = ":" not in authority or is_certain(plain) or not is_certain(last)
    if plain.is_place and not place.endswith(":") and likely:
        return plain
    return last if last.is_place else plain


def split_at_last(scheme: str, rest: str) -> Address:
    """The parts of what follows a scheme, where its last ``@`` ends the login."""
    login, at, after = rest.rpartition("@")
    cut = re.search(r"[/?#]|$", after)
    assert cut is not None
    place, tail = after[: cut.start()], after[cut.start() :]
    return Address(scheme, login if at else None, place, tail, raw=True)


def quoted(text: str) -> str:
    """The address as FFmpeg parses it: an unquoted login is quoted; a user alone gets a colon.

    >>> quoted("rtsp://me:50%/x@10.0.0.7/live"), quoted("rtsp://me@10.0.0.7/live")
    ('rtsp://me:50%25%2Fx@10.0.0.7/live', 'rtsp://me:@10.0.0.7/live')
    >>> quoted("rtsp://me:p%2Fw@10.0.0.7/live")
    'rtsp://me:p%2Fw@10.0.0.7/live'
    """
    parts = split_address(text)
    if parts is None or not parts.login:
        return text
    user, colon, password = parts.login.partition(":")
    if not colon and parts.scheme.partition(":")[0].lower() in _LOGS_IN:
        colon = ":"
    if parts.raw or _STRAY.search(parts.login):
        user, password = quote(user, safe=""), quote(password, safe="")
    return f"{parts.scheme}{user}{colon}{password}@{parts.place}{parts.rest}"


def login_in(text: str) -> tuple[str, str]:
    """User and password of an address, unquoted; "" where there is none.

    >>> login_in("rtsp://me:p%40ss@10.0.0.7/live"), login_in("rtsp://me:50%/x@10.0.0.7/live")
    (('me', 'p@ss'), ('me', '50%/x'))
    """
    parts = split_address(quoted(text))
    user, _, password = ("" if parts is None else parts.login or "").partition(":")
    return unquote(user), unquote(password)


def percent_hint(text: str) -> str:
    """A hint for a refused login: that a ``%`` in it was read as quoting; "" where none was.

    >>> percent_hint("rtsp://me:50%20off@10.0.0.7/live")
    ' (in an address, a % of the password is written %25)'
    >>> percent_hint("rtsp://me:pw@10.0.0.7/live")
    ''
    """
    parts = split_address(text)
    read = parts is not None and re.search(r"%(?!25)", parts.login or "")
    return " (in an address, a % of the password is written %25)" if read else ""


def is_certain(address: Address) -> bool:
    """Whether the host is certainly one: an IP address, a name with dots, localhost."""
    host = address.host
    if not address.is_place or not host:
        return False
    return host.lower() == "localhost" or "." in host.strip(".") or is_ip(host)


def is_ip(host: str) -> bool:
    """Whether a host is an IP address.

    >>> is_ip("fe80::1%eth0"), is_ip("10.0.0.7"), is_ip("cam.local")
    (True, True, False)
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
