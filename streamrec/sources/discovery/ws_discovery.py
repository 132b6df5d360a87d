"""WS-Discovery: asks the cameras of one network by UDP multicast, and collects who answers.

The protocol is OASIS WS-Discovery 2005/04, as ONVIF's core specification (chapter 7) asks for it. An answer counts only
where it names the request, and where the address that it gives is the one that it came from: a device cannot send this
machine to another one.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from streamrec.core.messages import why
from streamrec.core.text import printable
from streamrec.errors import SourceError
from streamrec.sources.discovery.local import interfaces
from streamrec.sources.discovery.xml import Element, children, need_parser, parse, text_of

GROUP = ("239.255.255.250", 3702)
SECONDS = 4.0  # that answers are waited for
MOST_DEVICES = 256
_AGAIN_SECONDS = 1.0  # after which the request is sent once more: a datagram may be lost
_LONGEST_SCOPE = 100  # characters
_PROBE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><s:Header>'
    '<a:Action s:mustUnderstand="1">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>'
    "<a:MessageID>{id}</a:MessageID><a:ReplyTo>"
    "<a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>"
    '<a:To s:mustUnderstand="1">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header>'
    "<s:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>"
)


@dataclass(frozen=True, slots=True)
class Found:
    """A device that answered. Its texts come from itself: anything may stand in them."""

    id: str  # the endpoint's, as a rule urn:uuid:...
    host: str  # its IP address
    service: str  # the URL of its device service, at that address
    name: str
    hardware: str  # as a rule the model


def search(
    interface: str,
    seconds: float = SECONDS,
    group: tuple[str, int] = GROUP,
    stop: threading.Event | None = None,
) -> list[Found]:
    """The devices that answer within some seconds, by address. Raises ``SourceError``, ``MissingExtra``.

    ``interface``: an IPv4 address of this machine; only its network is asked. ``stop``: set, the search ends at once.
    """
    need_parser()
    own = _own_address(interface)
    request = f"urn:uuid:{uuid.uuid4()}"
    data = _PROBE.format(id=request).encode()
    found: dict[str, Found] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP) as asking:
        try:
            asking.bind((str(own), 0))
            asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own.packed)
            asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)  # this network alone
            asking.sendto(data, group)
            begun = time.monotonic()
            again = begun + _AGAIN_SECONDS
            while (left := begun + seconds - time.monotonic()) > 0 and len(found) < MOST_DEVICES:
                if stop is not None and stop.is_set():
                    break
                if time.monotonic() >= again:
                    asking.sendto(data, group)
                    again = float("inf")
                asking.settimeout(min(left, 0.2))
                try:
                    answer, (host, _) = asking.recvfrom(65_535)
                except TimeoutError:
                    continue
                for device in devices_in(answer, host, request, loopback=own.is_loopback):
                    found.setdefault(device.host, device)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                own_ones = ", ".join(one.address for one in interfaces()) or "none with a network"
                raise SourceError(
                    f"{interface} is no address of this machine; there are {own_ones}"
                ) from error
            raise SourceError(f"the network of {interface} cannot be asked: {why(error)}") from error
    return sorted(found.values(), key=lambda device: ipaddress.ip_address(device.host))


def _own_address(interface: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(interface)
    except ValueError as error:
        raise SourceError(f"{interface}: give an IPv4 address of this machine, like 192.168.1.5") from error


def devices_in(answer: bytes, host: str, request: str, *, loopback: bool = False) -> list[Found]:
    """The devices of one answer, from this address, to this request; none where it is not to be trusted.

    ``loopback``: whether the network is this machine alone; else no device may be one of its own services.
    """
    address = ipaddress.ip_address(host)
    if (
        address.is_loopback != loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    ):
        return []
    try:
        root = parse(answer)
    except SourceError:
        return []
    if text_of(root, "RelatesTo") != request:
        return []
    devices = [_device(match, host) for match in children(root, "ProbeMatch")]
    return [device for device in devices if device is not None][:1]


def _device(match: Element, host: str) -> Found | None:
    for url in text_of(match, "XAddrs", longest=4_000).split():
        try:
            parts = urlsplit(url)
            at_home = parts.scheme in ("http", "https") and parts.hostname == host and parts.port != 0
        except ValueError:
            continue
        if at_home and not parts.username and not parts.password and len(url) <= 500:
            scopes = text_of(match, "Scopes", longest=8_000).split()
            return Found(
                text_of(match, "EndpointReference", "Address"),
                host,
                url,
                _scope(scopes, "name"),
                _scope(scopes, "hardware"),
            )
    return None


def _scope(scopes: list[str], kind: str) -> str:
    r"""A fact out of a device's scopes.

    >>> _scope(["onvif://www.onvif.org/name/Front%20door", "onvif://www.onvif.org/hardware/X1"], "name")
    'Front door'
    """
    beginning = f"onvif://www.onvif.org/{kind}/"
    found = next((scope for scope in scopes if scope.lower().startswith(beginning)), "")
    return printable(unquote(found[len(beginning) :], errors="replace")).strip()[:_LONGEST_SCOPE]
