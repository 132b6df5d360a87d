"""Why an address could not be opened or read, as a sentence: from FFmpeg's error and its log.

FFmpeg's own messages may hold the address, password included, and name the call and not the cause: none is passed on.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Sequence

import av

from streamrec.core.text import printable

OPEN_SECONDS = 5.0  # deadline for opening an address
LOST = "the connection was lost"
REFUSED = "the camera refused the user or the password"
UNKNOWN = "the server knows no such stream; check the path of the address"
DEAF = "nothing listens at that address and port (connection refused)"
MOST_REDIRECTS = 5  # in a row
CIRCLE = (
    f"the server leads on to another address again and again (more than {MOST_REDIRECTS} redirects); "
    "give the address that is meant"
)
NESTED = "its playlist leads on to others again and again (HLS); give the address of one that names pieces of video"
NO_PIECES = "the pieces that its playlist names (HLS) cannot be read, or are no video"
HUNG_UP = "the connection was closed by the other side before anything came"
MOST_CONNECTIONS = 40  # of one opening: a playlist has a few variants, and their first pieces
NO_CODEC = (
    "its pictures are of a kind that FFmpeg cannot decode here; set the camera to H.264, H.265 or MJPEG"
)
NO_SOUND = "the camera sends no sound: switch its microphone on in its settings (AAC, G.711 or Opus), or do not listen"
NO_WAY = "no way leads to that address (network or host unreachable); check the address and the network"
NO_TLS = "what answers there does not speak TLS as it should; is it rtsp:// or http:// without the s?"
NOT_OPENED = "it could not be opened, or the connection broke off at once; check the address and the network"

_ANSWERS = {
    400: "the server does not understand the request (400); check the address",
    401: REFUSED,
    403: REFUSED,
    404: UNKNOWN,
    405: "the server does not give a stream at that path (405); check the path of the address",
    406: "the server has no stream of a kind that is asked for (406); check the path of the address",
    410: UNKNOWN,
    415: "the server has no stream of a kind that is asked for (415); check the path of the address",
    429: "the server is asked too often (429)",
    453: "the camera has not enough bandwidth for one more viewer (453); close another one",
    454: "the camera has lost the session (454)",
    461: "the camera does not send in the way that is asked for (461): TCP or UDP is switched off there",
    500: "the server reports an error of its own (500); it may have to be started anew",
    501: "the server cannot do what is asked for (501); check the address",
    502: "the server does not reach the camera behind it (502)",
    503: "the camera is busy, or has as many viewers as it can serve (503)",
    504: "the server does not reach the camera behind it (504)",
    551: "the server cannot do what is asked for (551); check the address",
}
_SYSTEM = {
    errno.ECONNREFUSED: DEAF,
    errno.ENETUNREACH: NO_WAY,
    errno.EHOSTUNREACH: NO_WAY,
    errno.ENETDOWN: NO_WAY,
    errno.EADDRNOTAVAIL: NO_WAY,
    errno.ECONNRESET: HUNG_UP,
    errno.EPIPE: HUNG_UP,
    errno.ECONNABORTED: HUNG_UP,
    errno.EMFILE: "this machine has too many files and connections open",
    errno.ENFILE: "this machine has too many files and connections open",
    errno.ENOMEM: "this machine has not enough memory to open it",
    errno.EACCES: "this machine does not let us open it (permission denied)",
    errno.EPERM: "this machine does not let us open it (permission denied)",
    errno.EINVAL: "the address is not one that can be opened; check its port, its path and its letters",
}
_CONNECTION = re.compile(r"Connection to \S+ failed(?: \([^)]*\))?[:,]? *(.*)")


def why_not_opened(
    error: av.FFmpegError, log: Sequence[str], address: str, took: float, deadline: float
) -> str:
    """The sentence for an opening that failed after ``took`` seconds; ``log``: FFmpeg's messages."""
    scheme, _, rest = address.lower().partition("://")
    if leads_on(log):
        return CIRCLE
    if nests(log):
        return NESTED
    if any("Failed to resolve hostname" in text for text in log):
        # The last "@" ends the user's part: a password may itself hold "@" or "/".
        return unknown_name(re.split(r"[/?#:]", rest.rpartition("@")[2])[0])
    if (code := _code(log)) is not None and took < 0.95 * deadline:
        if code in _ANSWERS:
            return _ANSWERS[code]
        if 400 <= code < 600:
            return f"the server refuses with the number {code}; check the address"
    if any("Error when loading first segment" in text or "allowed_segment" in text for text in log):
        return NO_PIECES
    if isinstance(error, av.HTTPBadRequestError):
        return _ANSWERS[400]
    if isinstance(error, av.HTTPClientError):
        return (
            ffmpeg_reason(error, took, deadline)
            if _is_known(error)
            else "the server refuses; check the address"
        )
    if isinstance(error, av.HTTPServerError):
        return _ANSWERS[500].replace(" (500)", "")
    if _is_known(error) or took >= 0.95 * deadline:
        return ffmpeg_reason(error, took, deadline)
    for text in log:
        if found := _CONNECTION.search(text):
            failed = found[1].lower()
            if "refused" in failed:
                return DEAF
            if "timed out" in failed:
                return no_answer(deadline)
            return NO_WAY
        if scheme.endswith("s") and re.search(r"(?i)\b(tls|ssl|certificate|handshake)\b", text):
            return NO_TLS
    if any("End of file" in text or "Failed reading RTSP" in text for text in log):
        return HUNG_UP
    if isinstance(error, av.InvalidDataError):
        return ffmpeg_reason(error, took, deadline)
    if type(error).__name__ == "ProtocolNotFoundError":
        return "protocol not found: an address begins with rtsp://, http:// or the like"
    return _SYSTEM.get(error.errno or 0, NOT_OPENED)


def unknown_name(host: str) -> str:
    """The sentence for a host name that DNS does not resolve."""
    name = printable(host)
    name = name if len(name) <= 80 else name[:77] + "..."
    return f"the name {name} is not known (DNS); check the address and this machine's name server"


def leads_on(log: Iterable[str]) -> bool:
    """Whether FFmpeg followed too many redirects."""
    return sum("Redirecting to" in text for text in log) > MOST_REDIRECTS


def why_lost(error: BaseException) -> str:
    """The sentence for an unexpected error; never the error's own message."""
    if isinstance(error, av.FFmpegError):
        return _SYSTEM.get(error.errno or 0, LOST)
    if isinstance(error, MemoryError):
        return _SYSTEM[errno.ENOMEM]
    if isinstance(error, OSError):
        return _SYSTEM.get(error.errno or 0, NOT_OPENED)
    return f"reading it failed by a mistake of streamrec's own ({type(error).__name__}); please report it"


def nests(log: Iterable[str]) -> bool:
    """Whether FFmpeg followed too many playlists in playlists."""
    made = ("Starting connection attempt", "Empty segment [")
    return sum(text.startswith(made) for text in log) > MOST_CONNECTIONS


def _code(log: Iterable[str]) -> int | None:
    """The status code of the server's last answer that reports an error."""
    code = None
    for text in log:
        if found := re.search(r"method \w+ failed: (\d{3})|HTTP error (\d{3})|Server returned (\d{3})", text):
            code = int(next(filter(None, found.groups())))
    return code


def _is_known(error: av.FFmpegError) -> bool:
    known = (
        av.HTTPUnauthorizedError, av.HTTPForbiddenError, av.HTTPNotFoundError, av.FileNotFoundError,
        av.ConnectionRefusedError, av.TimeoutError, av.ExitError,
    )  # fmt: skip
    return isinstance(error, known)


def no_video(container: av.container.InputContainer) -> str:
    """The sentence for a stream without video, which names what it holds instead."""
    kinds = ", ".join(sorted({stream.type for stream in container.streams}))
    return f"it holds no video, only {kinds}" if kinds else "it holds no video"


def ffmpeg_reason(error: av.FFmpegError, took: float, deadline: float) -> str:
    """Why an opening failed after ``took`` seconds. The error's own message may hold a password."""
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return REFUSED
    if isinstance(error, av.HTTPNotFoundError | av.FileNotFoundError):
        return UNKNOWN
    if isinstance(error, av.ConnectionRefusedError):
        return DEAF
    if isinstance(error, av.TimeoutError | av.ExitError) or took >= 0.95 * deadline:
        return no_answer(deadline)
    if isinstance(error, av.InvalidDataError):
        return "what is there is of no kind that FFmpeg knows, or it is damaged"
    return (error.strerror or "unknown error").lower()


def no_answer(seconds: float) -> str:
    """The sentence for a camera that did not answer within the deadline.

    >>> no_answer(2.55004)
    'no answer within 2.6 s; check the address and the network'
    """
    return f"no answer within {round(seconds, 1):g} s; check the address and the network"
