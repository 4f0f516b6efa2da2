"""What an authentication backend is."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar

from ..context import Identity
from ..handshake import Handshake

_Method = TypeVar("_Method", bound=Callable[..., Any])


def nonblocking(method: _Method) -> _Method:
    """Mark a plain method as one that never blocks, so that it needs no thread.

    An unmarked `authenticate` or `has_permission` that is no coroutine function may query the
    database, and runs where Django's synchronous code runs. A method that overrides a marked one
    is not marked.
    """
    method.nonblocking = True  # type: ignore[attr-defined]
    return method


class Authentication(abc.ABC):
    """Finds out who connects. Subclass it and write `authenticate`, sync or async."""

    taken: ClassVar[frozenset[str]] = frozenset()
    """Query parameters that the backend takes away; no handler can ask for them."""

    @abc.abstractmethod
    def authenticate(self, websocket: Handshake) -> Identity | Awaitable[Identity | None] | None:
        """Return who connects, or None if there is no credential of this backend's kind.

        Raises `AuthenticationFailed` if there is one, and it is bad.
        """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # whatever keys the backend holds stay out of logs
