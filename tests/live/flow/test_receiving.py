"""Flow control from the client: reading pauses for a handler that lags behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from ..server import DAPHNE
from .client import BINARY, ENDED, PING, PONG, Client, frame, upgrade
from .messages import numbered
from .probe import COSTS_AT_MOST, MIB, WITHIN, Control, Place, Probe, StartProbe, new_name

STALLED = 4.0  # seconds
SMALL_BUFFER = 65536


@asynccontextmanager
async def holding(place: Place, name: str) -> AsyncIterator[tuple[Control, Client]]:
    """A connection whose handler does not receive until it is released."""
    async with (
        asyncio.timeout(WITHIN),
        place.probe.control() as control,
        place.address.opened(f"/holds/{name}", SMALL_BUFFER) as client,
    ):
        await control.ask("wait", name, "accepted")
        try:
            yield control, client
        finally:
            await control.ask("release", name)


@pytest.fixture(scope="module")
def pinging(start: StartProbe) -> Iterator[Probe]:
    """A server that pings after a second, and waits a second for the answer."""
    probe = start(DAPHNE, "--ping-interval", "1", "--ping-timeout", "1")
    yield probe
    probe.server.stop()


async def check_echo(place: Place) -> None:
    """See that others are served."""
    async with place.address.opened(f"/echoes/{new_name()}") as other:
        await other.send("still there?")
        assert await other.message() == b"still there?"


async def check_received(client: Client, count: int) -> None:
    """See that the handler gets `count` messages in order, and no more."""
    await client.send("that was all")
    assert json.loads(await client.message()) == {"received": count, "wrong": 0}


@pytest.mark.parametrize("size", [SMALL_BUFFER, MIB])
async def test_a_gigabyte_to_a_handler_that_does_not_read(place: Place, size: int) -> None:
    name = new_name()
    async with holding(place, name) as (control, client):
        before = place.probe.memory()
        thrown = await client.throw(lambda n: frame(numbered(n, size)), 1024 * MIB // size)
        assert thrown * size < 128 * MIB  # the system's buffers may take tens of megabytes
        assert place.probe.memory() - before < COSTS_AT_MOST
        await check_echo(place)
        await control.ask("release", name)
        await check_received(client, thrown)


async def test_a_gigabyte_before_accept(place: Place) -> None:
    """It comes before its time (RFC 6455 section 4.1), but it counts."""
    name, size = new_name(), SMALL_BUFFER
    async with (
        asyncio.timeout(WITHIN),
        place.probe.control() as control,
        place.address.connected(SMALL_BUFFER) as client,
    ):
        before = place.probe.memory()
        await client.write(upgrade(f"/accepts-late/{name}"))
        thrown = await client.throw(lambda n: frame(numbered(n, size)), 1024 * MIB // size)
        assert place.probe.memory() - before < COSTS_AT_MOST
        await control.ask("release", name)
        await client.reader.readuntil(b"\r\n\r\n")
        await check_received(client, thrown)


async def test_a_gigabyte_after_the_close(pinging: Probe) -> None:
    """A client that does not answer the close, but sends and sends, is dropped."""

    async def send_on(client: Client) -> None:
        while True:
            await client.write(frame(bytes(SMALL_BUFFER)))
            await asyncio.sleep(0.01)

    async def check(place: Place, path: str) -> None:
        async with asyncio.timeout(WITHIN), place.address.connected() as client:
            await client.write(upgrade(path))
            with pytest.raises(ENDED):
                await send_on(client)

    before = pinging.memory()
    places = [Place(pinging, transport) for transport in pinging.addresses]
    paths = ("/closes/any", "/refuses/any")
    await asyncio.gather(*(check(place, path) for place in places for path in paths))
    assert pinging.memory() - before < COSTS_AT_MOST
    pinging.server.check_log()


async def test_many_tiny_messages_to_a_handler_that_does_not_read(place: Place) -> None:
    name, at_once = new_name(), 256 * 40
    is_first = (place.probe.server.kind.name, place.transport) == (DAPHNE.name, "tcp")
    count = 1_000_000 if is_first else 200_000  # time is dear
    block = b"".join(frame(numbered(n, 1)) for n in range(at_once))
    async with holding(place, name) as (control, client):
        before = place.probe.memory()
        blocks = await client.throw(lambda _: block, count // at_once)
        await asyncio.sleep(0.5)  # for a server that goes on reading
        assert place.probe.memory() - before < COSTS_AT_MOST
        await check_echo(place)
        await control.ask("release", name)
        await check_received(client, blocks * at_once)


async def test_pings_are_answered_while_the_handler_does_not_read(place: Place) -> None:
    name = new_name()
    async with holding(place, name) as (control, client):
        both = b"".join(
            frame(numbered(n, 100)) + frame(f"ping {n}".encode(), PING) for n in range(4)
        )
        await client.write(both)
        for number in range(4):
            assert await client.frame() == (PONG, f"ping {number}".encode())
        assert (await control.ask("record", name))["received"] == 0
        await control.ask("release", name)
        await check_received(client, 4)


async def test_pings_that_flood_and_pongs_that_nobody_reads(place: Place) -> None:
    name, total = new_name(), 32 * MIB
    block = frame(bytes(125), PING) * 500
    async with holding(place, name) as (_, client):
        before = place.probe.memory()
        await client.throw(lambda _: block, total // len(block))
        await check_echo(place)
        assert place.probe.memory() - before < COSTS_AT_MOST // 2


async def test_a_cancelled_receive_loses_no_message(place: Place) -> None:
    async with asyncio.timeout(WITHIN), place.probe.control() as control:

        async def check(way: str) -> None:
            name, count = new_name(), 600
            async with place.address.opened(f"/cancels/{name}?way={way}") as client:
                for number in range(count):
                    await client.send(numbered(number, 8))
                    await asyncio.sleep(number % 22 / 10_000)
                await check_received(client, count)
                names.append(name)

        names: list[str] = []
        await asyncio.gather(*map(check, ("wait_for", "timeout", "task")))
        for name in names:
            assert (await control.ask("record", name))["sent"] > 0  # how often it was cancelled


async def test_half_a_frame_on_each_of_a_hundred_connections(place: Place) -> None:
    half = frame(bytes(MIB - 1))[:100]
    path = f"/echoes/{new_name()}"
    async with asyncio.timeout(WITHIN):
        await check_echo(place)
        before = place.probe.memory()
        async with AsyncExitStack() as stack:
            for _ in range(100):
                client = await stack.enter_async_context(place.address.opened(path))
                await client.write(half)
            await check_echo(place)
            assert place.probe.memory() - before < COSTS_AT_MOST


async def test_a_frame_byte_by_byte(place: Place) -> None:
    async with (
        asyncio.timeout(WITHIN),
        place.address.opened(f"/echoes/{new_name()}") as client,
    ):
        data = numbered(7, 300)
        await trickle(client, frame(data) + frame(b"ping", PING))
        frames = [await client.frame() for _ in range(2)]
        assert sorted(frames) == [(BINARY, data), (PONG, b"ping")]


async def test_a_handshake_byte_by_byte(place: Place) -> None:
    name = new_name()
    async with asyncio.timeout(WITHIN), place.address.connected() as client:
        await trickle(client, upgrade(f"/echoes/{name}"))
        await client.reader.readuntil(b"\r\n\r\n")
        await client.send("here")
        assert await client.message() == b"here"


async def test_half_a_handshake_on_each_of_a_hundred_connections(place: Place) -> None:
    async with asyncio.timeout(WITHIN):
        before = place.probe.memory()
        async with AsyncExitStack() as stack:
            connections = (place.address.connected() for _ in range(100))
            clients = [await stack.enter_async_context(each) for each in connections]
            for byte in upgrade("/echoes/slow")[:20]:
                for client in clients:
                    await client.write(bytes([byte]))
            await check_echo(place)
            assert place.probe.memory() - before < COSTS_AT_MOST


async def trickle(client: Client, data: bytes) -> None:
    for byte in data:
        await client.write(bytes([byte]))
        await asyncio.sleep(0)


async def test_nobody_is_dropped_for_a_pong_that_we_do_not_read(pinging: Probe) -> None:
    size, count = SMALL_BUFFER, 2000

    async def check(place: Place) -> None:
        name = new_name()
        async with holding(place, name) as (control, client):
            thrown = await client.throw(lambda n: frame(numbered(n, size)), count)
            assert thrown < count
            answer = asyncio.create_task(client.message())  # pongs wait behind what was thrown
            for _ in range(int(STALLED / 0.2)):
                await asyncio.sleep(0.2)
                await control.ask("record", name)  # which answers the pings of that connection
            assert not answer.done()
            await control.ask("release", name)
            await client.send("that was all")
            assert json.loads(await answer) == {"received": thrown, "wrong": 0}

    await asyncio.gather(*(check(Place(pinging, transport)) for transport in pinging.addresses))
    pinging.server.check_log()


async def test_a_client_that_does_not_answer_pings_is_dropped(pinging: Probe) -> None:
    """The other side of it: reading, we do not wait for ever."""

    async def check(place: Place) -> None:
        name = new_name()
        async with (
            asyncio.timeout(WITHIN),
            place.probe.control() as control,
            place.address.opened(f"/echoes/{name}") as client,
        ):
            record = await control.ask("wait", name, "disconnect")
            assert record["events"] == ["disconnect 1006"]
            await client.ended()

    await asyncio.gather(*(check(Place(pinging, transport)) for transport in pinging.addresses))
    pinging.server.check_log()
