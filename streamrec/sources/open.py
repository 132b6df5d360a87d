"""``open_source``: makes a source of an address, a path, a number or an iterable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from streamrec.core.messages import shortened, why
from streamrec.core.reading import path_of
from streamrec.core.redact import redact_address
from streamrec.errors import SettingsError, SourceError
from streamrec.sources.cameras import RETRIES, NetworkSource, WebcamSource
from streamrec.sources.file_bytes import STDIN
from streamrec.sources.files import VIDEO_ENDINGS, FileSource, ImageFolderSource
from streamrec.sources.iterable import IterableSource
from streamrec.sources.microphone import PREFIX, Microphone
from streamrec.sources.mqtt_rows import MqttSource
from streamrec.sources.network_sound import NetworkSound
from streamrec.sources.rows import RowSource
from streamrec.sources.serial_port import SerialSource
from streamrec.sources.sound import SoundSource
from streamrec.sources.sound_files import SOUND_ENDINGS, SoundFileSource, is_sound_file
from streamrec.sources.tables import TableSource, is_table
from streamrec.types import SIGNAL, SOUND, VIDEO, Source

SOUND_MARK = "#sound"  # behind a file or an address: its sound track
_DIGITS = 20  # of a number on the command line: longer ones are refused like these
# Of addresses: the protocols that FFmpeg reads live, and no other.
SCHEMES = frozenset(
    ("rtsp", "rtsps", "rtspt", "rtspu", "rtmp", "rtmps", "rtmpt", "rtmpe", "http", "https", "srt", "udp", "tcp", "rtp",
     "rist", "mms", "mmsh", "mmst")
)  # fmt: skip


def open_source(
    what: Any, *, retries: int | None = RETRIES, size: tuple[int, int] | None = None, sense: str = VIDEO
) -> Source:
    """Return the source that ``what`` names; nothing is read before it is iterated.

    A number or ``/dev/video0`` is a webcam; ``rtsp://``, ``http://`` and the like an address; a path is a video
    file, an image, a pipe (``-`` is standard input), a folder of images, a table of readings (.csv, .csv.gz, .tsv), or
    a sound file (.wav, .flac, .mp3, .ogg ...); ``#sound`` behind a file or an address is its sound track;
    ``mqtt://`` and ``serial:`` give readings as they come, ``mic:`` the sound of a microphone; ``"synthetic"`` is the
    synthetic world (``"synthetic:7"`` with seed 7); any other iterable gives images. ``sense``: of the model. For one
    of a signal a pipe gives lines of readings, and an iterable rows of them; for one of sound files and addresses give
    their sound track, and an iterable blocks of samples. ``retries``: how often a lost live source is opened in a row
    before it is given up; None: for ever. ``size``: width and height where the frames are only for a model of that
    input size: larger ones of a file are decoded straight to it (``Transform.straight``).
    Raises ``SourceError`` for anything else.

    >>> open_source("0")
    <WebcamSource webcam 0>
    >>> open_source("rtsp://me:secret@10.0.0.7/live")
    <NetworkSource rtsp://***@10.0.0.7/live>
    >>> open_source("rtsp://me:secret@10.0.0.7/live#sound")
    <NetworkSound rtsp://***@10.0.0.7/live>
    """
    if isinstance(what, Source):
        return what
    if sense == SIGNAL and (signal := _signal_of(what)) is not None:
        return signal
    if (sound := _sound_of(what, retries, by_model=sense == SOUND)) is not None:
        return sound
    if isinstance(what, bool) or what is None:
        raise SourceError(f"{what} is no source; pass a webcam number, a path, an address or pictures")
    if isinstance(what, int):
        if what < 0:
            raise SourceError(f"there is no webcam {what}: the first is 0")
        return WebcamSource(what, retries=retries)
    if isinstance(what, Path):
        return _from_path(what, retries, size)
    if isinstance(what, str):
        return _from_text(what, retries, size)
    if isinstance(what, np.ndarray) and (what.ndim < 3 or (what.ndim == 3 and what.shape[2] in (1, 3, 4))):
        raise SourceError(f"an array of shape {what.shape} is one picture; pass an iterable of pictures")
    if isinstance(what, Iterable) and not isinstance(what, bytes | bytearray | type):
        return IterableSource(what)
    raise SourceError(
        f"{type(what).__name__} is no source; pass a webcam number, a path, an address or an iterable of pictures"
    )


def _signal_of(what: Any) -> Source | None:
    """The source of readings where that depends on the model: lines of a pipe, rows of an iterable; None: another."""
    if isinstance(what, str) and what.strip() in STDIN:
        return TableSource(what.strip())
    if isinstance(what, Path) and what.is_fifo():
        return TableSource(what)
    if isinstance(what, Iterable) and not isinstance(what, str | bytes | bytearray | type | Path):
        return RowSource(what)
    return None


def _sound_of(what: Any, retries: int | None, *, by_model: bool) -> Source | None:
    """The source of sound that ``what`` names; None: it is another one. ``by_model``: one of sound will take it."""
    if isinstance(what, str | Path):
        named, text = without_sound(str(what))
        called = _ends_as(text, SOUND_ENDINGS) if "://" in text else is_sound_file(text)
        wanted = named or called or (by_model and not is_table(text))
        return _sound_from(text, retries) if wanted else None
    if not by_model:
        return None
    if isinstance(what, int) and not isinstance(what, bool):
        raise SourceError(_NO_WEBCAM_SOUND.format(f"webcam {what}"))
    if isinstance(what, Iterable) and not isinstance(what, bytes | bytearray | type | np.ndarray):
        return SoundSource(what)
    return None


_NO_WEBCAM_SOUND = "{} gives pictures alone: the sound beside it is that of a microphone, mic:"


def without_sound(text: str) -> tuple[bool, str]:
    """Whether a source is named with ``#sound`` behind it, and its name without; a file that is called so is that file.

    >>> without_sound("party.mp4#sound"), without_sound("rtsp://10.0.0.7/live")
    ((True, 'party.mp4'), (False, 'rtsp://10.0.0.7/live'))
    """
    plain = text.removesuffix(SOUND_MARK)
    if plain == text or ("://" not in text and Path(text).exists()):
        return False, text
    return True, plain


def sound_address(what: str) -> str:
    """How the sound beside the pictures of a source is named; raises ``SourceError`` where there is none.

    >>> sound_address("rtsp://10.0.0.7/live"), sound_address("0")
    ('rtsp://10.0.0.7/live#sound', 'mic:')
    """
    text = what.strip()
    if is_webcam(text):
        return f"{PREFIX}:"
    named = text.partition(":")[0] in SOURCES
    if text in STDIN or named or is_table(text) or Path(text).is_dir():
        raise SourceError(
            f"{shortened(text)} has no sound of its own: name one, like the address mic: or that of a camera"
        )
    return f"{text}{SOUND_MARK}"


def _sound_from(text: str, retries: int | None) -> Source:
    """The sound of a file, an address or a microphone."""
    text = text.strip()
    if text.partition(":")[0] == PREFIX:
        return Microphone(text, retries=retries)
    if is_webcam(text):
        raise SourceError(_NO_WEBCAM_SOUND.format(f"webcam {text}" if text.isdecimal() else text))
    if "://" in text and not text.startswith("file://"):
        check_address(text)
        scheme = text.partition("://")[0].lower()
        file = scheme in ("http", "https") and _ends_as(text, (*VIDEO_ENDINGS, *SOUND_ENDINGS))
        return SoundFileSource(text) if file else NetworkSound(text, retries=retries)
    if text.partition(":")[0] in SOURCES:
        raise SourceError(
            f"{shortened(text)} has no sound: give a sound file, a video, a camera's address or mic:"
        )
    return _at_path(text, SoundFileSource)


def recording(path: Path, *, size: tuple[int, int] | None = None, sense: str = VIDEO) -> Source:
    """A recording on the disk; raises ``SourceError``.

    ``sense``: of the model: for one of sound it is a sound file or the sound track of a video, else by its name a table
    of readings, or a video.
    """
    if sense == SOUND:
        return SoundFileSource(path)
    return TableSource(path) if is_table(path) else FileSource(path, size=size)


def file_of(what: Any) -> Path | None:
    """The file or folder that ``open_source`` would read; None where it is none: a camera, an address, a microphone.

    >>> file_of("file:///films/party.mp4"), file_of("rtsp://10.0.0.7/live"), file_of("0")
    (PosixPath('/films/party.mp4'), None, None)
    """
    if isinstance(what, Path):
        return what
    what = without_sound(what)[1] if isinstance(what, str) else what
    if not isinstance(what, str) or re.fullmatch(r"\s*\d*\s*", what) or what.partition(":")[0] in SOURCES:
        return None
    if what.startswith("file://"):
        return Path(what.removeprefix("file://"))
    return None if "://" in what else Path(what)


def is_webcam(what: str) -> bool:
    """Whether ``open_source`` would open a webcam.

    >>> is_webcam("0"), is_webcam("/dev/video1"), is_webcam("party.mp4")
    (True, True, False)
    """
    text = what.strip()
    return bool(re.fullmatch(r"\d+", text)) or text.startswith("/dev/video")


def is_camera_address(what: str) -> bool:
    """Whether ``open_source`` would open an address that is not called like a video file.

    >>> is_camera_address("rtsp://10.0.0.7/live"), is_camera_address("https://example.org/party.mp4")
    (True, False)
    """
    scheme, separator, rest = what.partition("://")
    scheme = scheme.lower()
    return (
        bool(separator and rest.strip("/"))
        and scheme in SCHEMES
        and not (scheme in ("http", "https") and _ends_as_video(what))
    )


def _from_text(text: str, retries: int | None, size: tuple[int, int] | None) -> Source:
    if not text.strip():
        raise SourceError("no source was named; pass a webcam number, a path or an address")
    if re.fullmatch(r"\d+", text.strip()):
        return WebcamSource(int(text.strip()[:_DIGITS]), retries=retries)
    if text.partition(":")[0] in SOURCES:
        return SOURCES[text.partition(":")[0]](text, retries=retries)
    if "://" in text and not text.startswith("file://"):
        check_address(text)
        if text.partition("://")[0].lower() in ("http", "https"):
            # A camera, unless its server shows that it is a file.
            video_file = partial(FileSource, text, size=size)
            return NetworkSource(text, retries=retries, video_file=video_file, ask=_ends_as_video(text))
        return NetworkSource(text, retries=retries)
    if text.startswith("/dev/video"):
        return WebcamSource(text, retries=retries)
    return _at_path(text, lambda path: _from_path(path, retries, size))


def check_address(text: str) -> None:
    """Raise ``SourceError`` for an address of a protocol that is not read live, or without a host."""
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in SCHEMES or not rest.strip("/"):
        raise SourceError(
            f"{redact_address(text)} cannot be watched: give an address that begins with rtsp://, rtsps://, "
            "rtmp://, http://, https://, srt:// or udp:// and names a host"
        )


def _at_path(text: str, source: Callable[[Path], Source]) -> Source:
    """The source of a path, or of a file:// address; raises ``SourceError`` where it is none."""
    if text.startswith("file://"):
        path = Path(text.removeprefix("file://"))
        return source(path if path.exists() else Path(unquote(str(path))))
    try:
        return source(path_of(text))
    except SettingsError as error:  # no valid path
        raise SourceError(str(error)) from error
    except OSError as error:  # a name that is too long, or a folder without the right to enter it
        raise SourceError(f"{shortened(text)} cannot be opened: {why(error)}") from error


def _ends_as_video(address: str) -> bool:
    return _ends_as(address, VIDEO_ENDINGS)


def _ends_as(address: str, endings: tuple[str, ...]) -> bool:
    return re.split(r"[?#]", address, maxsplit=1)[0].lower().endswith(endings)


def _from_path(path: Path, retries: int | None, size: tuple[int, int] | None) -> Source:
    if path.is_dir():
        return ImageFolderSource(path)
    if is_table(path):
        return TableSource(path)
    if path.is_char_device() and str(path) not in STDIN:
        return WebcamSource(str(path), retries=retries)  # a device file by another name
    return FileSource(path, size=size, pipes=True)


def _synthetic(text: str, *, retries: int | None) -> Source:
    from streamrec.sources.synthetic import World, WorldSettings

    seed = text.partition(":")[2] or "0"
    if not seed.isdecimal() or len(seed) >= _DIGITS:
        raise SourceError(
            f"{text!r}: the synthetic world is 'synthetic' or 'synthetic:SEED', SEED a whole number"
        )
    return World(WorldSettings(seed=int(seed), width=640, height=480))


# Sources that are called by a name, with options after a colon: name -> what makes one of the text and ``retries``.
# A new source is a file in this folder and a line here.
SOURCES: dict[str, Callable[..., Source]] = {
    PREFIX: Microphone,
    "mqtt": MqttSource,
    "mqtts": MqttSource,
    "serial": SerialSource,
    "synthetic": _synthetic,
}
