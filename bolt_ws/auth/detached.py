"""Synchronous work for a handshake, of which the connection keeps nothing."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` where Django's synchronous code runs, and return what it returns.

    Django opens its caches once for each task, and a connection is a task: without a context of its
    own, a look into a cache on Redis would leave each WebSocket with a socket to Redis, too.
    """
    result: R = await database_sync_to_async(_detached)(function, *args, **kwargs)
    return result


def _detached(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    return contextvars.copy_context().run(function, *args, **kwargs)
