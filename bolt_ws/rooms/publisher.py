"""Sending to a group of a channel layer: in order, numbered, and again if it fails."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from ..conf import get_settings
from ..exceptions import RoomUnavailable
from .layers import SLOTS, Layer, is_local
from .sequences import Numbers

ATTEMPTS: Final = 3
"""Failures in a row that count as one of the layer. A connection of its pool may have been closed
while nobody used it, and says so when it is used."""
WRONG: Final = (TypeError, ValueError, AssertionError)
"""What a layer raises for what it does not take."""
FIRST_PAUSE: Final = 0.02
"""Seconds between the first failure and the next attempt; each further one takes twice as long."""
MAX_PAUSE: Final = 0.5
QUICK: Final = 0.5
"""Seconds that a message waits at least, however long the layer has failed already."""


class Host(Protocol):
    """Whose messages are sent."""

    def note_failure(self, error: Exception) -> None:
        """Take note that the layer has failed."""

    @property
    def down_since(self) -> float | None:
        """When the layer failed, in the event loop's time; None while it does not."""

    async def until_up(self, seconds: float) -> None:
        """Wait while the layer is known to fail, so many seconds at most."""


class Publisher:
    """Sends to the groups of one channel layer, in one event loop."""

    def __init__(self, layer: Layer, host: Host | None = None) -> None:
        self._layer = layer
        self._is_local = is_local(layer)
        self._host = host
        self._numbers = Numbers()
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._slots = asyncio.Semaphore(SLOTS // 2)
        self._calls = asyncio.Semaphore(SLOTS // 2)  # of their own: joins keep no message waiting
        self._failure: Exception | None = None
        self._failing_since = self._failed_at = -math.inf

    async def publish(
        self,
        group: str,
        message: Mapping[str, Any],
        *,
        numbered: Callable[[str, int], object] | None = None,
    ) -> None:
        """Send a message to a group, after those that were sent to it before.

        While the layer fails, it is tried again; whoever listens to the numbers hears it once.
        `numbered` is told the message's number before it is sent. Raises `RoomUnavailable` when the
        layer has failed for `BOLT_WS["ROOM_TIMEOUT"]` seconds, `TypeError` and `ValueError` for
        what the layer refuses.
        """
        if self._is_local:  # nothing can come between
            await self._attempt(group, self._number(group, message, numbered))
            return
        try:
            deadline = self._deadline()
            async with asyncio.timeout_at(deadline), self._turn(group):
                await self._send(group, self._number(group, message, numbered), deadline)
        except TimeoutError:
            self._numbers.begin_anew(group)
            raise RoomUnavailable(
                f"The channel layer fails, and has not taken a message for {group!r}"
            ) from self._failure
        except BaseException:
            self._numbers.begin_anew(group)
            raise

    def _deadline(self) -> float:
        """Return until when a message may wait: an outage is waited for once, not by each."""
        now, timeout = asyncio.get_running_loop().time(), get_settings().room_timeout
        begun = (
            now if self._host is None or self._host.down_since is None else self._host.down_since
        )
        if now - self._failed_at <= timeout:
            begun = min(begun, self._failing_since)
        return max(begun + timeout, now + min(timeout, QUICK))

    def _number(
        self, group: str, message: Mapping[str, Any], numbered: Callable[[str, int], object] | None
    ) -> dict[str, Any]:
        sender, number = self._numbers.next(group)
        if numbered is not None:
            numbered(sender, number)
        return {**message, "sender": sender, "number": number}

    async def _send(self, group: str, message: dict[str, Any], deadline: float) -> None:
        pause, attempts = FIRST_PAUSE, 0
        now = asyncio.get_running_loop().time
        while now() < deadline:  # redis-py may swallow the cancellation at the deadline
            if self._host is not None:  # else our own members would miss what others get
                await self._host.until_up(deadline - now())
                if now() >= deadline:
                    break
            try:
                await self._attempt(group, message)
                self._failure, self._failed_at = None, -math.inf
                return
            except WRONG:
                raise  # it would fail again
            except Exception as error:
                self._failure = error
                self._note_when()
                attempts += 1
                if self._host is not None and attempts >= ATTEMPTS:
                    self._host.note_failure(error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(MAX_PAUSE, pause * 2)
        raise TimeoutError

    def _note_when(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._failed_at > get_settings().room_timeout:  # it is another outage
            self._failing_since = now
        self._failed_at = now

    async def _attempt(self, group: str, message: dict[str, Any]) -> None:
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        try:
            async with self._slots:
                await self._layer.group_send(group, message)
        finally:
            # redis-py may swallow a cancellation, or make another exception of it.
            if task is not None and task.cancelling() > before:
                raise asyncio.CancelledError

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Await another call of the layer, as one of a bounded number at once.

        Raises what it raises several times, and `TimeoutError` after `BOLT_WS["ROOM_TIMEOUT"]`
        seconds.
        """
        async with self._calls:
            timeout = get_settings().room_timeout
            try:
                async with asyncio.timeout(timeout):
                    return await insist(function, *args)
            except TimeoutError:
                name = getattr(function, "__name__", "a call")
                raise TimeoutError(f"{name} did not return within {timeout:g} s") from None

    @asynccontextmanager
    async def _turn(self, group: str) -> AsyncIterator[None]:
        lock, users = self._turns.get(group) or (asyncio.Lock(), 0)
        self._turns[group] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns[group]
            if users == 1:
                del self._turns[group]
            else:
                self._turns[group] = lock, users - 1


async def insist(function: Callable[..., Any], *args: Any) -> Any:
    """Await a call of the layer, and again if it fails, several times."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await function(*args)
        except WRONG:
            raise
        except Exception:
            await asyncio.sleep(FIRST_PAUSE)
    return await function(*args)
