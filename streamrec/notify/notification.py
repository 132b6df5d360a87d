"""A notification for people: title, text, link and picture of a message in the outbox."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from streamrec.core.text import printable
from streamrec.outputs.history.records import Kind

_MOST_TITLE, _MOST_TEXT = 150, 1500  # characters
_MOST_NAMED = 5  # kinds of events that a summary names


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What people get of one message. Texts hold no control characters, except that ``text`` has ends of lines."""

    event: str  # the event's id: the same in all messages about it
    kind: Kind
    label: str
    title: str
    text: str
    link: str = ""  # opens the event on the page; "": its address is not configured
    picture: bytes | None = None  # JPEG


def link_to(public_url: str, event: str) -> str:
    """The address that opens an event on the page; "" where the page's own address is not configured.

    >>> link_to("https://cameras.example.org/", "01a21858f5c0-b2f2cb5b")
    'https://cameras.example.org/#/events/01a21858f5c0-b2f2cb5b'
    """
    return f"{public_url.rstrip('/')}/#/events/{quote(event, safe='')}" if public_url else ""


def extended(body: str, public_url: str, picture: bytes | None) -> str:
    """The JSON of an announcement with a link to its event and with its picture, where there is one."""
    if not public_url and picture is None:
        return body
    values = json.loads(body)
    if public_url:
        values["link"] = link_to(public_url, values["data"]["id"])
    if picture is not None:
        values["picture"] = {"type": "image/jpeg", "data": base64.b64encode(picture).decode()}
    return json.dumps(values, ensure_ascii=False)


def notification_of(
    body: dict[str, Any],
    *,
    public_url: str = "",
    picture: bytes | None = None,
    held: Iterable[dict[str, Any]] = (),
) -> Notification:
    """Of the JSON of an announcement; ``held``: those that were held back before it, to be summed up."""
    data, kind = body["data"], Kind(body["event"])
    facts = [datetime.fromisoformat(data["started"]).astimezone().strftime("%H:%M:%S")]
    if kind is Kind.started and not data.get("rule"):
        facts.append(f"{data['confidence']:.0%}".replace("%", " %"))
    if data.get("forecast"):
        found = data["forecast"]
        facts.append(f"{found['reading']:.4g}, forecast {found['expected']:.4g}")
    if data.get("zone"):
        facts.append(str(data["zone"]))
    if data.get("duration") is not None:
        facts.append(f"{data['duration']:.1f} s")
    if data.get("repetitions"):
        facts.append(f"{data['repetitions']} ×")
    if kind is Kind.evidence:
        facts.append("the video is there")
    if data.get("judgment"):
        facts.append(f"second opinion: {data['judgment']}")
    lines = [" · ".join(map(printable, facts)), *_opinion(data), *_summary(held)]
    return Notification(
        event=str(data["id"]),
        kind=kind,
        label=str(data["label"]),
        title=printable(f"{data['label']} · {data['camera']}")[:_MOST_TITLE],
        text="\n".join(lines)[:_MOST_TEXT],
        link=link_to(public_url, str(data["id"])),
        picture=picture,
    )


def _opinion(data: dict[str, Any]) -> list[str]:
    """The second opinion, in one line; none where there is none."""
    judgment, text = data.get("judgment"), str(data.get("opinion") or "")
    if judgment is None:
        return []
    line = f"Second opinion: {'none' if judgment == 'unjudged' else judgment}"
    return [printable(f"{line}. {text}" if text else line)]


def _summary(held: Iterable[dict[str, Any]]) -> list[str]:
    """What was held back, in one line; none where nothing was."""
    found = Counter((str(one["data"]["label"]), str(one["data"]["camera"])) for one in held)
    if not found:
        return []
    named = [f"{label} · {camera} {count} ×" for (label, camera), count in found.most_common(_MOST_NAMED)]
    more = f" and {len(found) - _MOST_NAMED} more kinds" if len(found) > _MOST_NAMED else ""
    total = sum(found.values())
    return [printable(f"{total} event{'' if total == 1 else 's'} held back before: {', '.join(named)}{more}")]
