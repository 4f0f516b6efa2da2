"""Database connections lent to the threads that serve a connection.

A thread has database connections of its own, which is right for a server and wrong for a test,
whose rows stand in a transaction that no other connection sees. Whoever runs an application may
say in `lender` whose connections its threads use instead.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Lender(Protocol):
    """Lends database connections to one thread after the other."""

    def lend(self) -> AbstractContextManager[None]:
        """Return what has the thread use the lender's connections while inside."""

    def pause(self) -> AbstractContextManager[None]:
        """Return what lets other threads use them while inside: this one waits for somebody."""


lender: ContextVar[Lender | None] = ContextVar("lender", default=None)

_NOTHING = nullcontext()


def call_with_lent(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` in this thread, with the connections that are lent to it, if any."""
    lends = lender.get()
    if lends is None:
        return function(*args, **kwargs)
    with lends.lend():
        return function(*args, **kwargs)


def waiting() -> AbstractContextManager[None]:
    """Return what stands around a wait of a thread that serves a connection."""
    lends = lender.get()
    return _NOTHING if lends is None else lends.pause()
