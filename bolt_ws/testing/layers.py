"""Channel layers that are each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from channels.layers import InMemoryChannelLayer, channel_layers

Layers = dict[str, Any]


@contextmanager
def clean_layers() -> Iterator[Layers]:
    """Have the channel layers made anew inside, and yield those that are made."""
    made: Layers = {}
    before, channel_layers.backends = channel_layers.backends, made
    try:
        yield made
    finally:
        channel_layers.backends = before


async def end_layers(made: Layers) -> list[str]:
    """Close the connections of `made` in this event loop, and return what is left in them.

    The groups of in-memory layers are looked at. What another layer keeps is in a server, which
    others may use, and stays there.
    """
    left = []
    for alias, layer in made.items():
        if isinstance(layer, InMemoryChannelLayer):
            left += _groups_in(alias, layer)
        elif hasattr(layer, "close_pools"):  # of channels_redis: they belong to this loop
            await layer.close_pools()
    return left


def _groups_in(alias: str, layer: Any) -> list[str]:
    return [
        f"channel {channel!r} in the group {group!r} of the channel layer {alias!r}"
        for group, members in layer.groups.items()
        for channel in members
    ]
