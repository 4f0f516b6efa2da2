"""Plain `def` handlers behind real servers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .conftest import StartServer
from .server import DONE_WITHIN, STOCK_DAPHNE, Server, check_echo, close_of, connected, refused

THREADS = 64  # the default of BOLT_WS["SYNC_THREADS"]
AT_ONCE = 5.0  # seconds; those that were parked would wait for the others to end


@pytest.fixture(autouse=True)
async def undisturbed(server: Server) -> AsyncIterator[None]:
    yield
    await check_echo(server)
    server.check_log()


async def free_thread(server: Server) -> None:
    """Wait until the handlers of closed connections have ended."""
    async with asyncio.timeout(DONE_WITHIN):
        while True:
            try:
                await check_echo(server, "/blocking/echo")
            except InvalidStatus:
                await asyncio.sleep(0.05)
            else:
                return


async def test_echo(server: Server) -> None:
    async with connected(server, "/blocking/echo") as client:
        for number in range(200):
            await client.send(str(number))
        assert [await client.recv() for _ in range(200)] == [str(each) for each in range(200)]
        await client.send(b"\x00")  # which send_text() does not take
        assert (await close_of(client))[0] == server.kind.close(1011)[0]
    await server.failed("TypeError: send_text() takes str, not bytes")


async def test_all_is_sent_before_the_close(server: Server) -> None:
    async with connected(server, "/blocking/counts?to=1000") as client:
        assert [int(text) async for text in client] == list(range(1000))
        assert await close_of(client) == (1000, "")


async def test_the_database(server: Server) -> None:
    async with connected(server, "/blocking/users") as client:
        assert await client.recv() == "[2]"


async def test_more_connections_than_threads(server: Server) -> None:
    await free_thread(server)
    refusals: list[int] = []
    accepted: list[ClientConnection] = []
    longest = 0.0

    async def enter(stack: AsyncExitStack) -> None:
        try:
            accepted.append(await stack.enter_async_context(connected(server, "/blocking/echo")))
        except InvalidStatus as error:
            refusals.append(error.response.status_code)

    async def keep_echoing(client: ClientConnection) -> None:
        nonlocal longest
        while True:
            sent = time.monotonic()
            await client.send("a")
            await client.recv()
            longest = max(longest, time.monotonic() - sent)

    async with AsyncExitStack() as stack, connected(server, "/echo/text") as other:
        echoing = asyncio.create_task(keep_echoing(other))
        begun = time.monotonic()
        await asyncio.gather(*(enter(stack) for _ in range(200)))
        assert time.monotonic() - begun < AT_ONCE
        assert len(accepted) == THREADS
        assert refusals == [server.kind.status(503)] * (200 - THREADS)
        await server.logged("503 too_many_connections", 200 - THREADS)
        for number, client in enumerate(accepted):  # each of them is served
            await client.send(str(number))
        assert [await client.recv() for client in accepted] == [str(n) for n in range(THREADS)]
        assert not echoing.done()
        echoing.cancel()
        assert longest < AT_ONCE
    await free_thread(server)


async def test_the_server_stops(server: Server, start_server: StartServer) -> None:
    own = await asyncio.to_thread(start_server, server.kind)
    try:
        async with connected(own, "/blocking/waits") as client:
            if server.kind is STOCK_DAPHNE:
                # As in test_servers.py: it must have looked at its connections once.
                await refused(own, "/ways-out/raises-before-accept")
                await own.failed("RuntimeError: raised before accept")
            own.signal_stop()
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == server.kind.close(1012)[0]
        await asyncio.to_thread(own.stop)
        assert "the blocking handler got None" in own.log
    finally:
        own.kill()
