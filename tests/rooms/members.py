"""Connections to one endpoint, each held at both ends: what its handler has, and its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from channels.layers import BaseChannelLayer, InMemoryChannelLayer

from bolt_ws import BoltAPI, Endpoint, WebSocket
from bolt_ws.auth import AllowAny
from bolt_ws.rooms.hubs import hub_here
from bolt_ws.rooms.layers import get_layer
from bolt_ws.testing import AsyncTestClient, AsyncWebSocketSession
from tests.identities import Named, eventually
from tests.support import assert_nobody_is_left


class Member(NamedTuple):
    """One connection."""

    websocket: WebSocket
    """What the handler has."""
    client: AsyncWebSocketSession


class Party:
    """An endpoint whose handler waits for its client, and the connections to it.

    `?user=` says who comes.
    """

    def __init__(self, client: AsyncTestClient, endpoint: Endpoint, met: Any) -> None:
        self.client = client
        self.endpoint = endpoint
        self._met = met
        self._stack = AsyncExitStack()

    async def connect(self, path: str = "/lobby", *rooms: str, **options: Any) -> Member:
        """Connect, and join rooms."""
        connection = self.client.websocket_connect(path, **options)
        client = await self._stack.enter_async_context(connection)
        member = Member(await self._met.get(), client)
        for room in rooms:
            await member.websocket.join(room)
        return member

    async def members(self, count: int, *rooms: str) -> list[Member]:
        """Connect several times, and have each join rooms."""
        return [await self.connect("/lobby", *rooms) for _ in range(count)]


Declare = Callable[[Endpoint], object]


@asynccontextmanager
async def party(
    declare: Declare | None = None, *, report_leaks: bool = True, **options: Any
) -> AsyncIterator[Party]:
    """Serve an endpoint with `options` while a test runs; `declare` adds callbacks to it."""
    api = BoltAPI(auth=[Named()], guards=[AllowAny()])
    met: asyncio.Queue[WebSocket] = asyncio.Queue()

    @api.websocket("/{place}", **options)
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        met.put_nowait(websocket)
        async for _ in websocket:
            pass

    if declare is not None:
        declare(endpoint)
    async with AsyncTestClient(api, report_leaks=report_leaks) as client:
        opened = Party(client, endpoint, met)
        async with opened._stack:
            yield opened


async def hears(member: Member, *messages: Any) -> None:
    """See that a client gets these messages next, in this order."""
    assert [await member.client.receive() for _ in messages] == list(messages)


async def nothing_more(*members: Member) -> None:
    """See that no client gets anything."""
    await asyncio.gather(*(each.client.receive_nothing() for each in members))


async def no_room_left() -> None:
    """See that neither this process nor the channel layer knows of a member."""
    await eventually(lambda: not get_layer().groups and not hub_here().is_in_use)
    assert_nobody_is_left()


class JoiningLayer(BaseChannelLayer):  # type: ignore[misc]
    """A channel layer that joins processes, as far as anybody can tell: it is in memory."""

    extensions = ["groups", "flush"]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner = InMemoryChannelLayer(capacity=10_000)

    @property
    def groups(self) -> dict[str, Any]:
        return dict(self.inner.groups)

    async def new_channel(self, prefix: str = "specific") -> str:
        return str(await self.inner.new_channel(prefix))

    async def send(self, channel: str, message: Any) -> None:
        await self.inner.send(channel, message)

    async def receive(self, channel: str) -> Any:
        return await self.inner.receive(channel)

    async def group_add(self, group: str, channel: str) -> None:
        await self.inner.group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self.inner.group_discard(group, channel)

    async def group_send(self, group: str, message: Any) -> None:
        await self.inner.group_send(group, message)


class FailingLayer(JoiningLayer):
    """A channel layer that takes no message."""

    async def group_send(self, group: str, message: Any) -> None:
        raise ConnectionError("nobody is there")


JOINING = {"default": {"BACKEND": f"{__name__}.JoiningLayer"}}
"""For `CHANNEL_LAYERS`."""
FAILING = {"default": {"BACKEND": f"{__name__}.FailingLayer"}}
