"""Requests to one server by HTTP: a deadline for the whole exchange, no redirects, failures as clauses without secrets.

The address comes from cameras.toml alone, so it may be one of the own network, where most receivers are. What an event
fills in stands behind the host, and never moves a request to another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from streamrec.core.connecting import Deadline, connected
from streamrec.core.hosts import host_problem
from streamrec.errors import SinkError
from streamrec.notify.delivery import Undelivered

MOST_ANSWER = 65_536  # bytes of an answer that are read
REFUSED_ATTEMPTS = 5  # for a message that the receiver rejects
_LATER = (408, 409, 425, 429)  # 4xx that mean "not now"
_SHA256 = re.compile(r"(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes  # its beginning, where it is longer than what was to be read
    whole: bool  # whether ``body`` is all of it

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the server wants to be asked again; None: it names none."""
        value = self.headers.get("Retry-After")
        return float(value) if value and value.isdecimal() else None


def check_url(url: str, key: str = "url") -> SplitResult:
    """The parts of a receiver's address; raises ``SinkError`` that begins with the key and quotes nothing of it.

    >>> check_url("https://example.org/hook").hostname
    'example.org'
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its text quotes the address
        raise SinkError(f"{key}: its host and port cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SinkError(f"{key}: write http://... or https://...")
    try:
        _ = parts.port
    except ValueError:
        raise SinkError(f"{key}: its port is none; write https://host:443/...") from None
    if parts.netloc.endswith(":"):  # of a second scheme too
        raise SinkError(
            f"{key}: there is a colon without a port; write https://host/... or https://host:443/..."
        )
    if problem := host_problem(parts.hostname):
        raise SinkError(f"{key}: its host is none; {problem}")
    if parts.username or parts.password:
        raise SinkError(f"{key}: no user and password in it; give a token, or sign with a secret")
    return parts


def check_fingerprint(fingerprint: str) -> None:
    """Raise ``SinkError`` for what is no SHA-256 fingerprint of a certificate."""
    if fingerprint and not _SHA256.fullmatch(fingerprint):
        raise SinkError(
            "fingerprint: give the SHA-256 of its certificate, 64 hexadecimal digits; "
            "openssl s_client -connect HOST:PORT </dev/null | openssl x509 -noout -fingerprint -sha256 shows it"
        )


class HttpClient:
    """Requests to the server of one ``http`` or ``https`` address.

    ``ca``: a file with the certificate authority to trust. ``fingerprint``: the SHA-256 of the only certificate that
    is accepted, whatever host it names; for a server that made its own. Raises ``SinkError``.
    """

    def __init__(self, url: str, *, timeout: float, ca: str = "", fingerprint: str = "") -> None:
        self._parts = check_url(url)
        self._timeout = timeout
        self._fingerprint = bytes.fromhex(fingerprint.replace(":", ""))
        self._context: ssl.SSLContext | None = None
        if self._parts.scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=ca or None)
            except OSError as error:  # ssl.SSLError is one
                raise SinkError(f"ca: {ca} cannot be read as certificates") from error
            if fingerprint:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE

    @property
    def target(self) -> str:
        """Path and query of the address."""
        parts = self._parts
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def send(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        most: int = MOST_ANSWER,
    ) -> Answer:
        """The answer to one request, its body up to ``most`` bytes; raises ``Undelivered`` where none came."""
        parts = self._parts
        connection = self._connection(parts.hostname or "", parts.port)
        deadline = Deadline(self._timeout)
        try:
            connection.sock = deadline.watch(connected(connection.host, connection.port, deadline.left))
            if self._context is not None:
                self._secure(self._context, connection, deadline)
            connection.request(method, target, body, {"User-Agent": "streamrec", **headers})
            answer = connection.getresponse()
            data, whole = b"", False
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                # An error here does not matter to most callers: the status has arrived.
                data = answer.read(most)
                whole = not answer.read(1)
        except ssl.SSLCertVerificationError as error:
            raise Undelivered(f"its certificate is not trusted ({error.verify_message})") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, TimeoutError) or deadline.expired:
                raise Undelivered(f"no answer within {self._timeout:g} s") from None
            raise Undelivered(_reason(error)) from None
        finally:
            deadline.close()
            connection.close()
        return Answer(answer.status, answer.headers, data, whole and not deadline.expired)

    def _connection(self, host: str, port: int | None) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(host, port)
        return http.client.HTTPSConnection(host, port, context=self._context)

    def _secure(
        self, context: ssl.SSLContext, connection: http.client.HTTPConnection, deadline: Deadline
    ) -> None:
        """Make the TLS handshake, and check the certificate."""
        secure = context.wrap_socket(
            connection.sock, server_hostname=connection.host, do_handshake_on_connect=False
        )
        connection.sock = deadline.watch(secure)
        secure.do_handshake()
        if self._fingerprint:
            found = hashlib.sha256(secure.getpeercert(True) or b"").digest()
            if not hmac.compare_digest(found, self._fingerprint):
                raise Undelivered("its certificate is another one than that of the fingerprint")


def check_answer(answer: Answer) -> None:
    """Raise ``Undelivered`` for any status but 2xx."""
    status = answer.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise Undelivered(f"it answered {status}, elsewhere: give the address that it moved to")
    if status == 410:
        raise Undelivered("it answered 410, gone for good", attempts=1)
    if 400 <= status < 500 and status not in _LATER:
        raise Undelivered(f"it answered {status}, and so refuses it", attempts=REFUSED_ATTEMPTS)
    raise Undelivered(f"it answered {status}", again_in=answer.retry_after)


def _reason(error: Exception) -> str:
    """The failure as a clause; the error's own text may hold the URL."""
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(error, http.client.HTTPException):
        return "what it answers is no HTTP: check the address and the port"
    why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return f"it cannot be reached ({why.lower()})"
