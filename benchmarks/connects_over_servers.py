"""Connections a second over real servers: connect, one message echoed, a clean close.

Each server has a core, and the client has another: sixteen connections are under way at a time,
each reply is compared with what was sent, and each close has to be answered with its code. The
column "core", the part of it that the server used, shows whether the server was the bottleneck;
where it was not, the ratio that counts is by the time that the servers computed for each
connection. Rounds are interleaved, figures are medians.

    python benchmarks/connects_over_servers.py [--rounds 5] [--seconds 2] [--only stock]
"""

from __future__ import annotations

import asyncio
import time

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from servers import (
    OURS,
    STOCK,
    Candidate,
    Comparison,
    Server,
    compare,
    parser_for,
    prepare,
    selected,
    uvicorn,
)

CLIENTS = 16
SIZE = 64
DONE_WITHIN = 10.0  # seconds, one connection


class Connection(WSListener):
    """Sends one message, and closes when it has the reply."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.replied = False
        self.closed = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Send the message."""
        transport.send(WSMsgType.TEXT, self.message)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Check the reply, and the answer to the close."""
        if frame.msg_type is WSMsgType.TEXT:
            self.replied = frame.get_payload_as_bytes() == self.message
            transport.send_close(WSCloseCode.OK)
        elif frame.msg_type is WSMsgType.CLOSE:
            self.closed = frame.get_close_code() is WSCloseCode.OK


async def run(server: Server, seconds: float) -> tuple[int, float, float]:
    """Return the connections of one round, its seconds, and those that the server computed."""
    url = f"ws://{server.address}/echo"
    count = 0
    end = time.perf_counter() + seconds

    async def connect() -> None:
        nonlocal count
        count += 1
        connection = Connection(b"%0*d" % (SIZE, count))
        async with asyncio.timeout(DONE_WITHIN):
            transport, _ = await ws_connect(lambda: connection, url)
            await transport.wait_disconnected()
        if not (connection.replied and connection.closed):
            raise RuntimeError(f"{server.kind.name}: {vars(connection)}")

    async def client() -> None:
        while time.perf_counter() < end:
            await connect()

    busy, start = server.busy(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return count, time.perf_counter() - start, server.busy() - busy


def comparisons() -> list[Comparison]:
    """Return what is compared."""
    ours, stock = Candidate(OURS, "bare"), Candidate(STOCK, "bare")
    compiled, consumer = Candidate(OURS, "compiled"), Candidate(STOCK, "consumer")
    other = Candidate(uvicorn("websockets-sansio"), "bare")
    return [
        Comparison("bare: ours over stock Daphne", ">= 2", ours, [stock]),
        Comparison("bare: ours over uvicorn", "none", ours, [other]),
        Comparison("compiled on ours over Channels on stock", "none", compiled, [consumer]),
    ]


def main() -> None:
    """Print the figures."""
    options = parser_for(__doc__, seconds=2.0).parse_args()
    prepare()
    compare(
        selected(comparisons(), options.only),
        options.rounds,
        lambda server: asyncio.run(run(server, options.seconds)),
        "connects",
    )


if __name__ == "__main__":
    main()
