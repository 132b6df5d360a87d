"""XML of devices that are not trusted: no document type, no entities, a size; texts are cut and made printable.

The only module that imports defusedxml (``pip install 'streamrec[discover]'``).
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from streamrec.core.text import printable
from streamrec.errors import SourceError, need

MOST_XML = 256 * 1024  # bytes of one document
_LONGEST = 200  # characters of a text that is shown

__all__ = ["Element", "attribute", "children", "escape", "first", "need_parser", "parse", "text_of"]


def need_parser() -> None:
    """Raise ``MissingExtra`` where XML cannot be read; ask before a search, in which each answer were unreadable."""
    need("defusedxml", extra="discover")


def parse(data: bytes) -> Element:
    """The root of a document; raises ``SourceError``.

    >>> parse(b"<a><b>1</b></a>").tag
    'a'
    >>> parse(b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>')
    Traceback (most recent call last):
    ...
    streamrec.errors.SourceError: its answer is no plain XML
    """
    need("defusedxml", extra="discover")

    import defusedxml.ElementTree
    from defusedxml.common import DefusedXmlException

    if len(data) > MOST_XML:
        raise SourceError("its answer is too long")
    try:
        root: Element = defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise SourceError("its answer is no plain XML") from error
    return root


def children(element: Element, name: str) -> Iterator[Element]:
    """All elements below with this name, in whatever namespace."""
    return (one for one in element.iter() if isinstance(one.tag, str) and one.tag.rpartition("}")[2] == name)


def first(element: Element | None, *names: str) -> Element | None:
    """The first element along a path of names, each anywhere below the one before."""
    for name in names:
        element = (
            None
            if element is None
            else next((one for one in children(element, name) if one is not element), None)
        )
    return element


def text_of(element: Element | None, *names: str, longest: int = _LONGEST) -> str:
    """The text of the first element along a path of names, printable and cut; "" where there is none."""
    found = first(element, *names)
    return "" if found is None else printable((found.text or "").strip())[:longest]


def attribute(element: Element, name: str) -> str:
    """An attribute, printable and cut."""
    return printable(element.get(name, ""))[:_LONGEST]
