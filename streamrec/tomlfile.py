"""Reading TOML, with mistakes told in words: what all files of settings have in common."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamrec.errors import SettingsError


def read_toml(path: Path) -> dict[str, Any]:
    """What the file says; raises ``SettingsError`` that quotes no value: one may be a password."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path.name} is not written in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        # The error's own text may quote a character, never a value.
        raise SettingsError(f"{path.name} is not TOML: {str(error)[:1].lower()}{str(error)[1:]}") from error


def no_such_key(key: str, known: Sequence[str]) -> str:
    """What is said of a key that is not known.

    >>> no_such_key("entre", ("enter", "leave"))
    'there is no such key; did you mean enter?'
    """
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no such key; {hint}"
