"""Memory of an idle connection: what a server process grows by, for each that stays open.

A server has a number of connections open already, so that what it keeps anyway is there; then as
many are added. Each has had one message echoed, and then nothing happens on it. The server collects
garbage before it is looked at. There are two figures: the process's proportional set size, from
Linux's /proc, and what Python has allocated, by `tracemalloc` in a server of its own. Each round
starts the servers anew; the first figure is the median.

    python benchmarks/memory_of_idle_connections.py [--rounds 3] [--connections 2000] [--only ours]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import urllib.request
from collections.abc import Callable, Iterator

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from servers import OURS, STOCK, Candidate, Server, prepare

AT_A_TIME = 16
SETTLED_AFTER = 2.5  # seconds: longer than any server's own rounds over its connections
DONE_WITHIN = 60.0


class Connection(WSListener):
    """Sends one message, and says when it has the reply."""

    def __init__(self, number: int) -> None:
        self.message = b"%064d" % number
        self.replied = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Send the message."""
        transport.send(WSMsgType.TEXT, self.message)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Check the reply."""
        if frame.get_payload_as_bytes() != self.message:
            raise RuntimeError(f"sent {self.message!r}, received {frame}")
        self.replied.set_result(None)


def collect(server: Server) -> int:
    """Have the server collect garbage, and return the bytes that Python has allocated there."""
    with urllib.request.urlopen(f"http://{server.address}/", timeout=DONE_WITHIN) as answer:
        return int(json.load(answer))


async def growth(server: Server, connections: int, read: Callable[[Server], int]) -> float:
    """Return the bytes that each of the later half of the connections has added."""
    url = f"ws://{server.address}/echo"
    transports: list[WSTransport] = []

    async def open_some(numbers: Iterator[int]) -> None:
        for number in numbers:
            connection = Connection(number)
            transport, _ = await ws_connect(lambda connection=connection: connection, url)
            await connection.replied
            transports.append(transport)

    async def size_with(numbers: range) -> int:
        left = iter(numbers)
        await asyncio.gather(*(open_some(left) for _ in range(AT_A_TIME)))
        await asyncio.sleep(SETTLED_AFTER)
        assert not any(transport.is_disconnected for transport in transports)
        return await asyncio.to_thread(read, server)

    async with asyncio.timeout(DONE_WITHIN):
        before = await size_with(range(connections))
        after = await size_with(range(connections, 2 * connections))
        for transport in transports:
            transport.disconnect(graceful=False)
    return (after - before) / connections


def resident(server: Server) -> int:
    """Return the bytes that the process has in memory, without garbage."""
    collect(server)
    return server.memory()


def grown(candidate: Candidate, connections: int, *, traced: bool) -> float:
    """Return the bytes of each connection on a new server."""
    environment = {"BENCH_TRACE": "1"} if traced else {}
    with Server(candidate.kind, f"served:{candidate.application}", environment) as server:
        return asyncio.run(growth(server, connections, collect if traced else resident))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=2_000, help="open, and added to them")
    parser.add_argument("--only", default="", help="part of the names of what is to be measured")
    options = parser.parse_args()
    prepare()

    channels = Candidate(STOCK, "consumer")
    ours = Candidate(OURS, "compiled")
    candidates = [each for each in (ours, channels) if options.only in each.name]
    resident_of: dict[Candidate, list[float]] = {each: [] for each in candidates}
    for _ in range(options.rounds):
        for each in candidates:
            resident_of[each].append(grown(each, options.connections, traced=False))
    # What Python allocates hardly differs from time to time: once is enough.
    traced_of = {each: grown(each, options.connections, traced=True) for each in candidates}

    print(f"{'KiB of an idle connection':36}{'resident':>10}", end="")
    print(f"{'lowest':>10}{'highest':>10}{'Python':>10}")
    for each in candidates:
        values = resident_of[each]
        figures = (statistics.median(values), min(values), max(values), traced_of[each])
        print(f"{each.name:36}" + "".join(f"{figure / 1024:10.1f}" for figure in figures))
    if ours in candidates and channels in candidates:
        medians = [statistics.median(resident_of[each]) for each in (ours, channels)]
        print(
            f"\ncompiled on ours over Channels on stock: {medians[0] / medians[1]:.2f} resident, "
            f"{traced_of[ours] / traced_of[channels]:.2f} Python's (budget: <= 0.7)"
        )


if __name__ == "__main__":
    main()
