"""Secrets are not shown: of an address, what is known to be harmless is shown, and everything else is masked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

MASK = "***"

# Names of query values that tell which picture is asked for, and how; any other value may be a secret.
HARMLESS = frozenset(
    [
        "camera",
        "cam",
        "channel",
        "channelno",
        "ch",
        "chn",
        "codec",
        "compression",
        "enablesrtp",
        "fps",
        "framerate",
        "height",
        "id",
        "profile",
        "quality",
        "rate",
        "resolution",
        "size",
        "stream",
        "streamtype",
        "subtype",
        "track",
        "trackid",
        "transport",
        "transportmode",
        "type",
        "unicast",
        "videocodec",
        "width",
    ]
)
_PAIR = re.compile(r"(?P<name>[\w.-]*?)=(?P<value>.*?)(?=_[A-Za-z]+=|[&;#?/]|$)", re.DOTALL)
_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>`]+")
_USER = re.compile(r"^((?:[a-zA-Z]+:/+)?)[^/@\s]*:[^\s]*@")
_HARMLESS_VALUE = re.compile(r"[\w.,:x-]{0,24}")


def redact_address(address: str) -> str:
    """The address as it may be shown: scheme, host, port, and what is known to be harmless of the rest.

    The user's part, every query value but those of harmless names, and parts of the path that look random are masked.

    >>> redact_address("rtsp://admin:s3cret@10.0.0.7:554/live?token=abc&channel=1")
    'rtsp://***@10.0.0.7:554/live?token=***&channel=1'
    >>> redact_address("rtsps://10.0.0.1:7441/aB3dE5gH7jK9mN1p?enableSrtp")
    'rtsps://10.0.0.1:7441/***?enableSrtp'
    >>> redact_address("admin:s3cret@10.0.0.7/live")
    '***@10.0.0.7/live'
    >>> redact_address("garden.mp4")
    'garden.mp4'
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return _USER.sub(rf"\1{MASK}@", address)
    # The last "@" ends the user's part: a password may itself hold "@", "/" or "?".
    end = rest.rfind("@")
    user, rest = (f"{MASK}@", rest[end + 1 :]) if end >= 0 else ("", rest)
    cut = re.search(r"[/?#]", rest)
    host, rest = (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")
    cut = re.search(r"[?#]", rest)
    path, query = (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")
    return scheme + separator + user + host + "/".join(map(_part, path.split("/"))) + _query(query)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """A text in which every address is as ``redact_address`` shows it, and every one of ``secrets`` is masked.

    >>> redact("cannot open rtsp://me:pw@host/x: s3cret is wrong", ["s3cret"])
    'cannot open rtsp://***@host/x: *** is wrong'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _ADDRESS.sub(lambda found: redact_address(found.group()), text)


def _part(part: str) -> str:
    """A part of a path."""
    if "=" in part:
        return _PAIR.sub(_pair, part)
    return MASK if looks_random(part) else part


def _query(query: str) -> str:
    """What follows the path, with its ``?`` or ``#``."""
    return "".join(
        word
        if word in "?&;#"
        else _PAIR.sub(_pair, word)
        if "=" in word
        else MASK
        if looks_random(word)
        else word
        for word in re.split(r"([?&;#])", query)
    )


def _pair(pair: re.Match[str]) -> str:
    name, value = pair["name"], pair["value"]
    harmless = (
        name.lower().lstrip("_") in HARMLESS and _HARMLESS_VALUE.fullmatch(value) and not looks_random(value)
    )
    return f"{name}={value if harmless else MASK if value else ''}"


def looks_random(word: str) -> bool:
    """Whether a word looks as if a machine had drawn it: a key, not a name.

    >>> [looks_random(word) for word in ("Streaming", "h264Preview_01_main")]
    [False, False]
    >>> [looks_random(word) for word in ("live_4711_aZ3kQ9xW1mB7tR5y", "abcd-efgh-ijkl-mnop")]
    [True, True]
    """
    runs = [run for run in re.split(r"[^A-Za-z0-9]+", word) if run]
    joined = "".join(runs)
    if len(runs) >= 4 and len({len(run) for run in runs}) == 1 and len(runs[0]) >= 4:
        return True  # a key in groups of one length
    if len(joined) >= 16 and re.fullmatch(r"[0-9a-fA-F]+", joined) and re.search(r"\d", joined):
        return True  # hexadecimal, a UUID
    for run in runs:
        digits, letters = sum(c.isdigit() for c in run), sum(c.isalpha() for c in run)
        turns = sum(a.isupper() != b.isupper() for a, b in pairwise(run) if (a + b).isalpha())
        if len(run) >= 12 and digits >= 1 and letters >= 1:
            return True
        if len(run) >= 12 and (digits == len(run) or turns >= 5):
            return True
        if len(run) >= 32:
            return True
    return False
