"""Both sides wait for the other one: nothing is kept without a bound."""

import asyncio

from tests.live.server import Server

from .differences import expected
from .script import ACCEPT, RECEIVE
from .wire import BINARY, close_frame, dialled, frame, handshake

LARGE = 64 * 1024
MANY = 400
"""So many large messages are more than what all buffers on their way take."""
NARROW = 64 * 1024
"""The client's buffers."""


async def test_send_waits_while_the_client_does_not_read(server: Server) -> None:
    right = expected(server.kind, "a client that does not read", "waited")
    async with dialled(server, NARROW) as wire:
        flood = ("send_for", LARGE, MANY, 0.5)
        await wire.send(handshake(wire, RECEIVE, ACCEPT, flood))
        assert (await wire.report())[-1] == right
        wire.abort()


async def test_reading_pauses_while_the_application_does_not_read(server: Server) -> None:
    right = expected(server.kind, "an application that does not read", "paused")
    async with dialled(server, NARROW) as wire:
        name = f"{wire.name} reads"
        await wire.send(handshake(wire, ACCEPT, ("wait_for", name), ("count",)))
        await wire.read_head()
        sent = await pushed(wire.writer)
        assert ("took all" if sent == MANY else "paused") == right
        await wire.signal(name)
        await wire.send(close_frame(1000))  # behind all that waits
        await wire.read_end(answers=False)
        assert (await wire.report())[-1] == [sent, sent * LARGE]


async def pushed(writer: asyncio.StreamWriter) -> int:
    """Send large messages until one has not been taken for a while. Return how many were sent."""
    large = frame(BINARY, bytes(LARGE))
    for number in range(1, MANY + 1):
        writer.write(large)
        try:
            async with asyncio.timeout(0.4):
                await writer.drain()
        except TimeoutError:
            return number
    return MANY
