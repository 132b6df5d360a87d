"""Texts with placeholders such as ``{camera}``, which an event fills in: escaped for the place where they stand.

There is no expression and no format in a placeholder, so that a text of an event can only be a value.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from streamrec.errors import SinkError

# A placeholder, and what it stands for.
PLACEHOLDERS = {
    "camera": "the camera, by the name that ``camera_names`` gives it",
    "label": "what was recognized",
    "state": "started or ended",
    "model": "which model recognized it",
    "zone": "the zone in which it began",
    "rule": "the rule that reports it",
    "person": "the person's number",
    "id": "the event's id, the same at its start and its end",
    "confidence": "from 0 to 1",
    "started": "ISO 8601, UTC",
    "ended": "ISO 8601, UTC; nothing while it runs",
    "duration": "seconds; 0 while it runs",
    "secret": "of ``secret`` or ``secret_file``",
}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# An escape is given a value and the template before its place.
Escape = Callable[[str, str], str]


def check_template(template: str, key: str) -> None:
    """Raise ``SinkError`` for a placeholder that is none.

    >>> check_template("{camra}", "body")
    Traceback (most recent call last):
    ...
    streamrec.errors.SinkError: body: there is no {camra}; there are {camera}, {label}, {state}, {model}, {zone}, \
{rule}, {person}, {id}, {confidence}, {started}, {ended}, {duration}, {secret}
    """
    for name in _PLACEHOLDER.findall(template):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise SinkError(f"{key}: there is no {{{name}}}; there are {known}")


def values_of(body: Mapping[str, Any], *, camera: str = "", secret: str = "") -> dict[str, str]:
    """What the placeholders stand for, from the JSON of an announcement; ``camera`` in place of its own name."""
    data = body["data"]
    values = {
        name: "" if data.get(name) is None else str(data[name]) for name in PLACEHOLDERS if name in data
    }
    values |= {"state": str(body["event"]), "secret": secret, "duration": str(data.get("duration") or 0)}
    if camera:
        values["camera"] = camera
    return values


def fill(template: str, values: Mapping[str, str], escape: Escape) -> str:
    """The template with each placeholder replaced by its escaped value, once: values are not filled in again.

    >>> fill("{camera}: {label}", {"camera": "{label}", "label": "a b"}, in_url)
    '%7Blabel%7D: a%20b'
    """
    return _PLACEHOLDER.sub(lambda found: escape(values[found[1]], template[: found.start()]), template)


def in_url(value: str, before: str) -> str:
    """A value in a path or a query: it stays one part of it. In a JSON string of a query it is escaped as such too.

    >>> in_url("../a?b", "/x/"), in_url("..", "/x/"), in_url('a"b', '/?data={"name":"')
    ('..%2Fa%3Fb', '__', 'a%5C%22b')
    """
    query = before.rpartition("&")[2] if "?" in before else ""
    if query.replace("%22", '"').count('"') % 2:
        value = _json(value)
    if value in (".", "..") and "?" not in before:  # a server would go up a folder
        value = "_" * len(value)
    return quote(value, safe="", errors="replace")


def in_header(value: str, before: str) -> str:
    """A value in a header: one line.

    >>> in_header("a" + chr(13) + chr(10) + "X-Evil: b", "")
    'a X-Evil: b'
    """
    return _CONTROL.sub(" ", value).encode("utf-8", "replace").decode("latin-1")


def as_text(value: str, before: str) -> str:
    """A value in plain text, without control characters."""
    return _CONTROL.sub(" ", value)


def escape_for(content_type: str) -> Escape:
    """How values are escaped in a body of this type.

    >>> escape_for("application/json")('say "x"', ""), escape_for("text/xml")("<a>", "")
    ('say \\\\"x\\\\"', '&lt;a&gt;')
    >>> escape_for("application/x-www-form-urlencoded")("a&b=c d", "")
    'a%26b%3Dc+d'
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("json"):
        return lambda value, before: _json(value)
    if kind == "application/x-www-form-urlencoded":
        return lambda value, before: quote_plus(value, errors="replace")
    if kind.endswith(("xml", "html")):
        return lambda value, before: html.escape(as_text(value, before))
    return as_text


def _json(value: str) -> str:
    """A value within the quotes of a JSON string."""
    return json.dumps(value)[1:-1]
