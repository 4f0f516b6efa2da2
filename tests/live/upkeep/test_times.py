"""Connections that are silent, that last too long, or whose clients do not read."""

import asyncio
import contextlib
import json
import random

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.live.server import STOCK_DAPHNE, Server, close_of, connected

from .client import (
    MARGIN,
    NOTICED_WITHIN,
    assert_ended,
    assert_noticed,
    new_name,
    note,
    now,
    opened,
    told,
)
from .project.times import SECONDS
from .together import on_all_servers, side_by_side

pytestmark = pytest.mark.timing

GRACE = 5.0  # seconds, the default
COUNT, SIZE = 400, 65536  # what is sent to a client that does not read: more than networks hold
NUMBERS = 3000


async def check_idle(server: Server, handler: str) -> None:
    """Say something for a while, and then nothing."""
    name = new_name()
    async with connected(server, f"/times/{handler}/{name}") as client:
        await client.recv()
        begun_at = now()
        while now() - begun_at < SECONDS + 0.5:  # which is longer than it might be silent
            await client.send("still here")
            await asyncio.sleep(0.5)
        silent_at = now()
        with contextlib.suppress(ConnectionClosed):
            while True:  # a client sees no close behind messages that nobody takes
                await client.recv()
        assert await close_of(client) == server.kind.close(4408, "idle for too long")
    assert now() - silent_at <= SECONDS + NOTICED_WITHIN
    seen = await told(server, name)
    assert seen.values("closed") == [4408], seen
    assert_ended(seen, GRACE)


async def check_lifetime(server: Server) -> None:
    """Talk all the time."""
    name = new_name()
    begun_at = now()
    async with connected(server, f"/times/lives/{name}") as client:
        assert await client.recv() == "begun"
        talking = asyncio.create_task(talk(client))
        end = await close_of(client)
        talking.cancel()
        assert end == server.kind.close(1012, "maximum lifetime reached")
    assert SECONDS <= now() - begun_at <= SECONDS + NOTICED_WITHIN
    seen = await told(server, name)
    assert seen.values("closed") == [1012], seen
    assert_ended(seen, GRACE)


async def talk(client: ClientConnection) -> None:
    while True:
        await client.send("hello")
        assert await client.recv() == "hello"
        await asyncio.sleep(0.1)


async def check_unread(server: Server) -> None:
    """Read nothing of what is sent."""
    name = new_name()
    path = f"/times/sends/{name}?count={COUNT}&size={SIZE}"
    async with opened(server, path, receive_buffer=4096):
        begun_at = now()
        if server.kind.name == STOCK_DAPHNE.name:  # it takes all at once, and nobody ever waits
            seen = await told(server, name, "sent")
            assert seen.at("sent") - begun_at <= SECONDS, seen
            await asyncio.sleep(SECONDS + NOTICED_WITHIN - (now() - begun_at))
            assert not (await told(server, name, "sent")).values("learned")
            await note(server, name, "released")
            return
        seen = await told(server, name)
        assert_noticed(seen, begun_at, SECONDS + NOTICED_WITHIN)
        assert_ended(seen, GRACE)
        assert seen.values("closed") == [1013], seen
        assert not seen.values("sent"), seen


async def check_read_slowly(server: Server) -> None:
    """Read what is sent, each message in time."""
    name = new_name()
    async with opened(server, f"/times/sends/{name}?count=60&size={SIZE}") as client:
        for _ in range(60):
            assert len(await client.message()) == SIZE
            await asyncio.sleep(SECONDS / 40)
        await note(server, name, "released")
        assert await client.close_code() == 1000


async def check_timeouts(server: Server, handler: str, numbers: int) -> None:
    """Count, while each receive gives up soon."""
    name = new_name()
    waits = random.Random(4)
    async with connected(server, f"/times/{handler}/{name}?to={numbers}") as client:
        for number in range(numbers):
            await client.send(str(number))
            await asyncio.sleep(waits.uniform(0, 0.002))
        received, wrong, timeouts = json.loads(await client.recv())
    assert (received, wrong) == (numbers, 0)
    assert timeouts > numbers // 10


async def check_default_grace(server: Server) -> None:
    name = new_name()
    async with opened(server, f"/times/sleeps/{name}") as client:
        assert await client.message() == b"begun"
        left_at = now()
        await client.close()
    seen = await told(server, name)
    assert_noticed(seen, left_at)
    assert_ended(seen, GRACE)
    assert seen.at("ended") - seen.at("learned") > GRACE - MARGIN, seen
    assert seen.values("raised") == ["CancelledError"], seen


@on_all_servers
async def test_times(server: Server) -> None:
    await side_by_side(
        {
            "a silent client": check_idle(server, "idle"),
            "a silent client of a handler that does not receive": check_idle(server, "idle-pushes"),
            "a lifetime": check_lifetime(server),
            "a client that does not read": check_unread(server),
            "a client that reads slowly": check_read_slowly(server),
            "receives that give up": check_timeouts(server, "short-waits", NUMBERS),
            "blocking ones": check_timeouts(server, "short-blocking-waits", NUMBERS // 3),
            "the grace by default": check_default_grace(server),
        }
    )
