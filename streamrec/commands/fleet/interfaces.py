"""The network interfaces of this machine: Ray opens its ports on all of them where they cannot be bound to one."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Mapping

_ADDRESS_OF = 0x8915  # SIOCGIFADDR of linux/sockios.h


def addresses() -> dict[str, str]:
    """The IPv4 address of each interface that has one, by its name; empty where the system does not give them."""
    try:
        import fcntl
    except ImportError:
        return {}
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(asking.fileno(), _ADDRESS_OF, struct.pack("256s", name.encode()[:15]))
                found[name] = socket.inet_ntoa(answer[20:24])
    return found


def has_address(host: str) -> bool:
    """Whether this machine can open a port on an address.

    >>> has_address("127.0.0.1"), has_address("192.0.2.77"), has_address("fleet.invalid")
    (True, False, False)
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as one:
            one.bind(address)
    except OSError:
        return False
    return True


def also_open(host: str, own: Mapping[str, str]) -> str:
    """A warning that Ray's ports are open on other interfaces of this machine too; empty where there are no others.

    >>> print(also_open("10.0.0.5", {"lo": "127.0.0.1", "eth0": "10.0.0.5", "eth1": "192.168.1.5"}))
    Ray's ports are open on eth1 (192.168.1.5) too: close them there, by RestrictNetworkInterfaces= or a firewall
    >>> also_open("10.0.0.5", {"lo": "127.0.0.1", "eth0": "10.0.0.5"})
    ''
    """
    others = [
        f"{name} ({address})"
        for name, address in own.items()
        if address != host and not ipaddress.ip_address(address).is_loopback
    ]
    if not others:
        return ""
    return (
        f"Ray's ports are open on {', '.join(others)} too: close them there, by RestrictNetworkInterfaces= or a "
        "firewall"
    )
