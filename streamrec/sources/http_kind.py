"""What an HTTP address is: a file, a stream, or a redirect, by the answer of its server."""

from __future__ import annotations

import base64
import http.client
import ssl
import urllib.request
from contextlib import closing
from urllib.parse import unquote, urlsplit, urlunsplit

# Endless streams, single images, and playlists.
ENDLESS = (
    "multipart/", "image/", "text/", "audio/mpegurl", "audio/x-mpegurl", "application/vnd.apple",
    "application/x-mpegurl", "application/dash",
)  # fmt: skip
MOST_BYTES = 1 << 43  # more than any video has
MADE_UP = frozenset(
    (1 << bits) - down for bits in (31, 32) for down in (0, 1)
)  # lengths that servers send for "endless"


def is_file(status: int, headers: http.client.HTTPMessage) -> bool:
    """Whether an answer to a request for the first byte is that of a file: the server sends its length.

    >>> headers = http.client.HTTPMessage()
    >>> headers["Content-Range"] = "bytes 0-0/18000"
    >>> is_file(206, headers), is_file(200, http.client.HTTPMessage())
    (True, False)
    """
    if headers.get("Content-Type", "").strip().lower().startswith(ENDLESS):
        return False
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return False
    ranges = headers.get("Content-Range", "").rpartition("/")[2] if status == 206 else ""
    length = ranges or (headers.get("Content-Length", "") if status == 200 else "")
    return length.strip().isdecimal() and ends(int(length))


def ends(size: int) -> bool:
    """Whether so many bytes are the length of a file."""
    return 0 < size < MOST_BYTES and size not in MADE_UP


def redirects(address: str, seconds: float) -> bool:
    """Whether the server of an HTTP address answers with a redirect; requested without user and password."""
    parts = urlsplit(address)
    place = parts.netloc.rpartition("@")[2]
    try:
        if parts.scheme.lower() == "https":
            line: http.client.HTTPConnection = http.client.HTTPSConnection(
                place, timeout=seconds, context=_any_certificate()
            )
        else:
            line = http.client.HTTPConnection(place, timeout=seconds)
        with closing(line):
            line.request("GET", urlunsplit(("", "", parts.path or "/", parts.query, "")))
            return 300 <= line.getresponse().status < 400
    except (OSError, ValueError, http.client.HTTPException):
        return False


def shows_file(address: str, seconds: float) -> bool:
    """Whether the server of an HTTP address shows that it is a file; False without an answer in time."""
    answer = _answer(address, seconds, {"Range": "bytes=0-0"})
    return answer is not None and is_file(*answer)


def sends_parts(address: str, seconds: float) -> bool:
    """Whether an HTTP address sends JPEG images one after the other, as browsers show them (MJPEG)."""
    answer = _answer(address, seconds, {})
    return answer is not None and answer[1].get("Content-Type", "").strip().lower().startswith(
        "multipart/x-mixed"
    )


def _answer(
    address: str, seconds: float, fields: dict[str, str]
) -> tuple[int, http.client.HTTPMessage] | None:
    """Status and headers of the answer; None: no answer, or an error."""
    try:
        parts = urlsplit(address)
        user, _, place = parts.netloc.rpartition("@")
        request = urllib.request.Request(urlunsplit(parts._replace(netloc=place)), headers=fields)
        if user:
            name, _, password = user.partition(":")
            login = f"{unquote(name)}:{unquote(password)}".encode()
            # Not sent to the target of a redirect.
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login).decode())
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_any_certificate()))
        with opener.open(request, timeout=seconds) as answer:
            return answer.status, answer.headers
    except (OSError, ValueError, http.client.HTTPException):  # no such answer: it is a camera
        return None


def _any_certificate() -> ssl.SSLContext:
    """A TLS context that accepts any certificate: cameras sign their own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
