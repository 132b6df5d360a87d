"""Docstrings as the reference shows them: a field's comment is its description, an example that runs is code."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.MULTILINE)  # up to the next empty line


class Fields(griffe.Extension):
    """Lists the fields of a class with the comments beside or above them, and marks examples as code."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each thing that is read from the source."""
        if obj.docstring is not None:
            obj.docstring.value = with_code(obj.docstring.value)

    def on_class_members(self, *, node: Any, cls: griffe.Class, **_: Any) -> None:
        """Called for each class when all that is in it was read."""
        if cls.docstring is None or not isinstance(node, ast.ClassDef):
            return
        lines = cls.lines_collection[cls.filepath]
        fields = [
            f"    {line.target.id}: {comment_of(lines, line.lineno, line.end_lineno or line.lineno)}"
            for line in node.body
            if isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and line.target.id[0] != "_"
        ]
        if fields:
            cls.docstring.value += "\n\nAttributes:\n" + "\n".join(fields)


def with_code(text: str) -> str:
    """The docstring with its examples fenced."""
    return EXAMPLE.sub(lambda example: f"\n```pycon\n{example[0]}\n```\n", text)


def comment_of(lines: list[str], first: int, last: int) -> str:
    """The comment within these lines, counted from 1, or on lines of its own right above; "" where there is none."""
    text = "\n".join(line.strip() for line in lines[first - 1 : last])
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    words = [token.string for token in tokens if token.type == tokenize.COMMENT]
    above = first - 1
    while not words and above and lines[above - 1].lstrip().startswith("#"):
        above -= 1
    words = words or lines[above : first - 1]
    comment = " ".join(word.strip().removeprefix("#").strip() for word in words)
    if not comment or comment.startswith(("noqa", "type:")):
        return ""
    return comment[0].upper() + comment[1:] + ("" if comment.endswith((".", ":")) else ".")
