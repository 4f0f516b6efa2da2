"""Channel layers are as clean after a test as before it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from channels.layers import InMemoryChannelLayer, channel_layers

from ..rooms.layers import own_layer

Member = tuple[str, str, str]
"""A channel in a group of a channel layer."""

_lock = threading.Lock()
_users = 0
_before: set[Member] = set()


@contextmanager
def clean_layers() -> Iterator[list[str]]:
    """Empty the layers in memory when the last one leaves.

    What has come into their groups until then is in the list that was yielded.
    """
    global _before, _users
    left: list[str] = []
    with _lock:
        _users += 1
        if _users == 1:
            _before = _members()
    try:
        yield left
    finally:
        with _lock:
            _users -= 1
            if not _users:  # until then, others use the same layers
                left += [
                    f"channel {channel!r} in the group {group!r} of the channel layer {alias!r}"
                    for alias, group, channel in sorted(_members() - _before)
                ]
                _empty()


async def close_pools() -> None:
    """Close the connections that layers have made in this event loop.

    What they keep is in a server, which others may use, and stays there.
    """
    loop = asyncio.get_running_loop()
    for layer in list(channel_layers.backends.values()):
        # channels_redis has one layer inside for each loop, closes all at once, and each one with
        # its loop anyway.
        loops = set(getattr(layer, "_layers", ())) - {loop}
        if hasattr(layer, "close_pools") and not loops:
            await layer.close_pools()


def _in_memory() -> dict[str, Any]:
    layers = {**channel_layers.backends, "of bolt_ws": own_layer()}
    return {
        alias: layer for alias, layer in layers.items() if isinstance(layer, InMemoryChannelLayer)
    }


def _members() -> set[Member]:
    return {
        (alias, group, channel)
        for alias, layer in _in_memory().items()
        for group, channels in layer.groups.items()
        for channel in channels
    }


def _empty() -> None:
    for layer in _in_memory().values():
        layer.channels.clear()
        layer.groups.clear()
