"""Whether a setting that takes a host has one: a name or an IP address, and nothing around it."""

from __future__ import annotations

import re
import socket

from streamrec.core.address import is_ip

_LONGEST = 253  # letters of a name (RFC 1035)
_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")  # letters of other scripts are encoded when it is resolved
_NUMBER = re.compile(r"\d+|0[xX][0-9a-fA-F]*")


def with_port(host: str, port: int) -> str:
    """A host and its port in one.

    >>> with_port("nas.local", 7000), with_port("fd00::5", 7000)
    ('nas.local:7000', '[fd00::5]:7000')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_problem(host: str) -> str:
    """What is to be written in place of a host that is none; "": it may be one.

    It quotes nothing of it: a password may be in it.

    >>> [host_problem(host) for host in ("broker.local", "10.0.0.7", "fe80::1%eth0", "my_nas", "Türe.example.")]
    ['', '', '', '', '']
    >>> host_problem("broker:1883"), host_problem("mqtt://broker")
    ('write the host without a port behind it', 'write the host without a scheme like mqtt:// before it')
    >>> host_problem("192.168.1.300"), host_problem("[::1]")
    ('write an IP address of four numbers up to 255, or a name', 'write the address without brackets')
    """
    if is_ip(host):
        return ""
    if (scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://", host)) is not None:
        return f"write the host without a scheme like {scheme.group().lower()} before it"
    if host.startswith("["):
        return "write the address without brackets"
    if re.fullmatch(r"[^:@/?#\s]*:\d*", host):
        return "write the host without a port behind it"
    labels = host.removesuffix(".").split(".")
    if len(host) > _LONGEST or not all(_LABEL.fullmatch(label) for label in labels):
        return "write a name like nas.local or an address like 192.168.1.5, and nothing else"
    if _NUMBER.fullmatch(labels[-1]):
        try:
            socket.inet_aton(host)
        except OSError:
            return "write an IP address of four numbers up to 255, or a name"
    return ""
