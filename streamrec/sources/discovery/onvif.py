"""ONVIF: who made a device, and the streams that it has, with their addresses.

The requests are those of ONVIF's core and media specifications (``ver10``): GetSystemDateAndTime, GetDeviceInformation,
GetServices, or GetCapabilities where a device does not know that, GetProfiles and GetStreamUri.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from streamrec.errors import SourceError
from streamrec.sources.discovery.soap import Device, NotAuthorized
from streamrec.sources.discovery.ws_discovery import Found
from streamrec.sources.discovery.xml import Element, attribute, children, escape, first, text_of

MOST_PROFILES = 32
SECONDS = 20.0  # for all requests to one device
_DEVICE = "http://www.onvif.org/ver10/device/wsdl"
_MEDIA = "http://www.onvif.org/ver10/media/wsdl"
_SCHEMA = "http://www.onvif.org/ver10/schema"
_SCHEMES = ("rtsp", "rtsps", "http", "https")


@dataclass(frozen=True, slots=True)
class Stream:
    """One profile of a device: a stream that it offers."""

    name: str
    codec: str  # "H264" ...; "": not known
    width: int | None
    height: int | None
    fps: float | None
    address: str  # "": there is none that may be used
    reason: str = ""  # why there is no address


@dataclass(frozen=True, slots=True)
class Camera:
    """A device that has answered. Its texts come from itself: anything may stand in them."""

    host: str
    maker: str
    model: str
    firmware: str
    clock_off: float  # seconds by which its clock is ahead of this machine's
    streams: tuple[Stream, ...]


def streams_of(found: Found, user: str = "", password: str = "") -> Camera:
    """Ask a device for its streams; raises ``SourceError``, ``NotAuthorized`` where user and password are wrong."""
    ends = time.monotonic() + SECONDS
    device = Device(found.host, user, password)
    device.offset = _clock_off(device, found.service)
    about = device.ask(found.service, f'<GetDeviceInformation xmlns="{_DEVICE}"/>')
    media = _media_service(device, found.service)
    profiles = device.ask(media, f'<GetProfiles xmlns="{_MEDIA}"/>')
    streams = []
    for profile in list(children(profiles, "Profiles"))[:MOST_PROFILES]:
        if time.monotonic() > ends:
            raise SourceError(f"it does not answer within {SECONDS:g} s")
        streams.append(_stream(device, media, profile))
    return Camera(
        host=found.host,
        maker=text_of(about, "Manufacturer"),
        model=text_of(about, "Model"),
        firmware=text_of(about, "FirmwareVersion"),
        clock_off=round(device.offset, 1),
        streams=tuple(streams),
    )


def _clock_off(device: Device, service: str) -> float:
    """By how much a device's clock is ahead; 0 where it does not say. Its log-in depends on its own time."""
    try:
        answer = device.ask(service, f'<GetSystemDateAndTime xmlns="{_DEVICE}"/>', signed=False)
        utc = first(answer, "UTCDateTime")
        year, month, day = (int(text_of(utc, "Date", key)) for key in ("Year", "Month", "Day"))
        hour, minute, second = (int(text_of(utc, "Time", key)) for key in ("Hour", "Minute", "Second"))
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() - time.time()
    except (NotAuthorized, ValueError, TypeError, OverflowError):
        return 0.0


def _media_service(device: Device, service: str) -> str:
    """The URL of the media service."""
    try:
        answer = device.ask(
            service,
            f'<GetServices xmlns="{_DEVICE}"><IncludeCapability>false</IncludeCapability></GetServices>',
        )
        found = [
            text_of(one, "XAddr")
            for one in children(answer, "Service")
            if text_of(one, "Namespace") == _MEDIA
        ]
    except NotAuthorized:
        raise
    except SourceError:
        answer = device.ask(
            service, f'<GetCapabilities xmlns="{_DEVICE}"><Category>Media</Category></GetCapabilities>'
        )
        found = [text_of(answer, "Media", "XAddr")]
    if not found or not found[0]:
        raise SourceError("it offers no media service of ONVIF (ver10)")
    return found[0]


def _stream(device: Device, media: str, profile: Element) -> Stream:
    encoder = first(profile, "VideoEncoderConfiguration")
    token = attribute(profile, "token")
    address, reason = "", ""
    try:
        answer = device.ask(
            media,
            f'<GetStreamUri xmlns="{_MEDIA}"><StreamSetup><Stream xmlns="{_SCHEMA}">RTP-Unicast</Stream>'
            f'<Transport xmlns="{_SCHEMA}"><Protocol>RTSP</Protocol></Transport></StreamSetup>'
            f"<ProfileToken>{escape(token)}</ProfileToken></GetStreamUri>",
        )
        address, reason = usable(text_of(answer, "MediaUri", "Uri", longest=2_000), device.host)
    except NotAuthorized:
        raise
    except SourceError as error:
        reason = str(error)
    return Stream(
        name=text_of(profile, "Name") or token,
        codec=text_of(encoder, "Encoding"),
        width=_whole(text_of(encoder, "Resolution", "Width")),
        height=_whole(text_of(encoder, "Resolution", "Height")),
        fps=_whole(text_of(encoder, "RateControl", "FrameRateLimit")),
        address=address,
        reason=reason,
    )


def usable(address: str, host: str) -> tuple[str, str]:
    """A stream's address without a log-in, and why it is not used: it has to lead to the device itself.

    >>> usable("rtsp://192.168.1.20:554/live", "192.168.1.20")
    ('rtsp://192.168.1.20:554/live', '')
    >>> usable("rtsp://10.0.0.1/live", "192.168.1.20")
    ('', 'it names a stream at another address: 10.0.0.1')
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "", "it names no address that can be read"
    if (
        parts.scheme.lower() not in _SCHEMES
        or not parts.hostname
        or not address.isprintable()
        or " " in address
    ):
        return "", "it names no address of a stream"
    try:
        same = ipaddress.ip_address(parts.hostname) == ipaddress.ip_address(host)
    except ValueError:
        same = False
    if not same:
        return "", f"it names a stream at another address: {parts.hostname[:100]}"
    place = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=place if port is None else f"{place}:{port}", fragment="").geturl(), ""


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else None
