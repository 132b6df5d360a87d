"""Roles: what a client may do, and what each route and each WebSocket message needs. What declares nothing is refused.

A route declares it below the router's decorator::

    @router.get("/api/v1/things")
    @needs(Role.viewer, cameras=Cameras.filtered)
    async def things(request: Request) -> Response:
        shown = [one for one in all_things if identity_of(request.scope).sees(one.camera)]

    @router.put("/api/v1/things")
    @needs(Role.admin, audit="thing changed", fields=("camera",))
    async def put(...): ...

The access middleware finds the declaration of the route that will answer, and refuses the request before the route
sees anything of it. A request that changes something is in the audit log by its declaration alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

_DECLARED = "__needs__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Role(StrEnum):
    """What a user or a token may do."""

    viewer = "viewer"  # sees
    admin = "admin"  # sees and changes everything

    def includes(self, other: Role) -> bool:
        """Whether it may do all that the other one may.

        >>> Role.admin.includes(Role.viewer), Role.viewer.includes(Role.admin)
        (True, False)
        """
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request: a user, a token, or anyone where the page has no log-in."""

    name: str = ""  # "": of a password or a token without a name
    role: Role = Role.admin
    cameras: frozenset[str] | None = None  # None: all, those that are added later too

    def sees(self, camera: str) -> bool:
        """Whether it may see anything of a camera.

        >>> Identity("ann", Role.viewer, frozenset({"door"})).sees("yard")
        False
        """
        return self.cameras is None or camera in self.cameras

    def seen(self, cameras: Iterable[str]) -> list[str]:
        """Those cameras that it may see."""
        return [camera for camera in cameras if self.sees(camera)]


ANYONE = Identity()  # on a page without a log-in


class Cameras(StrEnum):
    """How a route keeps cameras from clients that may not see them."""

    none = "none"  # what it answers is of no camera
    named = "named"  # the parameter `camera` of its path or query names the only one
    filtered = "filtered"  # the route leaves out what ``identity_of(scope)`` does not see
    all = "all"  # only for clients that see all cameras


@dataclass(frozen=True, slots=True)
class Needs:
    """What a client needs for a route or a message."""

    role: Role | None  # None: nothing, not even a log-in
    cameras: Cameras = Cameras.none
    audit: str = ""  # what the audit log calls it; "": it changes nothing
    fields: tuple[str, ...] = ()  # of the JSON body, or the path: what the log says of it ("change.name")

    def allows(self, who: Identity, camera: str | None = None) -> bool:
        """Whether a client may have it. ``camera``: the one that it is about, where it is about one alone."""
        if self.role is None:
            return True
        if not who.role.includes(self.role):
            return False
        if self.cameras is Cameras.all:
            return who.cameras is None
        if self.cameras is Cameras.named:
            return camera is not None and who.sees(camera)
        return True


def needs(
    role: Role, *, cameras: Cameras | None = None, audit: str = "", fields: tuple[str, ...] = ()
) -> Callable[[_Function], _Function]:
    """Declare what a route needs. ``cameras`` has to be given for viewers: admins see all.

    >>> needs(Role.viewer)
    Traceback (most recent call last):
    ...
    TypeError: a route for viewers says how it keeps cameras apart: cameras=...
    """
    if cameras is None:
        if role is not Role.admin:
            raise TypeError("a route for viewers says how it keeps cameras apart: cameras=...")
        cameras = Cameras.none
    return _declare(Needs(role, cameras, audit, fields))


def needs_nothing(audit: str = "") -> Callable[[_Function], _Function]:
    """Declare that a route needs no log-in."""
    return _declare(Needs(None, audit=audit))


def _declare(what: Needs) -> Callable[[_Function], _Function]:
    def keep(function: _Function) -> _Function:
        setattr(function, _DECLARED, what)
        return function

    return keep


def declared(function: Callable[..., Any] | None) -> Needs | None:
    """What a route's function declares; None: nothing, and it is refused."""
    found = getattr(function, _DECLARED, None)
    return found if isinstance(found, Needs) else None


def identity_of(scope: MutableMapping[str, Any]) -> Identity:
    """Who sent a request that the access middleware has let through."""
    who: Identity = scope["identity"]
    return who


def details(needs: Needs, *values: Mapping[str, Any]) -> dict[str, str]:
    """The declared fields, out of a JSON body and a path's parameters: no other field is ever logged.

    >>> wanted = Needs(Role.admin, fields=("camera", "change.name"))
    >>> details(wanted, {"camera": "a", "change": {"password": "x", "name": "b"}})
    {'camera': 'a', 'name': 'b'}
    """
    found = {}
    for field in needs.fields:
        for value in values:
            for key in field.split("."):
                value = value.get(key) if isinstance(value, Mapping) else None  # type: ignore[assignment]
            if value is not None:
                found[field.rpartition(".")[2]] = (
                    ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                )
    return found
