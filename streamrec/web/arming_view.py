"""What of the state of arming a client may see."""

from __future__ import annotations

from typing import Any

from streamrec.web.roles import Identity


def arming_for(who: Identity, status: dict[str, Any]) -> dict[str, Any]:
    """The status without the cameras that a client does not see; what profiles arm may name them too.

    >>> night = {"name": "night", "armed": ["fall on door"]}
    >>> status = {"profiles": [night], "snoozes": [], "cameras": [{"name": "door"}]}
    >>> from streamrec.web.roles import Role
    >>> arming_for(Identity("ann", Role.viewer, frozenset({"yard"})), status)
    {'profiles': [{'name': 'night', 'armed': None}], 'snoozes': [], 'cameras': []}
    """
    if who.cameras is None:
        return status
    return {
        **status,
        "profiles": [{"name": one["name"], "armed": None} for one in status["profiles"]],
        "snoozes": [one for one in status["snoozes"] if who.sees(one["camera"])],
        "cameras": [one for one in status["cameras"] if who.sees(one["name"])],
    }
