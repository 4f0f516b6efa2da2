"""Echo of 64 bytes over real servers: messages a second on one core.

Each server has a core, and the client has another: 32 connections, each with one message under way,
each reply compared with what was sent. The client is picows, so that the server is the bottleneck;
the column "core", the part of it that the server used, shows whether it was. Rounds are
interleaved, figures are medians. Ratios are by the rate, and by the time that the servers computed
for each message, which other processes disturb less.

Where the interpreter has uvloop, the servers that can use it are measured with it too.

    python benchmarks/echo_over_servers.py [--rounds 5] [--seconds 1.5] [--only stock]
"""

from __future__ import annotations

import asyncio
import time

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from servers import (
    OURS,
    STOCK,
    Candidate,
    Comparison,
    Server,
    compare,
    has_uvloop,
    parser_for,
    prepare,
    selected,
    uvicorn,
)

CONNECTIONS = 32
SIZE = 64
DONE_WITHIN = 10.0  # seconds, to connect and to close
IMPLEMENTATIONS = ("websockets-sansio", "websockets", "wsproto")


class Client(WSListener):
    """One connection: sends the next message when it has the reply to the last.

    Once it is `stopping`, it closes instead.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.replies = 0
        self.message = b""
        self.stopping = False
        self.trouble = ""

    def send_next(self, transport: WSTransport) -> None:
        """Send a message that no other connection and no other time has."""
        self.message = b"%08d%0*d" % (self.number, SIZE - 8, self.replies)
        transport.send(WSMsgType.TEXT, self.message)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Check the reply."""
        if frame.msg_type is WSMsgType.CLOSE:
            if not self.stopping:
                self.trouble = f"closed by the server, {frame.get_close_code()}"
            return
        if frame.msg_type is not WSMsgType.TEXT or frame.get_payload_as_bytes() != self.message:
            self.trouble = f"sent {self.message!r}, received {frame}"
            transport.disconnect(graceful=False)
            return
        self.replies += 1
        if self.stopping:
            transport.send_close()
        else:
            self.send_next(transport)


async def run(server: Server, seconds: float) -> tuple[int, float, float]:
    """Return the messages of one round, its seconds, and those that the server computed."""
    clients = [Client(number) for number in range(CONNECTIONS)]
    url = f"ws://{server.address}/echo"
    async with asyncio.timeout(DONE_WITHIN):
        pairs = [await ws_connect(lambda client=client: client, url) for client in clients]
    for client, (transport, _) in zip(clients, pairs, strict=True):
        client.send_next(transport)
    await asyncio.sleep(seconds / 10)  # warm

    replies = sum(client.replies for client in clients)
    busy, start = server.busy(), time.perf_counter()
    await asyncio.sleep(seconds)
    busy, elapsed = server.busy() - busy, time.perf_counter() - start
    replies = sum(client.replies for client in clients) - replies

    async with asyncio.timeout(DONE_WITHIN):
        for client in clients:
            client.stopping = True
        for transport, _ in pairs:
            await transport.wait_disconnected()
    for client in clients:
        if client.trouble or not client.replies:
            raise RuntimeError(f"{server.kind.name}: {client.trouble or 'no reply'}")
    return replies, elapsed, busy


def comparisons() -> list[Comparison]:
    """Return what is compared."""
    kinds = [uvicorn(each) for each in IMPLEMENTATIONS]
    bare, on_stock = Candidate(OURS, "bare"), Candidate(STOCK, "bare")
    compiled, consumer = Candidate(OURS, "compiled"), Candidate(STOCK, "consumer")
    found = [
        Comparison("bare: ours over stock Daphne", ">= 3", bare, [on_stock]),
        Comparison(
            "bare: ours over the best of uvicorn",
            ">= 1.0",
            bare,
            [Candidate(kind, "bare") for kind in kinds],
        ),
    ]
    if has_uvloop():
        found.append(
            Comparison(
                "bare, uvloop: ours over the best of uvicorn",
                ">= 1.0",
                Candidate(OURS, "bare", uvloop=True),
                [Candidate(kind, "bare", uvloop=True) for kind in kinds],
            )
        )
    return [
        *found,
        Comparison("compiled on ours over Channels on stock", ">= 5", compiled, [consumer]),
        Comparison(
            "compiled over Channels, stock both", ">= 2", Candidate(STOCK, "compiled"), [consumer]
        ),
        Comparison(
            "compiled over Starlette, uvicorn both",
            ">= 1.0",
            Candidate(kinds[0], "compiled"),
            [Candidate(kinds[0], "starlette")],
        ),
    ]


def main() -> None:
    """Print the figures."""
    options = parser_for(__doc__, seconds=1.5).parse_args()
    prepare()
    compare(
        selected(comparisons(), options.only),
        options.rounds,
        lambda server: asyncio.run(run(server, options.seconds)),
        "messages",
    )


if __name__ == "__main__":
    main()
