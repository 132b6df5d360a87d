"""Text that somebody else wrote, before a person or a terminal reads it."""

from __future__ import annotations

import unicodedata

# Control characters, surrogates (bytes that are no text), what turns the direction of writing, and line ends.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp"})
_JOINERS = "\u200c\u200d\ufe0f"  # hold emoji and some scripts together


def printable(text: str) -> str:
    r"""The text with everything escaped that a terminal would obey and not show: names of files, labels, cameras.

    >>> printable("caf\udce9 \x1b[2J red\u202e.mp4")
    'caf\\xe9 \\x1b[2J red\\u202e.mp4'
    >>> printable("玄関 é 🎉")
    '玄関 é 🎉'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE or character in _JOINERS:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
