"""`streamrec access`: who may see the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def access(
    file: Annotated[Path, typer.Argument(help="The file to write or add to; nobody else may read it.")],
    token: Annotated[
        bool, typer.Option("--token", help="Add a token for programs, and say it once.")
    ] = False,
) -> None:
    """Make the file that says who may look at the page: a password, or a token for programs.

    The password is asked for twice, or read from standard input. Only hashes are stored.

    \b
    Examples:
      streamrec access page.access
      streamrec access page.access --token
    """
    from streamrec.web.auth import add_line, hash_password, make_token

    if token:
        made, line = make_token()
        add_line(file, line)
        typer.echo(f"the token, which is shown this once: {made}", err=True)
        return
    if sys.stdin.isatty():
        word = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        word = sys.stdin.readline().rstrip("\r\n")
    add_line(file, hash_password(word))
    typer.echo(f"{file}: a password was set", err=True)
