"""Requests to an ONVIF device: SOAP over HTTP, with a digest of the password in both forms that devices ask for.

Devices are asked by WS-Security's UsernameToken (a digest with a nonce and the device's own time), and those that
answer 401 by HTTP digest. The password itself is never sent, and HTTP basic is refused. No redirect is followed, and
each exchange has a deadline.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import secrets
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from streamrec.core.connecting import Deadline, connected
from streamrec.core.messages import why
from streamrec.errors import SourceError
from streamrec.sources.discovery.xml import MOST_XML, Element, children, escape, first, parse, text_of

SECONDS = 6.0  # for one request and its answer
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">'
    "{header}<s:Body>{body}</s:Body></s:Envelope>"
)
_SECURITY = (
    '<s:Header><Security s:mustUnderstand="1" '
    'xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">'
    "<UsernameToken><Username>{user}</Username><Password "
    'Type="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest">'
    '{digest}</Password><Nonce EncodingType="http://docs.oasis-open.org/wss/2004/01/'
    'oasis-200401-wss-soap-message-security-1.0#Base64Binary">{nonce}</Nonce><Created '
    'xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">{created}</Created>'
    "</UsernameToken></Security></s:Header>"
)
_ALGORITHMS = {"md5": hashlib.md5, "sha-256": hashlib.sha256}


class NotAuthorized(SourceError):
    """The device refuses user and password, or wants them."""


@dataclass
class Device:
    """One device, asked at one host alone. ``offset``: seconds by which its clock is ahead of this machine's."""

    host: str
    user: str = ""
    password: str = field(default="", repr=False)
    offset: float = 0.0
    seconds: float = SECONDS

    def ask(self, url: str, body: str, *, signed: bool = True) -> Element:
        """The body of the answer to a request; raises ``SourceError``. Only path and port are taken from the URL."""
        header = self._security() if signed and self.user else ""
        data = _ENVELOPE.format(header=header, body=body).encode()
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        exchange = _Exchange(self.host, parts.port, parts.scheme == "https", self.seconds)
        status, challenge, answer = exchange.post(target, data)
        if status == 401 and signed and self.user and (found := challenge_in(challenge)):
            authorization = http_digest(found, self.user, self.password, "POST", target)
            status, _, answer = exchange.post(target, data, authorization)
        if status in (401, 403):
            raise NotAuthorized(
                "it refuses this user and password" if self.user else "it wants a user and a password"
            )
        if 300 <= status < 400:
            raise SourceError("it sends this machine elsewhere, which is not followed")
        root = parse(answer)
        fault = first(root, "Fault")
        if fault is not None:
            codes = " ".join((one.text or "") for one in children(fault, "Value"))
            if "NotAuthorized" in codes or "FailedAuthentication" in codes:
                raise NotAuthorized(
                    "it refuses this user and password" if self.user else "it wants a user and a password"
                )
            raise SourceError(f"it answers: {text_of(fault, 'Text') or 'a fault without words'}")
        found_body = first(root, "Body")
        if status != 200 or found_body is None:
            raise SourceError(f"it answers {status}, and nothing of ONVIF")
        return found_body

    def _security(self) -> str:
        """The UsernameToken: a digest of nonce, time and password."""
        nonce = secrets.token_bytes(16)
        created = datetime.fromtimestamp(time.time() + self.offset, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return _SECURITY.format(
            user=escape(self.user),
            digest=password_digest(nonce, created, self.password),
            nonce=base64.b64encode(nonce).decode(),
            created=created,
        )


def password_digest(nonce: bytes, created: str, password: str) -> str:
    """Base64 of SHA-1 over nonce, time and password (WS-Security UsernameToken profile 1.0).

    >>> password_digest(base64.b64decode("LKqI6G/AikKCQrN0zqZFlg=="), "2010-09-16T07:50:45Z", "userpassword")
    'tuOSpGlFlIXsozq4HFNeeGeFLEI='
    """
    data = nonce + created.encode() + password.encode()
    return base64.b64encode(hashlib.sha1(data).digest()).decode()


def challenge_in(header: str) -> dict[str, str] | None:
    """The values of an HTTP digest challenge that can be answered; None: there is none, such as basic.

    >>> challenge_in('Digest realm="cam", qop="auth", nonce="1", algorithm=MD5')["realm"]
    'cam'
    """
    for part in re.split(r"\bdigest\s+", header, flags=re.IGNORECASE)[1:]:
        pairs = re.findall(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))', part)
        values = {key.lower(): quoted or plain for key, quoted, plain in pairs}
        qop = {one.strip() for one in values.get("qop", "").split(",")} - {""}
        known = values.get("algorithm", "MD5").lower() in _ALGORITHMS
        if known and "nonce" in values and "realm" in values and (not qop or "auth" in qop):
            return values
    return None


def http_digest(
    challenge: dict[str, str], user: str, password: str, method: str, target: str, cnonce: str = ""
) -> str:
    """The header ``Authorization`` of HTTP digest (RFC 7616), for MD5 and SHA-256.

    >>> given = {"realm": "testrealm@host.com", "qop": "auth,auth-int", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
    >>> header = http_digest(given, "Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b")
    >>> "6629fae49393a05397450978507c4ef1" in header
    True
    """
    name = challenge.get("algorithm", "MD5")
    make = _ALGORITHMS[name.lower()]

    def hashed(text: str) -> str:
        return make(text.encode()).hexdigest()

    secret = hashed(f"{user}:{challenge['realm']}:{password}")
    request = hashed(f"{method}:{target}")
    nonce = challenge["nonce"]
    values = {"username": user, "realm": challenge["realm"], "nonce": nonce, "uri": target}
    if challenge.get("qop"):
        cnonce = cnonce or secrets.token_hex(8)
        values["response"] = hashed(f"{secret}:{nonce}:00000001:{cnonce}:auth:{request}")
        values["cnonce"] = cnonce
    else:
        values["response"] = hashed(f"{secret}:{nonce}:{request}")
    if "opaque" in challenge:
        values["opaque"] = challenge["opaque"]
    shown = [f'{key}="{_quoted(value)}"' for key, value in values.items()]
    if challenge.get("qop"):
        shown += ["qop=auth", "nc=00000001"]
    if "algorithm" in challenge:
        shown.append(f"algorithm={name}")
    return f"Digest {', '.join(shown)}"


def _quoted(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "", text).replace("\\", "\\\\").replace('"', '\\"')


class _Exchange:
    """POST requests to one host, each within so many seconds, whatever comes in between."""

    def __init__(self, host: str, port: int | None, secure: bool, seconds: float) -> None:
        self._host, self._port, self._secure, self._seconds = host, port, secure, seconds

    def post(self, target: str, data: bytes, authorization: str = "") -> tuple[int, str, bytes]:
        """Status, challenges of HTTP authentication, and body; raises ``SourceError``."""
        headers = {
            "Content-Type": "application/soap+xml; charset=utf-8",
            "User-Agent": "streamrec",
            "Connection": "close",
        }
        if authorization:
            headers["Authorization"] = authorization
        connection = http.client.HTTPConnection(self._host, self._port or (443 if self._secure else 80))
        deadline = Deadline(self._seconds)
        try:
            connection.sock = deadline.watch(connected(connection.host, connection.port, deadline.left))
            if self._secure:
                secure = _context().wrap_socket(connection.sock, do_handshake_on_connect=False)
                connection.sock = deadline.watch(secure)
                secure.do_handshake()
            connection.request("POST", target, data, headers)
            answer = connection.getresponse()
            challenges = ", ".join(answer.headers.get_all("WWW-Authenticate") or ())
            body = answer.read(MOST_XML + 1)
            if deadline.expired:
                raise TimeoutError
            return answer.status, challenges, body
        except (OSError, http.client.HTTPException, ValueError) as error:
            if deadline.expired or isinstance(error, TimeoutError):
                raise SourceError(f"it does not answer within {self._seconds:g} s") from error
            words = why(error) if isinstance(error, OSError) else "what it answers is no HTTP"
            raise SourceError(f"it cannot be asked: {words}") from error
        finally:
            deadline.close()
            connection.close()


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = (
        ssl.CERT_NONE
    )  # cameras make their certificates themselves; the password is not sent
    return context
