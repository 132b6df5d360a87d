"""The classes of the program and of its commands: help in groups, numbers that are numbers, a `--web` alone."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_LARGEST = 1e9  # of any number of an option


def check_numbers(context: Any) -> None:
    """Raise ``typer.BadParameter`` for NaN, which passes every check of a range, and infinity, which passes many."""
    parameter: Any
    for parameter in context.command.params:
        value = context.params.get(parameter.name)
        limit = _LARGEST if isinstance(value, float) else 2.0**63
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not -limit <= value <= limit:  # NaN fails both
            raise typer.BadParameter(f"{value} is no number that can be used", context, parameter)


class Program(TyperGroup):
    """A group whose help lists its commands under headings, by their ``rich_help_panel``."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Commands under their headings, in the order in which they were registered."""
        panels: dict[str, list[tuple[str, Any]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                panels.setdefault(panel, []).append((name, command))
        widest = max(len(name) for rows in panels.values() for name, _ in rows)
        room = formatter.width - 6 - widest
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(
                    [(name.ljust(widest), command.get_short_help_str(room)) for name, command in rows]
                )


class Command(TyperCommand):
    """A command that refuses NaN and endless numbers, and lists its options under headings."""

    def invoke(self, ctx: Any) -> Any:
        """Check the numbers, then run."""
        check_numbers(ctx)
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments first, then options under the headings that ``rich_help_panel`` names, --help last."""
        panels: dict[str, list[tuple[str, str]]] = {}
        last = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            panel = getattr(parameter, "rich_help_panel", None)
            if panel is None and parameter.param_type_name == "option" and parameter.name == "help":
                last.append(record)
                continue
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panels.setdefault(panel or kind, []).append(record)
        if last:
            panels.setdefault("Other" if len(panels) > 2 else "Options", []).extend(last)
        for name, records in panels.items():
            with formatter.section(name):
                formatter.write_dl(records)


class CommandWithPage(Command):
    """A command whose ``--web`` may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a ``--web`` that stands alone the usual address."""
        for n, word in enumerate(args):
            if word == "--":
                break
            if word == "--web" and not re.fullmatch(
                r"(\[[\da-fA-F:.]+\]|[\w.-]*):\d+", "".join(args[n + 1 : n + 2])
            ):
                args = [*args[:n], "--web=127.0.0.1:8765", *args[n + 1 :]]
        return super().parse_args(ctx, args)
