"""`streamrec access`: users and tokens of the page."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import OUTPUT, complete, option

_WHAT = "What it may do"


class Action(StrEnum):
    """What is done with the file."""

    password = "password"
    add = "add"
    token = "token"
    change = "change"
    remove = "remove"
    list = "list"
    log = "log"


def access(
    file: Annotated[Path, typer.Argument(help="The file to write or add to; only its owner may read it.")],
    action: Annotated[
        Action,
        typer.Argument(
            help="add, change or remove a user or token; a new password; a new token; list them; "
            "log: who changed what.",
            show_default=False,
        ),
    ] = Action.password,
    name: Annotated[
        str,
        typer.Argument(
            help="Of the user or token, or its id. Without a name, a password or token is of an admin.",
            show_default=False,
        ),
    ] = "",
    role: Annotated[
        str | None,
        option(_WHAT, "admin, or viewer: sees, and changes nothing. By default a new user is a viewer."),
    ] = None,
    camera: Annotated[
        list[str] | None,
        option(
            _WHAT,
            "A viewer sees only this camera; may be repeated.",
            autocompletion=complete("cameras"),
        ),
    ] = None,
    all_cameras: Annotated[bool, option(_WHAT, "A viewer sees all cameras.", "--all-cameras")] = False,
    expires: Annotated[
        str | None, option(_WHAT, "When a token ends: 12h, 30d, 2027-01-31 or 2027-01-31T14:30 (local time).")
    ] = None,
    token: Annotated[
        bool,
        typer.Option("--token", help="Add a token for a program, and print it once: as the action token."),
    ] = False,
    limit: Annotated[int, option(OUTPUT, "Number of newest lines of the log.", min=1)] = 50,
    as_json: Annotated[bool, option(OUTPUT, "Print one JSON object a line.", "--json")] = False,
) -> None:
    """Users and tokens of the page, and the log of what they changed.

    Passwords are asked for twice, or read from standard input. Only hashes are stored. A running page takes a change
    over at once, and ends the sessions of users who were removed or changed.

    \b
    Examples:
      streamrec access page.access add ann --role admin
      streamrec access page.access add ben --camera door --camera yard
      streamrec access page.access change ben --all-cameras
      streamrec access page.access password ben
      streamrec access page.access remove ben
      streamrec access page.access token prometheus --role viewer --expires 365d
      streamrec access page.access list
      streamrec access page.access log
      streamrec access page.access
    """
    from streamrec.commands import access_job

    chosen = access_job.Options(
        file=file,
        name=name,
        role=role,
        cameras=camera,
        all_cameras=all_cameras,
        expires=expires,
        limit=limit,
        as_json=as_json,
        ask_password=_ask_password,
    )
    access_job.ACTIONS["token" if token and action is Action.password else action](chosen)


def _ask_password() -> str:
    """A password, asked for twice at a terminal, or the first line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")
