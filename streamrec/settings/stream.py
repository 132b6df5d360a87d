"""The settings of the annotated stream: the RTSP server that it is published to, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from streamrec.core.address import Address, login_in, quoted, split_address
from streamrec.core.hosts import host_problem
from streamrec.errors import SinkError
from streamrec.settings.evidence import PRIVACIES, Privacy

PLACE = "{camera}"  # in the path of the address: the camera's name
_PORTS = {"rtsp": 554, "rtsps": 322}
_LONGEST = 4_096  # letters of the address


@dataclass(frozen=True, slots=True)
class Target:
    """Where one camera's stream is published."""

    host: str
    port: int
    url: str  # as the server is asked for it: without the login
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """The ``[stream]`` table of cameras.toml."""

    to: str = field(default="", repr=False, metadata={"needed": True, "secret": True})  # rtsp://HOST/{camera}
    cameras: tuple[str, ...] = ()  # empty: all
    side: int = 1280  # pixels of the long side at most
    fps: float = 15.0  # frames a second at most
    kbit: int = 2000  # kilobits a second at most
    overlay: bool = True  # with label and bars drawn over it
    privacy: str = ""  # a ``Privacy``; a camera may have its own; "": as [evidence] has it, or full
    ca: str = field(default="", metadata={"path": True})  # a file with the certificate authority to trust

    def __post_init__(self) -> None:
        parts = _parts(self.to)
        if PLACE in parts.scheme + (parts.login or "") + parts.place or self.to.count(PLACE) > 1:
            raise SinkError(f"the address of the stream: {PLACE} belongs into its path, once")
        if self.privacy and self.privacy not in tuple(Privacy):
            raise SinkError(f"privacy is {self.privacy!r}: {PRIVACIES}")
        if self.side % 1 or self.side < 64:
            raise SinkError(f"side is {self.side} pixels: give at least 64")

    def target(self, camera: str) -> Target:
        """Where this camera's stream goes; its name is quoted, so that it stays one part of the path.

        >>> settings = StreamSettings(to="rtsp://me:pw@10.0.0.2:8554/{camera}")
        >>> settings.target("door").url, settings.target("../x@y/z?").url, settings.target("..").url
        ('rtsp://10.0.0.2:8554/door', 'rtsp://10.0.0.2:8554/..%2Fx%40y%2Fz%3F', 'rtsp://10.0.0.2:8554/%2E%2E')
        """
        parts = _parts(self.to)
        name = quote(camera, safe="")
        if not name.strip("."):
            name = name.replace(".", "%2E")
        scheme = parts.scheme.partition(":")[0].lower()
        user, password = login_in(self.to)
        return Target(
            host=parts.host,
            port=parts.port or _PORTS[scheme],
            url=f"{scheme}://{parts.place}{parts.rest.replace(PLACE, name)}",
            user=user,
            password=password,
            tls=scheme == "rtsps",
        )

    def takes(self, camera: str) -> bool:
        """Whether a camera is streamed."""
        return not self.cameras or camera in self.cameras

    def check(self, cameras: Sequence[str]) -> None:
        """Raise ``SinkError`` where these cameras would share one address."""
        taken = [camera for camera in cameras if self.takes(camera)]
        if len(taken) > 1 and PLACE not in self.to:
            raise SinkError(
                f"the address of the stream is one, and {len(taken)} cameras are streamed; "
                f"write {PLACE} in its path, like rtsp://HOST:8554/{PLACE}"
            )


def _parts(address: str) -> Address:
    """The parts of the address; raises ``SinkError`` without repeating it: it may hold a password."""
    where = "the address of the stream"
    if len(address) > _LONGEST or not address.isprintable():
        raise SinkError(f"{where}: it is too long, or holds a control character")
    if any(letter.isspace() for letter in address):
        raise SinkError(f"{where}: there is a blank in it; a blank of the password is written %20")
    parts = split_address(quoted(address))
    if parts is None or parts.scheme.lower() not in ("rtsp://", "rtsps://"):
        raise SinkError(
            f"{where}: write rtsp://HOST:8554/NAME, the address of an RTSP server that takes streams"
        )
    if not parts.is_place or not parts.host or parts.place.endswith(":"):
        raise SinkError(f"{where}: its host and port cannot be read; write rtsp://HOST:8554/NAME")
    if PLACE not in parts.place and (problem := host_problem(parts.host)):
        raise SinkError(f"{where}: its host is none; {problem}")
    if parts.port == 0:
        raise SinkError(f"{where}: its port is 0; servers listen at 8554 or 554")
    if not parts.rest.strip("/"):
        raise SinkError(f"{where}: the stream needs a name; write rtsp://HOST:8554/NAME")
    if not parts.rest.isascii():
        raise SinkError(f"{where}: write letters of its path that are not of ASCII as %XX")
    return parts
