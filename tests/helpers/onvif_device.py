"""A stand-in for an ONVIF camera, which checks what real ones demand: the form of each request, digests, its own clock.

Written by ONVIF's core and media specifications, OASIS WS-Discovery 2005/04 and the UsernameToken profile 1.0.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.etree import ElementTree

SOAP = "http://www.w3.org/2003/05/soap-envelope"
DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
SCHEMA = "http://www.onvif.org/ver10/schema"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
DIGEST = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
MOST_OFF = 5.0  # seconds by which a token's time may differ from the device's
PROFILES = (("main", "H264", 1920, 1080, 25), ("sub", "H264", 640, 360, 10))


def envelope(body: str) -> bytes:
    return f'<?xml version="1.0"?><s:Envelope xmlns:s="{SOAP}"><s:Body>{body}</s:Body></s:Envelope>'.encode()


def fault(code: str, text: str) -> bytes:
    return envelope(
        f'<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value xmlns:t="x">{code}</s:Value></s:Subcode>'
        f'</s:Code><s:Reason><s:Text xml:lang="en">{text}</s:Text></s:Reason></s:Fault>'
    )


@dataclass
class OnvifDevice:
    """One device on the loopback network. What a test changes here, the device does from then on."""

    user: str = "admin"
    password: str = "camera-pw-1"
    name: str = "Front door"
    clock_off: float = 3_600.0  # its clock is an hour ahead
    http_digest: bool = False  # it asks for HTTP digest in place of a UsernameToken
    services: bool = True  # it knows GetServices
    stream_host: str = ""  # "": its own
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(
        default_factory=dict
    )  # by action, in place of its own
    match: Callable[[str], bytes] | None = None  # the answer to a probe, in place of its own
    asked: list[str] = field(default_factory=list)  # actions that were answered
    wrong: list[str] = field(default_factory=list)  # what a real one would have refused
    group: tuple[str, int] = ("239.255.255.250", 0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/onvif/device_service"

    @contextlib.contextmanager
    def running(self) -> Iterator[OnvifDevice]:
        """Answer probes and requests until the end of the block."""
        self._nonces: set[str] = set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.bind((self.group[0], 0))
        self.group = self.group[0], listening.getsockname()[1]
        member = struct.pack("4s4s", socket.inet_aton(self.group[0]), socket.inet_aton("127.0.0.1"))
        listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        listening.settimeout(0.1)
        ended = threading.Event()
        threads = [
            threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self._listen, args=(listening, ended), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            ended.set()
            self.server.shutdown()
            for thread in threads:
                thread.join()
            self.server.server_close()
            listening.close()

    # -- WS-Discovery

    def _listen(self, listening: socket.socket, ended: threading.Event) -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                data, sender = listening.recvfrom(65_535)
                request = self._probe(data)
                if request:
                    answer = self.probe_match(request) if self.match is None else self.match(request)
                    listening.sendto(answer, sender)

    def _probe(self, data: bytes) -> str:
        """The id of a right probe."""
        root = ElementTree.fromstring(data)
        action, to = (root.findtext(f".//{{{WSA}}}{name}") for name in ("Action", "To"))
        request = root.findtext(f".//{{{WSA}}}MessageID") or ""
        types = root.findtext(f".//{{{WSD}}}Probe/{{{WSD}}}Types") or ""
        right = (
            action == f"{WSD}/Probe"
            and to == "urn:schemas-xmlsoap-org:ws:2005:04:discovery"
            and re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", request)
            and types.endswith(":NetworkVideoTransmitter")
            and b'xmlns:dn="http://www.onvif.org/ver10/network/wsdl"' in data
        )
        if not right:
            self.wrong.append("probe")
        return request if right else ""

    def probe_match(self, request: str, url: str = "") -> bytes:
        name = self.name.replace(" ", "%20").replace("<", "%3C").replace(">", "%3E")
        return (
            f'<?xml version="1.0"?><e:Envelope xmlns:e="{SOAP}" xmlns:w="{WSA}" xmlns:d="{WSD}"><e:Header>'
            f"<w:MessageID>urn:uuid:{uuid.uuid4()}</w:MessageID><w:RelatesTo>{request}</w:RelatesTo>"
            f"<w:Action>{WSD}/ProbeMatches</w:Action></e:Header><e:Body><d:ProbeMatches><d:ProbeMatch>"
            "<w:EndpointReference><w:Address>urn:uuid:1419d68a-1dd2-11b2-a105-000000000001</w:Address></w:EndpointReference>"
            "<d:Types>dn:NetworkVideoTransmitter</d:Types>"
            f"<d:Scopes>onvif://www.onvif.org/hardware/X1 onvif://www.onvif.org/name/{name}</d:Scopes>"
            f"<d:XAddrs>http://[fe80::1]/onvif/device_service {url or self.url}</d:XAddrs>"
            "<d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches></e:Body></e:Envelope>"
        ).encode()

    # -- its services

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        device = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                device.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        data = handler.rfile.read(int(handler.headers["Content-Length"]))
        if not handler.headers.get("Content-Type", "").startswith("application/soap+xml"):
            self.wrong.append("content type")
        root = ElementTree.fromstring(data)
        body = root.find(f"{{{SOAP}}}Body")
        request = body[0]
        namespace, _, action = request.tag[1:].partition("}")
        if namespace != (MEDIA if action in ("GetProfiles", "GetStreamUri") else DEVICE):
            self.wrong.append(f"namespace of {action}")
        if action in self.answers:
            self.answers[action](handler)
            return
        if action != "GetSystemDateAndTime" and not self._is_allowed(root, handler):
            return
        self.asked.append(action)
        made = getattr(self, f"_{action}", None)
        known = made is not None and (self.services or action != "GetServices")
        send(
            handler,
            200 if known else 400,
            envelope(made(request)) if known else fault("ter:ActionNotSupported", "no"),
        )

    def _is_allowed(self, root: Any, handler: BaseHTTPRequestHandler) -> bool:
        if self.http_digest:
            if self._is_http_digest(handler):
                return True
            challenge = 'Digest realm="cam", qop="auth", nonce="n0nce", opaque="op", algorithm=MD5'
            handler.send_response(401)
            for one in ('Basic realm="cam"', challenge):
                handler.send_header("WWW-Authenticate", one)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return False
        if not self._is_token(root):
            send(handler, 400, fault("ter:NotAuthorized", "Sender not Authorized"))
            return False
        return True

    def _is_token(self, root: Any) -> bool:
        token = root.find(f"{{{SOAP}}}Header/{{{WSSE}}}Security/{{{WSSE}}}UsernameToken")
        if token is None:
            return False
        password, nonce = token.find(f"{{{WSSE}}}Password"), token.findtext(f"{{{WSSE}}}Nonce") or ""
        created = token.findtext(f"{{{WSU}}}Created") or ""
        sent = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        if nonce in self._nonces or abs(sent - self._now()) > MOST_OFF or password.get("Type") != DIGEST:
            return False
        self._nonces.add(nonce)
        right = hashlib.sha1(base64.b64decode(nonce) + created.encode() + self.password.encode()).digest()
        return (token.findtext(f"{{{WSSE}}}Username"), password.text) == (
            self.user,
            base64.b64encode(right).decode(),
        )

    def _is_http_digest(self, handler: BaseHTTPRequestHandler) -> bool:
        given = dict(
            re.findall(
                r'(\w+)="?([^",]+)"?', handler.headers.get("Authorization", "").removeprefix("Digest ")
            )
        )
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
        secret, request = md5(f"{self.user}:cam:{self.password}"), md5(f"POST:{handler.path}")
        right = md5(f"{secret}:n0nce:{given.get('nc')}:{given.get('cnonce')}:auth:{request}")
        return (given.get("response"), given.get("opaque"), given.get("uri")) == (right, "op", handler.path)

    def _now(self) -> float:
        return time.time() + self.clock_off

    def _GetSystemDateAndTime(self, _: Any) -> str:
        now = datetime.fromtimestamp(self._now(), UTC)
        return (
            f'<GetSystemDateAndTimeResponse xmlns="{DEVICE}" xmlns:tt="{SCHEMA}"><SystemDateAndTime><tt:UTCDateTime>'
            f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}</tt:Second></tt:Time>"
            f"<tt:Date><tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date>"
            "</tt:UTCDateTime></SystemDateAndTime></GetSystemDateAndTimeResponse>"
        )

    def _GetDeviceInformation(self, _: Any) -> str:
        return (
            f'<GetDeviceInformationResponse xmlns="{DEVICE}"><Manufacturer>Example &amp; Sons</Manufacturer>'
            "<Model>X1</Model><FirmwareVersion>1.2</FirmwareVersion></GetDeviceInformationResponse>"
        )

    @property
    def _media(self) -> str:
        return self.url.replace("127.0.0.1", "10.9.9.9").replace(
            "device_service", "media_service"
        )  # as behind a router

    def _GetServices(self, request: Any) -> str:
        if request.findtext(f"{{{DEVICE}}}IncludeCapability") not in ("true", "false"):
            self.wrong.append("GetServices")
        services = ((DEVICE, self.url), (MEDIA, self._media))
        rows = "".join(
            f"<Service><Namespace>{name}</Namespace><XAddr>{url}</XAddr></Service>" for name, url in services
        )
        return f'<GetServicesResponse xmlns="{DEVICE}">{rows}</GetServicesResponse>'

    def _GetCapabilities(self, _: Any) -> str:
        return (
            f'<GetCapabilitiesResponse xmlns="{DEVICE}" xmlns:tt="{SCHEMA}"><Capabilities><tt:Media>'
            f"<tt:XAddr>{self._media}</tt:XAddr></tt:Media></Capabilities></GetCapabilitiesResponse>"
        )

    def _GetProfiles(self, _: Any) -> str:
        rows = "".join(
            f'<Profiles token="{token}"><tt:Name>{token} stream</tt:Name><tt:VideoEncoderConfiguration token="v">'
            f"<tt:Encoding>{codec}</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height>"
            f"</tt:Resolution><tt:RateControl><tt:FrameRateLimit>{fps}</tt:FrameRateLimit></tt:RateControl>"
            "</tt:VideoEncoderConfiguration></Profiles>"
            for token, codec, width, height, fps in PROFILES
        )
        return f'<GetProfilesResponse xmlns="{MEDIA}" xmlns:tt="{SCHEMA}">{rows}</GetProfilesResponse>'

    def _GetStreamUri(self, request: Any) -> str:
        setup = request.find(f"{{{MEDIA}}}StreamSetup")
        asked = [
            setup.findtext(f"{{{SCHEMA}}}Stream"),
            setup.findtext(f"{{{SCHEMA}}}Transport/{{{SCHEMA}}}Protocol"),
        ]
        token = request.findtext(f"{{{MEDIA}}}ProfileToken")
        if asked != ["RTP-Unicast", "RTSP"] or token not in [profile[0] for profile in PROFILES]:
            self.wrong.append("GetStreamUri")
        host = self.stream_host or "127.0.0.1"
        return (
            f'<GetStreamUriResponse xmlns="{MEDIA}" xmlns:tt="{SCHEMA}"><MediaUri><tt:Uri>rtsp://{host}:8554/{token}?a=1&amp;b=2'
            "</tt:Uri></MediaUri></GetStreamUriResponse>"
        )


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer a request."""
    handler.send_response(status)
    for name, value in {"Content-Type": "application/soap+xml", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    with contextlib.suppress(OSError):
        handler.wfile.write(body)
