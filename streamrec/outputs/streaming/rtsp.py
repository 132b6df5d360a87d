"""Publishing to an RTSP server: ANNOUNCE, SETUP and RECORD of RFC 2326, with RTP interleaved in the one TCP connection.

FFmpeg has this too, but PyAV holds Python's lock while FFmpeg connects, which would stop the recognition for as long
as a server does not answer. Here every wait has a deadline, and lets other threads run.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from urllib.request import parse_http_list, parse_keqv_list

from streamrec.core.connecting import Deadline, connected
from streamrec.settings.stream import Target

OPEN_SECONDS = 5.0  # until the server has answered RECORD
_SEND_SECONDS = 5.0  # that a server may take no data
_LEAVE_SECONDS = 0.5  # for TEARDOWN
_BUFFER = 256 << 10  # bytes that the system keeps for a server that is slow: more would be seconds of delay
_MOST_ANSWER = 65_536  # bytes of an answer's head and of its body
_ALIVE_SECONDS = 20.0  # between two requests that keep the session: servers end one after 30 or 60 s
_REASONS = {
    400: "the server does not understand the request (400); check the address",
    401: "the server refused the user or the password",
    403: "the server refuses this stream (403); it may not take any at that path",
    404: "the server knows no such path (404); check the address, and that the server takes streams there",
    405: "the server takes no streams at that path (405)",
    453: "the server has not enough bandwidth (453)",
    461: "the server does not take streams over TCP (461)",
    501: "the server takes no streams (501)",
    503: "the server is busy (503)",
}


class NotPublished(Exception):
    """The server does not take the stream. ``reason`` is a clause without secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Publisher:
    """One published stream; ``send`` gives it RTP. Raises ``NotPublished`` where the server does not take it.

    ``sdp`` describes the stream (RFC 4566). ``context``: whose certificates are trusted, for rtsps.
    """

    def __init__(
        self,
        target: Target,
        sdp: str,
        *,
        context: ssl.SSLContext | None = None,
        seconds: float = OPEN_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target, self._monotonic = target, monotonic
        self._sequence = 0
        self._session = ""
        self._challenge: dict[str, str] | None = None  # of Digest; empty: Basic
        self._count = 0  # uses of its nonce
        self._received = bytearray()
        self._said = monotonic()
        self._socket: socket.socket | None = None
        deadline = Deadline(seconds)
        try:
            self._socket = deadline.watch(connected(target.host, target.port, deadline.left))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target.tls:
                secure = (context or ssl.create_default_context()).wrap_socket(
                    self._socket, server_hostname=target.host, do_handshake_on_connect=False
                )
                self._socket = deadline.watch(secure)
                secure.do_handshake()
            self._begin(sdp)
        except ssl.SSLCertVerificationError as error:
            self._drop()
            raise NotPublished(f"its certificate is not trusted ({error.verify_message})") from None
        except (OSError, ValueError) as error:
            self._drop()
            if isinstance(error, TimeoutError) or deadline.expired:
                raise NotPublished(f"no answer within {seconds:g} s") from None
            raise NotPublished(_why(error)) from None
        except NotPublished:
            self._drop()
            if deadline.expired:  # it was cut off
                raise NotPublished(f"no answer within {seconds:g} s") from None
            raise
        finally:
            deadline.close()
        self._socket.settimeout(_SEND_SECONDS)

    def _begin(self, sdp: str) -> None:
        url = self._target.url
        self._ask("ANNOUNCE", url, {"Content-Type": "application/sdp"}, sdp.encode())
        path, mark, query = url.partition("?")
        track = f"{path.rstrip('/')}/streamid=0{mark}{query}"
        transport = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
        answered = self._ask("SETUP", track, {"Transport": transport})
        self._session = answered.get("session", "").partition(";")[0].strip()
        if not self._session:
            raise NotPublished("the server begins no session; is it an RTSP server that takes streams?")
        self._ask("RECORD", url, {"Range": "npt=0.000-"})

    def send(self, packet: bytes) -> None:
        """Send one packet of RTP, or of RTCP. Waits for a slow server, for a few seconds at most."""
        assert self._socket is not None
        control = len(packet) > 1 and 192 <= packet[1] <= 223  # RFC 5761
        try:
            self._socket.sendall(b"$" + bytes([control]) + len(packet).to_bytes(2, "big") + packet)
        except TimeoutError:
            raise NotPublished(f"the server took no data for {_SEND_SECONDS:g} s") from None
        except (OSError, ValueError) as error:
            raise NotPublished(_why(error)) from None

    def tend(self) -> None:
        """Read what the server has sent, and keep the session; call it a few times a second."""
        assert self._socket is not None
        self._drain(self._socket)
        if self._monotonic() - self._said >= _ALIVE_SECONDS:
            self._said = self._monotonic()
            try:
                self._write("OPTIONS", self._target.url, {}, b"")  # its answer is read by a later ``tend``
            except OSError as error:
                raise NotPublished(_why(error)) from None

    def _drain(self, sock: socket.socket) -> None:
        sock.settimeout(0.0)
        try:
            for _ in range(64):
                if not sock.recv(65_536):
                    raise NotPublished("the server closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            raise NotPublished(_why(error)) from None
        finally:
            sock.settimeout(_SEND_SECONDS)

    def close(self) -> None:
        """End the session, where the server still listens; a second time does nothing."""
        if self._socket is not None:
            with contextlib.suppress(OSError, ValueError):
                self._socket.settimeout(_LEAVE_SECONDS)
                self._write("TEARDOWN", self._target.url, {}, b"")
        self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket = None

    # -- requests

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> dict[str, str]:
        """The headers of the answer, by lower-case names; logs in where that is asked for."""
        for attempt in range(2):
            self._write(method, url, headers, body)
            status, answered = self._read_answer()
            if status == 200:
                return answered
            if status != 401 or attempt or not self._accept(answered):
                break
        raise NotPublished(
            _REASONS.get(status, f"the server refuses with the number {status}; check the address")
        )

    def _write(self, method: str, url: str, headers: dict[str, str], body: bytes) -> None:
        assert self._socket is not None
        self._sequence += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._sequence}", "User-Agent: streamrec"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._session:
            lines.append(f"Session: {self._session}")
        if self._challenge is not None:
            lines.append(f"Authorization: {self._login(method, url)}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self._socket.sendall("\r\n".join((*lines, "", "")).encode() + body)

    def _read_answer(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer; packets of RTCP before it are left out."""
        while True:
            while self._received[:1] == b"$":
                self._receive(4)
                size = 4 + int.from_bytes(self._received[2:4], "big")
                self._receive(size)
                del self._received[:size]
            end = self._received.find(b"\r\n\r\n")
            if end >= 0:
                break
            if len(self._received) > _MOST_ANSWER:
                raise NotPublished("what it answers is no RTSP: check the address and the port")
            self._receive(len(self._received) + 1)
        head = self._received[:end].decode("latin-1")
        del self._received[: end + 4]
        first, *lines = head.split("\r\n")
        found = re.fullmatch(r"RTSP/1\.\d (\d{3})(?: .*)?", first)
        if found is None:
            raise NotPublished("what it answers is no RTSP: check the address and the port")
        answered: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            # Of several ways to log in the server lists the best first, or Digest is among them.
            if name != "www-authenticate" or value.lower().startswith("digest") or name not in answered:
                answered[name] = value
        length = answered.get("content-length", "0")
        if not length.isdecimal() or len(length) > 6 or int(length) > _MOST_ANSWER:
            raise NotPublished("what it answers is no RTSP: check the address and the port")
        self._receive(int(length))
        del self._received[: int(length)]
        return int(found[1]), answered

    def _receive(self, size: int) -> None:
        """Receive until so many bytes are there."""
        assert self._socket is not None
        while len(self._received) < size:
            data = self._socket.recv(65_536)
            if not data:
                raise NotPublished("the server closed the connection before it answered")
            self._received += data

    # -- logging in

    def _accept(self, answered: dict[str, str]) -> bool:
        """Whether the server asks for a login that can be given."""
        way, _, rest = answered.get("www-authenticate", "").partition(" ")
        if not self._target.user:
            raise NotPublished(
                "the server asks for a user and a password; write rtsp://USER:PASSWORD@HOST/..."
            )
        if way.lower() == "basic":
            self._challenge = {}
            return True
        challenge = parse_keqv_list([one for one in parse_http_list(rest) if "=" in one])
        known = challenge.get("algorithm", "MD5").upper() in ("MD5", "SHA-256")
        if way.lower() != "digest" or not known or not challenge.get("nonce"):
            return False
        self._challenge, self._count = challenge, 0
        return True

    def _login(self, method: str, url: str) -> str:
        """The value of Authorization: Basic, or Digest of RFC 7616."""
        user, password, challenge = self._target.user, self._target.password, self._challenge
        if not challenge:
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._count += 1
        algorithm = challenge.get("algorithm", "MD5")
        realm, nonce = challenge.get("realm", ""), challenge["nonce"]
        first, second = (
            _digest(algorithm, text) for text in (f"{user}:{realm}:{password}", f"{method}:{url}")
        )
        fields = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
        plain = ""
        if "auth" in [one.strip() for one in challenge.get("qop", "").split(",")]:
            count, own = f"{self._count:08x}", os.urandom(8).hex()
            proof = _digest(algorithm, f"{first}:{nonce}:{count}:{own}:auth:{second}")
            fields["cnonce"] = own
            plain = f", qop=auth, nc={count}"
        else:
            proof = _digest(algorithm, f"{first}:{nonce}:{second}")
        fields["response"] = proof
        if "opaque" in challenge:
            fields["opaque"] = challenge["opaque"]
        if "algorithm" in challenge:
            plain += f", algorithm={algorithm}"
        quoted = ((name, re.sub(r'(["\\])', r"\\\1", value)) for name, value in fields.items())
        return "Digest " + ", ".join(f'{name}="{value}"' for name, value in quoted) + plain


def _digest(algorithm: str, text: str) -> str:
    kind = hashlib.sha256 if algorithm.upper() == "SHA-256" else hashlib.md5
    return kind(text.encode(), usedforsecurity=False).hexdigest()


def _why(error: Exception) -> str:
    """The failure as a clause; the error's own text may hold the address."""
    if isinstance(error, ssl.SSLError):
        return "what answers there does not speak TLS as it should; is it rtsp:// without the s?"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the server closed the connection"
    if isinstance(error, socket.gaierror):
        return "its name is not known (DNS); check the address and this machine's name server"
    why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return f"it cannot be reached ({why.lower()})"
