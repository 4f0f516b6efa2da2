"""Broadcasts over real servers: deliveries a second on one core, to all members of a room.

Each server has a core, and the client has another: a loop over `epoll`, cheaper than any server.
One member sends texts of 64 bytes, at most four under way, and its handler sends each to the room
that all are in; the clock stops when all members have all. What each of them receives is compared,
byte by byte, with what it should. Rounds are interleaved, figures are medians. The column "core" is
the part of its core that the server used; the second ratio is by the time that the servers computed
for each delivery, which other processes disturb less.

Where there is a `redis-server`, both layers of `channels_redis` are measured too.

    python benchmarks/broadcast_over_servers.py [--rounds 5] [--seconds 1.5] [--members 1000]
        [--only memory]
"""

from __future__ import annotations

import select
import shutil
import socket
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from servers import (
    OURS,
    STOCK,
    Candidate,
    Comparison,
    Redis,
    Server,
    compare,
    parser_for,
    prepare,
    selected,
    with_redis,
    without_pings,
)

SIZE = 64
FRAME = 2 + SIZE
UNDER_WAY = 4
AT_A_TIME = 32  # connections made or closed
DONE_WITHIN = 10.0  # seconds, each step of a connection
IDLE = 0.02  # of a core: what a server with a heartbeat may use when it has nothing to do
HANDSHAKE = (
    b"GET /room HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
JOINED = b"\x81\x06joined"
NO_MASK = bytes(4)  # as good a mask as any
CLOSE = b"\x88\x82" + NO_MASK + (1000).to_bytes(2)


class Member:
    """A connection, and how much of the room's messages it has."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=DONE_WITHIN)
        self.socket.sendall(HANDSHAKE)
        self.received = 0

    def read_until_joined(self) -> None:
        """Read the server's answer."""
        data = b""
        while not data.endswith(JOINED):
            more = self.socket.recv(4096)
            data += more
            if not more or not data.startswith(b"HTTP/1.1 101 "[: len(data)]):
                raise RuntimeError(f"no member: {data!r}")

    def read_until_closed(self) -> None:
        """Read what is left, to the end."""
        data = b""
        while more := self.socket.recv(4096):
            data += more
        self.socket.close()
        if data[:4] != b"\x88\x02\x03\xe8":
            raise RuntimeError(f"closed with {data!r}")


class Audience:
    """The members of a room, of whom the first sends; a context manager that closes them."""

    def __init__(self, address: str, members: int) -> None:
        self._members: list[Member] = []
        for first in range(0, members, AT_A_TIME):
            some = [Member(address) for _ in range(min(AT_A_TIME, members - first))]
            for member in some:
                member.read_until_joined()
            self._members += some
        self._poll = select.epoll()
        self._by_number = {each.socket.fileno(): each for each in self._members}
        for number in self._by_number:
            self._poll.register(number, select.EPOLLIN)
        self._stream = b""
        """What each member should have received."""
        self._missing = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._poll.close()
        if error is not None:
            return
        for first in range(0, len(self._members), AT_A_TIME):
            some = self._members[first : first + AT_A_TIME]
            for member in some:
                member.socket.sendall(CLOSE)
            for member in some:
                member.read_until_closed()

    def broadcast(self, seconds: float) -> int:
        """Have messages sent to all for some time, and return how many have been delivered."""
        start, sent = time.perf_counter(), len(self._stream)
        while True:
            while (
                self._missing <= (UNDER_WAY - 1) * FRAME * len(self._members)
                and time.perf_counter() - start < seconds
            ):
                self._send()
            if not self._missing:
                return (len(self._stream) - sent) // FRAME * len(self._members)
            self._receive()

    def _send(self) -> None:
        payload = b"%0*d" % (SIZE, len(self._stream) // FRAME)
        self._members[0].socket.sendall(b"\x81" + bytes([0x80 | SIZE]) + NO_MASK + payload)
        self._stream += b"\x81" + bytes([SIZE]) + payload
        self._missing += FRAME * len(self._members)

    def _receive(self) -> None:
        stream, by_number = self._stream, self._by_number
        ready = self._poll.poll(DONE_WITHIN)
        if not ready:
            raise RuntimeError(f"{self._missing // FRAME} deliveries were lost")
        for number, _ in ready:
            member = by_number[number]
            data = member.socket.recv(4096)
            if not data or not stream.startswith(data, member.received):
                raise RuntimeError(f"received {data!r} at {member.received} of {stream!r}")
            member.received += len(data)
            self._missing -= len(data)


def settle(server: Server) -> None:
    """Wait until a server has nothing to do: all share a core."""
    for _ in range(int(DONE_WITHIN / 0.25)):
        before = server.busy()
        time.sleep(0.25)
        if server.busy() - before <= IDLE:
            return
    raise RuntimeError(f"{server.kind.name} does not come to rest")


def run(server: Server, members: int, seconds: float) -> tuple[int, float, float]:
    """Return the deliveries of one round, its seconds, and those that the server computed."""
    with Audience(server.address, members) as audience:
        audience.broadcast(seconds / 10)  # warm
        settle(server)
        busy, start = server.busy(), time.perf_counter()
        count = audience.broadcast(seconds)
        elapsed, busy = time.perf_counter() - start, server.busy() - busy
    settle(server)
    return count, elapsed, busy


def comparisons(redis: str | None) -> list[Comparison]:
    """Return what is compared; `redis` is the URL of a Redis."""
    ours, stock = without_pings(OURS), without_pings(STOCK)
    found = [
        Comparison(
            "in memory: ours over Channels on stock",
            ">= 30",
            Candidate(ours, "compiled"),
            [Candidate(stock, "consumer")],
        )
    ]
    if redis is not None:
        found += [
            Comparison(
                f"channels_redis.{layer}: ours over Channels on stock",
                ">= 15",
                Candidate(with_redis(ours, layer, redis), "compiled"),
                [Candidate(with_redis(stock, layer, redis), "consumer")],
            )
            for layer in ("core", "pubsub")
        ]
    return found


def main() -> None:
    """Print the figures."""
    parser = parser_for(__doc__, seconds=1.5)
    parser.add_argument("--members", type=int, default=1_000)
    options = parser.parse_args()
    prepare()
    program = shutil.which("redis-server")
    with ExitStack() as stack:
        redis = None if program is None else stack.enter_context(Redis(program)).url
        compare(
            selected(comparisons(redis), options.only),
            options.rounds,
            lambda server: run(server, options.members, options.seconds),
            "deliveries",
        )
    if program is None:
        print("There is no redis-server: only the layer in memory was measured.")


if __name__ == "__main__":
    main()
