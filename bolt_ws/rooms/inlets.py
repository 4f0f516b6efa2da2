"""Where the messages of a channel layer come in: the channels of this process."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import secrets
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from .layers import (
    PREFIX,
    Layer,
    is_redis_core,
    is_redis_pubsub,
    new_channel,
    redis_subscriptions,
    restart_redis_subscriptions,
)

logger = logging.getLogger("bolt_ws")

Take = Callable[[Mapping[str, Any]], None]
"""What takes a message. It must not raise."""

MAX_PAUSE: Final = 1.0
"""Seconds between two attempts to receive while the layer fails."""
BLOCK: Final = 2.0
"""Seconds that one command waits in Redis for a message; less than any timeout of a socket."""
BATCH: Final = 256
"""Messages that one command takes out of Redis."""


class Host(Protocol):
    """Whom an inlet serves."""

    loop: asyncio.AbstractEventLoop
    context: contextvars.Context

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task."""

    @property
    def is_busy(self) -> bool:
        """Whether too much is on its way already."""

    async def until_ready_for_more(self) -> None:
        """Wait while too much is on its way already."""

    def note_arrival(self) -> None:
        """Take note that the layer has brought something."""

    def note_failure(self, error: Exception) -> None:
        """Take note that the layer has failed."""


class Inlet:
    """Receives on each channel in a task of its own, as the channel layer specification has it."""

    def __init__(self, layer: Layer, host: Host) -> None:
        self._layer = layer
        self._host = host
        self._takers: dict[str, Take] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def open(self, take: Take) -> str:
        """Open a channel whose messages `take` takes, and return its name."""
        channel = await new_channel(self._layer)
        self._takers[channel] = take
        self._tasks[channel] = self._run(self._receive_one(channel))
        return channel

    def close(self, channel: str) -> None:
        """Close a channel. What is on its way is lost."""
        del self._takers[channel]
        self._tasks.pop(channel).cancel()

    def restart(self) -> None:
        """Receive anew, where a call may hang on a connection that is no more."""
        for channel in self._takers:
            self._tasks[channel].cancel()
            self._tasks[channel] = self._run(self._receive_one(channel))

    async def refresh(self) -> None:
        """Give up idle connections, which may be closed without anybody having noticed."""

    async def reconnect(self) -> None:
        """Give up the connections on which nothing comes, where the layer does not notice."""

    def _run(self, step: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        return self._host.loop.create_task(
            self._repeat(step), name="bolt_ws inlet", context=self._host.context.copy()
        )

    async def _repeat(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        pause = 0.0
        while True:
            try:
                await step()
                pause = 0.0
                await self._host.until_ready_for_more()
            except Exception as error:
                self._host.note_failure(error)
                pause = min(MAX_PAUSE, pause * 2 or 0.05)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    def _receive_one(self, channel: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def receive() -> None:
            self._give(channel, await self._layer.receive(channel))

        return receive

    def _read(self, data: bytes) -> dict[str, Any]:
        """Return what a message says; nothing if it says nothing that could be understood."""
        try:
            return dict(self._layer.deserialize(data))
        except Exception:
            logger.exception("The channel layer brought what is no message")
            return {}

    def _give(self, channel: str, message: Mapping[str, Any]) -> None:
        self._host.note_arrival()
        take = self._takers.get(channel)
        if take is not None and message:
            try:
                take(message)
            except Exception:
                logger.exception("A message from the channel layer could not be used")


class RedisInlet(Inlet):
    """Receives on all channels in one task: they have one key in Redis, and nobody else has it.

    The key is read here, and not by the layer, which gives one message after four round trips. And
    a hand-written consumer that waits for its own key would keep us from ours: it holds the
    layer's only lock meanwhile.
    """

    def __init__(self, layer: Layer, host: Host) -> None:
        super().__init__(layer, host)
        self._prefix = f"{PREFIX}.{secrets.token_hex(8)}"  # another event loop has another key
        self._key = ""

    async def open(self, take: Take) -> str:
        """Open a channel whose messages `take` takes, and return its name."""
        channel: str = await self._layer.new_channel(self._prefix)
        self._takers[channel] = take
        if not self._tasks:
            self._key = self._layer.non_local_name(channel)
            self._tasks[self._key] = self._run(self._receive_any)
        return channel

    def close(self, channel: str) -> None:
        """Close a channel. What is on its way is lost."""
        del self._takers[channel]
        if not self._takers:
            self._tasks.pop(self._key).cancel()

    def restart(self) -> None:
        """Receive anew, where a call may hang on a connection that is no more."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            self._tasks[self._key] = self._run(self._receive_any)

    async def refresh(self) -> None:
        """Give up idle connections, which may be closed without anybody having noticed."""
        for index in range(self._layer.ring_size):
            pool = self._layer.connection(index).connection_pool
            await pool.disconnect(inuse_connections=False)

    async def _receive_any(self) -> None:
        connection = self._layer.connection(self._layer.consistent_hash(self._key))
        key = self._layer.prefix + self._key
        first = await connection.bzpopmin(key, timeout=BLOCK)
        if first is None:
            return
        self._take_raw(first[1])
        batch = [first]
        while batch and not self._host.is_busy:
            batch = await connection.zpopmin(key, BATCH)
            for data, _ in batch:
                self._take_raw(data)

    def _take_raw(self, data: bytes) -> None:
        message = self._read(data)
        channels = message.pop("__asgi_channel__", ())
        for channel in channels if isinstance(channels, list) else [channels]:
            self._give(channel, message)


class PubSubInlet(Inlet):
    """Takes the messages of all channels as the layer has them, in the order in which they came.

    A task for each channel would mix those of one sender to several rooms.
    """

    async def open(self, take: Take) -> str:
        """Open a channel whose messages `take` takes, and return its name."""
        channel = f"{self._layer.prefix}{PREFIX}.{uuid.uuid4().hex}"
        self._takers[channel] = take
        try:
            await self._subscribe(channel)
        except BaseException:
            self.close(channel)
            raise
        return channel

    async def _subscribe(self, channel: str) -> None:
        self._layer.channels[channel] = _Tap(self, channel)
        await self._layer._get_shard(channel).subscribe(channel)

    def close(self, channel: str) -> None:
        """Close a channel. What is on its way is lost."""
        del self._takers[channel]
        self._layer.channels.pop(channel, None)
        self._host.run(self._unsubscribe(channel))

    async def _unsubscribe(self, channel: str) -> None:
        with suppress(Exception):  # it fails, and the subscription has ended with its connection
            await self._layer._get_shard(channel).unsubscribe(channel)

    def bring(self, channel: str, data: bytes) -> None:
        """Take a message as it came."""
        self._give(channel, self._read(data))

    def restart(self) -> None:
        """Nothing of ours waits for messages: the layer brings them."""

    async def refresh(self) -> None:
        """Subscribe anew now, where the connection is lost: the layer would wait for seconds."""
        restart_redis_subscriptions(self._layer)
        for channel in [each for each in self._takers if each not in self._layer.channels]:
            await self._subscribe(channel)  # somebody has flushed the layer

    async def reconnect(self) -> None:
        """Give up the connections on which nothing comes: the layer does not notice."""
        for connection in redis_subscriptions(self._layer):
            await connection.disconnect(nowait=True)
        restart_redis_subscriptions(self._layer)


class _Tap:
    """What the layer puts the messages of one channel into."""

    def __init__(self, inlet: PubSubInlet, channel: str) -> None:
        self._inlet = inlet
        self._channel = channel

    def put_nowait(self, data: bytes) -> None:
        """Take a message."""
        self._inlet.bring(self._channel, data)


def make_inlet(layer: Layer, host: Host) -> Inlet:
    """Return what receives from a layer."""
    if is_redis_core(layer):
        return RedisInlet(layer, host)
    if is_redis_pubsub(layer) and isinstance(layer.channels, dict):
        return PubSubInlet(layer, host)
    return Inlet(layer, host)
