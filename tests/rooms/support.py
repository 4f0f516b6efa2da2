"""What tests of rooms need: members, slow servers, a channel layer with switches for faults."""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers

from bolt_ws import WebSocket
from bolt_ws.rooms.hub import Hub
from bolt_ws.rooms.hubs import _hubs
from tests.support import (
    ACCEPT,
    TIMEOUT,
    Application,
    Connection,
    Event,
    assert_nobody_is_left,
    serve,
    text,
)

Before = Callable[[str, str], Awaitable[None]]


def make_chat(**options: Any) -> Application:
    """An application whose connections join the room that their path names, and send to it."""

    async def chat(websocket: WebSocket, name: str) -> None:
        async with websocket.join(name) as room:
            await websocket.send_text("joined")
            async for message in websocket.iter_text():
                await room.send_text(message)

    return serve(chat, "/{name}", **options)


async def enter(application: Application, name: str, **scope: Any) -> Connection:
    """Return a connection to a chat, once it has joined its room."""
    connection = Connection(application, f"/{name}", **scope)
    assert await connection.next() == ACCEPT
    assert await connection.next() == text("joined")
    return connection


async def part(*connections: Connection) -> None:
    """Have clients leave, and wait until the application has ended for each."""
    for connection in connections:
        connection.leave()
    for connection in connections:
        await connection.end()


def texts(connection: Connection) -> list[str]:
    """Return the texts that were sent to a member, but for the first one of a chat."""
    found = [event["text"] for event in connection.sent if event["type"] == "websocket.send"]
    return found[1:] if found[:1] == ["joined"] else found


async def until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.001)


async def turns(count: int) -> None:
    """Let the event loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


def hub_of_this_loop() -> Hub:
    """Return the hub, which is there."""
    return _hubs[asyncio.get_running_loop()]


async def until_nobody_is_left() -> None:
    """Wait until the layer has been told of the last leaves, which takes turns of the loop."""
    await until(lambda: not hub_of_this_loop().is_in_use)
    assert_nobody_is_left()


def other_tasks() -> set[asyncio.Task[Any]]:
    """Return all tasks but the present one."""
    return {each for each in asyncio.all_tasks() if each is not asyncio.current_task()}


class Gate:
    """A server's `send`: it waits with messages while the gate is shut."""

    def __init__(self, *, is_open: bool = True) -> None:
        self._opened = asyncio.Event()
        self.is_busy = asyncio.Event()
        """Set when a message waits."""
        if is_open:
            self.open()

    def open(self) -> None:
        """Let all through."""
        self._opened.set()
        self.is_busy.clear()

    def shut(self) -> None:
        """Let nothing through."""
        self._opened.clear()

    async def __call__(self, event: Event) -> None:
        """Be the server."""
        if not self._opened.is_set():
            self.is_busy.set()
            await self._opened.wait()


class FakeLayer:
    """A channel layer that bolt_ws takes for one that joins processes, and that fails on demand."""

    extensions = ["groups"]
    group_expiry = 86400.0

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {}
        self.calls: list[tuple[str, str]] = []
        """Each method that was called, with the group or channel."""
        self.called_at: list[float] = []
        self.before: Before | None = None
        """Awaited in each call; it may wait and raise."""
        self.loses: Callable[[str, dict[str, Any]], bool] = lambda group, message: False
        self._is_down = False
        self._queues: dict[str, asyncio.Queue[Any]] = {}
        self._made = 0

    def fail(self) -> None:
        """Fail in all calls from now on, and in those that wait for a message."""
        self._is_down = True
        for queue in self._queues.values():
            queue.put_nowait(None)

    def recover(self, *, forgets: bool = False) -> None:
        """Work again; `forgets` is a server that was started anew."""
        self._is_down = False
        if forgets:
            self.groups.clear()

    def count(self, method: str, name: str | None = None) -> int:
        """Return how often a method was called."""
        return sum(each == (method, name or each[1]) for each in self.calls)

    async def _begin(self, method: str, name: str) -> None:
        self.calls.append((method, name))
        self.called_at.append(time.monotonic())
        if self._is_down:
            raise ConnectionError("no layer is there")
        if self.before is not None:
            await self.before(method, name)

    async def new_channel(self) -> str:
        self._made += 1
        return f"specific.fake!{self._made}"

    def _queue(self, channel: str) -> asyncio.Queue[Any]:
        return self._queues.setdefault(channel, asyncio.Queue())

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._begin("send", channel)
        self._queue(channel).put_nowait(copy.deepcopy(message))

    async def receive(self, channel: str) -> Any:
        await self._begin("receive", channel)
        while (message := await self._queue(channel).get()) is None:
            if self._is_down:  # else that was before
                raise ConnectionError("the layer has gone")
        return message

    async def group_add(self, group: str, channel: str) -> None:
        await self._begin("group_add", group)
        self.groups.setdefault(group, set()).add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._begin("group_discard", group)
        members = self.groups.get(group, set())
        members.discard(channel)
        if not members:
            self.groups.pop(group, None)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._begin("group_send", group)
        if not self.loses(group, message):
            for channel in self.groups.get(group, ()):
                self._queue(channel).put_nowait(copy.deepcopy(message))


def _use(layer: Any) -> Iterator[Any]:
    before = channel_layers.set("default", layer)
    yield layer
    if before is None:
        channel_layers.backends.pop("default", None)
    else:
        channel_layers.set("default", before)


@pytest.fixture
def fake_layer() -> Iterator[FakeLayer]:
    """A layer that joins processes is the project's."""
    yield from _use(FakeLayer())


@pytest.fixture
def memory_layer() -> Iterator[InMemoryChannelLayer]:
    """A new layer in memory is the project's."""
    yield from _use(InMemoryChannelLayer())
