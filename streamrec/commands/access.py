"""`streamrec access`: passwords and tokens of the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.printing import log


def access(
    file: Annotated[Path, typer.Argument(help="The file to write or add to; only its owner may read it.")],
    token: Annotated[
        bool, typer.Option("--token", help="Add a token for a program, and print it once.")
    ] = False,
) -> None:
    """Set the password of the page, or add a token.

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
        log(f"the token, which is shown this once: {made}")
        return
    if sys.stdin.isatty():
        password = typer.prompt("Passpassword", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    add_line(file, hash_password(password))
    log(f"{file}: a password was set")
