"""What a server process holds: the leaks would be in here."""

import asyncio
import gc
import os
from collections import Counter

WATCHED = (
    "bolt_ws.daphne",
    "daphne",
    "twisted",
    "autobahn",
    "websockets",
    "asyncio",
    "_asyncio",
    "socket",
    "_socket",
    "ssl",
    "_ssl",
    "OpenSSL",
)
"""Modules, each with all below it, whose objects are counted."""


def counts() -> dict[str, int]:
    """Count file descriptors, tasks, timers, Daphne's connections and, by type, objects."""
    # Only Daphne is asked for these, and uvicorn needs no reactor.
    from daphne.server import Server
    from twisted.internet.base import DelayedCall

    gc.collect()
    found: Counter[str] = Counter()
    found["file descriptors"] = len(os.listdir("/proc/self/fd"))
    found["tasks"] = len(asyncio.all_tasks())
    # Cancelled ones hold nothing, and the loop drops them when it comes to it. uvloop has no list.
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", ())
    found["timers"] = sum(not handle.cancelled() for handle in scheduled)
    for each in gc.get_objects():
        kind = type(each)  # and no isinstance(), which would wake lazy objects
        module = kind.__module__
        if not isinstance(module, str) or not module.startswith(WATCHED):
            continue
        if kind is DelayedCall and not each.active():
            continue  # Twisted, too, drops a cancelled one when it comes to it
        if kind in (asyncio.Handle, asyncio.TimerHandle):
            continue  # they come and go, and those that stay are counted above
        found[f"{module}.{kind.__qualname__}"] += 1
        if issubclass(kind, Server):
            found["connections"] += len(each.connections)
    return dict(found)
