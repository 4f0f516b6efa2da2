"""Whether a channel layer brings back what it is given, and what happens when it does not."""

from __future__ import annotations

import asyncio
import logging
import random
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from .envelopes import HEARTBEAT
from .layers import redis_subscriptions
from .publisher import insist

if TYPE_CHECKING:
    from .hub import Hub

logger = logging.getLogger("bolt_ws")

PATIENCE: Final = 2.0
"""Seconds that a heartbeat may take to be sent, and that nothing may come while one is awaited."""
LOOKS: Final = 2
"""Looks, a second between them, in which nothing may come while a heartbeat is awaited. They are
counted, and not the seconds: an event loop that stood still has not read what is there."""
BACKLOG: Final = 30
"""Looks in which no heartbeat comes back, whatever else does."""
FIRST_PAUSE: Final = 0.05
"""Seconds between two attempts to restore; each further pause is twice as long."""
MAX_PAUSE: Final = 1.0


class Pulse:
    """The heartbeats of a process to itself, and the repair of its memberships.

    They go through a group, as all messages do: one that comes back shows that the layer is there,
    that it still has the groups, and that we still listen.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._number = 0
        self._heard = 0
        self._heard_by: dict[int, int] = {}
        self._silent = self._unheard = 0  # looks
        self._arrivals = 0
        self._arrivals_seen = 0
        self._is_beating = False
        self._is_doubtful = False
        self._came_back = asyncio.Event()
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._restoring: asyncio.Task[None] | None = None
        self.down_since: float | None = None
        """When the layer failed, in the event loop's time; None while it does not."""

    @property
    def is_down(self) -> bool:
        """Whether the layer has failed, and the memberships are not restored yet."""
        return self._restoring is not None

    async def until_up(self, seconds: float) -> None:
        """Wait until the memberships are restored, if they have to be; so many seconds at most."""
        deadline = self._hub.now() + seconds
        while self._restoring is not None and self._hub.now() < deadline:
            await asyncio.wait([self._restoring], timeout=deadline - self._hub.now())

    def note_arrival(self) -> None:
        """Take note that something has come in: if the heartbeat is late, it is behind others."""
        self._arrivals += 1

    def _has_arrived(self) -> bool:
        seen, self._arrivals_seen = self._arrivals_seen, self._arrivals
        return seen != self._arrivals

    def hear(self, number: object, shard: object) -> None:
        """Take a heartbeat that has come back, through one of the layer's hosts."""
        if isinstance(number, int) and isinstance(shard, int):
            self._heard_by[shard] = max(number, self._heard_by.get(shard, 0))
            if len(self._heard_by) == len(self._hub.own_groups):
                self._heard = min(self._heard_by.values())
                self._came_back.set()

    def look(self) -> None:
        """Send a heartbeat, and judge by those before. To be called once a second."""
        if self.is_down or not self._hub.is_open:
            return
        self._watch_subscriptions()
        if self._heard < self._number:
            self._unheard += 1
            if self._has_arrived() or self._hub.is_busy:  # it may be behind all that
                self._silent = 0
            else:
                self._silent += 1
            if self._silent >= LOOKS or self._unheard >= BACKLOG:
                self.fail(TimeoutError("a message to this process did not come back"))
                return
        else:
            self._silent = self._unheard = 0
        if not self._is_beating:
            self._hub.run(self._beat_or_fail())

    async def _beat_or_fail(self) -> None:
        try:
            await self._beat()
        except Exception as error:
            self.fail(error)

    async def _beat(self) -> None:
        self._number += 1
        self._is_beating = True
        try:
            async with asyncio.timeout(PATIENCE):
                for shard, group in enumerate(self._hub.own_groups):
                    message = {"type": HEARTBEAT, "number": self._number, "shard": shard}
                    await insist(self._hub.layer.group_send, group, message)
        finally:
            self._is_beating = False

    def _watch_subscriptions(self) -> None:
        for connection in redis_subscriptions(self._hub.layer):
            if connection not in self._watched:
                connection.register_connect_callback(self._connected_again)
                self._watched.add(connection)

    async def _connected_again(self, connection: Any) -> None:
        self.fail(ConnectionResetError("the connection of the subscriptions was lost"))

    def fail(self, error: Exception) -> None:
        """Take note that the layer has failed, and restore what it may have forgotten."""
        self._is_doubtful = True
        if self._restoring is not None:
            return
        if self._hub.is_leaving:
            return
        if not self._hub.is_in_use:  # the next connection opens it anew
            self._hub.is_open = False
            return
        logger.warning(
            "The channel layer has failed (%s: %s): messages may be lost until it is back",
            type(error).__name__,
            error,
        )
        self.down_since = self._hub.now()
        self._restoring = self._hub.run(self._restore())
        self._restoring.add_done_callback(self._restored)

    def stop(self) -> asyncio.Task[None] | None:
        """Restore nothing: there are no connections. Return what is being cancelled."""
        restoring, self._restoring, self.down_since = self._restoring, None, None
        if restoring is not None:
            restoring.cancel()
        return restoring

    async def _restore(self) -> None:
        pause = FIRST_PAUSE
        while True:
            if self._is_doubtful:  # from the beginning
                self._is_doubtful = False
                self._hub.doubt()
            try:
                await self._hub.inlet.refresh()
                await self._hub.rejoin()
                self._is_doubtful = True  # unless it is proved
                await self._prove()
                self._is_doubtful = False
                return
            except TimeoutError:
                self._hub.inlet.restart()
                await self._hub.inlet.reconnect()
            except Exception as error:
                logger.debug("The channel layer is not back: %r", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(MAX_PAUSE, pause * 2)

    async def _prove(self) -> None:
        """Return when a heartbeat has come back. Raises `TimeoutError` if nothing comes."""
        before = self._number
        for _ in range(BACKLOG):
            await self._beat()
            self._has_arrived()
            self._came_back.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._came_back.wait()
            if self._heard > before:
                return
            if not self._has_arrived():
                break
        raise TimeoutError("a message to this process did not come back")

    def _restored(self, task: asyncio.Task[None]) -> None:
        if self._restoring is task:
            self._restoring = self.down_since = None
            if not task.cancelled():
                logger.warning("The channel layer is back, and all memberships are restored")
                self._hub.resume()
