"""Masking secrets: of an address only what is known to be harmless is shown.

There is no complete list of words for "password", so the list is of harmless parts: scheme, host and port, query
values that choose a stream, and parts of a path that are words of cameras, or too short and plain to be a key. To
mask too much costs the reader a word; to mask too little gives a camera away.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, TextIO
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from streamrec.core.address import Address, is_certain, is_ip, split_address, split_at_last

MASK = "***"
SHORTEST = 4  # letters of a secret that is masked within words; a shorter one only as a word of its own
_SHORTEST_ALONE = 2
_SHORTEST_TOKEN = 12  # letters of a login without a password that is a token, and no user's name
_LONGEST_WORD = 48  # letters of a run that is split into known words

# Names of query values that choose a stream and its form; any other value may be a secret.
_HARMLESS_NAMES = """
    action frame proto src videocodectype
    audio cam camera cameraid ch channel channelid channelno chn codec compression enableaudio enablesrtp fps
    framerate h26x height id idc ids inst latency line mode profile quality rate resolution size stream
    streamtype subtype track trackid transport transportmode type unicast videocodec width
"""
HARMLESS = frozenset(_HARMLESS_NAMES.split())
# Words in paths of cameras, also several joined ("realmonitor").
_PATH_WORDS = """
    access admin alarm amp api app array asf asp aspx audio av avi avstream axis back backyard barn basement
    bcs bin blue bus cam camera cameras cams cat cctv cgi ch channel channels chn client clip clips codec
    color control corridor current data day dc default demo device digest dir door driveway dual dvr east
    enable encoder entrance entry event events ext fast faststream feed fhd film floor flv footage frame front
    full g711 g726 garage garden gate get group h26x hall hallway hd hdr hevc high hls home hosted http https
    id image images img index indoor input ip ipc ipcam isapi jpeg jpg kamera kitchen left line live living
    lobby local low main major media mediainput medium mic mid middle minor mjpeg mjpg mkv mobile mobotix
    monitor mono mov movie mp2t mp4 mpeg mpeg2 mpeg4 mpegts mpg msp multi multicast music night north nph nvc
    nvr office onvif out outdoor output park parking path pc picture pictures play playback player playlist
    porch port preview primary profile profiles proxy psia pub public push quality raw real realtime rear rec
    record recording resolution right room rotate rtmp rtp rtsp rtsps safety sd sdp second server shop shot
    side single sitting slow small smp snap snapshot sound source south srt srtp stair stairs standard store
    stream streamer streaming streams street sub substream tcp television test third top track tracks
    transport tunnel tv ucast udp unicast upstairs vga video videoinput videos view wall web webcam webm west
    wide window yard zoom
"""
_WORDS = _PATH_WORDS.split()
_PICTURE = r"[hx]26[45]|m3u8|\d{2,4}x\d{2,4}|\d{3,4}p|[48]k"
# Words of two letters occur in any text: they count only alone, or beside digits.
_KNOWN = re.compile(
    rf"(?:(?:{'|'.join(sorted((word for word in _WORDS if len(word) > 2), key=len, reverse=True))}"
    rf"|{_PICTURE}|(?<!\d)\d{{1,4}}(?!\d))+"
    rf"|\d{{0,4}}(?:{'|'.join(word for word in _WORDS if len(word) == 2)}|[a-z])?\d{{0,4}})",
    re.IGNORECASE,
)
# The part of a path after one of these is its value.
_SECRET_NAMES = """
    access apikey auth code jwt k key live2 login p pass passphrase passwd password private pw pwd s secret
    session share sid sig signature streamkey t ticket token user username usr
"""
_HOLD_SECRETS = frozenset(_SECRET_NAMES.split())
_HOOKS = ("hook", "hooks", "webhook", "webhooks")  # all that follows is the authorization
_PLAIN = re.compile(r"[A-Za-z][\w.-]{0,23}")
_WORDLIKE = re.compile(r"(?P<letters>[^\W\d_]{1,11})\d{0,3}")
_SPLIT = re.compile(r"([&;,?#])")
_SPLIT_PATH = re.compile(r"([&;,]|_(?=[A-Za-z]+=))")  # "/user=me_password=..._channel=1"
# Letters, and those that often follow them in European languages; a random key has others.
_FOLLOWERS = """
    abcdeghiklmnpqrstuvy babeilorsuy cacehiklortuy dadeilorstu eabcdefghilmnprstuvwx faefhilortu gaeghilnorsu
    haeilmnortuy iabcdefghklmnoprstuvz jaeou kaeilnorsuy labcdefgiklmopstuvyz mabeimopsuy nacdefghiklnostuvyz
    oabcdefghiklmnoprstuvwy paefhiloprstuy qu rabcdefghiklmnoprstuvwyz sacehiklmnopstuwy tacehilmorstuwyz
    uabcdeghilmnprst vaeio waehinos xipt yaeos zaeiouwz
"""
_FOLLOW = {letters[0]: frozenset(letters[1:]) for letters in _FOLLOWERS.split()}

_HEAD = r"(?:[A-Za-z][A-Za-z0-9+.-]*://|(?<![\w.])(?:rtsps?|rtmp[a-z]*|https?|srt|udp|tcp|ftps?|mqtts?):/)"
_ADDRESS = re.compile(rf"{_HEAD}[^\s\"'<>`\x1b]+(?:(?<=\S)(?:[ ]+\w+=[^\s\"'<>`\x1b]+)+)?", re.IGNORECASE)
_END = re.compile(r"[.,:;!?)\]}\\]+$")  # punctuation of the sentence, not of the address
_FILE = r"[\w.-]+\.(?:avi|csv|db|jpe?g|jsonl?|m4v|mkv|mov|mp4|mpe?g|onnx|png|safetensors|toml|ts|webm|wmv)\b"
_LOGIN = re.compile(rf"(?:(?<![^\s\"'(<\[{{=,|])|(?<=//))[^\s/@:\"'<>(\[]+:\S+@(?!{_FILE})(?=[\w\[*])")
_QUOTED = re.compile(
    r"\b([A-Za-z][A-Za-z0-9+.-]*%3A(?:%2F)+)[^\s\"'<>`&]+", re.IGNORECASE
)  # an address in a query
_HEADER = re.compile(r"(authorization\W{1,4}\w+\s+)[^\r\n]+", re.IGNORECASE)
# Addresses without a scheme: "10.0.0.7:554/live", "cam/live?token=abc", "me@10.0.0.7/live".
_BARE_IN_TEXT = re.compile(
    r"(?<![^\s\"'(<\[{=,|])(?:[^\s\"'<>`@/]+@)?(?P<host>\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?![\w.])|[\w.-]+:\d{2,5}(?=[/?#]))"
    r"[^\s\"'<>`]*|[^\s\"'<>`]+\?[\w.-]+=[^\s\"'<>`]*"
)
_BARE = re.compile(
    rf"(?!.*@{_FILE}$)(?P<login>[^\s@]*:[^@]*@(?:.*@)?|[^\s@/]+@(?=[^/@]*[/:]|\d+\.\d+\.\d+\.\d+$))?"
    r"(?P<place>(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::\d+)?)(?P<rest>(?:[/?#].*)?)",
    re.DOTALL,
)


class _Mask:
    """Masks secrets, and collects them."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def __call__(self, secret: str) -> str:
        if not secret or secret == MASK:
            return secret
        self.found.append(secret)
        return MASK

    def login(self, login: str) -> str:
        """Mask a login; a user's name alone is not collected, for it may be a common word; a token is."""
        if login.isalpha() and len(login) < _SHORTEST_TOKEN:
            return MASK
        return self(login)


def redact_address(address: str) -> str:
    """The address for display: scheme, host, port, and the harmless parts of the rest.

    The login, every query value but those of harmless names, and random parts of the path are masked.

    >>> redact_address("rtsp://admin:s3cret@10.0.0.7:554/live?token=abc&channel=1")
    'rtsp://***@10.0.0.7:554/live?token=***&channel=1'
    >>> redact_address("rtsps://10.0.0.1:7441/aB3dE5gH7jK9mN1p?enableSrtp")
    'rtsps://10.0.0.1:7441/***?enableSrtp'
    >>> redact_address("admin:s3cret@10.0.0.7/live")
    '***@10.0.0.7/live'
    >>> redact_address("garden.mp4")
    'garden.mp4'
    """
    return _address(address, _Mask())


def secrets_of(address: str) -> tuple[str, ...]:
    """The secrets that ``redact_address`` masks, for ``redact`` to find them in other texts.

    >>> secrets_of("rtsp://admin:s3cret@10.0.0.7/live?token=abcd&channel=1")
    ('admin:s3cret', 's3cret', 'abcd')
    """
    mask = _Mask()
    _address(address, mask)
    found: list[str] = []
    for secret in mask.found:
        _, colon, password = secret.partition(":")
        if colon:
            found += [secret, password]
        elif not is_known(secret):  # masking every "live" would garble messages
            found.append(secret)
        if "=" in secret:
            pieces = re.split(r"[&;,=]", secret)
            found += [piece for piece in pieces if len(piece) >= SHORTEST and not is_known(piece)]
    return tuple(dict.fromkeys(one for one in found if len(one) >= _SHORTEST_ALONE))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every address as ``redact_address`` returns it, and all ``secrets`` masked.

    Secrets are found as they are, URL-quoted and unquoted, and as JSON, HTML and ``repr`` write them.

    >>> redact("cannot open rtsp://me:pw@host/x: s3cret is wrong", ["s3cret"])
    'cannot open rtsp://***@host/x: *** is wrong'
    >>> redact("it was p%40ss and p@ss", ["p@ss"])
    'it was *** and ***'
    """
    pattern = _pattern(frozenset(secrets))
    if pattern is not None:
        text = pattern.sub(MASK, text)
    if not re.search(r"[:@?%]|\d\.\d", text):
        return text
    text = _HEADER.sub(rf"\1{MASK}", _QUOTED.sub(rf"\1{MASK}", text))
    return "".join(_addresses(text))


class RedactingStream:
    """A text stream that redacts every ``write``; all else is the stream's own."""

    def __init__(self, stream: TextIO, secrets: Iterable[str]) -> None:
        self._stream = stream
        self.secrets = tuple(secrets)  # for a writer that uses the descriptor directly

    def write(self, text: str) -> int:
        """Write the text without the secrets; returns the length of ``text``."""
        self._stream.write(redact(text, self.secrets))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line without the secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_record(record: logging.LogRecord) -> bool:
    """Redact the message, the arguments and the traceback of a log record; True: a filter that passes it on."""
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):  # logging would write it with all its arguments
        text = f"{record.msg!r} {record.args!r}"
    record.msg, record.args = redact(text), None
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        record.exc_info = None  # exc_text is kept; formatting it anew would show the secrets
    return True


def is_known(word: str) -> bool:
    """Whether a word consists of words of camera paths and short numbers.

    >>> [is_known(word) for word in ("h264Preview_01_main", "axis-media", "hunter2")]
    [True, True, False]
    """
    return all(map(_run_is_known, _runs(word)))


def is_random(word: str) -> bool:
    """Whether a word seems to be a random key, and no name.

    >>> [is_random(word) for word in ("Streaming", "h264Preview_01_main", "Hof2-hinten")]
    [False, False, False]
    >>> [is_random(word) for word in ("live_4711_aZ3kQ9xW1mB7tR5y", "abcd-efgh-ijkl-mnop", "kzxvwqpmbtrhslgd")]
    [True, True, True]
    """
    unknown = [run for run in _runs(word) if not _run_is_known(run)]
    joined = "".join(unknown)
    if len(joined) >= 16 or any(len(run) >= 12 for run in unknown):
        return True
    if len(unknown) >= 3 and len({len(run) for run in unknown}) == 1 and len(unknown[0]) >= 4:
        return True  # a key in groups of one length
    if any(run.isdigit() and len(run) >= 8 for run in unknown):
        return True
    odd = "".join(run for run in unknown if not _is_wordlike(run))
    mixed = any(c.isdigit() for c in odd) and any(c.isalpha() for c in odd)
    return len(odd) >= (6 if mixed else 7) and not odd.isdigit()


def _runs(word: str) -> list[str]:
    return [run for run in re.split(r"[\W_]+", unquote(word)) if run]


def _run_is_known(run: str) -> bool:
    return len(run) <= _LONGEST_WORD and _KNOWN.fullmatch(run) is not None


def _is_wordlike(run: str) -> bool:
    """Whether it can be pronounced, with at most a short number behind it."""
    found = _WORDLIKE.fullmatch(run)
    if found is None:
        return False
    letters = found["letters"]
    if not letters.isascii() or len(letters) <= 3:
        return True
    turns = sum(a.islower() != b.islower() for a, b in pairwise(letters[1:]))
    letters = letters.lower()
    vowels = sum(letter in "aeiouy" for letter in letters) / len(letters)
    rare = sum(after not in _FOLLOW.get(letter, "") for letter, after in pairwise(letters))
    return turns <= 2 and 0.15 <= vowels <= 0.8 and rare <= len(letters) // 8


# -- addresses


def _address(text: str, mask: _Mask) -> str:
    parts = split_address(text)
    if parts is None:
        return _without_scheme(text, mask)
    if "@" in parts.rest and ":" in parts.place and not is_ip(parts.host):
        # A password with a slash, or a path with an @: both are masked.
        parts = split_at_last(parts.scheme, text[len(parts.scheme) :])
    return "".join(_parts(parts, mask))


def _parts(parts: Address, mask: _Mask) -> Iterator[str]:
    yield parts.scheme
    if parts.login is not None:
        yield f"{mask.login(parts.login)}@"
    shown = parts.is_place or is_ip(parts.place)
    yield parts.place if shown else mask(parts.place)
    rest, blank, words = _cut(parts.rest, r"\s")
    path, sign, query = _cut(rest, r"[?#]")
    kind = parts.scheme.partition(":")[0].lower()
    yield _path(path, mask, stream_key=kind.startswith("rtmp"))
    yield sign + _pairs(query, mask)
    if words or blank:  # parameters of RTMP: playpath=... token=...
        yield blank
        yield "".join(
            word if word.isspace() else _pairs(word, mask) for word in re.split(r"(\s+)", words) if word
        )


def _cut(text: str, at: str) -> tuple[str, str, str]:
    found = re.search(at, text)
    return (text, "", "") if found is None else (text[: found.start()], found.group(), text[found.end() :])


def _without_scheme(text: str, mask: _Mask) -> str:
    """A file, a device, or an address without its scheme."""
    if "://" in text:  # an address within something else
        return "".join(
            piece if not n % 2 else _address(piece, mask)
            for n, piece in enumerate(re.split(rf"({_HEAD}.*)", text, maxsplit=1, flags=re.DOTALL))
        )
    found = _BARE.fullmatch(text)
    if found is None:
        return _LOGIN.sub(lambda login: f"{mask(login.group()[:-1])}@", text)
    login, place, rest = found["login"] or "", found["place"], found["rest"]
    path, sign, query = _cut(rest, r"[?#]")
    at_number = re.search(r":\d+$", place) or is_ip(place.strip("[]"))
    if not (login or at_number or (sign == "?" and "=" in query)):
        return text
    shown = f"{mask.login(login[:-1])}@" if login else ""
    return f"{shown}{place}{_path(path, mask)}{sign}{_pairs(query, mask)}"


def _path(path: str, mask: _Mask, *, stream_key: bool = False) -> str:
    parts, held, hooked = path.split("/"), False, False
    last = max((n for n, part in enumerate(parts) if part), default=0)
    shown = []
    for n, part in enumerate(parts):
        hidden = held or hooked or (stream_key and n == last)
        plain = unquote(part)
        if "@" in plain or (held and not is_known(part)):
            shown.append(mask(part))
        elif re.search(r"[=;,&]", part):
            shown.append(_pairs(part, mask, _SPLIT_PATH))
        elif ":" in plain or hidden:
            shown.append(part if is_known(part) else mask(part))
        else:
            shown.append(mask(part) if is_random(part) else part)
        # "/token/abc/"; and a value with a slash in it: "/user=me_password=a/b_channel=1"
        hooked = hooked or plain.lower() in _HOOKS
        held = plain.lower() in _HOLD_SECRETS or (held and not part) or shown[-1].endswith(f"={MASK}")
    return "/".join(shown)


def _pairs(text: str, mask: _Mask, at: re.Pattern[str] = _SPLIT) -> str:
    """Mask pairs of names and values, and words without a name."""
    return "".join(
        piece if n % 2 else _pair(piece, mask) if "=" in piece else _word(piece, mask)
        for n, piece in enumerate(at.split(text))
    )


def _word(word: str, mask: _Mask) -> str:
    """Mask a word without a name: ``?enableSrtp`` stays, a key does not."""
    return "/".join(
        part if is_known(part) and "@" not in unquote(part) else mask(part) for part in word.split("/")
    )


def _pair(pair: str, mask: _Mask) -> str:
    name, _, value = pair.partition("=")
    plain = unquote(name).strip("_")
    # "?aGVsbG8gd29ybGQ=" is a key, and no name.
    key = is_random(name) and (not value or re.search(r"\d", name))
    shown = name if _PLAIN.fullmatch(plain) and not key else mask(name)
    if plain.lower().replace("-", "").replace("_", "") in HARMLESS and _is_harmless(value):
        return f"{shown}={value}"
    return f"{shown}={mask(value)}"


def _is_harmless(value: str) -> bool:
    plain = unquote(value)
    if not re.fullmatch(r"[\w.,:x*-]{0,24}", plain):
        return False
    return all(
        _run_is_known(run)
        or (run.isdigit() and len(run) <= 6)
        or (run.isalpha() and len(run) <= 10 and _is_wordlike(run))
        for run in _runs(value)
    )


# -- texts


def _addresses(text: str) -> Iterator[str]:
    """The text in pieces, each address in it masked."""
    at = 0
    while found := _ADDRESS.search(text, at):
        start, end = found.span()
        parts = split_address(found.group())
        open_place = parts is not None and ":" in parts.place and not (is_certain(parts) and parts.port)
        if open_place or re.match(r"[\"'<>`][^\s:]*@", text[end : end + 100]):
            # Perhaps the password has a blank or a quote in it: its end is the last "@" of the line.
            line = re.search(r"\n|://|$", text[end:])
            assert line is not None
            last = text.rfind("@", end, end + line.start())
            if last >= 0:
                more = re.match(r"[^\s\"'<>`]*", text[last:])
                end = last + (more.end() if more else 1)
        address = text[start:end]
        tail = _END.search(address)
        keep = len(address) - len(tail.group()) if tail else len(address)
        yield _logins(text[at:start])
        yield redact_address(address[:keep])
        yield address[keep:]
        at = end
    yield _logins(text[at:])


def _logins(text: str) -> str:
    """Mask addresses without a scheme: ``user:password@host``, ``10.0.0.7/live?token=abc``."""
    text = _LOGIN.sub(f"{MASK}@", text) if "@" in text else text
    return _BARE_IN_TEXT.sub(_bare_in_text, text)


def _bare_in_text(found: re.Match[str]) -> str:
    word = found.group()
    tail = _END.search(word)
    keep = len(word) - len(tail.group()) if tail else len(word)
    if found["host"] is None and re.fullmatch(
        rf"[^@]*{_FILE}", word[:keep]
    ):  # a file's name may have a "?" in it
        return word
    return _without_scheme(word[:keep], _Mask()) + word[keep:]


@lru_cache(maxsize=64)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """A pattern of all secrets, the longest first; None: there are none."""
    forms = {form for secret in secrets for form in _forms(secret)}
    anywhere = [form for form in forms if len(form) >= SHORTEST]
    alone = [form for form in forms if _SHORTEST_ALONE <= len(form) < SHORTEST and not form.isdigit()]
    words = [(form, re.escape(form)) for form in anywhere]
    words += [(form, rf"(?<!\w){re.escape(form)}(?!\w)") for form in alone]
    words.sort(key=lambda word: (-len(word[0]), word[0]))
    return re.compile("|".join(pattern for _, pattern in words)) if words else None


def _forms(secret: str) -> set[str]:
    """The forms of a secret: as it is, quoted, unquoted, and escaped as in JSON, HTML and Python."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    forms = set(plain)
    for one in plain:
        every = quote(one, safe="", errors="replace")
        forms |= {every, quote(one, errors="replace"), quote_plus(one, errors="replace")}
        forms |= {re.sub(r"%[0-9A-F]{2}", lambda code: code.group().lower(), every)}
        forms |= {one.replace("%", "%25"), one.replace(" ", "%20"), one.replace("@", "%40")}
        forms |= {json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1], repr(one)[1:-1]}
        forms |= {html.escape(one), html.escape(one, quote=False)}
        if ":" in one:  # a login, as "Authorization: Basic" has it
            forms.add(base64.b64encode(one.encode("utf-8", "replace")).decode())
    return {form for form in forms if form and form.strip("*")}
