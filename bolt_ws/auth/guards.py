"""Guards: conditions on a connection that must hold before it is accepted."""

from __future__ import annotations

import abc
from collections.abc import Awaitable

from ..handshake import Handshake
from .backends import nonblocking


class Guard(abc.ABC):
    """A condition. Subclass it and write `has_permission`, sync or async."""

    @abc.abstractmethod
    def has_permission(self, websocket: Handshake) -> bool | Awaitable[bool]:
        """Tell whether the connection may be accepted. An exception refuses it too."""


class AllowAny(Guard):
    """Everybody, anonymous clients included; a bad credential is refused all the same."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Allow."""
        return True


class IsAuthenticated(Guard):
    """Whoever has a valid credential."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.user_id`."""
        return websocket.context["user_id"] is not None


class IsStaff(Guard):
    """Users with `is_staff`, who may enter Django's admin."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.is_staff`."""
        context = websocket.context
        return context.user_id is not None and context.is_staff is True


class IsAdminUser(Guard):
    """Users with `is_superuser`."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.is_superuser`."""
        context = websocket.context
        return context.user_id is not None and context.is_superuser is True


class HasAllPermissions(Guard):
    """Users with each of the permissions; superusers have all, as everywhere in Django."""

    def __init__(self, *permissions: str) -> None:
        if not permissions or not all(isinstance(each, str) and each for each in permissions):
            raise ValueError(
                f"{type(self).__name__} takes permissions as text, 'app.codename', "
                f"but got {permissions!r}"
            )
        self.permissions = frozenset(permissions)

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.permissions`."""
        context = websocket.context
        if context["user_id"] is None:
            return False
        return context["is_superuser"] is True or self._are_enough(context["permissions"])

    def _are_enough(self, permissions: frozenset[str]) -> bool:
        return self.permissions <= permissions


class HasAnyPermission(HasAllPermissions):
    """Users with at least one of the permissions."""

    def _are_enough(self, permissions: frozenset[str]) -> bool:
        return not self.permissions.isdisjoint(permissions)


class HasPermission(HasAllPermissions):
    """Users with the permission."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
