"""Reading TOML with one sentence for a mistake: what all files of settings have in common."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from streamrec.core.messages import explain_errors, shortened
from streamrec.core.reading import read_text
from streamrec.errors import SettingsError

DEEPEST = 16  # tables and lists in each other; a file of settings has four
_PARTS = 16  # of a key with dots
_LONGEST = 65_536  # letters of a string: a certificate is shorter
_LONGEST_KEY = 200
_LARGEST = 2**63  # TOML's own limit of a whole number
# The tokens of a TOML file that matter for its depth: strings and comments hide brackets.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[{\]}.,=\n]|[ \t]+'
    r"|[^\[{\]}.,=\n\"'# \t]+|.",
    re.DOTALL,
)


_BETWEEN = frozenset("[]{},=\n")  # keys and numbers


class Reader(Protocol):
    """The reader of cameras.toml, as far as the readers of its tables need it."""

    def switch(self, values: dict[str, Any], key: str, where: str, default: bool) -> bool:
        """A value that is true or false."""

    def check_keys(self, table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
        """Raise ``SettingsError`` for a key that is not known."""

    def wrong(self, where: str, key: str, what: str) -> SettingsError:
        """The error about a key."""


def read_toml(path: Path) -> dict[str, Any]:
    """The values of the file; raises ``SettingsError`` that quotes no value, as one may be a password."""
    return parse_toml(read_text(path), path.name)


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The values of the text; raises ``SettingsError`` that begins with the name.

    It also refuses what TOML allows but no settings need: deep nesting, endless keys, numbers of thousands of digits.
    Each of them could block or crash Python's parser or the code after it.
    """
    check_shape(text, name)
    with explain_errors(name):
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            # The error's own text may quote a character, never a value.
            raise SettingsError(f"{name} is not TOML: {str(error)[:1].lower()}{str(error)[1:]}") from error
        except ValueError:
            raise SettingsError(
                f"{name}: a number of thousands of digits; no setting is such a one"
            ) from None
        _check_values(values, name, ())
        return values


def check_shape(text: str, name: str) -> None:
    """Raise ``SettingsError`` for text that is nested too deeply, in linear time and before any parser reads it."""
    depth = parts = 0  # parts: how many dots the key or number has so far
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            if depth > DEEPEST:
                raise SettingsError(
                    f"{name} is nested too deeply, from line {_line(text, match)} on: "
                    f"settings have {DEEPEST} levels at most"
                )
        elif token in "]}":
            depth = max(0, depth - 1)
        elif token == ".":
            parts += 1
            if parts >= _PARTS:
                raise SettingsError(
                    f"{name}, line {_line(text, match)}: a key of more than {_PARTS} parts; there is none such"
                )
        if token in _BETWEEN:
            parts = 0


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def _check_values(value: Any, name: str, keys: tuple[str, ...]) -> None:
    """Raise ``SettingsError`` for strings, keys and numbers that are larger than any setting."""

    def refuse(what: str) -> SettingsError:
        where = ".".join(shortened(key)[1:-1] for key in keys)
        return SettingsError(f"{name}: {where}: {what}")

    if isinstance(value, dict):
        for key, inside in value.items():
            if len(key) > _LONGEST_KEY:
                raise refuse(f"a key of {len(key)} letters; there is none such")
            _check_values(inside, name, (*keys, key))
    elif isinstance(value, list):
        for number, inside in enumerate(value, 1):
            _check_values(inside, name, (*keys, str(number)))
    elif isinstance(value, str) and len(value) > _LONGEST:
        raise refuse(f"a text of {len(value)} letters; give at most {_LONGEST}")
    elif isinstance(value, int) and abs(value) >= _LARGEST:
        raise refuse("a number that is too large")


def is_name(given: Any, longest: int) -> TypeGuard[str]:
    """Whether this is a printable text that can be a name, of so many letters at most."""
    return isinstance(given, str) and bool(given.strip()) and given.isprintable() and len(given) <= longest


def no_such_key(key: str, known: Sequence[str], *, what: str = "key") -> str:
    """A clause for a key, or another name, that is not known.

    >>> no_such_key("entre", ("enter", "leave"))
    'there is no such key; did you mean enter?'
    """
    near = difflib.get_close_matches(key[:_LONGEST_KEY], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no such {what}; {hint}"
