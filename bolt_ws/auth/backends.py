"""What an authentication backend is."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from channels.db import database_sync_to_async

from ..context import Identity
from ..handshake import Handshake

if TYPE_CHECKING:
    from .sources import Source

_Method = TypeVar("_Method", bound=Callable[..., Any])


def nonblocking(method: _Method) -> _Method:
    """Mark a plain method as one that never blocks, so that it needs no thread.

    An unmarked `authenticate` or `has_permission` that is no coroutine function may query the
    database, and runs where Django's synchronous code runs. A method that overrides a marked one
    is not marked.
    """
    method.nonblocking = True  # type: ignore[attr-defined]
    return method


def unblocked(method: Callable[[Handshake], Any]) -> Callable[[Handshake], Any]:
    """Return an `authenticate` or a `has_permission`, made to run where it blocks nobody.

    What it returns is for `resolved`.
    """
    if inspect.iscoroutinefunction(method) or getattr(method, "nonblocking", False):
        return method
    in_thread: Callable[[Handshake], Awaitable[Any]] = database_sync_to_async(method)
    return in_thread


async def resolved(answer: Any) -> Any:
    """Return what `answer` comes to: a plain method may return an awaitable too."""
    while inspect.isawaitable(answer):
        answer = await answer
    return answer


class Authentication(abc.ABC):
    """Finds out who connects. Subclass it and write `authenticate`, sync or async."""

    taken: frozenset[str] = frozenset()
    """Query parameters that the backend takes away; no handler can ask for them."""
    sources: Sequence[Source] = ()
    """Places that it takes credentials from; what logs show of them is redacted."""

    @property
    def is_ambient(self) -> bool:
        """Whether a browser may send the credential by itself, as it does cookies.

        Then any page could use it, and the `Origin` header alone tells the pages apart. A backend
        that reads cookies must say so: else it finds none where nothing but "*" covers the page. Of
        whom it finds, `Identity.is_ambient` says how.
        """
        return False

    @property
    def shared_caches(self) -> tuple[str, ...]:
        """Aliases of the caches that all processes must share for the backend to work."""
        return ()

    @abc.abstractmethod
    def authenticate(self, websocket: Handshake) -> Identity | Awaitable[Identity | None] | None:
        """Return who connects, or None if there is no credential of this backend's kind.

        Raises `AuthenticationFailed` if there is one, and it is bad.
        """

    def discard_credentials(self, websocket: Handshake) -> None:
        """Take this backend's credentials out of the handshake, for it may not have been asked."""
        for name in self.taken:
            websocket.take_query_param(name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # whatever keys the backend holds stay out of logs
