"""SIGTERM and SIGINT: handlers clean up, clients get 1012, the process exits with 0."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from ..server import DAPHNE, STOCK_DAPHNE, Kind
from .client import ENDED, TEXT, Client, close_frame, frame, upgrade
from .probe import WITHIN, Probe, StartProbe, new_name, stopping

CLEANS_UP = 500  # milliseconds
RESTART = 1012


@asynccontextmanager
async def served(
    start: StartProbe, kind: Kind = DAPHNE, **settings: Any
) -> AsyncIterator[tuple[Probe, AsyncExitStack]]:
    """A server that the test tells to stop, and a stack for its clients.

    Afterwards the server has stopped, and said nothing untoward.
    """
    probe = await asyncio.to_thread(start, kind, **settings)
    async with asyncio.timeout(WITHIN), stopping(probe), AsyncExitStack() as stack:
        yield probe, stack


def stop(probe: Probe, how: signal.Signals = signal.SIGTERM) -> float:
    """Ask the server to stop, and return when."""
    probe.server.process.send_signal(how)
    return time.monotonic()


async def exited(probe: Probe) -> float:
    """Wait until the process has ended, and return when."""
    await asyncio.to_thread(probe.server.process.wait, WITHIN)
    return time.monotonic()


async def last_of(client: Client) -> tuple[bytes, int]:
    """Return the server's last message and the code of its close, which is answered."""
    message = await client.message()
    code = await client.close_code()
    await client.write(close_frame(code))
    assert await client.ended() == b""
    return message, code


async def refused(probe: Probe) -> bool:
    """Tell whether the server takes no connection any more, wherever it listened."""
    for address in probe.addresses.values():
        with suppress(ConnectionRefusedError, FileNotFoundError):
            async with address.connected():
                return False
    return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_handlers_clean_up_and_may_still_send(start: StartProbe, how: signal.Signals) -> None:
    async with served(start) as (probe, stack):
        paths = (f"/cleans-up/bare?ms={CLEANS_UP}", "/compiled/compiled")
        clients = [
            await stack.enter_async_context(address.opened(path))
            for address in probe.addresses.values()
            for path in paths
        ]
        stop(probe, how)
        await probe.server.logged("bare was cancelled", len(clients) // 2)
        assert await refused(probe)
        assert "bare has ended" not in probe.server.log
        found = await asyncio.gather(*map(last_of, clients))
        assert found == [(b'"goodbye"', RESTART), (b"goodbye", RESTART)] * 3
    assert probe.server.log.count("bare has ended") == len(clients) // 2
    assert probe.server.log.count(f"compiled closes with {RESTART}") == len(clients) // 2


async def test_stock_daphne_lets_handlers_clean_up(start: StartProbe) -> None:
    """What is there without us: no close, and it listens meanwhile."""
    async with served(start, kind=STOCK_DAPHNE) as (probe, stack):
        address = probe.addresses["tcp"]
        client = await stack.enter_async_context(address.opened(f"/cleans-up/bare?ms={CLEANS_UP}"))
        await asyncio.sleep(1.2)  # within a second of an upgrade it would forget to cancel
        stop(probe)
        assert await client.message() == b'"goodbye"'
        assert await client.ended() == b""
    assert "bare has ended" in probe.server.log


async def test_handlers_that_do_not_end_are_dropped(start: StartProbe) -> None:
    async with served(start, DAPHNE_SHUTDOWN_TIMEOUT=1) as (probe, stack):
        clients = [
            await stack.enter_async_context(address.opened(path))
            for address in probe.addresses.values()
            for path in ("/swallows/bare", "/hangs/bare", "/cleans-up/good")
        ]
        begun = stop(probe)
        good = await asyncio.gather(*map(last_of, clients[2::3]))
        assert good == [(b'"goodbye"', RESTART)] * 3
        await probe.server.logged("bare was cancelled", 6)
        for client in clients[0::3] + clients[1::3]:
            await client.ended()
        assert 0.9 < time.monotonic() - begun < 4
        assert await exited(probe) - begun < 5


async def test_clients_are_closed_in_batches(start: StartProbe) -> None:
    batches = {"DAPHNE_SHUTDOWN_BATCH": 10, "DAPHNE_SHUTDOWN_PAUSE": 0.2}
    async with served(start, DAPHNE, **batches) as (probe, stack):
        address = probe.addresses["tcp"]
        clients = [
            await stack.enter_async_context(address.opened("/cleans-up/each")) for _ in range(60)
        ]

        async def closed_at(client: Client) -> float:
            assert await last_of(client) == (b'"goodbye"', RESTART)
            return time.monotonic()

        begun = stop(probe)
        times = sorted([at - begun for at in await asyncio.gather(*map(closed_at, clients))])
        assert times[-1] - times[0] > 0.3  # five pauses, of 1 s in all if chance is fair
        gaps = [after - before for before, after in zip(times[9::10], times[10::10], strict=False)]
        assert sum(gap > 0.02 for gap in gaps) >= 3, times
        assert len({round(gap, 3) for gap in gaps}) > 1, times  # jitter
        assert times[-1] < 5


async def test_a_client_that_does_not_answer_the_close(start: StartProbe) -> None:
    async with served(start) as (probe, stack):
        clients = [
            await stack.enter_async_context(address.opened("/cleans-up/bare"))
            for address in probe.addresses.values()
        ]
        begun = stop(probe)
        for client in clients:
            assert await client.message() == b'"goodbye"'
            assert await client.close_code() == RESTART
        assert await exited(probe) - begun < 8


async def test_a_client_that_does_not_read(start: StartProbe) -> None:
    async with served(start, DAPHNE_SHUTDOWN_TIMEOUT=1) as (probe, stack):
        for address in probe.addresses.values():
            path = f"/sends/{new_name()}?count=1000&size=65536"
            await stack.enter_async_context(address.opened(path, 65536))
            held = await stack.enter_async_context(address.opened("/holds/held", 65536))
            await held.throw(lambda _: frame(bytes(65536)), 1000)
        begun = stop(probe)
        assert await exited(probe) - begun < 5


async def test_a_second_signal_does_no_harm(start: StartProbe) -> None:
    async with served(start) as (probe, stack):
        address = probe.addresses["tcp"]
        client = await stack.enter_async_context(address.opened(f"/cleans-up/bare?ms={CLEANS_UP}"))
        stop(probe)
        await probe.server.logged("bare was cancelled")
        for how in (signal.SIGTERM, signal.SIGINT):
            stop(probe, how)
        assert await last_of(client) == (b'"goodbye"', RESTART)
    assert probe.server.log.count("bare was cancelled") == 1


PAGE = b"GET /page HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POLL = PAGE.replace(b"page", b"poll")


async def whatever_there_is(probe: Probe, stack: AsyncExitStack, round_: int) -> list[Client]:
    """Return a client in each state that a server may find one in; those that may get an answer."""
    address = list(probe.addresses.values())[round_ % len(probe.addresses)]

    async def connect() -> Client:
        return await stack.enter_async_context(address.connected())

    in_handshake, half_request, polls, idle, silent = [await connect() for _ in range(5)]
    await in_handshake.write(upgrade("/never-accepts/this"))
    await half_request.write(PAGE[:-2])
    await polls.write(POLL)
    await idle.write(PAGE)
    assert (await idle.reader.readuntil(b"a page")).startswith(b"HTTP/1.1 200 ")
    await probe.server.logged("this has begun")
    await probe.server.logged("/poll has begun")
    fresh = await stack.enter_async_context(address.opened("/cleans-up/fresh"))
    half_frame = await stack.enter_async_context(address.opened("/echoes/half"))
    await half_frame.write(frame(bytes(100))[:50])
    leaves = await stack.enter_async_context(address.opened("/echoes/leaves"))
    leaves.writer.transport.abort()
    no_tls = await stack.enter_async_context(
        replace(probe.addresses["tls"], context=None).connected()
    )
    upgrading = await connect()
    upgrading.writer.write(upgrade("/echoes/upgrading"))
    return [fresh, in_handshake, half_frame, upgrading, half_request, polls, idle, silent, no_tls]


@pytest.mark.parametrize("round_", range(2))
async def test_whatever_is_going_on(start: StartProbe, round_: int) -> None:
    async def once(number: int) -> None:
        async with served(start) as (probe, stack):
            fresh, in_handshake, *others = await whatever_there_is(probe, stack, number)
            begun = stop(probe)
            assert await fresh.frame() == (TEXT, b'"goodbye"')
            assert await fresh.close_code() == RESTART
            await fresh.write(close_frame(RESTART))
            answer = await in_handshake.ended()
            in_handshake.writer.close()
            assert answer[:13] in (b"", b"HTTP/1.1 503 ", b"HTTP/1.1 403 ")
            assert time.monotonic() - begun < 2
            half_frame, upgrading, *rest = others
            for client in (half_frame, upgrading):
                with suppress(*ENDED):  # it may be refused, and the other is in no state to talk
                    await client.reader.readuntil(RESTART.to_bytes(2, "big"))
                client.writer.transport.abort()
            await asyncio.gather(*(client.ended() for client in rest))
            assert await exited(probe) - begun < 4

    await asyncio.gather(*(once(5 * round_ + number) for number in range(5)))
