"""What stands around a connection: a transport, a clock, a server and an application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

import pytest

from bolt_ws.daphne import writer
from bolt_ws.daphne.connection import Connection
from bolt_ws.daphne.handshake import Handshake
from bolt_ws.daphne.negotiation import Negotiator

Event = dict[str, Any]

KIB = 1024
MIB = 1024 * KIB


class Transport:
    """A transport of asyncio's. The bytes written stay with it, for the test to look at."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.lost: list[bytes] = []
        """Written too late."""
        self.calls: list[str] = []
        self.unsent = 0
        self.undelivered = 0
        """What the system has taken, and the client has not."""
        self.protocol: Connection
        self._is_closing = False
        self._is_lost = False
        self._is_reading = True

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if "write_eof" in self.calls:
            raise RuntimeError("Cannot call write() after write_eof()")  # as asyncio does
        (self.lost if self._is_closing else self.written).append(data)

    def write_eof(self) -> None:
        self.calls.append("write_eof")

    def close(self) -> None:
        self._end("close")

    def abort(self) -> None:
        self._end("abort")

    def _end(self, how: str) -> None:
        self.calls.append(how)
        self._is_closing = True
        asyncio.get_running_loop().call_soon(self.lose)

    def is_closing(self) -> bool:
        return self._is_closing

    def begin_closing(self) -> None:
        """Be closing, as after an error in a write. `connection_lost` does not follow yet."""
        self._is_closing = True

    def pause_reading(self) -> None:
        assert self._is_reading
        self._is_reading = False
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        assert not self._is_reading
        self._is_reading = True
        self.calls.append("resume_reading")

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> Transport:
        assert name == "socket"
        return self

    def fileno(self) -> int:
        """Stand for the socket: see `no_system`."""
        return self.undelivered

    # For the test

    @property
    def is_reading(self) -> bool:
        return self._is_reading

    def fill(self, size: int = 100 * KIB) -> None:
        """Have the client read nothing any more."""
        self.unsent = size
        self.protocol.pause_writing()

    def drain(self) -> None:
        """Have the client read all."""
        self.unsent = 0
        self.protocol.resume_writing()

    def lose(self) -> None:
        """Have the client vanish, if it has not."""
        self._is_closing = True
        if not self._is_lost:
            self._is_lost = True
            self.protocol.connection_lost(None)


@pytest.fixture
def no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system is asked for is in the transport: there is no socket."""
    monkeypatch.setattr(writer, "undelivered", lambda number: number)


class Clock:
    """The event loop, with a time that only the test moves."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self._now

    def create_future(self) -> asyncio.Future[Any]:
        return self._loop.create_future()

    def create_task(
        self, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> asyncio.Task[Any]:
        return self._loop.create_task(coroutine, context=context)

    def call_soon(self, callback: Callable[[], None]) -> asyncio.Handle:
        return self._loop.call_soon(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self._now + delay, callback)
        self.timers.append(timer)
        return timer

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        due = [timer for timer in self.timers if timer.at <= self._now]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            if not timer.is_cancelled:
                timer.callback()


class Timer:
    """What a clock calls later."""

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Server:
    """What a connection needs of its server."""

    server_name = "daphne"
    limits: tuple[int | None, int | None] = (MIB, MIB)
    drain_timeout = 30.0
    handshake_timeout = 5.0
    websocket_timeout = 86_400.0
    ping_interval = 20.0
    ping_timeout = 30.0
    application_close_timeout = 10.0
    is_stopping = False

    def __init__(self, *, deflate: bool = False) -> None:
        self.loop = Clock()
        self.context = copy_context()
        self.negotiator = Negotiator(deflate=deflate)
        self.application: Any = None
        self.websockets: set[Connection] = set()
        self.all_left = asyncio.Event()
        self.connections: dict[Any, Any] = {}
        self.logged: list[str] = []

    def enter(self, connection: Connection) -> None:
        self.websockets.add(connection)

    def leave(self, connection: Connection) -> None:
        self.websockets.discard(connection)
        if not self.websockets:
            self.all_left.set()

    def log(self, handshake: Handshake, action: str) -> None:
        self.logged.append(action)


class Held:
    """An application that takes the first event: the test receives and sends, and lets it end.

    With `receives_apart`, it does not even that. (Channels' consumers receive in another task.)
    """

    def __init__(self, *, receives_apart: bool = False) -> None:
        self.receives_apart = receives_apart
        self.first: Event | None = None
        self.scope: Event = {}
        self.receive: Any = None
        self.send: Any = None
        self.cancelled = 0
        self.ignores_cancelling = False
        self.on_cancel: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Event, receive: Any, send: Any) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        if not self.receives_apart:
            self.first = await receive()
        while True:
            try:
                await asyncio.shield(self._end)
                return
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.on_cancel is not None:
                    await self.on_cancel()
                if not self.ignores_cancelling:
                    raise

    def returns(self) -> None:
        """Let it end."""
        self._end.set_result(None)

    def raises(self, error: BaseException) -> None:
        """Let it fail."""
        self._end.set_exception(error)


async def settle() -> None:
    """Let all run that can."""
    for _ in range(10):
        await asyncio.sleep(0)
