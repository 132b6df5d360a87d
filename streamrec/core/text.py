"""Preparing text of unknown origin for a terminal or an overlay."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

# Control characters, surrogates (bytes that are no text), direction marks, and line separators.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp"})
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufefc"  # Hebrew, Arabic and their relatives
_RUNS = re.compile(rf"[{_RIGHT_TO_LEFT}]+(?:\s+[{_RIGHT_TO_LEFT}]+)*|[^{_RIGHT_TO_LEFT}]+")
_JOINERS = "\u200c\u200d\ufe0f"  # hold emoji and some scripts together


def printable(text: str) -> str:
    r"""The text with all characters escaped that control a terminal: for names of files, labels, cameras.

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


def slug(name: str) -> str:
    """A name, safe as a part of a file name.

    >>> slug("Hof, hinten/../x")
    'Hof_hinten_x'
    """
    return re.sub(r"[^\w]+", "_", name).strip("_")[:40] or "_"


def spelled(text: str, is_drawn: Callable[[str], bool]) -> str:
    """The text with the names of characters that cannot be drawn, so that labels stay distinct.

    >>> spelled("\N{PARTY POPPER} fest", str.isascii), spelled("\N{DEVANAGARI LETTER NA}", str.isascii)
    ('(party popper) fest', 'na')
    """
    parts = [letter if is_drawn(letter) else _spelled(letter) for letter in text]
    return " ".join("".join(parts).replace(")(", ") (").split())


def _spelled(letter: str) -> str:
    kind, name = unicodedata.category(letter), unicodedata.name(letter, "")
    if letter in _JOINERS or kind == "Cf" or name.startswith("EMOJI MODIFIER"):
        return ""
    if kind.startswith("Z"):
        return " "
    if kind.startswith(("L", "M")):
        found = re.search(r"(?:LETTER|SYLLABLE|CHARACTER|VOWEL SIGN) (?:SMALL )?([A-Z]+)", name)
        if found is not None:
            return found[1].lower()
        if kind.startswith("M"):
            return ""
    if kind.startswith("N") and (digit := unicodedata.decimal(letter, None)) is not None:
        return str(digit)
    return f"({name.lower()})" if name and kind.startswith(("S", "P")) else f"(U+{ord(letter):04X})"


def in_visual_order(text: str) -> str:
    """Text in the order in which it is drawn from left to right: runs of right-to-left scripts are reversed.

    For a renderer without bidirectional text; words of Latin letters and numbers stay as they are.

    >>> ascii(in_visual_order("\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET} 12"))
    "'12 \\\\u05d1\\\\u05d0'"
    """
    kinds = [unicodedata.bidirectional(letter) for letter in text]
    strong = [kind for kind in kinds if kind in ("L", "R", "AL")]
    if "R" not in strong and "AL" not in strong:
        return text
    runs = [found.group() for found in _RUNS.finditer(text)]
    turned = [run[::-1] if unicodedata.bidirectional(run[0]) in ("R", "AL") else run for run in runs]
    if strong[0] == "L":
        return "".join(turned)
    return "".join(
        run if unicodedata.bidirectional(run[-1]) in ("R", "AL") else _outside_in(run)
        for run in reversed(turned)
    )


def _outside_in(run: str) -> str:
    """A run of another direction in text from right to left: the spaces around it change sides."""
    inner = run.strip()
    start = run.index(inner) if inner else len(run)
    return run[start + len(inner) :] + inner + run[:start]
