"""WebSockets that query: how many database connections there are, who waits, which are replaced."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.live.server import Server, refused
from tests.support import make_token

from .conftest import POOL_SIZE, SYNC_THREADS, THREADS, USERS, Database, GetServer

SOCKETS = 500
WITHIN = 60.0
"""Seconds that a test may take."""
SLOW = 3.0
"""Seconds that a slow query takes."""
SLOW_ECHO = 0.05
"""Seconds that no echo takes meanwhile."""


@asynccontextmanager
async def sockets(server: Server, *paths: str) -> AsyncIterator[list[ClientConnection]]:
    """Connections to all of these paths, made some at a time."""
    turn = asyncio.Semaphore(20)
    clients: dict[int, ClientConnection] = {}

    async def open_one(index: int, path: str) -> None:
        async with turn:
            clients[index] = await connect(
                f"ws://{server.address}{path}", proxy=None, compression=None, ping_interval=None
            )

    async with asyncio.timeout(WITHIN):
        try:
            await asyncio.gather(*[open_one(*each) for each in enumerate(paths)])
            yield [clients[index] for index in range(len(paths))]
        finally:
            await asyncio.gather(*[client.close() for client in clients.values()])


async def ask(client: ClientConnection, *questions: object) -> list[object]:
    """Send each of them, one after the answer to the other."""
    answers = []
    for question in questions:
        await client.send(json.dumps(question))
        answers.append(json.loads(await client.recv()))
    return answers


async def sleep(client: ClientConnection) -> None:
    """Have a query take its time."""
    await client.send(json.dumps(SLOW))
    assert await client.recv() == "slept"


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so in another process."""
    async with asyncio.timeout(WITHIN / 4):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def most_connections(
    database: Database, names: Sequence[str], until: asyncio.Event
) -> list[int]:
    """Return how many connections the database had at most, of each of these names."""
    most = [0] * len(names)
    while not until.is_set():
        now = [await asyncio.to_thread(database.connections, name) for name in names]
        most = [*map(max, most, now)]
        await asyncio.sleep(0.05)
    return most


@pytest.mark.parametrize("name", THREADS)
async def test_connections_are_bounded(name: str, servers: GetServer, database: Database) -> None:
    numbers = [each % USERS + 1 for each in range(SOCKETS)]
    paths = [
        f"/me?token={make_token(sub=str(number))}" if index % 5 == 0 else "/queries"
        for index, number in enumerate(numbers)
    ]

    async def check(client: ClientConnection, path: str, number: int) -> None:
        user, twice = f"user-{number}", number * 2
        right = [user, twice] if path.startswith("/me") else [[user, number, twice, twice]] * 2
        assert await ask(client, number) == [right]

    done = asyncio.Event()
    names = [f"{name}-default", f"{name}-pooled"]
    counting = asyncio.create_task(most_connections(database, names, done))
    try:
        async with sockets(servers(name), *paths) as clients:
            await asyncio.gather(*map(check, clients, paths, numbers))
    finally:
        done.set()
        default, pooled = await counting
    assert default == (THREADS[name] or 1)  # each thread has one, and keeps it
    assert 1 <= pooled <= POOL_SIZE


async def test_blocking_handlers_are_bounded_by_their_threads(
    servers: GetServer, database: Database
) -> None:
    server = servers("one")
    before = database.connections("one-default")
    async with sockets(server, *["/blocking"] * SYNC_THREADS) as clients:
        answers = await asyncio.gather(*[ask(client, 1, 2, 3) for client in clients])
        assert answers == [[2, 4, 6]] * SYNC_THREADS
        assert database.connections("one-default") == before + SYNC_THREADS
        assert (await refused(server, "/blocking"))[0] == 503

    async def are_closed() -> bool:
        return database.connections("one-default") == before

    await eventually(are_closed)  # by each thread, at the end of its handler


async def test_a_slow_query_holds_up_its_own_thread(servers: GetServer) -> None:
    async def others_took(server: Server) -> list[float]:
        """Return how long the queries of other connections take, while one has a slow one."""
        async with sockets(server, "/sleep", *["/queries"] * 3) as [slow, *others]:
            sleeping = asyncio.create_task(sleep(slow))
            await asyncio.sleep(0.2)  # it has begun, and goes on for long
            took = await asyncio.gather(*map(duration_of_query, others))
            await sleeping
            return took

    async def duration_of_query(client: ClientConnection) -> float:
        start = time.monotonic()
        assert await ask(client, 3) == [[["user-3", 3, 6, 6]] * 2]
        return time.monotonic() - start

    one, four = await asyncio.gather(others_took(servers("one")), others_took(servers("four")))
    assert max(four) < SLOW / 2
    assert min(one) > SLOW / 2


@pytest.mark.timing
async def test_a_slow_query_delays_no_echo(servers: GetServer) -> None:
    async def slowest_echo(server: Server) -> float:
        async with sockets(server, "/sleep", "/echo") as [slow, echo]:
            slowest = 0.0
            sleeping = asyncio.create_task(sleep(slow))
            while not sleeping.done():
                start = time.monotonic()
                await echo.send("hello")
                assert await echo.recv() == "hello"
                slowest = max(slowest, time.monotonic() - start)
                await asyncio.sleep(0.005)
            await sleeping
            return slowest

    measured = []
    for _ in range(3):  # the machine may have stood still for a moment
        measured.append(
            max(await asyncio.gather(*[slowest_echo(servers(name)) for name in THREADS]))
        )
        if measured[-1] < SLOW_ECHO:
            break
    assert min(measured) < SLOW_ECHO, measured


@pytest.mark.parametrize("name", THREADS)
async def test_a_connection_that_was_dropped_is_replaced(
    name: str, servers: GetServer, database: Database
) -> None:
    async with sockets(servers(name), "/backend/default") as [client]:
        [pid] = await ask(client, "?")
        assert isinstance(pid, int)
        database.terminate(pid)
        assert await ask(client, "?") == [0]

        async def is_replaced() -> bool:
            return await ask(client, "?") != [0]

        await eventually(is_replaced)
        assert await ask(client, "?") != [pid]


@pytest.mark.parametrize("name", THREADS)
async def test_an_old_connection_is_closed_without_a_query(
    name: str, servers: GetServer, database: Database
) -> None:
    async with sockets(servers(name), *["/backend/aging"] * 4) as clients:
        backends = {(await ask(client, "?"))[0] for client in clients}
        assert len(backends) == (THREADS[name] or 1)

        async def are_closed() -> bool:
            return database.connections(f"{name}-aging") == 0

        await eventually(are_closed)
        replaced = {(await ask(client, "?"))[0] for client in clients}
        assert not replaced & {0, *backends}
