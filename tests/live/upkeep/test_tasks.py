"""Work beside a handler ends with its connection, and so do streams."""

import asyncio
import json

import pytest

from tests.live.rooms.client import Client, close_all
from tests.live.server import Server, close_of, connected

from .client import (
    ENDED,
    MARGIN,
    NOTICED_WITHIN,
    closes,
    drops,
    new_name,
    now,
    opened,
    resets,
    told,
)
from .together import on_all_servers, side_by_side

pytestmark = pytest.mark.timing

CONNECTIONS = 400
AT_ONCE = 100
WORKED = f"{ENDED},worked"
STREAMS = ("streams", "stream-sleeps", "blocking-streams", "sends-stream")


async def check_end(server: Server, handler: str, way: str) -> None:
    """Leave. The stream, or the work, ends at once and not after the grace."""
    name = new_name()
    async with opened(server, f"/tasks/{handler}/{name}") as client:
        assert await client.message() == b"begun"
        left_at = now()
        await {"closes": closes, "drops": drops, "resets": resets}[way](client)
    works = handler == "works"
    seen = await told(server, name, WORKED if works else ENDED)
    assert seen.at("ended") - left_at <= NOTICED_WITHIN, seen
    assert len(seen.values("ended")) == len(seen.values("closed")) == 1, seen
    if works:
        assert len(seen.values("worked")) == 1, seen
        assert seen.at("worked") - left_at <= NOTICED_WITHIN, seen


async def check_return(server: Server) -> None:
    """A handler that returns waits for its work to have been cancelled."""
    name = new_name()
    async with connected(server, f"/tasks/returns/{name}") as client:
        assert await client.recv() == "begun"
        assert (await close_of(client))[0] == 1000
    seen = await told(server, name, WORKED)
    assert len(seen.values("worked")) == 1, seen
    assert not seen.values("raised"), seen


async def check_failure(server: Server, how: str, code: int, reason: str = "") -> None:
    """An exception in the work ends the handler."""
    name = new_name()
    async with connected(server, f"/tasks/fails/{name}?how={how}") as client:
        assert await client.recv() == "begun"
        begun_at = now()
        assert await close_of(client) == server.kind.close(code, reason)
    assert now() - begun_at <= MARGIN
    seen = await told(server, name, WORKED)
    assert seen.values("raised") == ["CancelledError"], seen
    assert len(seen.values("worked")) == 1, seen
    assert seen.values("closed") == [code], seen


async def check_raised(server: Server) -> None:
    await check_failure(server, "raises", 1011)
    await server.failed("RuntimeError: raised in a task")


async def check_short_stream(server: Server) -> None:
    name = new_name()
    async with connected(server, f"/tasks/stream-ends/{name}") as client:
        assert [text async for text in client] == ["0", "1", "2"]
        assert await close_of(client) == (1000, "")


async def check_handler_after_its_stream(server: Server) -> None:
    name = new_name()
    async with connected(server, f"/tasks/sends-short-stream/{name}") as client:
        assert [text async for text in client] == ["0", "1", "2", "1"]
        assert await close_of(client) == (1000, "")


@on_all_servers
async def test_work_beside_a_handler_and_streams(server: Server) -> None:
    work = {
        f"{handler} when the client {way}": check_end(server, handler, way)
        for handler in ("works", *STREAMS)
        for way in ("closes", "drops", "resets")
    }
    await side_by_side(
        {
            **work,
            "a handler that returns": check_return(server),
            "a task that closes": check_failure(server, "closes", 4321, "as asked"),
            "a task that raises": check_raised(server),
            "a stream that ends": check_short_stream(server),
            "a handler after its stream": check_handler_after_its_stream(server),
        }
    )


@on_all_servers
async def test_hundreds_of_connections_leave_no_task(server: Server) -> None:
    before = await count(server)
    for _ in range(CONNECTIONS // AT_ONCE):
        clients = await asyncio.gather(*(connect(server) for _ in range(AT_ONCE)))
        for client in clients[: AT_ONCE // 2]:
            client.abort()
        await close_all(clients)
    async with asyncio.timeout(NOTICED_WITHIN + MARGIN):
        while await count(server) > before:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def connect(server: Server) -> Client:
    client = await Client.connect(server.address, "/tasks/many")
    client.send("hello")
    assert await client.next() == "hello"
    return client


async def count(server: Server) -> int:
    """Return how many tasks the server has."""
    async with connected(server, "/tasks/count") as client:
        return int(json.loads(await client.recv()))
