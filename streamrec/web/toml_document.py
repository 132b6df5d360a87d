"""A TOML file as a document that can be changed: comments and order stay as they are.

The only module that imports tomlkit (``pip install 'streamrec[web]'``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamrec.errors import SettingsError, need
from streamrec.settings.toml import check_shape

need("tomlkit", extra="web")

import tomlkit  # noqa: E402
import tomlkit.items  # noqa: E402
from tomlkit.exceptions import TOMLKitError  # noqa: E402


def parsed(text: str) -> Any:
    """The document of a text; raises ``SettingsError``."""
    check_shape(text, "the file")
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise SettingsError("the file is not TOML at the moment: mend it by hand first") from error


def dumps(document: Any) -> str:
    """The text of a document."""
    return tomlkit.dumps(document)


def table(*, header: bool = True) -> Any:
    """A new table; without ``header`` only the tables in it are written."""
    return tomlkit.table(is_super_table=not header)


def tables() -> Any:
    """A new list of tables, each with a header like ``[[camera]]``."""
    return tomlkit.aot()


def inline(values: Mapping[str, Any]) -> Any:
    """A new table in one line."""
    made = tomlkit.inline_table()
    made.update(values)
    return made


def is_in_line(one: Any) -> bool:
    """Whether a table, or a list of them, is written in one line, and not with headers."""
    return isinstance(one, tomlkit.items.InlineTable | tomlkit.items.Array)


def find(document: Any, name: str, kind: str = "camera") -> Any:
    """The table of this name in a list of tables; raises ``SettingsError``."""
    for one in document.get(kind, []):
        if one.get("name") == name:
            return one
    raise SettingsError(f"there is no {kind} {name!r} in the file")


def append(document: Any, kind: str, one: Any) -> None:
    """Add a table to a list of tables, which is made where there is none."""
    if kind not in document:
        document.append(kind, tables())
    document[kind].append(one)


def set_value(one: Any, key: str, value: Any) -> None:
    """Set a key where it differs; None: remove it."""
    if value is None:
        if key in one:
            del one[key]
    elif key not in one or one[key] != value:
        one[key] = value


def texts(document: Any) -> set[str]:
    """All strings of a document."""
    if isinstance(document, Mapping):
        return set().union(*map(texts, document.values()))
    if isinstance(document, list):
        return set().union(*map(texts, document))
    return {str(document)} if isinstance(document, str) else set()
