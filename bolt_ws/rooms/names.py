"""The names of rooms, and the groups of the channel layer that they are."""

from __future__ import annotations

import hashlib
from typing import Final

from channels.layers import BaseChannelLayer

from ..context import user_text

MAX_LENGTH: Final = 200
"""Characters of a room's name."""
RESERVED: Final = "bolt_ws."
"""What the groups begin with that are no room's own name."""
SHARED: Final = "bolt_ws.shared"
"""The group of all processes: what is for a user, a path or an endpoint goes through it."""


def group_of(name: str) -> str:
    """Return the group of the channel layer that a room is.

    A name that Channels allows is the group's name. Raises `TypeError` and `ValueError` for a name
    that no room can have.
    """
    if not isinstance(name, str):
        raise TypeError(f"a room's name is text, not {name!r}")
    if not 0 < len(name) <= MAX_LENGTH:
        raise ValueError(f"a room's name has 1 to {MAX_LENGTH} characters, and not {len(name)}")
    if _is_allowed(name) and not name.startswith(RESERVED):
        return name
    # Lone surrogates have no UTF-8, and are different all the same.
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{RESERVED}room.{digest}"


def _is_allowed(name: str) -> bool:
    is_short = len(name) < BaseChannelLayer.MAX_NAME_LENGTH
    return is_short and BaseChannelLayer.group_name_regex.match(name) is not None


def user_key(user_id: object) -> str:
    """Return what names all connections of a user. Raises `TypeError` for what is no user's id."""
    return f"user:{user_text(user_id)}"


def endpoint_key(endpoint: str) -> str:
    """Return what names all connections of an endpoint."""
    return f"endpoint:{endpoint}"


def path_key(endpoint: str, path: str) -> str:
    """Return what names the connections of an endpoint at one path.

    The path is the client's. No endpoint has a NUL, so none of its paths is another endpoint's.
    """
    return f"path:{endpoint}\0{path.lstrip('/')}"  # slashes in front are one, as the router has it
