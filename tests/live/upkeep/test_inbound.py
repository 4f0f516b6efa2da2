"""Clients that send too much, too fast or too deep, and those that do not."""

import asyncio
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed

from tests.live.flow.client import TEXT, Client, frame
from tests.live.server import Server, close_of, connected

from .client import (
    MARGIN,
    NOTICED_WITHIN,
    assert_ended,
    assert_noticed,
    closes,
    new_name,
    now,
    opened,
    told,
)
from .conftest import READ_STALL
from .project.inbound import BUSY, SIZE
from .together import on_all_servers, side_by_side

pytestmark = pytest.mark.timing

GRACE = 5.0  # seconds, the default
READ_AHEAD = 200  # more messages than are read ahead, for a blocking handler too
NUMBERS = 10_000
COUNTED = b"".join(frame(str(number).encode(), TEXT) for number in range(NUMBERS))


# A handler that does not receive


async def check_flood(server: Server, handler: str) -> None:
    """Flood a handler that does not receive."""
    name = new_name()
    async with opened(server, f"/inbound/{handler}/{name}") as client:
        assert await client.message() == b"begun"
        for _ in range(READ_AHEAD):
            await client.send("more than is read ahead")
        begun_at = now()
        flooding = asyncio.create_task(flood(client))
        try:
            assert await client.close_code() == server.kind.close(1013)[0]
        finally:
            flooding.cancel()
            await asyncio.wait([flooding])
    seen = await told(server, name)
    assert_noticed(seen, begun_at, NOTICED_WITHIN + READ_STALL + MARGIN)
    assert_ended(seen, 1)
    assert seen.values("closed") == [1013], seen


async def flood(client: Client) -> None:
    """Send a thousand messages a second."""
    while True:
        for _ in range(10):
            await client.send("x" * 1024)
        await asyncio.sleep(0.01)


async def check_numbers(server: Server, pauses: str) -> None:
    """Count, as fast as the network goes, for a handler that pauses now and then."""
    name = new_name()
    path = f"/inbound/pauses/{name}?to={NUMBERS}&seconds={pauses}"
    async with opened(server, path) as client:
        await client.write(COUNTED)
        assert await client.message() == b"done"
    seen = await told(server, name)
    assert seen.values("received") == [[NUMBERS, 0]], seen


async def check_numbers_and_close(server: Server) -> None:
    """Count, and close behind the last number. All of them come before the close."""
    name = new_name()
    async with opened(server, f"/inbound/pauses/{name}?to=-1&seconds=1.5") as client:
        await client.write(COUNTED)
        await closes(client)
    seen = await told(server, name)
    assert seen.values("received") == [[NUMBERS, 0]], seen


@on_all_servers
async def test_a_handler_that_does_not_receive(server: Server) -> None:
    """It loses its connection, but one that only pauses loses nothing."""
    await side_by_side(
        {
            "a flood": check_flood(server, "stalls"),
            "a flood for a blocking handler": check_flood(server, "blocking-stalls"),
            "numbers with short pauses": check_numbers(server, "1.5,2.2,1.5"),
            "numbers with long pauses": check_numbers(server, "2.2,1.5,2.2"),
            "numbers and a close": check_numbers_and_close(server),
        }
    )


# Sizes and depths


async def check_size(server: Server, fits: str | bytes, too_big: str | bytes) -> None:
    name = new_name()
    async with connected(server, f"/inbound/small/{name}") as client:
        for _ in range(2):
            await client.send(fits)
            assert await client.recv() == str(SIZE)
        await client.send(too_big)
        assert await close_of(client) == server.kind.close(1009, "message too big")
    seen = await told(server, name)
    assert seen.values("received") == [SIZE, SIZE], seen
    assert seen.values("closed") == [1009], seen


async def check_unread_size(server: Server) -> None:
    name = new_name()
    async with connected(server, f"/inbound/small-unread/{name}") as client:
        assert await client.recv() == "begun"
        sent_at = now()
        await client.send("x" * (SIZE + 1))
        assert await close_of(client) == server.kind.close(1009, "message too big")
    seen = await told(server, name)
    assert_noticed(seen, sent_at)
    assert_ended(seen, 1)


async def check_depth(server: Server, text: str) -> None:
    name = new_name()
    async with connected(server, f"/inbound/json/{name}") as client:
        await client.send("[[1]]")
        assert await client.recv() == "[[1]]"
        await client.send(text)
        code, _ = await close_of(client)
        assert code == server.kind.close(1007)[0]
    assert (await told(server, name)).values("raised") == ["InvalidJSON"]


@on_all_servers
async def test_messages_too_big_and_too_deep(server: Server) -> None:
    await side_by_side(
        {
            "a text": check_size(server, "x" * SIZE, "x" * (SIZE + 1)),
            "a text beyond ASCII": check_size(server, "é" * (SIZE // 2), "x" + "é" * (SIZE // 2)),
            "a text of emoji": check_size(server, "😀" * (SIZE // 4), "😀" * (SIZE // 4 + 1)),
            "bytes": check_size(server, bytes(SIZE), bytes(SIZE + 1)),
            "one that nobody receives": check_unread_size(server),
            "deep lists": check_depth(server, "[" * 100_000 + "]" * 100_000),
            "deep objects": check_depth(server, '{"a":' * 100_000 + "1" + "}" * 100_000),
        }
    )


# Rates


async def check_rate_closes(server: Server) -> None:
    name = new_name()
    async with connected(server, f"/inbound/rate/close/{name}") as client:
        assert await client.recv() == "begun"
        with contextlib.suppress(ConnectionClosed):
            for number in range(50):
                await client.send(str(number))
        assert await close_of(client) == server.kind.close(4429, "rate limit exceeded")
    seen = await told(server, name)
    received = seen.values("received")
    assert received == [str(number) for number in range(len(received))], seen
    assert 5 <= len(received) <= 10, seen  # the burst, and what came in a slow second
    assert_ended(seen, GRACE)


async def check_rate_drops(server: Server) -> None:
    name = new_name()
    async with connected(server, f"/inbound/rate/drop/{name}") as client:
        assert await client.recv() == "begun"
        for number in range(50):
            await client.send(str(number))
        await asyncio.sleep(1.2)
        await client.send("last")
        while await client.recv() != "last":
            pass
    received = (await told(server, name)).values("received")
    assert received[:5] == ["0", "1", "2", "3", "4"]
    assert received[-1] == "last"
    assert 6 <= len(received) <= 15


async def check_rate_waits(server: Server) -> None:
    name = new_name()
    numbers = [str(number) for number in range(45)]
    async with connected(server, f"/inbound/rate/wait/{name}") as client:
        assert await client.recv() == "begun"
        begun_at = now()
        for number in numbers:
            await client.send(number)
        assert [await client.recv() for _ in numbers] == numbers
        assert now() - begun_at > (45 - 5) / 20 - 0.2


async def check_a_close_is_seen_while_waiting(server: Server) -> None:
    name = new_name()
    async with opened(server, f"/inbound/rate/crawl/{name}") as client:
        assert await client.message() == b"begun"
        for number in range(30):
            await client.send(str(number))
        left_at = now()
        await client.close()
    seen = await told(server, name)
    assert_noticed(seen, left_at)
    assert_ended(seen, GRACE)
    received = seen.values("received")
    assert received == [str(number) for number in range(len(received))], seen


async def check_a_burst_for_a_busy_handler(server: Server) -> None:
    """Send what is allowed at once, and then what is allowed each second, or a little less."""
    name = new_name()
    numbers = [str(number) for number in range(8 + 12)]
    async with connected(server, f"/inbound/rate/bursts/{name}?busy={BUSY}") as client:
        assert await client.recv() == "begun"
        for number in numbers[:8]:
            await client.send(number)
        for number in numbers[8:]:
            await asyncio.sleep(1 / 4.5)
            await client.send(number)
        assert [await client.recv() for _ in numbers] == numbers


@on_all_servers
async def test_rates(server: Server) -> None:
    await side_by_side(
        {
            "one that closes": check_rate_closes(server),
            "one that drops": check_rate_drops(server),
            "one that waits": check_rate_waits(server),
            "a close while it waits": check_a_close_is_seen_while_waiting(server),
            "a burst for a busy handler": check_a_burst_for_a_busy_handler(server),
        }
    )
