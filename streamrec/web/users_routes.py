"""Routes for admins: users, tokens, and the audit log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from streamrec.errors import SettingsError, need
from streamrec.web.access_control import AccessControl, Refused
from streamrec.web.access_file import adding, edit, removing, replacing_account
from streamrec.web.audit import AuditLog
from streamrec.web.auth import (
    LONGEST,
    LONGEST_NAME,
    MOST_CAMERAS,
    Access,
    Account,
    Kind,
    hash_of,
    new_token,
    new_user,
)
from streamrec.web.roles import Role, needs

need("fastapi", extra="web")

from fastapi import APIRouter, Body, Query  # noqa: E402
from pydantic import BaseModel, Field, StringConstraints  # noqa: E402

from streamrec.web.similar_routes import seconds  # noqa: E402

_VERSION = 1
_NAME = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME)]
_CAMERAS = Annotated[list[Annotated[str, Field(max_length=200)]] | None, Field(max_length=MOST_CAMERAS)]


class AccountJson(BaseModel):
    """A user or a token; its password or token is never returned."""

    kind: str = Field(description="user or token")
    name: str = Field(description="empty: an admin without a name, as `streamrec access FILE` makes it")
    id: str
    role: str = Field(description="admin or viewer")
    cameras: list[str] | None = Field(description="those that it may see; null: all")
    expires: datetime | None = Field(description="of a token; null: never")


class UsersJson(BaseModel):
    """All users and tokens."""

    version: int
    accounts: list[AccountJson]


class UserChange(BaseModel):
    """A new user, or a change of one."""

    name: _NAME
    role: Role
    cameras: _CAMERAS = Field(default=None, description="of a viewer; null: all")
    password: str = Field(
        default="", max_length=LONGEST, repr=False, description="of a user who is changed empty: unchanged"
    )


class NewToken(BaseModel):
    """A new token."""

    name: _NAME
    role: Role
    cameras: _CAMERAS = Field(default=None, description="of a viewer; null: all")
    expires: datetime | None = Field(default=None, description="null: never")


class TokenJson(UsersJson):
    """A new token, which is shown this once."""

    token: str


class RemoveAccount(BaseModel):
    """A user or token to remove."""

    name: str = Field(max_length=LONGEST_NAME, description="its name, or its id")


class AuditLine(BaseModel):
    """A change, or an attempt that was refused."""

    when: datetime
    who: str = Field(description="the user or token; empty: one without a name")
    by: str = Field(
        description="user, token, anyone (a page without a log-in) or command (`streamrec access`)"
    )
    origin: str = Field(alias="from", description="the client's address")
    what: str
    about: dict[str, str]
    done: bool = Field(description="false: it was refused")


class AuditJson(BaseModel):
    """The newest lines of the audit log, newest first."""

    version: int
    lines: list[AuditLine]


def users_routes(control: AccessControl, file: Path, audit: AuditLog) -> APIRouter:
    """Reading and changing the access file."""
    router = APIRouter(tags=["users"])
    changing = asyncio.Lock()  # a hash needs 32 MB

    def shown(access: Access, **more: Any) -> dict[str, Any]:
        return {"version": _VERSION, "accounts": [one.to_dict() for one in access.accounts], **more}

    async def change(make: Callable[[], Callable[[Access], Access]], **more: Any) -> dict[str, Any]:
        """Write a change; the sessions of those that were removed or changed have ended when it is answered."""
        async with changing:
            try:
                access = await asyncio.to_thread(lambda: edit(file, make()))
            except SettingsError as error:
                raise Refused(422, "not_possible", str(error)) from error
            control.change_access(access)
        return shown(access, **more)

    @router.get("/api/v1/users", response_model=UsersJson)
    @needs(Role.admin)
    async def users() -> Any:
        """Users and tokens."""
        return shown(control.access)

    @router.post("/api/v1/users/user", response_model=UsersJson)
    @needs(Role.admin, audit="user added", fields=("name", "role", "cameras"))
    async def add_user(given: Annotated[UserChange, Body()]) -> Any:
        """Add a user."""
        return await change(lambda: adding(new_user(given.name, given.password, given.role, given.cameras)))

    @router.put("/api/v1/users/user", response_model=UsersJson)
    @needs(Role.admin, audit="user changed", fields=("name", "role", "cameras"))
    async def change_user(given: Annotated[UserChange, Body()]) -> Any:
        """Change role, cameras or password of a user; their sessions end."""

        def changed(one: Account) -> Account:
            secret = hash_of(given.password) if given.password else one.secret
            cameras = None if given.cameras is None else frozenset(given.cameras)
            return replace(one, role=given.role, cameras=cameras, secret=secret)

        return await change(lambda: replacing_account(Kind.user, given.name, changed))

    @router.delete("/api/v1/users/user", response_model=UsersJson)
    @needs(Role.admin, audit="user removed", fields=("name",))
    async def remove_user(given: Annotated[RemoveAccount, Body()]) -> Any:
        """Remove a user; their sessions end."""
        return await change(lambda: removing(Kind.user, given.name))

    @router.post("/api/v1/users/token", response_model=TokenJson)
    @needs(Role.admin, audit="token added", fields=("name", "role", "cameras", "expires"))
    async def add_token(given: Annotated[NewToken, Body()]) -> Any:
        """Add a token for a program; it is returned this once."""
        expires = seconds("expires", given.expires)
        if expires is not None and expires <= time.time():
            raise Refused(422, "not_possible", "expires: that is over already")
        try:
            token, account = new_token(given.name, given.role, given.cameras, expires)
        except (SettingsError, ValueError, OverflowError) as error:
            raise Refused(422, "not_possible", str(error)) from error
        return await change(lambda: adding(account), token=token)

    @router.delete("/api/v1/users/token", response_model=UsersJson)
    @needs(Role.admin, audit="token removed", fields=("name",))
    async def remove_token(given: Annotated[RemoveAccount, Body()]) -> Any:
        """Remove a token; what it has open is closed."""
        return await change(lambda: removing(Kind.token, given.name))

    @router.get("/api/v1/audit", response_model=AuditJson)
    @needs(Role.admin)
    async def audit_lines(
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100, before: datetime | None = None
    ) -> Any:
        """The newest lines of the audit log. ``before``: only those that are older."""
        until = seconds("before", before)
        return {
            "version": _VERSION,
            "lines": await asyncio.to_thread(lambda: audit.read(limit, before=until)),
        }

    return router
