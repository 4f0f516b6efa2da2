"""The project's channel layer, and what channel layers do differently, in one place."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
import time
from typing import Any, Final

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.core.exceptions import ImproperlyConfigured

from ..conf import get_settings

Layer = Any
"""A channel layer: Channels has no types."""

PREFIX: Final = "bolt_ws"
"""What the names of our channels begin with, where a layer lets us choose."""
CAPACITY: Final = 10_000
"""Messages that may wait for this process. Channels has 100 for all of its channels together, and
loses what is more without a word."""
SLOTS: Final = 32
"""Calls of the layer at once: redis-py refuses the 101st connection of a pool."""

_OURS: Final = re.compile(rf".*{PREFIX}\.")
_EXAMPLE: Final = f"{PREFIX}.0!0"
_own_layer: InMemoryChannelLayer | None = None
_prepared: list[Layer] = [None]
"""The layer that was looked at last."""


def get_layer() -> Layer:
    """Return the project's channel layer, or one in memory where it has none.

    Raises `ImproperlyConfigured` for one that is not there, or has no groups.
    """
    alias = get_settings().channel_layer
    layer = get_channel_layer(alias)
    if layer is None:
        if alias != DEFAULT_CHANNEL_LAYER:
            raise ImproperlyConfigured(
                f"settings.BOLT_WS['CHANNEL_LAYER'] is {alias!r}, and settings.CHANNEL_LAYERS has "
                "no such layer"
            )
        layer = own_layer()
    if layer is not _prepared[0]:
        if "groups" not in getattr(type(layer), "extensions", ("groups",)):
            raise ImproperlyConfigured(f"the channel layer {alias!r} has no groups, for rooms")
        _provide_capacity(layer)
        _prepared[0] = layer
    return layer


def own_layer() -> InMemoryChannelLayer:
    """Return the layer of a project that has none."""
    global _own_layer
    if _own_layer is None:
        _own_layer = InMemoryChannelLayer()
    return _own_layer


def is_local(layer: Layer) -> bool:
    """Tell whether a layer ends at this process."""
    return isinstance(layer, InMemoryChannelLayer)


def is_redis_core(layer: Layer) -> bool:
    """Tell whether it is `channels_redis.core.RedisChannelLayer`."""
    module = sys.modules.get("channels_redis.core")
    return module is not None and isinstance(layer, module.RedisChannelLayer)


def is_redis_pubsub(layer: Layer) -> bool:
    """Tell whether it is `channels_redis.pubsub.RedisPubSubChannelLayer`."""
    module = sys.modules.get("channels_redis.pubsub")
    return module is not None and isinstance(layer, module.RedisPubSubChannelLayer)


def groups_on_all_hosts(layer: Layer, prefix: str) -> list[str]:
    """Return names for groups, one on each of the layer's hosts as far as we know of them."""
    if not is_redis_core(layer):  # pub/sub tells of each connection that it has lost
        return [prefix]
    found: dict[int, str] = {}
    for number in itertools.count():
        group = f"{prefix}.{number}"
        found.setdefault(layer.consistent_hash(group), group)
        if len(found) == layer.ring_size:
            break
    return list(found.values())


def _provide_capacity(layer: Layer) -> None:
    """See that our channels hold more than Channels' 100 messages."""
    if not (is_local(layer) or is_redis_core(layer)):  # pub/sub knows no capacity
        return
    declared = layer.channel_capacity
    patterns = layer.compile_capacities(declared) if isinstance(declared, dict) else declared
    if not patterns or patterns[0][0] is not _OURS:
        said = (value for pattern, value in patterns if pattern.match(_EXAMPLE))
        layer.channel_capacity = [(_OURS, max(CAPACITY, layer.capacity, *said)), *patterns]


async def forget_dead(layer: Layer, group: str, seconds: float) -> None:
    """Take channels of ours out of a group that were not renewed for so many seconds.

    Their processes have died. Where a layer does not show them, they stay until it drops them.
    """
    if is_redis_core(layer):
        connection = layer.connection(layer.consistent_hash(group))
        key = layer._group_key(group)
        old = await connection.zrangebyscore(key, 0, time.time() - seconds)
        if dead := [each for each in old if _OURS.match(each.decode())]:
            await connection.zrem(key, *dead)


async def new_channel(layer: Layer) -> str:
    """Return a new channel of this process."""
    channel: str = await (layer.new_channel(PREFIX) if is_local(layer) else layer.new_channel())
    return channel


def group_expiry(layer: Layer) -> float:
    """Return for how many seconds a layer keeps a membership that is not renewed."""
    found = getattr(layer, "group_expiry", None)
    return float(found) if isinstance(found, int | float) and found > 0 else 86400.0


def redis_subscriptions(layer: Layer) -> list[Any]:
    """Return the connections on which a pub/sub layer listens in this event loop.

    It says nothing when it lost one, and with it what was sent meanwhile.
    """
    if not is_redis_pubsub(layer):
        return []
    inner = layer._layers.get(asyncio.get_running_loop())
    found = [getattr(shard._pubsub, "connection", None) for shard in getattr(inner, "_shards", ())]
    return [each for each in found if each is not None]


def restart_redis_subscriptions(layer: Layer) -> None:
    """Have a pub/sub layer listen again at once on each connection that it has lost."""
    inner = layer._layers.get(asyncio.get_running_loop())
    for shard in getattr(inner, "_shards", ()):
        connection = getattr(shard._pubsub, "connection", None)
        if connection is not None and not connection.is_connected:
            waiting, shard._receive_task = shard._receive_task, None
            if waiting is not None:
                waiting.cancel()
            shard._ensure_receiver()


async def count_processes(layer: Layer, group: str, seconds: float) -> int | None:
    """Return in how many processes a group has had members within so many seconds.

    None where the layer cannot say.
    """
    if is_redis_core(layer):
        connection = layer.connection(layer.consistent_hash(group))
        since = time.time() - seconds
        return int(await connection.zcount(layer._group_key(group), since, "+inf"))
    if is_redis_pubsub(layer):
        inner = layer._get_layer()
        name = inner._get_group_channel_name(group)
        shard = inner._get_shard(name)
        async with shard._lock:
            shard._ensure_redis()
            ((_, count),) = await shard._redis.pubsub_numsub(name)
        return int(count)
    return None
