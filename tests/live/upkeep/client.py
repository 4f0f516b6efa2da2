"""Clients that leave in all ways, and what the server says of their connections."""

import asyncio
import itertools
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.live.flow.client import Address, Client, close_frame
from tests.live.server import Server, connected

WITHIN = 25.0  # seconds for all that one test does
NOTICED_WITHIN = 3.0  # seconds from a client's close to the handler's knowledge of it
MARGIN = 1.5  # seconds by which a handler may end later than its grace

Leave = Callable[[Client], Awaitable[None]]

_names = (f"connection-{number}" for number in itertools.count())


def new_name() -> str:
    """Return a name that no connection of this process had."""
    return next(_names)


@asynccontextmanager
async def opened(server: Server, path: str, **options: Any) -> AsyncIterator[Client]:
    """A connection that reads and writes only when it is told to."""
    address = Address(port=int(server.address.partition(":")[2]))
    async with asyncio.timeout(WITHIN), address.opened(path, **options) as client:
        yield client


# How a client leaves


async def closes(client: Client) -> None:
    """Close with a close frame."""
    await client.write(close_frame(4321))
    await client.ended()


async def drops(client: Client) -> None:
    """Close the socket without a close frame."""
    client.writer.close()


async def resets(client: Client) -> None:
    """Have the network tell that nobody is there: a TCP reset."""
    own: socket.socket = client.writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


async def breaks(client: Client) -> None:
    """Send what is no frame: the server closes, and waits for nobody."""
    await client.write(b"\xff" * 16)
    await client.ended()


async def dies(client: Client) -> None:
    """Fall silent: read nothing, answer no ping, and leave the connection as it is."""
    transport = client.writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    transport.pause_reading()


# What the server says


class Told:
    """The events of a connection."""

    def __init__(self, events: dict[str, list[tuple[float, Any]]]) -> None:
        self._events = events

    def at(self, event: str) -> float:
        """Return when something happened, on the clock of this machine."""
        assert event in self._events, self
        return self._events[event][0][0]

    def values(self, event: str) -> list[Any]:
        """Return what was noted of each time that it happened."""
        return [value for _, value in self._events.get(event, [])]

    def __repr__(self) -> str:
        if not self._events:
            return "nothing"
        first = min(times[0][0] for times in self._events.values())
        return ", ".join(
            f"{event} after {at - first:.2f} s: {value!r}"
            for event, each in self._events.items()
            for at, value in each
        )


ENDED = "closed,learned,ended"


async def told(server: Server, name: str, events: str = ENDED) -> Told:
    """Wait until things have happened to a connection, and return all that did."""
    async with opened(server, f"/told/{name}?events={events}") as client:
        return Told(json.loads(await client.message()))


async def note(server: Server, name: str, event: str) -> None:
    """Have a handler that waits for an event go on."""
    async with connected(server, f"/note/{name}/{event}"):
        pass


def assert_noticed(seen: Told, left_at: float, within: float = NOTICED_WITHIN) -> None:
    """See that the connection's end was known in time."""
    assert seen.at("learned") - left_at <= within, seen


def assert_ended(seen: Told, grace: float) -> None:
    """See that the handler ended in time, and `on_close` was called once."""
    assert seen.at("ended") - seen.at("learned") <= grace + MARGIN, seen
    assert len(seen.values("ended")) == len(seen.values("closed")) == 1, seen


def now() -> float:
    """Return the time, on the clock that the servers' events are on."""
    return time.monotonic()
